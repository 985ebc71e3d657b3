// SPDX-License-Identifier: Apache-2.0
#include "worker/worker.h"

#include "base/limits.h"
#include "base/memory.h"
#include "sys/process.h"
#include "worker/ship_logs.h"
#include "worker/work_priv.h"

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

static json_t *optional_text(const char *text)
{
	return text ? report_text(text) : json_null();
}

static const char *result_name(lm_rc rc)
{
	if (rc == LM_OK)
		return "success";
	return rc == LM_E_CANCELLED ? "cancelled" : "fail";
}

static void send_result(struct report *r, const struct deploy_outcome *o, const char *version)
{
	bool failed = o->rc != LM_OK && o->rc != LM_E_CANCELLED;
	const char *stage = o->rc ? deploy_stage_name(o->failed) : "";
	struct lm_err ignored;

	if (version && strlen(version) > VERSION_MAX) // no store has one like that
		version = NULL;
	json_t *line = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:b, s:b}", "result",
		result_name(o->rc), "class", lm_rc_name(o->rc), "stage",
		optional_text(stage[0] ? stage : NULL), "error",
		optional_text(failed ? deploy_error_class_name(o->error_class) : NULL), "message",
		optional_text(o->rc ? o->err.msg : NULL), "compose_version", optional_text(version),
		"effect", deploy_effect_name(o->effect), "offline", (int)o->offline, "forced",
		(int)o->forced);
	(void)!report_send(r, line, &ignored);
}

static lm_rc read_job(struct report *r, struct job *ret, struct lm_err *err)
{
	struct lm_str line;
	lm_rc rc = report_read_line(r, LIMIT_WORKER_JOB, &line, err);

	if (rc)
		return rc == LM_E_CANCELLED ? rc : lm_wrap(err, "read the job");
	rc = job_parse(line, ret, err);
	if (!rc)
		cloud_complete_region(&ret->host);
	return rc;
}

/// Runs a job that is about an application.
static void run_work(struct work *w, enum job_kind kind, struct deploy_outcome *ret)
{
	if (kind == JOB_DEPLOY)
		deploy_job_run(w, ret);
	else if (kind == JOB_DOWN)
		down_job_run(w, ret);
	else if (kind == JOB_PLAN)
		plan_job_run(w, ret);
	else
		check_job_run(w, ret);
}

/// Runs the job and sends its result.
static lm_rc run_job(struct report *r, const struct job *job, const struct handover *files)
{
	struct deploy_outcome outcome;

	if (job->kind == JOB_SHIP_LOGS) {
		ship_logs_run(job, r, files, &outcome);
		send_result(r, &outcome, NULL);
		return outcome.rc;
	}
	lm_auto(work_finish) struct work w;
	work_init(&w, job, r, files);
	run_work(&w, job->kind, &outcome);
	work_withdraw(&w);
	send_result(r, &outcome, job->group ? work_compose_version(&w) : NULL);
	return outcome.rc;
}

/// The result of a job that never began.
static lm_rc refuse_job(struct report *r, const struct lm_err *err)
{
	struct deploy_outcome outcome = {.rc = err->rc,
		.failed = DEPLOY_VALIDATE,
		.error_class =
			err->rc == LM_E_INVALID ? DEPLOY_INVALID_PARAMETER : DEPLOY_INTERNAL_ERROR,
		.err = *err};

	send_result(r, &outcome, NULL);
	return err->rc;
}

static int exit_status(lm_rc rc)
{
	if (rc == LM_OK)
		return EXIT_DONE;
	return rc == LM_E_CANCELLED ? EXIT_CANCELLED : EXIT_FAILED;
}

static lm_rc take_job(struct report *r, struct handover *files, struct job *ret, struct lm_err *err)
{
	lm_rc rc = report_take_handover(r, files, err);

	if (rc)
		return rc;
	take_home();
	return read_job(r, ret, err);
}

static int run(void)
{
	lm_auto(report_finish) struct report report;
	lm_auto(handover_finish) struct handover files = {-1, -1, -1, -1};
	lm_auto_job struct job job = {0};
	struct lm_err err = {LM_OK};
	lm_rc lost = take_lock(&err); // before anything is opened
	lm_rc rc = report_init(&report, STDIN_FILENO, STDOUT_FILENO, lost ? NULL : &err);

	if (lost)
		rc = lost;
	if (!rc)
		rc = take_job(&report, &files, &job, &err);
	return exit_status(rc ? refuse_job(&report, &err) : run_job(&report, &job, &files));
}

int worker_run(void)
{
	int status = run();

	handover_forget_environment();
	return status;
}
