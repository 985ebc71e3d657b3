// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include "base/cleanup.h"
#include "base/file.h"
#include "daemon/activation_order.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { HOUR_MS = 3600 * 1000 };

/// In 2026.
static const int64_t WALL_MS = 1796000000000;

static void counts_by_the_clock_that_never_jumps(void **state)
{
	(void)state;
	struct activation_order o = activation_order_make(3, false, WALL_MS, 5000, "one");

	assert_int_equal(activation_order_age_ms(&o, WALL_MS, 5000, "one"), 0);
	// Whatever the wall clock was set to.
	assert_int_equal(activation_order_age_ms(&o, 0, 6000, "one"), 1000);
	assert_int_equal(activation_order_age_ms(&o, 2 * WALL_MS, 6000, "one"), 1000);
}

static void counts_by_the_wall_clock_over_a_restart_of_the_device(void **state)
{
	(void)state;
	struct activation_order o = activation_order_make(3, false, WALL_MS, 5000, "one");

	assert_int_equal(activation_order_age_ms(&o, WALL_MS + HOUR_MS, 60000, "two"), HOUR_MS);
	// A clock that is not set yet, or was set back: no less than the time since the restart.
	assert_int_equal(activation_order_age_ms(&o, 0, 60000, "two"), 60000);
	assert_int_equal(activation_order_age_ms(&o, WALL_MS - HOUR_MS, 60000, "two"), 60000);
	assert_int_equal(activation_order_age_ms(&o, WALL_MS + 1, 60000, "two"), 60000);
	// An order by a clock that was not set says nothing about the time until the restart.
	o = activation_order_make(3, false, 1000, 5000, "one");
	assert_int_equal(activation_order_age_ms(&o, WALL_MS, 60000, "two"), 60000);
	// Without an ID every run is another boot.
	o = activation_order_make(3, false, WALL_MS, 5000, "");
	assert_int_equal(activation_order_age_ms(&o, WALL_MS + HOUR_MS, 6000, ""), HOUR_MS);
}

static void follows_a_clock_that_is_set(void **state)
{
	(void)state;
	struct activation_order o = activation_order_make(3, false, 1000, 5000, "one");

	assert_false(activation_order_follow_clock(&o, 1000 + 10500, 15000, "one")); // adjusted
	assert_true(activation_order_follow_clock(&o, WALL_MS, 15000, "one"));
	assert_int_equal(o.ordered_ms, WALL_MS - 10000);
	assert_false(activation_order_follow_clock(&o, WALL_MS + 5000, 20000, "one"));
	assert_int_equal(
		activation_order_age_ms(&o, WALL_MS + HOUR_MS, 100, "two"), HOUR_MS + 10000);
	assert_false(activation_order_follow_clock(&o, 0, 100, "two"));
}

static void outlives_the_program(void **state)
{
	(void)state;
	char folder[] = "/tmp/activation_order_test.XXXXXX";
	lm_auto(damage_finish) struct damage damage = {0};
	struct activation_order o = activation_order_make(7, true, WALL_MS, 5000, "one"), read;
	struct lm_err err = {LM_OK};

	assert_non_null(mkdtemp(folder));
	assert_int_equal(activation_order_read(folder, &damage, &read, &err), LM_OK);
	assert_int_equal(read.generation, 0);
	assert_int_equal(activation_order_write(folder, &o, &err), LM_OK);
	assert_int_equal(activation_order_read(folder, &damage, &read, &err), LM_OK);
	assert_int_equal(read.generation, 7);
	assert_true(read.now);
	assert_int_equal(read.ordered_ms, WALL_MS);
	assert_int_equal(read.boot_ms, 5000);
	assert_string_equal(read.boot_id, "one");
	assert_int_equal(activation_order_forget(folder, &err), LM_OK);
	assert_int_equal(activation_order_forget(folder, &err), LM_OK);
	assert_int_equal(activation_order_read(folder, &damage, &read, &err), LM_OK);
	assert_int_equal(read.generation, 0);
	assert_int_equal(damage.n, 0);
	assert_int_equal(lm_tree_remove(AT_FDCWD, folder, NULL), LM_OK);
}

static void a_damaged_record_is_none(void **state)
{
	(void)state;
	char folder[] = "/tmp/activation_order_test.XXXXXX";
	lm_auto(damage_finish) struct damage damage = {0};
	struct activation_order read;
	struct lm_err err = {LM_OK};

	assert_non_null(mkdtemp(folder));
	lm_auto_free char *path = lm_path_join(folder, "activation.json");
	lm_auto_fclose FILE *file = fopen(path, "w");
	assert_true(file && fputs("{\"generation\": 7, \"now\"", file) >= 0 && fflush(file) == 0);
	assert_int_equal(activation_order_read(folder, &damage, &read, &err), LM_OK);
	assert_int_equal(read.generation, 0);
	assert_int_equal(damage.n, 1);
	assert_non_null(strstr(damage.notes[0], "ActivateWithinSeconds starts over"));
	assert_int_equal(lm_tree_remove(AT_FDCWD, folder, NULL), LM_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_by_the_clock_that_never_jumps),
		cmocka_unit_test(counts_by_the_wall_clock_over_a_restart_of_the_device),
		cmocka_unit_test(follows_a_clock_that_is_set),
		cmocka_unit_test(outlives_the_program),
		cmocka_unit_test(a_damaged_record_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
