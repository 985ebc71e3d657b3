// SPDX-License-Identifier: Apache-2.0
/// volume_copies_driver STATE VOLUMES copy|start|look N: the snapshots of volumes without an
/// engine, for tests/e2e/volume_copies_kill_test.py. Each folder in VOLUMES is a volume. `copy`
/// makes the snapshot of generation N up to the start of N + 1, `start` is what precedes the start
/// of N, and `look` shows what is there.
#include "base/cleanup.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/str.h"
#include "worker/volume_restore.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *volumes_path;

static struct engine_volume make_volume(const char *name)
{
	return (struct engine_volume){.name = lm_xstrdup(name),
		.driver = lm_xstrdup("local"),
		.mountpoint = lm_xasprintf("%s/%s/" VOLUME_DATA, volumes_path, name)};
}

lm_rc __wrap_engine_list_volumes(const struct engine *e, const char *project,
	const struct wait_limit *limit, struct engine_volumes *ret, struct lm_err *err);
lm_rc __wrap_engine_inspect_volume(const struct engine *e, const char *name,
	const struct wait_limit *limit, struct engine_volume *ret, struct lm_err *err);
lm_rc __wrap_engine_list_containers(const struct engine *e, const char *project,
	const struct wait_limit *limit, struct engine_containers *ret, struct lm_err *err);

lm_rc __wrap_engine_list_containers(const struct engine *e, const char *project,
	const struct wait_limit *limit, struct engine_containers *ret, struct lm_err *err)
{
	(void)e;
	(void)project;
	(void)limit;
	(void)err;
	*ret = (struct engine_containers){0};
	return LM_OK;
}

lm_rc __wrap_engine_list_volumes(const struct engine *e, const char *project,
	const struct wait_limit *limit, struct engine_volumes *ret, struct lm_err *err)
{
	struct dirent **names = NULL;
	int n = scandir(volumes_path, &names, NULL, alphasort);

	(void)e;
	(void)project;
	(void)limit;
	if (n < 0)
		return lm_fail(err, LM_E_SYS, 0, "no volumes");
	ret->items = lm_xcalloc((size_t)n, sizeof(*ret->items));
	for (int i = 0; i < n; i++) {
		if (names[i]->d_name[0] != '.')
			ret->items[ret->n++] = make_volume(names[i]->d_name);
		free(names[i]);
	}
	free(names);
	return LM_OK;
}

lm_rc __wrap_engine_inspect_volume(const struct engine *e, const char *name,
	const struct wait_limit *limit, struct engine_volume *ret, struct lm_err *err)
{
	(void)e;
	(void)limit;
	(void)err;
	*ret = make_volume(name);
	return LM_OK;
}

static lm_rc look(const struct snapshots *s, unsigned n, struct lm_err *err)
{
	lm_auto_json json_t *restore = NULL;
	char name[SNAPSHOT_NAME_SIZE];
	bool is_there = false;
	lm_rc rc = snapshots_read_restore(s, &restore, err);

	if (!rc)
		rc = snapshots_have(s, n, &is_there, err);
	if (!rc)
		(void)printf("%s %s %s\n", is_there ? "snapshot" : "none",
			restore ? "restoring" : "settled",
			snapshots_find_rubbish(s, "", name) ? "rubbish" : "clean");
	return rc;
}

/// A deployment of generation `n` + 1 up to its start.
static lm_rc copy(const struct volume_copies *v, unsigned n, struct lm_err *err)
{
	lm_auto(volume_need_finish) struct volume_need need = {0};
	lm_rc rc = volume_copies_check(v, n, &need, err);

	if (!rc)
		rc = volume_restore_settle(v, err);
	if (!rc)
		rc = volume_copies_make(v, n, err);
	if (!rc)
		rc = volume_copies_adopt(v, n, err);
	return rc ? rc : volume_restore_run(v, n + 1, err);
}

static lm_rc start(const struct volume_copies *v, unsigned n, struct lm_err *err)
{
	struct lm_err own = {LM_OK};
	lm_rc rc = volume_restore_run(v, n, err);

	if (rc)
		return rc;
	rc = volume_restore_clean(v, err);
	lm_rc of_copies = volume_copies_clean(v, rc ? &own : err);
	return rc ? rc : of_copies;
}

static lm_rc act(const struct volume_copies *v, const char *action, unsigned n, struct lm_err *err)
{
	if (strcmp(action, "copy") == 0)
		return copy(v, n, err);
	return strcmp(action, "start") == 0 ? start(v, n, err) : look(v->snapshots, n, err);
}

int main(int argc, char **argv)
{
	lm_auto_snapshots struct snapshots snapshots = {.fd = -1};
	const struct wait_limit limit = WAIT_FOREVER;
	struct volume_folders folders = {.fd = -1};
	const struct volume_copies v = {.snapshots = &snapshots,
		.folders = &folders,
		.project = "",
		.limit = &limit,
		.bytes_max = 100 << 20};
	struct lm_err err = {LM_OK};
	uint64_t n = 0;

	if (argc != 5 || !lm_str_to_u64(lm_str(argv[4]), INT32_MAX, &n))
		return 64;
	(void)umask(0);
	volumes_path = argv[2];
	folders = (struct volume_folders){
		.path = argv[2], .fd = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	lm_rc rc = snapshots_open(argv[1], true, &snapshots, &err);
	if (!rc)
		rc = act(&v, argv[3], (unsigned)n, &err);
	if (rc)
		(void)fprintf(stderr, "%s\n", err.msg);
	else
		(void)puts("done");
	(void)close(folders.fd);
	return rc ? 1 : 0;
}
