// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"

#include "base/cleanup.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

char *lm_path_join(const char *a, const char *b)
{
	size_t n = strlen(a);

	while (n > 0 && a[n - 1] == '/')
		n--;
	while (*b == '/')
		b++;
	return lm_xasprintf("%.*s/%s", (int)n, a, b);
}

const char *lm_path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool lm_path_is_absolute(struct lm_str path)
{
	return path.n > 0 && path.p[0] == '/';
}

static lm_rc fail_errno(struct lm_err *err, const char *what, const char *name)
{
	int sys = errno;

	return lm_fail(err, lm_rc_of_errno(sys), sys, "%s '%s': %m", what, name);
}

lm_rc lm_fd_read_all(int fd, const char *name, struct lm_buf *out, struct lm_err *err)
{
	char piece[16 * 1024];

	for (;;) {
		ssize_t n = read(fd, piece, sizeof(piece));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno(err, "read", name);
		if (n == 0)
			break;
		bool fits = lm_buf_add(out, piece, (size_t)n);
		if (out->wipe)
			explicit_bzero(piece, (size_t)n);
		if (!fits)
			return lm_fail(err, LM_E_TOO_LARGE, 0,
				"'%s' is larger than %zu bytes, the most that is read", name,
				out->max);
	}
	return LM_OK;
}

lm_rc lm_file_read(const char *path, struct lm_buf *out, struct lm_err *err)
{
	// O_NONBLOCK: a FIFO of that name must not hold us up.
	lm_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 && errno == ENXIO) // a socket cannot be opened at all
		return lm_fail(err, LM_E_INVALID, ENXIO,
			"'%s' is a device, a socket or a pipe, not a regular file", path);
	if (fd < 0)
		return fail_errno(err, "open", path);
	if (fstat(fd, &st) < 0)
		return fail_errno(err, "examine", path);
	if (!S_ISREG(st.st_mode))
		return lm_fail(err, LM_E_INVALID, 0, "'%s' is %s, not a regular file", path,
			S_ISDIR(st.st_mode) ? "a directory" : "a device, a socket or a pipe");
	if ((uint64_t)st.st_size > out->max)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"'%s' is %lld bytes long, more than the %zu that are read", path,
			(long long)st.st_size, out->max);
	return lm_fd_read_all(fd, path, out, err);
}

lm_rc lm_file_open_at(int dir_fd, const char *name, int *ret_fd, struct lm_err *err)
{
	// O_NONBLOCK: a FIFO of that name must not hold us up.
	lm_auto_close int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return lm_fail(err, LM_E_NOT_FOUND, ENOENT, "there is no '%s'", name);
	if (fd < 0 && errno == ELOOP)
		return lm_fail(err, LM_E_INVALID, ELOOP, "'%s' is a link, not a file", name);
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(err, "open", name);
	if (!S_ISREG(st.st_mode))
		return lm_fail(err, LM_E_INVALID, 0, "'%s' is not a regular file", name);
	*ret_fd = lm_take_fd(fd);
	return LM_OK;
}

lm_rc lm_fd_write_all(int fd, const char *name, struct lm_str bytes, struct lm_err *err)
{
	while (bytes.n > 0) {
		ssize_t n = write(fd, bytes.p, bytes.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno(err, "write", name);
		bytes.p += n;
		bytes.n -= (size_t)n;
	}
	return LM_OK;
}

lm_rc lm_dir_sync(int dir_fd, const char *name, struct lm_err *err)
{
	int fd = dir_fd;
	lm_auto_close int own = -1;

	if (dir_fd == AT_FDCWD) {
		own = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (own < 0)
			return fail_errno(err, "open the directory of", name);
		fd = own;
	}
	// Some file systems cannot sync a directory and say EINVAL: nothing more can be done there.
	if (fsync(fd) < 0 && errno != EINVAL)
		return fail_errno(err, "sync the directory of", name);
	return LM_OK;
}

/// Opens the directory that `name` is in (relative to `dir_fd`), so that names with a folder in
/// front sync the right one.
static int open_parent(int dir_fd, const char *name)
{
	const char *base = lm_path_base(name);

	if (base == name)
		return openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lm_auto_free char *parent = lm_xmemdup0(name, (size_t)(base - name));
	return openat(dir_fd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

struct file_owner {
	uid_t uid;
	gid_t gid;
};

static const struct file_owner nobody_else = {(uid_t)-1, (gid_t)-1};

/// Whether a file is to be given away.
static bool is_for_another(const struct stat *st, struct file_owner owner)
{
	return (owner.uid != (uid_t)-1 && owner.uid != st->st_uid) ||
	       (owner.gid != (gid_t)-1 && owner.gid != st->st_gid);
}

/// Only once nothing is written any more: until then it is ours alone.
static lm_rc give_away(int fd, const char *name, struct file_owner owner, struct lm_err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail_errno(err, "examine", name);
	if (is_for_another(&st, owner) && fchown(fd, owner.uid, owner.gid) < 0)
		return fail_errno(err, "set the owner of", name);
	return LM_OK;
}

static lm_rc write_temporary(int dir_fd, const char *temporary, struct lm_str bytes, mode_t mode,
	struct file_owner owner, struct lm_err *err)
{
	(void)unlinkat(dir_fd, temporary, 0); // what an earlier, killed run left
	lm_auto_close int fd = openat(dir_fd, temporary,
		O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode & 0700);
	if (fd < 0)
		return fail_errno(err, "create", temporary);
	lm_rc rc = lm_fd_write_all(fd, temporary, bytes, err);
	if (rc)
		return rc;
	// Whatever the umask is. Then it is ours still: without CAP_FOWNER, as under systemd,
	// the mode of another's file cannot be set.
	if (fchmod(fd, mode) < 0)
		return fail_errno(err, "set the mode of", temporary);
	rc = give_away(fd, temporary, owner, err);
	if (rc)
		return rc;
	if (fsync(fd) < 0)
		return fail_errno(err, "sync", temporary);
	return LM_OK;
}

static lm_rc put_in_place(int dir_fd, const char *temporary, const char *name, struct lm_err *err)
{
	if (renameat(dir_fd, temporary, dir_fd, name) < 0) {
		lm_rc rc = fail_errno(err, "replace", name);

		(void)unlinkat(dir_fd, temporary, 0);
		return rc;
	}
	return lm_dir_sync(dir_fd, name, err);
}

static lm_rc file_replace_owned(int dir_fd, const char *name, struct lm_str bytes, mode_t mode,
	struct file_owner owner, struct lm_err *err)
{
	const char *base = lm_path_base(name);
	lm_auto_free char *temporary = lm_xasprintf(".%s.tmp", base);
	lm_auto_close int parent = open_parent(dir_fd, name);

	if (parent < 0)
		return fail_errno(err, "open the directory of", name);
	lm_rc rc = write_temporary(parent, temporary, bytes, mode, owner, err);
	if (rc) {
		(void)unlinkat(parent, temporary, 0);
		return rc;
	}
	return put_in_place(parent, temporary, base, err);
}

lm_rc lm_file_replace(
	int dir_fd, const char *name, struct lm_str bytes, mode_t mode, struct lm_err *err)
{
	return file_replace_owned(dir_fd, name, bytes, mode, nobody_else, err);
}

lm_rc lm_file_replace_for(int dir_fd, const char *name, struct lm_str bytes, mode_t mode, uid_t uid,
	gid_t gid, struct lm_err *err)
{
	return file_replace_owned(dir_fd, name, bytes, mode, (struct file_owner){uid, gid}, err);
}

lm_rc lm_link_replace(int dir_fd, const char *name, const char *target, struct lm_err *err)
{
	const char *base = lm_path_base(name);
	lm_auto_free char *temporary = lm_xasprintf(".%s.tmp", base);
	lm_auto_close int parent = open_parent(dir_fd, name);

	if (parent < 0)
		return fail_errno(err, "open the directory of", name);
	(void)unlinkat(parent, temporary, 0);
	if (symlinkat(target, parent, temporary) < 0)
		return fail_errno(err, "create the link", temporary);
	return put_in_place(parent, temporary, base, err);
}

lm_rc lm_dir_make(const char *path, mode_t mode, struct lm_err *err)
{
	if (!*path)
		return lm_fail(err, LM_E_INVALID, 0, "create a directory: its path is empty");
	lm_auto_free char *part = lm_xstrdup(path);

	for (char *end = part + 1;; end++) {
		if (*end != '/' && *end != '\0')
			continue;
		bool last = *end == '\0';
		*end = '\0';
		if (mkdir(part, mode) == 0) {
			lm_auto_close int parent = open_parent(AT_FDCWD, part);
			lm_rc rc = parent < 0 ? fail_errno(err, "open the directory of", part)
					      : lm_dir_sync(parent, part, err);
			if (rc)
				return rc;
		} else if (errno != EEXIST) {
			return fail_errno(err, "create the directory", part);
		}
		if (last)
			break;
		*end = '/';
	}

	struct stat st;
	if (stat(path, &st) < 0)
		return fail_errno(err, "examine", path);
	if (!S_ISDIR(st.st_mode))
		return lm_fail(err, LM_E_INVALID, ENOTDIR, "'%s' is not a directory", path);
	return LM_OK;
}

lm_rc lm_dir_open_own(int parent_fd, const char *name, mode_t mode, uid_t uid, gid_t gid,
	int *ret_fd, struct lm_err *err)
{
	struct stat st;
	bool is_made = mkdirat(parent_fd, name, mode & 0700) == 0;

	if (!is_made && errno != EEXIST)
		return fail_errno(err, "create the directory", name);
	lm_auto_close int fd =
		openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return fail_errno(err, "open the directory", name);
	if (fstat(fd, &st) < 0)
		return fail_errno(err, "examine", name);
	if (st.st_uid != geteuid() && st.st_uid != uid)
		return lm_fail(err, LM_E_DENIED, 0,
			"the directory '%s' belongs to user %u, not to user %u, who keeps secrets "
			"in it: change its owner, or move it away",
			name, (unsigned)st.st_uid, (unsigned)geteuid());
	// As in write_temporary.
	if ((st.st_mode & 07777) != mode &&
		((st.st_uid != geteuid() && fchown(fd, geteuid(), (gid_t)-1) < 0) ||
			fchmod(fd, mode) < 0))
		return fail_errno(err, "set the mode of", name);
	lm_rc rc = give_away(fd, name, (struct file_owner){uid, gid}, err);
	if (!rc && is_made)
		rc = lm_dir_sync(parent_fd, name, err);
	if (!rc)
		*ret_fd = lm_take_fd(fd);
	return rc;
}

static lm_rc remove_contents(int dir_fd, const char *name, unsigned depth, struct lm_err *err);

static lm_rc remove_tree_entry(int dir_fd, const char *name, unsigned depth, struct lm_err *err)
{
	if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
		return LM_OK;
	if (errno != EISDIR) // Linux's answer for a directory; EPERM is a file that may not go
		return fail_errno(err, "remove", name);
	lm_rc rc = remove_contents(dir_fd, name, depth, err);
	if (rc)
		return rc;
	if (unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return fail_errno(err, "remove the directory", name);
	return LM_OK;
}

static lm_rc remove_contents(int dir_fd, const char *name, unsigned depth, struct lm_err *err)
{
	enum { DEPTH_MAX = 16 }; // our own trees are three deep

	if (depth > DEPTH_MAX)
		return lm_fail(err, LM_E_TOO_LARGE, 0, "remove '%s': it is nested too deep", name);
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return fail_errno(err, "open the directory", name);
	lm_auto_closedir DIR *dir = fdopendir(fd);
	if (!dir) {
		lm_rc rc = fail_errno(err, "read the directory", name);

		(void)close(fd);
		return rc;
	}
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		lm_rc rc = remove_tree_entry(dirfd(dir), entry->d_name, depth + 1, err);
		if (rc)
			return rc;
	}
	return LM_OK;
}

lm_rc lm_tree_remove(int dir_fd, const char *name, struct lm_err *err)
{
	lm_rc rc = remove_tree_entry(dir_fd, name, 0, err);

	return rc ? rc : lm_dir_sync(dir_fd, name, err);
}
