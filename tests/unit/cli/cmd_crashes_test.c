// SPDX-License-Identifier: Apache-2.0
#include "cli/cmd_crashes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_page(const char *crashes, const char *expected)
{
	lm_auto_json json_t *json = NULL;
	lm_auto_buf struct lm_buf page = LM_BUF(65536);
	struct lm_err err = {0};

	assert_int_equal(json_parse(lm_str(crashes), &json, &err), LM_OK);
	crashes_render(json, &page);
	assert_string_equal(lm_buf_cstr(&page), expected);
}

static void a_crash_is_a_line_and_its_log_below(void **state)
{
	(void)state;
	assert_page("[{\"id\":\"1\",\"time\":\"2026-03-01T12:13:14.015Z\",\"service\":\"web\","
		    "\"container\":\"app_web_1\",\"image\":\"ships/web:1\",\"exit_code\":137,"
		    "\"signal\":9,\"oom_killed\":true,\"restart_count\":2,\"uptime_seconds\":192,"
		    "\"count\":15,\"log\":[\"first\",\"  last\"],"
		    "\"memory_free_bytes\":12100000,\"disk_free_bytes\":3400000000},"
		    "{\"time\":\"2026-03-01T12:13:13.015Z\",\"service\":\"database\","
		    "\"exit_code\":3,\"signal\":null,\"oom_killed\":false,\"restart_count\":1,"
		    "\"uptime_seconds\":0,\"count\":1,\"log\":null,"
		    "\"memory_free_bytes\":null,\"disk_free_bytes\":null}]",
		"2026-03-01T12:13:14.015Z  web  exit code 137, signal 9, out of memory, after 3 "
		"min "
		"12 s, 2 restarts, 15 times in a minute, memory free 12.1 MB, disk free 3.4 GB\n"
		"    first\n"
		"      last\n"
		"2026-03-01T12:13:13.015Z  database  exit code 3, after 0.0 s, 1 restart\n");
}

static void none_is_said_so(void **state)
{
	(void)state;
	assert_page("[]", "no crashes\n");
}

static void bears_members_of_other_types(void **state)
{
	(void)state;
	assert_page("[{},7,{\"time\":7,\"service\":[],\"exit_code\":\"3\",\"log\":[7,{}],"
		    "\"uptime_seconds\":9223372036854775807,\"memory_free_bytes\":-5}]",
		"-  -  exit code unknown\n"
		"-  -  exit code unknown\n"
		"-  -  exit code unknown\n"
		"    \n"
		"    \n");
	assert_page("{}", "no crashes\n");
}

static void a_container_cannot_command_the_terminal(void **state)
{
	(void)state;
	assert_page("[{\"time\":\"t\",\"service\":\"a\\u001b[2J\",\"exit_code\":1,"
		    "\"log\":[\"b\\u001b]0;x\\u0007\\nc\"]}]",
		"t  a\\x1b[2J  exit code 1\n"
		"    b\\x1b]0;x\\x07\\x0ac\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_crash_is_a_line_and_its_log_below),
		cmocka_unit_test(none_is_said_so),
		cmocka_unit_test(bears_members_of_other_types),
		cmocka_unit_test(a_container_cannot_command_the_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
