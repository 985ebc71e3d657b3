// SPDX-License-Identifier: Apache-2.0
#include "config/topic.h"

#include "base/limits.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void takes_names(void **state)
{
	(void)state;
	static const char *const good[] = {
		"a", "/", "a//b", "$aws/things/X/shadow/get", "ünï/ä", " "};
	static const char *const bad[] = {"", "a/+", "#", "a\x01", "a\x7f", "\xff", "a+b"};
	const char *why = NULL;

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(topic_is_name(lm_str(good[i]), &why));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		why = NULL;
		assert_false(topic_is_name(lm_str(bad[i]), &why));
		assert_non_null(why);
	}
	assert_false(topic_is_name((struct lm_str){"a\0b", 3}, NULL));
}

static void has_a_ceiling(void **state)
{
	(void)state;
	char text[LIMIT_MQTT_TOPIC + 1];

	memset(text, 'a', sizeof(text));
	assert_true(topic_is_name((struct lm_str){text, LIMIT_MQTT_TOPIC}, NULL));
	assert_false(topic_is_name((struct lm_str){text, LIMIT_MQTT_TOPIC + 1}, NULL));
	assert_false(topic_is_filter((struct lm_str){text, LIMIT_MQTT_TOPIC + 1}, NULL));
}

static void takes_filters(void **state)
{
	(void)state;
	static const char *const good[] = {
		"#", "+", "a/#", "+/+/#", "/#", "a", "$aws/things/+/shadow/#"};
	static const char *const bad[] = {
		"", "a#", "#/a", "a/#/b", "a+", "+a/b", "a/b+", "##", "a/\n"};

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(topic_is_filter(lm_str(good[i]), NULL));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(topic_is_filter(lm_str(bad[i]), NULL));
}

static bool match(const char *filter, const char *name)
{
	return topic_matches(lm_str(filter), lm_str(name));
}

static void matches(void **state)
{
	(void)state;
	assert_true(match("a/b", "a/b"));
	assert_false(match("a/b", "a/b/c"));
	assert_false(match("a/b/c", "a/b"));
	assert_false(match("a", "A"));
	assert_true(match("a/+", "a/"));
	assert_true(match("+/+", "/"));
	assert_false(match("+", "a/b"));
	assert_true(match("#", "a/b"));
	assert_true(match("a/#", "a/b/c"));
	assert_true(match("a/#", "a/"));
	assert_true(match("a/+/c", "a/b/c"));
	assert_false(match("a/+/c", "a/b/d"));
}

static void a_parent_is_not_matched(void **state)
{
	(void)state;
	assert_false(match("sensor/#", "sensor"));
	assert_false(match("+/#", "sensor"));
}

static void a_wildcard_in_front_matches_no_dollar(void **state)
{
	(void)state;
	assert_false(match("#", "$SYS/broker"));
	assert_false(match("+/things", "$aws/things"));
	assert_true(match("$aws/#", "$aws/things"));
	assert_false(match("$aws/#", "aws/things"));
	assert_true(match("a/+", "a/$b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_names),
		cmocka_unit_test(has_a_ceiling),
		cmocka_unit_test(takes_filters),
		cmocka_unit_test(matches),
		cmocka_unit_test(a_parent_is_not_matched),
		cmocka_unit_test(a_wildcard_in_front_matches_no_dollar),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
