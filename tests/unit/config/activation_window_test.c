// SPDX-License-Identifier: Apache-2.0
#include "config/activation_window.h"

#include "base/cleanup.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { DAY_S = 86400, MINUTE_S = 60 };

/// Daylight saving time as in most of Europe: 02:00 is 03:00 on the last Sunday of March, 03:00 is
/// 02:00 on that of October.
#define EUROPE "CET-1CEST,M3.5.0,M10.5.0/3"

static void set_zone(const char *zone)
{
	assert_int_equal(setenv("TZ", zone, 1), 0);
}

static struct activation_windows parse_good(const char *text)
{
	lm_auto_buf struct lm_buf why = LM_BUF(4096);
	struct activation_windows w;

	if (!activation_windows_parse(lm_str(text), &w, &why))
		fail_msg("'%s': %s", text, lm_buf_cstr(&why));
	return w;
}

/// Of a time in UTC.
static int64_t utc(int year, int month, int day, int hour, int minute, int second)
{
	struct tm tm = {.tm_year = year - 1900,
		.tm_mon = month - 1,
		.tm_mday = day,
		.tm_hour = hour,
		.tm_min = minute,
		.tm_sec = second};

	return (int64_t)timegm(&tm);
}

static void assert_next(const char *text, int64_t from_s, int64_t expected_s)
{
	struct activation_windows w = parse_good(text);
	int64_t next_s = activation_windows_next(&w, from_s);

	if (next_s != expected_s)
		fail_msg("'%s' opens %+lld s from then, not %+lld s", text,
			(long long)(next_s - from_s), (long long)(expected_s - from_s));
	assert_true(activation_windows_are_open(&w, next_s));
}

static void takes_windows(void **state)
{
	(void)state;
	enum { SUN = 1, MON = 2, TUE = 4, WED = 8, THU = 16, FRI = 32, SAT = 64, ALL = 127 };
	static const struct {
		const char *text;
		struct activation_window first;
		size_t n;
	} good[] = {
		{"02:00-05:30", {ALL, 120, 210}, 1},
		{"22:00-06:00", {ALL, 1320, 480}, 1},
		{"00:00-24:00", {ALL, 0, 1440}, 1},
		{"23:59-00:00", {ALL, 1439, 1}, 1},
		{"Mon-Fri 22:00-06:00", {MON | TUE | WED | THU | FRI, 1320, 480}, 1},
		{"fri-MON 00:01-00:02", {FRI | SAT | SUN | MON, 1, 1}, 1},
		{"Sat,Sun 01:00-02:00", {SAT | SUN, 60, 60}, 1},
		{" Mon , Wed-Thu  22:00-23:00 ,02:00-03:00", {MON | WED | THU, 1320, 60}, 2},
		{"Sun-Sun 00:00-24:00", {SUN, 0, 1440}, 1},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(good); i++) {
		struct activation_windows w = parse_good(good[i].text);

		assert_int_equal(w.n, good[i].n);
		assert_int_equal(w.items[0].days, good[i].first.days);
		assert_int_equal(w.items[0].from, good[i].first.from);
		assert_int_equal(w.items[0].minutes, good[i].first.minutes);
	}
}

static void refuses_what_is_none_and_names_it(void **state)
{
	(void)state;
	static const struct {
		const char *text, *problem;
	} bad[] = {
		{"", "'' between two commas is empty"},
		{" ", "'' between two commas is empty"},
		{"02:00-03:00,", "'' between two commas is empty"},
		{"at night", "'at' is neither a weekday"},
		{"Mo 02:00-03:00", "'Mo' is neither a weekday"},
		{"Mon- 02:00-03:00", "'Mon-' is neither a weekday"},
		{"Mon-Fri-Sun 02:00-03:00", "'Mon-Fri-Sun' is neither"},
		{"Mon", "'Mon' ends with weekdays that have no times"},
		{"Mon,02:00-03:00", "'02:00-03:00' follows weekdays that have no times"},
		{"02:00", "'02:00' is not from HH:MM-HH:MM"},
		{"2:00-3:00", "'2:00-3:00' is not from"},
		{"02:60-03:00", "'02:60-03:00' is not from"},
		{"02:00-24:01", "'02:00-24:01' is not from"},
		{"-2:00-03:00", "'-2:00-03:00' is neither a weekday"},
		{"02:00 - 03:00", "'02:00 - 03:00' is not from"},
		{"02:00-03:00-04:00", "is not from"},
		{"02:00-02:00", "'02:00-02:00' is empty; a whole day is 00:00-24:00"},
		{"24:00-02:00", "opens at 24:00"},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		lm_auto_buf struct lm_buf why = LM_BUF(4096);
		struct activation_windows w;

		assert_false(activation_windows_parse(lm_str(bad[i].text), &w, &why));
		if (!strstr(lm_buf_cstr(&why), bad[i].problem))
			fail_msg("'%s': %s", bad[i].text, lm_buf_cstr(&why));
		assert_non_null(strstr(lm_buf_cstr(&why), "must be windows of local time"));
	}
}

static void has_a_ceiling(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf text = LM_BUF(4096), why = LM_BUF(4096);
	struct activation_windows w;

	for (int i = 0; i < ACTIVATION_WINDOWS_MAX; i++)
		assert_true(lm_buf_printf(&text, "%s0%d:00-0%d:30", i ? "," : "", i % 9, i % 9));
	assert_true(activation_windows_parse(lm_buf_str(&text), &w, &why));
	assert_int_equal(w.n, ACTIVATION_WINDOWS_MAX);
	assert_true(lm_buf_puts(&text, ",12:00-13:00"));
	assert_false(activation_windows_parse(lm_buf_str(&text), &w, &why));
	assert_non_null(strstr(lm_buf_cstr(&why), "32 windows"));
}

/// 2026-11-30 is a Monday.
static void opens_next(void **state)
{
	(void)state;
	set_zone("UTC");
	int64_t noon_s = utc(2026, 11, 30, 12, 0, 30);

	assert_next("02:00-05:30", noon_s, utc(2026, 12, 1, 2, 0, 0));
	assert_next("11:00-13:00", noon_s, noon_s);
	assert_next("11:00-12:00", noon_s, utc(2026, 12, 1, 11, 0, 0));
	assert_next("12:01-12:02", noon_s, utc(2026, 11, 30, 12, 1, 0));
	assert_next("22:00-12:01", noon_s, noon_s); // Sunday's is still open
	assert_next("Mon 22:00-12:01", noon_s, utc(2026, 11, 30, 22, 0, 0));
	assert_next("Mon 12:00-12:01", noon_s, noon_s);
	assert_next("Mon 11:00-12:00", noon_s, utc(2026, 12, 7, 11, 0, 0));
	assert_next("Fri 23:00-01:00, Sun 08:00-09:00", noon_s, utc(2026, 12, 4, 23, 0, 0));
	assert_next("Sat 23:00-01:00", utc(2026, 12, 6, 0, 59, 59), utc(2026, 12, 6, 0, 59, 59));
	assert_next("Sat 23:00-01:00", utc(2026, 12, 6, 1, 0, 0), utc(2026, 12, 12, 23, 0, 0));
	struct activation_windows none = {.n = 0};
	assert_int_equal(activation_windows_next(&none, noon_s), -1);
	assert_false(activation_windows_are_open(&none, noon_s));
}

static void follows_the_zone(void **state)
{
	(void)state;
	struct activation_windows w = parse_good("02:00-03:00");
	int64_t at_s = utc(2026, 11, 30, 2, 30, 0);

	set_zone("UTC");
	assert_true(activation_windows_are_open(&w, at_s));
	set_zone("NPT-5:45");
	assert_false(activation_windows_are_open(&w, at_s));
	assert_int_equal(activation_windows_next(&w, at_s), utc(2026, 11, 30, 20, 15, 0));
}

/// The last Sunday of March 2027 is the 28th, that of October the 31st.
static void follows_daylight_saving_time(void **state)
{
	(void)state;
	set_zone(EUROPE);
	// A skipped hour is no time: that day the window does not open.
	assert_next("02:00-03:00", utc(2027, 3, 27, 23, 0, 0), utc(2027, 3, 29, 0, 0, 0));
	// Half of it is skipped: it opens when the clocks have been set.
	assert_next("02:30-04:00", utc(2027, 3, 27, 23, 0, 0), utc(2027, 3, 28, 1, 0, 0));
	// A repeated one comes twice.
	struct activation_windows w = parse_good("02:00-02:30");
	assert_next("02:00-02:30", utc(2027, 10, 30, 22, 0, 0), utc(2027, 10, 31, 0, 0, 0));
	assert_false(activation_windows_are_open(&w, utc(2027, 10, 31, 0, 30, 0)));
	assert_next("02:00-02:30", utc(2027, 10, 31, 0, 30, 0), utc(2027, 10, 31, 1, 0, 0));
	// Behind the change, by the new offset.
	assert_next("05:00-06:00", utc(2027, 3, 27, 23, 0, 0), utc(2027, 3, 28, 3, 0, 0));
	assert_next("05:00-06:00", utc(2027, 10, 30, 22, 0, 0), utc(2027, 10, 31, 4, 0, 0));
	assert_next("Mon 00:00-01:00", utc(2027, 10, 30, 22, 0, 0), utc(2027, 10, 31, 23, 0, 0));
}

/// The next one, and no earlier one, is found from every quarter of an hour of a fortnight.
static void agrees_with_a_search_minute_by_minute(void **state)
{
	(void)state;
	static const char *const zones[] = {EUROPE, "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"};
	static const char *const texts[] = {
		"02:10-02:40", "Sun 02:30-03:30, Wed 23:00-01:00", "Sat,Sun 00:00-24:00"};

	for (size_t zone = 0; zone < LM_ARRAY_SIZE(zones); zone++) {
		set_zone(zones[zone]);
		for (size_t i = 0; i < LM_ARRAY_SIZE(texts); i++) {
			struct activation_windows w = parse_good(texts[i]);
			int64_t end_s = utc(2027, 4, 12, 0, 0, 0), expected_s = -1;

			for (int64_t s = end_s; s > end_s - 22 * DAY_S; s -= MINUTE_S) {
				if (activation_windows_are_open(&w, s))
					expected_s = s;
				if (expected_s >= 0 && s % (15 * MINUTE_S) == 0)
					assert_int_equal(
						activation_windows_next(&w, s), expected_s);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_windows),
		cmocka_unit_test(refuses_what_is_none_and_names_it),
		cmocka_unit_test(has_a_ceiling),
		cmocka_unit_test(opens_next),
		cmocka_unit_test(follows_the_zone),
		cmocka_unit_test(follows_daylight_saving_time),
		cmocka_unit_test(agrees_with_a_search_minute_by_minute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
