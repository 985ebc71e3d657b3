// SPDX-License-Identifier: Apache-2.0
#include "config/arn.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void knows_thing_names(void **state)
{
	(void)state;
	char longest[ARN_THING_NAME_MAX + 1];

	memset(longest, 'a', sizeof(longest));
	assert_true(arn_is_thing_name((struct lm_str){longest, ARN_THING_NAME_MAX}));
	assert_false(arn_is_thing_name((struct lm_str){longest, ARN_THING_NAME_MAX + 1}));
	assert_true(arn_is_thing_name(LM_STR("A:b_c-9")));
	assert_false(arn_is_thing_name(LM_STR("")));
	assert_false(arn_is_thing_name(LM_STR("a/b")));
	assert_false(arn_is_thing_name(LM_STR("a%41")));
	assert_false(arn_is_thing_name(LM_STR("ä")));
	assert_false(arn_is_thing_name((struct lm_str){"a\0b", 3}));
}

static void a_thing_has_such_a_name(void **state)
{
	(void)state;
	struct lm_str name;

	assert_true(
		arn_is_thing(LM_STR("arn:aws:iot:us-west-2:123456789012:thing/A:b_c-9"), &name));
	assert_true(lm_str_eq(name, LM_STR("A:b_c-9")));
	assert_false(arn_is_thing(LM_STR("arn:aws:iot:us-west-2:123456789012:thing/a/b"), NULL));
	assert_false(arn_is_thing(LM_STR("arn:aws:iot:us-west-2:123456789012:thing/"), NULL));
	assert_false(arn_is_thing(LM_STR("arn:aws:iot:us-west-2:12345678901:thing/a"), NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_thing_names),
		cmocka_unit_test(a_thing_has_such_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
