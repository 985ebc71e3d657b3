// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_env.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *find(char **env, const char *name)
{
	const char *found = NULL;
	for (size_t i = 0; env[i]; i++) {
		if (strncmp(env[i], name, strlen(name)) != 0 || env[i][strlen(name)] != '=')
			continue;
		assert_null(found); // At most once.
		found = env[i] + strlen(name) + 1;
	}
	return found;
}

static void keeps_what_compose_files_may_interpolate(void **state)
{
	(void)state;
	const char *const parent[] = {"DB_PASSWORD=x", "TAG=1=2", "EMPTY=", "AWS_REGION=eu-west-1",
		"PATH=/p", "HOME=/h", NULL};
	char **env = compose_env_make(parent, &(struct compose_env_settings){0});
	assert_string_equal(find(env, "DB_PASSWORD"), "x");
	assert_string_equal(find(env, "TAG"), "1=2");
	assert_string_equal(find(env, "EMPTY"), "");
	assert_string_equal(find(env, "AWS_REGION"), "eu-west-1");
	assert_string_equal(find(env, "PATH"), "/p");
	assert_string_equal(find(env, "HOME"), "/h");
	assert_null(find(env, "DOCKER_HOST"));
	compose_env_free(env);
}

static void drops_keys_and_what_changes_compose(void **state)
{
	(void)state;
	const char *const parent[] = {"AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b",
		"AWS_SESSION_TOKEN=c", "DOCKER_HOST=tcp://x", "DOCKER_AUTH_CONFIG={}",
		"COMPOSE_FILE=/x", "COMPOSE_PARALLEL_LIMIT=8", "LIGHTERMAN_SOCKET=/s",
		"NOTIFY_SOCKET=/n", "WATCHDOG_USEC=1", "LISTEN_FDS=1", "LD_PRELOAD=/evil.so",
		"rubbish", NULL};
	char **env = compose_env_make(parent, &(struct compose_env_settings){0});
	assert_non_null(find(env, "PATH"));
	assert_non_null(find(env, "SETUPTOOLS_USE_DISTUTILS"));
	assert_string_not_equal(find(env, "COMPOSE_PARALLEL_LIMIT"), "8");
	assert_null(env[3]);
	compose_env_free(env);
}

static void sets_what_compose_needs(void **state)
{
	(void)state;
	const char *const parent[] = {"HOME=/root", "USER=root", NULL};
	struct compose_env_settings settings = {
		.docker_socket = "/run/d.sock", .docker_config = "/run/l/config"};
	char **env = compose_env_make(parent, &settings);
	assert_string_equal(find(env, "HOME"), "/root");
	assert_string_equal(find(env, "DOCKER_HOST"), "unix:///run/d.sock");
	assert_string_equal(find(env, "DOCKER_CONFIG"), "/run/l/config");
	assert_non_null(strstr(find(env, "PATH"), "/usr/bin"));
	compose_env_free(env);
	compose_env_free(NULL);
}

static void makes_debians_compose_start_faster_unless_told_otherwise(void **state)
{
	(void)state;
	const char *const none[] = {"HOME=/h", NULL};
	char **env = compose_env_make(none, &(struct compose_env_settings){0});
	assert_string_equal(find(env, "SETUPTOOLS_USE_DISTUTILS"), "stdlib");
	compose_env_free(env);
	const char *const own[] = {"SETUPTOOLS_USE_DISTUTILS=local", NULL};
	env = compose_env_make(own, &(struct compose_env_settings){0});
	assert_string_equal(find(env, "SETUPTOOLS_USE_DISTUTILS"), "local");
	compose_env_free(env);
}

static void no_number_of_services_makes_compose_wait_for_itself(void **state)
{
	(void)state;
	const char *const parent[] = {NULL};
	char **env = compose_env_make(parent, &(struct compose_env_settings){0});
	assert_true(strtol(find(env, "COMPOSE_PARALLEL_LIMIT"), NULL, 10) > LIMIT_SERVICES);
	compose_env_free(env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_what_compose_files_may_interpolate),
		cmocka_unit_test(drops_keys_and_what_changes_compose),
		cmocka_unit_test(sets_what_compose_needs),
		cmocka_unit_test(makes_debians_compose_start_faster_unless_told_otherwise),
		cmocka_unit_test(no_number_of_services_makes_compose_wait_for_itself),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
