// SPDX-License-Identifier: Apache-2.0
#include "fake_broker.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/memory.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

struct fake_peer {
	struct fake_broker *broker;
	struct fake_script script;
	int fd;
	struct loop_fd *watch;
	struct lm_buf in;
	unsigned acknowledged;
	bool connected;
};

enum { CONNECT = 1, PUBLISH = 3, SUBSCRIBE = 8, PINGREQ = 12, DISCONNECT = 14, IN_MAX = 1 << 20 };

static void drop(struct fake_peer *peer)
{
	struct fake_broker *b = peer->broker;

	loop_fd_destroy(peer->watch);
	(void)close(peer->fd);
	lm_buf_finish(&peer->in);
	if (b->peer == peer)
		b->peer = NULL;
	free(peer);
	b->lost++;
	loop_stop(b->loop);
}

static void answer(const struct fake_peer *peer, const void *bytes, size_t n)
{
	size_t step = peer->script.byte_by_byte ? 1 : n;

	for (size_t i = 0; i < n; i += step)
		(void)send(peer->fd, (const char *)bytes + i, step, MSG_NOSIGNAL);
}

static void keep_message(struct fake_broker *b, const unsigned char *p, size_t n, size_t *ret_id)
{
	size_t topic_n = (size_t)p[0] << 8 | p[1];

	assert_true(b->messages_n < FAKE_MESSAGES_MAX);
	*ret_id = 2 + topic_n;
	b->messages[b->messages_n++] = lm_xasprintf(
		"%.*s %.*s", (int)topic_n, p + 2, (int)(n - topic_n - 4), p + topic_n + 4);
	b->bytes += n;
}

/// False if the connection has been closed.
static bool take_subscribe(struct fake_peer *peer, const unsigned char *p, size_t n)
{
	struct fake_broker *b = peer->broker;
	const struct fake_script *s = &peer->script;
	char suback[16] = {(char)0x90, 0, (char)p[0], (char)p[1]};

	b->subscribes++;
	b->filters = 0;
	for (size_t i = 2; i < n; i += 3 + ((size_t)p[i] << 8 | p[i + 1]))
		suback[4 + b->filters++] = 1;
	if (s->drops_subscribers) {
		drop(peer);
		return false;
	}
	if (s->refuses_filters)
		suback[3 + b->filters] = (char)0x80;
	suback[1] = (char)(2 + b->filters);
	answer(peer, suback, 4 + b->filters);
	if (s->pushes)
		answer(peer, s->pushes, s->pushes_n);
	return true;
}

/// False if the connection has been closed.
static bool take_packet(struct fake_peer *peer, int type, const unsigned char *p, size_t n)
{
	struct fake_broker *b = peer->broker;
	const struct fake_script *s = &peer->script;
	size_t at;

	loop_stop(b->loop);
	if (type == CONNECT && !s->silent) {
		peer->connected = true;
		if (s->forbids_wills && (p[7] & 0x04)) {
			drop(peer);
			return false;
		}
		b->connect_n = n < sizeof(b->connect) ? n : sizeof(b->connect);
		memcpy(b->connect, p, b->connect_n);
		answer(peer, s->greeting ? s->greeting : "\x20\x02\x00\x00",
			s->greeting ? s->greeting_n : 4);
		if (s->reads_on_order)
			loop_fd_set(peer->watch, 0);
		if (!s->closes)
			return true;
		drop(peer);
		return false;
	}
	b->goodbyes += type == DISCONNECT;
	b->pings += type == PINGREQ;
	if (type == PINGREQ && !s->no_pong)
		answer(peer, "\xd0\x00", 2);
	if (type == SUBSCRIBE)
		return take_subscribe(peer, p, n);
	if (type != PUBLISH)
		return true;
	if (s->forbids && strlen(s->forbids) == ((size_t)p[0] << 8 | p[1]) &&
		memcmp(s->forbids, p + 2, strlen(s->forbids)) == 0) {
		drop(peer);
		return false;
	}
	keep_message(b, p, n, &at);
	if (!s->no_puback)
		answer(peer, (const char[]){0x40, 2, (char)p[at], (char)p[at + 1]}, 4);
	if (s->closes_at && ++peer->acknowledged == s->closes_at) {
		drop(peer);
		return false;
	}
	return true;
}

/// False if there is none yet.
static bool next_packet(const struct lm_buf *in, size_t *ret_head_n, size_t *ret_n)
{
	size_t n = 0;

	for (size_t i = 1; i < in->len && i <= 4; i++) {
		n |= (size_t)((unsigned char)in->data[i] & 127) << (7 * (i - 1));
		if (((unsigned char)in->data[i] & 128) == 0) {
			*ret_head_n = i + 1;
			*ret_n = n;
			return in->len >= i + 1 + n;
		}
	}
	return false;
}

static void reset(struct fake_peer *peer)
{
	const struct linger now = {.l_onoff = 1};

	assert_int_equal(setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	drop(peer);
}

static void on_peer(void *ctx, short events)
{
	struct fake_peer *peer = ctx;
	char *room = lm_buf_reserve(&peer->in, 64 << 10);
	size_t head_n;
	size_t n;

	(void)events;
	assert_non_null(room);
	ssize_t got = recv(peer->fd, room, 64 << 10, MSG_DONTWAIT);
	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		drop(peer);
		return;
	}
	peer->in.len += (size_t)got;
	if (peer->script.resets) {
		reset(peer);
		return;
	}
	while (next_packet(&peer->in, &head_n, &n)) {
		const unsigned char *p = (const unsigned char *)peer->in.data;
		if (!take_packet(peer, p[0] >> 4, p + head_n, n))
			return;
		lm_buf_consume(&peer->in, head_n + n);
	}
}

static void on_accept(void *ctx, short events)
{
	struct fake_broker *b = ctx;
	struct fake_peer *peer = lm_xcalloc(1, sizeof(*peer));
	unsigned i = b->accepted < b->scripts_n ? b->accepted : b->scripts_n - 1;
	int on = 1;

	(void)events;
	peer->broker = b;
	peer->script = b->scripts[i];
	peer->in = LM_BUF(IN_MAX);
	peer->fd = accept4(b->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(peer->fd >= 0);
	(void)setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	assert_int_equal(
		loop_fd_create(b->loop, peer->fd, on_peer, peer, &peer->watch, NULL), LM_OK);
	loop_fd_set(peer->watch, POLLIN);
	b->peer = peer;
	b->accepted++;
}

void fake_broker_start(
	struct fake_broker *b, struct loop *loop, const struct fake_script *scripts, unsigned n)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(a);

	*b = (struct fake_broker){.loop = loop, .scripts = scripts, .scripts_n = n};
	b->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(b->listen_fd >= 0);
	assert_int_equal(bind(b->listen_fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(b->listen_fd, 8), 0);
	assert_int_equal(getsockname(b->listen_fd, (struct sockaddr *)&a, &size), 0);
	b->port = ntohs(a.sin_port);
	assert_int_equal(loop_fd_create(loop, b->listen_fd, on_accept, b, &b->watch, NULL), LM_OK);
	loop_fd_set(b->watch, POLLIN);
}

void fake_broker_read_on(struct fake_broker *b)
{
	assert_non_null(b->peer);
	loop_fd_set(b->peer->watch, POLLIN);
}

void fake_broker_push(const struct fake_broker *b, const char *bytes, size_t n)
{
	assert_non_null(b->peer);
	answer(b->peer, bytes, n);
}

void fake_broker_stop(struct fake_broker *b)
{
	if (b->peer)
		drop(b->peer);
	loop_fd_destroy(b->watch);
	(void)close(b->listen_fd);
	for (size_t i = 0; i < b->messages_n; i++)
		free(b->messages[i]);
}
