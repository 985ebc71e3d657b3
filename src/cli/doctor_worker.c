// SPDX-License-Identifier: Apache-2.0
#include "base/limits.h"
#include "cli/doctor_priv.h"
#include "cli/plain.h"
#include "deploy/handover.h"
#include "deploy/launch.h"

#include <signal.h>
#include <string.h>

enum { GRACE_MS = 15 * 1000 }; ///< docker-compose gets 10 s of it.

/// What it writes beside its report is worth reading: it has nothing to say there.
static void take_text(const struct doctor *d, struct lm_str line)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_LOG_LINE);

	if (!lm_buf_add_str(&text, line) || line.n == 0)
		return;
	lm_auto_free char *plain = plain_text(lm_buf_cstr(&text));
	(void)fprintf(d->call->err, "lighterman-worker: %s\n", plain);
}

static void take_line(void *ctx, enum process_stream stream, struct lm_str text)
{
	struct doctor *d = ctx;
	lm_auto_json json_t *line = NULL;
	struct lm_err ignored;

	if (stream != PROCESS_STDOUT) {
		take_text(d, text);
		return;
	}
	if (json_parse(text, &line, &ignored))
		return; // the end without a result is told
	d->worker_done |= json_object_get(line, "result") != NULL;
	d->worker_hardened |= json_get_bool(line, "hardened", false);
	if (!json_get_text(line, "check"))
		return;
	if (!d->worker_lives)
		doctor_ok(d, "lighterman-worker runs as %s",
			d->user.name ? d->user.name : "who you are");
	d->worker_lives = true;
	doctor_take(d, line);
}

static void make_job(const struct doctor *d, struct lm_buf *out)
{
	lm_auto_json json_t *job = json_pack("{s:s, s:o, s:o, s:b}", "job", "check", "group",
		d->group ? group_to_json(d->group) : json_null(), "host", host_to_json(&d->host),
		"as_user", (int)d->as_user);

	(void)(json_write(job, out) && lm_buf_putc(out, '\n'));
}

/// Once nobody else can look into it, it gets what it needs for AWS.
static bool hand_over(void *ctx, int socket)
{
	struct doctor *d = ctx;
	struct lm_err ignored; // the worker ends without it, which is told

	if (!d->worker_hardened)
		return false;
	lm_auto(launch_identity_finish) struct launch_identity identity =
		launch_open_identity(&d->host);
	const struct handover rest = {-1, identity.key_fd, identity.certificate_fd, -1};

	(void)!handover_send(socket, &rest, (const char *const *)environ, &ignored);
	return true;
}

/// Whom the worker becomes; NULL: nobody else.
static const struct process_user *worker_user(const struct doctor *d)
{
	return d->has_user && geteuid() == 0 ? &d->user : NULL;
}

static lm_rc run(struct doctor *d, const char *program, int *ret_status, struct lm_err *err)
{
	lm_auto_buf struct lm_buf job = LM_BUF(LIMIT_WORKER_JOB);

	make_job(d, &job);
	if (job.overflow)
		return lm_fail(err, LM_E_TOO_LARGE, 0, "the definition is too large for a worker");
	lm_auto_free char **first = handover_first_environment((const char *const *)environ);
	const int lock = -1;
	const struct process_run process = {
		.spec = {.argv = (const char *const[]){program, NULL},
			.envp = (const char *const *)first,
			.directory = "/",
			.user = worker_user(d),
			.die_with_parent = true,
			.shielded = true},
		.input = lm_buf_str(&job),
		.keeps_stdin = true,
		.on_stdin = hand_over,
		.more_fds = &lock,
		.more_fds_n = 1,
		.on_line = take_line,
		.ctx = d,
		.term_grace_ms = GRACE_MS,
	};
	return process_run(&process, &d->limit, ret_status, err);
}

static void tell_end(struct doctor *d, lm_rc rc, int status, struct lm_err *err)
{
	char how[96];

	if (rc == LM_OK && d->worker_done)
		return;
	if (rc == LM_OK)
		(void)!lm_fail(err, LM_E_PROTOCOL, 0,
			"lighterman-worker ended before it had checked all (%s)",
			process_describe_status(status, how, sizeof(how)));
	d->name = "worker";
	doctor_wrong(d, err->msg,
		"install Lighterman again; are lighterman and lighterman-worker of the same "
		"version, and may everybody reach and run them?");
}

lm_rc doctor_run_worker(struct doctor *d, struct lm_err *err)
{
	lm_auto_free char *program = NULL;
	int status = 0;

	if (!d->has_host)
		return LM_OK; // what there is to check is not known
	(void)signal(SIGPIPE, SIG_IGN);
	lm_rc rc = launch_find_worker(&program, err);
	if (!rc)
		rc = run(d, program, &status, err);
	if (rc == LM_E_CANCELLED)
		return rc;
	tell_end(d, rc, status, err);
	return LM_OK;
}
