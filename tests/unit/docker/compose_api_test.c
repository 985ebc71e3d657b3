// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct lm_err err;

static lm_rc check(const char *compose, unsigned generation, const char *engine, unsigned least,
	unsigned most, const char *format)
{
	const struct compose c = {.version = (char *)compose, .generation = generation};
	struct engine_version v = {.offered_min = least, .offered_max = most};

	strncpy(v.engine, engine, sizeof(v.engine) - 1);
	return compose_check_api(&c, &v, format, &err);
}

static void the_first_generation_fails_with_an_engine_that_is_too_new(void **state)
{
	(void)state;
	assert_int_equal(check("1.29.2", 1, "28.5.1", 24, 51, "3.7"), LM_OK);
	assert_int_equal(check("1.29.2", 1, "29.0.1", 44, 52, "3.7"), LM_E_REFUSED);
	assert_string_equal(err.msg,
		"docker-compose 1.29.2 speaks version 1.41 of the Engine API, Docker Engine 29.0.1 "
		"takes 1.44 and later: every command of it will fail");
	assert_int_equal(check("1.29.2", 1, "29.3.0", 40, 54, "3.7"), LM_OK);
	assert_int_equal(check("1.25.4", 1, "29.3.0", 40, 54, "3.7"), LM_E_REFUSED);
	assert_non_null(strstr(err.msg, "docker-compose 1.25.4 speaks version 1.38"));
	assert_int_equal(check("1.27.4", 1, "29.3.0", 40, 54, NULL), LM_E_REFUSED);
}

static void the_first_generation_fails_with_an_engine_that_is_too_old(void **state)
{
	(void)state;
	assert_int_equal(check("1.29.2", 1, "20.10.24+dfsg1", 12, 41, NULL), LM_OK);
	assert_int_equal(check("1.29.2", 1, "19.03.13", 12, 40, NULL), LM_E_REFUSED);
	assert_string_equal(err.msg,
		"docker-compose 1.29.2 speaks version 1.41 of the Engine API, Docker Engine "
		"19.03.13 takes it up to 1.40: every command of it will fail");
	assert_int_equal(check("1.25.4", 1, "19.03.13", 12, 40, NULL), LM_OK);
	assert_int_equal(check("1.29.2", 1, "1.9.1", 0, 21, NULL), LM_E_REFUSED);
}

static void before_1_27_the_format_of_the_file_decides(void **state)
{
	(void)state;
	assert_int_equal(check("1.25.4", 1, "28.5.1", 24, 51, "3.7"), LM_OK);
	assert_int_equal(check("1.25.4", 1, "28.5.1", 24, 51, "2.1"), LM_OK);
	assert_int_equal(check("1.25.4", 1, "28.5.1", 24, 51, "2"), LM_E_REFUSED);
	assert_non_null(strstr(err.msg, "speaks version 1.22"));
	assert_int_equal(check("1.25.4", 1, "28.5.1", 24, 51, NULL), LM_OK);
	assert_int_equal(check("1.29.2", 1, "28.5.1", 24, 51, "2"), LM_OK);
}

static void later_generations_agree_with_the_engine(void **state)
{
	(void)state;
	assert_int_equal(check("2.26.1-4", 2, "29.0.1", 44, 52, "2"), LM_OK);
	assert_int_equal(check("5.0.0", 2, "1.9.1", 0, 21, NULL), LM_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_generation_fails_with_an_engine_that_is_too_new),
		cmocka_unit_test(the_first_generation_fails_with_an_engine_that_is_too_old),
		cmocka_unit_test(before_1_27_the_format_of_the_file_decides),
		cmocka_unit_test(later_generations_agree_with_the_engine),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
