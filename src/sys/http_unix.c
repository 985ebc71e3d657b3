// SPDX-License-Identifier: Apache-2.0
#include "sys/http_unix.h"

#include "base/limits.h"
#include "base/memory.h"
#include "sys/socket.h"

#include <errno.h>
#include <sys/socket.h>

enum {
	READ_PIECE = 16 << 10,
	PIECES_PER_STEP = 16, ///< So that one fast answer cannot keep a loop to itself.
};

enum phase { SENDING_HEAD, SENDING_BODY, READING_HEAD, READING_BODY, DONE };

struct http_unix {
	int fd;
	enum phase phase;
	char *peer;        ///< Socket path, for messages.
	struct lm_buf out; ///< Request head; may hold a secret.
	size_t sent;       ///< Of `out`, then of `request_body`.
	struct lm_str request_body;
	bool head_method;   ///< HEAD: the answer has no body, whatever its headers say.
	struct lm_buf head; ///< Answer's status line and headers.
	struct lm_buf body;
	int status;
	bool has_length;
	uint64_t length_left;
	lm_rc (*on_body)(void *ctx, struct lm_str piece, struct lm_err *err);
	void *ctx;
};

static bool http_unix_is_one_line(struct lm_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
			return false;
	return true;
}

static lm_rc write_head(struct http_unix *h, const struct http_unix_request *r, struct lm_err *err)
{
	if (!http_unix_is_one_line(lm_str(r->target)) ||
		(r->secret_header && !http_unix_is_one_line(lm_secret_str(r->secret_value))))
		return lm_fail(err, LM_E_INVALID, 0,
			"request to '%s': a space or control character in its target or header",
			r->socket_path);
	(void)lm_buf_printf(&h->out,
		"%s %s HTTP/1.0\r\nHost: docker\r\nUser-Agent: lighterman/" LM_VERSION
		"\r\nConnection: close\r\n",
		r->method, r->target);
	if (r->content_type)
		(void)lm_buf_printf(&h->out, "Content-Type: %s\r\n", r->content_type);
	if (r->content_type || strcmp(r->method, "POST") == 0)
		(void)lm_buf_printf(&h->out, "Content-Length: %zu\r\n", r->body.n);
	if (r->secret_header) {
		(void)lm_buf_printf(&h->out, "%s: ", r->secret_header);
		(void)lm_buf_add_str(&h->out, lm_secret_str(r->secret_value));
		(void)lm_buf_puts(&h->out, "\r\n");
	}
	(void)lm_buf_puts(&h->out, "\r\n");
	if (h->out.overflow)
		return lm_fail(err, LM_E_TOO_LARGE, 0, "request to '%s': headers over %d bytes",
			r->socket_path, LIMIT_HTTP_HEADERS * 2);
	return LM_OK;
}

lm_rc http_unix_create(
	const struct http_unix_request *request, struct http_unix **ret, struct lm_err *err)
{
	lm_auto(http_unix_destroy_p) struct http_unix *h = lm_xcalloc(1, sizeof(*h));
	h->fd = -1;
	h->peer = lm_xstrdup(request->socket_path);
	h->out = LM_BUF_SECRET(LIMIT_HTTP_HEADERS * 2);
	h->head = LM_BUF(LIMIT_HTTP_HEADERS);
	// An answer to a login may hold a token.
	h->body = LM_BUF_SECRET(request->body_max);
	h->request_body = request->content_type ? request->body : LM_STR("");
	h->head_method = strcmp(request->method, "HEAD") == 0;
	h->on_body = request->on_body;
	h->ctx = request->ctx;
	lm_rc rc = write_head(h, request, err);
	if (rc != LM_OK)
		return rc;
	rc = socket_unix_connect(request->socket_path, &h->fd, err);
	if (rc != LM_OK)
		return rc;
	*ret = lm_take(h);
	return LM_OK;
}

void http_unix_destroy(struct http_unix *h)
{
	if (!h)
		return;
	lm_cleanup_close(&h->fd);
	free(h->peer);
	lm_buf_finish(&h->out);
	lm_buf_finish(&h->head);
	lm_buf_finish(&h->body);
	free(h);
}

int http_unix_fd(const struct http_unix *h)
{
	return h->fd;
}

short http_unix_events(const struct http_unix *h)
{
	return h->phase <= SENDING_BODY ? POLLOUT : POLLIN;
}

int http_unix_status(const struct http_unix *h)
{
	return h->phase >= READING_BODY ? h->status : 0;
}

const char *http_unix_peer(const struct http_unix *h)
{
	return h->peer;
}

struct lm_str http_unix_body(const struct http_unix *h)
{
	return lm_buf_str(&h->body);
}

/// The next line of `*rest`, without its line end.
static struct lm_str cut_line(struct lm_str *rest)
{
	struct lm_str line = lm_str_cut(rest, '\n');
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

struct lm_str http_unix_header(const struct http_unix *h, const char *name)
{
	struct lm_str rest = lm_buf_str(&h->head);
	(void)cut_line(&rest);
	while (rest.n > 0) {
		struct lm_str value = cut_line(&rest);
		struct lm_str key = lm_str_cut(&value, ':');
		if (lm_str_eq_nocase(key, lm_str(name)))
			return lm_str_trim(value);
	}
	return LM_STR("");
}

static lm_rc broken(const struct http_unix *h, struct lm_err *err)
{
	return lm_fail(err, LM_E_NETWORK, 0,
		"'%s' closed the connection in the middle of its answer", h->peer);
}

/// Writes what is left of the current phase's bytes. `*ret_more`: go on with the next phase.
static lm_rc send_some(struct http_unix *h, bool *ret_more, struct lm_err *err)
{
	struct lm_str all = h->phase == SENDING_HEAD ? lm_buf_str(&h->out) : h->request_body;
	while (h->sent < all.n) {
		ssize_t n = send(h->fd, all.p + h->sent, all.n - h->sent, MSG_NOSIGNAL);
		if (n >= 0) {
			h->sent += (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN)
			return LM_OK;
		if (errno != EPIPE && errno != ECONNRESET)
			return lm_fail(err, LM_E_SYS, errno, "send to '%s': %m", h->peer);
		// It may have answered, and closed, without reading all: the answer tells why.
		h->phase = SENDING_BODY;
		break;
	}
	h->sent = 0;
	h->phase++;
	*ret_more = true;
	return LM_OK;
}

static lm_rc read_length(struct http_unix *h, struct lm_err *err)
{
	h->has_length = false;
	if (h->head_method || h->status == 204 || h->status == 304) {
		h->has_length = true;
		h->length_left = 0;
		return LM_OK;
	}
	struct lm_str coding = http_unix_header(h, "Transfer-Encoding");
	if (coding.n > 0 && !lm_str_eq_nocase(coding, LM_STR("identity")))
		return lm_fail(err, LM_E_PROTOCOL, 0, "'%s' answers HTTP/1.0 with encoding '%.*s'",
			h->peer, LM_STR_ARG(coding));
	struct lm_str length = http_unix_header(h, "Content-Length");
	if (length.n == 0)
		return LM_OK;
	if (!lm_str_to_u64(length, INT64_MAX, &h->length_left))
		return lm_fail(err, LM_E_PROTOCOL, 0, "'%s' answers with length '%.*s'", h->peer,
			LM_STR_ARG(length));
	h->has_length = true;
	return LM_OK;
}

/// "HTTP/1.x NNN reason"
static lm_rc read_status(struct http_unix *h, struct lm_err *err)
{
	struct lm_str rest = lm_buf_str(&h->head);
	struct lm_str line = cut_line(&rest);
	uint64_t status = 0;
	if (!lm_str_starts(line, LM_STR("HTTP/1.")) || line.n < 12 || line.p[8] != ' ' ||
		!lm_str_to_u64((struct lm_str){line.p + 9, 3}, 599, &status) || status < 100 ||
		(line.n > 12 && line.p[12] != ' ')) {
		char shown[320];
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"'%s' does not answer in HTTP but with \"%s\"", h->peer,
			lm_str_shorten(line, 64, shown, sizeof(shown)));
	}
	h->status = (int)status;
	return LM_OK;
}

static bool http_unix_is_2xx(const struct http_unix *h)
{
	return h->status >= 200 && h->status < 300;
}

static lm_rc take_body_bytes(struct http_unix *h, struct lm_str piece, struct lm_err *err)
{
	if (h->has_length) {
		if (piece.n > h->length_left)
			piece.n = (size_t)h->length_left;
		h->length_left -= piece.n;
	}
	if (h->has_length && h->length_left == 0)
		h->phase = DONE;
	if (piece.n == 0)
		return LM_OK;
	if (http_unix_is_2xx(h) && h->on_body)
		return h->on_body(h->ctx, piece, err);
	if (http_unix_is_2xx(h)) {
		if (!lm_buf_add_str(&h->body, piece))
			return lm_fail(err, LM_E_TOO_LARGE, 0, "answer of '%s' is over %zu bytes",
				h->peer, h->body.max);
		return LM_OK;
	}
	size_t room = h->body.max - h->body.len;
	if (piece.n > room)
		piece.n = room;
	(void)lm_buf_add_str(&h->body, piece);
	return LM_OK;
}

/// Where the headers end in `head` (behind the empty line), or 0.
static size_t head_end(const struct lm_buf *head, size_t from)
{
	// The empty line may have begun in an earlier piece.
	size_t i = from > 3 ? from - 3 : 0;
	for (; i < head->len; i++) {
		if (head->data[i] != '\n')
			continue;
		if (i + 1 < head->len && head->data[i + 1] == '\n')
			return i + 2;
		if (i + 2 < head->len && head->data[i + 1] == '\r' && head->data[i + 2] == '\n')
			return i + 3;
	}
	return 0;
}

static lm_rc take_answer_head(struct http_unix *h, struct lm_str piece, struct lm_err *err)
{
	size_t before = h->head.len;
	size_t room = h->head.max - before;
	struct lm_str fits = {piece.p, piece.n < room ? piece.n : room};
	(void)lm_buf_add_str(&h->head, fits);
	size_t end = head_end(&h->head, before);
	if (end == 0 && fits.n < piece.n)
		return lm_fail(err, LM_E_TOO_LARGE, 0, "headers of '%s' are over %zu bytes",
			h->peer, h->head.max);
	if (end == 0)
		return LM_OK;
	struct lm_str rest = {piece.p + (end - before), piece.n - (end - before)};
	h->head.len = end;
	h->head.data[end] = '\0';
	lm_rc rc = read_status(h, err);
	if (rc != LM_OK)
		return rc;
	if (h->status < 200) {
		lm_buf_clear(&h->head);
		return rest.n > 0 ? take_answer_head(h, rest, err) : LM_OK;
	}
	rc = read_length(h, err);
	if (rc != LM_OK)
		return rc;
	if (!http_unix_is_2xx(h))
		h->body.max = LIMIT_HTTP_ERROR_BODY;
	h->phase = READING_BODY;
	return take_body_bytes(h, rest, err);
}

static lm_rc end_of_stream(struct http_unix *h, struct lm_err *err)
{
	if (h->phase == READING_BODY && !h->has_length) {
		h->phase = DONE;
		return LM_OK;
	}
	return broken(h, err);
}

/// `*ret_more`: there may be more to read at once.
static lm_rc http_unix_read_answer(struct http_unix *h, bool *ret_more, struct lm_err *err)
{
	char piece[READ_PIECE];
	ssize_t n = recv(h->fd, piece, sizeof(piece), 0);
	if (n < 0 && errno == EINTR) {
		*ret_more = true;
		return LM_OK;
	}
	if (n < 0 && errno == EAGAIN)
		return LM_OK;
	if (n < 0 && errno == ECONNRESET)
		return broken(h, err);
	if (n < 0)
		return lm_fail(err, LM_E_SYS, errno, "read from '%s': %m", h->peer);
	if (n == 0)
		return end_of_stream(h, err);
	*ret_more = true;
	struct lm_str got = {piece, (size_t)n};
	lm_rc rc = h->phase == READING_HEAD ? take_answer_head(h, got, err)
					    : take_body_bytes(h, got, err);
	lm_wipe(piece, (size_t)n);
	return rc;
}

lm_rc http_unix_step(struct http_unix *h, bool *ret_done, struct lm_err *err)
{
	bool more = true;
	for (int i = 0; more && i < PIECES_PER_STEP && h->phase != DONE; i++) {
		more = false;
		lm_rc rc = h->phase <= SENDING_BODY ? send_some(h, &more, err)
						    : http_unix_read_answer(h, &more, err);
		if (rc != LM_OK)
			return rc;
	}
	*ret_done = h->phase == DONE;
	return LM_OK;
}

lm_rc http_unix_wait(struct http_unix *h, const struct wait_limit *limit, struct lm_err *err)
{
	for (;;) {
		bool done = false;
		lm_rc rc = http_unix_step(h, &done, err);
		if (rc != LM_OK || done)
			return rc;
		struct pollfd p = {.fd = h->fd, .events = http_unix_events(h)};
		rc = wait_for(&p, 1, limit, err);
		if (rc != LM_OK)
			return lm_wrap(err, "answer of '%s'", h->peer);
	}
}
