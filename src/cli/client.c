// SPDX-License-Identifier: Apache-2.0
#include "cli/client.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "cli/output.h"
#include "config/host_file.h"
#include "sys/socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum {
	READ_PIECE = 16 * 1024,
	ANSWER_S = 30, ///< lightermand gives the Docker daemon 10 s.
};

struct client {
	int fd;
	char *socket_path;
	int output_fd; ///< -1: not watched.
	struct lm_buf in;
	unsigned long long lines; ///< Read so far.
};

/// The directory on the way to a path that one may not pass; NULL: there is none. The caller frees.
static char *closed_directory(const char *path)
{
	lm_auto_free char *part = lm_xstrdup(path);
	bool is_closed = false;
	struct stat st;

	while (stat(part, &st) < 0 && errno == EACCES) {
		char *slash = strrchr(part, '/');

		is_closed = true;
		if (!slash || slash == part) // above is only the root, or where we are
			return lm_xstrdup(slash ? "/" : ".");
		*slash = '\0';
	}
	return is_closed ? lm_take(part) : NULL;
}

static lm_rc fail_denied(const char *path, struct lm_err *err)
{
	lm_auto_free char *directory = closed_directory(path);

	if (directory)
		return lm_fail(err, err->rc, err->sys,
			"%s: your user cannot search the directory '%s'; run lighterman as root, "
			"or grant search permission",
			err->msg, directory);
	return lm_fail(err, err->rc, err->sys,
		"%s; run lighterman as root or as a member of lightermand's controlGroup",
		err->msg);
}

static lm_rc client_fail_connect(const char *path, struct lm_err *err)
{
	switch (err->rc) {
	case LM_E_NOT_FOUND:
		return lm_fail(err, err->rc, err->sys,
			"%s: lightermand is not running, or uses another runtimeDirectory; start "
			"it, or name its socket with --socket",
			err->msg);
	case LM_E_DENIED:
		return fail_denied(path, err);
	case LM_E_NETWORK:
		return lm_fail(err, err->rc, err->sys,
			"%s: lightermand is no longer running; see its log and start it", err->msg);
	default:
		if (err->sys == EAGAIN)
			return lm_fail(err, err->rc, err->sys,
				"%s: lightermand has too many clients; try again", err->msg);
		return err->rc;
	}
}

static lm_rc fail_ended(struct lm_err *err)
{
	return lm_fail(err, LM_E_NETWORK, 0,
		"lightermand closed the connection before its answer was complete: it exited or "
		"was restarted; see its log");
}

/// Waits until more can be written. `*ret_answered`: there is something to read first.
static lm_rc wait_to_send(
	int fd, const struct wait_limit *limit, bool *ret_answered, struct lm_err *err)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN | POLLOUT};
	lm_rc rc = wait_for(&poll_fd, 1, limit, err);

	if (rc)
		return rc;
	*ret_answered = !(poll_fd.revents & POLLOUT) || (poll_fd.revents & POLLIN);
	return LM_OK;
}

/// Sends all of it, or what the other side takes: why it takes no more is in its answer, if there
/// is one, so that is for client_read to find out.
static lm_rc send_all(
	int fd, struct lm_str bytes, const struct wait_limit *limit, struct lm_err *err)
{
	while (bytes.n > 0) {
		bool answered = false;
		lm_rc rc = wait_to_send(fd, limit, &answered, err);

		if (rc || answered)
			return rc;
		ssize_t n = send(fd, bytes.p, bytes.n, MSG_NOSIGNAL);
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return LM_OK;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return lm_fail(err, LM_E_SYS, errno, "cannot send the request: %m");
		if (n > 0) {
			bytes.p += n;
			bytes.n -= (size_t)n;
		}
	}
	return LM_OK;
}

lm_rc client_open(const char *socket_path, const json_t *request, const struct wait_limit *limit,
	struct client **ret, struct lm_err *err)
{
	lm_auto_close int fd = -1;
	lm_auto_buf struct lm_buf line = LM_BUF(LIMIT_CONTROL_REQUEST);

	if (socket_unix_connect(socket_path, &fd, err))
		return client_fail_connect(socket_path, err);
	if (!json_write(request, &line) || !lm_buf_putc(&line, '\n'))
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the request is larger than lightermand's limit of %d bytes",
			LIMIT_CONTROL_REQUEST);
	lm_rc rc = send_all(fd, lm_buf_str(&line), limit, err);
	if (rc)
		return rc;
	struct client *c = lm_xcalloc(1, sizeof(*c));
	*c = (struct client){.fd = lm_take_fd(fd),
		.socket_path = lm_xstrdup(socket_path),
		.output_fd = -1,
		.in = LM_BUF(LIMIT_CONTROL_REPLY + READ_PIECE)};
	*ret = c;
	return LM_OK;
}

void client_close(struct client *c)
{
	if (!c)
		return;
	(void)close(c->fd);
	free(c->socket_path);
	lm_buf_finish(&c->in);
	free(c);
}

void client_watch_output(struct client *c, int fd)
{
	c->output_fd = fd;
}

bool client_has_line(const struct client *c)
{
	struct lm_str in = lm_buf_str(&c->in);

	return lm_str_find(in, '\n') < in.n;
}

/// Takes the first `n` bytes, and the line end behind them.
static lm_rc client_take_line(struct client *c, size_t n, json_t **ret, struct lm_err *err)
{
	json_t *line = NULL;
	struct lm_err why = {0};

	c->lines++;
	lm_rc rc = json_parse((struct lm_str){c->in.data, n}, &line, &why);
	lm_buf_consume(&c->in, n + 1);
	if (!rc && !json_is_object(line)) {
		rc = lm_fail(
			&why, LM_E_PROTOCOL, 0, "%s instead of an object", json_type_name(line));
		json_decref(line);
	}
	if (rc)
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the program at '%s' is not lightermand, or is another version of it (line "
			"%llu of its answer: %s); name lightermand's socket with --socket",
			c->socket_path, c->lines, why.msg);
	*ret = line;
	return LM_OK;
}

/// Reads what is there, waiting for it.
static lm_rc client_read_more(struct client *c, const struct wait_limit *limit, struct lm_err *err)
{
	// Without events to wait for, poll reports errors: that the other end of a pipe is closed.
	struct pollfd fds[] = {{.fd = c->fd, .events = POLLIN}, {.fd = c->output_fd}};
	char piece[READ_PIECE];
	lm_rc rc = wait_for(fds, LM_ARRAY_SIZE(fds), limit, err);

	if (rc)
		return rc;
	if (fds[1].revents)
		return lm_fail(err, LM_E_CANCELLED, EPIPE, "the reader closed the output");
	ssize_t n = read(c->fd, piece, sizeof(piece));
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return fail_ended(err);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR
			       ? LM_OK
			       : lm_fail(err, LM_E_SYS, errno,
					 "cannot read lightermand's answer: %m");
	(void)lm_buf_add(&c->in, piece, (size_t)n); // fits: client_read keeps `in` below its limit
	return LM_OK;
}

lm_rc client_read(
	struct client *c, const struct wait_limit *limit, json_t **ret, struct lm_err *err)
{
	size_t searched = 0;

	for (;;) {
		struct lm_str in = lm_buf_str(&c->in);
		struct lm_str fresh = {in.p + searched, in.n - searched};
		size_t end = searched + lm_str_find(fresh, '\n');

		if (end > LIMIT_CONTROL_REPLY)
			return lm_fail(err, LM_E_TOO_LARGE, 0,
				"the program at '%s' sent a line of more than %d bytes, so it is "
				"not lightermand; name lightermand's socket with --socket",
				c->socket_path, LIMIT_CONTROL_REPLY);
		if (end < in.n)
			return client_take_line(c, end, ret, err);
		searched = in.n;
		lm_rc rc = client_read_more(c, limit, err);
		if (rc)
			return rc;
	}
}

char *client_socket_path_of(const char *host_file)
{
	lm_auto_host struct host_settings host = {0};
	lm_auto_json json_t *document = NULL;
	struct lm_err ignored; // the attempt to connect reports it

	if (host_read(host_file, &document, &ignored) || host_from_json(document, &host, &ignored))
		return lm_xstrdup(SOCKET_PATH_DEFAULT);
	return lm_path_join(host.runtime_directory, "control.sock");
}

char *client_socket_path(const struct call *call)
{
	if (call->socket_path)
		return lm_xstrdup(call->socket_path);
	return client_socket_path_of(HOST_FILE_DEFAULT);
}

lm_rc client_ask(const char *socket_path, const json_t *request, const struct wait_limit *limit,
	json_t **ret_last, int *ret_exit, struct lm_err *err)
{
	lm_auto(client_close_p) struct client *client = NULL;
	struct wait_limit within = wait_limit_within(limit, ANSWER_S * 1000);

	*ret_exit = EXIT_UNREACHABLE;
	lm_rc rc = client_open(socket_path, request, &within, &client, err);
	if (!rc || rc == LM_E_CANCELLED)
		*ret_exit = EXIT_FAILED;
	while (!rc) {
		lm_auto_json json_t *line = NULL;

		rc = client_read(client, &within, &line, err);
		if (!rc && json_object_get(line, "exit")) {
			*ret_last = lm_take(line);
			return LM_OK;
		}
	}
	if (rc == LM_E_TIMEOUT) {
		*ret_exit = EXIT_UNREACHABLE;
		return lm_fail(err, rc, 0,
			"lightermand did not answer for %d s; see its log, and restart it if it "
			"hangs",
			ANSWER_S);
	}
	return rc;
}

int client_request(const struct call *call, const json_t *request, const char *name, json_type type,
	json_t **ret)
{
	lm_auto_free char *path = client_socket_path(call);
	lm_auto_json json_t *last = NULL;
	struct lm_err why = {0};
	int status;

	if (client_ask(path, request, &WAIT_FOREVER, &last, &status, &why))
		return output_fail(call, status, why.msg);
	json_t *member = json_object_get(last, name);
	const char *message = json_get_text(last, "message");
	int64_t reported = json_get_int(last, "exit", EXIT_FAILED);
	if (!member || json_typeof(member) != type) {
		if (!message)
			(void)lm_fail(
				&why, LM_E_PROTOCOL, 0, "lightermand's answer has no %s", name);
		return output_fail(call, reported == EXIT_INVALID ? EXIT_INVALID : EXIT_FAILED,
			message ? message : why.msg);
	}
	*ret = json_incref(member);
	return EXIT_DONE;
}

int client_query(const struct call *call, const char *name, json_type type, json_t **ret)
{
	lm_auto_json json_t *request = json_pack("{s:s}", "command", name);

	return client_request(call, request, name, type, ret);
}
