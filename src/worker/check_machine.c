// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"
#include "docker/compose_api.h"
#include "docker/compose_env.h"
#include "sys/process.h"
#include "worker/check_priv.h"

#include <inttypes.h>
#include <sys/statvfs.h>

enum {
	MIB = 1 << 20,
	ENGINE_SPARE_MB = 256, ///< Less hardly holds an image beside the one that runs.
};

void check_find(struct checkup *c)
{
	struct work *w = c->w;

	c->engine_rc = prepare_engine(w, &c->engine_err);
	c->compose_rc = prepare_compose(w, &c->compose_err);
	if (!c->engine_rc)
		c->have |= NEED_ENGINE;
	if (!c->compose_rc)
		c->have |= NEED_COMPOSE;
	c->cancelled = c->engine_rc == LM_E_CANCELLED || c->compose_rc == LM_E_CANCELLED;
}

void check_docker(struct checkup *c)
{
	const struct compose *compose = &c->w->compose;
	lm_auto_free char *path = NULL;
	struct lm_err err = {LM_OK};
	bool plugin = compose->program && compose->plugin;

	if (plugin)
		check_ok(c, "%s", compose->program);
	else if (docker_find(NULL, &path, &err) == LM_OK)
		check_ok(c, "%s", path);
	else if (compose->program)
		check_skip(
			c, "not needed, as docker-compose is a program of its own (%s)", err.msg);
	else
		check_wrong(c, &err, NULL);
}

/// Whether the engine was reached, whatever it said.
static bool answers(const struct checkup *c)
{
	lm_rc rc = c->engine_rc;

	return rc == LM_OK || rc == LM_E_REFUSED || rc == LM_E_PROTOCOL;
}

void check_engine(struct checkup *c)
{
	const char *path = c->w->job->host.docker_socket;
	const char *mend = NULL;

	if (answers(c)) {
		check_ok(c, "the Docker daemon answers at %s%s", path,
			check_lack(c, NEED_USER) ? " (whether to the application's user, too, is "
						   "not known)"
						 : "");
		return;
	}
	if (c->engine_rc == LM_E_NOT_FOUND)
		mend = "install it (apt-get install docker.io), start it (systemctl start docker), "
		       "or name its socket with docker.socket in the host file";
	else if (c->engine_rc == LM_E_DENIED)
		mend = "the next deployment is done with the new group; nothing need be restarted";
	check_wrong(c, &c->engine_err, mend);
}

void check_engine_version(struct checkup *c)
{
	if (!answers(c))
		check_skip(c, "not checked: the Docker daemon cannot be asked");
	else if (c->engine_rc)
		check_wrong(c, &c->engine_err, NULL);
	else
		check_ok(c, "Docker Engine %s", c->w->engine.version.engine);
}

void check_compose(struct checkup *c)
{
	const struct compose *compose = &c->w->compose;

	if (c->compose_rc)
		check_wrong(c, &c->compose_err,
			c->compose_rc == LM_E_NOT_FOUND
				? "apt-get install docker-compose, or name it with docker.compose "
				  "in the host file"
				: NULL);
	else
		check_ok(c, "%s%s, version %s", compose->program, compose->plugin ? " compose" : "",
			compose->version);
}

void check_compose_api(struct checkup *c)
{
	const struct work *w = c->w;
	struct lm_err err = {LM_OK};

	if (compose_check_api(&w->compose, &w->engine.version, NULL, &err))
		check_wrong(c, &err,
			"install docker-compose 2 or later; or let the engine take older clients: "
			"\"min-api-version\": \"1.24\" in /etc/docker/daemon.json");
	else
		check_ok(c, "docker-compose %s can talk to Docker Engine %s", w->compose.version,
			w->engine.version.engine);
}

static char *own_name(void)
{
	lm_auto(process_user_finish) struct process_user user = {0};

	if (process_user_by_uid(geteuid(), &user, NULL) == LM_OK)
		return lm_take(user.name);
	return lm_xasprintf("%u", (unsigned)geteuid());
}

void check_destination(struct checkup *c)
{
	const char *path = work_definition(c->w)->destination;
	lm_auto_free char *user = own_name();
	struct lm_err err = {LM_OK};

	if (prepare_destination(c->w, &err)) {
		lm_auto_free char *mend = lm_xasprintf("install -d -o %s -m 0700 '%s'", user, path);
		check_wrong(c, &err, err.rc == LM_E_INVALID ? mend : NULL);
		return;
	}
	c->have |= NEED_DESTINATION;
	check_ok(c, "user %s can write to '%s'", user, path);
}

static uint64_t free_mb(const struct statvfs *fs)
{
	return (uint64_t)fs->f_bavail * fs->f_frsize / MIB;
}

/// Where the engine keeps its images, if that can be seen from here.
static void check_engines_space(struct checkup *c)
{
	lm_auto_free char *directory = NULL;
	struct lm_err err = {LM_OK};
	struct statvfs fs;
	lm_rc rc = engine_root_directory(&c->w->engine, &c->w->limit, &directory, &err);

	if (rc) {
		check_wrong(c, &err, NULL);
		return;
	}
	if (statvfs(directory, &fs) < 0) {
		check_skip(c, "not checked: where the Docker daemon keeps images, '%s' (%m)",
			directory);
		return;
	}
	if (free_mb(&fs) >= ENGINE_SPARE_MB) {
		check_ok(c, "'%s', for images: %" PRIu64 " MB", directory, free_mb(&fs));
		return;
	}
	lm_auto_free char *message =
		lm_xasprintf("'%s', for images, has %" PRIu64 " MB left", directory, free_mb(&fs));
	check_warn(c, message, "docker system prune removes what no container uses");
}

void check_free_space(struct checkup *c)
{
	struct work *w = c->w;
	const char *path = work_definition(w)->destination;
	bool engine = !check_lack(c, NEED_ENGINE);
	struct lm_err err = {LM_OK};
	struct statvfs fs;

	if (admit_deployment(w, engine ? DEPLOY_PULL_ALL : DEPLOY_PULL_LOCAL, &err))
		check_wrong(c, &err, NULL);
	else if (fstatvfs(w->destination_fd, &fs) == 0)
		check_ok(c, "'%s': %" PRIu64 " MB", path, free_mb(&fs));
	if (engine)
		check_engines_space(c);
}
