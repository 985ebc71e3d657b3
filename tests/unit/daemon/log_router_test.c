// SPDX-License-Identifier: Apache-2.0
#include "daemon/log_router.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"

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

#define LOG_PATH "ggc/var/log/user/eu-west-1/aws/DockerApplicationDeployment.log"
#define LOGGER(component_, type_, level_, space)                                                   \
	{                                                                                          \
		.component = (char *)(component_), .type = (char *)(type_),                        \
		.level = (char *)(level_), .space_kb = (space)                                     \
	}
enum { NO_LEVEL = LM_ERROR + 1 };

struct fixture {
	char folder[64];
	struct host_settings host;
	struct log_router_shipper shipper;
	struct logger cloud; ///< What the shipper was given last.
	int lowest_sent;     ///< Of the lines that it was given.
	int stderr_fd;       ///< The lines of a test are not shown.
};

static struct fixture f;

static void take_line(void *ctx, enum lm_level level, struct lm_str line)
{
	(void)ctx;
	(void)line;
	if ((int)level < f.lowest_sent)
		f.lowest_sent = (int)level;
}

static void take_logger(void *ctx, const struct group *group, const struct logger *logger)
{
	(void)ctx;
	(void)group;
	f.cloud = *logger;
}

static int setup(void **state)
{
	(void)state;
	f = (struct fixture){
		.folder = "/tmp/log_router_test.XXXXXX",
		.host = {.region = (char *)"eu-west-1", .greengrass_root = f.folder},
		.shipper = {.add = take_line, .apply = take_logger},
		.stderr_fd = dup(STDERR_FILENO),
	};
	lm_auto_close int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (!mkdtemp(f.folder) || chdir(f.folder) != 0 || dup2(null, STDERR_FILENO) < 0)
		return -1;
	log_router_open(&f.host);
	log_router_set_shipper(&f.shipper);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_router_close();
	(void)dup2(f.stderr_fd, STDERR_FILENO);
	(void)close(f.stderr_fd);
	return chdir("/") == 0 && lm_tree_remove(AT_FDCWD, f.folder, NULL) == LM_OK ? 0 : -1;
}

static void apply(struct group_logger *items, size_t n)
{
	const struct group group = {.loggers = items, .loggers_n = n};

	log_router_apply(&group);
}

static uint64_t file_size(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/// One line of each level; the lowest that the file gets.
static int log_each_level(void)
{
	int lowest = NO_LEVEL;

	f.lowest_sent = NO_LEVEL;
	for (enum lm_level level = LM_DEBUG; level <= LM_ERROR; level++) {
		uint64_t before = file_size(LOG_PATH);

		lm_log(level, "a line");
		if (lowest == NO_LEVEL && file_size(LOG_PATH) > before)
			lowest = (int)level;
	}
	return lowest;
}

/// What the files of the log come to, in KB, after 256 KB of lines.
static uint64_t fill_kb(void)
{
	for (int i = 0; i < 256; i++)
		lm_error("%0950d", i);
	return (file_size(LOG_PATH) + file_size(LOG_PATH ".1") + file_size(LOG_PATH ".2") +
		       file_size(LOG_PATH ".3")) >>
	       10;
}

static void without_a_logger_there_is_the_default(void **state)
{
	(void)state;
	apply(NULL, 0);
	assert_int_equal(log_each_level(), LM_INFO);
	assert_false(f.cloud.on);
	assert_int_equal(f.lowest_sent, NO_LEVEL);
	assert_in_range(fill_kb(), 90, 128);
}

static void a_logger_of_the_system_leaves_the_default(void **state)
{
	(void)state;
	struct group_logger items[] = {LOGGER("GreengrassSystem", "FileSystem", "ERROR", 1),
		LOGGER("GreengrassSystem", "AWSCloudWatch", "ERROR", 1)};

	apply(items, 2);
	assert_int_equal(log_each_level(), LM_INFO);
	assert_false(f.cloud.on);
	assert_int_equal(f.lowest_sent, NO_LEVEL);
	assert_in_range(fill_kb(), 90, 128);
}

static void each_type_has_its_own_level_and_space(void **state)
{
	(void)state;
	struct group_logger items[] = {LOGGER("Lambda", "AWSCloudWatch", "WARN", 64),
		LOGGER("Lambda", "FileSystem", "DEBUG", 1000)};

	apply(items, 2);
	assert_int_equal(log_each_level(), LM_DEBUG);
	assert_true(f.cloud.on);
	assert_int_equal(f.cloud.level, LM_WARN);
	assert_int_equal(f.cloud.space_kb, 64);
	assert_int_equal(f.lowest_sent, LM_WARN);
	assert_in_range(fill_kb(), 240, 1000);
}

static void with_cloudwatch_alone_there_is_no_file(void **state)
{
	(void)state;
	struct group_logger items[] = {LOGGER("Lambda", "AWSCloudWatch", "FATAL", 64)};
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_LOG_TAIL);
	struct lm_err err;

	apply(items, 1);
	assert_int_equal(log_each_level(), NO_LEVEL);
	assert_int_equal(log_router_tail(1, &text, &err), LM_E_NOT_FOUND);
	assert_true(f.cloud.on);
	assert_int_equal(f.cloud.level, LM_ERROR);
	assert_int_equal(f.cloud.space_kb, 64);
	assert_int_equal(f.lowest_sent, LM_ERROR);
}

static void of_two_the_last_counts(void **state)
{
	(void)state;
	struct group_logger items[] = {LOGGER("Lambda", "FileSystem", "DEBUG", 1),
		LOGGER("Lambda", "FileSystem", "ERROR", 2)};

	apply(items, 2);
	assert_int_equal(log_each_level(), LM_ERROR);
	assert_in_range(fill_kb(), 1, 2);
}

#define ROUTER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROUTER_TEST(without_a_logger_there_is_the_default),
		ROUTER_TEST(a_logger_of_the_system_leaves_the_default),
		ROUTER_TEST(each_type_has_its_own_level_and_space),
		ROUTER_TEST(with_cloudwatch_alone_there_is_no_file),
		ROUTER_TEST(of_two_the_last_counts),
	};

	return cmocka_run_group_tests_name("daemon/log_router", tests, NULL, NULL);
}
