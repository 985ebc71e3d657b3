// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include "daemon/repair_order.h"

static struct repair_order r;
static struct lifecycle l;
static json_t *images;

/// Generation 2 is wanted and runs.
static int set_up(void **state)
{
	(void)state;
	r = (struct repair_order){0};
	l = (struct lifecycle){.wanted = {WANTED_UP, 2},
		.good = 2,
		.actual = ACTUAL_WHOLE,
		.runs = 2,
		.activity = ACTIVITY_IDLE};
	images = json_pack("{s:[]}", "images");
	return images ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	repair_order_finish(&r);
	repair_order_finish(&r); // of nothing
	// The order has given back each reference that it took.
	assert_int_equal(images->refcount, 1);
	json_decref(images);
	return 0;
}

static void is_due_once_what_is_wanted_runs(void **state)
{
	(void)state;
	assert_false(repair_order_is_due(&r, &l));
	repair_order_set(&r, 2, images, true);
	assert_true(repair_order_is_due(&r, &l));
	l.activity = ACTIVITY_PLANNING;
	assert_false(repair_order_is_due(&r, &l));
	l.activity = ACTIVITY_IDLE;
	l.actual = ACTUAL_PARTIAL;
	assert_false(repair_order_is_due(&r, &l));
	l.actual = ACTUAL_NOTHING;
	l.wanted.state = WANTED_DOWN;
	assert_false(repair_order_is_due(&r, &l));
}

static void is_not_due_for_another_generation_or_without_at_once(void **state)
{
	(void)state;
	repair_order_set(&r, 1, images, true);
	assert_false(repair_order_is_due(&r, &l));
	repair_order_set(&r, 2, images, false);
	assert_false(repair_order_is_due(&r, &l));
	repair_order_set(&r, 2, NULL, true);
	assert_false(repair_order_is_due(&r, &l));
}

static void what_runs_is_left_alone_until_that_is_decided_or_ordered(void **state)
{
	(void)state;
	repair_order_set(&r, 2, images, true);
	assert_null(repair_order_begin(&r, &l, 2));
	assert_false(r.is_under_way);
	l.damaged = true;
	assert_ptr_equal(repair_order_begin(&r, &l, 2), images);
	assert_true(r.is_under_way);
	assert_null(repair_order_begin(&r, &l, 3)); // another generation
	assert_false(r.is_under_way);
	l.damaged = false;
	l.command = COMMAND_START;
	assert_ptr_equal(repair_order_begin(&r, &l, 2), images);
	l.own = true; // nobody ordered it
	assert_null(repair_order_begin(&r, &l, 2));
}

static void every_other_try_of_what_did_not_come_up_replaces_them(void **state)
{
	(void)state;
	repair_order_set(&r, 2, images, false);
	l.touched = true;
	for (l.tries = 0; l.tries < 4; l.tries++)
		assert_int_equal(repair_order_begin(&r, &l, 2) != NULL, l.tries % 2 == 1);
}

static void is_over_when_they_were_replaced(void **state)
{
	(void)state;
	repair_order_set(&r, 2, images, true);
	repair_order_set(&r, 2, images, true); // the same again
	l.damaged = true;
	assert_non_null(repair_order_begin(&r, &l, 2));
	repair_order_end(&r);
	assert_false(r.is_under_way);
	assert_false(repair_order_is_due(&r, &l));
	assert_null(repair_order_begin(&r, &l, 2));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(is_due_once_what_is_wanted_runs),
		TEST(is_not_due_for_another_generation_or_without_at_once),
		TEST(what_runs_is_left_alone_until_that_is_decided_or_ordered),
		TEST(every_other_try_of_what_did_not_come_up_replaces_them),
		TEST(is_over_when_they_were_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
