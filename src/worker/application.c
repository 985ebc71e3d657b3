// SPDX-License-Identifier: Apache-2.0
#include "worker/application_priv.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/path.h"
#include "worker/client_directory.h"
#include "worker/hints.h"
#include "worker/local_copy.h"

#include <errno.h>
#include <fcntl.h>

enum {
	UP_MS = 3600 * 1000, ///< It may have to build images.
	NAMES_MS = 2000,
};

static void log_line(void *ctx, enum lm_level level, struct lm_str line)
{
	const struct work *w = ctx;
	lm_auto_buf struct lm_buf named = LM_BUF(LIMIT_LOG_LINE);

	// docker-compose waits meanwhile.
	if (level == LM_ERROR && hints_find_names(w, line, NAMES_MS, &named))
		line = lm_buf_str(&named);
	lm_log(level, "docker-compose: %.*s", LM_STR_ARG(line));
}

static struct compose_job make_job(
	const struct work *w, const struct work_place *place, char *const *env, const char *file)
{
	return (struct compose_job){.compose = &w->compose,
		.project = COMPOSE_PROJECT,
		// A `down` must work without the destination, too.
		.directory = place->fd >= 0 ? place->directory : "/",
		.file = file,
		.env = (const char *const *)env,
		.resolved = lm_buf_str(&w->config),
		.on_line = log_line,
		.ctx = (void *)w};
}

struct compose_job application_candidate_job(const struct work *w, const struct work_place *place,
	char *const *env, const struct candidate *candidate)
{
	struct compose_job job = make_job(w, place, env, candidate->path);

	job.file_shown = work_definition(w)->key;
	return job;
}

struct compose_job application_copy_job(
	const struct work *w, const struct work_place *place, char *const *env, const char *path)
{
	return make_job(w, place, env, path);
}

lm_rc application_write_secret_candidate(
	const struct work *w, struct lm_str text, struct candidate *ret, struct lm_err *err)
{
	const char *directory = w->job->credentials_directory;
	lm_auto_close int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "open '%s': %m", directory);
	return candidate_create(fd, directory, text, ret, err);
}

lm_rc application_write_candidate(const struct work *w, const struct work_place *place,
	struct lm_str text, struct candidate *ret, struct lm_err *err)
{
	lm_rc rc = LM_E_NOT_FOUND;

	if (place->fd >= 0)
		rc = candidate_create(place->fd, place->directory, text, ret, err);
	else
		(void)!lm_fail(err, rc, 0, "there is no directory '%s'", place->directory);
	if (rc == LM_OK || !w->job->credentials_directory) // a check has none
		return rc;
	lm_debug("%s; docker-compose reads the compose file in '%s'", err->msg,
		w->job->credentials_directory);
	return application_write_secret_candidate(w, text, ret, err);
}

lm_rc application_exists(const struct work *w, bool *ret, struct lm_err *err)
{
	lm_auto(engine_containers_finish) struct engine_containers containers = {0};
	lm_auto(engine_networks_finish) struct engine_networks networks = {0};
	lm_rc rc = engine_list_containers(&w->engine, COMPOSE_PROJECT, &w->limit, &containers, err);

	if (!rc && containers.n == 0)
		rc = engine_list_networks(&w->engine, COMPOSE_PROJECT, &w->limit, &networks, err);
	*ret = containers.n > 0 || networks.n > 0;
	return rc;
}

/// Whether `up` may still pull: for the builds that are left to it, or again.
static bool may_pull(const struct work *w)
{
	for (size_t i = 0; i < w->images.n; i++)
		if (w->images.items[i].builder || images_is_pulled_by_up(w, &w->images.items[i]))
			return true;
	return false;
}

lm_rc application_up(struct work *w, struct lm_err *err)
{
	lm_auto_client_directory struct client_directory client = CLIENT_DIRECTORY_NONE;
	const struct work_place place = work_destination(w);
	lm_auto_free char *file = lm_path_join(place.directory, LOCAL_COPY_NAME);
	struct wait_limit limit = wait_limit_within(&w->limit, UP_MS);
	lm_rc rc = application_replace_networks(w, err);

	if (!rc)
		rc = client_directory_create(w, may_pull(w), &client, err);
	if (rc)
		return rc;
	struct compose_job job = application_copy_job(w, &place, client.env, file);
	rc = compose_up(&job, false, &limit, err);
	if (!rc)
		return LM_OK;
	const struct lm_err own = *err;
	rc = application_explain_conflict(w, rc, err);
	bool is_conflict = strcmp(own.msg, err->msg) != 0;
	if (!is_conflict)
		return hints_explain_up(w, rc, err);
	hints_name_containers_in(w, err);
	return rc;
}

lm_rc application_build(struct work *w, const char *const *services, size_t n, struct lm_err *err)
{
	lm_auto_client_directory struct client_directory client = CLIENT_DIRECTORY_NONE;
	const struct work_place place = work_destination(w);
	lm_auto_candidate struct candidate candidate = CANDIDATE_NONE;
	struct wait_limit limit = wait_limit_within(&w->limit, UP_MS);
	lm_rc rc = client_directory_create(w, true, &client, err);

	if (!rc)
		rc = application_write_candidate(w, &place, lm_buf_str(&w->text), &candidate, err);
	if (rc)
		return rc;
	struct compose_job job = application_candidate_job(w, &place, client.env, &candidate);
	return compose_build(&job, services, n, &limit, err);
}

static void log_removed(void *ctx, const char *what)
{
	(void)ctx;
	lm_warn("removed %s", what);
}

lm_rc application_remove(struct work *w, struct lm_err *err)
{
	return engine_remove_project(
		&w->engine, COMPOSE_PROJECT, log_removed, NULL, &w->limit, err);
}
