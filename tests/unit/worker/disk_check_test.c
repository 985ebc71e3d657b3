// SPDX-License-Identifier: Apache-2.0
#include "worker/disk_check.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void without_a_reserve_only_what_cannot_fit_is_refused(void **state)
{
	const struct disk_need need = {.least = 100, .most = 400};

	(void)state;
	assert_int_equal(disk_need_judge(&need, 400), DISK_FITS);
	assert_int_equal(disk_need_judge(&need, 399), DISK_MAY_FIT);
	assert_int_equal(disk_need_judge(&need, 100), DISK_MAY_FIT);
	assert_int_equal(disk_need_judge(&need, 99), DISK_SHORT);
}

static void a_reserve_is_kept_even_if_the_estimate_is_wrong(void **state)
{
	const struct disk_need need = {.least = 100, .most = 400, .reserve = 50};

	(void)state;
	assert_int_equal(disk_need_judge(&need, 450), DISK_FITS);
	assert_int_equal(disk_need_judge(&need, 449), DISK_SHORT);
}

static void nothing_to_be_pulled_needs_nothing_but_the_reserve(void **state)
{
	const struct disk_need nothing = {0}, reserve = {.reserve = 50};

	(void)state;
	assert_int_equal(disk_need_judge(&nothing, 0), DISK_FITS);
	assert_int_equal(disk_need_judge(&reserve, 50), DISK_FITS);
	assert_int_equal(disk_need_judge(&reserve, 49), DISK_SHORT);
}

static void sizes_that_a_registry_invents_do_not_overflow(void **state)
{
	const struct disk_need need = {.least = UINT64_MAX, .most = UINT64_MAX, .reserve = 50};

	(void)state;
	assert_int_equal(disk_need_judge(&need, UINT64_MAX - 1), DISK_SHORT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_reserve_only_what_cannot_fit_is_refused),
		cmocka_unit_test(a_reserve_is_kept_even_if_the_estimate_is_wrong),
		cmocka_unit_test(nothing_to_be_pulled_needs_nothing_but_the_reserve),
		cmocka_unit_test(sizes_that_a_registry_invents_do_not_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
