// SPDX-License-Identifier: Apache-2.0
#include "docker/engine_request.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "docker/engine_json.h"
#include "sys/http_unix.h"
#include "sys/loop.h"
#include "sys/wait.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>

enum { REQUEST_MS = 60 * 1000 }; ///< The engine may be busy with a pull on a slow card.

static lm_rc explain_denied(const char *socket_path, struct lm_err *err)
{
	const struct passwd *user = getpwuid(geteuid());
	char number[16];
	(void)snprintf(number, sizeof(number), "%u", (unsigned)geteuid());
	const char *name = user ? user->pw_name : number;
	struct stat st;
	const struct group *group = stat(socket_path, &st) == 0 ? getgrgid(st.st_gid) : NULL;
	if (!group || st.st_gid == 0)
		return lm_fail(err, LM_E_DENIED, EACCES,
			"user %s may not use the Docker socket %s: give the socket to a group and "
			"add "
			"the user to it",
			name, socket_path);
	return lm_fail(err, LM_E_DENIED, EACCES,
		"user %s may not use the Docker socket %s: add it to the group that owns it "
		"(usermod -aG %s %s)",
		name, socket_path, group->gr_name, name);
}

lm_rc engine_explain(lm_rc rc, const char *socket_path, struct lm_err *err)
{
	switch (rc) {
	case LM_E_NOT_FOUND:
		return lm_fail(err, rc, ENOENT,
			"no Docker socket at %s: start the Docker daemon (systemctl start docker), "
			"or "
			"install the Docker Engine",
			socket_path);
	case LM_E_NETWORK:
		return lm_fail(err, rc, ECONNREFUSED,
			"the Docker daemon does not answer at %s: start it (systemctl start "
			"docker)",
			socket_path);
	case LM_E_DENIED:
		return explain_denied(socket_path, err);
	default:
		return rc;
	}
}

lm_rc engine_connect(
	const struct http_unix_request *request, struct http_unix **ret, struct lm_err *err)
{
	lm_rc rc = http_unix_create(request, ret, err);
	return rc == LM_OK ? LM_OK : engine_explain(rc, request->socket_path, err);
}

lm_rc engine_answer_error(const struct http_unix *h, struct lm_err *err)
{
	lm_auto_buf struct lm_buf words = LM_BUF(4096);
	bool is_message = engine_error_text(http_unix_body(h), &words);
	lm_rc rc = engine_error_class(http_unix_status(h), lm_buf_str(&words));
	if (is_message)
		return lm_fail(err, rc, 0, "%s", lm_buf_cstr(&words));
	return lm_fail(err, rc, 0, "'%s' answers with status %d: %s", http_unix_peer(h),
		http_unix_status(h), lm_buf_cstr(&words));
}

lm_rc engine_exchange(const struct http_unix_request *request, uint64_t timeout_ms,
	const struct wait_limit *limit, struct http_unix **ret, struct lm_err *err)
{
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_rc rc = engine_connect(request, &h, err);
	if (rc != LM_OK)
		return rc;
	struct wait_limit within = wait_limit_within(limit, timeout_ms);
	rc = http_unix_wait(h, &within, err);
	if (rc != LM_OK)
		return lm_wrap(err, "ask the Docker daemon");
	*ret = lm_take(h);
	return LM_OK;
}

lm_rc engine_fetch(const char *socket_path, const char *target, const struct wait_limit *limit,
	struct http_unix **ret, struct lm_err *err)
{
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	struct http_unix_request request = {.socket_path = socket_path,
		.method = "GET",
		.target = target,
		.body_max = LIMIT_ENGINE_BODY};
	lm_rc rc = engine_exchange(&request, REQUEST_MS, limit, &h, err);
	if (rc != LM_OK)
		return rc;
	if (http_unix_status(h) / 100 != 2)
		return engine_answer_error(h, err);
	*ret = lm_take(h);
	return LM_OK;
}

/// One request of a batch.
struct batch_item {
	struct http_unix *http; ///< NULL: it waits, or is done.
	bool begun, done;
	uint64_t begun_ms;
	/// When it starts, or, once started, when it times out, on lm_clock_mono_ms().
	uint64_t due_ms;
};

struct batch_run {
	struct engine_batch *batch;
	struct batch_item *items;
	unsigned under_way;
	struct pollfd *fds; ///< Room for `parallel`.
	size_t *polled;     ///< Whose they are.
};

static void close_request(struct batch_run *run, struct batch_item *item)
{
	if (!item->http)
		return;
	http_unix_destroy(lm_take(item->http));
	run->under_way--;
}

static void finish_run(struct batch_run *run)
{
	for (size_t i = 0; i < run->batch->n; i++)
		close_request(run, &run->items[i]);
	free(run->items);
	free(run->fds);
	free(run->polled);
}

static lm_rc finish_batch_item(struct batch_run *run, size_t i, struct lm_err *err)
{
	struct batch_item *item = &run->items[i];
	uint64_t again_ms = ENGINE_BATCH_DONE;
	lm_rc rc = run->batch->finish(run->batch->ctx, i, item->http, &again_ms, err);

	close_request(run, item);
	item->done = again_ms == ENGINE_BATCH_DONE;
	if (!item->done)
		item->due_ms = lm_clock_mono_ms() + again_ms;
	return rc;
}

/// Whether a request may start once it is due.
static bool may_begin(const struct batch_run *run, const struct batch_item *item)
{
	return !item->done && !item->http && run->under_way < run->batch->parallel &&
	       (item->begun || !run->batch->draining);
}

static lm_rc start_due_requests(struct batch_run *run, struct lm_err *err)
{
	for (size_t i = 0; i < run->batch->n; i++) {
		struct batch_item *item = &run->items[i];

		if (!may_begin(run, item) || item->due_ms > lm_clock_mono_ms())
			continue;
		item->begun = true;
		*err = (struct lm_err){LM_OK};
		if (run->batch->start(run->batch->ctx, i, &item->http, err) == LM_OK) {
			item->begun_ms = lm_clock_mono_ms();
			run->under_way++;
			continue;
		}
		lm_rc rc = finish_batch_item(run, i, err);
		if (rc != LM_OK)
			return rc;
	}
	return LM_OK;
}

/// Collects what to wait for: descriptors, and until when.
static unsigned collect(struct batch_run *run, uint64_t *ret_until_ms)
{
	unsigned n = 0;

	*ret_until_ms = UINT64_MAX;
	for (size_t i = 0; i < run->batch->n; i++) {
		struct batch_item *item = &run->items[i];

		if (item->http) {
			item->due_ms = run->batch->deadline_ms(run->batch->ctx, item->begun_ms);
			run->fds[n] = (struct pollfd){.fd = http_unix_fd(item->http),
				.events = http_unix_events(item->http)};
			run->polled[n++] = i;
		} else if (!may_begin(run, item)) {
			continue;
		}
		if (item->due_ms < *ret_until_ms)
			*ret_until_ms = item->due_ms;
	}
	return n;
}

static lm_rc wait_for_requests(struct batch_run *run, unsigned n, uint64_t until_ms,
	const struct wait_limit *limit, struct lm_err *err)
{
	uint64_t now = lm_clock_mono_ms();
	struct wait_limit within = *limit;

	if (until_ms != UINT64_MAX)
		within = wait_limit_within(limit, until_ms > now ? until_ms - now : 0);
	lm_rc rc = wait_for(run->fds, n, &within, err);
	if (rc == LM_E_TIMEOUT && within.deadline_ms != limit->deadline_ms)
		return LM_OK;
	if (rc != LM_OK && n > 0 && run->batch->name)
		(void)!lm_wrap(err, "%s", run->batch->name(run->batch->ctx, run->polled[0]));
	return rc != LM_OK ? lm_wrap(err, "%s", run->batch->what) : LM_OK;
}

/// Goes on with a request that is ready, and gives up one that lasts too long.
static lm_rc step_request(struct batch_run *run, size_t i, bool ready, struct lm_err *err)
{
	struct batch_item *item = &run->items[i];
	uint64_t now = lm_clock_mono_ms();
	bool done = false;

	*err = (struct lm_err){LM_OK};
	if (ready) {
		lm_rc rc = http_unix_step(item->http, &done, err);

		if (rc != LM_OK)
			done = true;
		else if (run->batch->progress)
			run->batch->progress(run->batch->ctx, i);
	} else if (item->due_ms <= now &&
		   run->batch->deadline_ms(run->batch->ctx, item->begun_ms) <= now) {
		(void)!lm_fail(err, LM_E_TIMEOUT, 0, "no answer within %llu s",
			(unsigned long long)(now - item->begun_ms) / 1000);
		done = true;
	}
	return done ? finish_batch_item(run, i, err) : LM_OK;
}

lm_rc engine_batch_run(
	struct engine_batch *batch, const struct wait_limit *limit, struct lm_err *err)
{
	struct lm_err own = {LM_OK};
	struct lm_err *why = err ? err : &own;
	lm_auto(finish_run) struct batch_run run = {.batch = batch,
		.items = lm_xcalloc(batch->n + 1, sizeof(*run.items)),
		.fds = lm_xcalloc(batch->parallel, sizeof(*run.fds)),
		.polled = lm_xcalloc(batch->parallel, sizeof(*run.polled))};

	for (;;) {
		uint64_t until_ms = 0;
		lm_rc rc = start_due_requests(&run, why);
		unsigned n = rc == LM_OK ? collect(&run, &until_ms) : 0;

		if (rc != LM_OK || (n == 0 && until_ms == UINT64_MAX))
			return rc;
		rc = wait_for_requests(&run, n, until_ms, limit, why);
		for (unsigned k = 0; rc == LM_OK && k < n; k++)
			rc = step_request(&run, run.polled[k], run.fds[k].revents != 0, why);
		if (rc != LM_OK)
			return rc;
	}
}

struct engine_get {
	const char *socket_path, *what;
	unsigned limit_ms;
	engine_get_done *done;
	void *ctx;
	struct http_unix *http;
	struct loop_fd *watch;
	struct loop_timer *timer; ///< The time limit; at 0 ms, a failure to start.
	struct lm_err failure;    ///< To start; LM_OK: none.
};

/// Calls `done`, which may destroy the request.
static void finish_get(struct engine_get *g, lm_rc rc, const struct lm_err *err)
{
	lm_auto(http_unix_destroy_p) struct http_unix *http = NULL;
	struct lm_str body = {"", 0};

	loop_timer_stop(g->timer);
	loop_fd_destroy(lm_take(g->watch));
	http = lm_take(g->http);
	if (rc == LM_OK)
		body = http_unix_body(http);
	g->done(g->ctx, rc, body, err);
}

static void on_get_time(void *ctx)
{
	struct engine_get *g = ctx;
	struct lm_err err = g->failure;

	if (err.rc == LM_OK)
		(void)!lm_fail(&err, LM_E_TIMEOUT, 0,
			"the Docker daemon did not answer at %s within %u s: look at its log "
			"(journalctl -u docker)",
			g->socket_path, (g->limit_ms + 999) / 1000);
	finish_get(g, err.rc, &err);
}

static lm_rc check_status(const struct engine_get *g, struct lm_err *err)
{
	if (http_unix_status(g->http) / 100 == 2)
		return LM_OK;
	(void)!engine_answer_error(g->http, err);
	return lm_wrap(err, "%s: the Docker daemon answers", g->what);
}

static void on_get_ready(void *ctx, short events)
{
	struct engine_get *g = ctx;
	bool done = false;
	struct lm_err err = {LM_OK};
	(void)events;

	lm_rc rc = http_unix_step(g->http, &done, &err);
	if (rc != LM_OK)
		finish_get(g, lm_wrap(&err, "ask the Docker daemon"), &err);
	else if (done)
		finish_get(g, check_status(g, &err), &err);
	else
		loop_fd_set(g->watch, http_unix_events(g->http));
}

/// `request` lacks only what `g` has.
static lm_rc begin_get(struct engine_get *g, struct loop *loop, struct http_unix_request *request,
	struct lm_err *err)
{
	request->socket_path = g->socket_path;
	request->ctx = g->ctx;
	request->body_max = LIMIT_ENGINE_BODY;
	lm_rc rc = http_unix_create(request, &g->http, err);

	if (rc != LM_OK)
		return engine_explain(rc, g->socket_path, err);
	rc = loop_fd_create(loop, http_unix_fd(g->http), on_get_ready, g, &g->watch, err);
	if (rc == LM_OK)
		loop_fd_set(g->watch, http_unix_events(g->http));
	return rc;
}

static struct engine_get *start_get(struct loop *loop, const char *socket_path,
	struct http_unix_request *request, const char *what, unsigned limit_ms,
	engine_get_done *done, void *ctx)
{
	struct engine_get *g = lm_xcalloc(1, sizeof(*g));

	*g = (struct engine_get){.socket_path = socket_path,
		.what = what,
		.limit_ms = limit_ms,
		.done = done,
		.ctx = ctx};
	g->timer = loop_timer_create(loop, on_get_time, g);
	if (begin_get(g, loop, request, &g->failure) == LM_OK)
		loop_timer_start(g->timer, limit_ms, 0);
	else
		loop_timer_start(g->timer, 0, 0);
	return g;
}

struct engine_get *engine_get_start_pieces(struct loop *loop, const char *socket_path,
	const char *target, const char *what, unsigned limit_ms, engine_get_piece *piece,
	engine_get_done *done, void *ctx)
{
	struct http_unix_request request = {.method = "GET", .target = target, .on_body = piece};

	return start_get(loop, socket_path, &request, what, limit_ms, done, ctx);
}

struct engine_get *engine_post_start(struct loop *loop, const char *socket_path, const char *target,
	const char *what, unsigned limit_ms, engine_get_done *done, void *ctx)
{
	struct http_unix_request request = {.method = "POST", .target = target};

	return start_get(loop, socket_path, &request, what, limit_ms, done, ctx);
}

struct engine_get *engine_get_start(struct loop *loop, const char *socket_path, const char *target,
	const char *what, unsigned limit_ms, engine_get_done *done, void *ctx)
{
	return engine_get_start_pieces(loop, socket_path, target, what, limit_ms, NULL, done, ctx);
}

void engine_get_destroy(struct engine_get *get)
{
	if (!get)
		return;
	loop_fd_destroy(get->watch);
	http_unix_destroy(get->http);
	loop_timer_destroy(get->timer);
	free(get);
}
