// SPDX-License-Identifier: Apache-2.0
#include "docker/json_stream.h"

#include "base/limits.h"

void json_stream_init(struct json_stream *s)
{
	*s = (struct json_stream){.object = LM_BUF(LIMIT_ENGINE_LINE)};
}

void json_stream_finish(struct json_stream *s)
{
	lm_buf_finish(&s->object);
}

bool json_stream_at_boundary(const struct json_stream *s)
{
	return s->depth == 0;
}

/// Follows one byte inside an object. True at the object's last one.
static bool ends_object(struct json_stream *s, char c)
{
	if (s->in_string) {
		if (s->escaped)
			s->escaped = false;
		else if (c == '\\')
			s->escaped = true;
		else if (c == '"')
			s->in_string = false;
		return false;
	}
	if (c == '"')
		s->in_string = true;
	else if (c == '{' || c == '[')
		s->depth++;
	else if (c == '}' || c == ']')
		s->depth--;
	return s->depth == 0;
}

static bool is_between(char c)
{
	// 0x1E begins each text of application/json-seq (RFC 7464).
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\x1e';
}

lm_rc json_stream_feed(struct json_stream *s, struct lm_str piece,
	lm_rc (*on_object)(void *ctx, struct lm_str object, struct lm_err *err), void *ctx,
	struct lm_err *err)
{
	for (size_t i = 0; i < piece.n; i++) {
		char c = piece.p[i];
		if (s->depth == 0 && is_between(c))
			continue;
		if (s->depth == 0 && c != '{') {
			char shown[160];
			struct lm_str rest = {piece.p + i, piece.n - i};
			return lm_fail(err, LM_E_PROTOCOL, 0,
				"the Docker daemon sent \"%s\" where a JSON object belongs",
				lm_str_shorten(rest, 32, shown, sizeof(shown)));
		}
		if (!lm_buf_putc(&s->object, c))
			return lm_fail(err, LM_E_TOO_LARGE, 0,
				"the Docker daemon sent a JSON object over %d bytes",
				LIMIT_ENGINE_LINE);
		if (!ends_object(s, c))
			continue;
		lm_rc rc = on_object(ctx, lm_buf_str(&s->object), err);
		lm_buf_clear(&s->object);
		if (rc != LM_OK)
			return rc;
	}
	return LM_OK;
}
