// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include "worker/heartbeat.h"

#include <poll.h>
#include <stdbool.h>
#include <unistd.h>

enum { ALIVE_MS = 5, PATIENCE_MS = 200, QUIET_MS = 1000, LONG_MS = 20000 };

/// Each sign of life is a byte.
static int signs[2];

static void show_alive(void *ctx)
{
	assert_ptr_equal(ctx, signs);
	assert_int_equal(write(signs[1], "!", 1), 1);
}

static int setup(void **state)
{
	(void)state;
	return pipe(signs);
}

static int teardown(void **state)
{
	(void)state;
	return close(signs[0]) | close(signs[1]);
}

static struct wait_limit make_limit(void)
{
	return (struct wait_limit){
		.cancel_fd = -1, .alive = show_alive, .alive_ctx = signs, .alive_ms = ALIVE_MS};
}

/// Whether there is a sign within that time; takes it.
static bool is_alive(int timeout_ms)
{
	struct pollfd in = {.fd = signs[0], .events = POLLIN};
	char sign;

	return poll(&in, 1, timeout_ms) == 1 && read(signs[0], &sign, 1) == 1;
}

static void a_call_that_blocks_shows_life(void **state)
{
	struct wait_limit limit = make_limit();
	struct heartbeat *h = NULL;
	struct lm_err err = {LM_OK};

	(void)state;
	assert_int_equal(heartbeat_start(&limit, LONG_MS, &h, &err), LM_OK);
	// This thread does nothing but block.
	for (int i = 0; i < 10; i++)
		assert_true(is_alive(LONG_MS));
	heartbeat_stop(h);
	while (is_alive(0))
		continue;
	assert_false(is_alive(10 * ALIVE_MS));
	heartbeat_stop(NULL);
}

static void one_that_blocks_for_ever_does_not(void **state)
{
	struct wait_limit limit = make_limit();
	struct heartbeat *h = NULL;
	struct lm_err err = {LM_OK};

	(void)state;
	assert_int_equal(heartbeat_start(&limit, PATIENCE_MS, &h, &err), LM_OK);
	while (is_alive(QUIET_MS))
		continue;
	// The task goes on after all.
	assert_int_equal(wait_ms((uint64_t)10 * ALIVE_MS, &limit, &err), LM_OK);
	assert_true(is_alive(LONG_MS));
	heartbeat_stop(h);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_call_that_blocks_shows_life),
		TEST(one_that_blocks_for_ever_does_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
