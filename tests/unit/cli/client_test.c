// SPDX-License-Identifier: Apache-2.0
#include "cli/client.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "sys/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

/// A server for one client: reads the request (unless `deaf`), writes `pieces`, closes.
struct server {
	int listen_fd;
	bool deaf;
	const char *const *pieces; ///< NULL-ended.
	struct lm_buf request;
	pthread_t thread;
};

static struct lm_err err;
static struct server server;

static void wait_readable(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	while (poll(&poll_fd, 1, -1) < 1)
		continue;
}

static void *serve(void *ctx)
{
	struct server *s = ctx;
	lm_auto_close int fd = -1;
	struct lm_err why;
	char piece[4096];

	wait_readable(s->listen_fd);
	if (socket_unix_accept(s->listen_fd, &fd, &why) || fd < 0)
		abort();
	// Blocking is enough for one client.
	(void)fcntl(fd, F_SETFL, 0);
	while (!s->deaf && (s->request.len == 0 || s->request.data[s->request.len - 1] != '\n')) {
		ssize_t n = read(fd, piece, sizeof(piece));
		if (n <= 0)
			break;
		(void)lm_buf_add(&s->request, piece, (size_t)n);
	}
	for (size_t i = 0; s->pieces[i]; i++) {
		size_t n = strlen(s->pieces[i]);
		if (send(fd, s->pieces[i], n, MSG_NOSIGNAL) < 0)
			break;
	}
	return NULL;
}

static void start_server(const char *const *pieces, bool deaf)
{
	server = (struct server){.pieces = pieces, .deaf = deaf, .request = LM_BUF(16 << 20)};
	assert_int_equal(socket_unix_listen("s", 0600, (gid_t)-1, &server.listen_fd, &err), LM_OK);
	assert_int_equal(pthread_create(&server.thread, NULL, serve, &server), 0);
}

static void end_server(void)
{
	assert_int_equal(pthread_join(server.thread, NULL), 0);
	(void)close(server.listen_fd);
	lm_buf_finish(&server.request);
}

static int enter_folder(void **state)
{
	static char folder[64];

	(void)snprintf(folder, sizeof(folder), "/tmp/client_test.XXXXXX");
	*state = folder;
	return mkdtemp(folder) ? chdir(folder) : -1;
}

static int leave_folder(void **state)
{
	(void)unlink("s");
	(void)unlink("h");
	return chdir("/") || rmdir(*state) ? -1 : 0;
}

static struct client *open_client(void)
{
	lm_auto_json json_t *request = json_pack("{s:s}", "command", "status");
	struct client *client = NULL;

	assert_int_equal(client_open("s", request, &WAIT_FOREVER, &client, &err), LM_OK);
	return client;
}

static void assert_next(struct client *client, const char *expected)
{
	lm_auto_json json_t *line = NULL;
	lm_auto_buf struct lm_buf text = LM_BUF(4096);

	assert_int_equal(client_read(client, &WAIT_FOREVER, &line, &err), LM_OK);
	assert_true(json_write(line, &text));
	assert_string_equal(text.data, expected);
}

static void asks_in_one_line_and_reads_line_by_line(void **state)
{
	static const char *const pieces[] = {"{\"a\":1}\n{\"b\"", ":2}\n", "{\"exit\":0}\n", NULL};

	(void)state;
	start_server(pieces, false);
	lm_auto(client_close_p) struct client *client = open_client();
	assert_next(client, "{\"a\":1}");
	assert_next(client, "{\"b\":2}");
	assert_next(client, "{\"exit\":0}");
	assert_false(client_has_line(client));
	assert_string_equal(server.request.data, "{\"command\":\"status\"}\n");
	end_server();
}

static void knows_whether_a_line_is_here_already(void **state)
{
	static const char *const pieces[] = {"{\"a\":1}\n{\"b\":2}\n", NULL};

	(void)state;
	start_server(pieces, false);
	lm_auto(client_close_p) struct client *client = open_client();
	assert_false(client_has_line(client));
	assert_next(client, "{\"a\":1}");
	assert_true(client_has_line(client)); // both came in one piece
	end_server();
}

static void tells_an_answer_that_ended_early(void **state)
{
	static const char *const pieces[] = {"{\"a\":1}\n{\"exi", NULL};
	json_t *line = NULL;

	(void)state;
	start_server(pieces, false);
	lm_auto(client_close_p) struct client *client = open_client();
	assert_next(client, "{\"a\":1}");
	assert_int_equal(client_read(client, &WAIT_FOREVER, &line, &err), LM_E_NETWORK);
	assert_string_equal(err.msg, "lightermand closed the connection before its answer was "
				     "complete: it exited or was "
				     "restarted; see its log");
	assert_null(line);
	end_server();
}

static void tells_rubbish(void **state)
{
	static const char *const pieces[] = {
		"{\"a\":1}\n", "HTTP/1.0 400 Bad Request\n", "[7]\n", "{\"b\":\xff}\n", NULL};
	json_t *line = NULL;

	(void)state;
	start_server(pieces, false);
	lm_auto(client_close_p) struct client *client = open_client();
	assert_next(client, "{\"a\":1}");
	assert_int_equal(client_read(client, &WAIT_FOREVER, &line, &err), LM_E_PROTOCOL);
	assert_string_equal(err.msg,
		"the program at 's' is not lightermand, or is another version of it (line 2 of its "
		"answer: line 1, column 4: invalid token near 'HTTP'); name lightermand's socket "
		"with --socket");
	assert_int_equal(client_read(client, &WAIT_FOREVER, &line, &err), LM_E_PROTOCOL);
	assert_non_null(strstr(err.msg, "an array instead of an object"));
	assert_int_equal(client_read(client, &WAIT_FOREVER, &line, &err), LM_E_PROTOCOL);
	assert_non_null(strstr(err.msg, "it is not UTF-8 text"));
	end_server();
}

/// {"a":"xxx…"}, `n` bytes long. The caller frees.
static char *make_line(size_t n)
{
	char *line = lm_xcalloc(n + 1, 1);

	memset(line, 'x', n);
	memcpy(line, "{\"a\":\"", 6);
	memcpy(line + n - 2, "\"}", 2);
	return line;
}

static void a_line_has_a_ceiling(void **state)
{
	lm_auto_free char *fits = make_line(LIMIT_CONTROL_REPLY);
	lm_auto_free char *too_long = make_line(LIMIT_CONTROL_REPLY + 1);
	const char *pieces[] = {fits, "\n", too_long, "\n", NULL};
	lm_auto_json json_t *line = NULL;
	json_t *none = NULL;

	(void)state;
	start_server(pieces, false);
	lm_auto(client_close_p) struct client *client = open_client();
	assert_int_equal(client_read(client, &WAIT_FOREVER, &line, &err), LM_OK);
	assert_int_equal(json_string_length(json_object_get(line, "a")), LIMIT_CONTROL_REPLY - 8);
	assert_int_equal(client_read(client, &WAIT_FOREVER, &none, &err), LM_E_TOO_LARGE);
	assert_non_null(strstr(err.msg, "a line of more than 8388608 bytes"));
	client_close(lm_take(client));
	end_server();
}

static void hears_an_answer_to_a_request_that_was_not_read(void **state)
{
	static const char *const pieces[] = {"{\"exit\":1,\"message\":\"too many\"}\n", NULL};
	lm_auto_free char *text = make_line(LIMIT_GROUP_FILE); // more than a socket buffers
	lm_auto_json json_t *request = json_pack("{s:s}", "group", text);
	lm_auto(client_close_p) struct client *client = NULL;

	(void)state;
	start_server(pieces, true);
	assert_int_equal(client_open("s", request, &WAIT_FOREVER, &client, &err), LM_OK);
	assert_next(client, "{\"exit\":1,\"message\":\"too many\"}");
	end_server();
}

static void sends_the_largest_group_file(void **state)
{
	static const char *const pieces[] = {"{\"exit\":0}\n", NULL};
	lm_auto_free char *text = make_line(LIMIT_GROUP_FILE);

	(void)state;
	memset(text, '\n', LIMIT_GROUP_FILE); // what JSON makes longest
	lm_auto_json json_t *request = json_pack("{s:s}", "group", text);
	lm_auto(client_close_p) struct client *client = NULL;
	start_server(pieces, false);
	assert_int_equal(client_open("s", request, &WAIT_FOREVER, &client, &err), LM_OK);
	assert_next(client, "{\"exit\":0}");
	assert_int_equal(server.request.len, 2 * LIMIT_GROUP_FILE + strlen("{\"group\":\"\"}\n"));
	end_server();
}

static void stops_waiting_when_told(void **state)
{
	static const char *const pieces[] = {NULL};
	int cancel[2];
	json_t *line = NULL;

	(void)state;
	server = (struct server){.pieces = pieces};
	assert_int_equal(socket_unix_listen("s", 0600, (gid_t)-1, &server.listen_fd, &err), LM_OK);
	assert_int_equal(pipe(cancel), 0);
	lm_auto(client_close_p) struct client *client = open_client(); // nobody accepts it
	struct wait_limit limit = {.cancel_fd = cancel[0]};
	assert_int_equal(write(cancel[1], "", 1), 1);
	assert_int_equal(client_read(client, &limit, &line, &err), LM_E_CANCELLED);
	limit = (struct wait_limit){.cancel_fd = -1, .deadline_ms = lm_clock_mono_ms()};
	assert_int_equal(client_read(client, &limit, &line, &err), LM_E_TIMEOUT);
	(void)close(cancel[0]);
	(void)close(cancel[1]);
	(void)close(server.listen_fd);
}

static void stops_waiting_when_nobody_reads_the_output(void **state)
{
	static const char *const pieces[] = {NULL};
	int output[2];
	json_t *line = NULL;

	(void)state;
	server = (struct server){.pieces = pieces};
	assert_int_equal(socket_unix_listen("s", 0600, (gid_t)-1, &server.listen_fd, &err), LM_OK);
	assert_int_equal(pipe(output), 0);
	lm_auto(client_close_p) struct client *client = open_client(); // nobody accepts it
	client_watch_output(client, output[1]);
	struct wait_limit now = {.cancel_fd = -1, .deadline_ms = lm_clock_mono_ms()};
	assert_int_equal(client_read(client, &now, &line, &err), LM_E_TIMEOUT);
	(void)close(output[0]);
	assert_int_equal(client_read(client, &WAIT_FOREVER, &line, &err), LM_E_CANCELLED);
	assert_int_equal(err.sys, EPIPE);
	(void)close(output[1]);
	(void)close(server.listen_fd);
}

static void assert_unreachable(lm_rc rc, const char *sentence)
{
	lm_auto_json json_t *request = json_object();
	struct client *client = NULL;

	assert_int_equal(client_open("s", request, &WAIT_FOREVER, &client, &err), rc);
	assert_string_equal(err.msg, sentence);
	assert_null(client);
}

static void says_why_lightermand_cannot_be_reached(void **state)
{
	int fd = -1;

	(void)state;
	assert_unreachable(LM_E_NOT_FOUND,
		"there is no socket 's': lightermand is not running, or uses another "
		"runtimeDirectory; start it, or name its socket with --socket");
	assert_int_equal(socket_unix_listen("s", 0600, (gid_t)-1, &fd, &err), LM_OK);
	(void)close(fd);
	assert_unreachable(LM_E_NETWORK, "nothing is listening at 's': lightermand is no longer "
					 "running; see its log and start "
					 "it");
}

static void says_that_lightermand_is_busy(void **state)
{
	enum { CLIENTS_MAX = 1000 };
	lm_auto_close int fd = -1;
	int clients[CLIENTS_MAX], n = 0;

	(void)state;
	assert_int_equal(socket_unix_listen("s", 0600, (gid_t)-1, &fd, &err), LM_OK);
	while (n < CLIENTS_MAX && socket_unix_connect("s", &clients[n], &err) == LM_OK)
		n++;
	assert_unreachable(LM_E_SYS,
		"connect to 's': Resource temporarily unavailable: lightermand has too many "
		"clients; try again");
	while (n > 0)
		(void)close(clients[--n]);
}

static void says_who_may_use_the_socket(void **state)
{
	lm_auto_close int fd = -1;
	uid_t user = geteuid();

	(void)state;
	assert_int_equal(socket_unix_listen("s", 0000, (gid_t)-1, &fd, &err), LM_OK);
	assert_int_equal(chmod(".", 0755), 0);
	if (user == 0) // root may always
		assert_int_equal(seteuid(65534), 0);
	assert_unreachable(LM_E_DENIED,
		"connect to 's': Permission denied; run lighterman as root or as a member of "
		"lightermand's controlGroup");
	if (user == 0)
		assert_int_equal(seteuid(0), 0);
}

static void names_the_directory_that_lets_nobody_pass(void **state)
{
	lm_auto_json json_t *request = json_object();
	struct client *client = NULL;
	uid_t user = geteuid();

	(void)state;
	assert_int_equal(chmod(".", 0755), 0);
	assert_int_equal(mkdir("d", 0000), 0);
	if (user == 0) // root may always
		assert_int_equal(seteuid(65534), 0);
	assert_int_equal(client_open("d/e/s", request, &WAIT_FOREVER, &client, &err), LM_E_DENIED);
	if (user == 0)
		assert_int_equal(seteuid(0), 0);
	assert_string_equal(err.msg,
		"connect to 'd/e/s': Permission denied: your user cannot search the directory 'd'; "
		"run lighterman as root, or grant search permission");
	assert_int_equal(rmdir("d"), 0);
}

static void a_lightermand_that_hangs_can_be_left(void **state)
{
	lm_auto_close int listen_fd = -1;
	int cancel[2], exit_status = 0;
	lm_auto_json json_t *request = json_pack("{s:s}", "command", "status");
	json_t *last = NULL;

	(void)state;
	assert_int_equal(socket_unix_listen("s", 0600, (gid_t)-1, &listen_fd, &err), LM_OK);
	assert_int_equal(pipe(cancel), 0);
	assert_int_equal(write(cancel[1], "", 1), 1);
	struct wait_limit limit = {.cancel_fd = cancel[0]};
	assert_int_equal(
		client_ask("s", request, &limit, &last, &exit_status, &err), LM_E_CANCELLED);
	assert_int_equal(exit_status, EXIT_FAILED);
	assert_null(last);
	(void)close(cancel[0]);
	(void)close(cancel[1]);
}

static void nobody_there_is_told(void **state)
{
	int exit_status = 0;
	lm_auto_json json_t *request = json_pack("{s:s}", "command", "status");
	json_t *last = NULL;

	(void)state;
	assert_int_equal(
		client_ask("s", request, &WAIT_FOREVER, &last, &exit_status, &err), LM_E_NOT_FOUND);
	assert_int_equal(exit_status, EXIT_UNREACHABLE);
	assert_null(last);
}

static void assert_by_host_file(const char *text, const char *expected)
{
	FILE *file = fopen("h", "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	lm_auto_free char *path = client_socket_path_of("h");
	assert_string_equal(path, expected);
}

static void a_host_files_runtime_directory_counts(void **state)
{
	(void)state;
	assert_by_host_file("{\"runtimeDirectory\":\"/srv/run\",\"region\":\"eu-west-1\"}",
		"/srv/run/control.sock");
	assert_by_host_file("{\"runtimeDirectory\":\"/srv/run/\"}", "/srv/run/control.sock");
}

static void what_a_host_file_does_not_say_is_the_default(void **state)
{
	static const char by_default[] = "/run/lighterman/control.sock";

	(void)state;
	lm_auto_free char *missing = client_socket_path_of("h");
	assert_string_equal(missing, by_default);
	assert_by_host_file("{}", by_default);
	assert_by_host_file("{\"runtimeDirectory\":\"run\"}", by_default);
	assert_by_host_file("{\"runtimeDirectory\":", by_default);
	assert_by_host_file("", by_default);
}

static void what_the_call_names_comes_first(void **state)
{
	const struct call call = {.socket_path = "/s"};

	(void)state;
	lm_auto_free char *path = client_socket_path(&call);
	assert_string_equal(path, "/s");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter_folder, leave_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(asks_in_one_line_and_reads_line_by_line),
		TEST(knows_whether_a_line_is_here_already),
		TEST(tells_an_answer_that_ended_early),
		TEST(tells_rubbish),
		TEST(a_line_has_a_ceiling),
		TEST(hears_an_answer_to_a_request_that_was_not_read),
		TEST(sends_the_largest_group_file),
		TEST(stops_waiting_when_told),
		TEST(stops_waiting_when_nobody_reads_the_output),
		TEST(says_why_lightermand_cannot_be_reached),
		TEST(says_that_lightermand_is_busy),
		TEST(says_who_may_use_the_socket),
		TEST(names_the_directory_that_lets_nobody_pass),
		TEST(a_lightermand_that_hangs_can_be_left),
		TEST(nobody_there_is_told),
		TEST(a_host_files_runtime_directory_counts),
		TEST(what_a_host_file_does_not_say_is_the_default),
		TEST(what_the_call_names_comes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
