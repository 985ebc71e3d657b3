// SPDX-License-Identifier: Apache-2.0
#include "daemon/own_tasks.h"

#include "base/memory.h"
#include "daemon/log_router.h"
#include "daemon/worker_process.h"
#include "deploy/launch.h"

#include <string.h>

struct own_task {
	struct own_task_spec spec;
	own_task_done *done; ///< NULL: nobody asks any more.
	void *ctx;
	bool cancelled;
	struct own_task *next;
};

struct own_tasks {
	struct loop *loop;
	const struct host_settings *host;
	char *program;          ///< Path of lighterman-worker.
	struct own_task *first; ///< It runs, if there is a worker.
	struct worker_process *worker;
	json_t *lines;
	bool timed_out;
	bool gives_way; ///< The first one was interrupted for one that is urgent.
	struct loop_timer *limit;
	struct loop_timer *next; ///< Begins the first task.
};

static void free_own_task(struct own_task *task)
{
	json_decref(task->spec.document);
	free(task);
}

static void end_own_task(struct own_tasks *t, const struct own_task_result *result)
{
	struct own_task *task = t->first;

	t->first = task->next;
	loop_timer_stop(t->limit);
	if (t->first)
		loop_timer_start(t->next, 0, 0);
	if (task->done)
		task->done(task->ctx, result);
	free_own_task(task);
}

static void fail_own_task(struct own_tasks *t, const struct lm_err *err)
{
	const struct own_task_result result = {.rc = err->rc, .message = err->msg};

	end_own_task(t, &result);
}

/// Behind all that are urgent.
static void insert_own_task(struct own_task **at, struct own_task *task)
{
	while (*at && (*at)->spec.urgency == OWN_TASK_URGENT)
		at = &(*at)->next;
	task->next = *at;
	*at = task;
}

static void put_off_own_task(struct own_tasks *t)
{
	struct own_task *task = t->first;

	loop_timer_stop(t->limit);
	t->first = task->next;
	insert_own_task(&t->first, task);
	loop_timer_start(t->next, 0, 0);
}

static void on_own_line(void *ctx, const json_t *line)
{
	json_array_append(((struct own_tasks *)ctx)->lines, (json_t *)line);
}

static void on_own_task_exited(void *ctx, const struct worker_result *from)
{
	struct own_tasks *t = ctx;
	lm_auto(worker_process_destroy_p) struct worker_process *worker =
		lm_take(t->worker); // has `from`
	lm_auto_json json_t *lines = lm_take(t->lines);
	struct own_task_result result = {.lines = lines};

	(void)worker;
	bool gave_way = t->gives_way && from->verdict == WORKER_CANCELLED;
	t->gives_way = false;
	if (gave_way && t->first->done && !t->first->cancelled && !t->timed_out) {
		put_off_own_task(t);
		return;
	}
	if (from->verdict != WORKER_SUCCESS) {
		result.rc = from->verdict == WORKER_CANCELLED || t->first->cancelled
				    ? LM_E_CANCELLED
				    : from->rc;
		result.rc = result.rc ? result.rc : LM_E_PROTOCOL;
		result.is_invalid = from->error && strcmp(from->error, "InvalidParameter") == 0;
		result.message = from->message ? from->message : "cancelled";
		result.space_directory = from->space_directory;
		result.space_bytes = from->space_bytes;
	}
	if (t->timed_out && result.rc) {
		result.rc = LM_E_TIMEOUT;
		result.message = "it did not finish in time and was killed";
	}
	end_own_task(t, &result);
}

static lm_rc start_own_task(struct own_tasks *t, struct lm_err *err)
{
	const struct worker_process_events events = {.device = on_own_line,
		.text = log_router_forward,
		.exited = on_own_task_exited,
		.ctx = t};
	lm_rc rc = t->program ? LM_OK : launch_find_worker(&t->program, err);

	if (rc)
		return rc;
	json_object_set_new(t->first->spec.document, "host", host_to_json(t->host));
	const struct worker_process_spec spec = {
		.program = t->program,
		.document = t->first->spec.document,
		.lock_fd = -1,
		.handover = HANDOVER_NONE,
		.silence_ms = t->host->worker_silence_s * 1000,
		.bare = true,
	};
	t->timed_out = false;
	t->lines = json_array();
	rc = worker_process_start(t->loop, &spec, &events, &t->worker, err);
	if (rc)
		json_decref(lm_take(t->lines));
	else if (t->first->spec.limit_ms > 0)
		loop_timer_start(t->limit, t->first->spec.limit_ms, 0);
	return rc;
}

static void begin_own_task(void *ctx)
{
	struct own_tasks *t = ctx;
	struct lm_err err = {LM_OK};

	if (!t->first || t->worker)
		return;
	if (t->first->cancelled)
		(void)!lm_fail(&err, LM_E_CANCELLED, 0, "cancelled");
	else
		(void)!start_own_task(t, &err);
	if (err.rc)
		fail_own_task(t, &err);
}

static void on_own_task_limit(void *ctx)
{
	struct own_tasks *t = ctx;

	t->timed_out = true;
	worker_process_cancel(t->worker);
}

json_t *own_tasks_find(const json_t *lines, const char *key)
{
	size_t i;
	json_t *line;

	json_array_foreach(lines, i, line)
	{
		if (json_object_get(line, key))
			return json_object_get(line, key);
	}
	return NULL;
}

void own_tasks_add(
	struct own_tasks *t, const struct own_task_spec *spec, own_task_done *done, void *ctx)
{
	struct own_task *task = lm_xcalloc(1, sizeof(*task));
	struct own_task **at = t->worker ? &t->first->next : &t->first;
	bool is_urgent = spec->urgency == OWN_TASK_URGENT;

	*task = (struct own_task){.spec = *spec, .done = done, .ctx = ctx};
	while (*at && !is_urgent)
		at = &(*at)->next;
	insert_own_task(at, task);
	if (!t->worker) {
		loop_timer_start(t->next, 0, 0);
	} else if (is_urgent && t->first->spec.urgency == OWN_TASK_YIELDS && !t->gives_way) {
		t->gives_way = true;
		worker_process_cancel(t->worker);
	}
}

void own_tasks_forget(struct own_tasks *t, const void *ctx)
{
	struct own_task **at = &t->first;

	while (*at) {
		struct own_task *task = *at;

		if (task->ctx == ctx)
			task->done = NULL;
		if (task->ctx == ctx && !(t->worker && task == t->first)) {
			*at = task->next;
			free_own_task(task);
		} else {
			at = &task->next;
		}
	}
}

void own_tasks_cancel(struct own_tasks *t, const void *ctx)
{
	for (struct own_task *task = t->first; task; task = task->next) {
		if (task->ctx != ctx)
			continue;
		task->cancelled = true;
		if (t->worker && task == t->first)
			worker_process_cancel(t->worker);
	}
}

struct own_tasks *own_tasks_create(struct loop *loop, const struct host_settings *host)
{
	struct own_tasks *t = lm_xcalloc(1, sizeof(*t));

	*t = (struct own_tasks){.loop = loop, .host = host};
	t->limit = loop_timer_create(loop, on_own_task_limit, t);
	t->next = loop_timer_create(loop, begin_own_task, t);
	return t;
}

void own_tasks_destroy(struct own_tasks *t)
{
	if (!t)
		return;
	worker_process_destroy(t->worker);
	json_decref(t->lines);
	while (t->first) {
		struct own_task *task = t->first;

		t->first = task->next;
		free_own_task(task);
	}
	loop_timer_destroy(t->limit);
	loop_timer_destroy(t->next);
	free(t->program);
	free(t);
}
