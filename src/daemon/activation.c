// SPDX-License-Identifier: Apache-2.0
#include "daemon/activation.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "config/activation_window.h"
#include "daemon/activation_order.h"
#include "daemon/boot_record.h"
#include "daemon/container_list.h"
#include "docker/compose.h"
#include "sys/file_hold.h"
#include "sys/notice.h"
#include "sys/side_thread.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	/// Nothing reports that a lock is released: a thread that waits for one kind of lock would
	/// not notice the other kind, nor that the file is replaced or removed, and could not be
	/// stopped. So it is tried once a second, for as long as a window is open.
	FILE_MS = 1000,
	FILE_SLOW_MS =
		5000, ///< A try that takes longer is reported.
		      /// The loop's timers stand still while the device is suspended, and are of
		      /// another clock than the windows: that is looked at no later than so.
	LOOK_MS = 60 * 1000,
	GONE_MS = 15 * 1000, ///< Containers that restart are down for less.
};

enum activation_state {
	ACTIVATION_NONE,    ///< Nobody waits for `done`.
	ACTIVATION_LOOKING, ///< Asks what runs, or tries the lock for the first time.
	ACTIVATION_WAITING,
	ACTIVATION_READY, ///< May go on as soon as `may_act`.
};

/// A try to lock the file, in a thread of its own, as the file system may never answer.
struct file_try {
	char *path;
	int fd; ///< -1: it is not locked by us.
	struct lm_err err;
};

struct activation {
	struct loop *loop;
	const struct host_settings *host;
	struct activation_events events;
	struct container_list *containers;
	struct loop_timer *timer; ///< For evaluate.
	struct loop_timer *gone;  ///< Asks once more whether anything runs.
	int clock_fd;
	struct loop_fd *clock_watch;
	char *boot_id; ///< "": it cannot be read.

	// Of the deployment that has begun.
	struct activation_order order; ///< `generation` 0: it may not wait.
	bool may_wait;
	bool is_over; ///< It may change containers.
	char *windows_text, *hold_file;
	struct activation_windows windows; ///< `n` 0: always open.
	uint64_t within_ms;                ///< 0: no limit.
	int lock_fd;                       ///< Our lock on the file; -1: none.

	enum activation_state state;
	activation_done *done;
	void *ctx;
	struct side_thread *thread; ///< NULL: no try is under way.
	struct file_try *file_try;
	uint64_t try_began_ms;
	enum activation_reason reason; ///< WAITING.
	int64_t opens_ms;
	char *trouble;
};

static void evaluate(struct activation *a);

// Words ------------------------------------------------------------------------------------------

enum { TIME_TEXT_SIZE = 40 };

/// By the local clock, with the day unless it is today.
static const char *time_text(int64_t wall_ms, char out[TIME_TEXT_SIZE])
{
	time_t at = (time_t)(wall_ms / 1000), now = (time_t)(lm_clock_wall_ms() / 1000);
	struct tm tm, today;

	tzset();
	if (!localtime_r(&at, &tm) || !localtime_r(&now, &today))
		return "an unknown time";
	bool is_today = tm.tm_year == today.tm_year && tm.tm_yday == today.tm_yday;
	return strftime(out, TIME_TEXT_SIZE, is_today ? "%H:%M" : "%a %Y-%m-%d %H:%M", &tm)
		       ? out
		       : "an unknown time";
}

char *activation_describe(const struct activation_view *view)
{
	char opens[TIME_TEXT_SIZE], latest[TIME_TEXT_SIZE];
	lm_auto_free char *limit = view->latest_ms ? lm_xasprintf(", %s at the latest",
							     time_text(view->latest_ms, latest))
						   : lm_xstrdup("");

	if (view->reason == ACTIVATION_WINDOW && !view->opens_ms)
		return lm_xasprintf("generation %u is ready and waits for a window (ActivateAt)%s",
			view->generation, limit);
	if (view->reason == ACTIVATION_WINDOW)
		return lm_xasprintf("generation %u is ready and waits until %s (ActivateAt)%s",
			view->generation, time_text(view->opens_ms, opens), limit);
	if (view->trouble)
		return lm_xasprintf("generation %u is ready and waits until '%s' can be examined "
				    "(HoldFile: %s)%s",
			view->generation, view->hold_file, view->trouble, limit);
	return lm_xasprintf(
		"generation %u is ready and waits until '%s' is no longer locked (HoldFile)%s",
		view->generation, view->hold_file, limit);
}

static json_t *time_or_null(int64_t wall_ms)
{
	return wall_ms ? json_integer(wall_ms) : json_null();
}

json_t *activation_to_json(const struct activation_view *view)
{
	bool is_window = view->reason == ACTIVATION_WINDOW;

	return json_pack("{s:i, s:s, s:s?, s:s?, s:o, s:o, s:s?}", "generation",
		(int)view->generation, "reason", is_window ? "ActivateAt" : "HoldFile",
		"activate_at", view->windows, "hold_file", view->hold_file, "opens_ms",
		time_or_null(view->opens_ms), "latest_ms", time_or_null(view->latest_ms), "error",
		is_window ? NULL : view->trouble);
}

/// The caller frees.
static char *join(const char *a, const char *between, const char *b)
{
	return lm_xasprintf("%s%s%s", a, *a && *b ? between : "", b);
}

char *activation_foretell(const struct connector_policy *policy)
{
	struct activation_windows windows;
	lm_auto_buf struct lm_buf why = LM_BUF(4096);
	char opens[TIME_TEXT_SIZE];
	int64_t now_s = lm_clock_wall_ms() / 1000;
	lm_auto_free char *window = lm_xstrdup("");

	if (policy->activate_at &&
		activation_windows_parse(lm_str(policy->activate_at), &windows, &why) &&
		!activation_windows_are_open(&windows, now_s)) {
		int64_t next_s = activation_windows_next(&windows, now_s);

		free(window);
		window = next_s < 0 ? lm_xstrdup("for a window (ActivateAt)")
				    : lm_xasprintf("until %s (ActivateAt)",
					      time_text(next_s * 1000, opens));
	}
	lm_auto_free char *file =
		policy->hold_file
			? lm_xasprintf("while '%s' is locked (HoldFile)", policy->hold_file)
			: lm_xstrdup("");
	lm_auto_free char *both = join(window, ", and ", file);
	lm_auto_free char *limit = policy->activate_within_s ? lm_xasprintf(", for %u s at most",
								       policy->activate_within_s)
							     : lm_xstrdup("");
	if (!*both)
		return NULL;
	return lm_xasprintf("before it stops what runs, the deployment waits %s%s; 'lighterman "
			    "deploy --now' does not wait",
		both, limit);
}

// Time -------------------------------------------------------------------------------------------

/// Milliseconds until it is activated whatever the windows and the file say. UINT64_MAX: never.
static uint64_t limit_left_ms(const struct activation *a)
{
	uint64_t age_ms = activation_order_age_ms(
		&a->order, lm_clock_wall_ms(), lm_clock_mono_ms(), a->boot_id);

	if (a->order.now)
		return 0;
	if (!a->within_ms)
		return UINT64_MAX;
	return age_ms < a->within_ms ? a->within_ms - age_ms : 0;
}

static void save_order(struct activation *a)
{
	struct lm_err err = {LM_OK};

	if (activation_order_write(a->host->state_directory, &a->order, &err))
		lm_warn("record since when generation %u is to be activated: %s, ignoring",
			a->order.generation, err.msg);
}

/// The wall clock may have been set.
static void follow_wall_clock(struct activation *a)
{
	if (activation_order_follow_clock(
		    &a->order, lm_clock_wall_ms(), lm_clock_mono_ms(), a->boot_id))
		save_order(a);
}

static void on_wall_clock_set(void *ctx, short events)
{
	struct activation *a = ctx;

	(void)events;
	notice_take_clock(a->clock_fd);
	follow_wall_clock(a);
	if (a->state == ACTIVATION_WAITING)
		evaluate(a);
}

static void watch_clock(struct activation *a)
{
	struct lm_err err = {LM_OK};
	lm_rc rc = a->clock_watch ? LM_OK : notice_of_clock(&a->clock_fd, &err);

	if (rc == LM_OK && !a->clock_watch)
		rc = loop_fd_create(
			a->loop, a->clock_fd, on_wall_clock_set, a, &a->clock_watch, &err);
	if (rc) {
		lm_warn("%s; a change is noticed within a minute", err.msg);
		lm_cleanup_close(&a->clock_fd);
		a->clock_fd = -1;
	} else {
		loop_fd_set(a->clock_watch, POLLIN);
	}
}

static void unwatch_clock(struct activation *a)
{
	loop_fd_destroy(lm_take(a->clock_watch));
	lm_cleanup_close(&a->clock_fd);
	a->clock_fd = -1;
}

// The file ---------------------------------------------------------------------------------------

static void free_file_try(void *ctx)
{
	struct file_try *t = ctx;

	lm_cleanup_close(&t->fd);
	free(t->path);
	free(t);
}

static void run_file_try(void *ctx)
{
	struct file_try *t = ctx;

	(void)!file_hold_take(t->path, &t->fd, &t->err);
}

/// One that is under way is left to itself, and so is its lock.
static void drop_file_try(struct activation *a)
{
	side_thread_destroy(lm_take(a->thread));
	a->file_try = NULL;
}

void activation_unlock(struct activation *a)
{
	lm_cleanup_close(&a->lock_fd);
	a->lock_fd = -1;
}

// Waiting ----------------------------------------------------------------------------------------

/// Nobody waits any more.
static void stop_waiting(struct activation *a)
{
	loop_timer_stop(a->timer);
	loop_timer_stop(a->gone);
	container_list_forget(a->containers, a);
	drop_file_try(a);
	unwatch_clock(a);
	free(lm_take(a->trouble));
	a->state = ACTIVATION_NONE;
}

static void finish_hold(struct activation *a, const struct lm_err *why)
{
	bool waited = a->state == ACTIVATION_WAITING || a->state == ACTIVATION_READY;
	activation_done *done = a->done;
	const struct lm_err kept = why ? *why : (struct lm_err){LM_OK};

	stop_waiting(a);
	a->is_over = !why;
	if (waited)
		a->events.waits(a->events.ctx, false);
	if (done)
		done(a->ctx, why ? &kept : NULL);
}

/// Nothing has to be awaited any more but, after a wait, who acts on the containers meanwhile.
static void release_hold(struct activation *a, const char *reason)
{
	bool waited = a->state == ACTIVATION_WAITING;

	if (waited)
		lm_info("generation %u is activated: %s", a->order.generation, reason);
	if (waited && !a->events.may_act(a->events.ctx)) {
		loop_timer_stop(a->timer);
		loop_timer_stop(a->gone);
		container_list_forget(a->containers, a);
		drop_file_try(a);
		a->state = ACTIVATION_READY;
		return;
	}
	finish_hold(a, NULL);
}

void activation_continue(struct activation *a)
{
	if (a->state == ACTIVATION_READY && a->events.may_act(a->events.ctx))
		finish_hold(a, NULL);
}

/// It waits, for that reason from now on.
static void note_wait(
	struct activation *a, enum activation_reason reason, int64_t opens_ms, const char *trouble)
{
	bool is_new = a->state != ACTIVATION_WAITING;
	bool is_same_trouble = (!trouble && !a->trouble) ||
			       (trouble && a->trouble && strcmp(trouble, a->trouble) == 0);

	if (!is_new && reason == a->reason && opens_ms == a->opens_ms && is_same_trouble)
		return;
	char *copy = trouble ? lm_xstrdup(trouble) : NULL;
	free(a->trouble);
	a->trouble = copy;
	a->reason = reason;
	a->opens_ms = opens_ms;
	a->state = ACTIVATION_WAITING;
	if (is_new)
		a->events.waits(a->events.ctx, true);
	struct activation_view view;
	(void)activation_view(a, &view);
	lm_auto_free char *text = activation_describe(&view);
	lm_auto_free char *message =
		lm_xasprintf("%s; 'lighterman deploy --now' activates it at once", text);
	a->events.changed(a->events.ctx, message);
}

static void evaluate_later(struct activation *a, uint64_t delay_ms)
{
	uint64_t left_ms = limit_left_ms(a);
	uint64_t ms = left_ms < delay_ms ? left_ms : delay_ms;

	loop_timer_start(a->timer, ms < LOOK_MS ? ms + 1 : LOOK_MS, 0);
}

static void on_file_tried(void *ctx)
{
	struct activation *a = ctx;
	struct file_try *t = a->file_try;
	const struct lm_err err = t->err;

	if (err.rc == LM_OK)
		a->lock_fd = lm_take_fd(t->fd);
	drop_file_try(a); // has `t`
	switch (err.rc) {
	case LM_OK:
		release_hold(a, "its HoldFile is not locked");
		return;
	case LM_E_NOT_FOUND:
		release_hold(a, "there is no HoldFile");
		return;
	case LM_E_INVALID: {
		struct lm_err why = err;
		(void)!lm_wrap(&why, "HoldFile");
		finish_hold(a, &why);
		return;
	}
	default:
		note_wait(a, ACTIVATION_FILE, 0, err.rc == LM_E_CONFLICT ? NULL : err.msg);
		evaluate_later(a, FILE_MS);
	}
}

static void start_file_try(struct activation *a)
{
	struct file_try *t = lm_xcalloc(1, sizeof(*t));
	const struct side_thread_spec spec = {.work = run_file_try,
		.free_work = free_file_try,
		.work_ctx = t,
		.done = on_file_tried,
		.ctx = a};
	struct lm_err err = {LM_OK};

	*t = (struct file_try){.path = lm_xstrdup(a->hold_file), .fd = -1};
	if (side_thread_start(a->loop, &spec, &a->thread, &err)) {
		free_file_try(t);
		note_wait(a, ACTIVATION_FILE, 0, err.msg);
		return;
	}
	a->file_try = t;
	a->try_began_ms = lm_clock_mono_ms();
}

/// A window is open.
static void try_file(struct activation *a)
{
	if (!a->thread)
		start_file_try(a);
	else if (lm_clock_mono_ms() - a->try_began_ms >= FILE_SLOW_MS)
		note_wait(a, ACTIVATION_FILE, 0, "its file system does not answer");
	evaluate_later(a, FILE_MS);
}

static void await_window(struct activation *a, int64_t now_ms)
{
	int64_t next_s = activation_windows_next(&a->windows, now_ms / 1000);

	drop_file_try(a);
	note_wait(a, ACTIVATION_WINDOW, next_s < 0 ? 0 : next_s * 1000, NULL);
	evaluate_later(a, next_s < 0 ? LOOK_MS : (uint64_t)(next_s * 1000 - now_ms));
}

/// Whether it may go on, and if not, when to look again.
static void evaluate(struct activation *a)
{
	int64_t now_ms = lm_clock_wall_ms();

	follow_wall_clock(a);
	if (limit_left_ms(a) == 0)
		release_hold(a, a->order.now ? "by order of a person"
					     : "the time of ActivateWithinSeconds is over");
	else if (a->windows.n && !activation_windows_are_open(&a->windows, now_ms / 1000))
		await_window(a, now_ms);
	else if (a->hold_file)
		try_file(a);
	else
		release_hold(a, "a window of ActivateAt is open");
}

static void on_activation_time(void *ctx)
{
	evaluate(ctx);
}

static bool any_is_up(const struct engine_containers *list)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct engine_container *c = &list->items[i];

		if (c->service[0] && !c->oneoff && container_list_is_up(c))
			return true;
	}
	return false;
}

static void on_activation_containers(
	void *ctx, lm_rc rc, const struct engine_containers *list, const struct lm_err *err)
{
	struct activation *a = ctx;

	(void)err; // what is not known may run
	if (rc == LM_OK && !any_is_up(list))
		release_hold(a, "no container of the application runs any more");
	else if (a->state == ACTIVATION_LOOKING)
		evaluate(a);
}

static void on_containers_gone(void *ctx)
{
	struct activation *a = ctx;

	container_list_forget(a->containers, a);
	container_list_ask(a->containers, on_activation_containers, a);
}

void activation_containers_changed(struct activation *a)
{
	if (a->state == ACTIVATION_WAITING && !loop_timer_active(a->gone))
		loop_timer_start(a->gone, GONE_MS, 0);
}

// Deployments ------------------------------------------------------------------------------------

struct activation *activation_create(
	struct loop *loop, const struct host_settings *host, const struct activation_events *events)
{
	struct activation *a = lm_xcalloc(1, sizeof(*a));
	struct lm_err err = {LM_OK};

	*a = (struct activation){
		.loop = loop, .host = host, .events = *events, .clock_fd = -1, .lock_fd = -1};
	if (boot_record_read_id(&a->boot_id, &err)) {
		lm_warn("%s; after a restart the time of ActivateWithinSeconds starts over",
			err.msg);
		a->boot_id = lm_xstrdup("");
	}
	a->containers = container_list_create(loop, host->docker_socket, COMPOSE_PROJECT);
	a->timer = loop_timer_create(loop, on_activation_time, a);
	a->gone = loop_timer_create(loop, on_containers_gone, a);
	return a;
}

void activation_destroy(struct activation *a)
{
	if (!a)
		return;
	stop_waiting(a);
	activation_unlock(a);
	loop_timer_destroy(a->timer);
	loop_timer_destroy(a->gone);
	container_list_destroy(a->containers);
	free(a->boot_id);
	free(a->windows_text);
	free(a->hold_file);
	free(a);
}

/// What is on record of that generation, or that it is ordered now.
static void find_order(struct activation *a, unsigned generation, bool now)
{
	lm_auto(damage_finish) struct damage damage = {0};
	struct lm_err err = {LM_OK};

	if (activation_order_read(a->host->state_directory, &damage, &a->order, &err))
		lm_warn("%s; the time of ActivateWithinSeconds starts over", err.msg);
	damage_log(&damage, a->host->state_directory);
	if (a->order.generation == generation && (a->order.now || !now))
		return;
	a->order = activation_order_make(
		generation, now, lm_clock_wall_ms(), lm_clock_mono_ms(), a->boot_id);
	save_order(a);
}

void activation_begin(struct activation *a, const struct activation_terms *terms)
{
	const struct connector_policy *p = terms->policy;
	lm_auto_buf struct lm_buf ignored = LM_BUF(4096); // it was checked

	activation_end(a, false);
	a->may_wait = terms->may_wait && (p->activate_at || p->hold_file);
	if (!a->may_wait)
		return;
	a->windows_text = p->activate_at ? lm_xstrdup(p->activate_at) : NULL;
	a->hold_file = p->hold_file ? lm_xstrdup(p->hold_file) : NULL;
	a->within_ms = (uint64_t)p->activate_within_s * 1000;
	if (p->activate_at)
		(void)activation_windows_parse(lm_str(p->activate_at), &a->windows, &ignored);
	find_order(a, terms->generation, terms->now);
}

bool activation_hold(struct activation *a, activation_done *done, void *ctx)
{
	if (!a->may_wait || a->is_over)
		return false;
	bool is_open = !a->windows.n ||
		       activation_windows_are_open(&a->windows, lm_clock_wall_ms() / 1000);
	a->is_over = limit_left_ms(a) == 0 || (is_open && !a->hold_file);
	if (a->is_over)
		return false;
	a->state = ACTIVATION_LOOKING;
	a->done = done;
	a->ctx = ctx;
	watch_clock(a);
	container_list_ask(a->containers, on_activation_containers, a);
	return true;
}

void activation_forget(struct activation *a)
{
	a->done = NULL;
	stop_waiting(a);
}

void activation_end(struct activation *a, bool success)
{
	struct lm_err err = {LM_OK};

	activation_forget(a);
	activation_unlock(a);
	if (success && activation_order_forget(a->host->state_directory, &err))
		lm_warn("%s, ignoring", err.msg);
	a->order = (struct activation_order){.generation = 0};
	a->may_wait = a->is_over = false;
	a->windows.n = 0;
	free(lm_take(a->windows_text));
	free(lm_take(a->hold_file));
}

bool activation_now(struct activation *a)
{
	if (!a->may_wait || a->is_over)
		return false;
	a->order.now = true;
	save_order(a);
	if (a->state == ACTIVATION_WAITING)
		loop_timer_start(a->timer, 0, 0);
	return true;
}

bool activation_view(const struct activation *a, struct activation_view *ret)
{
	if (a->state != ACTIVATION_WAITING)
		return false;
	uint64_t left_ms = limit_left_ms(a);
	*ret = (struct activation_view){
		.generation = a->order.generation,
		.reason = a->reason,
		.windows = a->windows_text,
		.hold_file = a->hold_file,
		.trouble = a->trouble,
		.opens_ms = a->opens_ms,
		.latest_ms = left_ms == UINT64_MAX ? 0 : lm_clock_wall_ms() + (int64_t)left_ms,
	};
	return true;
}
