// SPDX-License-Identifier: Apache-2.0
#include "docker/pull.h"

#include "base/clock.h"
#include "base/encoding.h"
#include "base/limits.h"
#include "base/memory.h"
#include "docker/engine_priv.h"
#include "docker/images.h"
#include "docker/pull_stream.h"

#include <stdio.h>

enum {
	PROGRESS_MS = 250,
	TARGET_MAX = 4096,
	API_MINOR_PLATFORM = 32, ///< Below it the engine ignores `platform`.
	/// A try that ended later than this was refused because its credentials had run out.
	LONG_TRY_MS = 3600 * 1000,
};

/// One pull under way.
struct pull {
	size_t item;
	struct http_unix *http; ///< NULL: the place is free.
	struct pull_stream stream;
	uint64_t moves_seen;
	uint64_t told_ms;  ///< When on_progress was last called.
	uint64_t begun_ms; ///< When this try began.
	bool renewed;      ///< It is not the first.
};

struct pull_set {
	const struct engine *engine;
	const struct pull_item *items;
	size_t n;
	size_t started;
	const struct pull_options *options;
	const struct wait_limit *limit;
	struct pull pulls[LIMIT_PARALLEL_PULLS];
	unsigned parallel;
	uint64_t moved_ms;     ///< When any of them last made progress.
	struct lm_err failure; ///< The first; LM_OK: none.
	size_t failed_n;
};

static void free_place(struct pull *p)
{
	if (!p->http)
		return;
	http_unix_destroy(p->http);
	pull_stream_finish(&p->stream);
	p->http = NULL;
}

static void finish_set(struct pull_set *set)
{
	for (unsigned i = 0; i < LIMIT_PARALLEL_PULLS; i++)
		free_place(&set->pulls[i]);
}

static lm_rc take_piece(void *ctx, struct lm_str piece, struct lm_err *err)
{
	struct pull *p = ctx;
	return pull_stream_feed(&p->stream, piece, err);
}

static lm_rc build_target(const struct engine *e, const struct pull_item *item, struct lm_buf *out,
	struct lm_err *err)
{
	lm_auto(image_ref_finish) struct image_ref ref = {0};
	lm_rc rc = image_ref_parse(lm_str(item->image), &ref, err);
	if (rc != LM_OK)
		return rc;
	// Without `tag` the engine would pull all tags of the repository.
	(void)lm_buf_printf(out, "/v1.%u/images/create?fromImage=", e->version.minor);
	(void)lm_percent_encode(out, lm_str(ref.name), false);
	(void)lm_buf_puts(out, "&tag=");
	(void)lm_percent_encode(out, lm_str(image_ref_version(&ref)), false);
	if (item->platform && e->version.minor >= API_MINOR_PLATFORM) {
		(void)lm_buf_puts(out, "&platform=");
		(void)lm_percent_encode(out, lm_str(item->platform), false);
	}
	if (out->overflow)
		return lm_fail(err, LM_E_INVALID, 0, "the name of an image is too long");
	return LM_OK;
}

static lm_rc start(struct pull_set *set, struct pull *p, size_t index, struct lm_err *err)
{
	const struct pull_item *item = &set->items[index];
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);
	lm_rc rc = build_target(set->engine, item, &target, err);
	if (rc != LM_OK)
		return rc;
	struct http_unix_request request = {.socket_path = set->engine->socket_path,
		.method = "POST",
		.target = lm_buf_cstr(&target),
		.secret_header = item->auth && item->auth->len > 0 ? "X-Registry-Auth" : NULL,
		.secret_value = item->auth,
		.on_body = take_piece,
		.ctx = p};
	rc = engine_connect(&request, &p->http, err);
	if (rc != LM_OK)
		return rc;
	p->item = index;
	p->moves_seen = 0;
	p->begun_ms = set->moved_ms = lm_clock_mono_ms();
	p->told_ms = 0;
	pull_stream_init(&p->stream);
	return LM_OK;
}

static void tell_progress(const struct pull_set *set, struct pull *p, const char *status)
{
	if (!set->options->on_progress)
		return;
	struct pull_progress progress = {.bytes_done = p->stream.bytes_done,
		.bytes_total = p->stream.bytes_total,
		.status = status};
	set->options->on_progress(set->options->ctx, p->item, &progress);
}

static void note_progress(struct pull_set *set, struct pull *p)
{
	if (p->stream.moves == p->moves_seen)
		return;
	p->moves_seen = p->stream.moves;
	set->moved_ms = lm_clock_mono_ms();
	if (p->told_ms != 0 && set->moved_ms - p->told_ms < PROGRESS_MS)
		return;
	p->told_ms = set->moved_ms;
	tell_progress(set, p, p->stream.status);
}

/// An answer that is not 2xx. 404 is the registry's final word on the image; 409 is no conflict on
/// this device, so it is a plain refusal here.
static lm_rc refused(const struct http_unix *h, struct lm_err *err)
{
	lm_rc rc = engine_answer_error(h, err);
	if (rc != LM_E_CONFLICT)
		return rc;
	if (err)
		err->rc = LM_E_REFUSED;
	return LM_E_REFUSED;
}

/// The answer is complete: is the image there, and what is its digest?
static lm_rc complete(struct pull_set *set, struct pull *p, struct lm_err *err)
{
	if (http_unix_status(p->http) / 100 != 2)
		return refused(p->http, err);
	lm_rc rc = pull_stream_end(&p->stream, err);
	if (rc != LM_OK)
		return rc;
	lm_auto(engine_image_finish) struct engine_image image = {0};
	const char *digest = p->stream.digest;
	if (!*digest) {
		rc = engine_inspect_image(
			set->engine, set->items[p->item].image, set->limit, &image, err);
		if (rc != LM_OK)
			return rc;
		digest = image.digest ? image.digest : "";
	}
	tell_progress(set, p, "done");
	if (set->options->on_done)
		set->options->on_done(set->options->ctx, p->item, digest);
	free_place(p);
	return LM_OK;
}

static lm_rc step(struct pull_set *set, struct pull *p, struct lm_err *err)
{
	bool done = false;
	lm_rc rc = http_unix_step(p->http, &done, err);
	if (rc != LM_OK)
		return rc;
	note_progress(set, p);
	return done ? complete(set, p, err) : LM_OK;
}

/// Notes the failure of an item, whose place is free then. What ends all is returned.
static lm_rc fail_item(struct pull_set *set, size_t index, struct lm_err *err)
{
	const struct pull_options *o = set->options;
	const struct pull_item *item = &set->items[index];

	if (err->rc == LM_E_CANCELLED)
		return err->rc;
	(void)!lm_wrap(err, "pull image %s", item->image);
	if (o->on_failed)
		o->on_failed(o->ctx, index, err);
	if (item->may_fail)
		return LM_OK;
	if (set->failed_n++ == 0)
		set->failure = *err;
	return LM_OK;
}

/// Asks for other credentials. What the other pulls received meanwhile has not been read.
static lm_rc renew(struct pull_set *set, size_t item, const struct lm_err *refusal,
	bool *ret_renewed, struct lm_err *err)
{
	const struct pull_options *o = set->options;
	lm_rc rc = o->renew ? o->renew(o->ctx, item, refusal, ret_renewed, err) : LM_OK;
	set->moved_ms = lm_clock_mono_ms();
	return rc;
}

/// A pull has failed: once more, if it was refused and there are other credentials now.
static lm_rc try_again(struct pull_set *set, struct pull *p, struct lm_err *err)
{
	bool lasted = lm_clock_mono_ms() - p->begun_ms >= LONG_TRY_MS;
	struct lm_err refusal = *err;
	bool renewed = false;
	if (refusal.rc != LM_E_DENIED || (p->renewed && !lasted))
		return refusal.rc;
	free_place(p);
	lm_rc rc = renew(set, p->item, &refusal, &renewed, err);
	if (rc != LM_OK)
		return rc;
	if (!renewed) {
		*err = refusal;
		return refusal.rc;
	}
	p->renewed = true;
	return start(set, p, p->item, err);
}

static lm_rc start_next(struct pull_set *set, struct pull *p, struct lm_err *err)
{
	bool renewed = false;
	lm_rc rc = renew(set, set->started, NULL, &renewed, err);
	p->renewed = false;
	return rc == LM_OK ? start(set, p, set->started, err) : rc;
}

/// After a failure none is begun any more.
static lm_rc fill_places(struct pull_set *set, struct lm_err *err)
{
	for (unsigned i = 0; i < set->parallel; i++) {
		struct pull *p = &set->pulls[i];

		while (!p->http && set->started < set->n && set->failed_n == 0) {
			lm_rc rc = start_next(set, p, err);

			if (rc != LM_OK)
				rc = fail_item(set, set->started, err);
			if (rc != LM_OK)
				return rc;
			set->started++;
		}
	}
	return LM_OK;
}

/// For how long nothing may be heard of any pull.
static uint64_t silence_ms(const struct pull_set *set)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < set->parallel; i++)
		if (set->pulls[i].http)
			bytes += set->pulls[i].stream.silent_bytes;
	uint64_t slowest_ms = bytes * 1000 / PULL_SLOWEST;
	return slowest_ms > set->options->stall_ms ? slowest_ms : set->options->stall_ms;
}

/// None has made progress for too long.
static lm_rc fail_stalled(struct pull_set *set, uint64_t silent_ms, struct lm_err *err)
{
	for (unsigned i = 0; i < set->parallel; i++) {
		struct pull *p = &set->pulls[i];

		if (!p->http)
			continue;
		free_place(p);
		(void)lm_fail(err, LM_E_TIMEOUT, 0,
			"no progress for %llu s: is the registry reachable, and fast enough?",
			(unsigned long long)(silent_ms / 1000));
		lm_rc rc = fail_item(set, p->item, err);
		if (rc != LM_OK)
			return rc;
	}
	return LM_OK;
}

/// Waits for any of the pulls. `*ret_stalled`: in vain.
static lm_rc wait_for_pulls(
	struct pull_set *set, struct pollfd *fds, unsigned n, bool *ret_stalled, struct lm_err *err)
{
	struct wait_limit limit = *set->limit;
	uint64_t silent_ms = silence_ms(set), now = lm_clock_mono_ms();
	uint64_t stall_at = set->moved_ms + silent_ms;

	*ret_stalled = false;
	if (set->options->stall_ms != 0)
		limit = wait_limit_within(&limit, stall_at > now ? stall_at - now : 0);
	lm_rc rc = wait_for(fds, n, &limit, err);
	if (rc == LM_OK)
		return LM_OK;
	if (rc != LM_E_TIMEOUT || limit.deadline_ms == set->limit->deadline_ms)
		return lm_wrap(err, "pull images");
	*ret_stalled = true;
	return fail_stalled(set, silent_ms, err);
}

/// One round: wait, then step those that are ready. `*ret_done` when none is left.
static lm_rc run_round(struct pull_set *set, bool *ret_done, struct lm_err *err)
{
	struct pollfd fds[LIMIT_PARALLEL_PULLS];
	struct pull *polled[LIMIT_PARALLEL_PULLS];
	unsigned n = 0;
	bool stalled = false;
	lm_rc rc = fill_places(set, err);

	for (unsigned i = 0; i < set->parallel; i++) {
		struct pull *p = &set->pulls[i];
		if (!p->http)
			continue;
		fds[n] = (struct pollfd){
			.fd = http_unix_fd(p->http), .events = http_unix_events(p->http)};
		polled[n++] = p;
	}
	*ret_done = n == 0;
	if (rc != LM_OK || n == 0)
		return rc;
	rc = wait_for_pulls(set, fds, n, &stalled, err);
	for (unsigned i = 0; rc == LM_OK && !stalled && i < n; i++) {
		struct pull *p = polled[i];

		if (fds[i].revents == 0 || step(set, p, err) == LM_OK ||
			try_again(set, p, err) == LM_OK)
			continue;
		free_place(p);
		rc = fail_item(set, p->item, err);
	}
	return rc;
}

/// All pulls have ended.
static lm_rc sum_up(const struct pull_set *set, struct lm_err *err)
{
	size_t others = set->failed_n - 1;

	if (set->failed_n == 0)
		return LM_OK;
	*err = set->failure;
	if (others == 0)
		return err->rc;
	return lm_fail(err, set->failure.rc, set->failure.sys, "%s; %zu other image%s failed, too",
		set->failure.msg, others, others == 1 ? "" : "s");
}

lm_rc engine_pull(const struct engine *e, const struct pull_item *items, size_t n,
	const struct pull_options *options, const struct wait_limit *limit, struct lm_err *err)
{
	struct lm_err own;
	if (!err)
		err = &own;
	unsigned parallel = options->parallel;
	if (parallel == 0 || parallel > LIMIT_PARALLEL_PULLS)
		parallel = LIMIT_PARALLEL_PULLS;
	lm_auto(finish_set) struct pull_set set = {.engine = e,
		.items = items,
		.n = n,
		.options = options,
		.limit = limit,
		.parallel = parallel};
	for (bool done = false; !done;) {
		lm_rc rc = run_round(&set, &done, err);
		if (rc != LM_OK)
			return rc;
	}
	return sum_up(&set, err);
}
