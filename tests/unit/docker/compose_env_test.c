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

static void drops_secrets_and_what_changes_compose_and_nothing_else(void **state)
{
	(void)state;
	const char *const parent[] = {"AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b",
		"AWS_SESSION_TOKEN=c", "AWS_CONTAINER_CREDENTIALS_FULL_URI=u",
		"DOCKER_HOST=tcp://x", "DOCKER_AUTH_CONFIG={}", "DOCKER_CONTEXT=far",
		"COMPOSE_FILE=/x", "COMPOSE_PARALLEL_LIMIT=8", "COMPOSE_IGNORE_ORPHANS=1",
		"NOTIFY_SOCKET=/n", "WATCHDOG_USEC=1", "LISTEN_FDS=1", "LD_PRELOAD=/evil.so",
		"AWS_SECRET_KEY=s", "AWS_ROLE_ARN=r", "AWS_PROFILE=p",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN=t", "CREDENTIALS_DIRECTORY=/c", "rubbish", NULL};
	char **env = compose_env_make(parent, &(struct compose_env_settings){0});
	for (size_t i = 0; parent[i]; i++) {
		struct lm_str value = lm_str(parent[i]);
		struct lm_str name = lm_str_cut(&value, '=');
		const char *found = compose_env_get((const char *const *)env, name);
		assert_true(!found || !lm_str_eq(lm_str(found), value));
		assert_true(!strchr(parent[i], '=') || compose_env_reason(parent, name));
	}
	compose_env_free(env);

	const char *const kept[] = {"DOCKER_GID=998", "LISTEN_PORT=8443", "AWS_IOT_THING_NAME=gw7",
		"AWS_REGION=r", "AWS_ENDPOINT_URL=http://x", "COMPOSE_PROFILES=a,b",
		"COMPOSE_HTTP_TIMEOUT=7", "DOCKER_CLIENT_TIMEOUT=8", "COMPOSE_API_VERSION=1.41",
		"DOCKER_BUILDKIT=1", "WATCHDOG_NAME=rex", "NOTIFY=me", "LIGHTERMAN_SOCKET=/s",
		"PYTHONPATH=/p", "LD_SDK_KEY=k", "COMPOSE_PROJECT=p", "AWS_CONTAINER_NAME=c",
		"DOCKER_DEFAULT_PLATFORM=linux/arm64", "COMPOSE_CONVERT_WINDOWS_PATHS=1", NULL};
	env = compose_env_make(kept, &(struct compose_env_settings){0});
	for (size_t i = 0; kept[i]; i++) {
		struct lm_str value = lm_str(kept[i]);
		struct lm_str name = lm_str_cut(&value, '=');
		assert_null(compose_env_reason(kept, name));
		assert_string_equal(compose_env_get((const char *const *)env, name), value.p);
	}
	compose_env_free(env);
}

static void what_env_files_could_set_is_set_to_nothing(void **state)
{
	(void)state;
	static const char *const names[] = {"DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH",
		"DOCKER_CONTEXT", "COMPOSE_IGNORE_ORPHANS", "COMPOSE_REMOVE_ORPHANS",
		"COMPOSE_TLS_VERSION"};
	const char *const parent[] = {NULL};
	char **env = compose_env_make(parent, &(struct compose_env_settings){0});
	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++)
		assert_string_equal(find(env, names[i]), "");
	// What is set to nothing is withheld, whoever had set it.
	assert_non_null(compose_env_reason(parent, LM_STR("DOCKER_CONTEXT")));
	assert_null(compose_env_reason(parent, LM_STR("AWS_PROFILE")));
	assert_null(find(env, "COMPOSE_DISABLE_ENV_FILE")); // docker-compose 2 refuses "" there
	assert_null(find(env, "DOCKER_CONFIG"));
	assert_null(find(env, "COMPOSE_PROFILES")); // .env may set that
	compose_env_free(env);
}

static void one_more_variable_may_be_set(void **state)
{
	(void)state;
	const char *const parent[] = {"A=1", "B=2", NULL};
	char **env = compose_env_with(parent, "A", "3");
	assert_string_equal(find(env, "A"), "3");
	assert_string_equal(find(env, "B"), "2");
	char **more = compose_env_with((const char *const *)env, "C", "4");
	assert_string_equal(find(more, "C"), "4");
	assert_null(compose_env_get((const char *const *)env, LM_STR("C")));
	compose_env_free(more);
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
		cmocka_unit_test(drops_secrets_and_what_changes_compose_and_nothing_else),
		cmocka_unit_test(what_env_files_could_set_is_set_to_nothing),
		cmocka_unit_test(one_more_variable_may_be_set),
		cmocka_unit_test(sets_what_compose_needs),
		cmocka_unit_test(makes_debians_compose_start_faster_unless_told_otherwise),
		cmocka_unit_test(no_number_of_services_makes_compose_wait_for_itself),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
