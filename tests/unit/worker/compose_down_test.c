// SPDX-License-Identifier: Apache-2.0
#include "base/cleanup.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "fake_engine.h"
#include "worker/compose_down.h"
#include "worker/local_copy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>

/// A task whose docker-compose is a shell script, in front of an engine with recorded answers.
struct fixture {
	char dir[64];
	char *program;
	struct group group;
	struct task task;
	struct context cx;
	struct fake_engine *engine;
	struct lm_buf log;
};

#define OK "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
#define CONTAINER(id, name, state)                                                                 \
	"{\"Id\":\"" id "\",\"Names\":[\"/" name "\"],\"State\":\"" state "\",\"Labels\":"         \
	"{\"com.docker.compose.project\":\"" COMPOSE_PROJECT "\"}}"
#define LIST "GET /v1.41/containers/json"

#define FILE_TEXT "services: {web: {image: a}}\n"

static const char *const no_env[] = {"PATH=/usr/bin:/bin", NULL};

static void take_log(void *ctx, enum lm_level level, struct lm_str line)
{
	(void)level;
	(void)lm_buf_add_str(ctx, line);
}

static int set_up(void **state)
{
	struct fixture *f = lm_xcalloc(1, sizeof(*f));
	struct lm_err err = {LM_OK};

	strncpy(f->dir, "/tmp/application_down_test.XXXXXX", sizeof(f->dir) - 1);
	assert_non_null(mkdtemp(f->dir));
	f->program = lm_path_join(f->dir, "program");
	f->log = LM_BUF(100000);
	f->group.connector.destination = f->dir;
	f->task.group = &f->group;
	f->cx = (struct context){.task = &f->task,
		.limit = WAIT_FOREVER,
		.compose = {.program = f->program, .generation = 1},
		.env = (char **)no_env,
		.destination_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	assert_int_equal(
		local_copy_place(f->cx.destination_fd, f->dir, LM_STR(FILE_TEXT), &err), LM_OK);
	lm_log_set_sink(take_log, &f->log);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {LM_OK};

	lm_log_set_sink(NULL, NULL);
	if (f->engine)
		fake_engine_destroy(f->engine);
	if (f->cx.destination_fd >= 0)
		(void)close(f->cx.destination_fd);
	assert_int_equal(lm_tree_remove(AT_FDCWD, f->dir, &err), LM_OK);
	free(f->program);
	lm_buf_finish(&f->log);
	free(f);
	return 0;
}

/// What docker-compose does, as words of the shell.
static void script(struct fixture *f, const char *text)
{
	lm_auto_free char *whole = lm_xasprintf("#!/bin/sh\n%s\n", text);
	struct lm_err err = {LM_OK};

	assert_int_equal(lm_file_replace(AT_FDCWD, f->program, lm_str(whole), 0755, &err), LM_OK);
}

static void engine(struct fixture *f, const struct fake_answer *answers, size_t n)
{
	f->engine = fake_engine_create(answers, n);
	f->cx.engine = (struct engine){.socket_path = f->engine->path, .version = {.minor = 41}};
}

/// The name of the one file in the folder.
static const char *only_file(struct fixture *f)
{
	static char name[256];
	lm_auto_closedir DIR *d = opendir(f->dir);

	name[0] = '\0';
	for (const struct dirent *e = readdir(d); e; e = readdir(d)) {
		if (e->d_name[0] == '.' && strspn(e->d_name, ".") == strlen(e->d_name))
			continue;
		assert_string_equal(name, "");
		(void)snprintf(name, sizeof(name), "%s", e->d_name);
	}
	return name;
}

static lm_rc down(struct fixture *f, struct compose_down_options options, struct lm_err *err)
{
	if (!options.timeout_ms)
		options.timeout_ms = COMPOSE_DOWN_MS;
	options.dir = context_destination(&f->cx);
	return compose_down_application(&f->cx, &options, err);
}

static void it_has_ten_minutes(void **state)
{
	(void)state;
	assert_int_equal(COMPOSE_DOWN_MS, 10 * 60 * 1000);
}

static void at_its_time_limit_it_is_ended_and_what_still_runs_is_named(void **state)
{
	struct fixture *f = *state;
	const struct fake_answer answers[] = {{LIST,
		OK "[" CONTAINER("c1", "slow_1", "running") "," CONTAINER(
			"c2", "gone_1", "exited") "," CONTAINER("c3", "slow_2", "running") "]",
		FAKE_CLOSE}};
	struct lm_err err = {LM_OK};

	script(f, "exec sleep 1000000");
	engine(f, answers, LM_ARRAY_SIZE(answers));
	// By label would do the same to containers that do not stop.
	assert_int_equal(
		down(f, (struct compose_down_options){.timeout_ms = 1000, .by_label = true}, &err),
		LM_E_TIMEOUT);
	assert_string_equal(err.msg,
		"docker-compose down did not finish within 1 s and was killed; "
		"still running: slow_1, slow_2");
}

static void an_engine_that_does_not_answer_then_is_told(void **state)
{
	struct fixture *f = *state;
	const struct fake_answer answers[] = {{LIST, "HTTP/1.0 500 No\r\n\r\nbroken", FAKE_CLOSE}};
	struct lm_err err = {LM_OK};

	script(f, "exec sleep 1000000");
	engine(f, answers, LM_ARRAY_SIZE(answers));
	assert_int_equal(
		down(f, (struct compose_down_options){.timeout_ms = 1}, &err), LM_E_TIMEOUT);
	assert_string_equal(err.msg,
		"docker-compose down did not finish within 0 s and was killed; "
		"the Docker daemon does not report what still runs");
}

static void the_time_limit_holds_without_docker_compose_as_well(void **state)
{
	struct fixture *f = *state;
	const struct fake_answer answers[] = {
		{LIST, OK "[" CONTAINER("c1", "slow_1", "running") "]", FAKE_CLOSE},
		{"POST /v1.41/containers/c1/stop", "", FAKE_HANG}};
	const struct lm_err none = {LM_E_NOT_FOUND, 0, "no docker-compose here"};
	struct lm_err err = {LM_OK};

	engine(f, answers, LM_ARRAY_SIZE(answers));
	assert_int_equal(down(f,
				 (struct compose_down_options){
					 .timeout_ms = 20, .by_label = true, .no_compose = &none},
				 &err),
		LM_E_TIMEOUT);
	assert_string_equal(err.msg, "stopping the containers did not finish within 0 s and was "
				     "killed; still running: slow_1");
	assert_non_null(strstr(lm_buf_cstr(&f->log), "no docker-compose here: stopping and "));
}

static void goes_by_the_local_copy_and_removes_services_that_it_lacks(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {LM_OK};

	script(f, "echo \"$*\"; cat $4");
	assert_int_equal(
		down(f, (struct compose_down_options){.fallback = LM_STR("no")}, &err), LM_OK);
	lm_auto_free char *said = lm_xasprintf("-p " COMPOSE_PROJECT " -f %s/" LOCAL_COPY_NAME
					       " --project-directory %s down --remove-orphans\n",
		f->dir, f->dir);
	assert_non_null(strstr(lm_buf_cstr(&f->log), said));
	assert_non_null(strstr(lm_buf_cstr(&f->log), FILE_TEXT));
}

static void goes_by_the_other_file_where_the_copy_does_not_serve(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {LM_OK};
	struct compose_down_options options = {
		.fallback = LM_STR("services: {kept: {}}\n"), .fallback_name = "what was kept"};

	script(f, "cat $4; basename $4; ls -a $6");
	assert_int_equal(unlinkat(f->cx.destination_fd, LOCAL_COPY_NAME, 0), 0);
	assert_int_equal(down(f, options, &err), LM_OK);
	assert_non_null(strstr(lm_buf_cstr(&f->log), "using what was kept"));
	assert_non_null(strstr(lm_buf_cstr(&f->log), "services: {kept: {}}"));
	assert_non_null(strstr(lm_buf_cstr(&f->log), ".docker-compose.")); // beside the copy
	assert_string_equal(only_file(f), "program");
	// Without one, and without the label, there is nothing to go by.
	options.fallback.n = 0;
	assert_int_equal(down(f, options, &err), LM_E_NOT_FOUND);
}

static void without_a_destination_the_other_file_is_in_the_jobs_own_directory(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {LM_OK};
	char own[] = "/tmp/application_down_own.XXXXXX";
	const struct compose_down_options options = {
		.fallback = LM_STR("services: {kept: {}}\n"), .fallback_name = "what was kept"};

	assert_non_null(mkdtemp(own));
	f->task.credentials_directory = own;
	assert_int_equal(close(f->cx.destination_fd), 0);
	f->cx.destination_fd = -1;
	script(f, "echo \"by $(dirname $4) in $6\"; cat $4");
	assert_int_equal(down(f, options, &err), LM_OK);
	lm_auto_free char *said = lm_xasprintf("by %s in /\n", own);
	assert_non_null(strstr(lm_buf_cstr(&f->log), said));
	assert_non_null(strstr(lm_buf_cstr(&f->log), "services: {kept: {}}"));
	assert_int_equal(rmdir(own), 0); // nothing was left in it
}

static void names_what_is_left(void **state)
{
	struct fixture *f = *state;
	const struct fake_answer answers[] = {
		{LIST, OK "[" CONTAINER("c2", "left_1", "exited") "]", FAKE_CLOSE}};

	engine(f, answers, LM_ARRAY_SIZE(answers));
	compose_down_warn_left(&f->cx);
	assert_non_null(strstr(lm_buf_cstr(&f->log), "[WARN]"));
	assert_non_null(strstr(lm_buf_cstr(&f->log), ": left_1\n"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_has_ten_minutes),
		TEST(at_its_time_limit_it_is_ended_and_what_still_runs_is_named),
		TEST(an_engine_that_does_not_answer_then_is_told),
		TEST(the_time_limit_holds_without_docker_compose_as_well),
		TEST(goes_by_the_local_copy_and_removes_services_that_it_lacks),
		TEST(goes_by_the_other_file_where_the_copy_does_not_serve),
		TEST(without_a_destination_the_other_file_is_in_the_jobs_own_directory),
		TEST(names_what_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
