// SPDX-License-Identifier: Apache-2.0
#include "daemon/device_tasks.h"

#include "base/memory.h"
#include "daemon/log_router.h"
#include "daemon/worker_process.h"
#include "deploy/launch.h"

#include <string.h>

enum {
	TASK_LIMIT_MS = 5 * 60 * 1000,
	DEVICE_MS = 3000, ///< More for each device: a small processor makes a key a second.
};

struct device_task {
	json_t *document;
	device_task_done *done; ///< NULL: nobody asks any more.
	void *ctx;
	bool cancelled;
	struct device_task *next;
};

struct device_tasks {
	struct loop *loop;
	const struct host_settings *host;
	char *program;             ///< Path of lighterman-worker.
	struct device_task *first; ///< It runs, if there is a worker.
	struct worker_process *worker;
	json_t *lines;
	bool timed_out;
	struct loop_timer *limit;
	struct loop_timer *next; ///< Begins the first task.
};

static void free_device_task(struct device_task *task)
{
	json_decref(task->document);
	free(task);
}

static void end_device_task(struct device_tasks *t, const struct device_task_result *result)
{
	struct device_task *task = t->first;

	t->first = task->next;
	loop_timer_stop(t->limit);
	if (t->first)
		loop_timer_start(t->next, 0, 0);
	if (task->done)
		task->done(task->ctx, result);
	free_device_task(task);
}

static void fail_device_task(struct device_tasks *t, const struct lm_err *err)
{
	const struct device_task_result result = {.rc = err->rc, .message = err->msg};

	end_device_task(t, &result);
}

static void on_device_line(void *ctx, const json_t *line)
{
	json_array_append(((struct device_tasks *)ctx)->lines, (json_t *)line);
}

static void on_device_task_exited(void *ctx, const struct worker_result *from)
{
	struct device_tasks *t = ctx;
	lm_auto(worker_process_destroy_p) struct worker_process *worker =
		lm_take(t->worker); // has `from`
	lm_auto_json json_t *lines = lm_take(t->lines);
	struct device_task_result result = {.lines = lines};

	(void)worker;
	if (from->verdict != WORKER_SUCCESS) {
		result.rc = from->verdict == WORKER_CANCELLED || t->first->cancelled
				    ? LM_E_CANCELLED
				    : from->rc;
		result.rc = result.rc ? result.rc : LM_E_PROTOCOL;
		result.is_invalid = from->error && strcmp(from->error, "InvalidParameter") == 0;
		result.message = from->message ? from->message : "cancelled";
	}
	if (t->timed_out && result.rc) {
		result.rc = LM_E_TIMEOUT;
		result.message = "it did not finish in time and was killed";
	}
	end_device_task(t, &result);
}

static uint64_t task_limit_ms(const json_t *document)
{
	const json_t *devices = json_object_get(json_object_get(document, "group"), "Devices");

	return TASK_LIMIT_MS + (uint64_t)json_array_size(devices) * DEVICE_MS;
}

static lm_rc start_device_task(struct device_tasks *t, struct lm_err *err)
{
	const struct worker_process_events events = {.device = on_device_line,
		.text = log_router_forward,
		.exited = on_device_task_exited,
		.ctx = t};
	lm_rc rc = t->program ? LM_OK : launch_find_worker(&t->program, err);

	if (rc)
		return rc;
	json_object_set_new(t->first->document, "job", json_string("devices"));
	json_object_set_new(t->first->document, "host", host_to_json(t->host));
	const struct worker_process_spec spec = {
		.program = t->program,
		.document = t->first->document,
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
	else
		loop_timer_start(t->limit, task_limit_ms(t->first->document), 0);
	return rc;
}

static void begin_device_task(void *ctx)
{
	struct device_tasks *t = ctx;
	struct lm_err err = {LM_OK};

	if (!t->first || t->worker)
		return;
	if (t->first->cancelled)
		(void)!lm_fail(&err, LM_E_CANCELLED, 0, "cancelled");
	else
		(void)!start_device_task(t, &err);
	if (err.rc)
		fail_device_task(t, &err);
}

static void on_device_task_limit(void *ctx)
{
	struct device_tasks *t = ctx;

	t->timed_out = true;
	worker_process_cancel(t->worker);
}

json_t *device_tasks_document(const char *action, const struct group *group)
{
	json_t *document = json_pack("{s:s}", "action", action);

	json_object_set_new(document, "group", group ? group_to_json(group) : json_null());
	return document;
}

json_t *device_tasks_find(const json_t *lines, const char *key)
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

void device_tasks_add(struct device_tasks *t, json_t *document, device_task_done *done, void *ctx)
{
	struct device_task *task = lm_xcalloc(1, sizeof(*task));
	struct device_task **at = &t->first;

	*task = (struct device_task){.document = document, .done = done, .ctx = ctx};
	while (*at)
		at = &(*at)->next;
	*at = task;
	if (!t->worker)
		loop_timer_start(t->next, 0, 0);
}

void device_tasks_forget(struct device_tasks *t, const void *ctx)
{
	struct device_task **at = &t->first;

	while (*at) {
		struct device_task *task = *at;

		if (task->ctx == ctx)
			task->done = NULL;
		if (task->ctx == ctx && !(t->worker && task == t->first)) {
			*at = task->next;
			free_device_task(task);
		} else {
			at = &task->next;
		}
	}
}

void device_tasks_cancel(struct device_tasks *t, const void *ctx)
{
	for (struct device_task *task = t->first; task; task = task->next) {
		if (task->ctx != ctx)
			continue;
		task->cancelled = true;
		if (t->worker && task == t->first)
			worker_process_cancel(t->worker);
	}
}

bool device_tasks_is_busy(const struct device_tasks *t)
{
	return t->first != NULL;
}

struct device_tasks *device_tasks_create(struct loop *loop, const struct host_settings *host)
{
	struct device_tasks *t = lm_xcalloc(1, sizeof(*t));

	*t = (struct device_tasks){.loop = loop, .host = host};
	t->limit = loop_timer_create(loop, on_device_task_limit, t);
	t->next = loop_timer_create(loop, begin_device_task, t);
	return t;
}

void device_tasks_destroy(struct device_tasks *t)
{
	if (!t)
		return;
	worker_process_destroy(t->worker);
	json_decref(t->lines);
	while (t->first) {
		struct device_task *task = t->first;

		t->first = task->next;
		free_device_task(task);
	}
	loop_timer_destroy(t->limit);
	loop_timer_destroy(t->next);
	free(t->program);
	free(t);
}
