// SPDX-License-Identifier: Apache-2.0
#include "events/crash_log.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/limits.h"
#include "damaged_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[64], folder[80];
static struct crash_log *crashes;
static struct damage damage;

static void open_log(void)
{
	struct lm_err err = {LM_OK};

	crash_log_close(lm_take(crashes));
	damage_finish(&damage);
	assert_int_equal(crash_log_open(folder, &damage, &crashes, &err), LM_OK);
}

static int setup(void **unused)
{
	(void)unused;
	(void)snprintf(top, sizeof(top), "/tmp/crash_log.XXXXXX");
	if (!mkdtemp(top))
		return -1;
	(void)snprintf(folder, sizeof(folder), "%s/crashes", top);
	return 0;
}

static int teardown(void **unused)
{
	(void)unused;
	crash_log_close(lm_take(crashes));
	damage_finish(&damage);
	return lm_tree_remove(AT_FDCWD, top, NULL) ? -1 : 0;
}

static void add(int n)
{
	char id[16];
	struct lm_err err = {LM_OK};

	(void)snprintf(id, sizeof(id), "id%d", n);
	lm_auto_json json_t *record = json_pack("{s:s}", "id", id);
	assert_int_equal(crash_log_add(crashes, record, &err), LM_OK);
}

/// They are `newest`, `newest` - 1, … down to `oldest`.
static void assert_kept(int newest, int oldest)
{
	lm_auto_json json_t *list = crash_log_to_json(crashes);

	assert_int_equal(json_array_size(list), newest - oldest + 1);
	for (int n = newest; n >= oldest; n--) {
		char id[16];

		(void)snprintf(id, sizeof(id), "id%d", n);
		assert_string_equal(
			json_get_text(json_array_get(list, (size_t)(newest - n)), "id"), id);
		assert_true(crash_log_has(crashes, id));
	}
}

static void write_file(const char *name, const char *text)
{
	lm_auto_close int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(lm_file_replace(fd, name, lm_str(text), 0600, NULL), LM_OK);
}

static bool has_file(const char *name)
{
	char path[200];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void lists_the_newest_first_also_after_a_restart(void **unused)
{
	(void)unused;
	struct stat st;

	open_log();
	assert_kept(0, 1);
	for (int n = 1; n <= 3; n++)
		add(n);
	assert_kept(3, 1);
	open_log();
	assert_kept(3, 1);
	assert_int_equal(stat(folder, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void the_oldest_make_room(void **unused)
{
	(void)unused;
	open_log();
	for (int n = 1; n <= LIMIT_CRASHES + 7; n++)
		add(n);
	assert_kept(LIMIT_CRASHES + 7, 8);
	assert_false(crash_log_has(crashes, "id7"));
	assert_false(has_file("00000000000000000007.json"));
	open_log();
	assert_kept(LIMIT_CRASHES + 7, 8);
	add(LIMIT_CRASHES + 8);
	assert_kept(LIMIT_CRASHES + 8, 9);
}

static void what_a_crash_left_is_removed(void **unused)
{
	(void)unused;
	open_log();
	for (int n = 1; n <= LIMIT_CRASHES; n++)
		add(n);
	// Killed before the oldest was removed, and while the next was written.
	write_file("00000000000000000051.json", "{\"id\":\"id51\"}");
	write_file(".00000000000000000052.json.tmp", "{\"id\":");
	write_file("notes", "a person's");
	open_log();
	assert_kept(51, 2);
	assert_false(has_file("00000000000000000001.json"));
	assert_false(has_file(".00000000000000000052.json.tmp"));
	assert_true(has_file("notes"));
}

static void a_file_that_cannot_be_read_harms_no_other(void **unused)
{
	(void)unused;
	open_log();
	add(1);
	write_file("00000000000000000002.json", "{\"id\":");
	open_log();
	assert_kept(1, 1);
	add(3);
	lm_auto_json json_t *list = crash_log_to_json(crashes);
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(json_get_text(json_array_get(list, 0), "id"), "id3");
}

static void assert_set_aside(const char *kind)
{
	open_log();
	if (damage.n != 1 ||
		!strstr(damage.notes[0], "; it was set aside as "
					 "'00000000000000000002.json.damaged': what "
					 "crashed then is not known any more") ||
		!has_file("00000000000000000002.json.damaged"))
		fail_msg("%s", kind);
	assert_kept(1, 1);
	open_log(); // and that is said once
	assert_int_equal(damage.n, 0);
	assert_true(has_file("00000000000000000002.json.damaged"));
}

static void any_damage_is_found_and_set_aside(void **unused)
{
	(void)unused;
	char path[200];

	open_log();
	add(1);
	add(2);
	(void)snprintf(path, sizeof(path), "%s/00000000000000000002.json", folder);
	damaged_file_each(path, assert_set_aside);
	open_log();
	assert_kept(2, 1);
}

static void what_was_set_aside_makes_room_like_a_crash(void **unused)
{
	(void)unused;
	open_log();
	add(1);
	add(2);
	write_file("00000000000000000001.json", "{}}");
	open_log();
	assert_true(has_file("00000000000000000001.json.damaged"));
	for (int n = 3; n <= LIMIT_CRASHES; n++)
		add(n);
	assert_true(has_file("00000000000000000001.json.damaged"));
	add(LIMIT_CRASHES + 1);
	assert_false(has_file("00000000000000000001.json.damaged"));
	assert_kept(LIMIT_CRASHES + 1, 2);
}

static void a_crash_of_the_release_before_is_read(void **unused)
{
	(void)unused;
	open_log();
	add(1);
	write_file("00000000000000000002.json", "{\"id\":\"id2\"}");
	open_log();
	assert_kept(2, 1);
	assert_int_equal(damage.n, 0);
}

static void a_record_over_the_ceiling_is_refused(void **unused)
{
	(void)unused;
	char *text = malloc(LIMIT_CRASH_FILE + 1);
	struct lm_err err = {LM_OK};

	memset(text, 'x', LIMIT_CRASH_FILE);
	text[LIMIT_CRASH_FILE] = '\0';
	lm_auto_json json_t *record = json_pack("{s:s}", "id", text);
	free(text);
	open_log();
	assert_int_equal(crash_log_add(crashes, record, &err), LM_E_TOO_LARGE);
	assert_kept(0, 1);
}

static void all_records_fit_into_one_answer(void **unused)
{
	(void)unused;
	assert_true(LIMIT_CRASHES * (LIMIT_CRASH_FILE + 1) + 4096 < LIMIT_CONTROL_REPLY);
}

static void a_directory_that_is_none_is_an_error(void **unused)
{
	(void)unused;
	struct lm_err err = {LM_OK};

	(void)snprintf(folder, sizeof(folder), "%s/file", top);
	assert_int_equal(lm_file_replace(AT_FDCWD, folder, LM_STR(""), 0600, &err), LM_OK);
	assert_int_equal(crash_log_open(folder, &damage, &crashes, &err), LM_E_INVALID);
	assert_null(crashes);
}

#define CRASH_LOG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CRASH_LOG_TEST(lists_the_newest_first_also_after_a_restart),
		CRASH_LOG_TEST(the_oldest_make_room),
		CRASH_LOG_TEST(what_a_crash_left_is_removed),
		CRASH_LOG_TEST(a_file_that_cannot_be_read_harms_no_other),
		CRASH_LOG_TEST(any_damage_is_found_and_set_aside),
		CRASH_LOG_TEST(what_was_set_aside_makes_room_like_a_crash),
		CRASH_LOG_TEST(a_crash_of_the_release_before_is_read),
		CRASH_LOG_TEST(a_record_over_the_ceiling_is_refused),
		CRASH_LOG_TEST(all_records_fit_into_one_answer),
		CRASH_LOG_TEST(a_directory_that_is_none_is_an_error),
	};

	return cmocka_run_group_tests_name("events/crash_log", tests, NULL, NULL);
}
