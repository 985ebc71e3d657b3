// SPDX-License-Identifier: Apache-2.0
#include "config/job_messages.h"

#include "base/limits.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define JOBS "$aws/things/Gateway/jobs/"

static struct job_message m;
static struct lm_err err;

static int forget(void **state)
{
	(void)state;
	job_message_finish(&m);
	return 0;
}

static lm_rc parse(const char *topic, const char *payload)
{
	job_message_finish(&m);
	return job_message_parse("Gateway", topic, lm_str(payload), &m, &err);
}

static void topics_of_others_are_not_ours(void **state)
{
	static const char *const topics[] = {"$aws/things/Gateway2/jobs/notify-next",
		"$aws/things/Gatewa/jobs/notify-next", JOBS, JOBS "notify", JOBS "notify-next/x",
		JOBS "start-next", JOBS "start-next/accepted/x", JOBS "start-next/other",
		JOBS "j/get", JOBS "j/get/rejected/", JOBS "j/put/accepted",
		JOBS "j k/get/accepted", JOBS "/get/accepted",
		"$aws/things/Gateway/shadow/get/accepted", ""};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(topics); i++)
		assert_int_equal(parse(topics[i], "{}"), LM_E_NOT_FOUND);
}

static void an_execution_is_read_whole(void **state)
{
	(void)state;
	assert_int_equal(
		parse(JOBS "start-next/accepted",
			"{\"clientToken\":\"t\",\"timestamp\":1,\"execution\":{\"jobId\":"
			"\"roll-out_7\",\"thingName\":\"Gateway\",\"status\":\"IN_PROGRESS\","
			"\"executionNumber\":3,\"versionNumber\":\"12\",\"jobDocument\":"
			"{\"a\":1}}}"),
		LM_OK);
	assert_int_equal(m.kind, JOB_KIND_START_NEXT);
	assert_false(m.rejected);
	assert_string_equal(m.token, "t");
	assert_true(m.has_execution);
	assert_string_equal(m.execution.id, "roll-out_7");
	assert_int_equal(m.execution.number, 3);
	assert_int_equal(m.execution.version, 12);
	assert_int_equal(m.execution.status, JOB_STATUS_IN_PROGRESS);
	assert_int_equal(json_get_int(m.execution.document, "a", 0), 1);
}

static void an_empty_queue_has_no_execution(void **state)
{
	(void)state;
	assert_int_equal(parse(JOBS "notify-next", "{\"timestamp\":1,\"execution\":{}}"), LM_OK);
	assert_int_equal(m.kind, JOB_KIND_NOTIFY_NEXT);
	assert_false(m.has_execution);
	assert_int_equal(parse(JOBS "start-next/accepted", "{\"clientToken\":\"t\"}"), LM_OK);
	assert_false(m.has_execution);
}

static void a_rejection_has_a_code_and_the_state(void **state)
{
	static const struct {
		const char *name;
		enum job_code code;
	} codes[] = {{"VersionMismatch", JOB_CODE_STALE},
		{"InvalidStateTransition", JOB_CODE_STALE}, {"ResourceNotFound", JOB_CODE_GONE},
		{"TerminalStateReached", JOB_CODE_GONE}, {"RequestThrottled", JOB_CODE_LATER},
		{"InternalError", JOB_CODE_LATER}, {"InvalidRequest", JOB_CODE_INVALID},
		{"Other", JOB_CODE_INVALID}};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(codes); i++) {
		lm_auto_free char *text = lm_xasprintf(
			"{\"code\":\"%s\",\"message\":\"no\\u0007\",\"executionState\":{\"status\":"
			"\"CANCELED\",\"versionNumber\":5}}",
			codes[i].name);

		assert_int_equal(parse(JOBS "j/update/rejected", text), LM_OK);
		assert_true(m.rejected);
		assert_string_equal(m.id, "j");
		assert_int_equal(m.code, codes[i].code);
		assert_int_equal(m.state, JOB_STATUS_CANCELED);
		assert_int_equal(m.version, 5);
		assert_non_null(strstr(m.why, codes[i].name));
		assert_non_null(strstr(m.why, "no\\x07"));
	}
	assert_int_equal(parse(JOBS "j/update/rejected", "{}"), LM_OK);
	assert_int_equal(m.state, JOB_STATUSES);
	assert_int_equal(m.code, JOB_CODE_INVALID);
}

static void what_breaks_the_protocol_is_refused(void **state)
{
	static const char *const bad[] = {"", "[]", "{", "null", "{\"execution\":3}",
		"{\"execution\":{\"jobId\":7}}", "{\"execution\":{\"jobId\":\"\"}}",
		"{\"execution\":{\"jobId\":\"a/b\"}}",
		"{\"execution\":{\"jobId\":\"a\",\"executionNumber\":-1}}",
		"{\"execution\":{\"jobId\":\"a\",\"versionNumber\":\"x\"}}",
		"{\"execution\":{\"jobId\":\"a\",\"thingName\":\"Other\"}}"};
	lm_auto_free char *long_id = lm_xasprintf("{\"execution\":{\"jobId\":\"%065d\"}}", 1);

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++)
		assert_int_equal(parse(JOBS "notify-next", bad[i]), LM_E_INVALID);
	assert_int_equal(parse(JOBS "notify-next", long_id), LM_E_INVALID);
	assert_int_equal(parse(JOBS "j/get/accepted", "{}"), LM_E_INVALID);
}

static void what_is_too_large_is_refused(void **state)
{
	lm_auto_buf struct lm_buf many = LM_BUF(LIMIT_MQTT_PAYLOAD);

	(void)state;
	assert_int_equal(job_message_parse("Gateway", JOBS "notify-next",
				 (struct lm_str){NULL, 1 << 20}, &m, &err),
		LM_E_TOO_LARGE);
	while (many.len < LIMIT_MQTT_PAYLOAD - 10)
		(void)lm_buf_puts(&many, "[],");
	assert_int_equal(parse(JOBS "notify-next", lm_buf_cstr(&many)), LM_E_TOO_LARGE);
}

static void requests_have_what_each_needs(void **state)
{
	struct job_request r = {.kind = JOB_KIND_START_NEXT, .token = "t"};
	lm_auto_buf struct lm_buf out = LM_BUF(4096);
	lm_auto_free char *start = job_request_topic("Gateway", &r);

	(void)state;
	assert_string_equal(start, JOBS "start-next");
	assert_true(job_request_write(&r, &out));
	assert_string_equal(lm_buf_cstr(&out), "{\"clientToken\":\"t\"}");
	out.len = 0;
	r = (struct job_request){
		.kind = JOB_KIND_GET, .id = "j", .number = 2, .wants_document = true, .token = "t"};
	lm_auto_free char *get = job_request_topic("Gateway", &r);
	assert_string_equal(get, JOBS "j/get");
	assert_true(job_request_write(&r, &out));
	assert_string_equal(lm_buf_cstr(&out),
		"{\"executionNumber\":2,\"includeJobDocument\":true,\"clientToken\":\"t\"}");
	out.len = 0;
	r = (struct job_request){.kind = JOB_KIND_UPDATE,
		.id = "j",
		.number = 2,
		.version = 4,
		.status = JOB_STATUS_FAILED,
		.reason = "two\nlines",
		.generation = 7,
		.token = "t"};
	lm_auto_free char *update = job_request_topic("Gateway", &r);
	assert_string_equal(update, JOBS "j/update");
	assert_true(job_request_write(&r, &out));
	assert_string_equal(lm_buf_cstr(&out),
		"{\"executionNumber\":2,\"status\":\"FAILED\",\"statusDetails\":{\"generation\":"
		"\"7\",\"reason\":\"two lines\"},\"expectedVersion\":4,"
		"\"includeJobExecutionState\":true,\"clientToken\":\"t\"}");
}

static void filters_are_those_of_the_thing(void **state)
{
	char *filters[JOB_FILTERS];

	(void)state;
	job_filters("Gateway", filters);
	assert_string_equal(filters[0], JOBS "notify-next");
	assert_string_equal(filters[JOB_FILTERS - 1], JOBS "+/update/rejected");
	for (size_t i = 0; i < JOB_FILTERS; i++)
		free(filters[i]);
}

static void a_text_becomes_one_that_status_details_take(void **state)
{
	char out[JOB_TEXT_SIZE];
	lm_auto_free char *text = lm_xmalloc(3001);

	(void)state;
	assert_string_equal(job_text("a\tb\x1b[1mc\x7f\xc2\x85z", out), "a b [1mc  z");
	assert_string_equal(job_text("caf\xe9", out), "caf?");
	assert_string_equal(job_text("", out), "");
	// Soft hyphen, a mark, an override, a BOM, private use, a noncharacter, a tag.
	assert_string_equal(job_text("a\xc2\xad"
				     "b\xe2\x80\x8e"
				     "c\xe2\x80\xae"
				     "d\xef\xbb\xbf"
				     "e\xee\x80\x80"
				     "f\xef\xbf\xbe"
				     "g\xf3\xa0\x81\x81"
				     "h\xf4\x8f\xbf\xbf"
				     "i",
				    out),
		"a b c d e f g h i");
	assert_string_equal(
		job_text("\xc3\xa9 \xe2\x80\x9c\xe2\x82\xac\xef\xbf\xbd \xf0\x9f\x9a\xa2", out),
		"\xc3\xa9 \xe2\x80\x9c\xe2\x82\xac\xef\xbf\xbd \xf0\x9f\x9a\xa2");
	// Cut between two characters.
	for (size_t i = 0; i < 2998; i += 2)
		memcpy(text + i, "\xc3\xa9", 2);
	text[2998] = '\0';
	memmove(text + 1, text, 2998);
	text[0] = 'x';
	text[2999] = '\0';
	assert_int_equal(strlen(job_text(text, out)), 1023);
}

static void statuses_have_their_names(void **state)
{
	(void)state;
	for (int i = 0; i < JOB_STATUSES; i++)
		assert_int_equal(job_status_from_name(job_status_name((enum job_status)i)), i);
	assert_int_equal(job_status_from_name("DONE"), JOB_STATUSES);
	assert_int_equal(job_status_from_name(NULL), JOB_STATUSES);
	assert_string_equal(job_status_name(JOB_STATUSES), "");
	assert_true(job_status_is_final(JOB_STATUS_REMOVED));
	assert_false(job_status_is_final(JOB_STATUS_QUEUED));
	assert_false(job_status_is_final(JOB_STATUSES));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(topics_of_others_are_not_ours),
		cmocka_unit_test(an_execution_is_read_whole),
		cmocka_unit_test(an_empty_queue_has_no_execution),
		cmocka_unit_test(a_rejection_has_a_code_and_the_state),
		cmocka_unit_test(what_breaks_the_protocol_is_refused),
		cmocka_unit_test(what_is_too_large_is_refused),
		cmocka_unit_test(requests_have_what_each_needs),
		cmocka_unit_test(filters_are_those_of_the_thing),
		cmocka_unit_test(a_text_becomes_one_that_status_details_take),
		cmocka_unit_test(statuses_have_their_names),
	};

	return cmocka_run_group_tests_name("config/job_messages", tests, NULL, forget);
}
