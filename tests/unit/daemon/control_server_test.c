// SPDX-License-Identifier: Apache-2.0
#include "daemon/control_server.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/memory.h"
#include "sys/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

enum { PATIENCE_MS = 30 * 1000 };

/// The other side: what it reads, in the same loop.
struct peer {
	int fd;
	struct loop_fd *watch;
	struct lm_buf got;
	bool ended;
};

struct fixture {
	char folder[64];
	struct loop *loop;
	struct loop_timer *limit;
	struct loop_timer *turn;
	bool turned; ///< Once; see stop_loop.
	struct control_server *control;
	struct peer peer;
	int requests;
	int gone;
	struct control_client *client; ///< Of the last request.
	char *command;                 ///< Its member.
	void (*answer)(struct fixture *f);
	struct fixture *gone_destroys;
};

static struct fixture f;
/// Time limits run out at once, and the last one that was set.
static bool hurry;
static uint64_t last_limit_ms;

void __real_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms);
void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms);

void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms)
{
	if (delay_ms >= 1000)
		last_limit_ms = delay_ms;
	__real_loop_timer_start(t, hurry && delay_ms >= 1000 ? 0 : delay_ms, repeat_ms);
}

/// Whose the clients are that connect.
static uid_t user;

enum { MEMBER = 12345 };

uid_t __wrap_socket_unix_peer_uid(int fd);

uid_t __wrap_socket_unix_peer_uid(int fd)
{
	assert_true(fd >= 0);
	return user;
}

static void too_long(void *ctx)
{
	(void)ctx;
	fail_msg("nothing happened within 30 s");
}

/// At the second call: the first may be before anything is read.
static void stop_loop(void *ctx)
{
	(void)ctx;
	if (f.turned)
		loop_stop(f.loop);
	else
		loop_timer_start(f.turn, 0, 0);
	f.turned = true;
}

static const struct control_groups NOBODY = {NULL, NULL};

static void on_request(void *ctx, struct control_client *client, const json_t *request)
{
	(void)ctx;
	f.requests++;
	f.client = client;
	free(f.command);
	f.command = lm_xstrdup(json_get_text(request, "command"));
	assert_null(control_client_data(client));
	control_client_set_data(client, &f);
	if (f.answer)
		f.answer(&f);
}

static void on_gone(void *ctx, struct control_client *client)
{
	(void)ctx;
	f.gone++;
	assert_ptr_equal(control_client_data(client), &f);
	if (f.gone_destroys)
		control_server_destroy(lm_take(f.control));
}

static int setup(void **state)
{
	static const struct control_handler handler = {.request = on_request, .gone = on_gone};

	hurry = false;
	user = MEMBER;
	f = (struct fixture){.peer = {.fd = -1, .got = LM_BUF(64 << 20)}};
	(void)snprintf(f.folder, sizeof(f.folder), "/tmp/control_test.XXXXXX");
	if (!mkdtemp(f.folder) || chdir(f.folder) != 0)
		return -1;
	if (loop_create(&f.loop, NULL) != LM_OK)
		return -1;
	f.limit = loop_timer_create(f.loop, too_long, NULL);
	f.turn = loop_timer_create(f.loop, stop_loop, NULL);
	loop_timer_start(f.limit, 30000, 0);
	*state = &f;
	const struct group *group = getgrgid(getegid());
	const struct control_groups groups = {.all = group ? group->gr_name : NULL};
	return control_server_create(f.loop, "s", &groups, &handler, &f.control, NULL);
}

static void close_peer(struct peer *p)
{
	loop_fd_destroy(lm_take(p->watch));
	lm_cleanup_close(&p->fd);
	p->fd = -1;
	lm_buf_finish(&p->got);
}

static int teardown(void **state)
{
	(void)state;
	close_peer(&f.peer);
	control_server_destroy(f.control);
	loop_timer_destroy(f.limit);
	loop_timer_destroy(f.turn);
	loop_destroy(f.loop);
	free(f.command);
	(void)unlink("s");
	return chdir("/") || rmdir(f.folder) ? -1 : 0;
}

/// Everything that is ready, and no waiting.
static void turn(void)
{
	for (int i = 0; i < 3; i++) {
		f.turned = false;
		loop_timer_start(f.turn, 0, 0);
		loop_run(f.loop);
	}
}

static void connect_peer(struct peer *p)
{
	assert_int_equal(socket_unix_connect("s", &p->fd, NULL), LM_OK);
}

static void say(const char *text)
{
	assert_int_equal(write(f.peer.fd, text, strlen(text)), strlen(text));
}

static void on_answer(void *ctx, short events)
{
	struct peer *p = ctx;
	char piece[16 << 10];
	(void)events;

	ssize_t n = read(p->fd, piece, sizeof(piece));
	if (n > 0) {
		assert_true(lm_buf_add(&p->got, piece, (size_t)n));
		return;
	}
	if (n < 0 && errno == EAGAIN)
		return;
	p->ended = true;
	loop_fd_set(p->watch, 0);
	loop_stop(f.loop);
}

/// Reads until the connection is closed.
static const char *answer_of(struct peer *p)
{
	assert_int_equal(loop_fd_create(f.loop, p->fd, on_answer, p, &p->watch, NULL), LM_OK);
	loop_fd_set(p->watch, POLLIN);
	loop_run(f.loop);
	assert_true(p->ended);
	return lm_buf_cstr(&p->got);
}

static json_t *number(const char *key, int n)
{
	return json_pack("{s:i}", key, n);
}

static void send_and_end(struct fixture *unused)
{
	(void)unused;
	control_client_send(f.client, number("generation", 7), false);
	control_client_send(f.client, number("progress", 1), true);
	control_client_finish(f.client, number("exit", 0));
}

static void a_request_gets_its_lines_and_then_the_last_one(void **state)
{
	(void)state;
	f.answer = send_and_end;
	connect_peer(&f.peer);
	say("{\"command\":\"status\"}\n");
	assert_string_equal(
		answer_of(&f.peer), "{\"generation\":7}\n{\"progress\":1}\n{\"exit\":0}\n");
	assert_string_equal(f.command, "status");
	assert_int_equal(f.requests, 1);
	assert_int_equal(f.gone, 0);
}

static void a_request_may_come_in_pieces_and_the_answer_later(void **state)
{
	(void)state;
	connect_peer(&f.peer);
	say("{\"comm");
	turn();
	say("and\":\"deploy\"}");
	turn();
	assert_int_equal(f.requests, 0);
	say("\n");
	turn();
	assert_int_equal(f.requests, 1);
	send_and_end(&f);
	assert_string_equal(
		answer_of(&f.peer), "{\"generation\":7}\n{\"progress\":1}\n{\"exit\":0}\n");
}

static void what_is_no_request_is_refused_in_a_sentence(void **state)
{
	(void)state;
	static const char *const requests[][2] = {
		{"GET / HTTP/1.1\n", "{\"exit\":1,\"message\":\"the request is not valid JSON: "},
		{"[]\n",
			"{\"exit\":1,\"message\":\"the request is not an object but an array\"}\n"},
		{"\n", "{\"exit\":1,\"message\":\"the request is not valid JSON: "},
		{"\"\xff\n", "{\"exit\":1,\"message\":\"the request is not valid JSON: it is not "
			     "UTF-8 text\"}\n"},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(requests); i++) {
		f.peer = (struct peer){.got = LM_BUF(1 << 20)};
		connect_peer(&f.peer);
		say(requests[i][0]);
		const char *got = answer_of(&f.peer);
		assert_memory_equal(got, requests[i][1], strlen(requests[i][1]));
		close_peer(&f.peer);
	}
	assert_int_equal(f.requests, 0);
	assert_int_equal(f.gone, 0);
}

/// As much as the socket takes, turn by turn, until it is all sent or refused.
static void send_bytes(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		if (sent < 0 && errno != EAGAIN)
			return;
		if (sent > 0) {
			p += sent;
			n -= (size_t)sent;
		}
		turn();
	}
}

static void a_request_too_long_is_refused(void **state)
{
	(void)state;
	size_t n = LIMIT_CONTROL_REQUEST + (1 << 20);
	lm_auto_free char *text = lm_xmalloc(n);

	memset(text, ' ', n);
	connect_peer(&f.peer);
	send_bytes(f.peer.fd, text, n);
	assert_string_equal(answer_of(&f.peer),
		"{\"exit\":1,\"message\":\"the request exceeds the limit of 8454144 bytes\"}\n");
	assert_int_equal(f.requests, 0);
}

static void the_largest_request_is_taken(void **state)
{
	(void)state;
	size_t n = LIMIT_CONTROL_REQUEST;
	lm_auto_free char *text = lm_xmalloc(n + 1);

	memset(text, ' ', n);
	memcpy(text, "{\"command\":\"deploy\"", 19);
	memcpy(text + n - 1, "}\n", 2);
	f.answer = send_and_end;
	connect_peer(&f.peer);
	send_bytes(f.peer.fd, text, n + 1);
	(void)answer_of(&f.peer);
	assert_string_equal(f.command, "deploy");
}

static void a_request_that_does_not_become_complete_is_refused(void **state)
{
	(void)state;
	hurry = true;
	connect_peer(&f.peer);
	say("{");
	assert_string_equal(answer_of(&f.peer),
		"{\"exit\":1,\"message\":\"the request was not complete after 30 s\"}\n");
	assert_int_equal(last_limit_ms, PATIENCE_MS);
}

static void closing_the_sending_side_is_not_leaving(void **state)
{
	(void)state;
	connect_peer(&f.peer);
	say("{\"command\":\"status\"}\n");
	assert_int_equal(shutdown(f.peer.fd, SHUT_WR), 0);
	turn();
	assert_int_equal(f.requests, 1);
	assert_int_equal(f.gone, 0);
	send_and_end(&f);
	assert_string_equal(
		answer_of(&f.peer), "{\"generation\":7}\n{\"progress\":1}\n{\"exit\":0}\n");
}

static void closing_the_sending_side_ends_the_line(void **state)
{
	(void)state;
	f.answer = send_and_end;
	connect_peer(&f.peer);
	say("{\"command\":\"stop\"}");
	assert_int_equal(shutdown(f.peer.fd, SHUT_WR), 0);
	(void)answer_of(&f.peer);
	assert_string_equal(f.command, "stop");
}

/// Connects `n` clients, one after the other, each with a request that is being answered.
static void connect_waiting(int *fds, int n, const char *request)
{
	for (int i = 0; i < n; i++) {
		assert_int_equal(socket_unix_connect("s", &fds[i], NULL), LM_OK);
		assert_int_equal(write(fds[i], request, strlen(request)), strlen(request));
		turn();
	}
	assert_int_equal(f.requests, n);
}

static void close_all(const int *fds, int n)
{
	for (int i = 0; i < n; i++)
		(void)close(fds[i]);
	turn();
}

static void a_half_closed_client_that_leaves_is_noticed(void **state)
{
	(void)state;
	int fds[LIMIT_CONTROL_CLIENTS];

	connect_waiting(fds, LIMIT_CONTROL_CLIENTS, "{\"command\":\"logs\"}\n");
	for (int i = 0; i < LIMIT_CONTROL_CLIENTS; i++)
		assert_int_equal(shutdown(fds[i], SHUT_WR), 0);
	turn();
	assert_int_equal(f.gone, 0);
	close_all(fds, LIMIT_CONTROL_CLIENTS);
	assert_int_equal(f.gone, LIMIT_CONTROL_CLIENTS);
}

static void a_client_that_sent_too_much_and_leaves_is_noticed(void **state)
{
	(void)state;
	int fds[LIMIT_CONTROL_CLIENTS];

	connect_waiting(fds, LIMIT_CONTROL_CLIENTS, "{\"command\":\"logs\"}\n");
	for (int i = 0; i < LIMIT_CONTROL_CLIENTS; i++)
		assert_int_equal(write(fds[i], "xy", 2), 2);
	turn();
	for (int i = 0; i < LIMIT_CONTROL_CLIENTS; i++)
		assert_int_equal(write(fds[i], "z", 1), 1);
	turn();
	assert_int_equal(f.gone, 0);
	close_all(fds, LIMIT_CONTROL_CLIENTS);
	assert_int_equal(f.gone, LIMIT_CONTROL_CLIENTS);
}

/// It has not read what it was sent: its going then is an error as well as a hang-up.
static void a_client_that_leaves_without_reading_is_noticed(void **state)
{
	(void)state;
	connect_peer(&f.peer);
	say("{\"command\":\"logs\"}\n");
	assert_int_equal(shutdown(f.peer.fd, SHUT_WR), 0);
	turn();
	control_client_send(f.client, number("generation", 7), false);
	close_peer(&f.peer);
	turn();
	assert_int_equal(f.gone, 1);
}

static void a_client_that_sends_too_much_is_still_answered(void **state)
{
	(void)state;
	connect_peer(&f.peer);
	say("{\"command\":\"a\"}\n");
	turn();
	say("{\"command\":\"b\"}\n");
	turn();
	assert_int_equal(f.requests, 1);
	send_and_end(&f);
	assert_memory_equal(answer_of(&f.peer), "{\"generation\":7}\n", 17);
	assert_non_null(strstr(lm_buf_cstr(&f.peer.got), "{\"exit\":0}\n"));
}

static void a_client_that_leaves_is_reported_once(void **state)
{
	(void)state;
	connect_peer(&f.peer);
	say("{\"command\":\"deploy\"}\n");
	turn();
	assert_int_equal(f.gone, 0);
	close_peer(&f.peer);
	turn();
	assert_int_equal(f.gone, 1);
	control_server_destroy(lm_take(f.control));
	assert_int_equal(f.gone, 1);
}

static void a_request_of_one_that_went_at_once_is_handed_over_first(void **state)
{
	(void)state;
	connect_peer(&f.peer);
	say("{\"command\":\"deploy\"}\n");
	close_peer(&f.peer);
	turn();
	assert_int_equal(f.requests, 1);
	turn();
	assert_int_equal(f.gone, 1);
}

static void a_client_without_a_request_leaves_unreported(void **state)
{
	(void)state;
	connect_peer(&f.peer);
	say("{\"comm");
	turn();
	close_peer(&f.peer);
	turn();
	assert_int_equal(f.gone, 0);
	assert_int_equal(f.requests, 0);
}

static json_t *padded(int n, size_t size)
{
	lm_auto_free char *text = lm_xmalloc(size + 1);

	memset(text, 'x', size);
	text[size] = '\0';
	return json_pack("{s:i, s:s}", "n", n, "pad", text);
}

static void a_slow_reader_loses_only_what_may_be_left_out(void **state)
{
	(void)state;
	enum { LINES = 5000 };

	connect_peer(&f.peer);
	say("{\"command\":\"deploy\"}\n");
	turn();
	for (int i = 0; i < LINES; i++)
		control_client_send(f.client, padded(i, 1000), i != LINES - 1);
	control_client_finish(f.client, number("exit", 0));
	const char *got = answer_of(&f.peer);
	int lines = 0;
	for (const char *p = got; (p = strchr(p, '\n')); p++)
		lines++;
	assert_in_range(lines, 66, LINES / 2);
	assert_non_null(strstr(got, "{\"n\":0,"));
	assert_non_null(strstr(got, "{\"n\":4999,"));
	assert_non_null(strstr(got, "{\"exit\":0}\n"));
	assert_int_equal(f.gone, 0);
}

static void a_client_that_does_not_read_required_lines_is_dropped(void **state)
{
	(void)state;
	connect_peer(&f.peer);
	say("{\"command\":\"deploy\"}\n");
	turn();
	for (int i = 0; i < 4000; i++)
		control_client_send(f.client, padded(i, 1000), false);
	assert_int_equal(f.gone, 0); // not within the call
	turn();
	assert_int_equal(f.gone, 1);
}

static void a_dropped_client_may_still_be_finished(void **state)
{
	(void)state;
	connect_peer(&f.peer);
	say("{\"command\":\"deploy\"}\n");
	turn();
	for (int i = 0; i < 4000; i++)
		control_client_send(f.client, padded(i, 1000), false);
	control_client_finish(f.client, number("exit", 0));
	turn();
	assert_int_equal(f.gone, 0);
}

static void a_line_over_the_ceiling_is_dropped_or_drops_the_client(void **state)
{
	(void)state;
	connect_peer(&f.peer);
	say("{\"command\":\"deploy\"}\n");
	turn();
	control_client_send(f.client, padded(1, LIMIT_CONTROL_WAITING), true);
	turn();
	assert_int_equal(f.gone, 0);
	control_client_send(f.client, padded(1, LIMIT_CONTROL_WAITING), false);
	turn();
	assert_int_equal(f.gone, 1);
}

static void the_last_line_may_be_large(void **state)
{
	(void)state;
	f.peer.got = LM_BUF(2 * LIMIT_CONTROL_REPLY);
	connect_peer(&f.peer);
	say("{\"command\":\"device\"}\n");
	turn();
	control_client_finish(f.client, padded(1, LIMIT_CONTROL_REPLY - 100));
	assert_true(strlen(answer_of(&f.peer)) > LIMIT_CONTROL_REPLY - 100);
	assert_int_equal(f.gone, 0);
}

static void a_finished_client_that_does_not_read_is_closed(void **state)
{
	(void)state;
	connect_peer(&f.peer);
	say("{\"command\":\"deploy\"}\n");
	turn();
	for (int i = 0; i < 500; i++)
		control_client_send(f.client, padded(i, 1000), false);
	hurry = true;
	last_limit_ms = 0;
	control_client_finish(f.client, number("exit", 0));
	assert_int_equal(last_limit_ms, PATIENCE_MS);
	turn();
	assert_null(strstr(answer_of(&f.peer), "exit"));
	assert_int_equal(f.gone, 0);
}

/// Connects and asks `status`, which is answered at once or refused.
static const char *ask_status(void)
{
	close_peer(&f.peer);
	f.peer = (struct peer){.got = LM_BUF(1 << 20)};
	f.answer = send_and_end;
	connect_peer(&f.peer);
	(void)send(f.peer.fd, "{\"command\":\"status\"}\n", 21, MSG_NOSIGNAL);
	return answer_of(&f.peer);
}

static void assert_served(void)
{
	assert_non_null(strstr(ask_status(), "{\"exit\":0}"));
}

static void one_client_too_many_is_rejected(void **state)
{
	(void)state;
	int fds[LIMIT_CONTROL_CLIENTS];

	connect_waiting(fds, LIMIT_CONTROL_CLIENTS, "{\"command\":\"logs\"}\n");
	assert_string_equal(ask_status(),
		"{\"exit\":1,\"message\":\"too many clients: 16 are being served, try again "
		"later\"}\n");
	(void)close(fds[0]);
	turn();
	assert_served();
	close_all(fds + 1, LIMIT_CONTROL_CLIENTS - 1);
}

static void places_are_kept_for_root_and_our_own_user(void **state)
{
	(void)state;
	int fds[LIMIT_CONTROL_CLIENTS], more[LIMIT_CONTROL_RESERVED];

	connect_waiting(fds, LIMIT_CONTROL_CLIENTS, "{\"command\":\"logs\"}\n");
	user = 0;
	assert_served();
	f.answer = NULL;
	f.requests = 0;
	connect_waiting(more, LIMIT_CONTROL_RESERVED - 1, "{\"command\":\"logs\"}\n");
	user = geteuid();
	assert_served();
	user = MEMBER;
	assert_non_null(strstr(ask_status(), "too many clients: 19 are being served"));
	user = 0;
	f.answer = NULL;
	f.requests = 0;
	connect_waiting(more + LIMIT_CONTROL_RESERVED - 1, 1, "{\"command\":\"logs\"}\n");
	assert_non_null(strstr(ask_status(), "too many clients: 20 are being served"));
	close_all(fds, LIMIT_CONTROL_CLIENTS);
	close_all(more, LIMIT_CONTROL_RESERVED);
}

static void expect_line(int fd, const char *line)
{
	char got[512] = "";

	assert_true(read(fd, got, sizeof(got) - 1) > 0);
	assert_string_equal(got, line);
}

static void expect_nothing(int fd)
{
	char got;

	assert_int_equal(read(fd, &got, 1), -1);
	assert_int_equal(errno, EAGAIN);
}

static void clients_without_a_request_make_room_the_oldest_first(void **state)
{
	(void)state;
	int fds[LIMIT_CONTROL_CLIENTS];
	char got;

	user = 0;
	assert_int_equal(socket_unix_connect("s", &fds[0], NULL), LM_OK);
	turn();
	user = MEMBER;
	for (int i = 1; i < LIMIT_CONTROL_CLIENTS; i++) {
		assert_int_equal(socket_unix_connect("s", &fds[i], NULL), LM_OK);
		turn();
	}
	assert_served();
	expect_line(fds[1],
		"{\"exit\":1,\"message\":\"the request was not complete when another client "
		"needed its place: try again\"}\n");
	assert_int_equal(read(fds[1], &got, 1), 0);
	expect_nothing(fds[0]); // root's does not make room for others
	close_all(fds, LIMIT_CONTROL_CLIENTS);
}

static void requests_that_are_not_complete_share_their_memory(void **state)
{
	(void)state;
	enum { N = 4, SIZE = 5 << 20 };
	lm_auto_free char *text = lm_xmalloc(SIZE);
	int fds[N], small;

	memset(text, ' ', SIZE);
	assert_int_equal(socket_unix_connect("s", &small, NULL), LM_OK);
	send_bytes(small, text, 1000);
	user = 0;
	for (int i = 0; i < N; i++) {
		assert_int_equal(socket_unix_connect("s", &fds[i], NULL), LM_OK);
		send_bytes(fds[i], text, SIZE);
		user = MEMBER;
	}
	expect_line(fds[1],
		"{\"exit\":1,\"message\":\"the request was not complete when requests of other "
		"clients needed its memory: try again\"}\n");
	expect_nothing(small);
	expect_nothing(fds[0]); // root's
	expect_nothing(fds[N - 1]);
	assert_served();
	close_all(fds, N);
	(void)close(small);
}

static void destroy_server(struct fixture *unused)
{
	(void)unused;
	control_client_send(f.client, number("generation", 7), false);
	control_server_destroy(lm_take(f.control));
}

static void the_server_may_be_destroyed_within_a_request(void **state)
{
	(void)state;
	f.answer = destroy_server;
	connect_peer(&f.peer);
	say("{\"command\":\"status\"}\n");
	assert_string_equal(answer_of(&f.peer), "{\"generation\":7}\n");
	assert_int_equal(f.gone, 1);
	assert_int_equal(access("s", F_OK), -1);
}

/// Whatever the handler keeps of a client (one that follows the log) must not outlive it.
static void clients_are_gone_when_the_server_is_destroyed(void **state)
{
	(void)state;
	connect_peer(&f.peer);
	say("{\"command\":\"logs\"}\n");
	turn();
	assert_int_equal(f.requests, 1);
	control_server_destroy(lm_take(f.control));
	assert_int_equal(f.gone, 1);
}

static void the_server_may_be_destroyed_when_a_client_leaves(void **state)
{
	(void)state;
	f.gone_destroys = &f;
	connect_peer(&f.peer);
	say("{\"command\":\"status\"}\n");
	turn();
	close_peer(&f.peer);
	turn();
	assert_int_equal(f.gone, 1);
	assert_null(f.control);
}

static void a_socket_of_another_program_stays(void **state)
{
	(void)state;
	lm_auto_close int other = -1;

	assert_int_equal(unlink("s"), 0);
	assert_int_equal(socket_unix_listen("s", 0600, (gid_t)-1, &other, NULL), LM_OK);
	control_server_destroy(lm_take(f.control));
	assert_int_equal(access("s", F_OK), 0);
}

static void two_servers_cannot_share_a_socket(void **state)
{
	(void)state;
	static const struct control_handler handler = {.request = on_request, .gone = on_gone};
	struct control_server *second = NULL;
	struct lm_err err;

	assert_int_equal(control_server_create(f.loop, "s", &NOBODY, &handler, &second, &err),
		LM_E_CONFLICT);
	assert_string_equal(
		err.msg, "control socket: another program answers at 's': stop it first");
	assert_null(second);
}

static void the_socket_is_roots_and_one_groups(void **state)
{
	(void)state;
	static const struct control_handler handler = {.request = on_request, .gone = on_gone};
	const struct group *group = getgrgid(getegid());
	struct control_server *second = NULL;
	struct stat st;
	struct lm_err err;

	assert_int_equal(
		control_server_create(f.loop, "t", &NOBODY, &handler, &second, &err), LM_OK);
	assert_int_equal(stat("t", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	control_server_destroy(second);
	const struct control_groups absent[] = {
		{.all = "no-such-group"}, {.read = "no-such-group"}};
	for (size_t i = 0; i < LM_ARRAY_SIZE(absent); i++)
		assert_int_equal(
			control_server_create(f.loop, "t", &absent[i], &handler, &second, &err),
			LM_E_NOT_FOUND);
	assert_string_equal(err.msg, "control socket 't': there is no group 'no-such-group': "
				     "create it (groupadd no-such-group)");
	assert_int_equal(access("t", F_OK), -1);
	if (!group)
		skip();
	const struct {
		struct control_groups groups;
		mode_t mode;
	} modes[] = {{{.all = group->gr_name}, 0660}, {{.read = group->gr_name}, 0660},
		{{group->gr_name, group->gr_name}, 0666}};
	for (size_t i = 0; i < LM_ARRAY_SIZE(modes); i++) {
		assert_int_equal(control_server_create(
					 f.loop, "t", &modes[i].groups, &handler, &second, &err),
			LM_OK);
		assert_int_equal(stat("t", &st), 0);
		assert_int_equal(st.st_mode & 07777, modes[i].mode);
		assert_int_equal(st.st_gid, getegid());
		control_server_destroy(second);
		assert_int_equal(access("t", F_OK), -1);
	}
}

/// As where the mode of the socket file lets in more than the groups say.
static void a_user_in_no_group_gets_an_error(void **state)
{
	(void)state;
	static const struct control_handler handler = {.request = on_request, .gone = on_gone};

	control_server_destroy(f.control);
	assert_int_equal(
		control_server_create(f.loop, "s", &NOBODY, &handler, &f.control, NULL), LM_OK);
	connect_peer(&f.peer);
	assert_non_null(strstr(answer_of(&f.peer), "{\"exit\":3,\"message\":\"you may not use"));
	assert_int_equal(f.requests, 0);
}

static void may_only_ask(struct fixture *unused)
{
	(void)unused;
	assert_false(control_client_may_act(f.client));
	control_client_finish(f.client, control_last_line(0, NULL));
}

static void a_user_in_the_reading_group_may_only_read(void **state)
{
	(void)state;
	static const struct control_handler handler = {.request = on_request, .gone = on_gone};
	const struct group *group = getgrgid(getegid());
	const struct control_groups groups = {.read = group ? group->gr_name : NULL};

	if (!group)
		skip();
	control_server_destroy(f.control);
	assert_int_equal(
		control_server_create(f.loop, "s", &groups, &handler, &f.control, NULL), LM_OK);
	f.answer = may_only_ask;
	connect_peer(&f.peer);
	say("{\"command\":\"status\"}\n");
	assert_string_equal(answer_of(&f.peer), "{\"exit\":0,\"message\":null}\n");
	assert_int_equal(f.requests, 1);
}

static void takes_null(void **state)
{
	(void)state;
	control_server_destroy(NULL);
}

#define CONTROL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void a_line_is_complete_with_its_end(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf in = LM_BUF(100);
	bool complete = true;

	assert_int_equal(control_request_add(&in, LM_STR("{\"a\":"), &complete, NULL), LM_OK);
	assert_false(complete);
	assert_int_equal(control_request_add(&in, LM_STR("1}\nmore\n"), &complete, NULL), LM_OK);
	assert_true(complete);
	assert_string_equal(lm_buf_cstr(&in), "{\"a\":1}");
}

static void a_line_may_reach_the_ceiling_and_not_pass_it(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf in = LM_BUF(4);
	bool complete = false;
	struct lm_err err;

	assert_int_equal(control_request_add(&in, LM_STR("1234\n"), &complete, &err), LM_OK);
	assert_true(complete);
	lm_buf_clear(&in);
	assert_int_equal(control_request_add(&in, LM_STR("123"), &complete, &err), LM_OK);
	assert_int_equal(control_request_add(&in, LM_STR("45\n"), &complete, &err), LM_E_TOO_LARGE);
	assert_string_equal(err.msg, "the request exceeds the limit of 4 bytes");
}

static void only_an_object_is_a_request(void **state)
{
	(void)state;
	lm_auto_json json_t *request = NULL;
	struct lm_err err;

	assert_int_equal(control_request_parse(LM_STR("[1]"), &request, &err), LM_E_INVALID);
	assert_string_equal(err.msg, "the request is not an object but an array");
	assert_int_equal(control_request_parse(LM_STR("hello"), &request, &err), LM_E_INVALID);
	assert_memory_equal(err.msg, "the request is not valid JSON: line 1, column ", 46);
	assert_int_equal(control_request_parse(LM_STR(""), &request, &err), LM_E_INVALID);
	assert_null(request);
	assert_int_equal(control_request_parse(LM_STR("{\"a\":1}\r"), &request, &err), LM_OK);
	assert_int_equal(json_get_int(request, "a", 0), 1);
}

static lm_rc parse_with(size_t values, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(1 << 20);
	lm_auto_json json_t *request = NULL;

	(void)lm_buf_puts(&text, "{\"x\":[1"); // which json_count takes for 4
	for (size_t i = 4; i < values; i++)
		(void)lm_buf_puts(&text, ",1");
	(void)lm_buf_puts(&text, "]}");
	return control_request_parse(lm_buf_str(&text), &request, err);
}

static void a_request_of_many_values_is_refused_unparsed(void **state)
{
	(void)state;
	lm_auto_json json_t *request = NULL;
	struct lm_err err;

	assert_int_equal(parse_with(LIMIT_CONTROL_VALUES, &err), LM_OK);
	assert_int_equal(parse_with(LIMIT_CONTROL_VALUES + 1, &err), LM_E_INVALID);
	assert_string_equal(err.msg, "the request exceeds the limit of 64 values and keys");
	// What a text says is none of its values.
	assert_int_equal(
		control_request_parse(LM_STR("{\"group\":\"[,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,"
					     ",,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,]\"}"),
			&request, &err),
		LM_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONTROL_TEST(a_request_gets_its_lines_and_then_the_last_one),
		CONTROL_TEST(a_request_may_come_in_pieces_and_the_answer_later),
		CONTROL_TEST(what_is_no_request_is_refused_in_a_sentence),
		CONTROL_TEST(a_request_too_long_is_refused),
		CONTROL_TEST(the_largest_request_is_taken),
		CONTROL_TEST(a_request_that_does_not_become_complete_is_refused),
		CONTROL_TEST(closing_the_sending_side_is_not_leaving),
		CONTROL_TEST(closing_the_sending_side_ends_the_line),
		CONTROL_TEST(a_half_closed_client_that_leaves_is_noticed),
		CONTROL_TEST(a_client_that_sent_too_much_and_leaves_is_noticed),
		CONTROL_TEST(a_client_that_leaves_without_reading_is_noticed),
		CONTROL_TEST(a_client_that_sends_too_much_is_still_answered),
		CONTROL_TEST(a_client_that_leaves_is_reported_once),
		CONTROL_TEST(a_request_of_one_that_went_at_once_is_handed_over_first),
		CONTROL_TEST(a_client_without_a_request_leaves_unreported),
		CONTROL_TEST(a_slow_reader_loses_only_what_may_be_left_out),
		CONTROL_TEST(a_client_that_does_not_read_required_lines_is_dropped),
		CONTROL_TEST(a_dropped_client_may_still_be_finished),
		CONTROL_TEST(a_line_over_the_ceiling_is_dropped_or_drops_the_client),
		CONTROL_TEST(the_last_line_may_be_large),
		CONTROL_TEST(a_finished_client_that_does_not_read_is_closed),
		CONTROL_TEST(one_client_too_many_is_rejected),
		CONTROL_TEST(places_are_kept_for_root_and_our_own_user),
		CONTROL_TEST(clients_without_a_request_make_room_the_oldest_first),
		CONTROL_TEST(requests_that_are_not_complete_share_their_memory),
		CONTROL_TEST(the_server_may_be_destroyed_within_a_request),
		CONTROL_TEST(clients_are_gone_when_the_server_is_destroyed),
		CONTROL_TEST(the_server_may_be_destroyed_when_a_client_leaves),
		CONTROL_TEST(a_socket_of_another_program_stays),
		CONTROL_TEST(two_servers_cannot_share_a_socket),
		CONTROL_TEST(the_socket_is_roots_and_one_groups),
		CONTROL_TEST(a_user_in_no_group_gets_an_error),
		CONTROL_TEST(a_user_in_the_reading_group_may_only_read),
		cmocka_unit_test(takes_null),
		cmocka_unit_test(a_line_is_complete_with_its_end),
		cmocka_unit_test(a_line_may_reach_the_ceiling_and_not_pass_it),
		cmocka_unit_test(only_an_object_is_a_request),
		cmocka_unit_test(a_request_of_many_values_is_refused_unparsed),
	};

	return cmocka_run_group_tests_name("daemon/control_server", tests, NULL, NULL);
}
