// SPDX-License-Identifier: Apache-2.0
#include "daemon/teardown.h"

#include "base/log.h"
#include "base/memory.h"
#include "daemon/generation.h"
#include "daemon/log_router.h"

#include <stdlib.h>

enum { SINCE_STOP_PARAMETER = 6 };

struct teardown {
	struct store *store;
	struct worker_launcher *workers;
	struct progress_publisher *progress;
	struct teardown_events events;
	struct worker_process *worker;
	struct group *group;
};

struct teardown *teardown_create(struct store *store, struct worker_launcher *workers,
	struct progress_publisher *progress, const struct teardown_events *events)
{
	struct teardown *t = lm_xcalloc(1, sizeof(*t));

	*t = (struct teardown){
		.store = store, .workers = workers, .progress = progress, .events = *events};
	return t;
}

void teardown_destroy(struct teardown *t)
{
	if (!t)
		return;
	worker_process_destroy(t->worker);
	group_destroy(t->group);
	free(t);
}

static lm_rc teardown_on_begin(void *ctx, const char *stage, struct lm_err *err)
{
	(void)ctx;
	(void)stage;
	(void)err;
	return LM_OK; // whatever interrupts it, taking down again does no harm
}

static void teardown_on_progress(void *ctx, const json_t *line)
{
	progress_publisher_stage(((struct teardown *)ctx)->progress, line);
}

static void teardown_on_compose(void *ctx, const char *stamp, const char *version)
{
	worker_launcher_note_compose(((struct teardown *)ctx)->workers, stamp, version);
}

static void teardown_on_worker_exited(void *ctx, const struct worker_result *result)
{
	struct teardown *t = ctx;
	lm_auto(worker_process_destroy_p) struct worker_process *worker =
		lm_take(t->worker); // has `result`

	(void)worker;
	worker_launcher_clean_up(t->workers);
	if (result->verdict == WORKER_SUCCESS)
		t->events.done(t->events.ctx, NULL); // may destroy the teardown
	else
		t->events.done(t->events.ctx,
			result->message ? result->message : "the worker was stopped");
}

static lm_rc teardown_start_worker_of(struct teardown *t, unsigned n, struct lm_err *err)
{
	lm_auto_close int compose = -1;
	struct lm_err ignored; // without it the worker goes by the local copy alone
	const struct worker_process_events events = {
		.begin = teardown_on_begin,
		.progress = teardown_on_progress,
		.compose = teardown_on_compose,
		.text = log_router_forward,
		.exited = teardown_on_worker_exited,
		.ctx = t,
	};

	(void)!store_read_compose(t->store, n, &compose, &ignored);
	const struct worker_task task = {
		.kind = "down", .group = t->group, .compose_fd = compose, .devices_fd = -1};
	return worker_launcher_start(t->workers, &task, &events, &t->worker, err);
}

void teardown_start(struct teardown *t)
{
	unsigned n = 0;
	struct lm_err err = {LM_OK};
	lm_rc rc = generation_to_take_down(t->store, &n, &t->group, &err);

	progress_publisher_begin(t->progress, n, false);
	if (rc == LM_OK) {
		lm_info("stopping the application (generation %u)", n);
		rc = teardown_start_worker_of(t, n, &err);
	}
	if (rc)
		t->events.done(t->events.ctx, err.msg);
}

bool teardown_is_due_at_exit(struct store *store)
{
	lm_auto(group_destroy_p) struct group *group = NULL;
	unsigned n = 0;
	struct lm_err err = {LM_OK};
	lm_rc rc = generation_to_take_down(store, &n, &group, &err);

	if (rc == LM_E_NOT_FOUND)
		return false;
	if (rc) {
		lm_error("%s; the application is not stopped", err.msg);
		return false;
	}
	if (group->connector.policy.adopt_containers && !store_state(store)->current) {
		lm_info("the application keeps running: it is not adopted yet");
		return false;
	}
	if (group->connector.version < SINCE_STOP_PARAMETER ||
		group->connector.stop_containers_on_new_deployment)
		return true;
	if (store_state(store)->wanted.state == WANTED_UP)
		lm_info("the application keeps running: StopContainersOnNewDeployment is False");
	return false;
}
