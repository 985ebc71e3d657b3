// SPDX-License-Identifier: Apache-2.0
#include "cli/host_survey.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/memory.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *folder;

static int make_folder(void **state)
{
	static const char *const names[] = {"AWS_REGION", "AWS_DEFAULT_REGION", "DOCKER_HOST",
		"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"};
	char template[] = "/tmp/lighterman-survey-XXXXXX";

	(void)state;
	folder = lm_xstrdup(mkdtemp(template));
	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++)
		unsetenv(names[i]);
	return 0;
}

static int remove_folder(void **state)
{
	struct lm_err err = {0};

	(void)state;
	lm_rc rc = lm_tree_remove(AT_FDCWD, folder, &err);
	free(folder);
	return rc ? -1 : 0;
}

static void put(const char *name, const char *text, mode_t mode)
{
	lm_auto_free char *path = lm_path_join(folder, name);
	struct lm_err err = {0};

	assert_int_equal(lm_file_replace(AT_FDCWD, path, lm_str(text), mode, &err), LM_OK);
}

static void look(struct host_survey *ret)
{
	const char *const directories[] = {folder, NULL};
	const struct host_survey_places places = {
		.greengrass_root = folder, .compose_directories = directories};
	const struct wait_limit limit = WAIT_FOREVER;
	struct lm_err err = {0};

	*ret = (struct host_survey){0};
	assert_int_equal(host_survey_make(&places, &limit, ret, &err), LM_OK);
}

static void a_bare_device_has_nothing(void **state)
{
	lm_auto(host_survey_finish) struct host_survey s;

	(void)state;
	look(&s);
	assert_string_equal(s.docker_socket, "/var/run/docker.sock");
	assert_null(s.compose);
	assert_null(s.other_compose);
	assert_null(s.greengrass_root);
	assert_null(s.region);
	assert_false(s.has_endpoint);
	assert_non_null(s.host_name);
}

static void finds_what_is_there(void **state)
{
	lm_auto_free char *config = lm_path_join(folder, "config");
	lm_auto(host_survey_finish) struct host_survey s;
	struct lm_err err = {0};

	(void)state;
	assert_int_equal(lm_dir_make(config, 0755, &err), LM_OK);
	put("config/config.json",
		"{\"coreThing\":{\"thingArn\":\"arn:aws:iot:eu-west-1:123456789012:thing/Boat\"}}",
		0644);
	put("docker-compose", "#!/bin/sh\necho 1.29.2\n", 0755);
	put("docker", "#!/bin/sh\necho v2.26.1\n", 0755);
	setenv("AWS_REGION", "us-east-1", 1);
	setenv("AWS_ENDPOINT_URL_S3", "https://store.example", 1);
	setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock", 1);
	look(&s);
	// As lightermand: the core counts before the environment.
	assert_string_equal(s.region, "eu-west-1");
	assert_string_equal(s.thing_name, "Boat");
	assert_string_equal(s.greengrass_root, folder);
	assert_non_null(strstr(s.compose, "docker-compose 1.29.2 ("));
	assert_non_null(strstr(s.other_compose, "docker-compose 2.26.1 ("));
	assert_true(s.has_endpoint);
	assert_string_equal(s.docker_socket, "/nonexistent/docker.sock");
	assert_false(s.engine_answers);
}

static void what_cannot_be_used_counts_as_absent(void **state)
{
	lm_auto_free char *config = lm_path_join(folder, "config");
	lm_auto(host_survey_finish) struct host_survey s;
	struct lm_err err = {0};
	char long_text[400];

	(void)state;
	memset(long_text, 'a', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	assert_int_equal(lm_dir_make(config, 0755, &err), LM_OK);
	put("config/config.json", "rubbish", 0644);
	put("docker-compose", "#!/bin/sh\nexit 1\n", 0755);
	setenv("AWS_REGION", long_text, 1);
	setenv("AWS_DEFAULT_REGION", "eu-\xff", 1);
	setenv("DOCKER_HOST", "tcp://198.51.100.7:2375", 1);
	look(&s);
	assert_null(s.region);
	assert_null(s.greengrass_root);
	assert_null(s.compose);
	assert_string_equal(s.docker_socket, "/var/run/docker.sock");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_bare_device_has_nothing, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(finds_what_is_there, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(
			what_cannot_be_used_counts_as_absent, make_folder, remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
