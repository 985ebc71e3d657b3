// SPDX-License-Identifier: Apache-2.0
#include "base/limits.h"
#include "base/log.h"
#include "base/path.h"
#include "worker/application_priv.h"
#include "worker/hints.h"
#include "worker/local_copy.h"

enum {
	LIST_MS = 30 * 1000,
	NAMES_MAX = 600,
	REMOVE_ORPHANS = true, ///< Services that the file no longer has are ours as well.
};

static bool is_running(const struct engine_container *c)
{
	return strcmp(c->state, "running") == 0;
}

static bool is_any(const struct engine_container *c)
{
	(void)c;
	return true;
}

/// The names of those of our containers that `counts` accepts.
static lm_rc list_names(const struct work *w, bool (*counts)(const struct engine_container *),
	struct lm_buf *out, struct lm_err *err)
{
	lm_auto(engine_containers_finish) struct engine_containers list = {0};
	struct wait_limit limit = wait_limit_within(&w->limit, LIST_MS);
	lm_rc rc = engine_list_containers(&w->engine, COMPOSE_PROJECT, &limit, &list, err);

	for (size_t i = 0; i < list.n; i++)
		if (counts(&list.items[i]))
			(void)lm_buf_printf(
				out, "%s%s", out->len > 0 ? ", " : "", list.items[i].name);
	return rc;
}

/// It was ended at its time limit: says what is left.
static lm_rc fail_timeout(
	const struct work *w, const char *what, uint64_t timeout_ms, struct lm_err *err)
{
	lm_auto_buf struct lm_buf names = LM_BUF(NAMES_MAX);
	unsigned timeout_s = (unsigned)(timeout_ms / 1000);
	lm_rc rc = list_names(w, is_running, &names, err);

	if (rc == LM_E_CANCELLED)
		return rc;
	if (rc)
		return lm_fail(err, LM_E_TIMEOUT, 0,
			"%s did not end within %u s and was ended; the Docker daemon does not tell "
			"what still runs",
			what, timeout_s);
	return lm_fail(err, LM_E_TIMEOUT, 0,
		"%s did not end within %u s and was ended; still running: %s", what, timeout_s,
		names.len > 0 ? lm_buf_cstr(&names) : "nothing");
}

static lm_rc down_by_text(struct work *w, const struct application_down *how,
	const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto_candidate struct candidate candidate = CANDIDATE_NONE;
	lm_rc rc = application_write_candidate(w, &how->place, how->fallback, &candidate, err);

	if (rc)
		return rc;
	struct compose_job job = application_candidate_job(w, &how->place, w->env, &candidate);
	return compose_down(&job, REMOVE_ORPHANS, limit, err);
}

/// Whether the local copy is worth giving to docker-compose.
static lm_rc check_local_copy(
	const struct work *w, const struct work_place *place, struct lm_err *err)
{
	lm_auto_buf struct lm_buf copy = LM_BUF(LIMIT_COMPOSE_FILE);

	if (place->fd < 0)
		return lm_fail(err, LM_E_NOT_FOUND, 0, "the directory '%s' cannot be used",
			place->directory);
	lm_rc rc = local_copy_read(place->fd, place->directory, &copy, err);
	return rc ? rc : compose_file_check(lm_buf_str(&copy), w->compose.generation, err);
}

/// By the local copy itself: a disk that is full must not keep anything running.
static lm_rc down_by_local_copy(struct work *w, const struct work_place *place,
	const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto_free char *path = lm_path_join(place->directory, LOCAL_COPY_NAME);
	lm_rc rc = check_local_copy(w, place, err);

	if (rc)
		return rc;
	struct compose_job job = application_copy_job(w, place, w->env, path);
	return compose_down(&job, REMOVE_ORPHANS, limit, err);
}

/// Whether a `down` by the local copy failed because of that copy.
static bool is_copys_fault(lm_rc rc)
{
	return rc != LM_OK && rc != LM_E_CANCELLED && rc != LM_E_TIMEOUT && rc != LM_E_NETWORK;
}

static lm_rc down_by_files(struct work *w, const struct application_down *how,
	const struct wait_limit *limit, struct lm_err *err)
{
	lm_rc rc = down_by_local_copy(w, &how->place, limit, err);

	if (!is_copys_fault(rc) || how->fallback.n == 0)
		return rc;
	lm_warn("cannot take down by the local copy of the compose file (%s): taking down by %s",
		err->msg, how->fallback_words);
	return down_by_text(w, how, limit, err);
}

/// Without docker-compose, or without a file that it takes: the label tells what is ours.
static lm_rc down_by_label(
	struct work *w, const char *why, const struct wait_limit *limit, struct lm_err *err)
{
	lm_warn("%s: stopping and removing all that carries the label of project %s, in no order",
		why, COMPOSE_PROJECT);
	lm_rc rc = engine_stop_project(&w->engine, COMPOSE_PROJECT, limit, err);

	return rc ? rc : application_remove(w, err);
}

/// Whether taking down by a compose file failed for a reason that the label does not have.
static bool may_go_by_label(lm_rc rc)
{
	return rc != LM_OK && rc != LM_E_CANCELLED && rc != LM_E_TIMEOUT && rc != LM_E_NETWORK &&
	       rc != LM_E_CONFLICT;
}

lm_rc application_down(struct work *w, const struct application_down *how, struct lm_err *err)
{
	struct wait_limit limit = wait_limit_within(&w->limit, how->timeout_ms);
	const char *what = NULL; // nothing was begun
	lm_rc rc;

	if (how->no_compose) {
		*err = *how->no_compose;
		rc = err->rc;
	} else {
		what = "docker-compose down";
		rc = down_by_files(w, how, &limit, err);
		if (rc)
			hints_name_containers_in(w, err);
	}
	if (how->by_label && may_go_by_label(rc)) {
		struct lm_err why = *err;

		what = "stopping the containers";
		rc = down_by_label(w, why.msg, &limit, err);
	}
	return rc == LM_E_TIMEOUT && what ? fail_timeout(w, what, how->timeout_ms, err) : rc;
}

void application_warn_left(const struct work *w)
{
	lm_auto_buf struct lm_buf names = LM_BUF(NAMES_MAX);
	struct lm_err err = {LM_OK};

	if (list_names(w, is_any, &names, &err))
		lm_warn("cannot tell what is left of the application: %s", err.msg);
	else if (names.len > 0)
		lm_warn("docker-compose down left these containers, which carry the label of "
			"project %s: %s",
			COMPOSE_PROJECT, lm_buf_cstr(&names));
}
