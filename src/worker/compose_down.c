// SPDX-License-Identifier: Apache-2.0
#include "worker/compose_down.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "worker/candidate.h"
#include "worker/hints.h"
#include "worker/local_copy.h"
#include "worker/preflight.h"
#include "worker/up_conflicts.h"

#include <errno.h>
#include <fcntl.h>

lm_rc compose_down_is_needed(const struct context *cx, bool *ret, struct lm_err *err)
{
	lm_auto(engine_containers_finish) struct engine_containers containers = {0};
	lm_auto(engine_networks_finish) struct engine_networks networks = {0};
	lm_rc rc =
		engine_list_containers(&cx->engine, COMPOSE_PROJECT, &cx->limit, &containers, err);

	if (!rc && containers.n == 0)
		rc = engine_list_networks(&cx->engine, COMPOSE_PROJECT, &cx->limit, &networks, err);
	*ret = containers.n > 0 || networks.n > 0;
	return rc;
}

static void log_removed(void *ctx, const char *what)
{
	(void)ctx;
	lm_warn("removed %s", what);
}

static lm_rc remove_by_label(struct context *cx, struct lm_err *err)
{
	return engine_remove_project(
		&cx->engine, COMPOSE_PROJECT, log_removed, NULL, &cx->limit, err);
}

enum {
	LIST_MS = 30 * 1000,
	NAMES_MAX = 600,
	REMOVE_ORPHANS = true, ///< Remove services that the file no longer has, too.
};

static bool is_running(const struct engine_container *c)
{
	return strcmp(c->state, "running") == 0;
}

static bool compose_down_accept_any(const struct engine_container *c)
{
	(void)c;
	return true;
}

/// The names of our containers that `counts` accepts.
static lm_rc list_names(const struct context *cx, bool (*counts)(const struct engine_container *),
	struct lm_buf *out, struct lm_err *err)
{
	lm_auto(engine_containers_finish) struct engine_containers list = {0};
	struct wait_limit limit = wait_limit_within(&cx->limit, LIST_MS);
	lm_rc rc = engine_list_containers(&cx->engine, COMPOSE_PROJECT, &limit, &list, err);

	for (size_t i = 0; i < list.n; i++)
		if (counts(&list.items[i]))
			(void)lm_buf_printf(
				out, "%s%s", out->len > 0 ? ", " : "", list.items[i].name);
	return rc;
}

/// It was killed at its time limit: names what still runs.
static lm_rc fail_timeout(
	const struct context *cx, const char *what, uint64_t timeout_ms, struct lm_err *err)
{
	lm_auto_buf struct lm_buf names = LM_BUF(NAMES_MAX);
	unsigned timeout_s = (unsigned)(timeout_ms / 1000);
	lm_rc rc = list_names(cx, is_running, &names, err);

	if (rc == LM_E_CANCELLED)
		return rc;
	if (rc)
		return lm_fail(err, LM_E_TIMEOUT, 0,
			"%s did not finish within %u s and was killed; the Docker daemon does not "
			"report what still runs",
			what, timeout_s);
	return lm_fail(err, LM_E_TIMEOUT, 0,
		"%s did not finish within %u s and was killed; still running: %s", what, timeout_s,
		names.len > 0 ? lm_buf_cstr(&names) : "nothing");
}

static lm_rc down_by_text(struct context *cx, const struct compose_down_options *options,
	const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto_candidate struct candidate candidate = CANDIDATE_NONE;
	lm_rc rc = candidate_write(cx, &options->dir, options->fallback, &candidate, err);

	if (rc)
		return rc;
	struct compose_project job = candidate_compose_job(cx, &options->dir, cx->env, &candidate);
	return compose_down(&job, REMOVE_ORPHANS, limit, err);
}

/// Whether docker-compose could use the local copy.
static lm_rc check_local_copy(
	const struct context *cx, const struct project_directory *dir, struct lm_err *err)
{
	lm_auto_buf struct lm_buf copy = LM_BUF(LIMIT_COMPOSE_FILE);

	if (dir->fd < 0)
		return lm_fail(
			err, LM_E_NOT_FOUND, 0, "the directory '%s' cannot be used", dir->path);
	lm_rc rc = local_copy_read(dir->fd, dir->path, &copy, err);
	return rc ? rc : compose_file_check(lm_buf_str(&copy), cx->compose.generation, err);
}

/// With the local copy itself: on a full disk no other file can be written.
static lm_rc down_by_local_copy(struct context *cx, const struct project_directory *dir,
	const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto_free char *path = lm_path_join(dir->path, LOCAL_COPY_NAME);
	lm_rc rc = check_local_copy(cx, dir, err);

	if (rc)
		return rc;
	struct compose_project job = context_compose_job(cx, dir, cx->env, path, NULL);
	return compose_down(&job, REMOVE_ORPHANS, limit, err);
}

/// Whether a `down` with the local copy failed because of that copy.
static bool is_copys_fault(lm_rc rc)
{
	return rc != LM_OK && rc != LM_E_CANCELLED && rc != LM_E_TIMEOUT && rc != LM_E_NETWORK;
}

static lm_rc down_by_files(struct context *cx, const struct compose_down_options *options,
	const struct wait_limit *limit, struct lm_err *err)
{
	lm_rc rc = down_by_local_copy(cx, &options->dir, limit, err);

	if (!is_copys_fault(rc) || options->fallback.n == 0)
		return rc;
	lm_warn("cannot stop the application with the local copy of the compose file (%s): using "
		"%s",
		err->msg, options->fallback_name);
	return down_by_text(cx, options, limit, err);
}

/// Without docker-compose, or a file that it accepts: the label shows what is ours.
static lm_rc down_by_label(
	struct context *cx, const char *why, const struct wait_limit *limit, struct lm_err *err)
{
	lm_warn("%s: stopping and removing everything labelled with project %s, in no particular "
		"order",
		why, COMPOSE_PROJECT);
	lm_rc rc = engine_stop_project(&cx->engine, COMPOSE_PROJECT, limit, err);

	return rc ? rc : remove_by_label(cx, err);
}

/// Whether a `down` by label may succeed where one with a compose file failed.
static bool may_go_by_label(lm_rc rc)
{
	return rc != LM_OK && rc != LM_E_CANCELLED && rc != LM_E_TIMEOUT && rc != LM_E_NETWORK &&
	       rc != LM_E_CONFLICT;
}

lm_rc compose_down_application(
	struct context *cx, const struct compose_down_options *options, struct lm_err *err)
{
	struct wait_limit limit = wait_limit_within(&cx->limit, options->timeout_ms);
	const char *what = NULL; // nothing was begun
	lm_rc rc;

	if (options->no_compose) {
		*err = *options->no_compose;
		rc = err->rc;
	} else {
		what = "docker-compose down";
		rc = down_by_files(cx, options, &limit, err);
		if (rc)
			hints_name_containers_in(cx, err);
	}
	if (options->by_label && may_go_by_label(rc)) {
		struct lm_err why = *err;

		what = "stopping the containers";
		rc = down_by_label(cx, why.msg, &limit, err);
	}
	return rc == LM_E_TIMEOUT && what ? fail_timeout(cx, what, options->timeout_ms, err) : rc;
}

void compose_down_warn_left(const struct context *cx)
{
	lm_auto_buf struct lm_buf names = LM_BUF(NAMES_MAX);
	struct lm_err err = {LM_OK};

	if (list_names(cx, compose_down_accept_any, &names, &err))
		lm_warn("cannot list the containers that are left: %s", err.msg);
	else if (names.len > 0)
		lm_warn("docker-compose down left containers of project %s: %s", COMPOSE_PROJECT,
			lm_buf_cstr(&names));
}

/// Reads the running generation's compose file, as lightermand kept it. Warns of one that cannot be
/// used, and leaves it empty.
static void read_kept(struct context *cx)
{
	struct lm_err err = {LM_OK};
	lm_rc rc = lm_fd_read_all(cx->compose_fd, "the generation's compose file", &cx->text, &err);

	if (!rc && cx->text.len > 0)
		rc = compose_file_check(lm_buf_str(&cx->text), cx->compose.generation, &err);
	if (!rc)
		return;
	lm_warn("cannot use the generation's compose file: %s", err.msg);
	lm_buf_clear(&cx->text);
}

static lm_rc take_down(struct context *cx, struct lm_err *err)
{
	struct lm_err no_destination, no_compose = {LM_OK};

	// Gone or not ours any more: the application must stop nevertheless.
	if (preflight_destination(cx, &no_destination))
		lm_warn("%s", no_destination.msg);
	lm_rc found = preflight_compose(cx, &no_compose);
	if (!found)
		read_kept(cx);
	const struct compose_down_options options = {.dir = context_destination(cx),
		.fallback = lm_buf_str(&cx->text),
		.fallback_name = "the generation's compose file",
		.by_label = true,
		.no_compose = found ? &no_compose : NULL,
		.timeout_ms = COMPOSE_DOWN_MS};
	return compose_down_application(cx, &options, err);
}

static lm_rc run_down(struct context *cx, struct deploy_outcome *outcome, struct lm_err *err)
{
	bool exists = false;
	lm_rc rc = preflight_engine(cx, err);

	if (!rc)
		rc = compose_down_is_needed(cx, &exists, err);
	if (rc || !exists)
		return rc;
	outcome->effect = DEPLOY_STOPPING;
	rc = take_down(cx, err);
	if (rc)
		return rc;
	up_conflicts_remove_unused_networks(cx, true);
	compose_down_warn_left(cx);
	return LM_OK;
}

static lm_rc run_stage(struct context *cx, struct deploy_outcome *outcome, struct lm_err *err)
{
	struct deploy_event event = {.stage = DEPLOY_DOWN, .state = DEPLOY_BEGIN};
	lm_rc rc = protocol_report_stage(cx->protocol, &event, err);

	if (rc)
		return rc;
	uint64_t began_ms = lm_clock_mono_ms();
	rc = run_down(cx, outcome, err);
	event.ms = lm_clock_mono_ms() - began_ms;
	if (rc == LM_E_CANCELLED)
		return rc;
	event.state = rc ? DEPLOY_FAIL : DEPLOY_END;
	event.message = rc ? err->msg : NULL;
	if (rc) {
		struct lm_err ignored;
		(void)!protocol_report_stage(cx->protocol, &event, &ignored);
		return rc;
	}
	outcome->effect = DEPLOY_STOPPED;
	lm_info("stopped the application in %llu.%03u s", (unsigned long long)(event.ms / 1000),
		(unsigned)(event.ms % 1000));
	return protocol_report_stage(cx->protocol, &event, err);
}

void down_task_run(struct context *cx, struct deploy_outcome *ret)
{
	*ret = (struct deploy_outcome){.failed = DEPLOY_STAGES,
		.error_class = DEPLOY_INTERNAL_ERROR,
		.started_ms = lm_clock_mono_ms()};
	ret->rc = run_stage(cx, ret, &ret->err);
	if (ret->rc != LM_OK)
		ret->failed = DEPLOY_DOWN;
	ret->ended_ms = lm_clock_mono_ms();
}
