// SPDX-License-Identifier: Apache-2.0
#include "worker/compose_up.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "docker/client_config.h"
#include "docker/compose.h"
#include "sys/process.h"
#include "worker/candidate.h"
#include "worker/hints.h"
#include "worker/image_report.h"
#include "worker/images.h"
#include "worker/local_copy.h"
#include "worker/login.h"
#include "worker/up_conflicts.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { UP_MS = 3600 * 1000 }; ///< It may have to build images.

#define DIRECTORY "docker"
#define CONFIG "config.json"
#define PLUGINS "cli-plugins"

/// What docker-compose gets as DOCKER_CONFIG: the config.json of the task's user (proxies,
/// plugins), with all logins of the task in place of those in it. It is in the task's directory in
/// memory. A user without a home directory has one then, in which builders may write.
struct client_directory {
	int parent_fd; ///< -1: there is none.
	char **env;    ///< The task's, with DOCKER_CONFIG.
};

#define CLIENT_DIRECTORY_NONE ((struct client_directory){.parent_fd = -1})
#define lm_auto_client_directory lm_auto(client_directory_finish)

static void client_directory_finish(struct client_directory *c)
{
	struct lm_err err = {LM_OK};

	if (c->parent_fd >= 0 && lm_tree_remove(c->parent_fd, DIRECTORY, &err))
		lm_warn("remove the directory of docker-compose's logins: %s, ignoring", err.msg);
	lm_cleanup_close(&c->parent_fd);
	compose_env_free(c->env);
	*c = CLIENT_DIRECTORY_NONE;
}

/// The directory ~/.docker of the task's user; NULL: that user has no home. The caller frees.
static char *own_directory(void)
{
	lm_auto(process_user_finish) struct process_user user = {0};

	if (process_user_by_uid(geteuid(), &user, NULL) || !user.home)
		return NULL;
	return lm_path_join(user.home, ".docker");
}

/// The user's own config.json, or nothing: login.c has warned of one that cannot be read.
static void read_own_config(const char *directory, struct lm_buf *out)
{
	lm_auto_free char *path = directory ? lm_path_join(directory, CONFIG) : NULL;
	struct lm_err err = {LM_OK};

	if (path && lm_file_read(path, out, &err)) {
		lm_debug("%s", err.msg);
		lm_buf_clear(out);
	}
}

static lm_rc write_config(int directory_fd, struct lm_str text, struct lm_err *err)
{
	lm_auto_close int fd = openat(
		directory_fd, CONFIG, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "create '" CONFIG "': %m");
	return lm_fd_write_all(fd, CONFIG, text, err);
}

/// docker looks for plugins (buildx) beside its config.json.
static void link_plugins(int directory_fd, const char *own)
{
	lm_auto_free char *plugins = own ? lm_path_join(own, PLUGINS) : NULL;
	struct stat st;

	if (plugins && stat(plugins, &st) == 0 && S_ISDIR(st.st_mode) &&
		symlinkat(plugins, directory_fd, PLUGINS) < 0)
		lm_warn("link '%s' for docker-compose: %m, ignoring", plugins);
}

static lm_rc fill_client_directory(
	int directory_fd, const struct registry_list *logins, struct lm_err *err)
{
	lm_auto_free char *own = own_directory();
	lm_auto_buf struct lm_buf text = LM_BUF_SECRET(LIMIT_DOCKER_CONFIG);
	lm_auto_secret struct lm_secret config = {0};

	read_own_config(own, &text);
	lm_rc rc = client_config_with_logins(lm_buf_str(&text), logins, &config, err);
	if (!rc)
		rc = write_config(directory_fd, lm_secret_str(&config), err);
	if (!rc)
		link_plugins(directory_fd, own);
	return rc;
}

static lm_rc create_client_directory(const struct context *cx, const struct registry_list *logins,
	struct client_directory *c, struct lm_err *err)
{
	const char *parent = cx->task->credentials_directory;

	c->parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->parent_fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "open '%s': %m", parent);
	if (mkdirat(c->parent_fd, DIRECTORY, 0700) < 0)
		return lm_fail(err, LM_E_SYS, errno, "create '" DIRECTORY "' in '%s': %m", parent);
	lm_auto_close int fd =
		openat(c->parent_fd, DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "open '" DIRECTORY "' in '%s': %m", parent);
	return fill_client_directory(fd, logins, err);
}

/// `with_logins` false: nothing will be pulled. LM_E_SYS, LM_E_CANCELLED.
static lm_rc client_directory_create(
	struct context *cx, bool with_logins, struct client_directory *ret, struct lm_err *err)
{
	lm_auto_registry_list struct registry_list logins = {0};
	lm_auto_client_directory struct client_directory c = CLIENT_DIRECTORY_NONE;
	lm_rc rc = with_logins ? login_list_all(cx, &logins, err) : LM_OK;

	if (rc == LM_E_CANCELLED)
		return rc;
	if (!rc)
		rc = create_client_directory(cx, &logins, &c, err);
	if (rc)
		return lm_wrap(err, "prepare the Docker configuration for docker-compose");
	lm_auto_free char *path = lm_path_join(cx->task->credentials_directory, DIRECTORY);
	const struct compose_env_settings settings = {
		.docker_socket = cx->task->host.docker_socket, .docker_config = path};
	c.env = compose_env_make((const char *const *)cx->env, &settings);
	*ret = c;
	c = CLIENT_DIRECTORY_NONE;
	return LM_OK;
}

/// Whether `up` may bring this image itself: by a build, or because it always pulls.
static bool may_bring(const struct context *cx, const struct compose_image *image)
{
	return image->builder || images_is_pulled_by_up(cx, image);
}

static bool may_pull(const struct context *cx)
{
	for (size_t i = 0; i < cx->images.n; i++)
		if (may_bring(cx, &cx->images.items[i]))
			return true;
	return false;
}

/// The application runs, whatever the engine answers now.
static void report_brought(const struct context *cx)
{
	for (size_t i = 0; i < cx->images.n; i++) {
		const struct compose_image *image = &cx->images.items[i];
		struct lm_err err = {LM_OK};

		if (may_bring(cx, image) && image_report_send(cx, image->name, &err))
			lm_warn("find out which image was built: %s, ignoring", err.msg);
	}
}

/// A start of what was deployed before builds nothing again that is there.
static lm_rc find_no_build(const struct context *cx, bool *ret, struct lm_err *err)
{
	bool all = cx->is_own;
	lm_rc rc = LM_OK;

	for (size_t i = 0; i < cx->images.n && all && !rc; i++) {
		lm_auto(engine_image_finish) struct engine_image found = {0};

		if (cx->images.items[i].builder)
			rc = images_find(cx, &cx->images.items[i], &found, &all, err);
	}
	*ret = all;
	return rc;
}

lm_rc compose_up_application(struct context *cx, struct lm_err *err)
{
	lm_auto_client_directory struct client_directory client = CLIENT_DIRECTORY_NONE;
	const struct project_directory dir = context_destination(cx);
	lm_auto_free char *file = lm_path_join(dir.path, LOCAL_COPY_NAME);
	struct wait_limit limit = wait_limit_within(&cx->limit, UP_MS);
	struct compose_up_options options = {0};
	lm_rc rc = up_conflicts_replace_networks(cx, err);

	if (!rc)
		rc = find_no_build(cx, &options.no_build, err);
	if (!rc)
		rc = client_directory_create(cx, may_pull(cx), &client, err);
	if (rc)
		return rc;
	struct compose_project job = context_compose_job(cx, &dir, client.env, file, NULL);
	rc = compose_up(&job, &options, &limit, err);
	if (!rc) {
		report_brought(cx);
		return LM_OK;
	}
	const struct lm_err own = *err;
	rc = up_conflicts_explain(cx, rc, err);
	bool is_conflict = strcmp(own.msg, err->msg) != 0;
	if (!is_conflict)
		return hints_explain_up(cx, rc, err);
	hints_name_containers_in(cx, err);
	return rc;
}

lm_rc compose_up_build(
	struct context *cx, const char *const *services, size_t n, struct lm_err *err)
{
	lm_auto_client_directory struct client_directory client = CLIENT_DIRECTORY_NONE;
	const struct project_directory dir = context_destination(cx);
	lm_auto_candidate struct candidate candidate = CANDIDATE_NONE;
	struct wait_limit limit = wait_limit_within(&cx->limit, UP_MS);
	lm_rc rc = client_directory_create(cx, true, &client, err);

	if (!rc)
		rc = candidate_write(cx, &dir, lm_buf_str(&cx->text), &candidate, err);
	if (rc)
		return rc;
	struct compose_project job = candidate_compose_job(cx, &dir, client.env, &candidate);
	return compose_build(&job, services, n, &limit, err);
}
