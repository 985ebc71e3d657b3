// SPDX-License-Identifier: Apache-2.0
#include "aws/local_store.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/// A FIFO or a device of that name must not block us, nor become our terminal.
enum { OPEN_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };

static bool is_relative_name(struct lm_str name)
{
	struct lm_str rest = name;

	if (!name.n || name.p[name.n - 1] == '/')
		return false;
	while (rest.n) {
		struct lm_str part = lm_str_cut(&rest, '/');

		if (!part.n || lm_str_eq(part, LM_STR(".")) || lm_str_eq(part, LM_STR("..")))
			return false;
	}
	return true;
}

/// For kernels before 5.6, and sandboxes without openat2: part by part. Returns -1 with errno.
static int open_by_parts(int directory_fd, char *name)
{
	lm_auto_close int fd = -1;
	int at = directory_fd;
	char *part = name;

	for (char *slash; (slash = strchr(part, '/')); part = slash + 1) {
		*slash = '\0';
		// O_PATH: searching a directory needs no right to read it.
		int next = openat(at, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		int failure = errno;
		struct stat st;

		// A link is ENOTDIR here, which would read as "no such file".
		if (next < 0 && failure == ENOTDIR &&
			fstatat(at, part, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
			failure = ELOOP;
		if (fd >= 0)
			(void)close(fd);
		fd = at = next;
		if (next < 0) {
			errno = failure;
			return -1;
		}
	}
	return openat(at, part, OPEN_FLAGS | O_NOFOLLOW);
}

static int open_strictly(int directory_fd, const char *name)
{
	struct open_how how = {
		.flags = OPEN_FLAGS,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, directory_fd, name, &how, sizeof(how));

	// EPERM: seccomp filters that do not know the call return it.
	if (fd < 0 && (errno == ENOSYS || errno == EPERM)) {
		lm_auto_free char *copy = lm_xstrdup(name);
		fd = open_by_parts(directory_fd, copy);
	}
	return (int)fd;
}

/// What an unmounted stick or a file server that does not answer looks like.
static bool is_unreachable(int failure)
{
	switch (failure) {
	case ESTALE:
	case EIO:
	case ENOTCONN:
	case ENODEV:
	case ENXIO:
	case ENOMEDIUM:
	case EREMOTEIO:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

static lm_rc fail_directory(int failure, const char *directory, struct lm_err *err)
{
	if (failure == ENOENT || is_unreachable(failure))
		return lm_fail(err, LM_E_NETWORK, failure,
			"the directory '%s' cannot be used (%m): mount or create it, or name "
			"another in the host file",
			directory);
	return lm_fail(err, LM_E_DENIED, failure,
		"the directory '%s' cannot be used (%m): name another in the host file, or fix it",
		directory);
}

/// As the place where nothing is mounted is. One that we may not list is taken for a full one.
static bool is_empty(const char *directory)
{
	lm_auto_closedir DIR *dir = opendir(directory);
	const struct dirent *entry;

	if (!dir)
		return false;
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			return false;
	return true;
}

static lm_rc describe_open_failure(
	int failure, const char *directory, const char *name, struct lm_err *err)
{
	switch (failure) {
	case ENOENT:
		if (is_empty(directory))
			return lm_fail(err, LM_E_NETWORK, failure,
				"the directory '%s' is empty: mount what belongs there, put the "
				"files there, or name another in the host file",
				directory);
		return lm_fail(
			err, LM_E_NOT_FOUND, failure, "there is no file '%s/%s'", directory, name);
	case ENOTDIR:
		return lm_fail(
			err, LM_E_NOT_FOUND, failure, "there is no file '%s/%s'", directory, name);
	case ELOOP:
	case EXDEV:
		return lm_fail(err, LM_E_DENIED, failure,
			"'%s/%s' goes through a symbolic link, which is not followed: put the file "
			"itself there",
			directory, name);
	case EACCES:
		return lm_fail(err, LM_E_DENIED, failure, "user %u has no right to read '%s/%s'",
			(unsigned)geteuid(), directory, name);
	case ENAMETOOLONG:
		return lm_fail(err, LM_E_INVALID, failure, "'%s/%s' is too long for a file's name",
			directory, name);
	default:
		return lm_fail(err, is_unreachable(failure) ? LM_E_NETWORK : LM_E_SYS, failure,
			"open '%s/%s': %m", directory, name);
	}
}

static lm_rc open_below(const char *directory, const char *name, int *ret_fd, struct lm_err *err)
{
	if (!is_relative_name(lm_str(name)))
		return lm_fail(err, LM_E_INVALID, 0,
			"'%.400s' is not a valid file name: a part of it is empty, '.' or '..'",
			name);
	lm_auto_close int directory_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (directory_fd < 0)
		return fail_directory(errno, directory, err);
	lm_auto_close int fd = open_strictly(directory_fd, name);
	struct stat st;

	if (fd < 0)
		return describe_open_failure(errno, directory, name, err);
	if (fstat(fd, &st) != 0)
		return lm_fail(err, LM_E_SYS, errno, "stat '%s/%s': %m", directory, name);
	if (!S_ISREG(st.st_mode))
		return lm_fail(
			err, LM_E_INVALID, 0, "'%s/%s' is not a regular file", directory, name);
	*ret_fd = lm_take_fd(fd);
	return LM_OK;
}

static lm_rc read_below(int fd, const char *path, struct lm_buf *out, struct lm_err *err)
{
	lm_rc rc = lm_fd_read_all(fd, path, out, err);

	if (rc != LM_E_SYS || !is_unreachable(err->sys))
		return rc;
	err->rc = LM_E_NETWORK;
	return LM_E_NETWORK;
}

static lm_rc no_such_object(const char *directory, const char *bucket, const char *key,
	const char *version, struct lm_err *err)
{
	lm_auto_free char *folder = lm_xasprintf("%s/%s", directory, bucket);
	struct stat st;

	if (stat(folder, &st) != 0 || !S_ISDIR(st.st_mode))
		return lm_fail(err, LM_E_NOT_FOUND, 0, "there is no bucket '%s': no directory '%s'",
			bucket, folder);
	if (version)
		return lm_fail(err, LM_E_NOT_FOUND, 0,
			"bucket '%s' has no object '%.300s' of version '%.100s': no file "
			"'%s/%.200s@%.100s'",
			bucket, key, version, folder, key, version);
	return lm_fail(err, LM_E_NOT_FOUND, 0,
		"bucket '%s' has no object '%.300s': no file '%s/%.300s'", bucket, key, folder,
		key);
}

static lm_rc check_object_names(const char *bucket, const char *version, struct lm_err *err)
{
	// A '/' would move the border between bucket and key, or between key and version.
	if (!*bucket || strchr(bucket, '/'))
		return lm_fail(
			err, LM_E_INVALID, 0, "'%.100s' cannot be the name of a bucket", bucket);
	if (version && (!*version || strchr(version, '/')))
		return lm_fail(err, LM_E_INVALID, 0,
			"'%.100s' cannot be a version in the directory store", version);
	return LM_OK;
}

/// S3's name for the version of an object that was stored while its bucket kept none.
static bool is_null_version(const char *version)
{
	return version && strcmp(version, "null") == 0;
}

/// A file `<key>@null` is the null version beside later ones; without it, it is the object itself.
static lm_rc open_null_version(
	const char *directory, const char *name, char **path, int *ret_fd, struct lm_err *err)
{
	lm_auto_free char *marked = lm_xasprintf("%s@null", name);
	lm_rc rc = open_below(directory, marked, ret_fd, err);

	if (rc != LM_E_NOT_FOUND) {
		free(*path);
		*path = lm_xasprintf("%s/%s", directory, marked);
		return rc;
	}
	return open_below(directory, name, ret_fd, err);
}

lm_rc local_store_get_object(const char *directory, const char *bucket, const char *key,
	const char *version, size_t size_max, struct stored_object *ret, struct lm_err *err)
{
	lm_auto_stored_object struct stored_object object = {.text = LM_BUF(size_max)};
	lm_auto_close int fd = -1;
	lm_rc rc = check_object_names(bucket, version, err);

	if (rc != LM_OK)
		return rc;
	bool null = is_null_version(version);
	bool plain = !version || null;
	lm_auto_free char *name =
		lm_xasprintf("%s/%s%s%s", bucket, key, plain ? "" : "@", plain ? "" : version);
	lm_auto_free char *path = lm_xasprintf("%s/%s", directory, name);

	rc = null ? open_null_version(directory, name, &path, &fd, err)
		  : open_below(directory, name, &fd, err);
	if (rc == LM_E_NOT_FOUND)
		return no_such_object(directory, bucket, key, null ? NULL : version, err);
	if (rc == LM_OK)
		rc = read_below(fd, path, &object.text, err);
	if (rc != LM_OK) {
		(void)lm_wrap(err, "object store");
		return rc;
	}
	object.version = version ? lm_xstrdup(version) : NULL;
	*ret = object;
	object = (struct stored_object){0};
	return LM_OK;
}

lm_rc local_store_get_secret(const char *directory, const char *arn, struct secret_value *ret,
	bool *ret_exposed, struct lm_err *err)
{
	struct secret_arn parsed;
	lm_auto_buf struct lm_buf text = LM_BUF_SECRET(LIMIT_SECRET_VALUE);
	lm_auto_close int fd = -1;
	struct stat st;

	if (!secret_arn_parse(arn, &parsed))
		return lm_fail(err, LM_E_INVALID, 0,
			"'%.300s' is not the ARN of a secret "
			"(arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-abc123)",
			arn);
	lm_auto_free char *file = lm_xasprintf("%.*s.json", LM_STR_ARG(parsed.name));
	lm_auto_free char *path = lm_xasprintf("%s/%s", directory, file);
	lm_rc rc = open_below(directory, file, &fd, err);

	if (rc == LM_OK && fstat(fd, &st) != 0)
		rc = lm_fail(err, LM_E_SYS, errno, "stat '%s': %m", path);
	if (rc == LM_OK)
		rc = read_below(fd, path, &text, err);
	if (rc != LM_OK) {
		(void)lm_wrap(err, "secret '%.300s'", arn);
		return rc;
	}
	rc = secret_value_parse(arn, lm_buf_str(&text), ret, err);
	if (rc == LM_OK && ret_exposed)
		*ret_exposed = (st.st_mode & S_IROTH) != 0;
	return rc;
}
