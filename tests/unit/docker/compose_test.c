// SPDX-License-Identifier: Apache-2.0
#include "docker/compose.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

/// A program in the place of docker-compose, and what it printed.
struct fixture {
	char dir[64];
	char *program;
	struct compose compose;
	struct compose_job job;
	struct lm_buf lines; ///< "LEVEL line;"
};

static const struct wait_limit forever = WAIT_FOREVER;

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
	f->job = (struct compose_job){.compose = &f->compose,
		.project = COMPOSE_PROJECT,
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
	assert_int_equal(compose_config(&f->job, &forever, &out, &err), LM_OK);
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
	f->job.file = "/d/.temporary.yml";
	f->job.file_shown = "ships/app.yml";
	script(f, "echo \"ERROR: '$4' is no good, see $4\" >&2; exit 1");
	assert_int_equal(compose_up(&f->job, false, &forever, &err), LM_E_REFUSED);
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
	assert_int_equal(compose_hash(&f->job, &forever, &out, &err), LM_OK);
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
	assert_int_equal(compose_build(&f->job, services, MANY, &forever, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&f->lines), "INFO build web 1001;");
}

static void up_pulls_nothing_where_it_can_be_told_so(void **state)
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
		assert_int_equal(compose_up(&f->job, false, &forever, &err), LM_OK);
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
	script(f, "file=$4; shift 6; echo \"$@ by $file\"; cat");
	assert_int_equal(compose_up(&f->job, false, &forever, &err), LM_OK);
	assert_int_equal(compose_up(&f->job, true, &forever, &err), LM_OK);
	assert_int_equal(compose_down(&f->job, true, &forever, &err), LM_OK);
	assert_int_equal(compose_down(&f->job, false, &forever, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&f->lines),
		"INFO up -d by /d/c.yml;INFO up -d --remove-orphans by /d/c.yml;"
		"INFO down --remove-orphans by /d/c.yml;INFO down by /d/c.yml;");
}

static void the_plugin_is_a_word_of_docker(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	f->compose.plugin = true;
	script(f, "test \"$1\" = compose || exit 9; echo ERROR: nothing works >&2; exit 1");
	assert_int_equal(compose_up(&f->job, false, &forever, &err), LM_E_REFUSED);
	assert_string_equal(err.msg, "docker compose up failed: nothing works");
}

static void a_failure_has_composes_words_and_class(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	script(f,
		"echo 'Creating p_web_1 ... ' >&2\n"
		"echo 'ERROR: for web  Bind for 0.0.0.0:80 failed: port is already allocated' >&2\n"
		"echo 'Encountered errors while bringing up the project.' >&2\nexit 1");
	assert_int_equal(compose_up(&f->job, false, &forever, &err), LM_E_CONFLICT);
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
	assert_int_equal(compose_up(&f->job, false, &forever, &err), LM_E_REFUSED);
	assert_string_equal(err.msg, "docker-compose up failed: second words");
	assert_string_equal(
		lm_buf_cstr(&f->lines), "INFO first words;INFO Creating x ...;ERROR second words;");
	lm_buf_clear(&f->lines);
	script(f, "echo 'first words' >&2");
	assert_int_equal(compose_up(&f->job, false, &forever, &err), LM_OK);
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
	f->job.file = file;
	f->job.env = env;
	put(f, "c.yml",
		"services:\n  web:\n    image: a\n    environment: {A: of-the-file}\n"
		"    env_file: web.env\n    extends: {file: base.yml, service: b}\n");
	put(f, ".env", "B=of-dot-env\n");
	put(f, "web.env", "C=of-env-file\n");
	put(f, "base.yml", "services: {b: {labels: {l: of-the-base}}}\n");
	script(f, "echo of-the-file; echo of-dot-env >&2; echo ERROR: of-env-file >&2\n"
		  "echo ERROR: of-the-base >&2; echo ERROR: from-outside >&2; exit 1");
	assert_int_equal(compose_up(&f->job, false, &forever, &err), LM_E_REFUSED);
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
	const char *const *env = f->job.env;
	script(f, "t=${COMPOSE_HTTP_TIMEOUT:-none}; test \"$t\" -gt 400 2>/dev/null && t=long; "
		  "echo Step $t");
	assert_int_equal(compose_up(&f->job, false, &limit, &err), LM_OK);
	f->job.env = own;
	assert_int_equal(compose_up(&f->job, false, &limit, &err), LM_OK);
	f->job.env = env;
	put(f, ".env", "COMPOSE_HTTP_TIMEOUT=9\n");
	assert_int_equal(compose_up(&f->job, false, &limit, &err), LM_OK);
	put(f, ".env", "A=1\n export COMPOSE_HTTP_TIMEOUT = 9");
	assert_int_equal(compose_up(&f->job, false, &limit, &err), LM_OK);
	put(f, ".env",
		"#COMPOSE_HTTP_TIMEOUT=9\nCOMPOSE_HTTP_TIMEOUT=\nX=COMPOSE_HTTP_TIMEOUT=9\n");
	assert_int_equal(compose_up(&f->job, false, &limit, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&f->lines),
		"INFO Step long;INFO Step 7;INFO Step none;INFO Step none;INFO Step long;");
}

static void of_a_line_without_end_the_beginning_is_shown(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	script(f, "echo \"ERROR: begins $(head -c 60000 /dev/zero | tr '\\0' x) ends\" >&2\n"
		  "echo ERROR: the next >&2; exit 1");
	assert_int_equal(compose_up(&f->job, false, &forever, &err), LM_E_REFUSED);
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

static void tells_of_variables_that_are_not_set_and_of_dollars_in_passwords(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	lm_auto_free char *file = lm_path_join(f->dir, "c.yml");
	f->job.file = file;
	f->job.on_unset = note_unset;
	put(f, "c.yml", "services: {web: {image: 'a:$TAG', environment: {P: 'pa$word'}}}\n");
	script(f, "echo 'The TAG variable is not set. Defaulting to a blank string.' >&2\n"
		  "echo 'time=\"2026\" level=warning msg=\"The \\\"word\\\" variable is not set. "
		  "Defaulting to a blank string.\"' >&2");
	assert_int_equal(compose_up(&f->job, false, &forever, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&f->lines),
		"unset TAG;WARN the variable TAG is not set, and counts as empty;"
		"WARN a $ in the value of environment of service web begins no variable that is "
		"set: write $$ for a $ that belongs to the value, and ${NAME} for a variable;");
}

static void dollars_in_passwords_of_other_files_are_not_named_either(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	lm_auto_free char *file = lm_path_join(f->dir, "c.yml");
	f->job.file = file;
	f->job.on_unset = note_unset;
	put(f, "c.yml", "services: {web: {extends: {file: b.yml}, env_file: e}}\n");
	put(f, "b.yml", "services: {web: {command: --password=$catfish}}\n");
	put(f, "e", "P=pa$word\n");
	put(f, ".env", "Q=\"p$SW0RD\"\n");
	script(f, "for i in catfish word SW0RD; do echo \"The $i variable is not set. Defaulting "
		  "to a "
		  "blank string.\" >&2; done");
	assert_int_equal(compose_up(&f->job, false, &forever, &err), LM_OK);
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
	f->job.resolved = LM_STR("services: {web: {image: a, environment: {P: swo7fish}}}\n");
	script(f, "echo 'ERROR: data: username=u,password=swo7fish: no such device' >&2; exit 1");
	assert_int_equal(compose_up(&f->job, false, &forever, &err), LM_E_REFUSED);
	assert_null(strstr(err.msg, "swo7fish"));
	assert_non_null(strstr(err.msg, "username=u,password=***: no such device"));
}

static void a_silent_failure_tells_how_it_ended(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	script(f, "exit 3");
	assert_int_equal(compose_down(&f->job, false, &forever, &err), LM_E_REFUSED);
	assert_non_null(strstr(err.msg, "docker-compose down failed: "));
	assert_non_null(strstr(err.msg, "3"));
}

static void a_compose_that_hangs_is_ended(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	script(f, "exec sleep 1000");
	struct wait_limit limit = wait_limit_within(&forever, 50);
	assert_int_equal(compose_up(&f->job, false, &limit, &err), LM_E_TIMEOUT);
	assert_ptr_equal(strstr(err.msg, "docker-compose up: "), err.msg);
}

static void a_config_over_its_ceiling_is_refused(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	script(f, "exec head -c 100000 /dev/zero");
	lm_auto_buf struct lm_buf out = LM_BUF(1000);
	assert_int_equal(compose_config(&f->job, &forever, &out, &err), LM_E_TOO_LARGE);
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
		TEST(up_pulls_nothing_where_it_can_be_told_so),
		TEST(up_and_down_have_their_arguments),
		TEST(the_plugin_is_a_word_of_docker),
		TEST(a_failure_has_composes_words_and_class),
		TEST(lines_that_nothing_marks_are_errors_if_it_fails),
		TEST(no_value_is_in_what_it_prints),
		TEST(generation_1_waits_for_the_engine_as_long_as_we_for_it),
		TEST(of_a_line_without_end_the_beginning_is_shown),
		TEST(tells_of_variables_that_are_not_set_and_of_dollars_in_passwords),
		TEST(dollars_in_passwords_of_other_files_are_not_named_either),
		TEST(what_only_the_resolved_file_puts_together_is_a_value_too),
		TEST(a_silent_failure_tells_how_it_ended),
		TEST(a_compose_that_hangs_is_ended),
		TEST(a_config_over_its_ceiling_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
