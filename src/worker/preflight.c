// SPDX-License-Identifier: Apache-2.0
#include "worker/preflight.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "docker/compose.h"
#include "sys/process.h"
#include "worker/local_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define DESTINATION "DockerComposeFileDestinationPath"

lm_rc preflight_engine(struct context *cx, struct lm_err *err)
{
	return engine_open(cx->task->host.docker_socket, &cx->limit, &cx->engine, err);
}

void preflight_environment(struct context *cx)
{
	const struct compose_env_settings settings = {
		.docker_socket = cx->task->host.docker_socket};

	cx->env = compose_env_make((const char *const *)environ, &settings);
}

lm_rc preflight_compose(struct context *cx, struct lm_err *err)
{
	preflight_environment(cx);
	struct compose_search search = {.setting = cx->task->host.docker_compose,
		.env = (const char *const *)cx->env,
		.known_stamp = cx->task->compose_stamp,
		.known_version = cx->task->compose_version};
	lm_rc rc = compose_find(&search, &cx->limit, &cx->compose, err);

	if (rc)
		return rc;
	context_send(cx, json_pack("{s:{s:s, s:s}}", "compose", "stamp", cx->compose.stamp,
				 "version", cx->compose.version));
	return LM_OK;
}

char *preflight_user_name(void)
{
	lm_auto(process_user_finish) struct process_user user = {0};

	if (process_user_by_uid(geteuid(), &user, NULL) == LM_OK)
		return lm_take(user.name);
	return lm_xasprintf("%u", (unsigned)geteuid());
}

static lm_rc fail_destination(const char *path, int sys, struct lm_err *err)
{
	lm_auto_free char *user = preflight_user_name();

	switch (sys) {
	case ENOENT:
		return lm_fail(err, LM_E_INVALID, sys,
			DESTINATION
			": directory '%s' does not exist: create it, writable by user %s",
			path, user);
	case ENOTDIR:
		return lm_fail(
			err, LM_E_INVALID, sys, DESTINATION ": '%s' is not a directory", path);
	case EACCES:
		return lm_fail(err, LM_E_INVALID, sys,
			DESTINATION ": cannot write to '%s' as user %s: %m; run chown %s '%s'",
			path, user, user, path);
	case EROFS: // a broken SD card, more often than a wrong definition
		return lm_fail(err, LM_E_SYS, sys,
			DESTINATION ": the file system of '%s' is mounted read-only: make it "
				    "writable, or name another directory",
			path);
	default:
		return lm_fail(err, LM_E_SYS, sys, DESTINATION ": open '%s': %m", path);
	}
}

/// The compose file configures the containers, so it matters who can read or change it.
static void warn_exposed(const char *path, const struct stat *st)
{
	mode_t mode = st->st_mode;
	const char *others = mode & S_IWOTH               ? "every user can write to"
			     : mode & S_IWGRP             ? "its group can write to"
			     : mode & (S_IROTH | S_IXOTH) ? "every user can read"
			     : mode & (S_IRGRP | S_IXGRP) ? "its group can read"
							  : NULL;

	if (st->st_uid != 0 && st->st_uid != geteuid())
		lm_warn("the directory '%s' of the compose file belongs to user %u, who can "
			"replace what is in it: give it to user %u, who runs the application "
			"(chown)",
			path, (unsigned)st->st_uid, (unsigned)geteuid());
	if (others)
		lm_warn("%s the directory '%s' of the compose file (mode %04o): restrict it to its "
			"owner (chmod 0700)",
			others, path, (unsigned)(mode & 07777));
}

/// Opens the destination. Follows a symbolic link only if it is root's or ours.
static lm_rc open_destination(const char *path, int *ret, struct lm_err *err)
{
	enum { FLAGS = O_RDONLY | O_DIRECTORY | O_CLOEXEC };
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/') // a trailing slash would follow a link
		n--;
	lm_auto_free char *name = lm_xmemdup0(path, n);
	int fd = open(name, FLAGS | O_NOFOLLOW);
	int sys = errno;
	struct stat st;

	if (fd < 0 && lstat(name, &st) == 0 && S_ISLNK(st.st_mode)) {
		if (st.st_uid != 0 && st.st_uid != geteuid())
			return lm_fail(err, LM_E_INVALID, 0,
				DESTINATION ": '%s' is a symbolic link owned by user %u, which is "
					    "not followed: give it to root or user %u, or name the "
					    "directory itself",
				path, (unsigned)st.st_uid, (unsigned)geteuid());
		fd = open(name, FLAGS);
		sys = errno;
	}
	if (fd < 0)
		return fail_destination(path, sys, err);
	*ret = fd;
	return LM_OK;
}

lm_rc preflight_destination(struct context *cx, struct lm_err *err)
{
	const char *path = context_definition(cx)->destination;
	lm_auto_close int fd = -1;
	lm_rc rc = open_destination(path, &fd, err);
	struct stat st;

	if (rc)
		return rc;
	if (faccessat(fd, ".", R_OK | W_OK | X_OK, AT_EACCESS) < 0)
		return fail_destination(path, errno, err);
	if (fstat(fd, &st) == 0)
		warn_exposed(path, &st);
	cx->destination_fd = lm_take_fd(fd);
	return LM_OK;
}

/// As lightermand kept it; left empty if it cannot be used.
static void read_previous(struct context *cx)
{
	struct lm_buf *text = &cx->previous.text;
	struct lm_err err = {LM_OK};
	lm_rc rc = LM_OK;

	if (cx->previous_fd >= 0)
		rc = lm_fd_read_all(
			cx->previous_fd, "the running generation's compose file", text, &err);
	if (!rc && text->len > 0)
		rc = compose_file_check(lm_buf_str(text), cx->compose.generation, &err);
	if (!rc)
		return;
	lm_warn("%s, ignoring", err.msg);
	lm_buf_clear(text);
}

static void open_previous(struct context *cx)
{
	const char *directory = cx->task->previous_destination;
	struct lm_err err = {LM_OK};

	if (!directory)
		return;
	if (previous_open(&cx->previous, directory, cx->destination_fd, &err))
		lm_warn("cannot use the destination of the running generation: %s", err.msg);
	read_previous(cx);
}

lm_rc preflight_run(struct context *cx, struct lm_err *err)
{
	lm_rc rc = preflight_engine(cx, err);

	if (!rc)
		rc = preflight_destination(cx, err);
	if (!rc) // `up` is too late to find out
		rc = local_copy_check(cx->destination_fd, context_definition(cx)->destination, err);
	if (!rc)
		rc = preflight_compose(cx, err);
	if (rc)
		return rc;
	open_previous(cx);
	lm_info("Docker Engine %s, docker-compose %s (%s)", cx->engine.version.engine,
		cx->compose.version, cx->compose.program);
	return LM_OK;
}
