// SPDX-License-Identifier: Apache-2.0
#include "sys/notice.h"

#include "base/cleanup.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

static bool is_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static void nothing_is_noticed_while_nothing_changes(void **state)
{
	lm_auto_close int addresses = -1;
	lm_auto_close int clock = -1;
	struct lm_err err = {LM_OK};

	(void)state;
	assert_int_equal(notice_of_addresses(&addresses, &err), LM_OK);
	assert_int_equal(notice_of_clock(&clock, &err), LM_OK);
	assert_false(is_readable(addresses));
	assert_false(is_readable(clock));
	notice_take_addresses(addresses); // does not wait
	notice_take_clock(clock);
	assert_false(is_readable(clock));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_noticed_while_nothing_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
