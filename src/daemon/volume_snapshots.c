// SPDX-License-Identifier: Apache-2.0
#include "daemon/volume_snapshots.h"

#include "base/log.h"
#include "base/memory.h"
#include "daemon/own_tasks.h"
#include "deploy/snapshots.h"

#include <stdlib.h>
#include <string.h>

/// Its address is the `ctx` of the task.
struct volume_cleanup {
	bool is_under_way;
	char *remains; ///< What the last one could not remove, and was logged; NULL: nothing.
};

struct volume_snapshots {
	const struct host_settings *host;
	struct store *store;
	struct own_tasks *tasks;
	volume_snapshots_done *done; ///< NULL: nobody waits.
	void *ctx;
	unsigned copies; ///< The generation whose volumes are being copied; 0: none's are.
	/// That whose volumes the deployment under way has copied, and as which it has not started.
	unsigned made;
	struct loop_timer *later; ///< Reports `err`.
	struct lm_err err;
	struct volume_cleanup cleanup;
};

/// What there is of snapshots, as far as one generation is concerned.
struct volume_state {
	bool exists;        ///< The folder.
	bool has_snapshot;  ///< To go back to.
	unsigned restoring; ///< The generation of a restore that was cut short; 0: there is none.
	unsigned used;      ///< That whose snapshot a restore needs, done or not; 0: there is none.
};

/// A record of a restore that is damaged is an error.
static lm_rc read_volume_state(
	const struct volume_snapshots *v, unsigned n, struct volume_state *ret, struct lm_err *err)
{
	lm_auto_snapshots struct snapshots s = {.fd = -1};
	lm_auto_json json_t *restore = NULL;
	struct lm_err own = {LM_OK};
	lm_rc rc = snapshots_open(v->host->state_directory, false, &s, &own);

	*ret = (struct volume_state){.exists = rc == LM_OK};
	if (rc == LM_E_NOT_FOUND) // which is no error
		return LM_OK;
	if (rc)
		return lm_fail(err, rc, own.sys, "%s", own.msg);
	rc = snapshots_read_restore(&s, &restore, err);
	if (!rc)
		rc = snapshots_have(&s, n, &ret->has_snapshot, err);
	if (rc)
		return rc;
	if (restore && !json_get_bool(restore, "dropped", false))
		ret->used = (unsigned)json_get_int(restore, "generation", 0);
	if (restore && !json_get_bool(restore, "done", false))
		ret->restoring = ret->used;
	// What is done is put back already.
	else if (ret->used && ret->used == n)
		ret->has_snapshot = false;
	return LM_OK;
}

struct volume_policy volume_policy_of(const struct group *group)
{
	const struct connector_policy *p = &group->connector.policy;

	return (struct volume_policy){p->snapshot_volumes, p->snapshot_max_mb, p->min_free_disk_mb};
}

/// Whether something is to be done before `n` starts.
static bool has_work(const struct volume_snapshots *v, const struct volume_state *state)
{
	return v->made || state->restoring || state->has_snapshot;
}

lm_rc volume_snapshots_plan(const struct volume_snapshots *v, const struct volume_policy *policy,
	unsigned n, unsigned back, struct volume_plan *ret, struct lm_err *err)
{
	struct volume_state own = {0}, others = {0};
	lm_rc rc = read_volume_state(v, n, &own, err);

	*ret = (struct volume_plan){.restores = !rc && has_work(v, &own)};
	if (!rc && policy->snapshots && back != n)
		rc = read_volume_state(v, back, &others, err);
	if (!rc && policy->snapshots && back != n && !others.has_snapshot)
		ret->subject = back;
	return rc;
}

// Tasks ------------------------------------------------------------------------------------------

static struct own_task_spec make_volume_task(const char *action, unsigned generation,
	unsigned subject, const struct volume_policy *policy)
{
	// How long it takes depends on what is in them.
	return (struct own_task_spec){
		.document = json_pack("{s:s, s:s, s:i, s:i, s:I, s:I}", "job", "volumes", "action",
			action, "generation", (int)generation, "subject", (int)subject, "max_mb",
			(json_int_t)(policy ? policy->max_mb : 0), "reserve_mb",
			(json_int_t)(policy ? policy->reserve_mb : 0))};
}

static void report_volumes_done(struct volume_snapshots *v, const struct volume_result *result)
{
	volume_snapshots_done *done = lm_take(v->done);

	if (done)
		done(v->ctx, result);
}

static void on_cleaned(void *ctx, const struct own_task_result *result)
{
	struct volume_cleanup *c = ctx;

	c->is_under_way = false;
	if (result->rc == LM_E_CANCELLED)
		return;
	// Each deployment and each start tries it again; one line about it is enough.
	if (result->rc && !(c->remains && strcmp(c->remains, result->message) == 0))
		lm_warn("old data of volumes take up space: %s; the removal is tried again after "
			"each deployment and each start",
			result->message);
	free(c->remains);
	c->remains = result->rc ? lm_xstrdup(result->message) : NULL;
}

static bool has_rubbish(const struct volume_snapshots *v)
{
	lm_auto_snapshots struct snapshots s = {.fd = -1};
	lm_auto_json json_t *restore = NULL;
	char name[SNAPSHOT_NAME_SIZE];
	struct lm_err ignored; // there is none, or a later deployment shows why not

	if (snapshots_open(v->host->state_directory, false, &s, &ignored))
		return false;
	if (snapshots_find_rubbish(&s, "", name))
		return true;
	return snapshots_read_restore(&s, &restore, &ignored) == LM_OK &&
	       json_get_bool(restore, "done", false);
}

/// Never while a deployment relies on what it has made, or may be making that.
static void clean(struct volume_snapshots *v)
{
	if (v->cleanup.is_under_way || v->done || v->made || !has_rubbish(v))
		return;
	v->cleanup.is_under_way = true;
	const struct own_task_spec task = make_volume_task("clean", 0, 0, NULL);
	own_tasks_add(v->tasks, &task, on_cleaned, &v->cleanup);
}

static void on_task_done(void *ctx, const struct own_task_result *result)
{
	struct volume_snapshots *v = ctx;
	const json_t *measured = own_tasks_find(result->lines, "volumes");
	struct lm_err err = {LM_OK};
	struct volume_result done = {.space_directory = result->space_directory,
		.bytes = result->space_directory ? result->space_bytes
						 : (uint64_t)json_get_int(measured, "bytes", 0)};

	if (result->rc) {
		(void)!lm_fail(&err, result->rc, 0, "%s", result->message);
		done.why = &err;
	} else if (v->copies) {
		v->made = v->copies;
	}
	v->copies = 0;
	report_volumes_done(v, &done);
}

/// A clean-up may take long, and can wait.
static void ask_worker(struct volume_snapshots *v, struct own_task_spec task,
	volume_snapshots_done *done, void *ctx)
{
	v->done = done;
	v->ctx = ctx;
	own_tasks_cancel(v->tasks, &v->cleanup);
	own_tasks_add(v->tasks, &task, on_task_done, v);
}

void volume_snapshots_measure(struct volume_snapshots *v, unsigned subject,
	const struct volume_policy *policy, volume_snapshots_done *done, void *ctx)
{
	ask_worker(v, make_volume_task("measure", subject, 0, policy), done, ctx);
}

void volume_snapshots_copy(struct volume_snapshots *v, unsigned subject,
	const struct volume_policy *policy, volume_snapshots_done *done, void *ctx)
{
	v->copies = subject;
	ask_worker(v, make_volume_task("copy", subject, 0, policy), done, ctx);
}

bool volume_snapshots_start(
	struct volume_snapshots *v, unsigned n, volume_snapshots_done *done, void *ctx)
{
	struct volume_state state = {0};

	v->err = (struct lm_err){LM_OK};
	if (read_volume_state(v, n, &state, &v->err)) {
		v->done = done;
		v->ctx = ctx;
		loop_timer_start(v->later, 0, 0);
		return true;
	}
	if (!has_work(v, &state))
		return false;
	unsigned subject = v->made;
	v->made = 0;
	ask_worker(v, make_volume_task("start", n, subject, NULL), done, ctx);
	return true;
}

static void on_later(void *ctx)
{
	struct volume_snapshots *v = ctx;
	const struct volume_result result = {.why = &v->err};

	report_volumes_done(v, &result);
}

void volume_snapshots_end(struct volume_snapshots *v)
{
	v->made = 0;
}

void volume_snapshots_cancel(struct volume_snapshots *v, const void *ctx)
{
	if (v->done && v->ctx == ctx)
		own_tasks_cancel(v->tasks, v);
}

void volume_snapshots_forget(struct volume_snapshots *v, const void *ctx)
{
	if (!v->done || v->ctx != ctx)
		return;
	v->done = NULL;
	v->copies = 0;
	loop_timer_stop(v->later);
	own_tasks_cancel(v->tasks, v);
	own_tasks_forget(v->tasks, v);
}

static lm_rc drop_others(const struct snapshots *s, const struct store_state *state, unsigned used,
	struct lm_err *err)
{
	lm_auto_free unsigned *numbers = NULL;
	size_t n = 0;
	lm_rc rc = snapshots_list(s, &numbers, &n, err);

	for (size_t i = 0; !rc && i < n; i++)
		if (numbers[i] != state->current && numbers[i] != state->last_good &&
			numbers[i] != used)
			rc = snapshots_drop(s, numbers[i], err);
	return rc;
}

void volume_snapshots_tidy(struct volume_snapshots *v)
{
	const struct store_state *store = store_state(v->store);
	lm_auto_snapshots struct snapshots s = {.fd = -1};
	struct volume_state state = {0};
	struct lm_err err = {LM_OK};
	lm_rc rc = read_volume_state(v, 0, &state, &err);

	// What nobody knows any more may still be what to go back to.
	if (!rc && state.exists && store->current && store->last_good) {
		rc = snapshots_open(v->host->state_directory, true, &s, &err);
		if (!rc)
			rc = drop_others(&s, store, state.used, &err);
	}
	if (rc)
		lm_warn("drop old snapshots of volumes: %s, ignoring", err.msg);
	clean(v);
}

struct volume_snapshots *volume_snapshots_create(
	struct loop *loop, const struct host_settings *host, struct store *store)
{
	struct volume_snapshots *v = lm_xcalloc(1, sizeof(*v));

	*v = (struct volume_snapshots){.host = host, .store = store};
	v->tasks = own_tasks_create(loop, host);
	v->later = loop_timer_create(loop, on_later, v);
	volume_snapshots_tidy(v);
	return v;
}

void volume_snapshots_destroy(struct volume_snapshots *v)
{
	if (!v)
		return;
	own_tasks_destroy(v->tasks);
	free(v->cleanup.remains);
	loop_timer_destroy(v->later);
	free(v);
}
