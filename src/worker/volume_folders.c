// SPDX-License-Identifier: Apache-2.0
#include "worker/volume_folders.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/memory.h"
#include "sys/file_copy.h"
#include "sys/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VOLUME_NAME_MAX = 255 };

#define INSTEAD "set Policy.SnapshotVolumes to \"False\""

/// Whether nobody but root can put something else at that path, which is absolute: each directory
/// above it is root's, and others can write to it only where they cannot touch what is root's.
static bool is_roots_place(const char *path)
{
	lm_auto_free char *top = lm_xstrdup(path);
	struct stat st;

	for (char *end; (end = strrchr(top, '/')) != NULL;) {
		*end = '\0';
		if (lstat(*top ? top : "/", &st) < 0 || st.st_uid != 0)
			return false;
		if (S_ISDIR(st.st_mode) && (st.st_mode & (S_IWGRP | S_IWOTH)) &&
			!(st.st_mode & S_ISVTX))
			return false;
	}
	return true;
}

/// The same, and for where links on the way lead.
static bool is_roots(const char *path)
{
	lm_auto_free char *real = realpath(path, NULL);
	struct stat st;

	return real && is_roots_place(path) && is_roots_place(real) && lstat(path, &st) == 0 &&
	       st.st_uid == 0 && lstat(real, &st) == 0 && st.st_uid == 0;
}

/// What an engine reports is used by a process that is root: so it has to be root's, and stay so.
static lm_rc check_rights(const char *socket_path, struct lm_err *err)
{
	lm_auto_close int fd = -1;

	if (geteuid() != 0)
		return lm_fail(err, LM_E_DENIED, 0,
			"Policy.SnapshotVolumes requires that lightermand runs as root; " INSTEAD);
	lm_rc rc = socket_unix_connect(socket_path, &fd, err);
	if (rc)
		return rc;
	if (socket_unix_peer_uid(fd) != 0 || !is_roots(socket_path))
		return lm_fail(err, LM_E_DENIED, 0,
			"Policy.SnapshotVolumes requires a Docker daemon that runs as root, and "
			"who listens at '%s' does not, or others than root can replace that "
			"socket; " INSTEAD,
			socket_path);
	return LM_OK;
}

static lm_rc open_volumes_folder(const char *path, int *ret_fd, struct lm_err *err)
{
	lm_auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return lm_fail(err, LM_E_SYS, errno,
			"open the directory '%s' of the Docker daemon's volumes: %m; if the Docker "
			"daemon is in another file system, " INSTEAD,
			path);
	if (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) || !is_roots(path))
		return lm_fail(err, LM_E_DENIED, 0,
			"the directory '%s' of the Docker daemon's volumes can be written by "
			"others "
			"than root: run chown root and chmod go-w on it, or " INSTEAD,
			path);
	*ret_fd = lm_take_fd(fd);
	return LM_OK;
}

lm_rc volume_folders_open(const struct engine *e, const struct wait_limit *limit,
	struct volume_folders *ret, struct lm_err *err)
{
	lm_auto_free char *root = NULL;
	lm_rc rc = check_rights(e->socket_path, err);

	if (!rc)
		rc = engine_root_directory(e, limit, &root, err);
	if (!rc && !(root && lm_path_is_absolute(lm_str(root))))
		rc = lm_fail(err, LM_E_PROTOCOL, 0,
			"the Docker daemon does not report where it keeps volumes");
	if (rc)
		return rc;
	struct volume_folders f = {.path = lm_path_join(root, "volumes"), .fd = -1};
	rc = open_volumes_folder(f.path, &f.fd, err);
	if (rc)
		volume_folders_finish(&f);
	else
		*ret = f;
	return rc;
}

void volume_folders_finish(struct volume_folders *f)
{
	free(f->path);
	lm_cleanup_close(&f->fd);
	*f = (struct volume_folders){.fd = -1};
}

const char *volume_folders_why_elsewhere(const struct engine_volume *volume)
{
	if (strcmp(volume->driver, "local") != 0)
		return "its driver is not 'local'";
	return volume->options_n > 0 ? "its driver has options" : NULL;
}

/// As the engine checks names.
static bool is_volume_name(const char *name)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t n = strlen(name);

	return n > 0 && n <= VOLUME_NAME_MAX && strspn(name, letters) == n &&
	       !strchr("_.-", name[0]);
}

static lm_rc fail_open(
	const struct volume_folders *f, const char *name, const char *rest, struct lm_err *err)
{
	int sys = errno;

	if (sys == ELOOP || sys == EXDEV || sys == ENOTDIR)
		return lm_fail(err, LM_E_CONFLICT, 0,
			"'%s/%s%s' is %s, where the Docker daemon makes a directory: move the data "
			"there, or " INSTEAD,
			f->path, name, rest, sys == EXDEV ? "a mount point" : "a link or a file");
	errno = sys;
	return lm_fail(err, LM_E_SYS, sys, "open '%s/%s%s': %m", f->path, name, rest);
}

lm_rc volume_folders_open_one(const struct volume_folders *f, const struct engine_volume *volume,
	int *ret_fd, struct lm_err *err)
{
	const char *name = volume->name;

	if (!is_volume_name(name))
		return lm_fail(err, LM_E_CONFLICT, 0,
			"the Docker daemon reports a volume '%.80s', which is no name of a "
			"volume; " INSTEAD,
			name);
	lm_auto_free char *place = lm_xasprintf("%s/%s/" VOLUME_DATA, f->path, name);
	if (strcmp(place, volume->mountpoint) != 0)
		return lm_fail(err, LM_E_CONFLICT, 0,
			"the volume '%s' is in '%.200s', and not in '%s'; " INSTEAD, name,
			volume->mountpoint, place);
	int fd = file_open_beneath(f->fd, name, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fail_open(f, name, "", err);
	*ret_fd = fd;
	return LM_OK;
}

lm_rc volume_folders_open_data(const struct volume_folders *f, const char *name, int folder_fd,
	int *ret_fd, struct lm_err *err)
{
	int fd = file_open_beneath(folder_fd, VOLUME_DATA, O_RDONLY | O_DIRECTORY);

	if (fd < 0)
		return fail_open(f, name, "/" VOLUME_DATA, err);
	*ret_fd = fd;
	return LM_OK;
}
