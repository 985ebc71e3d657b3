// SPDX-License-Identifier: Apache-2.0
#include "worker/application_priv.h"

#include "base/file.h"
#include "base/log.h"
#include "base/path.h"
#include "docker/compose_env.h"
#include "worker/local_copy.h"
#include "worker/registries.h"

#include <errno.h>
#include <fcntl.h>

enum { UP_MS = 3600 * 1000 }; ///< It may have to build images.

static void log_line(void *ctx, enum lm_level level, struct lm_str line)
{
	(void)ctx;
	lm_log(level, "docker-compose: %.*s", LM_STR_ARG(line));
}

static struct compose_job make_job(const struct work *w, char *const *env, const char *file)
{
	return (struct compose_job){.compose = &w->compose,
		.project = COMPOSE_PROJECT,
		// A `down` must work without the destination, too.
		.directory = w->destination_fd >= 0 ? work_definition(w)->destination : "/",
		.file = file,
		.env = (const char *const *)env,
		.on_line = log_line};
}

struct compose_job application_candidate_job(
	const struct work *w, char *const *env, const struct candidate *candidate)
{
	struct compose_job job = make_job(w, env, candidate->path);

	job.file_shown = work_definition(w)->key;
	return job;
}

struct compose_job application_copy_job(const struct work *w, char *const *env, const char *path)
{
	return make_job(w, env, path);
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

lm_rc application_write_candidate(
	const struct work *w, struct lm_str text, struct candidate *ret, struct lm_err *err)
{
	const char *directory = work_definition(w)->destination;
	lm_rc rc = LM_E_NOT_FOUND;

	if (w->destination_fd >= 0)
		rc = candidate_create(w->destination_fd, directory, text, ret, err);
	else
		(void)!lm_fail(err, rc, 0, "there is no directory '%s'", directory);
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

static bool has_builds(const struct compose_services *services)
{
	for (size_t i = 0; i < services->n; i++)
		if (services->items[i].active && services->items[i].has_build)
			return true;
	return false;
}

/// A config.json with all credentials, for images that are built FROM private ones. It lasts as
/// long as this does; the directory is in memory.
struct build_config {
	int directory_fd; ///< -1: none is needed.
	char **env;       ///< The job's, with DOCKER_CONFIG.
};

static const char config_name[] = "config.json";

static void build_config_finish(struct build_config *c)
{
	if (c->directory_fd >= 0)
		(void)unlinkat(c->directory_fd, config_name, 0);
	lm_cleanup_close(&c->directory_fd);
	compose_env_free(c->env);
	*c = (struct build_config){.directory_fd = -1};
}

static lm_rc write_config(const struct work *w, const struct registry_list *logins,
	int directory_fd, struct lm_err *err)
{
	lm_auto_secret struct lm_secret text = {0};
	lm_rc rc = registry_config_json(logins->items, logins->n, &text, err);

	if (rc)
		return rc;
	lm_auto_close int fd = openat(directory_fd, config_name,
		O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "create '%s' in '%s': %m", config_name,
			w->job->credentials_directory);
	return lm_fd_write_all(fd, config_name, lm_secret_str(&text), err);
}

static lm_rc make_build_config(const struct work *w, const struct registry_list *logins,
	struct build_config *ret, struct lm_err *err)
{
	const char *directory = w->job->credentials_directory;
	struct compose_env_settings settings = {
		.docker_socket = w->job->host.docker_socket, .docker_config = directory};

	ret->directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ret->directory_fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "open '%s': %m", directory);
	ret->env = compose_env_make((const char *const *)w->env, &settings);
	return write_config(w, logins, ret->directory_fd, err);
}

/// With nothing of ours docker-compose goes by what the user has.
static lm_rc prepare_builds(struct work *w, struct build_config *ret, struct lm_err *err)
{
	lm_auto_registry_list struct registry_list logins = {0};

	if ((w->secrets.n == 0 && w->tokens.n == 0) || !has_builds(&w->services))
		return LM_OK;
	lm_rc rc = registries_list_all(w, &logins, err);
	if (rc == LM_E_CANCELLED)
		return rc;
	if (!rc)
		rc = make_build_config(w, &logins, ret, err);
	return rc ? lm_wrap(err, "give docker-compose the credentials for its builds") : LM_OK;
}

lm_rc application_up(struct work *w, struct lm_err *err)
{
	lm_auto(build_config_finish) struct build_config config = {.directory_fd = -1};
	lm_auto_free char *file = lm_path_join(work_definition(w)->destination, LOCAL_COPY_NAME);
	struct wait_limit limit = wait_limit_within(&w->limit, UP_MS);
	lm_rc rc = prepare_builds(w, &config, err);

	if (rc)
		return rc;
	struct compose_job job = application_copy_job(w, config.env ? config.env : w->env, file);
	return compose_up(&job, false, &limit, err);
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
