// SPDX-License-Identifier: Apache-2.0
#include "worker/volume_copies.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/memory.h"
#include "damaged_file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define COPY "/volumes/.new-1/containers.json"

/// A state directory, and one volume that no container uses.
static struct fixture {
	char folder[64];
	struct snapshots snapshots;
	struct volume_folders folders;
	struct wait_limit limit;
	struct volume_copies v;
} f;

lm_rc __wrap_engine_list_volumes(const struct engine *e, const char *project,
	const struct wait_limit *limit, struct engine_volumes *ret, struct lm_err *err);
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
	(void)e;
	(void)project;
	(void)limit;
	(void)err;
	ret->items = lm_xcalloc(1, sizeof(*ret->items));
	ret->items[ret->n++] = (struct engine_volume){.name = lm_xstrdup("data"),
		.driver = lm_xstrdup("local"),
		.mountpoint = lm_xasprintf("%s/data/" VOLUME_DATA, f.folders.path)};
	return LM_OK;
}

static void make_directory(const char *path)
{
	lm_auto_free char *whole = lm_xasprintf("%s%s", f.folder, path);

	assert_int_equal(mkdir(whole, 0700), 0);
}

static int setup(void **state)
{
	struct lm_err err = {LM_OK};

	(void)state;
	f = (struct fixture){.folder = "/tmp/volume_copies_test.XXXXXX",
		.snapshots.fd = -1,
		.limit = WAIT_FOREVER};
	assert_non_null(mkdtemp(f.folder));
	make_directory("/engine");
	make_directory("/engine/data");
	make_directory("/engine/data/" VOLUME_DATA);
	f.folders.path = lm_xasprintf("%s/engine", f.folder);
	f.folders.fd = open(f.folders.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f.v = (struct volume_copies){.snapshots = &f.snapshots,
		.folders = &f.folders,
		.project = "",
		.limit = &f.limit,
		.bytes_max = 1 << 20};
	if (snapshots_open(f.folder, true, &f.snapshots, &err) || volume_copies_make(&f.v, 1, &err))
		fail_msg("%s", err.msg);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	snapshots_finish(&f.snapshots);
	volume_folders_finish(&f.folders);
	return lm_tree_remove(AT_FDCWD, f.folder, NULL) == LM_OK ? 0 : -1;
}

static void assert_not_adopted(const char *damage)
{
	struct lm_err err = {LM_OK};
	bool is_there = true;

	if (volume_copies_adopt(&f.v, 1, &err) != LM_E_SYS)
		fail_msg("%s", damage);
	assert_int_equal(snapshots_have(&f.snapshots, 1, &is_there, &err), LM_OK);
	assert_false(is_there);
}

static void a_copy_whose_list_of_containers_is_damaged_is_not_adopted(void **state)
{
	lm_auto_free char *path = lm_xasprintf("%s" COPY, f.folder);
	struct lm_err err = {LM_OK};
	bool is_there = false;
	(void)state;

	damaged_file_each(path, assert_not_adopted);
	assert_int_equal(volume_copies_adopt(&f.v, 1, &err), LM_OK);
	assert_int_equal(snapshots_have(&f.snapshots, 1, &is_there, &err), LM_OK);
	assert_true(is_there);
}

/// As a deployment leaves it that was cut short by an update.
static void a_copy_of_the_release_before_is_adopted(void **state)
{
	lm_auto_free char *path = lm_xasprintf("%s" COPY, f.folder);
	struct lm_err err = {LM_OK};
	(void)state;

	assert_int_equal(lm_file_replace(AT_FDCWD, path, LM_STR("{}"), 0600, &err), LM_OK);
	assert_int_equal(volume_copies_adopt(&f.v, 1, &err), LM_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_copy_whose_list_of_containers_is_damaged_is_not_adopted),
		TEST(a_copy_of_the_release_before_is_adopted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
