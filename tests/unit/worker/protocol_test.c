// SPDX-License-Identifier: Apache-2.0
#include "worker/protocol.h"

#include "base/cleanup.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <signal.h>

/// A report, and lightermand's ends of its two pipes.
struct talk {
	struct protocol protocol;
	int in[2], out[2];
};

static int set_up(void **state)
{
	static struct talk t;
	struct lm_err err;
	assert_int_equal(pipe(t.in), 0);
	assert_int_equal(pipe(t.out), 0);
	assert_int_equal(protocol_init(&t.protocol, t.in[0], t.out[1], &err), LM_OK);
	*state = &t;
	return 0;
}

static int tear_down(void **state)
{
	struct talk *t = *state;
	const int fds[] = {t->in[0], t->in[1], t->out[0], t->out[1]};
	protocol_finish(&t->protocol);
	for (size_t i = 0; i < LM_ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return 0;
}

static void say(struct talk *t, const char *text)
{
	assert_int_equal(write(t->in[1], text, strlen(text)), strlen(text));
}

static void expect(struct talk *t, const char *text)
{
	char buf[1000];
	ssize_t n = read(t->out[0], buf, sizeof(buf) - 1);
	assert_true(n >= 0);
	buf[n] = '\0';
	assert_string_equal(buf, text);
}

static void a_stage_begins_only_after_go(void **state)
{
	struct talk *t = *state;
	struct lm_err err = {LM_OK};
	struct deploy_event begin = {.stage = DEPLOY_PULL, .state = DEPLOY_BEGIN};
	say(t, "go\n");
	assert_int_equal(protocol_report_stage(&t->protocol, &begin, &err), LM_OK);
	expect(t, "{\"stage\":\"pull\",\"state\":\"begin\"}\n");
	say(t, "gone\n");
	assert_int_equal(protocol_report_stage(&t->protocol, &begin, &err), LM_E_PROTOCOL);
}

static void the_end_of_stdin_cancels(void **state)
{
	struct talk *t = *state;
	struct lm_err err = {LM_OK};
	struct lm_str line;
	struct wait_limit limit = protocol_limit(&t->protocol, 60);
	say(t, "half a line");
	close(lm_take_fd(t->in[1]));
	assert_int_equal(wait_ms(60000, &limit, &err), LM_E_CANCELLED);
	assert_int_equal(protocol_read_line(&t->protocol, 100, &line, &err), LM_E_CANCELLED);
}

static void sigterm_cancels_whatever_is_waited_for(void **state)
{
	struct talk *t = *state;
	struct lm_err err = {LM_OK};
	struct lm_str line;
	struct wait_limit limit = protocol_limit(&t->protocol, 60);
	assert_int_equal(raise(SIGTERM), 0);
	assert_int_equal(wait_ms(60000, &limit, &err), LM_E_CANCELLED);
	assert_int_equal(protocol_read_line(&t->protocol, 100, &line, &err), LM_E_CANCELLED);
}

static void a_line_over_its_ceiling_is_refused(void **state)
{
	struct talk *t = *state;
	struct lm_err err = {LM_OK};
	struct lm_str line;
	say(t, "12345\n");
	assert_int_equal(protocol_read_line(&t->protocol, 5, &line, &err), LM_E_TOO_LARGE);
}

static void words_that_are_not_utf_8_arrive_nevertheless(void **state)
{
	struct talk *t = *state;
	struct lm_err err = {LM_OK};
	struct deploy_event fail = {
		.stage = DEPLOY_UP, .state = DEPLOY_FAIL, .ms = 7, .message = "caf\xe9 is closed"};
	assert_int_equal(protocol_report_stage(&t->protocol, &fail, &err), LM_OK);
	expect(t, "{\"stage\":\"up\",\"state\":\"fail\",\"ms\":7,"
		  "\"message\":\"caf\\\\xe9 is closed\"}\n");
}

static void shows_life_three_times_while_silence_is_borne(void **state)
{
	struct talk *t = *state;
	static const struct {
		unsigned silence_s, alive_ms;
	} table[] = {{1, 333}, {3, 1000}, {29, 9666}, {30, 10000}, {60, 10000}, {3600, 10000}};
	for (size_t i = 0; i < LM_ARRAY_SIZE(table); i++)
		assert_int_equal(protocol_limit(&t->protocol, table[i].silence_s).alive_ms,
			table[i].alive_ms);
}

static void shows_life_until_a_line_comes(void **state)
{
	struct talk *t = *state;
	struct lm_err err = {LM_OK};
	struct lm_str line;
	t->protocol.alive_due_ms = 1; // long ago
	say(t, "more\n");
	assert_int_equal(protocol_wait(&t->protocol, 1, &err), LM_OK);
	expect(t, "{\"alive\":true}\n");
	assert_int_equal(protocol_read_line(&t->protocol, 100, &line, &err), LM_OK);
	assert_true(lm_str_eq(line, LM_STR("more")));
	close(lm_take_fd(t->in[1]));
	assert_int_equal(protocol_wait(&t->protocol, 1, &err), LM_OK);
	assert_int_equal(protocol_read_line(&t->protocol, 100, &line, &err), LM_E_CANCELLED);
}

static void a_reader_that_has_gone_is_an_error_not_a_signal(void **state)
{
	struct talk *t = *state;
	struct lm_err err = {LM_OK};
	close(lm_take_fd(t->out[0]));
	assert_int_equal(protocol_send(&t->protocol, json_object(), &err), LM_E_SYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_stage_begins_only_after_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_end_of_stdin_cancels, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_line_over_its_ceiling_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			words_that_are_not_utf_8_arrive_nevertheless, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			shows_life_three_times_while_silence_is_borne, set_up, tear_down),
		cmocka_unit_test_setup_teardown(shows_life_until_a_line_comes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_reader_that_has_gone_is_an_error_not_a_signal, set_up, tear_down),
		// Last: the signal stays pending in this process.
		cmocka_unit_test_setup_teardown(
			sigterm_cancels_whatever_is_waited_for, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
