// SPDX-License-Identifier: Apache-2.0
#include "worker/worker.h"

#include "base/limits.h"
#include "base/memory.h"
#include "sys/process.h"
#include "worker/checks.h"
#include "worker/compose_down.h"
#include "worker/deploy_task.h"
#include "worker/devices_task.h"
#include "worker/plan_task.h"
#include "worker/prune_images.h"
#include "worker/replace_images.h"
#include "worker/ship_logs.h"
#include "worker/verify_task.h"
#include "worker/volumes_task.h"

#include <errno.h>
#include <fcntl.h>

enum {
	FD_LOCK = 3,
	VERSION_MAX = 1024, ///< S3's own limit for the name of a version.
};

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_CANCELLED = 3 };

/// Nobody but us is to inherit the lock; and a descriptor that is missing would become that of the
/// next file opened.
static lm_rc take_lock(struct lm_err *err)
{
	if (fcntl(FD_LOCK, F_SETFD, FD_CLOEXEC) < 0)
		return lm_fail(err, LM_E_PROTOCOL, errno,
			"descriptor %d is missing: this program is started by lightermand",
			FD_LOCK);
	return LM_OK;
}

/// lightermand's home is not ours: the SDKs' files, and docker-compose's, are looked for in that of
/// the user that we are. A number without an entry in the user database has none of its own.
static void take_home(void)
{
	lm_auto(process_user_finish) struct process_user user = {0};

	if (process_user_by_uid(geteuid(), &user, NULL))
		return;
	(void)setenv("HOME", user.home, 1);
	(void)setenv("USER", user.name, 1);
	(void)setenv("LOGNAME", user.name, 1);
}

static const char *result_name(lm_rc rc)
{
	if (rc == LM_OK)
		return "success";
	return rc == LM_E_CANCELLED ? "cancelled" : "fail";
}

static json_t *space_member(const char *directory, uint64_t bytes)
{
	return json_pack("{s:o, s:I}", "directory", json_from_text(directory), "bytes",
		(json_int_t)(bytes > INT64_MAX ? INT64_MAX : bytes));
}

/// `cx` and `need` may be NULL: the task had none.
static void worker_send_result(struct protocol *p, const struct deploy_outcome *o,
	const struct context *cx, const struct volume_need *need)
{
	const char *version = cx && cx->task->group ? context_compose_version(cx) : NULL;
	bool failed = o->rc != LM_OK && o->rc != LM_E_CANCELLED;
	const char *stage = o->rc ? deploy_stage_name(o->failed) : "";
	struct lm_err ignored;

	if (version && strlen(version) > VERSION_MAX) // no store has one like that
		version = NULL;
	json_t *line = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:b, s:b}", "result",
		result_name(o->rc), "class", lm_rc_name(o->rc), "stage",
		json_from_text(stage[0] ? stage : NULL), "error",
		json_from_text(failed ? deploy_error_class_name(o->error_class) : NULL), "message",
		json_from_text(o->rc ? o->err.msg : NULL), "compose_version",
		json_from_text(version), "effect", deploy_effect_name(o->effect), "offline",
		(int)o->offline, "forced", (int)o->forced);
	if (failed && cx && cx->space_directory)
		json_object_set_new(
			line, "space", space_member(cx->space_directory, cx->space_bytes));
	if (failed && need && need->lacking)
		json_object_set_new(
			line, "space", space_member(need->lacking, need->lacking_bytes));
	(void)!protocol_send(p, line, &ignored);
}

static lm_rc read_task(struct protocol *p, struct task *ret, struct lm_err *err)
{
	struct lm_str line;
	lm_rc rc = protocol_read_line(p, LIMIT_WORKER_JOB, &line, err);

	if (rc)
		return rc == LM_E_CANCELLED ? rc : lm_wrap(err, "read the task");
	rc = task_parse(line, ret, err);
	if (!rc)
		aws_session_complete_region(&ret->host);
	return rc;
}

/// Runs a task that is about an application.
static void run_work(struct context *cx, enum task_kind kind, struct deploy_outcome *ret)
{
	if (kind == TASK_DEPLOY)
		deploy_task_run(cx, ret);
	else if (kind == TASK_DOWN)
		down_task_run(cx, ret);
	else if (kind == TASK_PLAN)
		plan_task_run(cx, ret);
	else if (kind == TASK_PRUNE_IMAGES)
		prune_images_run(cx, ret);
	else if (kind == TASK_REPLACE_IMAGES)
		replace_images_run(cx, ret);
	else
		checks_run(cx, ret);
}

/// Runs the task and sends its result.
static lm_rc run_task(struct protocol *p, const struct task *task, const struct handover *files)
{
	lm_auto(volume_need_finish) struct volume_need need = {0};
	struct deploy_outcome outcome;

	if (task->kind == TASK_SHIP_LOGS || task->kind == TASK_DEVICES ||
		task->kind == TASK_VERIFY || task->kind == TASK_VOLUMES) {
		if (task->kind == TASK_DEVICES)
			devices_task_run(task, p, &outcome);
		else if (task->kind == TASK_VERIFY)
			verify_task_run(task, p, &outcome);
		else if (task->kind == TASK_VOLUMES)
			volumes_task_run(task, p, &outcome, &need);
		else
			ship_logs_run(task, p, files, &outcome);
		worker_send_result(p, &outcome, NULL, &need);
		return outcome.rc;
	}
	lm_auto(context_finish) struct context cx;
	context_init(&cx, task, p, files);
	run_work(&cx, task->kind, &outcome);
	context_withdraw(&cx);
	worker_send_result(p, &outcome, &cx, NULL);
	return outcome.rc;
}

/// The result of a task that never began.
static lm_rc refuse_task(struct protocol *p, const struct lm_err *err)
{
	struct deploy_outcome outcome = {.rc = err->rc,
		.failed = DEPLOY_VALIDATE,
		.error_class =
			err->rc == LM_E_INVALID ? DEPLOY_INVALID_PARAMETER : DEPLOY_INTERNAL_ERROR,
		.err = *err};

	worker_send_result(p, &outcome, NULL, NULL);
	return err->rc;
}

static int worker_exit_status(lm_rc rc)
{
	if (rc == LM_OK)
		return EXIT_DONE;
	return rc == LM_E_CANCELLED ? EXIT_CANCELLED : EXIT_FAILED;
}

static lm_rc take_task(
	struct protocol *p, struct handover *files, struct task *ret, struct lm_err *err)
{
	lm_rc rc = protocol_take_handover(p, files, err);

	if (rc)
		return rc;
	take_home();
	return read_task(p, ret, err);
}

static int receive_and_run(void)
{
	lm_auto(protocol_finish) struct protocol protocol;
	lm_auto(handover_finish) struct handover files = HANDOVER_NONE;
	lm_auto_task struct task task = {0};
	struct lm_err err = {LM_OK};
	lm_rc lost = take_lock(&err); // before anything is opened
	lm_rc rc = protocol_init(&protocol, STDIN_FILENO, STDOUT_FILENO, lost ? NULL : &err);

	if (lost)
		rc = lost;
	if (!rc)
		rc = take_task(&protocol, &files, &task, &err);
	return worker_exit_status(
		rc ? refuse_task(&protocol, &err) : run_task(&protocol, &task, &files));
}

int worker_run(void)
{
	int status = receive_and_run();

	handover_forget_environment();
	return status;
}
