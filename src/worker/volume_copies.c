// SPDX-License-Identifier: Apache-2.0
#include "worker/volume_copies.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "sys/record.h"
#include "sys/tree.h"
#include "worker/volume_users.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONTAINERS "containers.json"

enum { MIB = 1 << 20, CONTAINERS_MAX = 16 << 20 };

// Volumes ----------------------------------------------------------------------------------------

/// The volumes of the project that the engine keeps itself.
struct own_volumes {
	struct engine_volumes all;
	size_t *items; ///< Their places in `all`.
	const char **names;
	size_t n;
};

static void own_volumes_finish(struct own_volumes *own)
{
	engine_volumes_finish(&own->all);
	free(own->items);
	free(own->names);
}

static struct volume_names own_names(const struct own_volumes *own)
{
	return (struct volume_names){own->names, own->n};
}

static lm_rc list_volumes(
	const struct volume_copies *v, bool warns, struct own_volumes *ret, struct lm_err *err)
{
	lm_rc rc = engine_list_volumes(v->engine, v->project, v->limit, &ret->all, err);

	if (rc)
		return rc;
	ret->items = lm_xcalloc(ret->all.n + 1, sizeof(*ret->items));
	ret->names = lm_xcalloc(ret->all.n + 1, sizeof(*ret->names));
	for (size_t i = 0; i < ret->all.n; i++) {
		const struct engine_volume *volume = &ret->all.items[i];
		const char *why = volume_folders_why_elsewhere(volume);

		if (why && warns)
			lm_warn("the volume '%s' is left out of snapshots: %s", volume->name, why);
		if (why)
			continue;
		ret->items[ret->n] = i;
		ret->names[ret->n++] = volume->name;
	}
	return LM_OK;
}

static lm_rc open_volume(const struct volume_copies *v, const struct engine_volume *volume,
	int *ret_fd, struct lm_err *err)
{
	lm_auto_close int folder = -1;
	lm_rc rc = volume_folders_open_one(v->folders, volume, &folder, err);

	return rc ? rc : volume_folders_open_data(v->folders, volume->name, folder, ret_fd, err);
}

// Room -------------------------------------------------------------------------------------------

#define WITHOUT "set Policy.SnapshotVolumes to \"False\""

static lm_rc measure_volume(const struct volume_copies *v, const struct engine_volume *volume,
	struct volume_sum *sum, struct lm_err *err)
{
	lm_auto_close int fd = -1;
	struct tree_size size = {0};
	lm_rc rc = open_volume(v, volume, &fd, err);

	if (!rc)
		rc = tree_measure(fd, volume->name, v->snapshots->fd, v->limit, &size, err);
	if (!rc)
		volume_sum_add(sum, &size);
	return rc;
}

static lm_rc measure_volumes(const struct volume_copies *v, const struct own_volumes *own,
	struct volume_sum *sum, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	for (size_t i = 0; !rc && i < own->n; i++)
		rc = measure_volume(v, &own->all.items[own->items[i]], sum, err);
	return rc && rc != LM_E_CANCELLED ? lm_wrap(err, "measure the volumes") : rc;
}

uint64_t volume_copies_measure_removable(
	const struct volume_copies *v, int parent_fd, const char *name)
{
	lm_auto_close int fd = file_open_beneath(parent_fd, name, O_RDONLY | O_DIRECTORY);
	struct tree_size size = {0};
	struct lm_err ignored; // then it does not count

	if (fd < 0 || tree_measure(fd, name, -1, v->limit, &size, &ignored))
		return 0;
	return size.content + size.rest;
}

/// How what is in one folder can get into another.
struct volume_way {
	bool is_movable; ///< By a rename: not between two mounts, even of one file system.
	bool is_shared;  ///< Both take their room from one file system.
};

static struct volume_way find_way(int from, int to)
{
	struct statx a, b;

	if (statx(from, "", AT_EMPTY_PATH, STATX_MNT_ID, &a) < 0 ||
		statx(to, "", AT_EMPTY_PATH, STATX_MNT_ID, &b) < 0)
		return (struct volume_way){false, false};
	bool is_one = a.stx_dev_major == b.stx_dev_major && a.stx_dev_minor == b.stx_dev_minor;
	bool is_known = (a.stx_mask & STATX_MNT_ID) && (b.stx_mask & STATX_MNT_ID);
	return (struct volume_way){is_one && is_known && a.stx_mnt_id == b.stx_mnt_id, is_one};
}

static lm_rc check_snapshot_room(const struct volume_copies *v, const struct volume_sum *sum,
	unsigned n, struct volume_need *ret, struct lm_err *err)
{
	char name[SNAPSHOT_NAME_SIZE];
	struct volume_way back = find_way(v->snapshots->fd, v->folders->fd);
	// What cannot be moved back is copied, beside what is there.
	unsigned times = !back.is_movable && back.is_shared ? 2 : 1;
	const struct volume_sum here = {sum->content, times * sum->bytes, times * sum->entries};
	struct volume_room room = {.fd = v->snapshots->fd,
		.path = v->snapshots->path,
		.reserve = v->reserve,
		.removable = volume_copies_measure_removable(
			v, v->snapshots->fd, snapshot_new_name(n, name)),
		.what = "a snapshot of the volumes",
		.instead = WITHOUT};
	lm_rc rc = volume_room_check(&room, &here, ret, err);

	if (rc || back.is_movable || back.is_shared)
		return rc;
	room.fd = v->folders->fd;
	room.path = v->folders->path;
	room.removable = 0;
	return volume_room_check(&room, sum, ret, err);
}

static lm_rc check_fit(const struct volume_copies *v, const struct own_volumes *own, unsigned n,
	struct volume_need *ret, struct lm_err *err)
{
	struct volume_sum sum = {0};
	lm_rc rc = measure_volumes(v, own, &sum, err);

	if (!rc && sum.content > v->bytes_max)
		return lm_fail(err, LM_E_SYS, ENOSPC,
			"a snapshot of the volumes does not fit: %" PRIu64
			" MB would have to be copied, more than Policy.SnapshotMaxMB (%" PRIu64
			"): raise it, or " WITHOUT,
			sum.content / MIB + 1, v->bytes_max / MIB);
	if (!rc)
		rc = check_snapshot_room(v, &sum, n, ret, err);
	ret->bytes = sum.bytes;
	return rc;
}

lm_rc volume_copies_check(
	const struct volume_copies *v, unsigned n, struct volume_need *ret, struct lm_err *err)
{
	lm_auto(own_volumes_finish) struct own_volumes own = {0};
	lm_auto_json json_t *users = NULL;
	bool is_there = false;
	lm_rc rc = snapshots_have(v->snapshots, n, &is_there, err);

	if (rc || is_there)
		return rc; // none is made
	rc = list_volumes(v, true, &own, err);
	if (!rc)
		rc = volume_users_list(
			v->engine, v->project, true, own_names(&own), v->limit, &users, err);
	return rc ? rc : check_fit(v, &own, n, ret, err);
}

// Making -----------------------------------------------------------------------------------------

static void warn_of_file(void *ctx, const char *text)
{
	(void)ctx;
	lm_warn("snapshot: %s", text);
}

struct file_copier volume_copies_copier(const struct volume_copies *v, uint64_t bytes_max)
{
	return (struct file_copier){
		.limit = *v->limit, .bytes_max = bytes_max, .warn = warn_of_file};
}

static lm_rc make_folder(int parent_fd, const char *name, int *ret_fd, struct lm_err *err)
{
	if (mkdirat(parent_fd, name, 0700) < 0 && errno != EEXIST)
		return lm_fail(err, LM_E_SYS, errno, "create the directory '%s': %m", name);
	*ret_fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *ret_fd >= 0 ? LM_OK
			    : lm_fail(err, LM_E_SYS, errno, "open the directory '%s': %m", name);
}

static lm_rc copy_volume(const struct volume_copies *v, struct file_copier *copier,
	const struct engine_volume *volume, int data_fd, struct lm_err *err)
{
	lm_auto_close int from = -1;
	lm_auto_close int to = -1;
	lm_rc rc = open_volume(v, volume, &from, err);

	if (!rc)
		rc = make_folder(data_fd, volume->name, &to, err);
	return rc ? rc : tree_copy(copier, from, to, volume->name, err);
}

/// In a process of its own: a slow disk takes minutes, in which this one has to show that it is
/// alive, and may be cancelled.
static pid_t start_sync(int fd, int *ret_end_fd)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	pid_t pid = fork();
	if (pid == 0)
		_exit(syncfs(fd) == 0 ? 0 : errno & 0xff);
	(void)close(ends[1]);
	*ret_end_fd = ends[0];
	return pid;
}

/// Returns an errno. One that is stuck in the kernel is not waited for.
static int end_sync(pid_t pid, bool is_waited_for)
{
	int status = 0;

	if (!is_waited_for)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, is_waited_for ? 0 : WNOHANG) < 0)
		if (errno != EINTR)
			return errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

lm_rc volume_copies_sync(
	const struct volume_copies *v, int fd, const char *shown, struct lm_err *err)
{
	lm_auto_close int end = -1;
	pid_t pid = start_sync(fd, &end);

	if (pid < 0)
		return lm_fail(err, LM_E_SYS, errno, "sync the file system of '%s': %m", shown);
	struct pollfd ended = {.fd = end, .events = POLLIN};
	lm_rc rc = wait_for(&ended, 1, v->limit, err);
	int sys = end_sync(pid, rc == LM_OK);
	return rc || !sys ? rc
			  : lm_fail(err, LM_E_SYS, sys, "sync the file system of '%s': %m", shown);
}

static lm_rc copy_volumes(const struct volume_copies *v, const struct own_volumes *own, int data_fd,
	struct lm_err *err)
{
	struct file_copier copier = volume_copies_copier(v, v->bytes_max);
	lm_rc rc = LM_OK;

	for (size_t i = 0; !rc && i < own->n; i++)
		rc = copy_volume(v, &copier, &own->all.items[own->items[i]], data_fd, err);
	if (!rc)
		rc = volume_copies_sync(v, data_fd, v->snapshots->path, err);
	if (!rc)
		lm_info("snapshot of %zu volumes: %" PRIu64 " bytes copied, %" PRIu64
			" shared with them",
			own->n, copier.bytes, copier.shared);
	return rc;
}

/// Of the containers nothing is asked later than of the volumes' content.
static lm_rc fill_snapshot(
	const struct volume_copies *v, const struct own_volumes *own, int fd, struct lm_err *err)
{
	lm_auto_json json_t *users = NULL;
	lm_auto_close int data = -1;
	struct volume_names names = own_names(own);
	lm_rc rc = volume_users_list(v->engine, v->project, false, names, v->limit, &users, err);

	if (!rc)
		rc = make_folder(fd, SNAPSHOT_DATA, &data, err);
	if (!rc)
		rc = record_json_replace(fd, CONTAINERS, CONTAINERS_MAX, users, err);
	if (!rc)
		rc = copy_volumes(v, own, data, err);
	return rc ? rc : volume_users_compare(v->engine, v->project, names, users, v->limit, err);
}

static lm_rc make_snapshot(const struct volume_copies *v, const struct own_volumes *own, unsigned n,
	struct lm_err *err)
{
	char name[SNAPSHOT_NAME_SIZE];
	lm_auto_close int fd = -1;
	struct lm_err ignored; // the next clean-up removes it
	lm_rc rc = make_folder(v->snapshots->fd, snapshot_new_name(n, name), &fd, err);

	if (!rc)
		rc = fill_snapshot(v, own, fd, err);
	if (!rc)
		rc = lm_dir_sync(v->snapshots->fd, v->snapshots->path, err);
	if (!rc)
		rc = wait_ms(0, v->limit, err); // lightermand may be gone
	if (!rc)
		return LM_OK;
	struct wait_limit limit = *v->limit;
	limit.cancel_fd = -1;
	(void)!tree_remove(v->snapshots->fd, name, &limit, &ignored);
	return rc;
}

lm_rc volume_copies_make(const struct volume_copies *v, unsigned n, struct lm_err *err)
{
	lm_auto(own_volumes_finish) struct own_volumes own = {0};
	lm_auto(volume_need_finish) struct volume_need need = {0};
	char name[SNAPSHOT_NAME_SIZE];
	bool is_there = false;
	lm_rc rc = snapshots_have(v->snapshots, n, &is_there, err);

	if (rc)
		return rc;
	if (is_there) {
		lm_info("the snapshot of the volumes of generation %u stays", n);
		return LM_OK;
	}
	rc = tree_remove(v->snapshots->fd, snapshot_new_name(n, name), v->limit, err);
	if (rc && rc != LM_E_CANCELLED) // a clean-up reports it
		rc = snapshots_discard(v->snapshots, n, err);
	if (!rc)
		rc = list_volumes(v, false, &own, err);
	if (!rc)
		rc = check_fit(v, &own, n, &need, err); // containers have written since
	return rc ? rc : make_snapshot(v, &own, n, err);
}

/// The names of the volumes in a snapshot that was made, and who used them.
static lm_rc compare_users(
	const struct volume_copies *v, int fd, const struct own_volumes *own, struct lm_err *err)
{
	lm_auto_json json_t *users = NULL;
	lm_rc rc = record_json_read(fd, CONTAINERS, CONTAINERS_MAX, &users, err);

	if (rc == LM_E_INVALID || rc == LM_E_TOO_LARGE || rc == LM_E_NOT_FOUND)
		err->rc = LM_E_SYS; // the definition is not to blame
	return rc ? lm_wrap(err, "compare the containers with those at the snapshot of the volumes")
		  : volume_users_compare(
			    v->engine, v->project, own_names(own), users, v->limit, err);
}

lm_rc volume_copies_adopt(const struct volume_copies *v, unsigned n, struct lm_err *err)
{
	lm_auto(own_volumes_finish) struct own_volumes own = {0};
	char name[SNAPSHOT_NAME_SIZE];
	bool is_there = false;
	lm_rc rc = snapshots_have(v->snapshots, n, &is_there, err);

	if (rc || is_there)
		return rc;
	lm_auto_close int fd = file_open_beneath(
		v->snapshots->fd, snapshot_new_name(n, name), O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "open the snapshot '%s/%s': %m",
			v->snapshots->path, name);
	rc = list_volumes(v, false, &own, err);
	if (!rc)
		rc = compare_users(v, fd, &own, err);
	return rc ? rc : snapshots_adopt(v->snapshots, n, err);
}

lm_rc volume_copies_clean(const struct volume_copies *v, struct lm_err *err)
{
	char name[SNAPSHOT_NAME_SIZE] = "";
	lm_rc failed = LM_OK;

	while (failed != LM_E_CANCELLED && snapshots_find_rubbish(v->snapshots, name, name)) {
		struct lm_err own = {LM_OK};
		lm_rc rc = tree_remove(v->snapshots->fd, name, v->limit, &own);

		if (rc && (!failed || rc == LM_E_CANCELLED)) {
			failed = rc;
			*err = own;
		}
	}
	return failed && failed != LM_E_CANCELLED ? lm_wrap(err, "'%s'", v->snapshots->path)
						  : failed;
}
