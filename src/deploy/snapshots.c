// SPDX-License-Identifier: Apache-2.0
#include "deploy/snapshots.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/str.h"
#include "sys/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "volumes"
#define RESTORE "restore.json"
#define OLD ".old-"
#define NEW ".new-"
#define LEFT "left-"

enum { RESTORE_MAX = 1 << 20, OLD_MAX = 1000000 };

static lm_rc snapshots_fail(
	const struct snapshots *s, const char *what, const char *name, struct lm_err *err)
{
	return lm_fail(err, lm_rc_of_errno(errno), errno, "%s '%s/%s': %m", what, s->path, name);
}

lm_rc snapshots_open(
	const char *state_directory, bool make, struct snapshots *ret, struct lm_err *err)
{
	lm_auto_snapshots struct snapshots s = {
		.path = lm_path_join(state_directory, FOLDER), .fd = -1};
	lm_auto_close int parent = open(state_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lm_rc rc = LM_OK;

	if (parent < 0)
		return lm_fail(err, lm_rc_of_errno(errno), errno, "open '%s': %m", state_directory);
	if (!make && faccessat(parent, FOLDER, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		return lm_fail(err, LM_E_NOT_FOUND, 0, "'%s' does not exist", s.path);
	rc = lm_dir_open_own(parent, FOLDER, 0700, (uid_t)-1, (gid_t)-1, &s.fd, err);
	if (rc)
		return lm_wrap(err, "'%s'", state_directory);
	*ret = s;
	s = (struct snapshots){.fd = -1};
	return LM_OK;
}

void snapshots_finish(struct snapshots *s)
{
	free(s->path);
	lm_cleanup_close(&s->fd);
	*s = (struct snapshots){.fd = -1};
}

char *snapshot_name(unsigned n, char out[SNAPSHOT_NAME_SIZE])
{
	(void)snprintf(out, SNAPSHOT_NAME_SIZE, "%u", n);
	return out;
}

char *snapshot_new_name(unsigned n, char out[SNAPSHOT_NAME_SIZE])
{
	(void)snprintf(out, SNAPSHOT_NAME_SIZE, NEW "%u", n);
	return out;
}

/// What cannot be seen is not taken for absent: that would lose it.
static lm_rc look_for(const struct snapshots *s, const char *name, bool *ret, struct lm_err *err)
{
	struct stat st;

	*ret = fstatat(s->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	return *ret || errno == ENOENT ? LM_OK : snapshots_fail(s, "examine", name, err);
}

lm_rc snapshots_have(const struct snapshots *s, unsigned n, bool *ret, struct lm_err *err)
{
	char name[SNAPSHOT_NAME_SIZE];

	*ret = false;
	return n ? look_for(s, snapshot_name(n, name), ret, err) : LM_OK;
}

/// Calls `each` for every name; it may rename them.
static lm_rc each_name(const struct snapshots *s, bool (*each)(void *ctx, const char *name),
	void *ctx, struct lm_err *err)
{
	int fd = openat(s->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lm_auto_closedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir && fd >= 0)
		(void)close(fd);
	if (!dir)
		return snapshots_fail(s, "read", "", err);
	for (;;) {
		errno = 0;
		const struct dirent *entry = readdir(dir);

		if (!entry && errno)
			return snapshots_fail(s, "read", "", err);
		if (!entry || !each(ctx, entry->d_name))
			return LM_OK;
	}
}

struct numbers {
	unsigned *items;
	size_t n;
};

static bool add_number(void *ctx, const char *name)
{
	struct numbers *numbers = ctx;
	uint64_t n = 0;

	if (name[0] == '0' || !lm_str_to_u64(lm_str(name), INT32_MAX, &n) || n == 0)
		return true;
	numbers->items = lm_xrealloc(numbers->items, (numbers->n + 1) * sizeof(unsigned));
	numbers->items[numbers->n++] = (unsigned)n;
	return true;
}

lm_rc snapshots_list(
	const struct snapshots *s, unsigned **ret, size_t *ret_count, struct lm_err *err)
{
	struct numbers numbers = {NULL, 0};
	lm_rc rc = each_name(s, add_number, &numbers, err);

	if (rc) {
		free(numbers.items);
		return rc;
	}
	*ret = numbers.items;
	*ret_count = numbers.n;
	return LM_OK;
}

/// Gives it the first free name of that form, which is left in `out`, lastingly. No error if there
/// is nothing of that name.
static lm_rc put_away(const struct snapshots *s, const char *name, const char *form,
	char out[SNAPSHOT_NAME_SIZE], struct lm_err *err)
{
	for (unsigned k = 1; k < OLD_MAX; k++) {
		(void)snprintf(out, SNAPSHOT_NAME_SIZE, "%s%u", form, k);
		if (renameat2(s->fd, name, s->fd, out, RENAME_NOREPLACE) == 0 || errno == ENOENT)
			return lm_dir_sync(s->fd, s->path, err);
		if (errno != EEXIST)
			break;
	}
	return snapshots_fail(s, "rename", name, err);
}

lm_rc snapshots_drop(const struct snapshots *s, unsigned n, struct lm_err *err)
{
	char name[SNAPSHOT_NAME_SIZE], old[SNAPSHOT_NAME_SIZE];

	return put_away(s, snapshot_name(n, name), OLD, old, err);
}

lm_rc snapshots_set_aside(const struct snapshots *s, unsigned n, char ret_name[SNAPSHOT_NAME_SIZE],
	struct lm_err *err)
{
	char name[SNAPSHOT_NAME_SIZE];

	return put_away(s, snapshot_name(n, name), LEFT, ret_name, err);
}

lm_rc snapshots_adopt(const struct snapshots *s, unsigned n, struct lm_err *err)
{
	char name[SNAPSHOT_NAME_SIZE], new_name[SNAPSHOT_NAME_SIZE];

	if (renameat2(s->fd, snapshot_new_name(n, new_name), s->fd, snapshot_name(n, name),
		    RENAME_NOREPLACE) == 0)
		return lm_dir_sync(s->fd, s->path, err);
	if (errno == EEXIST)
		return lm_fail(err, LM_E_CONFLICT, 0, "'%s/%s' exists", s->path, name);
	return snapshots_fail(s, "rename", new_name, err);
}

lm_rc snapshots_discard(const struct snapshots *s, unsigned n, struct lm_err *err)
{
	char name[SNAPSHOT_NAME_SIZE], old[SNAPSHOT_NAME_SIZE];

	return put_away(s, snapshot_new_name(n, name), OLD, old, err);
}

struct rubbish_search {
	const char *after;
	char *found; ///< "": nothing yet.
};

static bool find_old(void *ctx, const char *name)
{
	const struct rubbish_search *search = ctx;
	bool is_old = strncmp(name, OLD, sizeof(OLD) - 1) == 0 ||
		      strncmp(name, NEW, sizeof(NEW) - 1) == 0;
	bool is_first = strcmp(name, search->after) > 0 &&
			(!search->found[0] || strcmp(name, search->found) < 0);

	if (is_old && is_first && strlen(name) < SNAPSHOT_NAME_SIZE)
		(void)snprintf(search->found, SNAPSHOT_NAME_SIZE, "%s", name);
	return true;
}

bool snapshots_find_rubbish(
	const struct snapshots *s, const char *after, char out[SNAPSHOT_NAME_SIZE])
{
	char found[SNAPSHOT_NAME_SIZE] = "";
	struct rubbish_search search = {after, found};
	struct lm_err ignored; // it is looked for again later
	lm_rc rc = each_name(s, find_old, &search, &ignored);

	(void)snprintf(out, SNAPSHOT_NAME_SIZE, "%s", found);
	return rc == LM_OK && found[0] != '\0';
}

static bool is_restore(const json_t *restore)
{
	return json_get_int(restore, "generation", 0) > 0 && json_get_text(restore, "id") &&
	       json_is_array(json_object_get(restore, "volumes")) &&
	       json_is_array(json_object_get(restore, "absent")) &&
	       json_is_boolean(json_object_get(restore, "done"));
}

lm_rc snapshots_read_restore(const struct snapshots *s, json_t **ret, struct lm_err *err)
{
	lm_auto_json json_t *restore = NULL;
	struct lm_err why = {LM_OK}; // that there is none is no error: `err` stays as it is

	*ret = NULL;
	lm_rc rc = record_json_read(s->fd, RESTORE, RESTORE_MAX, &restore, &why);
	if (rc == LM_E_NOT_FOUND)
		return LM_OK;
	if (rc == LM_E_SYS && err)
		*err = why;
	if (!rc && !is_restore(restore))
		rc = lm_fail(err, LM_E_INVALID, 0, "a member is missing");
	if (rc && rc != LM_E_SYS)
		return lm_fail(err, LM_E_CONFLICT, 0,
			"the record '%s/" RESTORE
			"' of a restore of volumes that was cut short is damaged: put the volumes "
			"in order by hand, and remove that file",
			s->path);
	if (rc)
		return lm_wrap(err, "read '%s/" RESTORE "'", s->path);
	*ret = lm_take(restore);
	return LM_OK;
}

lm_rc snapshots_note_restore(const struct snapshots *s, const json_t *restore, struct lm_err *err)
{
	return record_json_replace(s->fd, RESTORE, RESTORE_MAX, restore, err);
}

lm_rc snapshots_end_restore(const struct snapshots *s, struct lm_err *err)
{
	if (unlinkat(s->fd, RESTORE, 0) < 0 && errno != ENOENT)
		return snapshots_fail(s, "remove", RESTORE, err);
	return lm_dir_sync(s->fd, s->path, err);
}
