// SPDX-License-Identifier: Apache-2.0
#include "daemon/loggers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define LOGGER(component_, type_, level_, space)                                                   \
	{                                                                                          \
		.component = (char *)(component_), .type = (char *)(type_),                        \
		.level = (char *)(level_), .space_kb = (space)                                     \
	}

static void assert_logger(const struct logger *l, bool on, enum lm_level level, unsigned space_kb)
{
	assert_int_equal(l->on, on);
	assert_int_equal(l->level, level);
	assert_int_equal(l->space_kb, space_kb);
}

static void without_a_logger_there_is_the_default(void **state)
{
	(void)state;
	struct loggers l = loggers_read(NULL, 0);

	assert_logger(&l.file, true, LM_INFO, 128);
	assert_false(l.cloud.on);
}

static void a_logger_of_the_system_leaves_the_default(void **state)
{
	(void)state;
	const struct group_logger items[] = {LOGGER("GreengrassSystem", "FileSystem", "ERROR", 1),
		LOGGER("GreengrassSystem", "AWSCloudWatch", "ERROR", 1)};
	struct loggers l = loggers_read(items, 2);

	assert_logger(&l.file, true, LM_INFO, 128);
	assert_false(l.cloud.on);
}

static void each_type_has_its_own_level_and_space(void **state)
{
	(void)state;
	const struct group_logger items[] = {LOGGER("Lambda", "AWSCloudWatch", "WARN", 64),
		LOGGER("Lambda", "FileSystem", "DEBUG", 1000)};
	struct loggers l = loggers_read(items, 2);

	assert_logger(&l.file, true, LM_DEBUG, 1000);
	assert_logger(&l.cloud, true, LM_WARN, 64);
}

static void with_cloudwatch_alone_there_is_no_file(void **state)
{
	(void)state;
	const struct group_logger items[] = {LOGGER("Lambda", "AWSCloudWatch", "FATAL", 64)};
	struct loggers l = loggers_read(items, 1);

	assert_false(l.file.on);
	assert_logger(&l.cloud, true, LM_ERROR, 64);
}

static void of_two_the_last_counts(void **state)
{
	(void)state;
	const struct group_logger items[] = {LOGGER("Lambda", "FileSystem", "DEBUG", 1),
		LOGGER("Lambda", "FileSystem", "ERROR", 2)};
	struct loggers l = loggers_read(items, 2);

	assert_logger(&l.file, true, LM_ERROR, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_logger_there_is_the_default),
		cmocka_unit_test(a_logger_of_the_system_leaves_the_default),
		cmocka_unit_test(each_type_has_its_own_level_and_space),
		cmocka_unit_test(with_cloudwatch_alone_there_is_no_file),
		cmocka_unit_test(of_two_the_last_counts),
	};

	return cmocka_run_group_tests_name("daemon/loggers", tests, NULL, NULL);
}
