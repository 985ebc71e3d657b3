// SPDX-License-Identifier: Apache-2.0
#include "sys/file_copy.h"

#include "base/cleanup.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
	PIECE = 4 << 20, ///< Between two looks at the limit.
	/// To share bytes, the kernel first writes those that are not on the disk yet.
	SHARED_PIECE = 64 << 20,
	PROC_PATH = 64,
	NAMES_MAX = 64 << 10, ///< XATTR_LIST_MAX
	VALUE_MAX = 64 << 10, ///< XATTR_SIZE_MAX
};

static lm_rc fail_copy(struct lm_err *err, const char *what, const char *shown)
{
	return lm_fail(err, lm_rc_of_errno(errno) == LM_E_DENIED ? LM_E_DENIED : LM_E_SYS, errno,
		"%s '%s': %m", what, shown);
}

int file_open_beneath(int dir_fd, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC | (flags & O_PATH ? 0 : O_NOATIME)),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};
	int fd = (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));

	if (fd >= 0 || errno != EPERM)
		return fd;
	how.flags &= ~(uint64_t)O_NOATIME; // another user's
	return (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
}

/// The object itself by a path, for calls that take no O_PATH descriptor.
static const char *proc_path(int fd, char out[PROC_PATH])
{
	(void)snprintf(out, PROC_PATH, "/proc/self/fd/%d", fd);
	return out;
}

// Attributes -------------------------------------------------------------------------------------

/// A few are enough to see what it is about: a volume may have a million such files.
__attribute__((format(printf, 2, 3))) static void warn_copy(
	struct file_copier *c, const char *format, ...)
{
	enum { SHOWN_MAX = 20 };
	va_list ap;

	if (++c->warnings > SHOWN_MAX + 1)
		return;
	va_start(ap, format);
	lm_auto_free char *text = c->warnings > SHOWN_MAX
					  ? lm_xstrdup("more is left out, which is not listed")
					  : lm_xvasprintf(format, ap);
	va_end(ap);
	c->warn(c->ctx, text);
}

/// Others belong to the system or to its file system rather than to the data: what only a program
/// with more rights than ours could set, and what the file system of the copy has no place for.
static bool is_of_data(const char *attribute)
{
	return strncmp(attribute, "user.", 5) == 0 ||
	       strncmp(attribute, "system.posix_acl_", 17) == 0;
}

static lm_rc copy_attribute(struct file_copier *c, const char *from, const char *to,
	const char *attribute, char *value, const char *shown, struct lm_err *err)
{
	ssize_t n = getxattr(from, attribute, value, VALUE_MAX);

	if (n < 0 && errno == ENODATA)
		return LM_OK;
	if (n >= 0 && setxattr(to, attribute, value, (size_t)n, 0) == 0)
		return LM_OK;
	if (is_of_data(attribute))
		return lm_fail(err, LM_E_SYS, errno, "copy the attribute %s of '%s': %m", attribute,
			shown);
	warn_copy(c, "the attribute %s of '%s' is left out: %s", attribute, shown, strerror(errno));
	return LM_OK;
}

static lm_rc copy_extended(struct file_copier *c, const char *from, const char *to,
	const char *shown, struct lm_err *err)
{
	ssize_t n = listxattr(from, NULL, 0);

	if (n == 0 || (n < 0 && errno == ENOTSUP))
		return LM_OK;
	lm_auto_free char *names = lm_xmalloc(NAMES_MAX);
	lm_auto_free char *value = lm_xmalloc(VALUE_MAX);
	n = listxattr(from, names, NAMES_MAX);
	if (n < 0)
		return fail_copy(err, "list the attributes of", shown);
	lm_rc rc = LM_OK;
	for (const char *at = names; !rc && at < names + n; at += strlen(at) + 1)
		rc = copy_attribute(c, from, to, at, value, shown, err);
	return rc;
}

/// On btrfs, whether writes go to the same place (chattr +C): as databases want it. Only an empty
/// file takes that, and two files share content only if both have it, or neither.
static void copy_nocow(int from, int to)
{
	int wanted = 0, flags = 0;

	if (ioctl(from, FS_IOC_GETFLAGS, &wanted) < 0 || ioctl(to, FS_IOC_GETFLAGS, &flags) < 0 ||
		((wanted ^ flags) & FS_NOCOW_FL) == 0)
		return;
	flags ^= FS_NOCOW_FL;
	(void)ioctl(to, FS_IOC_SETFLAGS, &flags); // it is about speed
}

static bool has_mode(int fd, mode_t mode)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & 07777) == mode;
}

/// The owner first: a new one clears bits of the mode and attributes.
lm_rc file_copy_attributes(
	struct file_copier *c, int from_fd, int to_fd, const char *shown, struct lm_err *err)
{
	char from[PROC_PATH], to[PROC_PATH];
	struct stat st;

	if (fstat(from_fd, &st) < 0)
		return fail_copy(err, "examine", shown);
	const struct timespec times[] = {st.st_atim, st.st_mtim};
	if (fchownat(to_fd, "", st.st_uid, st.st_gid, AT_EMPTY_PATH) < 0)
		return fail_copy(err, "set the owner of the copy of", shown);
	bool is_link = S_ISLNK(st.st_mode); // which has no mode of its own
	if (S_ISDIR(st.st_mode))
		copy_nocow(from_fd, to_fd);
	lm_rc rc = copy_extended(c, proc_path(from_fd, from), proc_path(to_fd, to), shown, err);
	if (rc)
		return rc;
	if (!is_link && chmod(to, st.st_mode & 07777) < 0 &&
		(errno != EPERM || chmod(to, st.st_mode & 0777) < 0))
		return fail_copy(err, "set the mode of the copy of", shown);
	if (!is_link && !has_mode(to_fd, st.st_mode & 07777))
		warn_copy(
			c, "the bits for set-user-ID and set-group-ID of '%s' are left out", shown);
	if (utimensat(to_fd, "", times, AT_EMPTY_PATH) < 0)
		return fail_copy(err, "set the times of the copy of", shown);
	return LM_OK;
}

// Content ----------------------------------------------------------------------------------------

static lm_rc count_copied(struct file_copier *c, size_t n, const char *shown, struct lm_err *err)
{
	enum { MIB = 1 << 20 };

	c->bytes += n;
	if (c->bytes <= c->bytes_max)
		return LM_OK;
	return lm_fail(err, LM_E_TOO_LARGE, 0,
		"copy '%s': more than %llu MB would have to be copied byte by byte", shown,
		(unsigned long long)(c->bytes_max / MIB));
}

/// Reads and writes, for file systems between which the kernel does not copy.
static ssize_t copy_by_hand(int from, int to, off_t at, size_t n, char *piece)
{
	enum { BY_HAND = 256 << 10 };
	ssize_t got = pread(from, piece, n < BY_HAND ? n : BY_HAND, at);
	ssize_t done = 0;

	while (done < got) {
		ssize_t put = pwrite(to, piece + done, (size_t)(got - done), at + done);

		if (put < 0)
			return -1;
		done += put;
	}
	return got;
}

/// Some bytes from `at` on; 0 at the end of the file.
static ssize_t copy_some(int from, int to, off_t at, size_t n, char *piece)
{
	off_t in = at, out = at;
	ssize_t done = copy_file_range(from, &in, to, &out, n < PIECE ? n : PIECE, 0);
	bool is_refused = done < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS ||
					      errno == EOPNOTSUPP || errno == EPERM);

	// Some file systems answer 0 for files that have no size of their own.
	return is_refused || done == 0 ? copy_by_hand(from, to, at, n, piece) : done;
}

struct byte_range {
	off_t at, end;
};

static lm_rc copy_range(struct file_copier *c, int from, int to, struct byte_range range,
	char *piece, const char *shown, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	while (!rc && range.at < range.end) {
		size_t left = (size_t)(range.end - range.at);
		ssize_t n = copy_some(from, to, range.at, left, piece);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_copy(err, "copy", shown);
		if (n == 0)
			return lm_fail(err, LM_E_CONFLICT, 0,
				"copy '%s': it has become shorter meanwhile", shown);
		range.at += n;
		rc = count_copied(c, (size_t)n, shown, err);
		if (!rc)
			rc = wait_ms(0, &c->limit, err);
	}
	return rc;
}

/// The next part that is no hole; `end` is `size` at the end.
static bool find_data(int fd, off_t size, struct byte_range *range)
{
	off_t at = lseek(fd, range->end, SEEK_DATA);

	if (at < 0 && errno == ENXIO)
		return false;
	if (at < 0) // no holes there
		at = range->end;
	off_t end = lseek(fd, at, SEEK_HOLE);
	*range = (struct byte_range){at, end < 0 || end > size ? size : end};
	return at < size;
}

static lm_rc copy_bytes(
	struct file_copier *c, int from, int to, off_t size, const char *shown, struct lm_err *err)
{
	lm_auto_free char *piece = lm_xmalloc(256 << 10);
	struct byte_range range = {0, 0};
	lm_rc rc = LM_OK;

	if (ftruncate(to, size) < 0)
		return fail_copy(err, "copy", shown);
	while (!rc && range.end < size && find_data(from, size, &range))
		rc = copy_range(c, from, to, range, piece, shown, err);
	return rc;
}

/// `n` 0: up to the end of the file.
static bool share_piece(int from, int to, off_t at, off_t n)
{
	const struct file_clone_range range = {.src_fd = from,
		.src_offset = (uint64_t)at,
		.src_length = (uint64_t)n,
		.dest_offset = (uint64_t)at};

	return ioctl(to, FICLONERANGE, &range) == 0;
}

/// `*ret` is false if something could not be shared: then all is to be copied.
static lm_rc share_content(
	struct file_copier *c, int from, int to, off_t size, bool *ret, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	*ret = true;
	for (off_t at = 0; !rc && *ret && at < size; at += SHARED_PIECE) {
		*ret = share_piece(
			from, to, at, size - at > SHARED_PIECE ? (off_t)SHARED_PIECE : 0);
		rc = wait_ms(0, &c->limit, err);
	}
	if (*ret)
		c->shared += (uint64_t)size;
	return rc;
}

static lm_rc copy_content(
	struct file_copier *c, int from, int to, off_t size, const char *shown, struct lm_err *err)
{
	bool is_shared = false;
	lm_rc rc = share_content(c, from, to, size, &is_shared, err);

	return rc || is_shared ? rc : copy_bytes(c, from, to, size, shown, err);
}

static bool is_same_object(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	       (a->st_mode & S_IFMT) == (b->st_mode & S_IFMT);
}

/// A regular file, which is looked at before it is opened: to open a device may do something.
/// -1 and errno; EBUSY: it is something else meanwhile.
static int open_content(int dir_fd, const char *name, const struct stat *st)
{
	enum { FLAGS = O_RDONLY | O_NONBLOCK | O_CLOEXEC };
	lm_auto_close int place = file_open_beneath(dir_fd, name, O_PATH);
	char path[PROC_PATH];
	struct stat now;

	if (place < 0 || fstat(place, &now) < 0)
		return -1;
	if (!S_ISREG(now.st_mode) || !is_same_object(st, &now)) {
		errno = EBUSY;
		return -1;
	}
	int fd = open(proc_path(place, path), FLAGS | O_NOATIME);
	return fd < 0 && errno == EPERM ? open(path, FLAGS) : fd; // another user's
}

static lm_rc fail_changed(struct lm_err *err, const char *shown)
{
	return lm_fail(err, LM_E_CONFLICT, 0,
		"copy '%s': something else has taken its place meanwhile; is the volume used by "
		"another application?",
		shown);
}

static lm_rc copy_regular(struct file_copier *c, int from_fd, int to_fd, const char *name,
	const struct stat *st, const char *shown, struct lm_err *err)
{
	lm_auto_close int from = open_content(from_fd, name, st);
	struct stat now;

	if (from < 0)
		return errno == EBUSY ? fail_changed(err, shown) : fail_copy(err, "open", shown);
	if (fstat(from, &now) < 0)
		return fail_copy(err, "examine", shown);
	lm_auto_close int to =
		openat(to_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return fail_copy(err, "create the copy of", shown);
	copy_nocow(from, to);
	lm_rc rc = copy_content(c, from, to, now.st_size, shown, err);
	return rc ? rc : file_copy_attributes(c, from, to, shown, err);
}

// Others -----------------------------------------------------------------------------------------

static lm_rc make_link(int from, int to_fd, const char *name, const char *shown, struct lm_err *err)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from, "", target, sizeof(target) - 1);

	if (n < 0)
		return fail_copy(err, "read the link", shown);
	target[n] = '\0';
	return symlinkat(target, to_fd, name) == 0 ? LM_OK
						   : fail_copy(err, "create the copy of", shown);
}

/// `*ret_made` is false for a device that we may not make.
static lm_rc make_special(struct file_copier *c, const struct stat *st, int to_fd, const char *name,
	bool *ret_made, const char *shown, struct lm_err *err)
{
	bool is_device = S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);

	*ret_made = mknodat(to_fd, name, (st->st_mode & S_IFMT) | 0600, st->st_rdev) == 0;
	if (*ret_made)
		return LM_OK;
	if (!is_device || errno != EPERM)
		return fail_copy(err, "create the copy of", shown);
	warn_copy(c, "the device '%s' is left out: %s", shown, strerror(errno));
	return LM_OK;
}

static lm_rc copy_special(struct file_copier *c, int from_fd, int to_fd, const char *name,
	const struct stat *st, const char *shown, struct lm_err *err)
{
	lm_auto_close int from = openat(from_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat now;
	bool is_made = true;

	if (from < 0 || fstat(from, &now) < 0)
		return fail_copy(err, "open", shown);
	if (!is_same_object(st, &now))
		return fail_changed(err, shown);
	lm_rc rc = S_ISLNK(st->st_mode) ? make_link(from, to_fd, name, shown, err)
					: make_special(c, &now, to_fd, name, &is_made, shown, err);
	if (rc || !is_made)
		return rc;
	lm_auto_close int to = openat(to_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (to < 0)
		return fail_copy(err, "open the copy of", shown);
	return file_copy_attributes(c, from, to, shown, err);
}

lm_rc file_copy(struct file_copier *c, int from_fd, int to_fd, const char *name,
	const struct stat *st, const char *shown, struct lm_err *err)
{
	return S_ISREG(st->st_mode) ? copy_regular(c, from_fd, to_fd, name, st, shown, err)
				    : copy_special(c, from_fd, to_fd, name, st, shown, err);
}

// Sharing ----------------------------------------------------------------------------------------

static enum file_sharing sharing_of_errno(int sys)
{
	bool is_general = sys == EXDEV || sys == EOPNOTSUPP || sys == ENOTTY || sys == ENOSYS;

	return is_general ? FILE_SHARES_NEVER : FILE_SHARES_NOT;
}

int file_sharing_begin(int dir_fd)
{
	return openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

/// One block, as what is not on the disk yet is written for that.
enum file_sharing file_try_sharing(int from_fd, const char *name, const struct stat *st, int fd)
{
	lm_auto_close int from = open_content(from_fd, name, st);
	off_t n = st->st_size > st->st_blksize ? st->st_blksize : 0;

	if (from < 0 || ftruncate(fd, 0) < 0)
		return FILE_SHARES_NOT;
	copy_nocow(from, fd);
	return share_piece(from, fd, 0, n) ? FILE_SHARES : sharing_of_errno(errno);
}
