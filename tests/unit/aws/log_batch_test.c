// SPDX-License-Identifier: Apache-2.0
#include "aws/log_batch.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/memory.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { T = 1700000000, DAY_MS = 24 * 3600 * 1000 };

/// "time message" of each event of the batch, one a line.
static char *shown(const struct log_event *events, size_t n)
{
	lm_auto_json json_t *list = log_batch_build(events, n);
	char *text = lm_xstrdup("");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *e = json_array_get(list, i);
		char *longer = lm_xasprintf("%s%lld %s\n", text,
			(long long)json_get_int(e, "timestamp", -1), json_get_text(e, "message"));

		free(text);
		text = longer;
	}
	return text;
}

static void assert_shown(const struct log_event *events, size_t n, const char *expected)
{
	lm_auto_free char *text = shown(events, n);

	assert_string_equal(text, expected);
}

static void knows_names_of_groups(void **state)
{
	lm_auto_free char *longest = lm_xasprintf("%0512d", 0), *longer = lm_xasprintf("%0513d", 0);

	(void)state;
	assert_true(log_group_is_name(
		LM_STR("/aws/greengrass/Lambda/eu-west-1/aws/DockerApplicationDeployment")));
	assert_true(log_group_is_name(LM_STR("a.b-c_d/e#F9")));
	assert_true(log_group_is_name(lm_str(longest)));
	assert_false(log_group_is_name(lm_str(longer)));
	assert_false(log_group_is_name(LM_STR("")));
	assert_false(log_group_is_name(LM_STR("aws/x")));
	assert_false(log_group_is_name(LM_STR("a b")));
	assert_false(log_group_is_name(LM_STR("a:b")));
	assert_false(log_group_is_name(LM_STR("\xC3\xBC")));
}

static void knows_names_of_streams(void **state)
{
	lm_auto_free char *longest = lm_xasprintf("%0511d\xC3\xBC", 0);
	lm_auto_free char *longer = lm_xasprintf("%0512d\xC3\xBC", 0);

	(void)state;
	assert_true(log_stream_is_name(LM_STR("2026/01/31/123456789012/group-id/core name")));
	assert_true(log_stream_is_name(lm_str(longest)));
	assert_false(log_stream_is_name(lm_str(longer)));
	assert_false(log_stream_is_name(LM_STR("")));
	assert_false(log_stream_is_name(LM_STR("a:b")));
	assert_false(log_stream_is_name(LM_STR("a*")));
	assert_false(log_stream_is_name(LM_STR("a\nb")));
	assert_false(log_stream_is_name(LM_STR("\xFF")));
}

static void takes_ten_thousand_events(void **state)
{
	lm_auto_free struct log_event *events = lm_xcalloc(10002, sizeof(*events));

	(void)state;
	for (size_t i = 0; i < 10002; i++)
		events[i] = (struct log_event){T, LM_STR("x")};
	assert_int_equal(log_batch_fit(events, 10002), 10000);
	assert_int_equal(log_batch_fit(events, 10000), 10000);
	events[5].message = LM_STR(""); // does not count
	assert_int_equal(log_batch_fit(events, 10002), 10001);
	assert_int_equal(log_batch_fit(events, 0), 0);
}

static void takes_a_mebibyte_with_26_bytes_an_event(void **state)
{
	enum { HALF = LIMIT_LOG_BATCH / 2 - 26 };
	lm_auto_free char *text = lm_xasprintf("%0*d", HALF + 1, 0);
	struct log_event events[] = {{T, {text, HALF}}, {T, {text, HALF}}, {T, LM_STR("x")}};

	(void)state;
	assert_int_equal(log_batch_fit(events, 3), 2);
	events[1].message.n++;
	assert_int_equal(log_batch_fit(events, 3), 1);
}

static void takes_less_than_24_hours_whatever_the_order(void **state)
{
	struct log_event events[] = {
		{T, LM_STR("a")}, {T + DAY_MS - 1, LM_STR("b")}, {T, LM_STR("c")}};

	(void)state;
	assert_int_equal(log_batch_fit(events, 3), 3);
	events[1].time_ms++;
	assert_int_equal(log_batch_fit(events, 3), 1);
	events[1].time_ms = T;
	events[2].time_ms = INT64_MIN;
	events[0].time_ms = events[1].time_ms = INT64_MAX;
	assert_int_equal(log_batch_fit(events, 3), 2);
}

static void makes_progress_with_an_event_larger_than_a_batch(void **state)
{
	lm_auto_free char *text = lm_xasprintf("%0*d", 3 * LIMIT_LOG_BATCH, 0);
	const struct log_event events[] = {{T, lm_str(text)}, {T, LM_STR("x")}};
	lm_auto_json json_t *list = log_batch_build(events, 1);
	struct lm_str sent = json_text(json_object_get(json_array_get(list, 0), "message"));

	(void)state;
	assert_int_equal(log_batch_fit(events, 2), 1);
	assert_int_equal(sent.n, LIMIT_LOG_BATCH - 26);
	assert_true(lm_str_ends(sent, LM_STR("00...")));
}

static void cuts_between_characters(void **state)
{
	lm_auto_free char *text = lm_xasprintf("%0*d\xF0\x9F\x9A\xA2%0*d", //
		LIMIT_LOG_BATCH - 26 - 5, 0, 100, 0);
	const struct log_event event = {T, lm_str(text)};
	lm_auto_json json_t *list = log_batch_build(&event, 1);
	struct lm_str sent = json_text(json_object_get(json_array_get(list, 0), "message"));

	(void)state;
	assert_int_equal(sent.n, LIMIT_LOG_BATCH - 26 - 2);
	assert_true(lm_str_ends(sent, LM_STR("00...")));
}

static void sends_in_the_order_of_time_and_nothing_empty(void **state)
{
	const struct log_event events[] = {{T + 2, LM_STR("c")}, {T + 1, LM_STR("")},
		{T, LM_STR("a")}, {-5, LM_STR("z")}, {T, LM_STR("b")}};

	(void)state;
	assert_shown(events, 5, "0 z\n1700000000 a\n1700000000 b\n1700000002 c\n");
	assert_shown(events + 1, 1, "");
}

static void replaces_bytes_that_are_not_utf8(void **state)
{
	const struct log_event events[] = {{T, LM_STR("a\xFF\xC3\xBC\xC3")}, {T, LM_STR("b\0c")},
		{T, LM_STR("\xED\xA0\x80")}, {T, LM_STR("\t\x1B[1m")}};

	(void)state;
	assert_shown(events, 4,
		"1700000000 a?\xC3\xBC?\n1700000000 b?c\n1700000000 ???\n1700000000 \t\x1B[1m\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_names_of_groups),
		cmocka_unit_test(knows_names_of_streams),
		cmocka_unit_test(takes_ten_thousand_events),
		cmocka_unit_test(takes_a_mebibyte_with_26_bytes_an_event),
		cmocka_unit_test(takes_less_than_24_hours_whatever_the_order),
		cmocka_unit_test(makes_progress_with_an_event_larger_than_a_batch),
		cmocka_unit_test(cuts_between_characters),
		cmocka_unit_test(sends_in_the_order_of_time_and_nothing_empty),
		cmocka_unit_test(replaces_bytes_that_are_not_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
