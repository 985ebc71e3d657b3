// SPDX-License-Identifier: Apache-2.0
#include "docker/compose.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/str.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

/// A program in the place of docker-compose, and what it printed.
struct fixture {
	char dir[64];
	char *program;
	struct compose compose;
	struct compose_project project;
	struct lm_buf lines; ///< "LEVEL line;"
};

static const struct wait_limit forever = WAIT_FOREVER;
static const struct compose_up_options plain_up = {0};

static void note_line(void *ctx, enum lm_level level, struct lm_str line)
{
	struct fixture *f = ctx;
	(void)lm_buf_printf(&f->lines, "%s %.*s;", lm_level_name(level), LM_STR_ARG(line));
}

static int set_up(void **state)
{
	static const char *const env[] = {"PATH=/usr/bin:/bin", "TAG=7", NULL};
	struct fixture *f = lm_xcalloc(1, sizeof(*f));
	strncpy(f->dir, "/tmp/compose_test.XXXXXX", sizeof(f->dir) - 1);
	assert_non_null(mkdtemp(f->dir));
	f->program = lm_path_join(f->dir, "program");
	f->lines = LM_BUF(100000);
	f->compose = (struct compose){.program = f->program, .generation = 1};
	f->project = (struct compose_project){.compose = &f->compose,
		.name = COMPOSE_PROJECT,
		.directory = f->dir,
		.file = "/d/c.yml",
		.env = env,
		.on_line = note_line,
		.ctx = f};
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	assert_int_equal(lm_tree_remove(AT_FDCWD, f->dir, &err), LM_OK);
	free(f->program);
	lm_buf_finish(&f->lines);
	free(f);
	return 0;
}

static void script(struct fixture *f, const char *text)
{
	lm_auto_buf struct lm_buf b = LM_BUF(4096);
	struct lm_err err = {0};
	(void)lm_buf_printf(&b, "#!/bin/sh\n%s\n", text);
	assert_int_equal(lm_file_replace(AT_FDCWD, f->program, lm_buf_str(&b), 0755, &err), LM_OK);
	assert_int_equal(chmod(f->program, 0755), 0);
}

static void passes_the_file_by_its_path_and_collects_the_config(void **state)
{
	struct fixture *f = *state;
	script(f, "echo \"$*\"; pwd; echo \"$TAG$HOME\"; cat; echo 'WARNING: unset' >&2");
	lm_auto_buf struct lm_buf out = LM_BUF(LIMIT_COMPOSE_CONFIG);
	struct lm_err err = {0};
	assert_int_equal(compose_config(&f->project, &forever, &out, &err), LM_OK);
	lm_auto_free char *expected = lm_xasprintf(
		"-p greengrassdockerapplicationdeployment -f /d/c.yml --project-directory %s "
		"config\n%s\n7\n",
		f->dir, f->dir);
	assert_string_equal(lm_buf_cstr(&out), expected);
	assert_string_equal(lm_buf_cstr(&f->lines), "WARN WARNING: unset;");
}

static void the_file_may_have_another_name_in_what_is_printed(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	f->project.file = "/d/.temporary.yml";
	f->project.file_shown = "ships/app.yml";
	script(f, "echo \"ERROR: '$4' is no good, see $4\" >&2; exit 1");
	assert_int_equal(compose_up(&f->project, &plain_up, &forever, &err), LM_E_REFUSED);
	assert_string_equal(
		err.msg, "docker-compose up failed: 'ships/app.yml' is no good, see ships/app.yml");
	assert_string_equal(lm_buf_cstr(&f->lines),
		"ERROR ERROR: 'ships/app.yml' is no good, see ships/app.yml;");
}

static void hashes_are_asked_for_all_services_of_a_file(void **state)
{
	struct fixture *f = *state;
	lm_auto_buf struct lm_buf out = LM_BUF(1000);
	struct lm_err err = {0};
	script(f, "file=$4; shift 6; echo \"$@ by $file\"");
	assert_int_equal(compose_hash(&f->project, &forever, &out, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&out), "config --hash=* by /d/c.yml\n");
}

static void as_many_services_are_built_as_there_are(void **state)
{
	struct fixture *f = *state;
	enum { MANY = 1000 };
	const char *services[MANY];
	struct lm_err err = {0};
	for (size_t i = 0; i < MANY; i++)
		services[i] = "web";
	script(f, "shift 6; echo \"$1 $2 $#\"");
	assert_int_equal(compose_build(&f->project, services, MANY, &forever, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&f->lines), "INFO build web 1001;");
}

static void up_pulls_nothing_where_there_is_an_option_for_it(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *version;
		unsigned generation;
		bool is_told;
	} cases[] = {{"1.29.2", 1, false}, {"2.5.0", 2, false}, {"2.14.9", 2, false},
		{"2.15.0", 2, true}, {"2.26.1-4", 2, true}, {"3.0.0", 2, true}, {"dev", 2, false},
		{"2", 2, false}};
	script(f, "shift 6; echo \"$@\"");
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct lm_err err = {0};
		f->compose.version = (char *)cases[i].version;
		f->compose.generation = cases[i].generation;
		lm_buf_clear(&f->lines);
		assert_int_equal(compose_up(&f->project, &plain_up, &forever, &err), LM_OK);
		assert_string_equal(lm_buf_cstr(&f->lines),
			cases[i].is_told ? "INFO up -d --pull=never;" : "INFO up -d;");
		assert_int_equal(compose_up_pulls_again(&f->compose),
			cases[i].generation == 2 && !cases[i].is_told);
	}
}

static void up_and_down_have_their_arguments(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	const struct compose_up_options other_up = {.remove_orphans = true, .no_build = true};
	script(f, "file=$4; shift 6; echo \"$@ by $file\"; cat");
	assert_int_equal(compose_up(&f->project, &plain_up, &forever, &err), LM_OK);
	assert_int_equal(compose_up(&f->project, &other_up, &forever, &err), LM_OK);
	assert_int_equal(compose_down(&f->project, true, &forever, &err), LM_OK);
	assert_int_equal(compose_down(&f->project, false, &forever, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&f->lines),
		"INFO up -d by /d/c.yml;INFO up -d --remove-orphans --no-build by /d/c.yml;"
		"INFO down --remove-orphans by /d/c.yml;INFO down by /d/c.yml;");
}

static void the_plugin_is_a_word_of_docker(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	f->compose.plugin = true;
	script(f, "test \"$1\" = compose || exit 9; echo ERROR: nothing works >&2; exit 1");
	assert_int_equal(compose_up(&f->project, &plain_up, &forever, &err), LM_E_REFUSED);
	assert_string_equal(err.msg, "docker compose up failed: nothing works");
}

static void a_failure_has_composes_error_and_class(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	script(f,
		"echo 'Creating p_web_1 ... ' >&2\n"
		"echo 'ERROR: for web  Bind for 0.0.0.0:80 failed: port is already allocated' >&2\n"
		"echo 'Encountered errors while bringing up the project.' >&2\nexit 1");
	assert_int_equal(compose_up(&f->project, &plain_up, &forever, &err), LM_E_CONFLICT);
	assert_string_equal(err.msg,
		"docker-compose up failed: Bind for 0.0.0.0:80 failed: port is already allocated");
	assert_ptr_equal(
		strstr(lm_buf_cstr(&f->lines), "INFO Creating p_web_1 ...;ERROR ERROR: for web"),
		lm_buf_cstr(&f->lines));
}

static void lines_that_nothing_marks_are_errors_if_it_fails(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	script(f, "echo 'first words' >&2; echo 'Creating x ...' >&2; echo 'second words' >&2\n"
		  "exit 1");
	assert_int_equal(compose_up(&f->project, &plain_up, &forever, &err), LM_E_REFUSED);
	assert_string_equal(err.msg, "docker-compose up failed: second words");
	assert_string_equal(
		lm_buf_cstr(&f->lines), "INFO first words;INFO Creating x ...;ERROR second words;");
	lm_buf_clear(&f->lines);
	script(f, "echo 'first words' >&2");
	assert_int_equal(compose_up(&f->project, &plain_up, &forever, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&f->lines), "INFO first words;");
}

static void put(struct fixture *f, const char *name, const char *text)
{
	struct lm_err err = {0};
	lm_auto_free char *path = lm_path_join(f->dir, name);
	assert_int_equal(lm_file_replace(AT_FDCWD, path, lm_str(text), 0600, &err), LM_OK);
}

static void no_value_is_in_what_it_prints(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	lm_auto_free char *file = lm_path_join(f->dir, "c.yml");
	static const char *const env[] = {"PATH=/usr/bin:/bin", "OUTSIDE=from-outside", NULL};
	f->project.file = file;
	f->project.env = env;
	put(f, "c.yml",
		"services:\n  web:\n    image: a\n    environment: {A: of-the-file}\n"
		"    env_file: web.env\n    extends: {file: base.yml, service: b}\n");
	put(f, ".env", "B=of-dot-env\n");
	put(f, "web.env", "C=of-env-file\n");
	put(f, "base.yml", "services: {b: {labels: {l: of-the-base}}}\n");
	script(f, "echo of-the-file; echo of-dot-env >&2; echo ERROR: of-env-file >&2\n"
		  "echo ERROR: of-the-base >&2; echo ERROR: from-outside >&2; exit 1");
	assert_int_equal(compose_up(&f->project, &plain_up, &forever, &err), LM_E_REFUSED);
	assert_string_equal(err.msg, "docker-compose up failed: ***");
	assert_null(strstr(lm_buf_cstr(&f->lines), "of-"));
	assert_null(strstr(lm_buf_cstr(&f->lines), "from-"));
}

static void generation_1_waits_for_the_engine_as_long_as_we_for_it(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	struct wait_limit limit = wait_limit_within(&forever, 500 * 1000);
	static const char *const own[] = {"PATH=/usr/bin:/bin", "COMPOSE_HTTP_TIMEOUT=7", NULL};
	const char *const *env = f->project.env;
	script(f, "t=${COMPOSE_HTTP_TIMEOUT:-none}; test \"$t\" -gt 400 2>/dev/null && t=long; "
		  "echo Step $t");
	assert_int_equal(compose_up(&f->project, &plain_up, &limit, &err), LM_OK);
	f->project.env = own;
	assert_int_equal(compose_up(&f->project, &plain_up, &limit, &err), LM_OK);
	f->project.env = env;
	put(f, ".env", "COMPOSE_HTTP_TIMEOUT=9\n");
	assert_int_equal(compose_up(&f->project, &plain_up, &limit, &err), LM_OK);
	put(f, ".env", "A=1\n export COMPOSE_HTTP_TIMEOUT = 9");
	assert_int_equal(compose_up(&f->project, &plain_up, &limit, &err), LM_OK);
	put(f, ".env",
		"#COMPOSE_HTTP_TIMEOUT=9\nCOMPOSE_HTTP_TIMEOUT=\nX=COMPOSE_HTTP_TIMEOUT=9\n");
	assert_int_equal(compose_up(&f->project, &plain_up, &limit, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&f->lines),
		"INFO Step long;INFO Step 7;INFO Step none;INFO Step none;INFO Step long;");
}

static void of_a_line_without_end_the_beginning_is_shown(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	script(f, "echo \"ERROR: begins $(head -c 60000 /dev/zero | tr '\\0' x) ends\" >&2\n"
		  "echo ERROR: the next >&2; exit 1");
	assert_int_equal(compose_up(&f->project, &plain_up, &forever, &err), LM_E_REFUSED);
	assert_non_null(strstr(err.msg, "begins xxx"));
	assert_non_null(strstr(lm_buf_cstr(&f->lines), "ERROR ERROR: the next;"));
	assert_null(strstr(lm_buf_cstr(&f->lines), "ends"));
	assert_true(f->lines.len < 1200);
}

static void note_unset(void *ctx, struct lm_str name)
{
	struct fixture *f = ctx;
	(void)lm_buf_printf(&f->lines, "unset %.*s;", LM_STR_ARG(name));
}

static void reports_variables_that_are_not_set_and_dollars_in_passwords(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	lm_auto_free char *file = lm_path_join(f->dir, "c.yml");
	f->project.file = file;
	f->project.on_unset = note_unset;
	put(f, "c.yml", "services: {web: {image: 'a:$TAG', environment: {P: 'pa$word'}}}\n");
	script(f, "echo 'The TAG variable is not set. Defaulting to a blank string.' >&2\n"
		  "echo 'time=\"2026\" level=warning msg=\"The \\\"word\\\" variable is not set. "
		  "Defaulting to a blank string.\"' >&2");
	assert_int_equal(compose_up(&f->project, &plain_up, &forever, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&f->lines),
		"unset TAG;WARN the variable TAG is not set, and counts as empty;"
		"WARN a $ in the value of environment of service web does not start a variable "
		"that is set: write $$ for a literal $, and ${NAME} for a variable;");
}

static void dollars_in_passwords_of_other_files_are_not_named_either(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	lm_auto_free char *file = lm_path_join(f->dir, "c.yml");
	f->project.file = file;
	f->project.on_unset = note_unset;
	put(f, "c.yml", "services: {web: {extends: {file: b.yml}, env_file: e}}\n");
	put(f, "b.yml", "services: {web: {command: --password=$catfish}}\n");
	put(f, "e", "P=pa$word\n");
	put(f, ".env", "Q=\"p$SW0RD\"\n");
	script(f, "for i in catfish word SW0RD; do echo \"The $i variable is not set. Defaulting "
		  "to a "
		  "blank string.\" >&2; done");
	assert_int_equal(compose_up(&f->project, &plain_up, &forever, &err), LM_OK);
	assert_null(strstr(lm_buf_cstr(&f->lines), "unset"));
	assert_non_null(strstr(lm_buf_cstr(&f->lines), "value of command of service web"));
	assert_non_null(strstr(lm_buf_cstr(&f->lines), "value of an env file"));
	assert_null(strstr(lm_buf_cstr(&f->lines), "catfish"));
	assert_null(strstr(lm_buf_cstr(&f->lines), "word"));
	assert_null(strstr(lm_buf_cstr(&f->lines), "SW0RD"));
}

static void what_only_the_resolved_file_puts_together_is_a_value_too(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	f->project.resolved = LM_STR("services: {web: {image: a, environment: {P: swo7fish}}}\n");
	script(f, "echo 'ERROR: data: username=u,password=swo7fish: no such device' >&2; exit 1");
	assert_int_equal(compose_up(&f->project, &plain_up, &forever, &err), LM_E_REFUSED);
	assert_null(strstr(err.msg, "swo7fish"));
	assert_non_null(strstr(err.msg, "username=u,password=***: no such device"));
}

static void a_silent_failure_reports_the_exit_status(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	script(f, "exit 3");
	assert_int_equal(compose_down(&f->project, false, &forever, &err), LM_E_REFUSED);
	assert_non_null(strstr(err.msg, "docker-compose down failed: "));
	assert_non_null(strstr(err.msg, "3"));
}

static void a_compose_that_hangs_is_ended(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	script(f, "exec sleep 1000");
	struct wait_limit limit = wait_limit_within(&forever, 50);
	assert_int_equal(compose_up(&f->project, &plain_up, &limit, &err), LM_E_TIMEOUT);
	assert_ptr_equal(strstr(err.msg, "docker-compose up: "), err.msg);
}

static void a_config_over_its_ceiling_is_refused(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	script(f, "exec head -c 100000 /dev/zero");
	lm_auto_buf struct lm_buf out = LM_BUF(1000);
	assert_int_equal(compose_config(&f->project, &forever, &out, &err), LM_E_TOO_LARGE);
}

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

static void makes_debians_compose_start_faster_unless_set_otherwise(void **state)
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
	(void)signal(SIGPIPE, SIG_IGN); // as every program that runs children does
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(passes_the_file_by_its_path_and_collects_the_config),
		TEST(the_file_may_have_another_name_in_what_is_printed),
		TEST(hashes_are_asked_for_all_services_of_a_file),
		TEST(as_many_services_are_built_as_there_are),
		TEST(up_pulls_nothing_where_there_is_an_option_for_it),
		TEST(up_and_down_have_their_arguments),
		TEST(the_plugin_is_a_word_of_docker),
		TEST(a_failure_has_composes_error_and_class),
		TEST(lines_that_nothing_marks_are_errors_if_it_fails),
		TEST(no_value_is_in_what_it_prints),
		TEST(generation_1_waits_for_the_engine_as_long_as_we_for_it),
		TEST(of_a_line_without_end_the_beginning_is_shown),
		TEST(reports_variables_that_are_not_set_and_dollars_in_passwords),
		TEST(dollars_in_passwords_of_other_files_are_not_named_either),
		TEST(what_only_the_resolved_file_puts_together_is_a_value_too),
		TEST(a_silent_failure_reports_the_exit_status),
		TEST(a_compose_that_hangs_is_ended),
		TEST(a_config_over_its_ceiling_is_refused),
		cmocka_unit_test(keeps_what_compose_files_may_interpolate),
		cmocka_unit_test(drops_secrets_and_what_changes_compose_and_nothing_else),
		cmocka_unit_test(what_env_files_could_set_is_set_to_nothing),
		cmocka_unit_test(one_more_variable_may_be_set),
		cmocka_unit_test(sets_what_compose_needs),
		cmocka_unit_test(makes_debians_compose_start_faster_unless_set_otherwise),
		cmocka_unit_test(no_number_of_services_makes_compose_wait_for_itself),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
