// SPDX-License-Identifier: Apache-2.0
#include "daemon/boot_record.h"

#include "base/file.h"
#include "base/memory.h"
#include "damaged_file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[] = "/tmp/boot_record_test.XXXXXX";
static struct damage damage;

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	(void)state;
	damage_finish(&damage);
	return lm_tree_remove(AT_FDCWD, directory, NULL) == LM_OK ? 0 : -1;
}

static enum boot_kind read_kind(void)
{
	enum boot_kind kind = BOOT_FIRST;
	unsigned left = 7;
	struct lm_err err = {LM_OK};

	damage_finish(&damage);
	assert_int_equal(boot_record_read(directory, &damage, &kind, &left, &err), LM_OK);
	return kind;
}

static unsigned read_left_running(void)
{
	enum boot_kind kind = BOOT_FIRST;
	unsigned left = 7;

	assert_int_equal(boot_record_read(directory, &damage, &kind, &left, NULL), LM_OK);
	return left;
}

/// As another boot left it.
static void put(const char *text)
{
	lm_auto_close int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(lm_file_replace(dir, "boot.json", lm_str(text), 0600, NULL), LM_OK);
}

static void without_a_record_it_is_the_first_start(void **state)
{
	(void)state;
	assert_int_equal(read_kind(), BOOT_FIRST);
}

static void the_same_boot_is_no_start_of_the_device(void **state)
{
	(void)state;
	assert_int_equal(boot_record_write(directory, false, 0, NULL), LM_OK);
	assert_int_equal(read_kind(), BOOT_SAME);
	assert_int_equal(boot_record_write(directory, true, 0, NULL), LM_OK);
	assert_int_equal(read_kind(), BOOT_SAME);
}

static void what_was_left_running_counts_in_the_same_boot_until_the_next_start(void **state)
{
	(void)state;
	assert_int_equal(boot_record_write(directory, true, 3, NULL), LM_OK);
	assert_int_equal(read_left_running(), 3);
	assert_int_equal(boot_record_write(directory, false, 0, NULL), LM_OK);
	assert_int_equal(read_left_running(), 0);
	put("{\"format\":1,\"boot_id\":\"another\",\"orderly\":true,\"left_running\":3}");
	assert_int_equal(read_left_running(), 0);
}

static void another_boot_counts_by_how_the_last_one_ended(void **state)
{
	(void)state;
	put("{\"format\":1,\"boot_id\":\"another\",\"orderly\":true}");
	assert_int_equal(read_kind(), BOOT_ORDERLY);
	put("{\"format\":1,\"boot_id\":\"another\",\"orderly\":false}");
	assert_int_equal(read_kind(), BOOT_UNCLEAN);
	put("{\"format\":1,\"boot_id\":\"another\"}");
	assert_int_equal(read_kind(), BOOT_UNCLEAN);
}

static void a_damaged_record_is_an_unclean_boot(void **state)
{
	static const char *const bad[] = {
		"", "{", "[]", "{\"orderly\":true}", "{\"boot_id\":7,\"orderly\":true}"};
	(void)state;

	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		put(bad[i]);
		assert_int_equal(read_kind(), BOOT_UNCLEAN);
		assert_int_equal(damage.n, 1);
		assert_int_equal(read_kind(), BOOT_FIRST); // it was set aside
		assert_int_equal(damage.n, 0);
	}
}

static void assert_unclean(const char *kind)
{
	if (read_kind() != BOOT_UNCLEAN || damage.n != 1 ||
		!strstr(damage.notes[0],
			"; it was set aside as 'boot.json.damaged': this counts as a start without "
			"an orderly stop"))
		fail_msg("%s", kind);
	// In its place another one is written.
	assert_int_equal(boot_record_write(directory, false, 0, NULL), LM_OK);
	assert_int_equal(read_kind(), BOOT_SAME);
}

static void any_damage_is_found_and_set_aside(void **state)
{
	lm_auto_free char *path = lm_path_join(directory, "boot.json");
	(void)state;

	assert_int_equal(boot_record_write(directory, true, 0, NULL), LM_OK);
	damaged_file_each(path, assert_unclean);
	assert_int_equal(read_kind(), BOOT_SAME);
}

static void a_directory_that_cannot_be_written_is_reported(void **state)
{
	struct lm_err err = {LM_OK};
	(void)state;

	assert_int_equal(boot_record_write("/nowhere/state", false, 0, &err), LM_E_SYS);
	assert_string_equal(err.msg, "open '/nowhere/state': No such file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_record_it_is_the_first_start),
		cmocka_unit_test(the_same_boot_is_no_start_of_the_device),
		cmocka_unit_test(
			what_was_left_running_counts_in_the_same_boot_until_the_next_start),
		cmocka_unit_test(another_boot_counts_by_how_the_last_one_ended),
		cmocka_unit_test(a_damaged_record_is_an_unclean_boot),
		cmocka_unit_test(any_damage_is_found_and_set_aside),
		cmocka_unit_test(a_directory_that_cannot_be_written_is_reported),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
