// SPDX-License-Identifier: Apache-2.0
#include "daemon/image_pruner.h"

#include "base/log.h"
#include "base/memory.h"
#include "daemon/generation.h"
#include "daemon/log_router.h"
#include "daemon/worker_launcher.h"
#include "daemon/worker_process.h"
#include "deploy/launch.h"
#include "sys/process.h"

#include <stdlib.h>

enum {
	START_MS = 1000,          ///< After the last task: another may follow.
	LOCK_AGAIN_MS = 5 * 1000, ///< Log lines are being shipped, say.
};

struct image_pruner {
	struct loop *loop;
	const struct host_settings *host;
	struct store *store;
	char *program;     ///< Path of lighterman-worker.
	bool timed;        ///< The timer runs.
	unsigned done_for; ///< The generation after which all was removed that can be; 0: none.
	struct loop_timer *timer;
	struct worker_process *worker;
};

static void on_removed(void *ctx, const char *id)
{
	struct image_pruner *p = ctx;
	struct lm_err err = {LM_OK};

	if (store_forget_pulled(p->store, id, &err))
		lm_warn("record that image %s was removed: %s, ignoring", id, err.msg);
}

static void image_pruner_on_exited(void *ctx, const struct worker_result *result)
{
	struct image_pruner *p = ctx;
	lm_auto(worker_process_destroy_p) struct worker_process *worker =
		lm_take(p->worker); // has `result`

	(void)worker;
	if (result->verdict != WORKER_SUCCESS)
		lm_warn("remove images that are no longer needed: %s, ignoring",
			result->message ? result->message : "the worker was stopped");
	// What cannot be removed now is tried again after the next deployment.
	p->done_for = store_state(p->store)->current;
}

static lm_rc image_pruner_start(struct image_pruner *p, const struct connector_definition *def,
	const json_t *released, int lock_fd, struct lm_err *err)
{
	lm_auto(process_user_finish) struct process_user user = {0};
	lm_auto_json json_t *document = json_pack("{s:s, s:O, s:o}", "job", "prune-images",
		"released", released, "host", host_to_json(p->host));
	const struct worker_process_events events = {.removed = on_removed,
		.text = log_router_forward,
		.exited = image_pruner_on_exited,
		.ctx = p};
	lm_rc rc = launch_find_user(p->host, def, &user, err);

	if (rc == LM_OK && !p->program)
		rc = launch_find_worker(&p->program, err);
	if (rc)
		return rc;
	const struct worker_launch_spec start = {
		.program = p->program,
		.user = &user,
		.document = document,
		.compose_fd = -1,
		.lock_fd = lock_fd,
		.previous_fd = -1,
		.devices_fd = -1,
	};
	return worker_launch(p->loop, p->host, &start, &events, &p->worker, err);
}

static void image_pruner_set_timer(struct image_pruner *p, uint64_t delay_ms)
{
	p->timed = true;
	loop_timer_start(p->timer, delay_ms, 0);
}

/// Starts the worker, if the lock is free.
static lm_rc begin_pruning(struct image_pruner *p, const struct connector_definition *def,
	const json_t *released, struct lm_err *err)
{
	lm_auto_close int lock = -1;
	pid_t holder = 0;
	lm_rc rc = launch_lock(p->host, &lock, &holder, err);

	if (rc == LM_E_CONFLICT) {
		image_pruner_set_timer(p, LOCK_AGAIN_MS);
		return LM_OK;
	}
	if (rc == LM_OK)
		rc = image_pruner_start(p, def, released, lock, err);
	if (rc)
		worker_process_destroy(lm_take(p->worker));
	return rc;
}

static void image_pruner_on_time(void *ctx)
{
	struct image_pruner *p = ctx;
	const struct store_state *state = store_state(p->store);
	lm_auto(group_destroy_p) struct group *group = NULL;
	lm_auto_json json_t *released = NULL;
	struct lm_err err = {LM_OK};
	p->timed = false;
	lm_rc rc = generation_read(p->store, state->current, &group, &err);
	if (rc == LM_OK && group->connector.policy.prune_images)
		rc = store_list_released(p->store, &released, &err);
	if (rc == LM_OK && json_array_size(released) > 0)
		rc = begin_pruning(p, &group->connector, released, &err);
	if (rc || (!p->worker && !p->timed))
		p->done_for = state->current;
	if (rc)
		lm_warn("remove images that are no longer needed: %s, ignoring", err.msg);
}

struct image_pruner *image_pruner_create(
	struct loop *loop, const struct host_settings *host, struct store *store)
{
	struct image_pruner *p = lm_xcalloc(1, sizeof(*p));

	*p = (struct image_pruner){.loop = loop, .host = host, .store = store};
	p->timer = loop_timer_create(loop, image_pruner_on_time, p);
	return p;
}

void image_pruner_destroy(struct image_pruner *p)
{
	if (!p)
		return;
	image_pruner_pause(p);
	loop_timer_destroy(p->timer);
	free(p->program);
	free(p);
}

void image_pruner_pause(struct image_pruner *p)
{
	p->timed = false;
	loop_timer_stop(p->timer);
	if (!p->worker)
		return;
	worker_process_kill(p->worker);
	worker_process_destroy(lm_take(p->worker));
}

/// Whether something may have been released since. On probation what was before is still needed.
static bool image_pruner_is_due(const struct image_pruner *p)
{
	const struct store_state *state = store_state(p->store);

	return state->current && state->current == state->last_good &&
	       state->current != p->done_for;
}

void image_pruner_resume(struct image_pruner *p)
{
	if (image_pruner_is_due(p) && !p->worker && !p->timed)
		image_pruner_set_timer(p, START_MS);
}
