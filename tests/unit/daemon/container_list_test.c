// SPDX-License-Identifier: Apache-2.0
#include "daemon/container_list.h"

#include "base/file.h"
#include "base/memory.h"
#include "fake_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define OK "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
#define VERSION                                                                                    \
	{                                                                                          \
		"GET /version ", OK "{\"Version\":\"20.10.24\",\"ApiVersion\":\"1.41\"}",          \
			FAKE_PIECES                                                                \
	}
#define LIST "GET /v1.41/containers/json?"
#define ONE                                                                                        \
	OK "[{\"Id\":\"c1\",\"Names\":[\"/app_web_1\"],\"State\":\"running\","                     \
	   "\"Status\":\"Up 2 minutes (healthy)\",\"Labels\":{\"com.docker.compose.project\":"     \
	   "\"app\",\"com.docker.compose.service\":\"web\"}}]"

struct fixture {
	struct loop *loop;
	struct loop_timer *limit;
	struct fake_engine *engine;
	struct container_list *containers;
	int calls;
	int stop_after;
	lm_rc rc;
	size_t n;
	char text[LM_ERR_MSG_SIZE]; ///< Of the error, or of the first container.
};

static struct fixture f;
static bool hurry;
static uint64_t last_limit_ms;

void __real_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms);
void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms);

void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms)
{
	if (delay_ms >= 1000)
		last_limit_ms = delay_ms;
	__real_loop_timer_start(t, hurry && delay_ms >= 1000 ? 1 : delay_ms, repeat_ms);
}

static void too_long(void *ctx)
{
	(void)ctx;
	fail_msg("nothing happened within 30 s");
}

static int setup(void **state)
{
	hurry = false;
	f = (struct fixture){.stop_after = 1};
	if (loop_create(&f.loop, NULL) != LM_OK)
		return -1;
	f.limit = loop_timer_create(f.loop, too_long, NULL);
	loop_timer_start(f.limit, 30000, 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	container_list_destroy(f.containers);
	if (f.engine)
		fake_engine_destroy(f.engine);
	loop_timer_destroy(f.limit);
	loop_destroy(f.loop);
	return 0;
}

static void start(const struct fake_answer *answers, size_t n)
{
	f.engine = fake_engine_create(answers, n);
	f.containers = container_list_create(f.loop, f.engine->path, "app");
}

static void on_list(
	void *ctx, lm_rc rc, const struct engine_containers *list, const struct lm_err *err)
{
	(void)ctx;
	f.rc = rc;
	f.n = rc == LM_OK ? list->n : 0;
	(void)snprintf(f.text, sizeof(f.text), "%s",
		rc != LM_OK    ? err->msg
		: list->n == 1 ? list->items[0].status
			       : "");
	if (++f.calls == f.stop_after)
		loop_stop(f.loop);
}

static void lists_the_applications_containers(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {VERSION, {LIST, ONE, FAKE_PIECES}};

	start(answers, 2);
	container_list_ask(f.containers, on_list, NULL);
	assert_int_equal(f.calls, 0);
	loop_run(f.loop);
	assert_int_equal(f.rc, LM_OK);
	assert_int_equal(f.n, 1);
	assert_string_equal(f.text, "Up 2 minutes (healthy)");
}

static void the_version_is_asked_for_once(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {VERSION, {LIST, ONE, FAKE_CLOSE}};

	start(answers, 2);
	for (int i = 1; i <= 3; i++) {
		f.stop_after = i;
		container_list_ask(f.containers, on_list, NULL);
		loop_run(f.loop);
		assert_int_equal(f.rc, LM_OK);
	}
	fake_engine_stop(f.engine);
	assert_int_equal(f.engine->requests_n, 4);
	assert_memory_equal(f.engine->requests[0], "GET /version ", 13);
	assert_memory_equal(f.engine->requests[3], LIST, strlen(LIST));
}

static void questions_at_the_same_time_share_an_answer(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {VERSION, {LIST, ONE, FAKE_CLOSE}};

	start(answers, 2);
	f.stop_after = 3;
	for (int i = 0; i < 3; i++)
		container_list_ask(f.containers, on_list, NULL);
	loop_run(f.loop);
	assert_int_equal(f.calls, 3);
	fake_engine_stop(f.engine);
	assert_int_equal(f.engine->requests_n, 2);
}

static void after_a_failure_the_version_is_asked_for_again(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {
		VERSION, {LIST, "HTTP/1.0 500 no\r\n\r\n{\"message\":\"disk\"}", FAKE_CLOSE}};

	start(answers, 2);
	for (int i = 1; i <= 2; i++) {
		f.stop_after = i;
		container_list_ask(f.containers, on_list, NULL);
		loop_run(f.loop);
		assert_int_equal(f.rc, LM_E_REFUSED);
		assert_string_equal(f.text, "list containers: the Docker daemon answers: disk");
	}
	fake_engine_stop(f.engine);
	assert_int_equal(f.engine->requests_n, 4);
	assert_memory_equal(f.engine->requests[2], "GET /version ", 13);
}

static void without_a_daemon_the_sentence_says_what_to_do(void **state)
{
	(void)state;
	f.containers = container_list_create(f.loop, "/nonexistent/docker.sock", "app");
	container_list_ask(f.containers, on_list, NULL);
	assert_int_equal(f.calls, 0); // not within the call
	loop_run(f.loop);
	assert_int_equal(f.rc, LM_E_NOT_FOUND);
	assert_string_equal(f.text,
		"no Docker socket at /nonexistent/docker.sock: start the Docker daemon (systemctl "
		"start docker), or install the Docker Engine");
}

static void a_connection_lost_and_rubbish_are_errors(void **state)
{
	(void)state;
	static const struct {
		struct fake_answer answer;
		lm_rc rc;
	} cases[] = {
		{{"GET /version ", "HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n{", FAKE_CLOSE},
			LM_E_NETWORK},
		{{"GET /version ", "SSH-2.0-OpenSSH\r\n\r\n", FAKE_CLOSE}, LM_E_PROTOCOL},
		{{"GET /version ", OK "{", FAKE_CLOSE}, LM_E_PROTOCOL},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		start(&cases[i].answer, 1);
		f.stop_after = (int)i + 1;
		container_list_ask(f.containers, on_list, NULL);
		loop_run(f.loop);
		assert_int_equal(f.rc, cases[i].rc);
		container_list_destroy(lm_take(f.containers));
		fake_engine_destroy(lm_take(f.engine));
	}
}

static void a_silent_daemon_is_given_up(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {{"GET /version ", "HTTP/1.0 200 OK\r\n", FAKE_HANG}};

	start(answers, 1);
	hurry = true;
	container_list_ask(f.containers, on_list, NULL);
	loop_run(f.loop);
	assert_int_equal(last_limit_ms, 10000);
	assert_int_equal(f.rc, LM_E_TIMEOUT);
	assert_non_null(strstr(f.text, "the Docker daemon did not answer at "));
	assert_non_null(strstr(f.text, " within 10 s: look at its log (journalctl -u docker)"));
}

static void ask_again(
	void *ctx, lm_rc rc, const struct engine_containers *list, const struct lm_err *err)
{
	on_list(ctx, rc, list, err);
	container_list_ask(f.containers, on_list, NULL);
}

static void a_question_may_be_asked_from_an_answer(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {VERSION, {LIST, ONE, FAKE_CLOSE}};

	start(answers, 2);
	f.stop_after = 2;
	container_list_ask(f.containers, ask_again, NULL);
	loop_run(f.loop);
	assert_int_equal(f.calls, 2);
	assert_int_equal(f.rc, LM_OK);
}

static void forget_all(
	void *ctx, lm_rc rc, const struct engine_containers *list, const struct lm_err *err)
{
	on_list(ctx, rc, list, err);
	container_list_forget(f.containers, &hurry);
}

static void a_question_forgotten_is_not_answered(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {VERSION, {LIST, ONE, FAKE_CLOSE}};

	start(answers, 2);
	container_list_ask(f.containers, on_list, &last_limit_ms);
	container_list_forget(f.containers, &last_limit_ms);
	// From the answer to one of several, and before.
	f.stop_after = 2;
	container_list_ask(f.containers, forget_all, &f);
	container_list_ask(f.containers, on_list, &hurry);
	container_list_ask(f.containers, on_list, &last_limit_ms);
	container_list_ask(f.containers, on_list, &f);
	container_list_forget(f.containers, &last_limit_ms);
	loop_run(f.loop);
	assert_int_equal(f.calls, 2);
}

static void destroy(
	void *ctx, lm_rc rc, const struct engine_containers *list, const struct lm_err *err)
{
	on_list(ctx, rc, list, err);
	container_list_destroy(lm_take(f.containers));
}

static void may_be_destroyed_from_an_answer(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {VERSION, {LIST, ONE, FAKE_CLOSE}};

	start(answers, 2);
	container_list_ask(f.containers, destroy, NULL);
	container_list_ask(f.containers, on_list, NULL);
	loop_run(f.loop);
	assert_int_equal(f.calls, 1);
	container_list_destroy(NULL);
}

static void may_be_destroyed_with_a_question_open(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {{"GET /version ", "HTTP/1.0 200 OK\r\n", FAKE_HANG}};

	start(answers, 1);
	container_list_ask(f.containers, on_list, NULL);
	container_list_destroy(lm_take(f.containers));
	assert_int_equal(f.calls, 0);
}

/// What stays resident links neither libcurl nor libyaml.
static void needs_none_of_the_workers_libraries(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf maps = LM_BUF(1 << 20);
	lm_auto_fclose FILE *file = fopen("/proc/self/maps", "re");

	assert_non_null(file);
	assert_int_equal(lm_fd_read_all(fileno(file), "maps", &maps, NULL), LM_OK);
	assert_non_null(strstr(lm_buf_cstr(&maps), "libuv"));
	assert_null(strstr(lm_buf_cstr(&maps), "libyaml"));
	assert_null(strstr(lm_buf_cstr(&maps), "libcurl"));
}

#define CONTAINERS_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONTAINERS_TEST(lists_the_applications_containers),
		CONTAINERS_TEST(the_version_is_asked_for_once),
		CONTAINERS_TEST(questions_at_the_same_time_share_an_answer),
		CONTAINERS_TEST(after_a_failure_the_version_is_asked_for_again),
		CONTAINERS_TEST(without_a_daemon_the_sentence_says_what_to_do),
		CONTAINERS_TEST(a_connection_lost_and_rubbish_are_errors),
		CONTAINERS_TEST(a_silent_daemon_is_given_up),
		CONTAINERS_TEST(a_question_may_be_asked_from_an_answer),
		CONTAINERS_TEST(a_question_forgotten_is_not_answered),
		CONTAINERS_TEST(may_be_destroyed_from_an_answer),
		CONTAINERS_TEST(may_be_destroyed_with_a_question_open),
		cmocka_unit_test(needs_none_of_the_workers_libraries),
	};

	return cmocka_run_group_tests_name("daemon/container_list", tests, NULL, NULL);
}
