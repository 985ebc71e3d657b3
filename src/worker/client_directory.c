// SPDX-License-Identifier: Apache-2.0
#include "worker/client_directory.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/path.h"
#include "docker/client_config.h"
#include "docker/compose_env.h"
#include "sys/process.h"
#include "worker/registries.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define DIRECTORY "docker"
#define CONFIG "config.json"
#define PLUGINS "cli-plugins"

void client_directory_finish(struct client_directory *c)
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

/// The user's own config.json, or nothing: one that cannot be read was warned of when logins were
/// looked for in it.
static void read_own(const char *directory, struct lm_buf *out)
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

/// docker looks for plugins (buildx) beside the config.json that it uses.
static void link_plugins(int directory_fd, const char *own)
{
	lm_auto_free char *plugins = own ? lm_path_join(own, PLUGINS) : NULL;
	struct stat st;

	if (plugins && stat(plugins, &st) == 0 && S_ISDIR(st.st_mode) &&
		symlinkat(plugins, directory_fd, PLUGINS) < 0)
		lm_warn("link '%s' for docker-compose: %m, ignoring", plugins);
}

static lm_rc fill(int directory_fd, const struct registry_list *logins, struct lm_err *err)
{
	lm_auto_free char *own = own_directory();
	lm_auto_buf struct lm_buf text = LM_BUF_SECRET(LIMIT_DOCKER_CONFIG);
	lm_auto_secret struct lm_secret config = {0};

	read_own(own, &text);
	lm_rc rc = client_config_with_logins(lm_buf_str(&text), logins, &config, err);
	if (!rc)
		rc = write_config(directory_fd, lm_secret_str(&config), err);
	if (!rc)
		link_plugins(directory_fd, own);
	return rc;
}

static lm_rc create(const struct work *w, const struct registry_list *logins,
	struct client_directory *c, struct lm_err *err)
{
	const char *parent = w->job->credentials_directory;

	c->parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->parent_fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "open '%s': %m", parent);
	if (mkdirat(c->parent_fd, DIRECTORY, 0700) < 0)
		return lm_fail(err, LM_E_SYS, errno, "create '" DIRECTORY "' in '%s': %m", parent);
	lm_auto_close int fd =
		openat(c->parent_fd, DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "open '" DIRECTORY "' in '%s': %m", parent);
	return fill(fd, logins, err);
}

lm_rc client_directory_create(
	struct work *w, bool with_logins, struct client_directory *ret, struct lm_err *err)
{
	lm_auto_registry_list struct registry_list logins = {0};
	lm_auto_client_directory struct client_directory c = CLIENT_DIRECTORY_NONE;
	lm_rc rc = with_logins ? registries_list_all(w, &logins, err) : LM_OK;

	if (rc == LM_E_CANCELLED)
		return rc;
	if (!rc)
		rc = create(w, &logins, &c, err);
	if (rc)
		return lm_wrap(err, "give docker-compose the logins and settings of docker");
	lm_auto_free char *path = lm_path_join(w->job->credentials_directory, DIRECTORY);
	const struct compose_env_settings settings = {
		.docker_socket = w->job->host.docker_socket, .docker_config = path};
	c.env = compose_env_make((const char *const *)w->env, &settings);
	*ret = c;
	c = CLIENT_DIRECTORY_NONE;
	return LM_OK;
}
