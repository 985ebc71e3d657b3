// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_log_time(int64_t ms, const char *expected)
{
	char out[LM_TIME_SIZE];

	assert_string_equal(lm_time_format_log(ms, out), expected);
}

static void log_time_trims_trailing_zeros_of_the_fraction(void **state)
{
	(void)state;
	assert_log_time(1597153144909, "2020-08-11T13:39:04.909Z");
	assert_log_time(1597153144050, "2020-08-11T13:39:04.05Z");
	assert_log_time(1597153144900, "2020-08-11T13:39:04.9Z");
	assert_log_time(1597153144001, "2020-08-11T13:39:04.001Z");
}

static void log_time_of_an_exact_second_has_no_point(void **state)
{
	(void)state;
	assert_log_time(1597153144000, "2020-08-11T13:39:04Z");
	assert_log_time(1597153140000, "2020-08-11T13:39:00Z"); // the seconds keep their zeros
	assert_log_time(0, "1970-01-01T00:00:00Z");
}

static void iso_time_has_three_digits(void **state)
{
	(void)state;
	char out[LM_TIME_SIZE];

	assert_string_equal(lm_time_format_iso(1597153144050, out), "2020-08-11T13:39:04.050Z");
	assert_string_equal(lm_time_format_iso(1597153144000, out), "2020-08-11T13:39:04.000Z");
}

static void amz_time_is_what_sigv4_wants(void **state)
{
	(void)state;
	char out[LM_TIME_SIZE];

	assert_string_equal(lm_time_format_amz(1597153144909, out), "20200811T133904Z");
}

static void times_before_1970_round_down(void **state)
{
	(void)state;
	char out[LM_TIME_SIZE];

	assert_string_equal(lm_time_format_iso(-1, out), "1969-12-31T23:59:59.999Z");
	assert_string_equal(lm_time_format_iso(-1000, out), "1969-12-31T23:59:59.000Z");
	assert_string_equal(lm_time_format_iso(-1001, out), "1969-12-31T23:59:58.999Z");
	assert_string_equal(lm_time_format_amz(-1, out), "19691231T235959Z");
}

static void the_extremes_of_time_fit(void **state)
{
	(void)state;
	char out[LM_TIME_SIZE];

	assert_string_equal(lm_time_format_iso(INT64_MAX, out), "292278994-08-17T07:12:55.807Z");
	assert_string_equal(lm_time_format_iso(INT64_MIN, out), "-292275055-05-16T16:47:04.192Z");
	assert_string_equal(lm_time_format_amz(INT64_MAX, out), "2922789940817T071255Z");
}

static void the_monotonic_clock_does_not_go_back(void **state)
{
	(void)state;
	uint64_t first = lm_clock_mono_ms();

	assert_true(first > 0);
	assert_true(lm_clock_mono_ms() >= first);
	assert_true(lm_clock_wall_ms() > 1577836800000); // after 2020
}

static void backoff_stays_within_its_bound(void **state)
{
	(void)state;
	uint64_t highest = 0;

	for (int i = 0; i < 2000; i++) {
		assert_in_range(lm_backoff_ms(0, 100, 1000), 0, 100);
		assert_in_range(lm_backoff_ms(2, 100, 1000), 0, 400);
		uint64_t late = lm_backoff_ms(10, 100, 1000);
		assert_in_range(late, 0, 1000);
		highest = late > highest ? late : highest;
		assert_in_range(lm_backoff_ms(0, 5000, 1000), 0, 1000);
	}
	assert_true(highest > 800); // full jitter reaches up to the bound
}

static void backoff_does_not_overflow(void **state)
{
	(void)state;
	uint64_t highest = 0;

	for (int i = 0; i < 200; i++) {
		uint64_t ms = lm_backoff_ms(4000000000u, 3, UINT64_MAX);
		highest = ms > highest ? ms : highest;
	}
	assert_true(highest > UINT64_MAX / 2);
	assert_in_range(lm_backoff_ms(64, (UINT64_MAX / 2) + 2, UINT64_MAX - 1), 0, UINT64_MAX - 1);
	assert_int_equal(lm_backoff_ms(4000000000u, 0, 1000), 0); // and at once
	assert_int_equal(lm_backoff_ms(5, 100, 0), 0);
}

static void random_is_below_its_bound(void **state)
{
	(void)state;
	unsigned seen = 0;

	assert_int_equal(lm_random_below(0), 0);
	assert_int_equal(lm_random_below(1), 0);
	for (int i = 0; i < 1000; i++) {
		uint64_t r = lm_random_below(4);
		assert_in_range(r, 0, 3);
		seen |= 1u << r;
	}
	assert_int_equal(seen, 15);
}

static void a_time_that_was_written_is_read(void **state)
{
	(void)state;
	static const int64_t times[] = {0, 1597153144909, 1597153144050, 1597153144000, -1, -1001};

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		char text[LM_TIME_SIZE];
		int64_t ms = 77;

		assert_true(lm_time_parse(lm_str(lm_time_format_log(times[i], text)), &ms));
		assert_int_equal(ms, times[i]);
		assert_true(lm_time_parse(lm_str(lm_time_format_iso(times[i], text)), &ms));
		assert_int_equal(ms, times[i]);
	}
}

static void a_time_of_an_engine_is_read(void **state)
{
	(void)state;
	int64_t ms = 0;

	assert_true(lm_time_parse(LM_STR("2020-08-11T13:39:04.909876543Z"), &ms));
	assert_int_equal(ms, 1597153144909);
	assert_true(lm_time_parse(LM_STR("0001-01-01T00:00:00Z"), &ms));
	assert_true(ms < 0);
}

static void what_is_no_time_is_not_read(void **state)
{
	(void)state;
	static const char *const texts[] = {"", "Z", "2020-08-11T13:39:04",
		"2020-08-11T13:39:04+00:00", "2020-08-11T13:39:04.Z", "2020-08-11T13:39:04.9x9Z",
		"2020-08-11 13:39:04Z", "2020-13-11T13:39:04Z", "2020-08-00T13:39:04Z",
		"2020-08-11T24:39:04Z", "2020-08-11T13:39:04.0123456789Z", "20-08-11T13:39:04Z",
		"2020-08-11T1:39:04Z", "2020-08-11T13:39:04ZZ"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		int64_t ms = 77;

		assert_false(lm_time_parse(lm_str(texts[i]), &ms));
		assert_int_equal(ms, 77);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(log_time_trims_trailing_zeros_of_the_fraction),
		cmocka_unit_test(log_time_of_an_exact_second_has_no_point),
		cmocka_unit_test(iso_time_has_three_digits),
		cmocka_unit_test(amz_time_is_what_sigv4_wants),
		cmocka_unit_test(times_before_1970_round_down),
		cmocka_unit_test(a_time_that_was_written_is_read),
		cmocka_unit_test(a_time_of_an_engine_is_read),
		cmocka_unit_test(what_is_no_time_is_not_read),
		cmocka_unit_test(the_extremes_of_time_fit),
		cmocka_unit_test(the_monotonic_clock_does_not_go_back),
		cmocka_unit_test(backoff_stays_within_its_bound),
		cmocka_unit_test(backoff_does_not_overflow),
		cmocka_unit_test(random_is_below_its_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
