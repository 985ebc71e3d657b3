// SPDX-License-Identifier: Apache-2.0
#include "daemon/worker_protocol.h"

#include "base/encoding.h"
#include "deploy/stages.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { COPY_VERSION_MAX = 1024 }; ///< S3's own limit.

static bool worker_protocol_is_one_of(const char *text, const char *const *words, size_t n)
{
	for (size_t i = 0; text && i < n; i++) {
		if (strcmp(text, words[i]) == 0)
			return true;
	}
	return false;
}

static bool read_stage(const json_t *line, struct worker_line *ret)
{
	static const char *const states[] = {"begin", "progress", "end", "fail"};
	const char *stage = json_get_text(line, "stage");
	const char *state = json_get_text(line, "state");

	if (!stage || deploy_stage_from_name(stage) == DEPLOY_STAGES ||
		!worker_protocol_is_one_of(state, states, LM_ARRAY_SIZE(states)))
		return false;
	*ret = (struct worker_line){.kind = WORKER_LINE_STAGE,
		.begins = strcmp(state, "begin") == 0,
		.ends = strcmp(state, "end") == 0 || strcmp(state, "fail") == 0,
		.stage = stage};
	return true;
}

static bool read_pair(const json_t *object, enum worker_line_kind kind, const char *first,
	const char *second, struct worker_line *ret)
{
	*ret = (struct worker_line){.kind = kind,
		.first = json_get_text(object, first),
		.second = json_get_text(object, second)};
	return ret->first && ret->second;
}

/// "sha256:…", as every engine names its images.
static bool is_image_id(const char *id)
{
	struct lm_str algorithm = LM_STR("sha256:");

	return id && lm_str_starts(lm_str(id), algorithm) &&
	       lm_hex_is_sha256(lm_str(id + algorithm.n));
}

static bool read_image(const json_t *line, struct worker_line *ret)
{
	bool is_pair = read_pair(line, WORKER_LINE_IMAGE, "image", "digest", ret);

	ret->id = json_get_text(line, "id");
	ret->pulled = json_get_bool(line, "pulled", false);
	return is_pair && is_image_id(ret->id);
}

/// 64 digits of a hexadecimal number and a version, which go into the store.
static bool read_copy(const json_t *copy, struct worker_line *ret)
{
	static const char digits[] = "0123456789abcdef";

	return read_pair(copy, WORKER_LINE_COPY, "sha256", "version", ret) &&
	       strlen(ret->first) == 64 && strspn(ret->first, digits) == 64 &&
	       strlen(ret->second) <= COPY_VERSION_MAX;
}

static bool read_shipped(const json_t *line, struct worker_line *ret)
{
	int64_t shipped = json_get_int(line, "shipped", -1);
	int64_t rejected = json_get_int(line, "rejected", -1);

	*ret = (struct worker_line){.kind = WORKER_LINE_SHIPPED,
		.shipped = (uint64_t)shipped,
		.rejected = (uint64_t)rejected};
	return shipped >= 0 && rejected >= 0;
}

static bool read_verify(const json_t *verify, struct worker_line *ret)
{
	static const char *const states[] = {"reading", "ok", "damaged", "missing", "unreadable"};
	const char *state = json_get_text(verify, "state");

	return read_pair(verify, WORKER_LINE_VERIFY, "image", "state", ret) &&
	       worker_protocol_is_one_of(state, states, LM_ARRAY_SIZE(states));
}

static bool read_result(const json_t *line, struct worker_line *ret)
{
	static const char *const results[] = {"success", "fail", "cancelled"};
	static const char *const errors[] = {"InvalidParameter", "InternalError"};
	const char *result = json_get_text(line, "result");

	*ret = (struct worker_line){.kind = WORKER_LINE_RESULT};
	if (!worker_protocol_is_one_of(result, results, LM_ARRAY_SIZE(results)))
		return false;
	return strcmp(result, "fail") != 0 ||
	       (json_get_text(line, "message") &&
		       worker_protocol_is_one_of(
			       json_get_text(line, "error"), errors, LM_ARRAY_SIZE(errors)));
}

static bool read_any(const json_t *line, struct worker_line *ret)
{
	// A result names its stage, too.
	if (json_object_get(line, "result"))
		return read_result(line, ret);
	if (json_object_get(line, "stage"))
		return read_stage(line, ret);
	if (json_object_get(line, "digest"))
		return read_image(line, ret);
	if (json_object_get(line, "removed")) {
		*ret = (struct worker_line){
			.kind = WORKER_LINE_REMOVED, .id = json_get_text(line, "removed")};
		return is_image_id(ret->id);
	}
	if (json_object_get(line, "compose"))
		return read_pair(json_object_get(line, "compose"), WORKER_LINE_COMPOSE, "stamp",
			"version", ret);
	if (json_object_get(line, "copy"))
		return read_copy(json_object_get(line, "copy"), ret);
	if (json_is_object(json_object_get(line, "plan"))) {
		*ret = (struct worker_line){.kind = WORKER_LINE_PLAN};
		return true;
	}
	if (json_is_object(json_object_get(line, "device")) ||
		json_is_object(json_object_get(line, "devices")) ||
		json_is_object(json_object_get(line, "volumes"))) {
		*ret = (struct worker_line){.kind = WORKER_LINE_DEVICE};
		return true;
	}
	if (json_object_get(line, "verify"))
		return read_verify(json_object_get(line, "verify"), ret);
	if (json_object_get(line, "shipped"))
		return read_shipped(line, ret);
	if (json_get_bool(line, "hardened", false)) {
		*ret = (struct worker_line){.kind = WORKER_LINE_HARDENED};
		return true;
	}
	if (json_object_get(line, "idle")) {
		*ret = (struct worker_line){.kind = WORKER_LINE_IDLE};
		return json_get_bool(line, "idle", false);
	}
	*ret = (struct worker_line){.kind = WORKER_LINE_ALIVE};
	return json_get_bool(line, "alive", false);
}

lm_rc worker_protocol_parse(struct lm_str text, json_t **ret_line, struct worker_line *ret)
{
	lm_auto_json json_t *line = NULL;
	struct lm_err ignored; // the caller shows the line itself

	if (json_parse(text, &line, &ignored) || !json_is_object(line) || !read_any(line, ret))
		return LM_E_PROTOCOL;
	*ret_line = lm_take(line);
	return LM_OK;
}

struct worker_result worker_protocol_result(const json_t *line)
{
	const char *result = json_get_text(line, "result");
	bool success = strcmp(result, "success") == 0;
	bool cancelled = strcmp(result, "cancelled") == 0;
	lm_rc rc = success ? LM_OK : LM_E_PROTOCOL; // of a worker that does not report it

	const json_t *space = json_object_get(line, "space");
	int64_t bytes = json_get_int(space, "bytes", 0);

	(void)lm_rc_from_name(json_get_text(line, "class"), &rc);
	return (struct worker_result){
		.verdict = success     ? WORKER_SUCCESS
			   : cancelled ? WORKER_CANCELLED
				       : WORKER_FAIL,
		.rc = rc,
		.stage = json_get_text(line, "stage"),
		.error = json_get_text(line, "error"),
		.message = json_get_text(line, "message"),
		.compose_version = json_get_text(line, "compose_version"),
		.effect = json_get_text(line, "effect"),
		.space_directory = json_get_text(space, "directory"),
		.space_bytes = bytes > 0 ? (uint64_t)bytes : 0,
	};
}

enum { PIECE = 16 << 10 };

static void worker_protocol_hand_over(struct line_reader *lines, line_reader_cb *cb, void *ctx)
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

static void worker_protocol_hand_over_rest(struct line_reader *lines, line_reader_cb *cb, void *ctx)
{
	if (lines->pending.len == 0)
		return;
	cb(ctx, lm_buf_str(&lines->pending));
	lm_buf_clear(&lines->pending);
}

/// Takes what was read, in steps that fit.
static lm_rc worker_protocol_take(struct line_reader *lines, struct lm_str piece,
	line_reader_cb *cb, void *ctx, struct lm_err *err)
{
	while (piece.n > 0) {
		size_t room = lines->pending.max - lines->pending.len;
		size_t n = piece.n < room ? piece.n : room;

		if (n == 0 && !lines->in_pieces)
			return lm_fail(err, LM_E_TOO_LARGE, 0, "a line is longer than %zu bytes",
				lines->pending.max);
		if (n == 0) {
			worker_protocol_hand_over_rest(lines, cb, ctx);
			continue;
		}
		(void)lm_buf_add(&lines->pending, piece.p, n);
		piece = (struct lm_str){piece.p + n, piece.n - n};
		worker_protocol_hand_over(lines, cb, ctx);
	}
	return LM_OK;
}

lm_rc line_reader_read(
	struct line_reader *lines, line_reader_cb *cb, void *ctx, bool *ret_end, struct lm_err *err)
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
			worker_protocol_hand_over_rest(lines, cb, ctx);
			*ret_end = true;
			return LM_OK;
		}
		lm_rc rc = worker_protocol_take(
			lines, (struct lm_str){piece, (size_t)n}, cb, ctx, err);
		if (rc)
			return rc;
	}
}

void line_reader_finish(struct line_reader *lines)
{
	lm_buf_finish(&lines->pending);
}
