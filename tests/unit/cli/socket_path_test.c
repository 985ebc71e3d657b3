// SPDX-License-Identifier: Apache-2.0
#include "cli/socket_path.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int enter_folder(void **state)
{
	static char folder[64];

	(void)snprintf(folder, sizeof(folder), "/tmp/socket_path_test.XXXXXX");
	*state = folder;
	return mkdtemp(folder) ? chdir(folder) : -1;
}

static int leave_folder(void **state)
{
	(void)unlink("h");
	return chdir("/") || rmdir(*state) ? -1 : 0;
}

static void assert_by_host_file(const char *text, const char *expected)
{
	FILE *file = fopen("h", "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	lm_auto_free char *path = socket_path_by_host_file("h");
	assert_string_equal(path, expected);
}

static void a_host_files_runtime_directory_counts(void **state)
{
	(void)state;
	assert_by_host_file("{\"runtimeDirectory\":\"/srv/run\",\"region\":\"eu-west-1\"}",
		"/srv/run/control.sock");
	assert_by_host_file("{\"runtimeDirectory\":\"/srv/run/\"}", "/srv/run/control.sock");
}

static void what_a_host_file_does_not_say_is_the_default(void **state)
{
	static const char by_default[] = "/run/lighterman/control.sock";

	(void)state;
	lm_auto_free char *missing = socket_path_by_host_file("h");
	assert_string_equal(missing, by_default);
	assert_by_host_file("{}", by_default);
	assert_by_host_file("{\"runtimeDirectory\":\"run\"}", by_default);
	assert_by_host_file("{\"runtimeDirectory\":", by_default);
	assert_by_host_file("", by_default);
}

static void what_the_call_names_comes_first(void **state)
{
	const struct call call = {.socket_path = "/s"};

	(void)state;
	lm_auto_free char *path = socket_path_of(&call);
	assert_string_equal(path, "/s");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter_folder, leave_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_host_files_runtime_directory_counts),
		TEST(what_a_host_file_does_not_say_is_the_default),
		TEST(what_the_call_names_comes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
