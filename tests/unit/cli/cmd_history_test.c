// SPDX-License-Identifier: Apache-2.0
#include "cli/cmd_history.h"

#include "base/cleanup.h"
#include "cli/render.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static const int64_t NOW_MS = 1597153444909; // 2020-08-11T13:44:04.909Z

static struct lm_buf page = LM_BUF(65536);

static const char *render(const char *history, size_t columns)
{
	lm_auto_json json_t *json = NULL;
	struct lm_err err = {0};

	assert_int_equal(json_parse(lm_str(history), &json, &err), LM_OK);
	lm_buf_clear(&page);
	history_render(json, NOW_MS, columns, &page);
	return lm_buf_cstr(&page);
}

static const char FLEET[] =
	"[{\"generation\":12,\"success\":false,\"stage\":\"authenticate\",\"attempt\":1,"
	"\"message\":\"registry.example.com:5000 does not accept the user name and password of "
	"secret arn:aws:secretsmanager:eu-west-1:123456789012:secret:harbour-AbC123: correct "
	"them\",\"compose_version\":\"mQz3Fj0b1.fWqkT4V6cZ8uYxN2hR7sLd\",\"ended_ms\":"
	"1597153440000,\"current\":false,\"last_good\":false,\"probation\":null,"
	"\"quarantine\":null,\"rollback\":false},"
	"{\"generation\":11,\"success\":false,\"stage\":\"probation\",\"message\":\"container "
	"app_web_1 is unhealthy\",\"compose_version\":\"v2\",\"ended_ms\":1597150000000,"
	"\"current\":false,\"last_good\":false,\"probation\":null,\"quarantine\":{\"reason\":"
	"\"container app_web_1 is unhealthy\",\"at_ms\":1597150000000},\"rollback\":true},"
	"{\"generation\":10,\"success\":true,\"compose_version\":\"v1\",\"ended_ms\":"
	"1597100000000,\"current\":true,\"last_good\":false,\"probation\":{\"until_ms\":"
	"1597153744909},\"quarantine\":null,\"rollback\":true},"
	"{\"generation\":9,\"success\":true,\"compose_version\":null,\"ended_ms\":1590000000000,"
	"\"current\":false,\"last_good\":true,\"probation\":null,\"quarantine\":null,"
	"\"rollback\":true},"
	"{\"generation\":8,\"success\":null,\"current\":false,\"last_good\":false,"
	"\"probation\":null,\"quarantine\":null,\"rollback\":false}]";

static void shows_how_each_ended_and_what_can_be_had(void **state)
{
	(void)state;
	assert_string_equal(render(FLEET, 80),
		"GENERATION  ENDED       OUTCOME                 VERSION       STATE\n"
		"12          4 s ago     failed in authenticate  mQz3Fj0b1.f…  -\n"
		"11          57 min ago  failed in probation     v2            quarantine\n"
		"10          14 h ago    succeeded               v1            current, probation\n"
		"9           82 d ago    succeeded               -             last good\n"
		"8           -           unfinished              -             -\n"
		"\n"
		"generation 12 failed in authenticate: registry.example.com:5000 does not accept\n"
		"    the user name and password of secret\n"
		"    arn:aws:secretsmanager:eu-west-1:123456789012:secret:harbour-AbC123: correct\n"
		"    them\n"
		"generation 11 failed in probation: container app_web_1 is unhealthy\n"
		"generation 11 is quarantined, since 2020-08-11T12:46:40+00:00: container\n"
		"    app_web_1 is unhealthy\n"
		"generation 10 is on probation until 2020-08-11T13:49:04+00:00, for 5 min\n"
		"`lighterman rollback GENERATION` can go back to 11, 9\n");
}

static void fits_into_80_columns(void **state)
{
	(void)state;
	const char *text = render(FLEET, 80);

	while (*text) {
		lm_auto_buf struct lm_buf line = LM_BUF(65536);
		size_t n = strcspn(text, "\n");

		(void)lm_buf_add(&line, text, n);
		assert_in_range(render_width(lm_buf_cstr(&line)), 0, 80);
		text += n + (text[n] == '\n');
	}
}

static void nothing_deployed_is_said(void **state)
{
	(void)state;
	assert_string_equal(render("[]", 80), "nothing deployed yet\n");
}

static void members_of_other_types_do_no_harm(void **state)
{
	(void)state;
	(void)render("[7,null,{},{\"generation\":\"x\",\"success\":7,\"stage\":3,\"message\":[],"
		     "\"ended_ms\":\"y\",\"compose_version\":{},\"probation\":7,\"quarantine\":[],"
		     "\"rollback\":\"no\"},{\"generation\":1,\"probation\":{\"until_ms\":[]},"
		     "\"quarantine\":{\"reason\":7,\"at_ms\":{}}}]",
		20);
	assert_non_null(strstr(lm_buf_cstr(&page), "generation 1 is on\n    probation"));
}

static void names_from_outside_cannot_command_the_terminal(void **state)
{
	(void)state;
	assert_non_null(strstr(render("[{\"generation\":1,\"success\":false,\"stage\":\"up\","
				      "\"message\":\"\\u001b[2J\"}]",
				       SIZE_MAX),
		"generation 1 failed in up: \\x1b[2J\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shows_how_each_ended_and_what_can_be_had),
		cmocka_unit_test(fits_into_80_columns),
		cmocka_unit_test(nothing_deployed_is_said),
		cmocka_unit_test(members_of_other_types_do_no_harm),
		cmocka_unit_test(names_from_outside_cannot_command_the_terminal),
	};

	(void)setenv("TZ", "UTC0", 1);
	tzset();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	lm_buf_finish(&page);
	return failed;
}
