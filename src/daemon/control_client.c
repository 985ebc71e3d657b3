// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include "base/limits.h"
#include "base/memory.h"
#include "daemon/control.h"
#include "daemon/control_priv.h"
#include "daemon/control_request.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <sys/socket.h>

enum {
	REQUEST_MS = 30 * 1000,
	UNREAD_MS = 30 * 1000, ///< For an ended client to read on.
	DROP_ABOVE = 64 << 10, ///< So many bytes wait: droppable lines are left out.
	READ_PIECE = 16 << 10,
	SMALL = 64 << 10,           ///< A request that needs no more never has to give way.
	GIVE_BACK_ABOVE = 64 << 10, ///< After such a request the heap's free pages are returned.
};

enum phase {
	READING,   ///< The request is not complete.
	ANSWERING, ///< The handler has it.
	ENDING,    ///< The last line is in `out`.
	GONE,      ///< The handler is being told.
};

struct control_client {
	struct control *control;
	struct control_client *next;
	enum phase phase;
	bool trusted;
	enum control_access access;
	int fd;
	struct loop_fd *watch;
	/// The limit for the request, then for the reading of what is left; at 0 ms, what could
	/// not be done inside a call of the handler's.
	struct loop_timer *timer;
	/// Watched for its going, not for reading: it has closed its sending side, or speaks out of
	/// turn.
	bool deaf;
	bool broken; ///< Nothing can be written any more; the timer will tell the handler.
	struct lm_buf in;
	struct lm_buf out;
	void *data;
};

static void unlink_client(struct control_client *client)
{
	struct control_client **p = &client->control->clients;

	while (*p != client)
		p = &(*p)->next;
	*p = client->next;
	client->control->n--;
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
	unlink_client(client);
	free_client(client);
}

/// The other side has gone. The handler may do anything in its call, also end the server.
static void leave(struct control_client *client)
{
	struct control_handler handler = client->control->handler;
	bool known = client->phase == ANSWERING;

	unlink_client(client);
	client->phase = GONE;
	if (known)
		handler.gone(handler.ctx, client);
	free_client(client);
}

static void watch(struct control_client *client)
{
	int events = (client->deaf ? POLLHUP : POLLIN) | (client->out.len > 0 ? POLLOUT : 0);

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
		if (client->phase == ENDING)
			loop_timer_start(client->timer, UNREAD_MS, 0);
	}
	lm_buf_finish(&client->out);
	return true;
}

/// Adds a line to what waits, whole or not at all.
static bool add_line(struct control_client *client, const json_t *line)
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

void control_client_destroy(struct control_client *client)
{
	if (!client->broken)
		(void)flush(client);
	leave(client);
}

void control_send(struct control_client *client, json_t *line, bool droppable)
{
	lm_auto_json json_t *own = line;

	if (client->phase != ANSWERING || client->broken)
		return;
	if (droppable && client->out.len > DROP_ABOVE)
		return;
	bool fits = add_line(client, own);
	if (!fits && droppable)
		return;
	if (fits && flush(client)) {
		watch(client);
		return;
	}
	// Not from here: the caller does not expect its client to go within this call.
	client->broken = true;
	lm_buf_finish(&client->out);
	loop_fd_set(client->watch, 0);
	loop_timer_start(client->timer, 0, 0);
}

size_t control_waiting(const struct control_client *client)
{
	return client->out.len;
}

void control_end(struct control_client *client, json_t *line)
{
	lm_auto_json json_t *own = line;

	if (client->phase == GONE)
		return;
	client->phase = ENDING;
	forget_request(client);
	if (client->broken || !add_line(client, own) || !flush(client) || client->out.len == 0) {
		drop_client(client);
		return;
	}
	loop_timer_start(client->timer, UNREAD_MS, 0);
	watch(client);
}

void control_set_data(struct control_client *client, void *data)
{
	client->data = data;
}

void *control_data(const struct control_client *client)
{
	return client->data;
}

bool control_is_trusted(const struct control_client *client)
{
	return client->trusted;
}

bool control_may_act(const struct control_client *client)
{
	return client->access == CONTROL_ALL;
}

void control_client_give_up(struct control *c, bool for_trusted)
{
	struct control_client *oldest = NULL;

	for (struct control_client *p = c->clients; p; p = p->next) {
		if (p->phase == READING && (for_trusted || !p->trusted))
			oldest = p;
	}
	if (oldest)
		control_end(oldest,
			control_last_line(1, "the request was not complete when another client "
					     "needed its place: try again"));
}

/// Behind the handler's call the client may be no more.
static void hand_over(struct control_client *client)
{
	struct control_handler handler = client->control->handler;
	size_t size = client->in.len;
	json_t *request = NULL;
	struct lm_err err;

	lm_rc rc = control_request_parse(lm_buf_str(&client->in), &request, &err);
	lm_buf_finish(&client->in);
	loop_timer_stop(client->timer);
	if (rc != LM_OK) {
		control_end(client, control_last_line(1, err.msg));
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
	client->deaf = true;
	watch(client);
	if (client->phase == READING)
		hand_over(client);
}

/// What the requests that are not complete take, of trusted clients or of the others.
static size_t measure_reading(
	const struct control *c, bool trusted, struct control_client **ret_oldest)
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

/// Who sends in earnest is soon done; who has sent for the longest time gives way.
static void bound_reading(struct control *c, bool trusted)
{
	struct control_client *oldest = NULL;

	while (measure_reading(c, trusted, &oldest) > LIMIT_CONTROL_READING)
		control_end(oldest,
			control_last_line(1, "the request was not complete when requests of other "
					     "clients needed its memory: try again"));
}

/// The client may be no more afterwards.
static void take(struct control_client *client, struct lm_str piece)
{
	bool complete = false;
	struct lm_err err;

	if (client->phase != READING) {
		client->deaf = true;
		watch(client);
		return;
	}
	if (control_request_add(&client->in, piece, &complete, &err) != LM_OK)
		control_end(client, control_last_line(1, err.msg));
	else if (complete)
		hand_over(client);
	else
		bound_reading(client->control, client->trusted);
}

static void on_readable(struct control_client *client)
{
	char piece[READ_PIECE];
	ssize_t n = recv(client->fd, piece, sizeof(piece), 0);

	if (n > 0)
		take(client, (struct lm_str){piece, (size_t)n});
	else if (n == 0)
		on_end_of_input(client);
	else if (errno != EAGAIN && errno != EINTR)
		leave(client);
}

static void on_ready(void *ctx, short events)
{
	struct control_client *client = ctx;

	if (events & POLLOUT) {
		if (!flush(client)) {
			leave(client);
			return;
		}
		if (client->phase == ENDING && client->out.len == 0) {
			drop_client(client);
			return;
		}
		watch(client);
	}
	if (events & POLLIN)
		on_readable(client);
	else if (events & POLLHUP) // or urgent data, which no client of ours sends
		leave(client);
}

static void on_time(void *ctx)
{
	struct control_client *client = ctx;
	char text[64];

	if (client->broken || client->phase != READING) {
		leave(client);
		return;
	}
	(void)snprintf(
		text, sizeof(text), "the request was not complete after %d s", REQUEST_MS / 1000);
	control_end(client, control_last_line(1, text));
}

lm_rc control_client_create(
	struct control *c, int *fd, bool trusted, enum control_access access, struct lm_err *err)
{
	struct control_client *client = lm_xcalloc(1, sizeof(*client));
	lm_rc rc = loop_fd_create(c->loop, *fd, on_ready, client, &client->watch, err);

	if (rc != LM_OK) {
		free(client);
		return rc;
	}
	client->fd = lm_take_fd(*fd);
	client->control = c;
	client->trusted = trusted;
	client->access = access;
	client->in = LM_BUF(LIMIT_CONTROL_REQUEST);
	client->out = LM_BUF(LIMIT_CONTROL_REPLY);
	client->timer = loop_timer_create(c->loop, on_time, client);
	client->next = c->clients;
	c->clients = client;
	c->n++;
	loop_timer_start(client->timer, REQUEST_MS, 0);
	watch(client);
	return LM_OK;
}
