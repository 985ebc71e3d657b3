// SPDX-License-Identifier: Apache-2.0
#include "worker/volumes_task.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "docker/compose.h"
#include "docker/engine.h"
#include "worker/heartbeat.h"
#include "worker/volume_restore.h"

#include <errno.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum {
	MIB = 1 << 20,
	LOCK_MS = 60 * 1000,
	LOCK_AGAIN_MS = 100,
	PATIENCE_MS = 30 * 60 * 1000, ///< With a single call to the file system.
};

/// One of an earlier lightermand that was killed ends soon.
static lm_rc lock_snapshots(
	const struct snapshots *s, const struct wait_limit *limit, struct lm_err *err)
{
	const struct wait_limit patience = wait_limit_within(limit, LOCK_MS);
	lm_rc rc = LM_OK;

	while (!rc && flock(s->fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return lm_fail(err, LM_E_SYS, errno, "lock '%s': %m", s->path);
		rc = wait_ms(LOCK_AGAIN_MS, &patience, err);
	}
	return rc && rc != LM_E_CANCELLED ? lm_wrap(err, "lock '%s'", s->path) : rc;
}

/// A deep tree takes three descriptors a level; modes are those of the originals.
static void prepare_process(void)
{
	struct rlimit files;

	(void)umask(0);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
}

/// What precedes the start of generation `t->generation`: the content that the volumes have is that
/// of `t->subject` until then.
static lm_rc prepare_start(
	const struct task_volumes *t, const struct volume_copies *v, struct lm_err *err)
{
	lm_rc rc = t->subject ? volume_copies_adopt(v, t->subject, err) : LM_OK;

	return rc ? rc : volume_restore_run(v, t->generation, err);
}

/// What prevents the one does not prevent the other.
static lm_rc clean_volumes(const struct volume_copies *v, struct lm_err *err)
{
	struct lm_err own = {LM_OK};
	lm_rc rc = volume_restore_clean(v, err);
	lm_rc of_copies = rc == LM_E_CANCELLED ? LM_OK : volume_copies_clean(v, &own);

	if (of_copies && (!rc || of_copies == LM_E_CANCELLED)) {
		*err = own;
		rc = of_copies;
	}
	return rc;
}

static lm_rc run_volumes_action(const struct task_volumes *t, const struct volume_copies *v,
	struct volume_need *ret_need, struct lm_err *err)
{
	lm_rc rc;

	switch (t->action) {
	case VOLUMES_MEASURE:
		return volume_copies_check(v, t->generation, ret_need, err);
	case VOLUMES_COPY:
		rc = volume_restore_settle(v, err);
		return rc ? rc : volume_copies_make(v, t->generation, err);
	case VOLUMES_START:
		return prepare_start(t, v, err);
	case VOLUMES_CLEAN:
		return clean_volumes(v, err);
	}
	return lm_fail(err, LM_E_PROTOCOL, 0, "unknown action");
}

static lm_rc run_volumes(const struct task *task, const struct wait_limit *limit,
	struct volume_need *ret_need, struct lm_err *err)
{
	const struct task_volumes *t = &task->volumes;
	lm_auto_snapshots struct snapshots snapshots = {.fd = -1};
	lm_auto_volume_folders struct volume_folders folders = {.fd = -1};
	lm_auto(engine_close) struct engine engine = {0};
	const struct volume_copies v = {
		.snapshots = &snapshots,
		.folders = &folders,
		.engine = &engine,
		.project = COMPOSE_PROJECT,
		.limit = limit,
		.bytes_max = (uint64_t)t->max_mb * MIB,
		.reserve = (uint64_t)t->reserve_mb * MIB,
	};
	lm_rc rc = snapshots_open(task->host.state_directory, true, &snapshots, err);

	if (!rc && t->action != VOLUMES_MEASURE)
		rc = lock_snapshots(&snapshots, limit, err);
	if (!rc)
		rc = engine_open(task->host.docker_socket, limit, &engine, err);
	if (!rc)
		rc = volume_folders_open(&engine, limit, &folders, err);
	return rc ? rc : run_volumes_action(t, &v, ret_need, err);
}

void volumes_task_run(const struct task *task, struct protocol *p, struct deploy_outcome *ret,
	struct volume_need *ret_need)
{
	struct wait_limit limit = protocol_limit(p, task->host.worker_silence_s);
	struct heartbeat *heartbeat = NULL;

	*ret = (struct deploy_outcome){.failed = DEPLOY_STAGES,
		.error_class = DEPLOY_INTERNAL_ERROR,
		.started_ms = lm_clock_mono_ms()};
	prepare_process();
	ret->rc = heartbeat_start(&limit, PATIENCE_MS, &heartbeat, &ret->err);
	if (!ret->rc)
		ret->rc = run_volumes(task, &limit, ret_need, &ret->err);
	heartbeat_stop(heartbeat);
	if (!ret->rc && task->volumes.action == VOLUMES_MEASURE)
		ret->rc = protocol_send(p,
			json_pack("{s:{s:I}}", "volumes", "bytes", (json_int_t)ret_need->bytes),
			&ret->err);
	ret->ended_ms = lm_clock_mono_ms();
}
