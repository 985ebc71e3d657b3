// SPDX-License-Identifier: Apache-2.0
#include "aws/cloudwatch_logs.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "exchange.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { T = 1700000000, DAY_MS = 24 * 3600 * 1000 };

static const struct log_event usual_events[] = {
	{T, LM_STR("one")}, {T + 1, LM_STR("two")}, {T + 2, LM_STR("")}, {T + 3, LM_STR("four")}};

static struct cloudwatch_logs_request usual_request(const struct exchange *x)
{
	return (struct cloudwatch_logs_request){
		.region = "eu-west-1",
		.group = "/aws/greengrass/x",
		.stream = "2026/01/31/core",
		.events = usual_events,
		.events_n = 4,
		.limits = x->limits,
	};
}

static struct cloudwatch_logs_result run(
	struct exchange *x, const struct loopback_answer *answers, unsigned n)
{
	struct cloudwatch_logs_result r;

	exchange_begin(x, "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", answers, n);
	const struct cloudwatch_logs_request request = usual_request(x);

	cloudwatch_logs_start_put(x->https, &request, x->credentials, &r);
	exchange_run(x);
	return r;
}

static void assert_targets(const struct exchange *x, const char *const *operations, unsigned n)
{
	char target[64];

	assert_int_equal(loopback_count(x->server), n);
	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(target, sizeof(target), "X-Amz-Target: Logs_20140328.%s\r\n",
			operations[i]);
		exchange_assert_asked(x, i, target);
	}
}

#define OK_ANSWER ANSWER("200 OK", "", "{}")
#define EMPTY_ANSWER ANSWER("200 OK", "", "")
#define NOT_FOUND                                                                                  \
	ERROR_ANSWER("400 Bad Request", "ResourceNotFoundException",                               \
		"The specified log does not exist.")
#define ALREADY ERROR_ANSWER("400 Bad Request", "ResourceAlreadyExistsException", "is there")

static void sends_a_batch(void **state)
{
	const struct loopback_answer answers[] = {{OK_ANSWER}};
	struct exchange x;
	struct cloudwatch_logs_result r = run(&x, answers, 1);

	(void)state;
	assert_int_equal(r.rc, LM_OK);
	assert_int_equal(r.taken, 4);
	assert_int_equal(r.too_new + r.too_old + r.expired, 0);
	assert_false(r.created);
	exchange_assert_asked(&x, 0, "/eu-west-1/logs/aws4_request");
	exchange_assert_asked(&x, 0,
		"{\"logGroupName\":\"/aws/greengrass/x\",\"logStreamName\":\"2026/01/31/core\","
		"\"logEvents\":[{\"timestamp\":1700000000,\"message\":\"one\"},"
		"{\"timestamp\":1700000001,\"message\":\"two\"},"
		"{\"timestamp\":1700000003,\"message\":\"four\"}]}");
	exchange_finish(&x);
}

static void creates_group_and_stream_that_are_missing(void **state)
{
	static const char *const expected[] = {"PutLogEvents", "CreateLogStream", "CreateLogGroup",
		"CreateLogStream", "PutLogEvents"};
	const struct loopback_answer answers[] = {
		{NOT_FOUND}, {NOT_FOUND}, {EMPTY_ANSWER}, {EMPTY_ANSWER}, {OK_ANSWER}};
	struct exchange x;
	struct cloudwatch_logs_result r = run(&x, answers, 5);

	(void)state;
	assert_int_equal(r.rc, LM_OK);
	assert_true(r.created);
	assert_targets(&x, expected, 5);
	exchange_finish(&x);
}

static void needs_no_right_to_create_a_group_that_is_there(void **state)
{
	static const char *const expected[] = {"PutLogEvents", "CreateLogStream", "PutLogEvents"};
	const struct loopback_answer answers[] = {{NOT_FOUND}, {EMPTY_ANSWER}, {OK_ANSWER}};
	struct exchange x;
	struct cloudwatch_logs_result r = run(&x, answers, 3);

	(void)state;
	assert_int_equal(r.rc, LM_OK);
	assert_targets(&x, expected, 3);
	exchange_finish(&x);
}

static void takes_it_well_that_another_was_first(void **state)
{
	const struct loopback_answer answers[] = {
		{NOT_FOUND}, {NOT_FOUND}, {ALREADY}, {ALREADY}, {OK_ANSWER}};
	struct exchange x;
	struct cloudwatch_logs_result r = run(&x, answers, 5);

	(void)state;
	assert_int_equal(r.rc, LM_OK);
	assert_int_equal(loopback_count(x.server), 5);
	exchange_finish(&x);
}

static void gives_up_on_a_group_that_stays_missing(void **state)
{
	const struct loopback_answer answers[] = {
		{NOT_FOUND}, {NOT_FOUND}, {EMPTY_ANSWER}, {NOT_FOUND}};
	struct exchange x;
	struct cloudwatch_logs_result r = run(&x, answers, 4);

	(void)state;
	assert_int_equal(r.rc, LM_E_NOT_FOUND);
	exchange_assert_says(&r.err, "log stream '2026/01/31/core' of group '/aws/greengrass/x'");
	assert_int_equal(loopback_count(x.server), 4);
	exchange_finish(&x);
}

static void gives_up_on_a_stream_that_stays_missing(void **state)
{
	const struct loopback_answer answers[] = {{NOT_FOUND}, {EMPTY_ANSWER}, {NOT_FOUND}};
	struct exchange x;
	struct cloudwatch_logs_result r = run(&x, answers, 3);

	(void)state;
	assert_int_equal(r.rc, LM_E_NOT_FOUND);
	assert_int_equal(loopback_count(x.server), 3);
	exchange_finish(&x);
}

static void says_which_right_the_role_lacks(void **state)
{
	const struct loopback_answer answers[] = {{NOT_FOUND}, {NOT_FOUND},
		{ERROR_ANSWER("400 Bad Request", "AccessDeniedException", "no")}};
	struct exchange x;
	struct cloudwatch_logs_result r = run(&x, answers, 3);

	(void)state;
	assert_int_equal(r.rc, LM_E_DENIED);
	exchange_assert_says(&r.err, "the role needs logs:CreateLogGroup on "
				     "arn:aws:logs:eu-west-1:*:log-group:/aws/greengrass/x:*");
	exchange_finish(&x);
}

static void counts_what_the_service_does_not_keep(void **state)
{
	static const struct {
		const char *answer;
		size_t too_new, too_old, expired;
	} cases[] = {
		{ANSWER("200 OK", "",
			 "{\"rejectedLogEventsInfo\":{\"tooNewLogEventStartIndex\":2}}"),
			1, 0, 0},
		{ANSWER("200 OK", "",
			 "{\"rejectedLogEventsInfo\":{\"tooOldLogEventEndIndex\":1,"
			 "\"expiredLogEventEndIndex\":2}}"),
			0, 1, 1},
		{ANSWER("200 OK", "",
			 "{\"rejectedLogEventsInfo\":{\"expiredLogEventEndIndex\":3}}"),
			0, 0, 3},
		{ANSWER("200 OK", "",
			 "{\"rejectedLogEventsInfo\":{\"tooNewLogEventStartIndex\":-1,"
			 "\"tooOldLogEventEndIndex\":99,\"expiredLogEventEndIndex\":\"x\"}}"),
			3, 3, 0},
		{ANSWER("200 OK", "", "{\"rejectedLogEventsInfo\":[]}"), 0, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		const struct loopback_answer answers[] = {{cases[i].answer}};
		struct exchange x;
		struct cloudwatch_logs_result r = run(&x, answers, 1);

		assert_int_equal(r.rc, LM_OK);
		assert_int_equal(r.too_new, cases[i].too_new);
		assert_int_equal(r.too_old, cases[i].too_old);
		assert_int_equal(r.expired, cases[i].expired);
		exchange_finish(&x);
	}
}

static void goes_on_with_the_clock_that_an_earlier_batch_found(void **state)
{
	const struct loopback_answer answers[] = {{NOT_FOUND}, {EMPTY_ANSWER}, {OK_ANSWER}};
	struct cloudwatch_logs_result r;
	struct exchange x;

	(void)state;
	exchange_begin(&x, "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", answers, 3);
	struct cloudwatch_logs_request request = usual_request(&x);
	request.clock_offset_ms = 3155760000000 - lm_clock_wall_ms(); // to 2070

	cloudwatch_logs_start_put(x.https, &request, x.credentials, &r);
	exchange_run(&x);
	assert_int_equal(r.clock_offset_ms, request.clock_offset_ms);
	for (unsigned i = 0; i < 3; i++)
		exchange_assert_asked(&x, i, "\r\nX-Amz-Date: 20700101T");
	exchange_finish(&x);
}

static void refuses_impossible_names_without_asking(void **state)
{
	const struct loopback_answer answers[] = {{OK_ANSWER}};
	struct cloudwatch_logs_result r;
	struct exchange x;

	(void)state;
	exchange_begin(&x, "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", answers, 1);
	struct cloudwatch_logs_request request = usual_request(&x);

	request.group = "aws/x";
	cloudwatch_logs_start_put(x.https, &request, x.credentials, &r);
	assert_int_equal(r.rc, LM_E_INVALID);
	exchange_assert_says(&r.err, "'aws/x' cannot be the name of a log group");
	request.group = "x";
	request.stream = "a:b";
	cloudwatch_logs_start_put(x.https, &request, x.credentials, &r);
	assert_int_equal(r.rc, LM_E_INVALID);
	exchange_assert_says(&r.err, "'a:b' cannot be the name of a log stream");
	exchange_run(&x);
	assert_int_equal(loopback_count(x.server), 0);
	exchange_finish(&x);
}

static void sends_nothing_for_nothing_but_empty_messages(void **state)
{
	const struct loopback_answer answers[] = {{OK_ANSWER}};
	struct cloudwatch_logs_result r;
	struct exchange x;

	(void)state;
	exchange_begin(&x, "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", answers, 1);
	struct cloudwatch_logs_request request = usual_request(&x);
	request.events = &usual_events[2];
	request.events_n = 1;

	cloudwatch_logs_start_put(x.https, &request, x.credentials, &r);
	exchange_run(&x);
	assert_int_equal(r.rc, LM_OK);
	assert_int_equal(r.taken, 1);
	assert_int_equal(loopback_count(x.server), 0);
	exchange_finish(&x);
}

/// "time message" of each event of the batch, one a line.
static char *shown(const struct log_event *events, size_t n)
{
	lm_auto_json json_t *list = cloudwatch_logs_build(events, n);
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
	assert_true(cloudwatch_logs_is_group(
		LM_STR("/aws/greengrass/Lambda/eu-west-1/aws/DockerApplicationDeployment")));
	assert_true(cloudwatch_logs_is_group(LM_STR("a.b-c_d/e#F9")));
	assert_true(cloudwatch_logs_is_group(lm_str(longest)));
	assert_false(cloudwatch_logs_is_group(lm_str(longer)));
	assert_false(cloudwatch_logs_is_group(LM_STR("")));
	assert_false(cloudwatch_logs_is_group(LM_STR("aws/x")));
	assert_false(cloudwatch_logs_is_group(LM_STR("a b")));
	assert_false(cloudwatch_logs_is_group(LM_STR("a:b")));
	assert_false(cloudwatch_logs_is_group(LM_STR("\xC3\xBC")));
}

static void knows_names_of_streams(void **state)
{
	lm_auto_free char *longest = lm_xasprintf("%0511d\xC3\xBC", 0);
	lm_auto_free char *longer = lm_xasprintf("%0512d\xC3\xBC", 0);

	(void)state;
	assert_true(
		cloudwatch_logs_is_stream(LM_STR("2026/01/31/123456789012/group-id/core name")));
	assert_true(cloudwatch_logs_is_stream(lm_str(longest)));
	assert_false(cloudwatch_logs_is_stream(lm_str(longer)));
	assert_false(cloudwatch_logs_is_stream(LM_STR("")));
	assert_false(cloudwatch_logs_is_stream(LM_STR("a:b")));
	assert_false(cloudwatch_logs_is_stream(LM_STR("a*")));
	assert_false(cloudwatch_logs_is_stream(LM_STR("a\nb")));
	assert_false(cloudwatch_logs_is_stream(LM_STR("\xFF")));
}

static void takes_ten_thousand_events(void **state)
{
	lm_auto_free struct log_event *events = lm_xcalloc(10002, sizeof(*events));

	(void)state;
	for (size_t i = 0; i < 10002; i++)
		events[i] = (struct log_event){T, LM_STR("x")};
	assert_int_equal(cloudwatch_logs_fit(events, 10002), 10000);
	assert_int_equal(cloudwatch_logs_fit(events, 10000), 10000);
	events[5].message = LM_STR(""); // does not count
	assert_int_equal(cloudwatch_logs_fit(events, 10002), 10001);
	assert_int_equal(cloudwatch_logs_fit(events, 0), 0);
}

static void takes_a_mebibyte_with_26_bytes_an_event(void **state)
{
	enum { HALF = LIMIT_LOG_BATCH / 2 - 26 };
	lm_auto_free char *text = lm_xasprintf("%0*d", HALF + 1, 0);
	struct log_event events[] = {{T, {text, HALF}}, {T, {text, HALF}}, {T, LM_STR("x")}};

	(void)state;
	assert_int_equal(cloudwatch_logs_fit(events, 3), 2);
	events[1].message.n++;
	assert_int_equal(cloudwatch_logs_fit(events, 3), 1);
}

static void takes_less_than_24_hours_whatever_the_order(void **state)
{
	struct log_event events[] = {
		{T, LM_STR("a")}, {T + DAY_MS - 1, LM_STR("b")}, {T, LM_STR("c")}};

	(void)state;
	assert_int_equal(cloudwatch_logs_fit(events, 3), 3);
	events[1].time_ms++;
	assert_int_equal(cloudwatch_logs_fit(events, 3), 1);
	events[1].time_ms = T;
	events[2].time_ms = INT64_MIN;
	events[0].time_ms = events[1].time_ms = INT64_MAX;
	assert_int_equal(cloudwatch_logs_fit(events, 3), 2);
}

static void makes_progress_with_an_event_larger_than_a_batch(void **state)
{
	lm_auto_free char *text = lm_xasprintf("%0*d", 3 * LIMIT_LOG_BATCH, 0);
	const struct log_event events[] = {{T, lm_str(text)}, {T, LM_STR("x")}};
	lm_auto_json json_t *list = cloudwatch_logs_build(events, 1);
	struct lm_str sent = json_text(json_object_get(json_array_get(list, 0), "message"));

	(void)state;
	assert_int_equal(cloudwatch_logs_fit(events, 2), 1);
	assert_int_equal(sent.n, LIMIT_LOG_BATCH - 26);
	assert_true(lm_str_ends(sent, LM_STR("00...")));
}

static void cuts_between_characters(void **state)
{
	lm_auto_free char *text = lm_xasprintf("%0*d\xF0\x9F\x9A\xA2%0*d", //
		LIMIT_LOG_BATCH - 26 - 5, 0, 100, 0);
	const struct log_event event = {T, lm_str(text)};
	lm_auto_json json_t *list = cloudwatch_logs_build(&event, 1);
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
		cmocka_unit_test(sends_a_batch),
		cmocka_unit_test(creates_group_and_stream_that_are_missing),
		cmocka_unit_test(needs_no_right_to_create_a_group_that_is_there),
		cmocka_unit_test(takes_it_well_that_another_was_first),
		cmocka_unit_test(gives_up_on_a_group_that_stays_missing),
		cmocka_unit_test(gives_up_on_a_stream_that_stays_missing),
		cmocka_unit_test(says_which_right_the_role_lacks),
		cmocka_unit_test(counts_what_the_service_does_not_keep),
		cmocka_unit_test(goes_on_with_the_clock_that_an_earlier_batch_found),
		cmocka_unit_test(refuses_impossible_names_without_asking),
		cmocka_unit_test(sends_nothing_for_nothing_but_empty_messages),
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
