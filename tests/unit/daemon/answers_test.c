// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include "base/cleanup.h"
#include "daemon/answers.h"

#include <stdlib.h>
#include <string.h>

static struct answers a;
static struct lifecycle l;

static int set_up(void **state)
{
	(void)state;
	a = (struct answers){0};
	l = (struct lifecycle){0};
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	answers_finish(&a);
	answers_finish(&a); // of nothing
	return 0;
}

/// The line that `command` gets; `message` NULL: it has none.
static void assert_line(enum lifecycle_answer answer, enum lifecycle_command command, int status,
	const char *message)
{
	lm_auto_json json_t *line = answers_last_line(&a, &l, answer, command, false);
	const char *found = json_string_value(json_object_get(line, "message"));

	assert_int_equal(json_integer_value(json_object_get(line, "exit")), status);
	if (message)
		assert_string_equal(found, message);
	else
		assert_null(found);
}

static void assert_busy(enum lifecycle_command command, bool awaits_activation, const char *message)
{
	lm_auto_json json_t *line =
		answers_last_line(&a, &l, ANSWER_BUSY, command, awaits_activation);

	assert_int_equal(json_integer_value(json_object_get(line, "exit")), 1);
	assert_string_equal(json_string_value(json_object_get(line, "message")), message);
}

static void why_a_probation_failed_outlives_other_failures(void **state)
{
	(void)state;
	answers_note_unsound(&a, "it was restarted");
	assert_string_equal(a.failure.message, "it was restarted");
	answers_note_failure(&a, "InternalError", "a plan");
	assert_string_equal(a.unsound, "it was restarted");
}

static void a_failure_is_answered_once_and_published_after_that(void **state)
{
	(void)state;
	answers_note_failure(&a, "InternalError", "the first");
	answers_note_failure(&a, "InvalidParameter", "the image is missing");
	assert_line(ANSWER_FAILED, COMMAND_DEPLOY, 1, "the image is missing");
	assert_string_equal(a.failure.error, "InvalidParameter");
	assert_string_equal(a.failure.message, "the image is missing");
	answers_forget_failure(&a);
	assert_null(a.failure.message);
	assert_line(ANSWER_PLANNED, COMMAND_PLAN, 0, NULL);
}

static void an_outcome_has_its_generation_time_and_effect(void **state)
{
	const struct outcome success = {
		.generation = 3, .success = true, .ms = 1500, .effect = DEPLOY_UNTOUCHED};

	(void)state;
	answers_note_outcome(&a, &success);
	lm_auto_json json_t *line = answers_last_line(&a, &l, ANSWER_DONE, COMMAND_DEPLOY, false);
	lm_auto_json json_t *expected = json_pack("{s:i, s:n, s:i, s:i, s:s}", "exit", 0, "message",
		"generation", 3, "ms", 1500, "effect", deploy_effect_name(DEPLOY_UNTOUCHED));
	assert_true(json_equal(line, expected));
	assert_string_equal(a.failure.message, "");
}

static void a_failed_outcome_has_its_reason(void **state)
{
	char error[] = "InternalError", message[] = "it crashed";
	const struct outcome failed = {.generation = 3, .error = error, .message = message};

	(void)state;
	answers_note_outcome(&a, &failed);
	assert_string_equal(a.failure.error, "InternalError");
	assert_line(ANSWER_FAILED, COMMAND_DEPLOY, 1, "it crashed");
}

static void a_cancelled_outcome_has_the_reason_of_the_cancellation(void **state)
{
	char error[] = "InternalError", message[] = "the worker was killed";
	const struct outcome cancelled = {
		.generation = 3, .cancelled = true, .error = error, .message = message};

	(void)state;
	answers_note_outcome(&a, &cancelled);
	assert_line(ANSWER_CANCELLED, COMMAND_DEPLOY, 1, "the worker was killed");
	answers_note_cancel(&a, REASON_STOP, false);
	answers_note_outcome(&a, &cancelled);
	lm_auto_json json_t *line =
		answers_last_line(&a, &l, ANSWER_CANCELLED, COMMAND_DEPLOY, false);
	lm_auto_json json_t *expected = json_pack("{s:i, s:s, s:i}", "exit", 1, "message",
		"the application is to be stopped", "generation", 3);
	assert_true(json_equal(line, expected));
}

static void a_plan_is_cancelled_by_another_command_or_its_client(void **state)
{
	(void)state;
	answers_note_cancel(&a, REASON_START, true);
	assert_string_equal(
		a.why_cancelled, "cancelled by another command; try again when that has finished");
	answers_note_cancel(&a, REASON_FORGOTTEN, true);
	assert_string_equal(a.why_cancelled, "the client has disconnected");
	answers_note_cancel(&a, REASON_START, false);
	assert_string_equal(a.why_cancelled, "superseded by a start");
}

/// Generation 3 has failed, and what `back` names is to run again.
static void roll_back(struct lifecycle_target back, const char *expected)
{
	char error[] = "InternalError", message[] = "it crashed";
	const struct outcome failed = {.generation = 3, .error = error, .message = message};

	answers_note_outcome(&a, &failed);
	lm_auto_free char *text = answers_note_rollback(&a, "it crashed", &back);
	assert_string_equal(text, expected);
}

static void a_rollback_is_answered_with_both_outcomes(void **state)
{
	const struct outcome success = {.generation = 2, .success = true, .ms = 700};

	(void)state;
	roll_back((struct lifecycle_target){WANTED_UP, 2},
		"it crashed; generation 2 is started again");
	answers_note_outcome(&a, &success);
	lm_auto_json json_t *line =
		answers_last_line(&a, &l, ANSWER_ROLLED_BACK, COMMAND_DEPLOY, false);
	lm_auto_json json_t *expected = json_pack("{s:i, s:s, s:i, s:i}", "exit", 1, "message",
		"it crashed; generation 2 runs again", "generation", 3, "ms", 0);
	assert_true(json_equal(line, expected));
	// Why it was rolled back is shown until that is forgotten.
	assert_string_equal(a.rolled_back.message, "it crashed");
	answers_forget_rollback(&a);
	assert_null(a.rolled_back.message);
}

static void a_rollback_that_fails_is_answered_with_both_reasons(void **state)
{
	(void)state;
	roll_back((struct lifecycle_target){WANTED_UP, 2},
		"it crashed; generation 2 is started again");
	answers_note_failure(&a, "InternalError", "the engine is away");
	l.waits = true;
	assert_line(ANSWER_NOT_ROLLED_BACK, COMMAND_DEPLOY, 1,
		"it crashed; generation 2 could not be started again: the engine is away, "
		"retrying");
	roll_back((struct lifecycle_target){WANTED_DOWN, 2},
		"it crashed; the application is stopped again");
	answers_forget_failure(&a);
	l.waits = false;
	assert_line(ANSWER_NOT_ROLLED_BACK, COMMAND_DEPLOY, 1,
		"it crashed; the application could not be stopped again: lightermand is "
		"shutting down");
	roll_back((struct lifecycle_target){WANTED_DOWN, 2},
		"it crashed; the application is stopped again");
	assert_line(ANSWER_ROLLED_BACK, COMMAND_DEPLOY, 1,
		"it crashed; the application is stopped again");
}

static void a_failed_probation_is_why_it_is_rolled_back(void **state)
{
	const struct lifecycle_target back = {WANTED_UP, 2};

	(void)state;
	answers_note_failure(&a, "InternalError", "web is unhealthy");
	lm_auto_free char *text = answers_note_revocation(&a, &back);
	assert_string_equal(text, "web is unhealthy; generation 2 is started again");
	assert_string_equal(a.rolled_back.message, "web is unhealthy");
	assert_null(a.rolled_back.last_line);
}

static void says_what_keeps_a_command_from_being_carried_out(void **state)
{
	(void)state;
	l.activity = ACTIVITY_DEPLOYING;
	l.subject = 4;
	assert_busy(COMMAND_START, false, "generation 4 is being deployed already");
	assert_busy(COMMAND_PLAN, false,
		"generation 4 is being deployed; try again when it has finished");
	assert_busy(COMMAND_PLAN, true,
		"generation 4 waits for its activation ('lighterman status' says for what); try "
		"again when it is deployed");
	l.subject = 0;
	assert_busy(COMMAND_START, false, "a deployment is about to begin already");
	assert_busy(COMMAND_PLAN, false,
		"another command is about to begin; try again when it has finished");
	l.activity = ACTIVITY_PLANNING;
	assert_busy(
		COMMAND_PLAN, false, "another plan is being made; try again when it has finished");
	l.activity = ACTIVITY_LOOKING;
	assert_busy(COMMAND_PLAN, false,
		"the application is being stopped; try again when that has finished");
}

static void a_stop_succeeds_whatever_failed_before(void **state)
{
	(void)state;
	answers_note_failure(&a, "InternalError", "it crashed");
	assert_line(ANSWER_DONE, COMMAND_STOP, 0, NULL);
	assert_line(ANSWER_NOTHING_DEPLOYED, COMMAND_STOP, 0, "nothing was deployed yet");
	assert_line(ANSWER_NOTHING_DEPLOYED, COMMAND_START, 1,
		"nothing was deployed yet: use 'lighterman deploy FILE'");
	assert_line(ANSWER_SUPERSEDED, COMMAND_DEPLOY, 1, "superseded by a later command");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_failure_is_answered_once_and_published_after_that),
		TEST(why_a_probation_failed_outlives_other_failures),
		TEST(an_outcome_has_its_generation_time_and_effect),
		TEST(a_failed_outcome_has_its_reason),
		TEST(a_cancelled_outcome_has_the_reason_of_the_cancellation),
		TEST(a_plan_is_cancelled_by_another_command_or_its_client),
		TEST(a_rollback_is_answered_with_both_outcomes),
		TEST(a_rollback_that_fails_is_answered_with_both_reasons),
		TEST(a_failed_probation_is_why_it_is_rolled_back),
		TEST(says_what_keeps_a_command_from_being_carried_out),
		TEST(a_stop_succeeds_whatever_failed_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
