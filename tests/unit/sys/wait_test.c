// SPDX-License-Identifier: Apache-2.0
#include "sys/wait.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <unistd.h>

static void returns_when_a_descriptor_is_ready(void **state)
{
	(void)state;
	int ends[2];
	struct lm_err err;
	struct wait_limit limit = WAIT_FOREVER;

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	struct pollfd fd = {.fd = ends[0], .events = POLLIN};
	assert_int_equal(wait_for(&fd, 1, &limit, &err), LM_OK);
	assert_true(fd.revents & POLLIN);
	close(ends[0]);
	close(ends[1]);
}

static void ends_at_the_deadline_and_says_so(void **state)
{
	(void)state;
	struct lm_err err;
	struct wait_limit limit = wait_limit_within(&WAIT_FOREVER, 1);

	assert_int_equal(wait_for(NULL, 0, &limit, &err), LM_E_TIMEOUT);
	assert_string_equal(err.msg, "time limit reached");
}

static void hang_up_of_the_cancel_descriptor_cancels(void **state)
{
	(void)state;
	int ends[2];
	struct lm_err err;

	assert_int_equal(pipe(ends), 0);
	struct wait_limit limit = {.cancel_fd = ends[0]};
	close(ends[1]);
	assert_int_equal(wait_ms(60000, &limit, &err), LM_E_CANCELLED);
	assert_string_equal(err.msg, "cancelled");
	close(ends[0]);
}

static void within_never_moves_a_deadline_back(void **state)
{
	(void)state;
	struct wait_limit near = {.deadline_ms = lm_clock_mono_ms() + 5, .cancel_fd = -1};

	assert_int_equal(wait_limit_within(&near, 60000).deadline_ms, near.deadline_ms);
}

static void waiting_for_time_alone_is_not_a_time_out(void **state)
{
	(void)state;
	struct lm_err err;

	assert_int_equal(wait_ms(1, &WAIT_FOREVER, &err), LM_OK);
	struct wait_limit near = wait_limit_within(&WAIT_FOREVER, 1);
	assert_int_equal(wait_ms(60000, &near, &err), LM_E_TIMEOUT);
}

static void count(void *ctx)
{
	++*(unsigned *)ctx;
}

static void shows_that_it_is_alive_while_it_waits(void **state)
{
	(void)state;
	struct lm_err err;
	unsigned calls = 0;
	struct wait_limit limit = {
		.cancel_fd = -1, .alive = count, .alive_ctx = &calls, .alive_ms = 1};

	assert_int_equal(wait_ms(20, &limit, &err), LM_OK);
	assert_true(calls > 0);
}

static void many_short_waits_show_life_like_one_long_wait(void **state)
{
	(void)state;
	struct lm_err err;
	unsigned calls = 0;
	uint64_t due = 0;
	struct wait_limit limit = {.cancel_fd = -1,
		.alive = count,
		.alive_ctx = &calls,
		.alive_ms = 10,
		.alive_due_ms = &due};

	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(wait_ms(1, &limit, &err), LM_OK);
	assert_true(calls > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(returns_when_a_descriptor_is_ready),
		cmocka_unit_test(ends_at_the_deadline_and_says_so),
		cmocka_unit_test(hang_up_of_the_cancel_descriptor_cancels),
		cmocka_unit_test(within_never_moves_a_deadline_back),
		cmocka_unit_test(waiting_for_time_alone_is_not_a_time_out),
		cmocka_unit_test(shows_that_it_is_alive_while_it_waits),
		cmocka_unit_test(many_short_waits_show_life_like_one_long_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
