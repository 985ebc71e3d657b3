// SPDX-License-Identifier: Apache-2.0
//
// A docker-compose for tests that starts in a millisecond: `version --short` and `config` it
// answers by itself; `up` and `down` it asks the engine of $DOCKER_HOST for, step by step
// (tests/e2e/sweep_quay.py), until the engine says that it is done. Killed in the middle, it leaves
// half, as docker-compose does.

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { FILE_MAX = 256 << 10, ANSWER_MAX = 64 << 10 };

static void die(const char *what)
{
	(void)fprintf(stderr, "ERROR: %s: %s\n", what, strerror(errno));
	exit(1);
}

static char *read_file(const char *name, size_t *ret_n)
{
	static char text[FILE_MAX];
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));

	if (n < 0)
		die(name);
	(void)close(fd);
	*ret_n = (size_t)n;
	return text;
}

static void send_all(int fd, const char *bytes, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, bytes, n);

		if (done < 0)
			die("ask the Docker daemon");
		bytes += done;
		n -= (size_t)done;
	}
}

/// One request to the engine; the body of its answer.
static const char *ask(const char *verb, const char *query, const char *text, size_t n)
{
	static char answer[ANSWER_MAX];
	const char *host = getenv("DOCKER_HOST");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char head[512];
	size_t got = 0;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (!host || strncmp(host, "unix://", 7) != 0) {
		errno = EDESTADDRREQ;
		die("DOCKER_HOST");
	}
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", host + 7);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die("reach the Docker daemon");
	int head_n = snprintf(head, sizeof(head),
		"POST /compose/%s?%s HTTP/1.0\r\nContent-Length: %zu\r\n\r\n", verb, query, n);
	send_all(fd, head, (size_t)head_n);
	send_all(fd, text, n);
	for (ssize_t part; (part = read(fd, answer + got, sizeof(answer) - 1 - got)) > 0;)
		got += (size_t)part;
	answer[got] = '\0';
	(void)close(fd);
	const char *body = strstr(answer, "\r\n\r\n");
	return body ? body + 4 : "error the Docker daemon hung up";
}

/// "more TEXT", "done" or "error TEXT".
static int step(const char *verb, const char *query, const char *text, size_t n)
{
	for (;;) {
		const char *answer = ask(verb, query, text, n);

		if (strncmp(answer, "error ", 6) == 0) {
			(void)fprintf(stderr, "ERROR: %s\n", answer + 6);
			return 1;
		}
		if (strncmp(answer, "more ", 5) != 0)
			return 0;
		(void)fprintf(stderr, "%s\n", answer + 5);
	}
}

int main(int argc, char **argv)
{
	const char *project = "", *file = "docker-compose.yml", *verb = NULL;
	char query[256];
	bool orphans = false;
	size_t n = 0;

	for (int i = 1; i < argc; i++) {
		bool has_value = i + 1 < argc;

		if (has_value && strcmp(argv[i], "-p") == 0)
			project = argv[++i];
		else if (has_value && strcmp(argv[i], "-f") == 0)
			file = argv[++i];
		else if (has_value && strcmp(argv[i], "--project-directory") == 0)
			i++;
		else if (strcmp(argv[i], "--remove-orphans") == 0)
			orphans = true;
		else if (!verb)
			verb = argv[i];
	}
	if (!verb)
		return 64;
	if (strcmp(verb, "version") == 0)
		return puts("1.29.2") < 0;
	const char *text = read_file(file, &n);
	if (strcmp(verb, "config") == 0)
		return fwrite(text, 1, n, stdout) != n;
	if (strcmp(verb, "up") != 0 && strcmp(verb, "down") != 0)
		return 0;
	(void)snprintf(query, sizeof(query), "project=%s%s", project, orphans ? "&orphans=1" : "");
	return step(verb, query, text, n);
}
