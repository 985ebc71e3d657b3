// SPDX-License-Identifier: Apache-2.0
#include "daemon/worker_launcher.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "daemon/generation.h"
#include "deploy/destination.h"
#include "deploy/launch.h"
#include "sys/process.h"

#include <signal.h>
#include <string.h>

enum {
	LOCK_AGAIN_MS = 200,
	LOCK_GRACE_MS = 45 * 1000, ///< A worker without lightermand exits within its own grace.
};

struct worker_launcher {
	struct loop *loop;
	const struct host_settings *host;
	struct store *store;
	char *program; ///< Path of lighterman-worker.
	char *compose_stamp, *compose_version;
	struct loop_timer *again;
	uint64_t lock_since_ms; ///< 0: nobody holds it.
	loop_cb *may_start;     ///< Somebody waits for the lock.
	void *may_start_ctx;
};

lm_rc worker_launch(struct loop *loop, const struct host_settings *host,
	const struct worker_launch_spec *start, const struct worker_process_events *events,
	struct worker_process **ret, struct lm_err *err)
{
	lm_auto(launch_identity_finish) struct launch_identity identity = {-1, -1};

	if (start->needs_aws)
		identity = launch_open_identity(host);
	const struct worker_process_spec spec = {
		.program = start->program,
		.user = start->user,
		.document = start->document,
		.lock_fd = start->lock_fd,
		.handover = {start->compose_fd, identity.key_fd, identity.certificate_fd,
			start->previous_fd, start->devices_fd},
		.silence_ms = host->worker_silence_s * 1000,
	};
	lm_rc rc = worker_process_start(loop, &spec, events, ret, err);

	if (rc || start->lock_fd < 0)
		return rc;
	return launch_lock_note(start->lock_fd, worker_process_pid(*ret), err);
}

/// It may be long until the next task, which would. A worker that still runs removes its own.
static void remove_abandoned_logins(const struct host_settings *host)
{
	lm_auto_close int lock = -1;
	pid_t holder = 0;
	struct lm_err err = {LM_OK};

	if (launch_lock(host, &lock, &holder, &err) == LM_OK &&
		launch_remove_credentials(host, &err) != LM_OK)
		lm_warn("remove the folder for credentials: %s, ignoring", err.msg);
}

/// A worker that outlived its lightermand has the lock, and 45 s to exit by itself.
static void wait_for_lock(struct worker_launcher *w, pid_t holder)
{
	uint64_t now = lm_clock_mono_ms();

	if (w->lock_since_ms == 0) {
		w->lock_since_ms = now;
		lm_warn("a worker of an earlier lightermand is still running, waiting for it to "
			"exit");
	} else if (holder > 0 && now - w->lock_since_ms > LOCK_GRACE_MS) {
		lm_warn("it did not exit within %d s: killing process %ld and its children",
			LOCK_GRACE_MS / 1000, (long)holder);
		process_kill_session(holder, SIGKILL);
		w->lock_since_ms = now;
	}
	loop_timer_start(w->again, LOCK_AGAIN_MS, 0);
}

bool worker_launcher_may_start(struct worker_launcher *w, loop_cb *may_start, void *ctx)
{
	lm_auto_close int lock = -1;
	pid_t holder = 0;
	struct lm_err err = {LM_OK};

	if (launch_lock(w->host, &lock, &holder, &err) == LM_E_CONFLICT) {
		w->may_start = may_start;
		w->may_start_ctx = ctx;
		wait_for_lock(w, holder);
		return false;
	}
	worker_launcher_forget(w);
	return true; // starting the worker reports other errors
}

void worker_launcher_forget(struct worker_launcher *w)
{
	w->may_start = NULL;
	w->lock_since_ms = 0;
	loop_timer_stop(w->again);
}

static void worker_launcher_on_again(void *ctx)
{
	struct worker_launcher *w = ctx;
	loop_cb *may_start = w->may_start;

	if (may_start && worker_launcher_may_start(w, may_start, w->may_start_ctx))
		may_start(w->may_start_ctx);
}

struct worker_launcher *worker_launcher_create(
	struct loop *loop, const struct host_settings *host, struct store *store)
{
	struct worker_launcher *w = lm_xcalloc(1, sizeof(*w));

	*w = (struct worker_launcher){.loop = loop, .host = host, .store = store};
	w->again = loop_timer_create(loop, worker_launcher_on_again, w);
	remove_abandoned_logins(host);
	return w;
}

void worker_launcher_destroy(struct worker_launcher *w)
{
	if (!w)
		return;
	loop_timer_destroy(w->again);
	free(w->program);
	free(w->compose_stamp);
	free(w->compose_version);
	free(w);
}

/// Without it the worker goes by the new definition's destination alone.
static void find_previous(
	struct worker_launcher *w, unsigned n, char **ret_destination, int *ret_fd)
{
	lm_auto(group_destroy_p) struct group *group = NULL;
	struct lm_err err = {LM_OK};

	if (n == 0)
		return;
	if (generation_read(w->store, n, &group, &err)) {
		lm_warn("%s, ignoring", err.msg);
		return;
	}
	*ret_destination = lm_xstrdup(group->connector.destination);
	(void)!store_read_compose(w->store, n, ret_fd, &err); // not kept yet
}

/// Images that may be removed; NULL: the task removes none.
static json_t *find_released(const struct worker_launcher *w, const char *kind)
{
	json_t *released = NULL;
	struct lm_err err = {LM_OK};

	if (strcmp(kind, "down") == 0)
		return NULL;
	if (store_list_released(w->store, &released, &err))
		lm_warn("%s, ignoring", err.msg);
	return released;
}

static lm_rc start_with_lock(struct worker_launcher *w, const struct worker_task *task,
	const struct process_user *user, const char *credentials, int lock,
	const struct worker_process_events *events, struct worker_process **ret, struct lm_err *err)
{
	lm_auto_free char *previous_destination = NULL;
	lm_auto_close int previous_fd = -1;
	const struct launch_compose compose = {w->compose_stamp, w->compose_version};

	lm_auto_json json_t *released = find_released(w, task->kind);

	find_previous(w, task->previous, &previous_destination, &previous_fd);
	const struct launch_extras extras = {.fallback = task->fallback,
		.released = released,
		.previous_destination = previous_destination};
	lm_auto_json json_t *document = launch_make_document(
		task->kind, task->group, w->host, credentials, &compose, &extras);
	if (task->damaged) {
		json_object_set(document, "damaged", (json_t *)task->damaged);
		json_object_set_new(document, "kept", generation_list_images(w->store));
	}
	if (!store_state(w->store)->current)
		json_object_set_new(document, "first", json_true());
	if (task->snapshots)
		json_object_set_new(document, "snapshots", json_true());
	if (task->restores_data)
		json_object_set_new(document, "restores_data", json_true());
	const struct worker_launch_spec start = {
		.program = w->program,
		.user = user,
		.document = document,
		.compose_fd = task->compose_fd,
		.lock_fd = lock,
		.previous_fd = previous_fd,
		.devices_fd = task->devices_fd,
		.needs_aws = strcmp(task->kind, "down") != 0,
	};
	lm_rc rc = worker_launch(w->loop, w->host, &start, events, ret, err);
	if (rc)
		worker_process_destroy(lm_take(*ret));
	return rc;
}

lm_rc worker_launcher_start(struct worker_launcher *w, const struct worker_task *task,
	const struct worker_process_events *events, struct worker_process **ret, struct lm_err *err)
{
	lm_auto(process_user_finish) struct process_user user = {0};
	lm_auto_free char *credentials = NULL;
	lm_auto_close int lock = -1;
	pid_t holder = 0;
	lm_rc rc = launch_find_user(w->host, &task->group->connector, &user, err);

	if (rc == LM_OK)
		rc = destination_make(w->host, task->group->connector.destination, &user, err);
	if (rc == LM_OK && !w->program)
		rc = launch_find_worker(&w->program, err);
	if (rc == LM_OK)
		rc = launch_lock(w->host, &lock, &holder, err);
	if (rc == LM_OK)
		rc = launch_make_credentials(w->host, &user, &credentials, err);
	return rc ? rc : start_with_lock(w, task, &user, credentials, lock, events, ret, err);
}

void worker_launcher_clean_up(struct worker_launcher *w)
{
	struct lm_err err = {LM_OK};

	if (launch_remove_credentials(w->host, &err))
		lm_warn("remove the folder for credentials: %s, ignoring", err.msg);
}

void worker_launcher_note_compose(struct worker_launcher *w, const char *stamp, const char *version)
{
	free(w->compose_stamp);
	free(w->compose_version);
	w->compose_stamp = lm_xstrdup(stamp);
	w->compose_version = lm_xstrdup(version);
}
