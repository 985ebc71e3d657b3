// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_find.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/memory.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

/// Two folders in the places of /usr/bin and /usr/local/bin.
struct fixture {
	char dir[64];
	char *bin;
	char *local;
	const char *directories[3];
};

static const struct wait_limit forever = WAIT_FOREVER;

static int set_up(void **state)
{
	struct fixture *f = lm_xcalloc(1, sizeof(*f));
	strncpy(f->dir, "/tmp/compose_find_test.XXXXXX", sizeof(f->dir) - 1);
	assert_non_null(mkdtemp(f->dir));
	f->bin = lm_path_join(f->dir, "bin");
	f->local = lm_path_join(f->dir, "local");
	assert_int_equal(mkdir(f->bin, 0755), 0);
	assert_int_equal(mkdir(f->local, 0755), 0);
	f->directories[0] = f->bin;
	f->directories[1] = f->local;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	assert_int_equal(lm_tree_remove(AT_FDCWD, f->dir, &err), LM_OK);
	free(f->bin);
	free(f->local);
	free(f);
	return 0;
}

static void put(const char *dir, const char *name, const char *script, mode_t mode)
{
	lm_auto_free char *path = lm_path_join(dir, name);
	lm_auto_buf struct lm_buf text = LM_BUF(4096);
	struct lm_err err = {0};
	(void)lm_buf_printf(&text, "#!/bin/sh\n%s\n", script);
	assert_int_equal(lm_file_replace(AT_FDCWD, path, lm_buf_str(&text), mode, &err), LM_OK);
	assert_int_equal(chmod(path, mode), 0);
}

static lm_rc find(struct fixture *f, struct compose *c, struct lm_err *err)
{
	*err = (struct lm_err){0};
	struct compose_search search = {.directories = f->directories};
	return compose_find(&search, &forever, c, err);
}

static void names_the_directories_that_it_searched(void **state)
{
	struct fixture *f = *state;
	struct compose c = {0};
	struct lm_err err;
	put(f->local, "docker-compose", "echo 1.29.2", 0644); // Not to be run.
	assert_int_equal(find(f, &c, &err), LM_E_NOT_FOUND);
	assert_non_null(strstr(err.msg, f->bin));
	assert_non_null(strstr(err.msg, f->local));
	assert_null(c.program);
	lm_auto_free char *docker = NULL;
	assert_int_equal(docker_find(f->directories, &docker, &err), LM_E_NOT_FOUND);
	assert_non_null(strstr(err.msg, f->local));
	put(f->local, "docker", "", 0755);
	assert_int_equal(docker_find(f->directories, &docker, &err), LM_OK);
}

static void finds_both_generations(void **state)
{
	struct fixture *f = *state;
	lm_auto(compose_finish) struct compose first = {0};
	lm_auto(compose_finish) struct compose second = {0};
	struct lm_err err;
	put(f->local, "docker-compose", "test \"$*\" = 'version --short' && echo v2.26.1-4", 0755);
	assert_int_equal(find(f, &first, &err), LM_OK);
	assert_string_equal(first.version, "2.26.1-4");
	assert_int_equal(first.generation, 2);
	assert_false(first.plugin);
	put(f->bin, "docker-compose", "echo 1.29.2", 0755);
	assert_int_equal(find(f, &second, &err), LM_OK);
	assert_int_equal(second.generation, 1);
	assert_ptr_equal(strstr(second.program, f->bin), second.program);
}

static void falls_back_to_the_plugin(void **state)
{
	struct fixture *f = *state;
	struct lm_err err;
	struct compose none = {0};
	put(f->bin, "docker", "echo \"docker: 'compose' is not a docker command.\" >&2; exit 1",
		0755);
	assert_int_equal(find(f, &none, &err), LM_E_NOT_FOUND);
	assert_non_null(strstr(err.msg, "no compose plugin"));
	lm_auto(compose_finish) struct compose c = {0};
	put(f->bin, "docker", "test \"$*\" = 'compose version --short' && echo 5.0.1", 0755);
	assert_int_equal(find(f, &c, &err), LM_OK);
	assert_true(c.plugin);
	assert_int_equal(c.generation, 2);
	assert_string_equal(c.version, "5.0.1");
}

static void a_broken_compose_is_reported_with_its_own_error(void **state)
{
	struct fixture *f = *state;
	struct compose c = {0};
	struct lm_err err;
	put(f->bin, "docker-compose",
		"echo \"ModuleNotFoundError: No module named 'compose'\" >&2; exit 1", 0755);
	assert_int_equal(find(f, &c, &err), LM_E_REFUSED);
	assert_non_null(strstr(err.msg, "No module named 'compose'"));
}

static void the_setting_comes_first_and_must_be_right(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {0};
	put(f->bin, "docker-compose", "echo 1.29.2", 0755);
	put(f->dir, "mine", "echo 2.0.0", 0755);
	lm_auto_free char *mine = lm_path_join(f->dir, "mine");
	struct compose_search search = {.setting = mine, .directories = f->directories};
	lm_auto(compose_finish) struct compose c = {0};
	struct compose none = {0};
	assert_int_equal(compose_find(&search, &forever, &c, &err), LM_OK);
	assert_string_equal(c.program, mine);
	search.setting = "/nonexistent/compose";
	assert_int_equal(compose_find(&search, &forever, &none, &err), LM_E_NOT_FOUND);
	search.setting = "docker-compose";
	assert_int_equal(compose_find(&search, &forever, &none, &err), LM_E_INVALID);
}

static void a_known_program_is_not_asked_again_until_it_changes(void **state)
{
	struct fixture *f = *state;
	struct lm_err err;
	lm_auto(compose_finish) struct compose first = {0};
	lm_auto(compose_finish) struct compose known = {0};
	lm_auto(compose_finish) struct compose changed = {0};
	put(f->bin, "docker-compose", "echo run >>\"${0%/*}/runs\"; echo 1.29.2", 0755);
	assert_int_equal(find(f, &first, &err), LM_OK);
	struct compose_search search = {.directories = f->directories,
		.known_stamp = first.stamp,
		.known_version = first.version};
	assert_int_equal(compose_find(&search, &forever, &known, &err), LM_OK);
	assert_string_equal(known.version, "1.29.2");
	lm_auto_free char *runs = lm_path_join(f->bin, "runs");
	struct stat st;
	assert_int_equal(stat(runs, &st), 0);
	assert_int_equal(st.st_size, 4); // Once.
	put(f->bin, "docker-compose", "echo 1.30.0 # another size", 0755);
	assert_int_equal(compose_find(&search, &forever, &changed, &err), LM_OK);
	assert_string_equal(changed.version, "1.30.0");
}

static struct lm_err api_err;

static lm_rc check(const char *compose, unsigned generation, const char *engine, unsigned least,
	unsigned most, const char *format)
{
	const struct compose c = {.version = (char *)compose, .generation = generation};
	struct engine_version v = {.offered_min = least, .offered_max = most};

	strncpy(v.engine, engine, sizeof(v.engine) - 1);
	return compose_check_api(&c, &v, format, &api_err);
}

static void the_first_generation_fails_with_an_engine_that_is_too_new(void **state)
{
	(void)state;
	assert_int_equal(check("1.29.2", 1, "28.5.1", 24, 51, "3.7"), LM_OK);
	assert_int_equal(check("1.29.2", 1, "29.0.1", 44, 52, "3.7"), LM_E_REFUSED);
	assert_string_equal(api_err.msg,
		"docker-compose 1.29.2 uses Engine API 1.41, but Docker Engine 29.0.1 "
		"requires 1.44 or later: every docker-compose command will fail");
	assert_int_equal(check("1.29.2", 1, "29.3.0", 40, 54, "3.7"), LM_OK);
	assert_int_equal(check("1.25.4", 1, "29.3.0", 40, 54, "3.7"), LM_E_REFUSED);
	assert_non_null(strstr(api_err.msg, "docker-compose 1.25.4 uses Engine API 1.38"));
	assert_int_equal(check("1.27.4", 1, "29.3.0", 40, 54, NULL), LM_E_REFUSED);
}

static void the_first_generation_fails_with_an_engine_that_is_too_old(void **state)
{
	(void)state;
	assert_int_equal(check("1.29.2", 1, "20.10.24+dfsg1", 12, 41, NULL), LM_OK);
	assert_int_equal(check("1.29.2", 1, "19.03.13", 12, 40, NULL), LM_E_REFUSED);
	assert_string_equal(api_err.msg,
		"docker-compose 1.29.2 uses Engine API 1.41, but Docker Engine "
		"19.03.13 supports only up to 1.40: every docker-compose command will fail");
	assert_int_equal(check("1.25.4", 1, "19.03.13", 12, 40, NULL), LM_OK);
	assert_int_equal(check("1.29.2", 1, "1.9.1", 0, 21, NULL), LM_E_REFUSED);
}

static void before_1_27_the_format_of_the_file_decides(void **state)
{
	(void)state;
	assert_int_equal(check("1.25.4", 1, "28.5.1", 24, 51, "3.7"), LM_OK);
	assert_int_equal(check("1.25.4", 1, "28.5.1", 24, 51, "2.1"), LM_OK);
	assert_int_equal(check("1.25.4", 1, "28.5.1", 24, 51, "2"), LM_E_REFUSED);
	assert_non_null(strstr(api_err.msg, "uses Engine API 1.22"));
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(names_the_directories_that_it_searched),
		TEST(finds_both_generations),
		TEST(falls_back_to_the_plugin),
		TEST(a_broken_compose_is_reported_with_its_own_error),
		TEST(the_setting_comes_first_and_must_be_right),
		TEST(a_known_program_is_not_asked_again_until_it_changes),
		cmocka_unit_test(the_first_generation_fails_with_an_engine_that_is_too_new),
		cmocka_unit_test(the_first_generation_fails_with_an_engine_that_is_too_old),
		cmocka_unit_test(before_1_27_the_format_of_the_file_decides),
		cmocka_unit_test(later_generations_agree_with_the_engine),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
