// SPDX-License-Identifier: Apache-2.0
#include "worker/volume_restore.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "sys/tree.h"
#include "worker/volume_users.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PLACE_MAX = 64, ID_MAX = 32 };

/// Of end_earlier: only what is done is finished.
#define NO_START UINT_MAX

/// A restore under way.
struct restore {
	const struct volume_copies *v;
	json_t *record; ///< As in the file.
	unsigned n;
	const char *id;           ///< Borrowed from the record.
	json_t *volumes, *absent; ///< Its members; borrowed.
	int data_fd;              ///< Of the snapshot; -1: it is gone.
	char part[PLACE_MAX], new[PLACE_MAX], old[PLACE_MAX];
	struct volume_sum sum; ///< What copies take, …
	uint64_t removable;    ///< … and what makes place for them.
};

// Places -----------------------------------------------------------------------------------------

static lm_rc place_fail(const char *what, const char *volume, const char *place, struct lm_err *err)
{
	int sys = errno;

	return lm_fail(err, LM_E_SYS, sys, "%s '%s' of the volume '%s': %m", what, place, volume);
}

static lm_rc place_exists(
	int fd, const char *place, const char *volume, bool *ret, struct lm_err *err)
{
	struct stat st;

	*ret = fstatat(fd, place, &st, AT_SYMLINK_NOFOLLOW) == 0;
	return *ret || errno == ENOENT ? LM_OK : place_fail("examine", volume, place, err);
}

/// What there is of a volume.
struct volume_places {
	const char *name;
	int fd; ///< Its folder.
	bool has_data, has_new, has_old;
};

static lm_rc look_at_places(const struct restore *r, struct volume_places *p, struct lm_err *err)
{
	lm_rc rc = place_exists(p->fd, VOLUME_DATA, p->name, &p->has_data, err);

	if (!rc)
		rc = place_exists(p->fd, r->new, p->name, &p->has_new, err);
	return rc ? rc : place_exists(p->fd, r->old, p->name, &p->has_old, err);
}

static lm_rc move_place(
	const struct volume_places *p, const char *from, const char *to, struct lm_err *err)
{
	if (renameat2(p->fd, from, p->fd, to, RENAME_NOREPLACE) < 0)
		return place_fail("rename", p->name, from, err);
	return lm_dir_sync(p->fd, p->name, err);
}

/// Something has made an empty directory where there was none for a moment.
static lm_rc remove_stray(struct volume_places *p, struct lm_err *err)
{
	if (unlinkat(p->fd, VOLUME_DATA, AT_REMOVEDIR) < 0)
		return place_fail("another directory has taken the place of the data; remove",
			p->name, VOLUME_DATA, err);
	p->has_data = false;
	return LM_OK;
}

// One volume -------------------------------------------------------------------------------------

static lm_rc open_saved(
	const struct restore *r, const struct volume_places *p, int *ret_fd, struct lm_err *err)
{
	*ret_fd = file_open_beneath(r->data_fd, p->name, O_RDONLY | O_DIRECTORY);
	return *ret_fd >= 0 ? LM_OK : place_fail("open the snapshot", p->name, SNAPSHOT_DATA, err);
}

/// Whether nothing is there yet that takes the place of the data. LM_E_CONFLICT: the data have
/// disappeared.
static lm_rc look_for_new(
	const struct restore *r, struct volume_places *p, bool *ret_lacks, struct lm_err *err)
{
	lm_rc rc = look_at_places(r, p, err);

	*ret_lacks = !p->has_new && !p->has_old;
	if (rc || p->has_new || !p->has_old || p->has_data)
		return rc;
	return lm_fail(err, LM_E_CONFLICT, 0,
		"the directory '%s/%s/%s' has disappeared: rename '%s' to that, and start again",
		r->v->folders->path, p->name, VOLUME_DATA, r->old);
}

/// Leaves it where it is if that is in another file system.
static lm_rc move_new(struct restore *r, struct volume_places *p, struct lm_err *err)
{
	bool lacks = false;
	lm_rc rc = look_for_new(r, p, &lacks, err);

	if (rc || !lacks)
		return rc;
	if (r->data_fd < 0) {
		errno = ENOENT;
		return place_fail("open the snapshot", p->name, SNAPSHOT_DATA, err);
	}
	if (renameat2(r->data_fd, p->name, p->fd, r->new, RENAME_NOREPLACE) < 0)
		return errno == EXDEV
			       ? LM_OK
			       : place_fail("move the snapshot", p->name, SNAPSHOT_DATA, err);
	rc = lm_dir_sync(p->fd, p->name, err);
	return rc ? rc : lm_dir_sync(r->data_fd, r->v->snapshots->path, err);
}

/// What move_new has left.
static lm_rc measure_new(struct restore *r, struct volume_places *p, struct lm_err *err)
{
	lm_auto_close int from = -1;
	struct tree_size size = {0};
	bool lacks = false;
	lm_rc rc = look_for_new(r, p, &lacks, err);

	if (rc || !lacks)
		return rc;
	rc = open_saved(r, p, &from, err);
	if (!rc)
		rc = tree_measure(from, p->name, p->fd, r->v->limit, &size, err);
	volume_sum_add(&r->sum, &size);
	r->removable += volume_copies_measure_removable(r->v, p->fd, r->part);
	return rc;
}

static lm_rc copy_new(struct restore *r, struct volume_places *p, struct lm_err *err)
{
	struct file_copier copier = volume_copies_copier(r->v, UINT64_MAX);
	lm_auto_close int from = -1;
	bool lacks = false;
	lm_rc rc = look_for_new(r, p, &lacks, err);

	if (rc || !lacks)
		return rc;
	rc = tree_remove(p->fd, r->part, r->v->limit, err);
	if (!rc)
		rc = open_saved(r, p, &from, err);
	if (rc)
		return rc;
	if (mkdirat(p->fd, r->part, 0700) < 0)
		return place_fail("create", p->name, r->part, err);
	lm_auto_close int to = file_open_beneath(p->fd, r->part, O_RDONLY | O_DIRECTORY);
	if (to < 0)
		return place_fail("open", p->name, r->part, err);
	rc = tree_copy(&copier, from, to, p->name, err);
	if (!rc)
		rc = volume_copies_sync(r->v, to, p->name, err);
	if (!rc)
		return move_place(p, r->part, r->new, err);
	struct lm_err ignored; // the disk is to be no fuller than before
	(void)!tree_remove(p->fd, r->part, r->v->limit, &ignored);
	return rc;
}

static lm_rc swap_in(struct restore *r, struct volume_places *p, struct lm_err *err)
{
	lm_rc rc = look_at_places(r, p, err);

	if (rc || (!p->has_new && p->has_old && p->has_data))
		return rc; // it is there
	if (p->has_data && p->has_old)
		rc = remove_stray(p, err);
	else if (p->has_data)
		rc = move_place(p, VOLUME_DATA, r->old, err);
	return rc ? rc : move_place(p, r->new, VOLUME_DATA, err);
}

static lm_rc take_new_back(
	const struct restore *r, const struct volume_places *p, struct lm_err *err)
{
	bool is_copy = false;
	lm_rc rc = r->data_fd < 0 ? lm_fail(err, LM_E_SYS, ENOENT, "the snapshot of it is gone")
				  : place_exists(r->data_fd, p->name, p->name, &is_copy, err);

	if (rc)
		return rc;
	if (is_copy) { // half removed, it must not be taken for complete
		rc = tree_remove(p->fd, r->part, r->v->limit, err);
		return rc ? rc : move_place(p, r->new, r->part, err);
	}
	if (renameat2(p->fd, r->new, r->data_fd, p->name, RENAME_NOREPLACE) < 0)
		return place_fail("move back", p->name, r->new, err);
	rc = lm_dir_sync(r->data_fd, r->v->snapshots->path, err);
	return rc ? rc : lm_dir_sync(p->fd, p->name, err);
}

static lm_rc swap_out(struct restore *r, struct volume_places *p, struct lm_err *err)
{
	lm_rc rc = look_at_places(r, p, err);

	if (!rc && p->has_old && p->has_data && p->has_new)
		rc = remove_stray(p, err);
	if (!rc && p->has_old && p->has_data) {
		rc = move_place(p, VOLUME_DATA, r->new, err);
		p->has_new = true;
	}
	if (!rc && p->has_old)
		rc = move_place(p, r->old, VOLUME_DATA, err);
	if (!rc && p->has_new)
		rc = take_new_back(r, p, err);
	return rc ? rc : tree_remove(p->fd, r->part, r->v->limit, err);
}

static lm_rc remove_old(struct restore *r, struct volume_places *p, struct lm_err *err)
{
	lm_rc rc = tree_remove(p->fd, r->old, r->v->limit, err);

	return rc ? rc : tree_remove(p->fd, r->part, r->v->limit, err);
}

// All volumes ------------------------------------------------------------------------------------

static bool is_in(const json_t *names, const char *name)
{
	size_t i;
	json_t *item;

	json_array_foreach(names, i, item)
	{
		if (json_is_string(item) && strcmp(json_string_value(item), name) == 0)
			return true;
	}
	return false;
}

static lm_rc note_record(const struct restore *r, struct lm_err *err)
{
	return snapshots_note_restore(r->v->snapshots, r->record, err);
}

/// `ret` has no name if the engine has no such volume. One that does not answer has it.
static lm_rc find_restored(
	const struct restore *r, const char *name, struct engine_volume *ret, struct lm_err *err)
{
	lm_auto(engine_volumes_finish) struct engine_volumes all = {0};
	lm_rc rc = engine_inspect_volume(r->v->engine, name, r->v->limit, ret, err);

	if (rc != LM_E_NOT_FOUND)
		return rc;
	rc = engine_list_volumes(r->v->engine, r->v->project, r->v->limit, &all, err);
	for (size_t i = 0; !rc && i < all.n; i++)
		if (strcmp(all.items[i].name, name) == 0)
			rc = lm_fail(err, LM_E_NETWORK, 0, "the Docker daemon was away");
	return rc;
}

/// `ret->fd` is -1 if there is no such volume.
static lm_rc open_places(
	const struct restore *r, const char *name, struct volume_places *ret, struct lm_err *err)
{
	lm_auto(engine_volume_finish) struct engine_volume volume = {0};
	lm_rc rc = find_restored(r, name, &volume, err);

	*ret = (struct volume_places){.name = name, .fd = -1};
	if (rc || !volume.name)
		return rc;
	const char *why = volume_folders_why_elsewhere(&volume);
	if (why)
		return lm_fail(err, LM_E_CONFLICT, 0,
			"%s: move its data away and remove it (docker volume rm), or move '%s/%u' "
			"away to start without that data",
			why, r->v->snapshots->path, r->n);
	if (strcmp(volume.name, name) != 0)
		return lm_fail(err, LM_E_PROTOCOL, 0, "the Docker daemon describes another volume");
	return volume_folders_open_one(r->v->folders, &volume, &ret->fd, err);
}

typedef lm_rc volume_step(struct restore *r, struct volume_places *p, struct lm_err *err);

static lm_rc step_volume(struct restore *r, const char *name, volume_step *step, struct lm_err *err)
{
	struct volume_places p;
	lm_rc rc = open_places(r, name, &p, err);
	lm_auto_close int fd = p.fd;

	if (rc || fd >= 0)
		return rc ? rc : step(r, &p, err);
	lm_warn("the volume '%s' was removed while it was put back", name);
	json_array_append_new(r->absent, json_string(name));
	return note_record(r, err);
}

static lm_rc each_volume(struct restore *r, const char *what, volume_step *step, struct lm_err *err)
{
	lm_rc rc = LM_OK;
	size_t i;
	json_t *item;

	json_array_foreach(r->volumes, i, item)
	{
		const char *name = json_string_value(item);

		if (!rc && name && !is_in(r->absent, name)) {
			rc = step_volume(r, name, step, err);
			if (rc && rc != LM_E_CANCELLED)
				(void)!lm_wrap(err, "%s the volume '%s'", what, name);
		}
	}
	return rc;
}

/// Of volumes that are not there any more the snapshot stays, for a person.
static lm_rc put_snapshot_away(const struct restore *r, struct lm_err *err)
{
	char name[SNAPSHOT_NAME_SIZE] = "";
	bool is_there = false;
	lm_rc rc = snapshots_have(r->v->snapshots, r->n, &is_there, err);

	if (rc || !is_there)
		return rc;
	if (json_array_size(r->absent) == 0)
		return snapshots_drop(r->v->snapshots, r->n, err);
	rc = snapshots_set_aside(r->v->snapshots, r->n, name, err);
	if (!rc)
		lm_warn("of %zu volumes that were removed since, the data that generation %u had "
			"left there stay in '%s/%s/" SNAPSHOT_DATA "': remove that directory when "
			"they are not needed",
			json_array_size(r->absent), r->n, r->v->snapshots->path, name);
	return rc;
}

/// Once the snapshot has gone that is recorded, too: there may be a newer one of that generation.
static lm_rc end_snapshot(const struct restore *r, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	if (json_get_bool(r->record, "dropped", false))
		return LM_OK;
	rc = put_snapshot_away(r, err);
	json_object_set_new(r->record, "dropped", json_true());
	return rc ? rc : note_record(r, err);
}

// Leftovers --------------------------------------------------------------------------------------

/// What the record of a restore that is over keeps: [{"id":ID,"volumes":[NAME,…]},…] of earlier
/// ones, for which something could not be removed.
#define EARLIER "earlier"

static json_t *leftover_of(const json_t *record)
{
	return json_pack("{s:O, s:O}", "id", json_object_get(record, "id"), "volumes",
		json_object_get(record, "volumes"));
}

static void name_places(struct restore *r)
{
	(void)snprintf(r->part, sizeof(r->part), ".lighterman-%s-part", r->id);
	(void)snprintf(r->new, sizeof(r->new), ".lighterman-%s-new", r->id);
	(void)snprintf(r->old, sizeof(r->old), ".lighterman-%s-old", r->id);
}

static bool is_restore_id(const char *id)
{
	return id && strlen(id) < ID_MAX && strspn(id, "0123456789abcdef") == strlen(id);
}

/// Of all volumes of `leftover`, also where one fails; that is the result.
static lm_rc remove_leftover(const struct restore *r, const json_t *leftover, struct lm_err *err)
{
	struct restore one = *r;
	lm_rc failed = LM_OK;
	size_t i;
	json_t *item;

	one.id = json_get_text(leftover, "id");
	if (!is_restore_id(one.id))
		return LM_OK;
	name_places(&one);
	json_array_foreach(json_object_get(leftover, "volumes"), i, item)
	{
		struct lm_err own = {LM_OK};
		lm_auto_json json_t *volumes = json_pack("[O]", item);

		if (failed == LM_E_CANCELLED)
			break;
		one.volumes = volumes;
		lm_rc rc = each_volume(&one, "remove what was replaced in", remove_old, &own);
		if (rc && (!failed || rc == LM_E_CANCELLED)) {
			failed = rc;
			*err = own;
		}
	}
	return failed;
}

/// The first one left takes the place of the record, which is over.
static lm_rc record_leftovers(const struct restore *r, json_t *left, struct lm_err *err)
{
	const json_t *first = json_array_get(left, 0);

	if (!first)
		return snapshots_end_restore(r->v->snapshots, err);
	lm_auto_json json_t *record = json_pack("{s:i, s:O, s:O, s:[], s:b, s:b}", "generation",
		(int)r->n, "id", json_object_get(first, "id"), "volumes",
		json_object_get(first, "volumes"), "absent", "done", 1, "dropped", 1);
	json_array_remove(left, 0);
	json_object_set(record, EARLIER, left);
	return snapshots_note_restore(r->v->snapshots, record, err);
}

/// Takes long, and nothing waits for it but the room: what cannot be removed is tried again later.
static lm_rc remove_replaced(struct restore *r, struct lm_err *err)
{
	lm_auto_json json_t *all = json_pack("[o]", leftover_of(r->record));
	lm_auto_json json_t *left = json_array();
	lm_rc failed = LM_OK;
	size_t i;
	json_t *item;

	json_array_extend(all, json_object_get(r->record, EARLIER));
	json_array_foreach(all, i, item)
	{
		struct lm_err own = {LM_OK};
		lm_rc rc = failed == LM_E_CANCELLED ? failed : remove_leftover(r, item, &own);

		if (rc)
			json_array_append(left, item);
		if (rc && (!failed || (rc == LM_E_CANCELLED && failed != rc))) {
			failed = rc;
			*err = own;
		}
	}
	if (failed && json_array_size(left) == json_array_size(all))
		return failed;
	lm_rc rc = record_leftovers(r, left, failed ? NULL : err);
	return failed ? failed : rc;
}

// Whole restores ---------------------------------------------------------------------------------

static lm_rc undo_restore(struct restore *r, struct lm_err *err)
{
	lm_rc rc;

	lm_info("the restore of the volumes of generation %u is undone", r->n);
	rc = each_volume(r, "undo the restore of", swap_out, err);
	lm_auto_json json_t *left = json_array();
	json_array_extend(left, json_object_get(r->record, EARLIER));
	return rc ? rc : record_leftovers(r, left, err);
}

static lm_rc check_restore_room(const struct restore *r, struct lm_err *err)
{
	const struct volume_copies *v = r->v;
	lm_auto_free char *what = lm_xasprintf("the restore of the volumes of generation %u", r->n);
	lm_auto_free char *instead = lm_xasprintf(
		"move '%s/%u' away to start without that data", v->snapshots->path, r->n);
	const struct volume_room room = {.fd = v->folders->fd,
		.path = v->folders->path,
		.removable = r->removable,
		.what = what,
		.instead = instead};

	lm_auto(volume_need_finish) struct volume_need need = {0};

	return r->sum.entries ? volume_room_check(&room, &r->sum, &need, err) : LM_OK;
}

/// Up to here no volume is touched.
static lm_rc bring_all(struct restore *r, struct lm_err *err)
{
	lm_rc rc = each_volume(r, "restore", move_new, err);

	r->sum = (struct volume_sum){0};
	r->removable = 0;
	if (!rc)
		rc = each_volume(r, "restore", measure_new, err);
	if (!rc)
		rc = check_restore_room(r, err);
	return rc ? rc : each_volume(r, "restore", copy_new, err);
}

/// The disk is to be no fuller than before. What cannot be undone now is finished or undone later.
static lm_rc give_up_for_space(struct restore *r, lm_rc rc)
{
	struct lm_err err = {LM_OK};

	if (undo_restore(r, &err))
		lm_warn("%s, ignoring", err.msg);
	return rc;
}

static lm_rc go_on(struct restore *r, struct lm_err *err)
{
	lm_rc rc = bring_all(r, err);

	if (rc && (err->sys == ENOSPC || err->sys == EDQUOT))
		return give_up_for_space(r, rc);
	if (!rc)
		rc = each_volume(r, "restore", swap_in, err);
	if (rc)
		return rc;
	json_object_set_new(r->record, "done", json_true());
	rc = note_record(r, err);
	return rc ? rc : end_snapshot(r, err);
}

// Beginning --------------------------------------------------------------------------------------

static lm_rc open_snapshot_data(
	const struct volume_copies *v, unsigned n, int *ret_fd, struct lm_err *err)
{
	char name[SNAPSHOT_NAME_SIZE];
	lm_auto_free char *path = lm_xasprintf("%s/" SNAPSHOT_DATA, snapshot_name(n, name));

	*ret_fd = file_open_beneath(v->snapshots->fd, path, O_RDONLY | O_DIRECTORY);
	if (*ret_fd >= 0 || errno == ENOENT)
		return LM_OK;
	return lm_fail(err, LM_E_SYS, errno, "open '%s/%s': %m", v->snapshots->path, path);
}

/// `r->record` is borrowed.
static lm_rc restore_init(
	struct restore *r, const struct volume_copies *v, json_t *record, struct lm_err *err)
{
	*r = (struct restore){.v = v,
		.record = record,
		.n = (unsigned)json_get_int(record, "generation", 0),
		.id = json_get_text(record, "id"),
		.volumes = json_object_get(record, "volumes"),
		.absent = json_object_get(record, "absent"),
		.data_fd = -1};
	if (!is_restore_id(r->id))
		return lm_fail(err, LM_E_CONFLICT, 0,
			"the record of a restore of volumes in '%s' is damaged: put the volumes in "
			"order by hand, and remove restore.json there",
			v->snapshots->path);
	name_places(r);
	return open_snapshot_data(v, r->n, &r->data_fd, err);
}

static void restore_finish(struct restore *r)
{
	lm_cleanup_close(&r->data_fd);
}

static lm_rc list_snapshot(int data_fd, json_t *names, struct lm_err *err)
{
	int fd = openat(data_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lm_auto_closedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!dir && fd >= 0)
		(void)close(fd);
	if (!dir)
		return lm_fail(err, LM_E_SYS, errno, "read the snapshot: %m");
	for (errno = 0; (entry = readdir(dir)) != NULL; errno = 0)
		if (entry->d_name[0] != '.') // no volume has such a name
			json_array_append_new(names, json_string(entry->d_name));
	return errno ? lm_fail(err, LM_E_SYS, errno, "read the snapshot: %m") : LM_OK;
}

/// What would be in the way of the renames is found before the first one. Whatever the volume
/// holds, it is not: a newer generation must not be able to prevent its rollback.
static lm_rc check_restored(const struct restore *r, struct volume_places *p, struct lm_err *err)
{
	lm_auto_close int data = -1;

	return volume_folders_open_data(r->v->folders, p->name, p->fd, &data, err);
}

static lm_rc check_one(const struct restore *r, const char *name, struct lm_err *err)
{
	struct volume_places p;
	lm_rc rc = open_places(r, name, &p, err);
	lm_auto_close int fd = p.fd;

	if (!rc && fd < 0)
		json_array_append_new(r->absent, json_string(name));
	else if (!rc)
		rc = check_restored(r, &p, err);
	return rc && rc != LM_E_CANCELLED ? lm_wrap(err, "restore the volume '%s'", name) : rc;
}

static lm_rc check_volumes(const struct restore *r, struct lm_err *err)
{
	lm_rc rc = LM_OK;
	size_t i;
	json_t *item;

	json_array_foreach(r->volumes, i, item)
	{
		if (!rc)
			rc = check_one(r, json_string_value(item), err);
	}
	return rc;
}

/// No container may keep on using what is put aside.
static lm_rc check_users(const struct restore *r, struct lm_err *err)
{
	lm_auto_json json_t *users = NULL;
	size_t n = json_array_size(r->volumes);
	lm_auto_free const char **names = lm_xcalloc(n + 1, sizeof(*names));

	for (size_t i = 0; i < n; i++)
		names[i] = json_string_value(json_array_get(r->volumes, i));
	return volume_users_list(r->v->engine, r->v->project, false,
		(struct volume_names){names, n}, r->v->limit, &users, err);
}

/// `left` is what earlier ones have left.
static json_t *make_record(unsigned n, json_t *left, struct lm_err *err)
{
	char id[ID_MAX];
	uint64_t number = 0;

	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number)) {
		(void)!lm_fail(err, LM_E_SYS, errno, "get a random number: %m");
		return NULL;
	}
	(void)snprintf(id, sizeof(id), "%016" PRIx64, number);
	json_t *record = json_pack("{s:i, s:s, s:[], s:[], s:b}", "generation", (int)n, "id", id,
		"volumes", "absent", "done", 0);
	if (json_array_size(left) > 0)
		json_object_set(record, EARLIER, left);
	return record;
}

static lm_rc begin_restore(
	const struct volume_copies *v, unsigned n, json_t *left, struct lm_err *err)
{
	lm_auto(restore_finish) struct restore r = {.data_fd = -1};
	lm_auto_json json_t *record = make_record(n, left, err);
	lm_rc rc = record ? restore_init(&r, v, record, err) : err->rc;

	if (!rc && r.data_fd < 0)
		rc = lm_fail(err, LM_E_CONFLICT, 0,
			"the snapshot '%s/%u' is damaged: it has no directory '" SNAPSHOT_DATA
			"'; move it away to start without it",
			v->snapshots->path, n);
	if (!rc)
		rc = list_snapshot(r.data_fd, r.volumes, err);
	if (!rc)
		rc = check_volumes(&r, err);
	if (!rc)
		rc = check_users(&r, err);
	if (!rc)
		rc = note_record(&r, err);
	if (rc)
		return rc;
	lm_info("putting back %zu volumes as generation %u left them",
		json_array_size(r.volumes) - json_array_size(r.absent), n);
	return go_on(&r, err);
}

static lm_rc end_earlier(
	const struct volume_copies *v, unsigned n, bool *ret_finished, struct lm_err *err)
{
	lm_auto(restore_finish) struct restore r = {.data_fd = -1};
	lm_auto_json json_t *record = NULL;
	lm_rc rc = snapshots_read_restore(v->snapshots, &record, err);

	*ret_finished = false;
	if (rc || !record)
		return rc;
	rc = restore_init(&r, v, record, err);
	if (rc)
		return rc;
	if (json_get_bool(record, "done", false)) {
		*ret_finished = r.n == n && !json_get_bool(record, "dropped", false);
		rc = end_snapshot(&r, err);
		return rc || n != NO_START ? rc : remove_replaced(&r, err);
	}
	if (n == NO_START)
		return LM_OK;
	rc = check_users(&r, err);
	*ret_finished = r.n == n;
	if (rc)
		return rc;
	return r.n == n ? go_on(&r, err) : undo_restore(&r, err);
}

/// The record of an earlier one makes place for that of the next, which takes over what it could
/// not remove: a clean-up reports it.
static lm_rc remove_earlier(const struct volume_copies *v, json_t *left, struct lm_err *err)
{
	lm_auto_json json_t *record = NULL;
	struct lm_err own = {LM_OK};
	lm_rc rc = volume_restore_clean(v, &own);

	if (rc == LM_E_CANCELLED) {
		*err = own;
		return rc;
	}
	rc = rc ? snapshots_read_restore(v->snapshots, &record, err) : LM_OK;
	if (rc || !record)
		return rc;
	json_array_append_new(left, leftover_of(record));
	json_array_extend(left, json_object_get(record, EARLIER));
	return LM_OK;
}

lm_rc volume_restore_run(const struct volume_copies *v, unsigned n, struct lm_err *err)
{
	lm_auto_json json_t *left = json_array();
	bool is_finished = false, is_there = false;
	lm_rc rc = end_earlier(v, n, &is_finished, err);

	if (!rc && !is_finished)
		rc = snapshots_have(v->snapshots, n, &is_there, err);
	if (!rc && is_there)
		rc = remove_earlier(v, left, err);
	return rc || !is_there ? rc : begin_restore(v, n, left, err);
}

lm_rc volume_restore_settle(const struct volume_copies *v, struct lm_err *err)
{
	bool ignored;

	return end_earlier(v, 0, &ignored, err);
}

lm_rc volume_restore_clean(const struct volume_copies *v, struct lm_err *err)
{
	bool ignored;

	return end_earlier(v, NO_START, &ignored, err);
}
