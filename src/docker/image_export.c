// SPDX-License-Identifier: Apache-2.0
#include "docker/image_export.h"

#include "base/buf.h"
#include "base/encoding.h"
#include "base/limits.h"
#include "docker/engine_request.h"
#include "sys/http_unix.h"
#include "sys/json.h"

#include <string.h>

enum {
	/// Engine 20.10 writes the whole archive to its disk before it sends the first byte.
	EXPORT_MS = 2 * 3600 * 1000,
	EXPORT_TARGET_MAX = 4096,
	TAIL_MAX = 4096,
};

struct image_stream {
	lm_rc (*on_piece)(void *ctx, struct lm_str piece, struct lm_err *err);
	void *ctx;
	bool is_refused; ///< By on_piece.
	struct lm_err refusal;
	char tail[TAIL_MAX];
	size_t tail_n;
};

bool image_export_is_damage(struct lm_str message)
{
	static const char *const signs[] = {
		// Of the Engine: a file, a layer, a configuration is not what it was.
		"file integrity checksum failed",
		"layer verification failed",
		"failed to verify: sha256:",
		"failed to verify image",
		"error creating overlay mount",
		"layer does not exist",
		"does not exist in the layer",
		"invalid checksum",
		"gzip: invalid",
		"corrupt input before offset",
		"unexpected EOF",
		"unexpected end of JSON input",
		"failed precondition: unexpected",
		// Of the file system.
		"no such file or directory",
		"not a directory",
		"is a directory",
		"input/output error",
		"structure needs cleaning",
		"bad message",
		"stale file handle",
	};
	static const char *const others[] = {
		"docker-export-", // what it exports to, not what it reads
		// containerd is away, or was restarted meanwhile.
		"dial unix",
		"transport:",
		"rpc error",
		"error reading from server",
	};
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_HTTP_ERROR_BODY);

	if (lm_str_eq(lm_str_trim(message), LM_STR("EOF"))) // an empty file where there was one
		return true;
	(void)lm_buf_add_str(&text, message);
	for (size_t i = 0; i < LM_ARRAY_SIZE(others); i++)
		if (strstr(lm_buf_cstr(&text), others[i]))
			return false;
	for (size_t i = 0; i < LM_ARRAY_SIZE(signs); i++)
		if (strstr(lm_buf_cstr(&text), signs[i]))
			return true;
	return false;
}

bool image_export_find_error(struct lm_str tail, struct lm_buf *message)
{
	static const char begin[] = "{\"errorDetail\":";
	struct lm_str rest = lm_str_trim(tail);
	const char *found = rest.n ? memmem(rest.p, rest.n, begin, sizeof(begin) - 1) : NULL;
	lm_auto_json json_t *object = NULL;

	if (!found)
		return false;
	rest = (struct lm_str){found, rest.n - (size_t)(found - rest.p)};
	if (json_parse(rest, &object, NULL) || !json_get_text(object, "error"))
		return false;
	(void)lm_buf_puts(message, json_get_text(object, "error"));
	return true;
}

static void keep_tail(struct image_stream *s, struct lm_str piece)
{
	if (piece.n >= TAIL_MAX) {
		memcpy(s->tail, piece.p + piece.n - TAIL_MAX, TAIL_MAX);
		s->tail_n = TAIL_MAX;
		return;
	}
	size_t room = TAIL_MAX - s->tail_n;
	size_t over = piece.n > room ? piece.n - room : 0;
	memmove(s->tail, s->tail + over, s->tail_n - over);
	s->tail_n -= over;
	memcpy(s->tail + s->tail_n, piece.p, piece.n);
	s->tail_n += piece.n;
}

/// All is read, also behind what on_piece refuses: the Engine's own error may stand there.
static lm_rc on_export_piece(void *ctx, struct lm_str piece, struct lm_err *err)
{
	struct image_stream *s = ctx;

	keep_tail(s, piece);
	if (s->is_refused)
		return LM_OK;
	lm_rc rc = s->on_piece(s->ctx, piece, &s->refusal);
	if (rc == LM_E_CANCELLED) {
		*err = s->refusal;
		return rc;
	}
	s->is_refused = rc != LM_OK;
	return LM_OK;
}

static enum image_export_state state_of_error(int status, const struct lm_err *err)
{
	// Of an ID that the Engine does not have, it names the file that it has not found.
	if (strstr(err->msg, "failed to get digest") || strstr(err->msg, "No such image"))
		return IMAGE_MISSING;
	if (image_export_is_damage(lm_str(err->msg)))
		return IMAGE_BROKEN;
	return status == 404 ? IMAGE_MISSING : IMAGE_UNREADABLE;
}

static lm_rc finish_export(const struct image_stream *s, const struct http_unix *h,
	enum image_export_state *ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf message = LM_BUF(TAIL_MAX);
	struct lm_str tail = {s->tail, s->tail_n};

	*ret = IMAGE_EXPORTED;
	if (http_unix_status(h) / 100 != 2) {
		(void)!engine_answer_error(h, err);
		*ret = state_of_error(http_unix_status(h), err);
	} else if (image_export_find_error(tail, &message)) {
		(void)!lm_fail(err, LM_E_REFUSED, 0, "%s", lm_buf_cstr(&message));
		*ret = state_of_error(0, err);
	} else if (s->is_refused) {
		*err = s->refusal;
		return err->rc;
	}
	return LM_OK;
}

lm_rc image_export(const struct engine *e, const char *name,
	lm_rc (*on_piece)(void *ctx, struct lm_str piece, struct lm_err *err), void *ctx,
	const struct wait_limit *limit, enum image_export_state *ret, struct lm_err *err)
{
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_auto_buf struct lm_buf target = LM_BUF(EXPORT_TARGET_MAX);
	struct image_stream stream = {.on_piece = on_piece, .ctx = ctx};

	(void)lm_buf_printf(&target, "/v1.%u/images/", e->version.minor);
	(void)lm_percent_encode(&target, lm_str(name), true);
	(void)lm_buf_puts(&target, "/get");
	if (target.overflow)
		return lm_fail(err, LM_E_INVALID, 0, "an image name is too long");
	const struct http_unix_request request = {.socket_path = e->socket_path,
		.method = "GET",
		.target = lm_buf_cstr(&target),
		.on_body = on_export_piece,
		.ctx = &stream,
		.body_max = LIMIT_HTTP_ERROR_BODY};
	lm_rc rc = engine_exchange(&request, EXPORT_MS, limit, &h, err);
	if (rc == LM_E_CANCELLED)
		return rc;
	if (rc) { // the connection, or the time limit
		*ret = IMAGE_UNREADABLE;
		return LM_OK;
	}
	return finish_export(&stream, h, ret, err);
}
