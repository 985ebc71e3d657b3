// SPDX-License-Identifier: Apache-2.0
#include "fake_engine.h"

#include "base/cleanup.h"
#include "base/memory.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/// A connection whose request has been read and answered, kept until the client goes.
enum { OPEN_MAX = 16 };

static void check(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	abort();
}

/// Reads up to the end of the headers and of the body that they announce.
static void read_request(int fd, char *request)
{
	size_t n = 0;
	for (;;) {
		ssize_t got = recv(fd, request + n, FAKE_REQUEST_SIZE - 1 - n, 0);
		if (got <= 0)
			return;
		n += (size_t)got;
		request[n] = '\0';
		const char *end = strstr(request, "\r\n\r\n");
		const char *length = strstr(request, "Content-Length: ");
		size_t body = length ? strtoul(length + 16, NULL, 10) : 0;
		if (end && n >= (size_t)(end + 4 - request) + body)
			return;
	}
}

static const struct fake_answer *choose(struct fake_engine *f, const char *request)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct fake_answer *a = &f->answers[i];

		if (strncmp(request, a->request, strlen(a->request)) != 0 ||
			(a->times > 0 && f->given[i] == a->times))
			continue;
		f->given[i]++;
		return a;
	}
	(void)fprintf(stderr, "no answer recorded for: %.80s\n", request);
	return NULL;
}

static void note_hanging(struct fake_engine *f, int fd, const char *request)
{
	(void)pthread_mutex_lock(&f->lock);
	f->hanging[f->hanging_n].fd = fd;
	f->hanging[f->hanging_n++].request = request;
	(void)pthread_mutex_unlock(&f->lock);
}

static void forget_hanging(struct fake_engine *f, int fd)
{
	(void)pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < f->hanging_n; i++)
		if (f->hanging[i].fd == fd)
			f->hanging[i] = f->hanging[--f->hanging_n];
	(void)pthread_mutex_unlock(&f->lock);
}

void fake_engine_push(struct fake_engine *f, const char *request, const char *bytes)
{
	int found = 0;

	(void)pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < f->hanging_n; i++) {
		if (strncmp(f->hanging[i].request, request, strlen(request)) != 0)
			continue;
		found++;
		if (bytes)
			(void)send(f->hanging[i].fd, bytes, strlen(bytes), MSG_NOSIGNAL);
		else
			(void)shutdown(f->hanging[i].fd, SHUT_RDWR);
	}
	(void)pthread_mutex_unlock(&f->lock);
	check(found == 1, "nobody to push to");
}

/// True if the connection stays open.
static int answer(struct fake_engine *f, int fd)
{
	check(f->requests_n < FAKE_REQUESTS_MAX, "too many requests");
	char *request = f->requests[f->requests_n++];
	read_request(fd, request);
	const struct fake_answer *a = choose(f, request);
	if (!a)
		return 0;
	if (a->end == FAKE_HANG)
		note_hanging(f, fd, request);
	size_t n = strlen(a->bytes);
	size_t step = a->end == FAKE_PIECES ? 1 : n;
	for (size_t i = 0; i < n; i += step)
		(void)send(fd, a->bytes + i, step, MSG_NOSIGNAL);
	return a->end == FAKE_HANG;
}

static void drop(struct fake_engine *f, struct pollfd *fds, nfds_t *n, nfds_t i)
{
	forget_hanging(f, fds[i].fd);
	(void)close(fds[i].fd);
	fds[i] = fds[--*n];
}

static void *serve(void *arg)
{
	struct fake_engine *f = arg;
	struct pollfd fds[2 + OPEN_MAX] = {
		{.fd = f->stop[0], .events = POLLIN}, {.fd = f->listener, .events = POLLIN}};
	nfds_t n = 2;
	while (poll(fds, n, -1) >= 0 && !fds[0].revents) {
		for (nfds_t i = n; i > 2; i--)
			if (fds[i - 1].revents)
				drop(f, fds, &n, i - 1);
		if (!fds[1].revents)
			continue;
		int fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
		check(fd >= 0 && n < 2 + OPEN_MAX, "accept");
		if (n - 2 + 1 > f->open_most)
			f->open_most = n - 2 + 1;
		if (answer(f, fd))
			fds[n++] = (struct pollfd){.fd = fd, .events = POLLIN};
		else
			(void)close(fd);
	}
	while (n > 2)
		drop(f, fds, &n, n - 1);
	return NULL;
}

struct fake_engine *fake_engine_create(const struct fake_answer *answers, size_t n)
{
	struct fake_engine *f = lm_xcalloc(1, sizeof(*f));
	f->answers = answers;
	f->n = n;
	check(n <= FAKE_ANSWERS_MAX, "too many answers");
	check(pthread_mutex_init(&f->lock, NULL) == 0, "pthread_mutex_init");
	strncpy(f->dir, "/tmp/fake_engine.XXXXXX", sizeof(f->dir) - 1);
	check(mkdtemp(f->dir) != NULL, "mkdtemp");
	(void)snprintf(f->path, sizeof(f->path), "%s/sock", f->dir);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	memcpy(address.sun_path, f->path, strlen(f->path) + 1);
	f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	check(bind(f->listener, (struct sockaddr *)&address, sizeof(address)) == 0, "bind");
	check(listen(f->listener, 16) == 0, "listen");
	check(pipe(f->stop) == 0, "pipe");
	check(pthread_create(&f->thread, NULL, serve, f) == 0, "pthread_create");
	return f;
}

void fake_engine_stop(struct fake_engine *f)
{
	if (f->stop[1] < 0)
		return;
	(void)close(f->stop[1]);
	f->stop[1] = -1;
	check(pthread_join(f->thread, NULL) == 0, "pthread_join");
}

void fake_engine_destroy(struct fake_engine *f)
{
	fake_engine_stop(f);
	(void)close(f->stop[0]);
	(void)close(f->listener);
	(void)unlink(f->path);
	(void)rmdir(f->dir);
	(void)pthread_mutex_destroy(&f->lock);
	free(f);
}
