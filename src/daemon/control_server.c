// SPDX-License-Identifier: Apache-2.0
#include "daemon/control_server.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "sys/socket.h"

#include <errno.h>
#include <grp.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define NO_GROUP ((gid_t)-1)

enum {
	REQUEST_MS = 30 * 1000,
	UNREAD_MS = 30 * 1000, ///< For a client to read its last lines.
	DROP_ABOVE = 64 << 10, ///< So many bytes wait: droppable lines are left out.
	READ_PIECE = 16 << 10,
	SMALL = 64 << 10,           ///< A request that needs no more never has to give way.
	GIVE_BACK_ABOVE = 64 << 10, ///< After such a request the heap's free pages are returned.
	EXIT_UNREACHABLE = 3,       ///< As where the socket file refuses.
	ACCEPT_PAUSE_MS = 1000,
	GROUP_MAX = 1 << 20, ///< One entry of the group database, with all its members.
};

enum control_access { CONTROL_NOTHING, CONTROL_READ, CONTROL_ALL };

struct control_server {
	struct loop *loop;
	char *path;
	int fd;
	dev_t dev; ///< Of the socket file, which another program may have replaced at exit.
	ino_t ino;
	struct loop_fd *watch;
	struct loop_timer *retry; ///< Accepting is paused until it fires.
	bool warned;
	gid_t all_gid, read_gid; ///< (gid_t)-1: no group.
	struct control_handler handler;
	struct control_client *clients; ///< The newest first.
	size_t n;
};

lm_rc control_request_add(
	struct lm_buf *in, struct lm_str piece, bool *ret_complete, struct lm_err *err)
{
	struct lm_str line = {piece.p, lm_str_find(piece, '\n')};

	if (!lm_buf_add_str(in, line))
		return lm_fail(err, LM_E_TOO_LARGE, 0, "the request exceeds the limit of %zu bytes",
			in->max);
	*ret_complete = line.n < piece.n;
	return LM_OK;
}

lm_rc control_request_parse(struct lm_str line, json_t **ret, struct lm_err *err)
{
	lm_auto_json json_t *request = NULL;

	if (json_count(line) > LIMIT_CONTROL_VALUES)
		return lm_fail(err, LM_E_INVALID, 0,
			"the request exceeds the limit of %d values and keys",
			LIMIT_CONTROL_VALUES);
	if (json_parse(line, &request, err) != LM_OK)
		return lm_wrap(err, "the request is not valid JSON");
	if (!json_is_object(request))
		return lm_fail(err, LM_E_INVALID, 0, "the request is not an object but %s",
			json_type_name(request));
	*ret = lm_take(request);
	return LM_OK;
}

json_t *control_last_line(int status, const char *message)
{
	// What a parser quotes of its input may end within a character.
	char text[4 * LM_ERR_MSG_SIZE + 32];

	if (message)
		message = lm_str_shorten(lm_str(message), LM_ERR_MSG_SIZE, text, sizeof(text));
	return json_pack("{s:i, s:s?}", "exit", status, "message", message);
}

enum control_phase {
	READING,   ///< The request is not complete.
	ANSWERING, ///< The handler has it.
	FINISHING, ///< The last line is in `out`.
	GONE,      ///< The handler is being notified.
};

struct control_client {
	struct control_server *server;
	struct control_client *next;
	enum control_phase phase;
	bool trusted;
	enum control_access access;
	int fd;
	struct loop_fd *watch;
	/// The limit for the request, then for the reading of what is left; at 0 ms, what could
	/// not be done inside a call of the handler's.
	struct loop_timer *timer;
	/// Watched for a hang-up only: it has closed its sending side, or has sent more than a
	/// request.
	bool ignores_input;
	bool broken; ///< Nothing can be written any more; the timer will notify the handler.
	struct lm_buf in;
	struct lm_buf out;
	void *data;
};

static void unlink_client(struct control_client *client)
{
	struct control_client **p = &client->server->clients;

	while (*p != client)
		p = &(*p)->next;
	*p = client->next;
	client->server->n--;
}

static void forget_request(struct control_client *client)
{
	bool was_large = client->in.size > GIVE_BACK_ABOVE;

	lm_buf_finish(&client->in);
	if (was_large)
		(void)malloc_trim(0);
}

static void free_client(struct control_client *client)
{
	loop_fd_destroy(client->watch);
	loop_timer_destroy(client->timer);
	lm_cleanup_close(&client->fd);
	forget_request(client);
	lm_buf_finish(&client->out);
	free(client);
}

static void drop_client(struct control_client *client)
{
	struct control_server *server = client->server;

	unlink_client(client);
	free_client(client);
	// What answers people is needed again when the next one asks: an answer with crashes alone
	// has used a megabyte of libcrypto.
	if (server->n == 0)
		(void)lm_memory_give_back();
}

/// The client has gone. The handler may do anything in its call, even destroy the server.
static void leave(struct control_client *client)
{
	struct control_handler handler = client->server->handler;
	bool known = client->phase == ANSWERING;

	unlink_client(client);
	client->phase = GONE;
	if (known)
		handler.gone(handler.ctx, client);
	free_client(client);
}

static void control_server_watch(struct control_client *client)
{
	int events =
		(client->ignores_input ? POLLHUP : POLLIN) | (client->out.len > 0 ? POLLOUT : 0);

	loop_fd_set(client->watch, (short)events);
}

/// Writes what the socket takes. False: nobody is there to read.
static bool flush(struct control_client *client)
{
	while (client->out.len > 0) {
		ssize_t n = send(client->fd, client->out.data, client->out.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n < 0)
			return false;
		lm_buf_consume(&client->out, (size_t)n);
		if (client->phase == FINISHING)
			loop_timer_start(client->timer, UNREAD_MS, 0);
	}
	lm_buf_finish(&client->out);
	return true;
}

/// Adds a line to what waits, whole or not at all.
static bool control_server_add_line(struct control_client *client, const json_t *line)
{
	struct lm_buf *out = &client->out;
	size_t before = out->len;

	if (json_write(line, out) && lm_buf_putc(out, '\n'))
		return true;
	out->len = before;
	out->overflow = false;
	if (out->data)
		out->data[before] = '\0';
	return false;
}

/// Writes what can be written at once, and closes; as if the client had gone.
static void destroy_client(struct control_client *client)
{
	if (!client->broken)
		(void)flush(client);
	leave(client);
}

void control_client_send(struct control_client *client, json_t *line, bool droppable)
{
	lm_auto_json json_t *own = line;

	if (client->phase != ANSWERING || client->broken)
		return;
	if (droppable && client->out.len > DROP_ABOVE)
		return;
	bool fits = control_server_add_line(client, own);
	if (!fits && droppable)
		return;
	if (fits && flush(client)) {
		control_server_watch(client);
		return;
	}
	// Not from here: the caller does not expect its client to go within this call.
	client->broken = true;
	lm_buf_finish(&client->out);
	loop_fd_set(client->watch, 0);
	loop_timer_start(client->timer, 0, 0);
}

size_t control_client_waiting(const struct control_client *client)
{
	return client->out.len;
}

void control_client_finish(struct control_client *client, json_t *line)
{
	lm_auto_json json_t *own = line;

	if (client->phase == GONE)
		return;
	client->phase = FINISHING;
	client->out.max = LIMIT_CONTROL_WAITING + LIMIT_CONTROL_REPLY;
	forget_request(client);
	if (client->broken || !control_server_add_line(client, own) || !flush(client) ||
		client->out.len == 0) {
		drop_client(client);
		return;
	}
	loop_timer_start(client->timer, UNREAD_MS, 0);
	control_server_watch(client);
}

void control_client_set_data(struct control_client *client, void *data)
{
	client->data = data;
}

void *control_client_data(const struct control_client *client)
{
	return client->data;
}

bool control_client_is_trusted(const struct control_client *client)
{
	return client->trusted;
}

bool control_client_may_act(const struct control_client *client)
{
	return client->access == CONTROL_ALL;
}

/// Gives up the oldest client, if there is one, that has not sent its request yet; a trusted one
/// only for another.
static void give_up_client(struct control_server *c, bool for_trusted)
{
	struct control_client *oldest = NULL;

	for (struct control_client *p = c->clients; p; p = p->next) {
		if (p->phase == READING && (for_trusted || !p->trusted))
			oldest = p;
	}
	if (oldest)
		control_client_finish(
			oldest, control_last_line(1, "the request was not complete when another "
						     "client needed its place: try again"));
}

/// Behind the handler's call the client may be no more.
static void control_server_hand_over(struct control_client *client)
{
	struct control_handler handler = client->server->handler;
	size_t size = client->in.len;
	json_t *request = NULL;
	struct lm_err err;

	lm_rc rc = control_request_parse(lm_buf_str(&client->in), &request, &err);
	lm_buf_finish(&client->in);
	loop_timer_stop(client->timer);
	if (rc != LM_OK) {
		control_client_finish(client, control_last_line(1, err.msg));
	} else {
		client->phase = ANSWERING;
		handler.request(handler.ctx, client, request);
	}
	json_decref(request);
	if (size > GIVE_BACK_ABOVE)
		(void)malloc_trim(0);
}

static bool has_hung_up(int fd)
{
	struct pollfd p = {.fd = fd};

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

/// A client may close its sending side and still read; closing all of it is a hang-up.
static void on_end_of_input(struct control_client *client)
{
	if (has_hung_up(client->fd) || (client->phase == READING && client->in.len == 0)) {
		leave(client);
		return;
	}
	client->ignores_input = true;
	control_server_watch(client);
	if (client->phase == READING)
		control_server_hand_over(client);
}

/// What the requests that are not complete take, of trusted clients or of the others.
static size_t measure_reading(
	const struct control_server *c, bool trusted, struct control_client **ret_oldest)
{
	size_t sum = 0;

	for (struct control_client *p = c->clients; p; p = p->next) {
		if (p->phase != READING || p->trusted != trusted || p->in.size <= SMALL)
			continue;
		sum += p->in.size;
		*ret_oldest = p;
	}
	return sum;
}

/// The client that has been sending for the longest time is dropped first.
static void bound_reading(struct control_server *c, bool trusted)
{
	struct control_client *oldest = NULL;

	while (measure_reading(c, trusted, &oldest) > LIMIT_CONTROL_READING)
		control_client_finish(oldest,
			control_last_line(1, "the request was not complete when requests of other "
					     "clients needed its memory: try again"));
}

/// The client may be no more afterwards.
static void control_server_take(struct control_client *client, struct lm_str piece)
{
	bool complete = false;
	struct lm_err err;

	if (client->phase != READING) {
		client->ignores_input = true;
		control_server_watch(client);
		return;
	}
	if (control_request_add(&client->in, piece, &complete, &err) != LM_OK)
		control_client_finish(client, control_last_line(1, err.msg));
	else if (complete)
		control_server_hand_over(client);
	else
		bound_reading(client->server, client->trusted);
}

static void on_readable(struct control_client *client)
{
	char piece[READ_PIECE];
	ssize_t n = recv(client->fd, piece, sizeof(piece), 0);

	if (n > 0)
		control_server_take(client, (struct lm_str){piece, (size_t)n});
	else if (n == 0)
		on_end_of_input(client);
	else if (errno != EAGAIN && errno != EINTR)
		leave(client);
}

static void control_server_on_ready(void *ctx, short events)
{
	struct control_client *client = ctx;

	if (events & POLLOUT) {
		if (!flush(client)) {
			leave(client);
			return;
		}
		if (client->phase == FINISHING && client->out.len == 0) {
			drop_client(client);
			return;
		}
		control_server_watch(client);
	}
	if (events & POLLIN)
		on_readable(client);
	else if (events & POLLHUP) // or urgent data, which lighterman never sends
		leave(client);
}

static void control_server_on_time(void *ctx)
{
	struct control_client *client = ctx;
	char text[64];

	if (client->broken || client->phase != READING) {
		leave(client);
		return;
	}
	(void)snprintf(
		text, sizeof(text), "the request was not complete after %d s", REQUEST_MS / 1000);
	control_client_finish(client, control_last_line(1, text));
}

/// Takes over a connection; `*fd` is -1 afterwards. `trusted`: root's, or our own user's.
static lm_rc create_client(struct control_server *c, int *fd, bool trusted,
	enum control_access access, struct lm_err *err)
{
	struct control_client *client = lm_xcalloc(1, sizeof(*client));
	lm_rc rc =
		loop_fd_create(c->loop, *fd, control_server_on_ready, client, &client->watch, err);

	if (rc != LM_OK) {
		free(client);
		return rc;
	}
	client->fd = lm_take_fd(*fd);
	client->server = c;
	client->trusted = trusted;
	client->access = access;
	client->in = LM_BUF(LIMIT_CONTROL_REQUEST);
	client->out = LM_BUF(LIMIT_CONTROL_WAITING);
	client->timer = loop_timer_create(c->loop, control_server_on_time, client);
	client->next = c->clients;
	c->clients = client;
	c->n++;
	loop_timer_start(client->timer, REQUEST_MS, 0);
	control_server_watch(client);
	return LM_OK;
}

static lm_rc find_group(const char *name, gid_t *ret, struct lm_err *err)
{
	for (size_t size = 4096; size <= GROUP_MAX; size *= 4) {
		lm_auto_free char *text = lm_xmalloc(size);
		struct group entry;
		struct group *found = NULL;
		int sys = getgrnam_r(name, &entry, text, size, &found);

		if (found) {
			*ret = found->gr_gid;
			return LM_OK;
		}
		if (sys == 0 || sys == ENOENT || sys == ESRCH)
			return lm_fail(err, LM_E_NOT_FOUND, 0,
				"there is no group '%s': create it (groupadd %s)", name, name);
		if (sys != ERANGE)
			return lm_fail(err, LM_E_SYS, sys, "look up the group '%s': %m", name);
	}
	return lm_fail(err, LM_E_TOO_LARGE, 0,
		"the entry of the group '%s' is over %d bytes: name a group with fewer members",
		name, GROUP_MAX);
}

/// A connection that is not served: a new socket takes a line at once.
static void turn_away(int fd, int status, const char *why)
{
	lm_auto_buf struct lm_buf line = LM_BUF(LM_ERR_MSG_SIZE);
	lm_auto_json json_t *refusal = control_last_line(status, why);

	(void)json_write(refusal, &line);
	(void)lm_buf_putc(&line, '\n');
	(void)send(fd, line.data, line.len, MSG_NOSIGNAL);
}

/// Without a pause a client that cannot be accepted (no descriptors left) would keep us busy.
static void pause_accepting(struct control_server *c, const struct lm_err *err)
{
	if (!c->warned)
		lm_warn("control socket '%s': %s, retrying every second", c->path, err->msg);
	c->warned = true;
	loop_fd_set(c->watch, 0);
	loop_timer_start(c->retry, ACCEPT_PAUSE_MS, 0);
}

static void control_server_on_retry(void *ctx)
{
	struct control_server *c = ctx;

	loop_fd_set(c->watch, POLLIN);
}

static bool has_place(const struct control_server *c, bool trusted)
{
	return c->n < LIMIT_CONTROL_CLIENTS + (trusted ? LIMIT_CONTROL_RESERVED : 0);
}

/// A client that is being answered keeps its place; one that has not sent its request may lose it.
static bool make_place(struct control_server *c, bool trusted)
{
	if (!has_place(c, trusted))
		give_up_client(c, trusted);
	return has_place(c, trusted);
}

static bool is_trusted(int fd)
{
	uid_t uid = socket_unix_peer_uid(fd);

	return uid == 0 || uid == geteuid();
}

/// The mode of the socket file may let in more than may ask.
static enum control_access find_access(const struct control_server *c, int fd, bool trusted)
{
	if (trusted || (c->all_gid != NO_GROUP && socket_unix_peer_is_in(fd, c->all_gid)))
		return CONTROL_ALL;
	if (c->read_gid != NO_GROUP && socket_unix_peer_is_in(fd, c->read_gid))
		return CONTROL_READ;
	return CONTROL_NOTHING;
}

static void turn_away_crowd(const struct control_server *c, int fd)
{
	char text[96];

	(void)snprintf(text, sizeof(text),
		"too many clients: %zu are being served, try again later", c->n);
	turn_away(fd, 1, text);
}

static void on_connection(void *ctx, short events)
{
	struct control_server *c = ctx;
	struct lm_err err;
	lm_auto_close int fd = -1;
	(void)events;

	lm_rc rc = socket_unix_accept(c->fd, &fd, &err);
	if (rc == LM_OK && fd < 0)
		return;
	bool trusted = rc == LM_OK && is_trusted(fd);
	enum control_access access = rc == LM_OK ? find_access(c, fd, trusted) : CONTROL_NOTHING;
	if (rc == LM_OK && access == CONTROL_NOTHING) {
		turn_away(fd, EXIT_UNREACHABLE,
			"you may not use the control socket: run it as root or as a member of the "
			"group in lightermand's controlGroup or controlReadGroup");
		return;
	}
	if (rc == LM_OK && !make_place(c, trusted)) {
		turn_away_crowd(c, fd);
		return;
	}
	if (rc == LM_OK)
		rc = create_client(c, &fd, trusted, access, &err);
	if (rc != LM_OK)
		pause_accepting(c, &err);
	else
		c->warned = false;
}

/// A socket file has one group; with two the kernel has to let in everybody.
static lm_rc listen_for(struct control_server *c, struct lm_err *err)
{
	bool has_all = c->all_gid != NO_GROUP, has_read = c->read_gid != NO_GROUP;
	mode_t mode = has_all && has_read ? 0666 : has_all || has_read ? 0660 : 0600;

	return socket_unix_listen(c->path, mode, has_all ? c->all_gid : c->read_gid, &c->fd, err);
}

lm_rc control_server_create(struct loop *loop, const char *path,
	const struct control_groups *groups, const struct control_handler *handler,
	struct control_server **ret, struct lm_err *err)
{
	gid_t all_gid = NO_GROUP, read_gid = NO_GROUP;
	struct stat st = {0};
	lm_rc rc = groups->all ? find_group(groups->all, &all_gid, err) : LM_OK;

	if (rc == LM_OK && groups->read)
		rc = find_group(groups->read, &read_gid, err);
	if (rc != LM_OK)
		return lm_wrap(err, "control socket '%s'", path);
	lm_auto(control_server_destroy_p) struct control_server *c = lm_xcalloc(1, sizeof(*c));
	c->fd = -1;
	c->loop = loop;
	c->path = lm_xstrdup(path);
	c->handler = *handler;
	c->all_gid = all_gid;
	c->read_gid = read_gid;
	rc = listen_for(c, err);
	if (rc != LM_OK)
		return lm_wrap(err, "control socket");
	if (lstat(path, &st) == 0) {
		c->dev = st.st_dev;
		c->ino = st.st_ino;
	}
	rc = loop_fd_create(loop, c->fd, on_connection, c, &c->watch, err);
	if (rc != LM_OK)
		return lm_wrap(err, "control socket '%s'", path);
	c->retry = loop_timer_create(loop, control_server_on_retry, c);
	loop_fd_set(c->watch, POLLIN);
	*ret = lm_take(c);
	return LM_OK;
}

/// The file may have been removed, and another program's be in its place.
static void remove_socket(const struct control_server *c)
{
	struct stat st;

	if (lstat(c->path, &st) == 0 && st.st_dev == c->dev && st.st_ino == c->ino)
		(void)unlink(c->path);
}

void control_server_destroy(struct control_server *c)
{
	if (!c)
		return;
	while (c->clients)
		destroy_client(c->clients);
	loop_fd_destroy(c->watch);
	loop_timer_destroy(c->retry);
	if (c->fd >= 0)
		remove_socket(c);
	lm_cleanup_close(&c->fd);
	free(c->path);
	free(c);
}
