// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include "base/file.h"
#include "damaged_file.h"
#include "deploy/snapshots.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];
static struct snapshots s;

static int setup(void **state)
{
	(void)state;
	(void)strcpy(folder, "/tmp/snapshots_test.XXXXXX");
	assert_non_null(mkdtemp(folder));
	assert_int_equal(snapshots_open(folder, true, &s, NULL), LM_OK);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	snapshots_finish(&s);
	return lm_tree_remove(AT_FDCWD, folder, NULL) == LM_OK ? 0 : -1;
}

/// As the worker does.
static void make(unsigned n)
{
	char name[SNAPSHOT_NAME_SIZE];
	struct lm_err err = {LM_OK};

	assert_int_equal(mkdirat(s.fd, snapshot_new_name(n, name), 0700), 0);
	if (snapshots_adopt(&s, n, &err))
		fail_msg("%s", err.msg);
}

static bool has(const struct snapshots *at, unsigned n)
{
	bool found;

	assert_int_equal(snapshots_have(at, n, &found, NULL), LM_OK);
	return found;
}

static bool has_rubbish(void)
{
	char name[SNAPSHOT_NAME_SIZE];

	return snapshots_find_rubbish(&s, "", name);
}

static void there_are_none_until_one_is_made(void **state)
{
	struct snapshots none = {.fd = -1};
	struct lm_err err = {LM_OK};

	(void)state;
	assert_int_equal(rmdir(s.path), 0);
	assert_int_equal(snapshots_open(folder, false, &none, &err), LM_E_NOT_FOUND);
	assert_int_equal(snapshots_open(folder, true, &none, &err), LM_OK);
	assert_false(has(&none, 1));
	snapshots_finish(&none);
}

static void a_folder_that_is_a_link_is_refused(void **state)
{
	struct snapshots none = {.fd = -1};

	(void)state;
	assert_int_equal(rmdir(s.path), 0);
	assert_int_equal(symlink("/tmp", s.path), 0);
	assert_int_not_equal(snapshots_open(folder, true, &none, NULL), LM_OK);
	assert_int_equal(unlink(s.path), 0);
}

static void one_counts_from_its_name_on_and_is_not_replaced(void **state)
{
	char name[SNAPSHOT_NAME_SIZE];
	const struct snapshots closed = {.path = s.path, .fd = -1};
	struct lm_err err = {LM_OK};
	bool found;

	(void)state;
	assert_int_equal(mkdirat(s.fd, snapshot_new_name(3, name), 0700), 0);
	assert_false(has(&s, 3));
	assert_int_equal(snapshots_adopt(&s, 3, NULL), LM_OK);
	assert_true(has(&s, 3));
	assert_false(has(&s, 1));
	assert_false(has(&s, 0));
	assert_int_equal(snapshots_adopt(&s, 3, &err), LM_E_NOT_FOUND); // none was made
	assert_int_equal(mkdirat(s.fd, name, 0700), 0);
	assert_int_equal(snapshots_adopt(&s, 3, &err), LM_E_CONFLICT);
	assert_true(has(&s, 3));
	// What cannot be seen is not taken for absent.
	assert_int_not_equal(snapshots_have(&closed, 3, &found, NULL), LM_OK);
}

static void what_is_set_aside_stays(void **state)
{
	char first[SNAPSHOT_NAME_SIZE], second[SNAPSHOT_NAME_SIZE];

	(void)state;
	make(3);
	assert_int_equal(snapshots_set_aside(&s, 3, first, NULL), LM_OK);
	make(3);
	assert_int_equal(snapshots_set_aside(&s, 3, second, NULL), LM_OK);
	assert_string_not_equal(first, second);
	assert_int_equal(faccessat(s.fd, first, F_OK, 0) | faccessat(s.fd, second, F_OK, 0), 0);
	assert_false(has(&s, 3) || has_rubbish());
}

static void what_is_dropped_is_rubbish(void **state)
{
	(void)state;
	make(3);
	make(4);
	assert_false(has_rubbish());
	assert_int_equal(snapshots_drop(&s, 3, NULL), LM_OK);
	assert_int_equal(snapshots_drop(&s, 4, NULL), LM_OK);
	assert_int_equal(snapshots_drop(&s, 5, NULL), LM_OK); // there is none
	assert_false(has(&s, 3));
	assert_true(has_rubbish());
}

/// What cannot be removed must not hide the rest.
static void rubbish_is_found_in_order(void **state)
{
	char name[SNAPSHOT_NAME_SIZE] = "";

	(void)state;
	make(3);
	make(4);
	assert_int_equal(mkdirat(s.fd, snapshot_new_name(7, name), 0700), 0);
	assert_int_equal(snapshots_drop(&s, 3, NULL) | snapshots_drop(&s, 4, NULL), LM_OK);
	assert_true(snapshots_find_rubbish(&s, "", name));
	assert_string_equal(name, ".new-7");
	assert_true(snapshots_find_rubbish(&s, name, name));
	assert_string_equal(name, ".old-1");
	assert_int_equal(snapshots_discard(&s, 7, NULL), LM_OK);
	assert_int_equal(snapshots_discard(&s, 7, NULL), LM_OK); // there is none
	assert_true(snapshots_find_rubbish(&s, ".old-2", name));
	assert_string_equal(name, ".old-3");
	assert_false(snapshots_find_rubbish(&s, name, name));
	assert_string_equal(name, "");
}

static void lists_generations_only(void **state)
{
	unsigned *numbers = NULL;
	size_t n = 0;

	(void)state;
	make(7);
	assert_int_equal(mkdirat(s.fd, "07", 0700) | mkdirat(s.fd, ".new-9", 0700) |
				 mkdirat(s.fd, "x", 0700) | mkdirat(s.fd, "99999999999", 0700),
		0);
	assert_int_equal(snapshots_list(&s, &numbers, &n, NULL), LM_OK);
	assert_int_equal(n, 1);
	assert_int_equal(numbers[0], 7);
	assert_true(has_rubbish()); // the half one
	free(numbers);
}

static void a_restore_is_known_until_it_has_ended(void **state)
{
	lm_auto_json json_t *record = json_pack("{s:i, s:s, s:[s], s:[], s:b}", "generation", 3,
		"id", "0f", "volumes", "v", "absent", "done", 0);
	lm_auto_json json_t *none = NULL, *read = NULL, *after = NULL;

	(void)state;
	assert_int_equal(snapshots_read_restore(&s, &none, NULL), LM_OK);
	assert_null(none);
	assert_int_equal(snapshots_note_restore(&s, record, NULL), LM_OK);
	assert_int_equal(snapshots_read_restore(&s, &read, NULL), LM_OK);
	assert_true(json_equal(read, record));
	assert_int_equal(snapshots_end_restore(&s, NULL), LM_OK);
	assert_int_equal(snapshots_end_restore(&s, NULL), LM_OK);
	assert_int_equal(snapshots_read_restore(&s, &after, NULL), LM_OK);
	assert_null(after);
}

static void a_damaged_record_is_an_error_and_stays(void **state)
{
	static const char *const bad[] = {"", "{", "[]", "{\"generation\":0}",
		"{\"generation\":3,\"id\":\"0f\",\"volumes\":[],\"absent\":[]}",
		"{\"generation\":3,\"id\":\"0f\",\"volumes\":{},\"absent\":[],\"done\":true}"};
	lm_auto_json json_t *none = NULL;
	struct lm_err err = {LM_OK};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(
			lm_file_replace(s.fd, "restore.json", lm_str(bad[i]), 0600, NULL), LM_OK);
		assert_int_equal(snapshots_read_restore(&s, &none, &err), LM_E_CONFLICT);
		assert_non_null(strstr(err.msg, "put the volumes in order by hand"));
		assert_null(none);
	}
}

static void assert_refused(const char *damage)
{
	lm_auto_json json_t *none = NULL;
	struct lm_err err = {LM_OK};

	if (snapshots_read_restore(&s, &none, &err) != LM_E_CONFLICT || none)
		fail_msg("%s", damage);
}

static void any_damage_of_the_record_is_found(void **state)
{
	lm_auto_free char *path = lm_path_join(s.path, "restore.json");
	lm_auto_json json_t *before = json_pack("{s:i, s:s, s:[s], s:[], s:b}", "generation", 3,
		"id", "0f", "volumes", "data", "absent", "done", 1);
	lm_auto_json json_t *after = NULL;

	(void)state;
	assert_int_equal(snapshots_note_restore(&s, before, NULL), LM_OK);
	damaged_file_each(path, assert_refused);
	assert_int_equal(snapshots_read_restore(&s, &after, NULL), LM_OK);
	assert_true(json_equal(before, after));
}

static void a_record_of_the_release_before_is_read(void **state)
{
	static const char text[] = "{\"generation\":3,\"id\":\"0f\",\"volumes\":[\"data\"],"
				   "\"absent\":[],\"done\":false,\"dropped\":false}";
	lm_auto_json json_t *restore = NULL;

	(void)state;
	assert_int_equal(lm_file_replace(s.fd, "restore.json", lm_str(text), 0600, NULL), LM_OK);
	assert_int_equal(snapshots_read_restore(&s, &restore, NULL), LM_OK);
	assert_int_equal(json_get_int(restore, "generation", 0), 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(there_are_none_until_one_is_made),
		TEST(a_folder_that_is_a_link_is_refused),
		TEST(one_counts_from_its_name_on_and_is_not_replaced),
		TEST(what_is_set_aside_stays),
		TEST(what_is_dropped_is_rubbish),
		TEST(rubbish_is_found_in_order),
		TEST(lists_generations_only),
		TEST(a_restore_is_known_until_it_has_ended),
		TEST(a_damaged_record_is_an_error_and_stays),
		TEST(any_damage_of_the_record_is_found),
		TEST(a_record_of_the_release_before_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
