// SPDX-License-Identifier: Apache-2.0
#include "daemon/lines.h"

#include <errno.h>

enum { PIECE = 16 << 10 };

static void hand_over(struct lines *lines, lines_cb *cb, void *ctx)
{
	struct lm_str rest = lm_buf_str(&lines->pending);
	size_t used = 0;

	for (size_t n; (n = lm_str_find(rest, '\n')) < rest.n;) {
		cb(ctx, (struct lm_str){rest.p, n});
		used += n + 1;
		rest = (struct lm_str){rest.p + n + 1, rest.n - n - 1};
	}
	lm_buf_consume(&lines->pending, used);
}

static void hand_over_rest(struct lines *lines, lines_cb *cb, void *ctx)
{
	if (lines->pending.len == 0)
		return;
	cb(ctx, lm_buf_str(&lines->pending));
	lm_buf_clear(&lines->pending);
}

/// Takes what was read, in steps that fit.
static lm_rc take(
	struct lines *lines, struct lm_str piece, lines_cb *cb, void *ctx, struct lm_err *err)
{
	while (piece.n > 0) {
		size_t room = lines->pending.max - lines->pending.len;
		size_t n = piece.n < room ? piece.n : room;

		if (n == 0 && !lines->in_pieces)
			return lm_fail(err, LM_E_TOO_LARGE, 0, "a line is longer than %zu bytes",
				lines->pending.max);
		if (n == 0) {
			hand_over_rest(lines, cb, ctx);
			continue;
		}
		(void)lm_buf_add(&lines->pending, piece.p, n);
		piece = (struct lm_str){piece.p + n, piece.n - n};
		hand_over(lines, cb, ctx);
	}
	return LM_OK;
}

lm_rc lines_read(struct lines *lines, lines_cb *cb, void *ctx, bool *ret_end, struct lm_err *err)
{
	char piece[PIECE];

	for (;;) {
		ssize_t n = read(lines->fd, piece, sizeof(piece));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return LM_OK;
		if (n < 0)
			return lm_fail(err, LM_E_SYS, errno, "read from a pipe: %m");
		if (n == 0) {
			hand_over_rest(lines, cb, ctx);
			*ret_end = true;
			return LM_OK;
		}
		lm_rc rc = take(lines, (struct lm_str){piece, (size_t)n}, cb, ctx, err);
		if (rc)
			return rc;
	}
}

void lines_finish(struct lines *lines)
{
	lm_buf_finish(&lines->pending);
}
