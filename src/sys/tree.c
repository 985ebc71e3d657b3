// SPDX-License-Identifier: Apache-2.0
#include "sys/tree.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
	PATH_SHOWN_MAX = 128 << 10,
	LINKS_MAX = 1 << 20, ///< Files with several names, of one tree.
	BLOCK = 512,         ///< Of st_blocks.
	EMPTY_DEPTH_MAX = 100,
};

static lm_rc fail_tree(struct lm_err *err, const char *what, const char *shown)
{
	int sys = errno;

	return lm_fail(err, lm_rc_of_errno(sys) == LM_E_DENIED ? LM_E_DENIED : LM_E_SYS, sys,
		"%s '%s': %m", what, shown);
}

static int open_beneath(int dir_fd, const char *path)
{
	return file_open_beneath(dir_fd, path, O_RDONLY | O_DIRECTORY);
}

static lm_rc fail_mounted(struct lm_err *err, const char *shown)
{
	return lm_fail(err, LM_E_CONFLICT, 0,
		"another file system is mounted at '%s': unmount it, or set "
		"Policy.SnapshotVolumes to \"False\"",
		shown);
}

/// A stream of its own, at the begin.
static DIR *open_stream(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir && fd >= 0)
		(void)close(fd);
	return dir;
}

/// `*ret` is NULL at the end.
static lm_rc next_name(DIR *dir, const char *shown, const char **ret, struct lm_err *err)
{
	const struct dirent *entry;

	do {
		errno = 0;
		entry = readdir(dir);
	} while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
	*ret = entry ? entry->d_name : NULL;
	return entry || !errno ? LM_OK : fail_tree(err, "read the directory", shown);
}

// Paths ------------------------------------------------------------------------------------------

/// Where a walk is: the name of the top, and what follows below it.
struct tree_path {
	struct lm_buf text;
	size_t top;
	unsigned depth;
};

static struct tree_path path_begin(const char *shown)
{
	struct tree_path p = {.text = LM_BUF(PATH_SHOWN_MAX)};

	(void)lm_buf_printf(&p.text, "%s/", shown);
	p.top = p.text.len;
	return p;
}

static void path_finish(struct tree_path *p)
{
	lm_buf_finish(&p->text);
}

/// Returns what path_leave takes. It has room: names have 255 bytes, and the depth has a limit.
static size_t path_enter(struct tree_path *p, const char *name)
{
	size_t length = p->text.len;

	(void)lm_buf_printf(&p->text, "%s%s", length > p->top ? "/" : "", name);
	return length;
}

static void path_leave(struct tree_path *p, size_t length)
{
	p->text.len = length;
	p->text.data[length] = '\0';
}

static const char *path_shown(const struct tree_path *p)
{
	return lm_buf_cstr(&p->text);
}

static lm_rc check_tree_depth(const struct tree_path *p, struct lm_err *err)
{
	if (p->depth < TREE_DEPTH_MAX)
		return LM_OK;
	return lm_fail(err, LM_E_TOO_LARGE, 0,
		"'%.300s…' has directories that are nested more than %d deep", path_shown(p),
		TREE_DEPTH_MAX);
}

// Files with several names -----------------------------------------------------------------------

struct link_entry {
	dev_t dev;
	ino_t ino;
	char *path; ///< Below the top of the copy; NULL: only that it was met.
};

/// A hash table with open addressing; `path` and `ino` 0: free.
struct link_table {
	struct link_entry *items;
	size_t n, size;
};

static void links_finish(struct link_table *t)
{
	for (size_t i = 0; i < t->size; i++)
		free(t->items[i].path);
	free(t->items);
}

static struct link_entry *links_slot(const struct link_table *t, dev_t dev, ino_t ino)
{
	size_t i = ((size_t)ino * 0x9E3779B97F4A7C15U ^ (size_t)dev) & (t->size - 1);

	while (t->items[i].ino && !(t->items[i].ino == ino && t->items[i].dev == dev))
		i = (i + 1) & (t->size - 1);
	return &t->items[i];
}

static void links_grow(struct link_table *t)
{
	struct link_table grown = {.n = t->n, .size = t->size ? 2 * t->size : 64};

	grown.items = lm_xcalloc(grown.size, sizeof(*grown.items));
	for (size_t i = 0; i < t->size; i++)
		if (t->items[i].ino)
			*links_slot(&grown, t->items[i].dev, t->items[i].ino) = t->items[i];
	free(t->items);
	*t = grown;
}

/// The entry of a file, new (its `ino` is 0) or met before. NULL: too many.
static struct link_entry *links_find(struct link_table *t, const struct stat *st)
{
	if (2 * t->n >= t->size)
		links_grow(t);
	struct link_entry *found = links_slot(t, st->st_dev, st->st_ino);
	return found->ino || t->n < LINKS_MAX ? found : NULL;
}

static void links_add(
	struct link_table *t, struct link_entry *slot, const struct stat *st, const char *path)
{
	*slot = (struct link_entry){st->st_dev, st->st_ino, path ? lm_xstrdup(path) : NULL};
	t->n++;
}

static lm_rc fail_links(struct lm_err *err, const struct tree_path *p)
{
	return lm_fail(err, LM_E_TOO_LARGE, 0, "'%.*s' has more than %d files with several names",
		(int)p->top, path_shown(p), LINKS_MAX);
}

// Measuring --------------------------------------------------------------------------------------

struct tree_measurement {
	struct tree_path path;
	struct link_table links;
	const struct wait_limit *limit;
	struct tree_size *size;
	int share_fd; ///< Of file_sharing_begin; -1: nothing is shared.
};

static lm_rc measure_folder(struct tree_measurement *m, int dir_fd, struct lm_err *err);

/// Each file is asked about: what prevents it may be a property of a single one.
static bool is_shared(
	struct tree_measurement *m, int dir_fd, const char *name, const struct stat *st)
{
	if (m->share_fd < 0)
		return false;
	enum file_sharing answer = file_try_sharing(dir_fd, name, st, m->share_fd);
	if (answer == FILE_SHARES_NEVER) {
		lm_cleanup_close(&m->share_fd);
		m->share_fd = -1;
	}
	return answer == FILE_SHARES;
}

static lm_rc measure_file(struct tree_measurement *m, int dir_fd, const char *name,
	const struct stat *st, struct lm_err *err)
{
	if (st->st_nlink > 1) {
		struct link_entry *known = links_find(&m->links, st);

		if (!known)
			return fail_links(err, &m->path);
		if (known->ino)
			return LM_OK;
		links_add(&m->links, known, st, NULL);
	}
	uint64_t *sum = &m->size->rest;
	if (S_ISREG(st->st_mode) && st->st_blocks > 0)
		sum = is_shared(m, dir_fd, name, st) ? &m->size->shared : &m->size->content;
	*sum += (uint64_t)st->st_blocks * BLOCK;
	return LM_OK;
}

static lm_rc measure_entry(
	struct tree_measurement *m, int dir_fd, const char *name, struct lm_err *err)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? LM_OK // it may run
				       : fail_tree(err, "examine", path_shown(&m->path));
	m->size->entries++;
	if (!S_ISDIR(st.st_mode))
		return measure_file(m, dir_fd, name, &st, err);
	m->size->rest += (uint64_t)st.st_blocks * BLOCK;
	lm_auto_close int fd = open_beneath(dir_fd, name);
	if (fd < 0 && errno == ENOENT)
		return LM_OK;
	if (fd < 0 && errno == EXDEV)
		return fail_mounted(err, path_shown(&m->path));
	if (fd < 0)
		return fail_tree(err, "open the directory", path_shown(&m->path));
	m->path.depth++;
	lm_rc rc = measure_folder(m, fd, err);
	m->path.depth--;
	return rc;
}

static lm_rc measure_folder(struct tree_measurement *m, int dir_fd, struct lm_err *err)
{
	lm_auto_closedir DIR *dir = open_stream(dir_fd);
	const char *name = NULL;
	lm_rc rc = check_tree_depth(&m->path, err);

	if (!rc && !dir)
		return fail_tree(err, "read the directory", path_shown(&m->path));
	while (!rc && (rc = next_name(dir, path_shown(&m->path), &name, err)) == LM_OK && name) {
		size_t length = path_enter(&m->path, name);

		rc = measure_entry(m, dir_fd, name, err);
		path_leave(&m->path, length);
		if (!rc)
			rc = wait_ms(0, m->limit, err);
	}
	return rc;
}

lm_rc tree_measure(int dir_fd, const char *shown, int share_fd, const struct wait_limit *limit,
	struct tree_size *ret, struct lm_err *err)
{
	struct tree_measurement m = {.path = path_begin(shown),
		.limit = limit,
		.size = ret,
		.share_fd = share_fd < 0 ? -1 : file_sharing_begin(share_fd)};
	lm_rc rc = measure_folder(&m, dir_fd, err);

	lm_cleanup_close(&m.share_fd);
	path_finish(&m.path);
	links_finish(&m.links);
	return rc;
}

// Copying ----------------------------------------------------------------------------------------

struct tree_copying {
	struct file_copier *copier;
	struct tree_path path;
	struct link_table links;
	int top_fd; ///< Of the copy.
};

static lm_rc copy_folder(struct tree_copying *t, int from_fd, int to_fd, struct lm_err *err);

/// Another name of a file that was copied already. Not by its path at once: a folder in it may have
/// become a link.
static lm_rc link_copy(
	struct tree_copying *t, const char *path, int to_fd, const char *name, struct lm_err *err)
{
	const char *base = strrchr(path, '/');
	lm_auto_free char *folder = lm_xmemdup0(path, base ? (size_t)(base - path) : 0);
	lm_auto_close int fd = open_beneath(t->top_fd, base ? folder : ".");

	if (fd >= 0 && linkat(fd, base ? base + 1 : path, to_fd, name, 0) == 0)
		return LM_OK;
	return fail_tree(err, "link the copy of", path_shown(&t->path));
}

static lm_rc copy_or_link(struct tree_copying *t, int from_fd, int to_fd, const char *name,
	const struct stat *st, struct lm_err *err)
{
	const char *shown = path_shown(&t->path);
	struct link_entry *known = NULL;

	if (st->st_nlink > 1) {
		known = links_find(&t->links, st);
		if (!known)
			return fail_links(err, &t->path);
		if (known->ino)
			return link_copy(t, known->path, to_fd, name, err);
	}
	lm_rc rc = file_copy(t->copier, from_fd, to_fd, name, st, shown, err);
	// A device that was left out has no copy to be linked.
	bool is_there = !rc && known && faccessat(to_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	if (is_there)
		links_add(&t->links, known, st, shown + t->path.top);
	return rc;
}

static lm_rc copy_subfolder(
	struct tree_copying *t, int from_fd, int to_fd, const char *name, struct lm_err *err)
{
	const char *shown = path_shown(&t->path);
	lm_auto_close int from = open_beneath(from_fd, name);

	if (from < 0 && errno == EXDEV)
		return fail_mounted(err, shown);
	if (from < 0)
		return fail_tree(err, "open the directory", shown);
	if (mkdirat(to_fd, name, 0700) < 0)
		return fail_tree(err, "create the copy of", shown);
	lm_auto_close int to = open_beneath(to_fd, name);
	if (to < 0)
		return fail_tree(err, "open the copy of", shown);
	t->path.depth++;
	lm_rc rc = copy_folder(t, from, to, err);
	t->path.depth--;
	return rc;
}

static lm_rc copy_entry(
	struct tree_copying *t, int from_fd, int to_fd, const char *name, struct lm_err *err)
{
	struct stat st;
	lm_rc rc = wait_ms(0, &t->copier->limit, err);

	if (rc)
		return rc;
	if (fstatat(from_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_tree(err, "examine", path_shown(&t->path));
	return S_ISDIR(st.st_mode) ? copy_subfolder(t, from_fd, to_fd, name, err)
				   : copy_or_link(t, from_fd, to_fd, name, &st, err);
}

/// Its attributes last: what is put into it changes its times, and its mode may deny that.
static lm_rc copy_folder(struct tree_copying *t, int from_fd, int to_fd, struct lm_err *err)
{
	lm_auto_closedir DIR *dir = open_stream(from_fd);
	const char *name = NULL;
	lm_rc rc = check_tree_depth(&t->path, err);

	if (!rc && !dir)
		return fail_tree(err, "read the directory", path_shown(&t->path));
	while (!rc && (rc = next_name(dir, path_shown(&t->path), &name, err)) == LM_OK && name) {
		size_t length = path_enter(&t->path, name);

		rc = copy_entry(t, from_fd, to_fd, name, err);
		path_leave(&t->path, length);
	}
	return rc ? rc : file_copy_attributes(t->copier, from_fd, to_fd, path_shown(&t->path), err);
}

/// Or what is made in the folder gets an ACL that its original does not have.
static void drop_acls(int fd)
{
	(void)fremovexattr(fd, "system.posix_acl_default"); // as a rule there is none
	(void)fremovexattr(fd, "system.posix_acl_access");
}

lm_rc tree_copy(
	struct file_copier *c, int from_fd, int to_fd, const char *shown, struct lm_err *err)
{
	drop_acls(to_fd);
	struct tree_copying t = {.copier = c, .path = path_begin(shown), .top_fd = to_fd};
	lm_rc rc = copy_folder(&t, from_fd, to_fd, err);

	path_finish(&t.path);
	links_finish(&t.links);
	return rc;
}

// Removing ---------------------------------------------------------------------------------------

/// A removal goes as deep as descriptors allow; what is deeper is moved to the top first. What
/// cannot be removed does not keep the rest from that: the first such failure is the result.
struct tree_removal {
	int top_fd;
	const char *shown;
	const struct wait_limit *limit;
	unsigned moved; ///< So many were, for their names.
};

static lm_rc empty_once(
	struct tree_removal *r, int dir_fd, unsigned depth, bool *ret_found, struct lm_err *err);

static lm_rc fail_removal(const struct tree_removal *r, const char *name, struct lm_err *err)
{
	int sys = errno;

	return lm_fail(err, lm_rc_of_errno(sys) == LM_E_DENIED ? LM_E_DENIED : LM_E_SYS, sys,
		"remove '%s' in '%s': %m%s", name, r->shown,
		sys == EPERM ? "; if it is immutable (lsattr), run chattr -i on it" : "");
}

/// Names of that form may be taken, by whoever filled the tree.
static lm_rc move_to_top(struct tree_removal *r, int dir_fd, const char *name, struct lm_err *err)
{
	char at_top[64];

	for (;;) {
		(void)snprintf(at_top, sizeof(at_top), ".lighterman-deep-%u", r->moved++);
		if (renameat2(dir_fd, name, r->top_fd, at_top, RENAME_NOREPLACE) == 0)
			return LM_OK;
		if (errno != EEXIST)
			return fail_tree(err, "move a directory up in", r->shown);
	}
}

static lm_rc empty_folder(struct tree_removal *r, int dir_fd, unsigned depth, struct lm_err *err)
{
	bool found = true;
	lm_rc rc = LM_OK;

	while (!rc && found)
		rc = empty_once(r, dir_fd, depth, &found, err);
	return rc;
}

static lm_rc remove_subtree(
	struct tree_removal *r, int dir_fd, const char *name, unsigned depth, struct lm_err *err)
{
	if (depth >= EMPTY_DEPTH_MAX)
		return move_to_top(r, dir_fd, name, err);
	lm_auto_close int fd = open_beneath(dir_fd, name);

	if (fd < 0)
		return fail_tree(err,
			errno == EXDEV
				? "what is mounted in a directory must be unmounted first, in"
				: "open a directory in",
			r->shown);
	lm_rc rc = empty_folder(r, fd, depth + 1, err);
	if (!rc && unlinkat(dir_fd, name, AT_REMOVEDIR) < 0)
		rc = fail_removal(r, name, err);
	return rc;
}

static lm_rc remove_from_tree(
	struct tree_removal *r, int dir_fd, const char *name, unsigned depth, struct lm_err *err)
{
	lm_rc rc = wait_ms(0, r->limit, err);

	if (rc || unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
		return rc;
	if (errno != EISDIR) // Linux's answer for a directory
		return fail_removal(r, name, err);
	return remove_subtree(r, dir_fd, name, depth, err);
}

/// Once through the folder: a stream may skip entries of one that is changed meanwhile.
static lm_rc empty_once(
	struct tree_removal *r, int dir_fd, unsigned depth, bool *ret_found, struct lm_err *err)
{
	lm_auto_closedir DIR *dir = open_stream(dir_fd);
	const char *name = NULL;
	struct lm_err own = {LM_OK};
	lm_rc rc = dir ? LM_OK : fail_tree(err, "read a directory in", r->shown);
	lm_rc failed = LM_OK;

	*ret_found = false;
	while (!rc && (rc = next_name(dir, r->shown, &name, err)) == LM_OK && name) {
		*ret_found = true;
		lm_rc one = remove_from_tree(r, dir_fd, name, depth, failed ? &own : err);
		if (one == LM_E_CANCELLED && failed && err)
			*err = own;
		if (one == LM_E_CANCELLED)
			return one;
		failed = failed ? failed : one;
	}
	return failed ? failed : rc;
}

lm_rc tree_empty(int dir_fd, const char *shown, const struct wait_limit *limit, struct lm_err *err)
{
	struct tree_removal r = {.top_fd = dir_fd, .shown = shown, .limit = limit};

	return empty_folder(&r, dir_fd, 0, err);
}

lm_rc tree_remove(
	int parent_fd, const char *name, const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto_close int fd = open_beneath(parent_fd, name);

	if (fd < 0 && errno == ENOENT)
		return LM_OK;
	if (fd < 0)
		return fail_tree(err, "open the directory", name);
	lm_rc rc = tree_empty(fd, name, limit, err);
	if (!rc && unlinkat(parent_fd, name, AT_REMOVEDIR) < 0)
		rc = fail_tree(err, "remove the directory", name);
	return rc;
}
