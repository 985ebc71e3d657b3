// SPDX-License-Identifier: Apache-2.0
#include "discovery/https_connection.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/openssl.h"
#include "discovery/http_text.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

enum {
	REQUEST_MS = 10 * 1000,
	ANSWER_MS = 10 * 1000,
	CLOSE_MS = 2 * 1000,
	CLOSE_BYTES_MAX = 64 << 10, ///< Read and dropped, so that the answer is not lost.
};

enum https_state { HTTPS_HANDSHAKE, HTTPS_READING, HTTPS_WRITING, HTTPS_CLOSING };

struct https_connection {
	struct https_callbacks callbacks;
	enum https_state state;
	int fd;
	int certificate_error;
	SSL *tls;
	struct loop_fd *watch;
	struct loop_timer *deadline;
	struct lm_buf head, answer;
	size_t written;
	size_t dropped;
};

/// Sends what is under way, and closes once the client has, or after a while: a socket that is
/// closed with unread bytes is reset, and what was sent last may be lost.
static bool begin_to_close(struct https_connection *c)
{
	c->state = HTTPS_CLOSING;
	(void)shutdown(c->fd, SHUT_WR);
	loop_timer_start(c->deadline, CLOSE_MS, 0);
	return true;
}

/// What OpenSSL waits for. False: an error.
static bool wait_for_tls(struct https_connection *c, int result)
{
	switch (SSL_get_error(c->tls, result)) {
	case SSL_ERROR_WANT_READ:
		loop_fd_set(c->watch, POLLIN);
		return true;
	case SSL_ERROR_WANT_WRITE:
		loop_fd_set(c->watch, POLLOUT);
		return true;
	default:
		return false;
	}
}

/// After an error, of which OpenSSL has sent an alert.
static bool fail_connection(struct https_connection *c)
{
	unsigned long code = ERR_peek_error();
	bool client_left = code == 0 || ERR_SYSTEM_ERROR(code) ||
			   (ERR_GET_LIB(code) == ERR_LIB_SSL &&
				   ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING);
	const char *why = lm_openssl_reason();

	if (!client_left)
		c->callbacks.failed(c->callbacks.ctx, why ? why : "TLS failed");
	return begin_to_close(c);
}

static bool shake_hands(struct https_connection *c)
{
	ERR_clear_error();
	int result = SSL_accept(c->tls);

	if (result == 1) {
		const int on = 1;

		// The client's request may wait for its handshake to be acknowledged (Nagle), which
		// the kernel would put off for 40 ms, as we send nothing meanwhile.
		(void)setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
		c->state = HTTPS_READING;
		return true;
	}
	return wait_for_tls(c, result) ? false : fail_connection(c);
}

static void take_request(struct https_connection *c, size_t head_size)
{
	struct tls_client client = tls_identity_client(c->tls, c->certificate_error);

	c->callbacks.request(
		c->callbacks.ctx, (struct lm_str){c->head.data, head_size}, &client, &c->answer);
	c->state = HTTPS_WRITING;
	loop_timer_start(c->deadline, ANSWER_MS, 0);
}

static bool read_head(struct https_connection *c)
{
	char piece[1024];

	ERR_clear_error();
	int n = SSL_read(c->tls, piece, sizeof(piece));

	if (n <= 0) {
		if (SSL_get_error(c->tls, n) == SSL_ERROR_ZERO_RETURN)
			return begin_to_close(c);
		return wait_for_tls(c, n) ? false : fail_connection(c);
	}
	bool fits = lm_buf_add(&c->head, piece, (size_t)n);
	size_t head_size = http_head_size(lm_buf_str(&c->head));
	if (head_size > 0 || !fits)
		take_request(c, head_size);
	return true;
}

static bool write_answer(struct https_connection *c)
{
	if (c->written == c->answer.len) {
		ERR_clear_error();
		(void)SSL_shutdown(c->tls);
		return begin_to_close(c);
	}
	ERR_clear_error();
	int n = SSL_write(c->tls, c->answer.data + c->written, (int)(c->answer.len - c->written));
	if (n <= 0)
		return wait_for_tls(c, n) ? false : fail_connection(c);
	c->written += (size_t)n;
	return true;
}

static bool drop_input(struct https_connection *c)
{
	char piece[4096];
	ssize_t n = recv(c->fd, piece, sizeof(piece), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		loop_fd_set(c->watch, POLLIN);
		return false;
	}
	if (n > 0 && (c->dropped += (size_t)n) < CLOSE_BYTES_MAX)
		return true;
	c->callbacks.closed(c->callbacks.ctx);
	return false;
}

static void on_socket(void *ctx, short events)
{
	struct https_connection *c = ctx;
	bool goes_on = true;

	(void)events;
	while (goes_on) {
		switch (c->state) {
		case HTTPS_HANDSHAKE:
			goes_on = shake_hands(c);
			break;
		case HTTPS_READING:
			goes_on = read_head(c);
			break;
		case HTTPS_WRITING:
			goes_on = write_answer(c);
			break;
		case HTTPS_CLOSING:
			goes_on = drop_input(c);
			break;
		}
	}
}

static void on_deadline(void *ctx)
{
	static const char *const reasons[] = {
		[HTTPS_HANDSHAKE] = "the TLS handshake was not complete within 10 s",
		[HTTPS_READING] = "the request was not complete within 10 s",
		[HTTPS_WRITING] = "the client did not take the answer within 10 s",
	};
	struct https_connection *c = ctx;

	if (c->state != HTTPS_CLOSING)
		c->callbacks.failed(c->callbacks.ctx, reasons[c->state]);
	c->callbacks.closed(c->callbacks.ctx);
}

lm_rc https_connection_create(struct loop *loop, struct ssl_ctx_st *identity, int fd,
	const struct https_callbacks *callbacks, struct https_connection **ret, struct lm_err *err)
{
	struct https_connection *c = lm_xcalloc(1, sizeof(*c));

	c->callbacks = *callbacks;
	c->fd = fd;
	c->head = LM_BUF(LIMIT_DISCOVERY_HEAD);
	c->answer = LM_BUF(LIMIT_DISCOVERY_ANSWER);
	c->tls = tls_identity_accept(identity, fd, &c->certificate_error);
	lm_rc rc = c->tls ? loop_fd_create(loop, fd, on_socket, c, &c->watch, err)
			  : lm_fail(err, LM_E_SYS, 0, "begin TLS: %s", lm_openssl_reason());
	if (rc) {
		https_connection_destroy(c);
		return rc;
	}
	c->deadline = loop_timer_create(loop, on_deadline, c);
	loop_timer_start(c->deadline, REQUEST_MS, 0);
	loop_fd_set(c->watch, POLLIN);
	*ret = c;
	return LM_OK;
}

void https_connection_destroy(struct https_connection *c)
{
	if (!c)
		return;
	loop_fd_destroy(c->watch);
	loop_timer_destroy(c->deadline);
	SSL_free(c->tls);
	(void)close(c->fd);
	lm_buf_finish(&c->head);
	lm_buf_finish(&c->answer);
	free(c);
}
