// SPDX-License-Identifier: Apache-2.0
#include "devices/shadow_document.h"

#include "base/limits.h"
#include "base/memory.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { T1 = 1600000001, T2 = 1600000002, T3 = 1600000003 };

static enum shadow_rejection read_reason(enum shadow_operation operation, const char *payload)
{
	lm_auto(shadow_request_finish) struct shadow_request r;

	return shadow_request_read(operation, lm_str(payload), &r);
}

/// Applies an update to `*d`.
static enum shadow_rejection update(struct shadow_document *d, const char *payload, int64_t now_s)
{
	lm_auto(shadow_request_finish) struct shadow_request r;
	struct shadow_document after = {0};
	enum shadow_rejection why = shadow_request_read(SHADOW_UPDATE, lm_str(payload), &r);

	if (!why)
		why = shadow_document_update(d, &r, now_s, &after);
	if (why)
		return why;
	shadow_document_finish(d);
	*d = after;
	return SHADOW_ACCEPTED;
}

static struct shadow_document updated(const char *first, const char *second)
{
	struct shadow_document d = {0};

	assert_int_equal(update(&d, first, T1), SHADOW_ACCEPTED);
	if (second)
		assert_int_equal(update(&d, second, T2), SHADOW_ACCEPTED);
	return d;
}

static void assert_stored(const struct shadow_document *d, const char *expected)
{
	lm_auto_buf struct lm_buf out = LM_BUF(LIMIT_SHADOW_REPLY);

	assert_true(shadow_document_write(d, &out));
	assert_string_equal(lm_buf_cstr(&out), expected);
}

static void assert_merges(const char *first, const char *second, const char *expected)
{
	lm_auto(shadow_document_finish) struct shadow_document d = updated(first, second);

	assert_stored(&d, expected);
}

/// What get answers at T3.
static void assert_get(
	const char *first, const char *second, const char *payload, const char *expected)
{
	lm_auto(shadow_document_finish) struct shadow_document d = updated(first, second);
	lm_auto(shadow_request_finish) struct shadow_request r;
	lm_auto_buf struct lm_buf out = LM_BUF(LIMIT_SHADOW_REPLY);

	assert_int_equal(shadow_request_read(SHADOW_GET, lm_str(payload), &r), SHADOW_ACCEPTED);
	shadow_write_accepted(&r, &d, T3, &out);
	assert_string_equal(lm_buf_cstr(&out), expected);
}

static void assert_delta(const char *first, const char *second, const char *expected)
{
	lm_auto(shadow_document_finish) struct shadow_document d = updated(first, second);
	lm_auto_buf struct lm_buf out = LM_BUF(LIMIT_SHADOW_REPLY);

	assert_int_equal(shadow_write_delta(&d, NULL, T3, &out), expected != NULL);
	assert_string_equal(lm_buf_cstr(&out), expected ? expected : "");
}

static void rejects_what_is_no_request(void **state)
{
	(void)state;
	static const struct {
		const char *payload;
		enum shadow_rejection why;
	} cases[] = {
		{"", SHADOW_INVALID_JSON},
		{" ", SHADOW_INVALID_JSON},
		{"{", SHADOW_INVALID_JSON},
		{"[]", SHADOW_INVALID_JSON},
		{"1", SHADOW_INVALID_JSON},
		{"null", SHADOW_INVALID_JSON},
		{"{\"state\":{}} x", SHADOW_INVALID_JSON},
		{"{\"state\":{},\"state\":{}}", SHADOW_INVALID_JSON},
		{"{\"state\":{\"desired\":{\"a\":\"\\u0000\"}}}", SHADOW_INVALID_JSON},
		{"{\"state\":{\"desired\":{\"a\":1e999}}}", SHADOW_INVALID_JSON},
		{"{\"state\":{\"desired\":{\"a\":NaN}}}", SHADOW_INVALID_JSON},
		{"{}", SHADOW_NO_STATE},
		{"{\"stat\":{}}", SHADOW_NO_STATE},
		{"{\"state\":null}", SHADOW_STATE_NO_OBJECT},
		{"{\"state\":[]}", SHADOW_STATE_NO_OBJECT},
		{"{\"state\":\"x\"}", SHADOW_STATE_NO_OBJECT},
		{"{\"state\":{\"desired\":1}}", SHADOW_DESIRED_NO_OBJECT},
		{"{\"state\":{\"desired\":[]}}", SHADOW_DESIRED_NO_OBJECT},
		{"{\"state\":{\"reported\":\"\"}}", SHADOW_REPORTED_NO_OBJECT},
		{"{\"state\":{\"desired\":{},\"reported\":false}}", SHADOW_REPORTED_NO_OBJECT},
		{"{\"state\":{\"delta\":{}}}", SHADOW_INVALID_NODE},
		{"{\"state\":{\"a\":1}}", SHADOW_INVALID_NODE},
		{"{\"state\":{\"desired\":{\"a\":[null]}}}", SHADOW_INVALID_NODE},
		{"{\"state\":{\"reported\":{\"a\":[1,[2,null]]}}}", SHADOW_INVALID_NODE},
		{"{\"state\":{\"reported\":{\"a\":[{\"b\":null}]}}}", SHADOW_INVALID_NODE},
		{"{\"state\":{},\"version\":\"1\"}", SHADOW_INVALID_VERSION},
		{"{\"state\":{},\"version\":1.0}", SHADOW_INVALID_VERSION},
		{"{\"state\":{},\"version\":-1}", SHADOW_INVALID_VERSION},
		{"{\"state\":{},\"version\":null}", SHADOW_INVALID_VERSION},
		{"{\"state\":{},\"clientToken\":1}", SHADOW_INVALID_TOKEN},
		{"{\"state\":{},\"clientToken\":null}", SHADOW_INVALID_TOKEN},
		{"{\"state\":{},\"clientToken\":{}}", SHADOW_INVALID_TOKEN},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++)
		assert_int_equal(read_reason(SHADOW_UPDATE, cases[i].payload), cases[i].why);
}

static void takes_what_is_optional(void **state)
{
	(void)state;
	static const char *const good[] = {
		"{\"state\":{}}",
		" {\"state\" : { \"desired\" : null } }\r\n",
		"{\"state\":{\"desired\":{},\"reported\":{}},\"timestamp\":1,\"other\":[null]}",
		"{\"state\":{\"desired\":{\"a\":null}},\"version\":0,\"clientToken\":\"\"}",
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(good); i++) {
		lm_auto(shadow_document_finish) struct shadow_document d = updated(good[i], NULL);
		assert_true(d.exists);
		assert_int_equal(d.version, 1);
	}
}

static void refuses_bytes_that_are_not_utf8(void **state)
{
	(void)state;
	assert_int_equal(read_reason(SHADOW_UPDATE, "{\"state\":{\"desired\":{\"a\":\"\xff\"}}}"),
		SHADOW_NOT_UTF8);
	assert_int_equal(read_reason(SHADOW_UPDATE, "\xc3"), SHADOW_NOT_UTF8);
	assert_int_equal(read_reason(SHADOW_GET, "\xed\xa0\x80"), SHADOW_NOT_UTF8);
}

static void takes_six_levels_of_each_section(void **state)
{
	(void)state;
	static const char six[] =
		"{\"state\":{\"desired\":{\"1\":{\"2\":{\"3\":{\"4\":{\"5\":{}}}}}}}}";
	static const char seven[] =
		"{\"state\":{\"desired\":{\"1\":{\"2\":{\"3\":{\"4\":{\"5\":{\"6\":{}}}}}}}}}";
	static const char arrays[] = "{\"state\":{\"reported\":{\"1\":[[[[[1]]]]]}}}";
	static const char seven_arrays[] = "{\"state\":{\"reported\":{\"1\":[[[[[[1]]]]]]}}}";
	lm_auto_free char *deep = lm_xcalloc(1, 4001);

	assert_int_equal(read_reason(SHADOW_UPDATE, six), SHADOW_ACCEPTED);
	assert_int_equal(read_reason(SHADOW_UPDATE, seven), SHADOW_TOO_DEEP);
	assert_int_equal(read_reason(SHADOW_UPDATE, arrays), SHADOW_ACCEPTED);
	assert_int_equal(read_reason(SHADOW_UPDATE, seven_arrays), SHADOW_TOO_DEEP);
	memset(deep, '[', 4000);
	assert_int_equal(read_reason(SHADOW_UPDATE, deep), SHADOW_TOO_DEEP);
	assert_int_equal(read_reason(SHADOW_GET, deep), SHADOW_ACCEPTED);
}

static void a_token_has_at_most_64_bytes(void **state)
{
	(void)state;
	lm_auto_free char *token = lm_xcalloc(1, LIMIT_SHADOW_TOKEN + 2);

	memset(token, 't', LIMIT_SHADOW_TOKEN);
	lm_auto_free char *longest = lm_xasprintf("{\"clientToken\":\"%s\"}", token);
	assert_int_equal(read_reason(SHADOW_GET, longest), SHADOW_ACCEPTED);
	token[LIMIT_SHADOW_TOKEN] = 't';
	lm_auto_free char *longer = lm_xasprintf("{\"clientToken\":\"%s\"}", token);
	static const enum shadow_operation all[] = {SHADOW_GET, SHADOW_UPDATE, SHADOW_DELETE};
	for (size_t i = 0; i < LM_ARRAY_SIZE(all); i++)
		assert_int_equal(read_reason(all[i], longer), SHADOW_INVALID_TOKEN);
	// 33 letters of two bytes are 66.
	assert_int_equal(
		read_reason(SHADOW_GET, "{\"clientToken\":\"äääääääääääääääääääääääääääääääää\"}"),
		SHADOW_INVALID_TOKEN);
}

static void a_rejection_keeps_the_token(void **state)
{
	(void)state;
	lm_auto(shadow_request_finish) struct shadow_request r;

	assert_int_equal(shadow_request_read(
				 SHADOW_UPDATE, LM_STR("{\"clientToken\":\"t\",\"state\":1}"), &r),
		SHADOW_STATE_NO_OBJECT);
	assert_string_equal(json_string_value(r.token), "t");
}

static void get_and_delete_ignore_their_payload(void **state)
{
	(void)state;
	static const char *const payloads[] = {"", " ", "x", "{", "[]", "{}", "{\"state\":1}",
		"{\"version\":\"x\"}", "\"clientToken\""};

	for (size_t i = 0; i < LM_ARRAY_SIZE(payloads); i++) {
		assert_int_equal(read_reason(SHADOW_GET, payloads[i]), SHADOW_ACCEPTED);
		assert_int_equal(read_reason(SHADOW_DELETE, payloads[i]), SHADOW_ACCEPTED);
	}
}

static void merges_objects_deeply(void **state)
{
	(void)state;
	assert_merges("{\"state\":{\"desired\":{\"a\":1,\"b\":{\"c\":2,\"d\":3}}}}",
		"{\"state\":{\"desired\":{\"b\":{\"c\":4,\"e\":{\"f\":5}}}}}",
		"{\"desired\":{\"a\":1,\"b\":{\"c\":4,\"d\":3,\"e\":{\"f\":5}}},"
		"\"times\":{\"desired\":{\"a\":1600000001,"
		"\"b\":{\"c\":1600000002,\"d\":1600000001,\"e\":1600000002}}}}");
	// Sections do not touch each other.
	assert_merges("{\"state\":{\"desired\":{\"a\":1}}}", "{\"state\":{\"reported\":{\"a\":2}}}",
		"{\"desired\":{\"a\":1},\"reported\":{\"a\":2},"
		"\"times\":{\"desired\":{\"a\":1600000001},\"reported\":{\"a\":1600000002}}}");
	// Another kind of value replaces the old one, and an object in its place is new.
	assert_merges("{\"state\":{\"desired\":{\"a\":{\"b\":1},\"c\":1}}}",
		"{\"state\":{\"desired\":{\"a\":1,\"c\":{\"b\":1,\"d\":null}}}}",
		"{\"desired\":{\"a\":1,\"c\":{\"b\":1}},"
		"\"times\":{\"desired\":{\"a\":1600000002,\"c\":1600000002}}}");
	// An empty object changes nothing in one.
	assert_merges("{\"state\":{\"desired\":{\"a\":{\"b\":1}}}}",
		"{\"state\":{\"desired\":{\"a\":{}}}}",
		"{\"desired\":{\"a\":{\"b\":1}},\"times\":{\"desired\":{\"a\":{\"b\":1600000001}}}"
		"}");
}

static void replaces_arrays_whole(void **state)
{
	(void)state;
	assert_merges("{\"state\":{\"desired\":{\"a\":[1,2,{\"b\":3}]}}}",
		"{\"state\":{\"desired\":{\"a\":[4]}}}",
		"{\"desired\":{\"a\":[4]},\"times\":{\"desired\":{\"a\":1600000002}}}");
}

static void null_deletes(void **state)
{
	(void)state;
	assert_merges("{\"state\":{\"desired\":{\"a\":1,\"b\":{\"c\":2,\"d\":3}}}}",
		"{\"state\":{\"desired\":{\"a\":null,\"b\":{\"c\":null},\"x\":null}}}",
		"{\"desired\":{\"b\":{\"d\":3}},\"times\":{\"desired\":{\"b\":{\"d\":1600000001}}}"
		"}");
	// The section, too, when it is named or when nothing is left of it.
	assert_merges("{\"state\":{\"desired\":{\"a\":1},\"reported\":{\"b\":1}}}",
		"{\"state\":{\"desired\":null}}",
		"{\"reported\":{\"b\":1},\"times\":{\"reported\":{\"b\":1600000001}}}");
	assert_merges("{\"state\":{\"desired\":{\"a\":1}}}",
		"{\"state\":{\"desired\":{\"a\":null}}}", "{\"times\":{}}");
	// In something new there is nothing to delete.
	assert_merges("{\"state\":{\"desired\":{\"a\":null,\"b\":{\"c\":null},\"d\":{\"e\":{\"f\":"
		      "null}}}}}",
		NULL, "{\"times\":{}}");
	assert_merges("{\"state\":{\"desired\":{\"a\":{},\"b\":1}}}", NULL,
		"{\"desired\":{\"a\":{},\"b\":1},\"times\":{\"desired\":{\"a\":1600000001,\"b\":"
		"1600000001}}}");
}

static void keeps_the_order_of_keys(void **state)
{
	(void)state;
	assert_merges("{\"state\":{\"reported\":{\"z\":1,\"a\":2,\"m\":3}}}",
		"{\"state\":{\"reported\":{\"b\":5,\"a\":4}}}",
		"{\"reported\":{\"z\":1,\"a\":4,\"m\":3,\"b\":5},\"times\":{\"reported\":"
		"{\"z\":1600000001,\"a\":1600000002,\"m\":1600000001,\"b\":1600000002}}}");
}

static void keeps_values_as_they_are(void **state)
{
	(void)state;
	assert_merges(
		"{\"state\":{\"reported\":{\"a\":21.3,\"b\":0.1,\"c\":-1.5e-7,\"d\":1e22,\"e\":1.0,"
		"\"f\":0.30000000000000004,\"g\":9223372036854775807,\"h\":-9223372036854775808,"
		"\"i\":\"ü\\u20ac\\\"\\\\/"
		"\\n\",\"j\":true,\"k\":[],\"l\":1.7976931348623157e308}}}",
		NULL,
		"{\"reported\":{\"a\":21.3,\"b\":0.1,\"c\":-1.5e-7,\"d\":1e22,\"e\":1.0,"
		"\"f\":0.30000000000000004,\"g\":9223372036854775807,\"h\":-9223372036854775808,"
		"\"i\":\"ü€\\\"\\\\/\\n\",\"j\":true,\"k\":[],\"l\":1.7976931348623157e308},"
		"\"times\":{\"reported\":{\"a\":1600000001,\"b\":1600000001,\"c\":1600000001,\"d\":"
		"1600000001,"
		"\"e\":1600000001,\"f\":1600000001,\"g\":1600000001,\"h\":1600000001,\"i\":"
		"1600000001,"
		"\"j\":1600000001,\"k\":1600000001,\"l\":1600000001}}}");
}

static void a_version_must_be_the_stored_one(void **state)
{
	(void)state;
	lm_auto(shadow_document_finish) struct shadow_document d = {0};

	assert_int_equal(update(&d, "{\"state\":{},\"version\":1}", T1), SHADOW_CONFLICT);
	assert_int_equal(update(&d, "{\"state\":{},\"version\":0}", T1), SHADOW_ACCEPTED);
	assert_int_equal(update(&d, "{\"state\":{},\"version\":0}", T1), SHADOW_CONFLICT);
	assert_int_equal(update(&d, "{\"state\":{},\"version\":2}", T1), SHADOW_CONFLICT);
	assert_int_equal(d.version, 1);
	assert_int_equal(update(&d, "{\"state\":{},\"version\":1}", T1), SHADOW_ACCEPTED);
	assert_int_equal(update(&d, "{\"state\":{}}", T1), SHADOW_ACCEPTED);
	assert_int_equal(d.version, 3);
}

static void counting_goes_on_after_a_delete(void **state)
{
	(void)state;
	lm_auto(shadow_document_finish) struct shadow_document deleted = {.version = 7};

	assert_int_equal(
		update(&deleted, "{\"state\":{\"desired\":{\"a\":1}}}", T1), SHADOW_ACCEPTED);
	assert_true(deleted.exists);
	assert_int_equal(deleted.version, 8);
}

static void the_state_has_at_most_8_kb(void **state)
{
	(void)state;
	lm_auto(shadow_document_finish) struct shadow_document d = {0};
	lm_auto_free char *text = lm_xcalloc(1, LIMIT_SHADOW_REQUEST + 1);

	// {"a":"…"} is 8 bytes around the text, in each section.
	memset(text, 'x', LIMIT_SHADOW_STATE - 16 - 4);
	lm_auto_free char *fits = lm_xasprintf(
		"{\"state\":{\"desired\":{\"a\":\"%s\"},\"reported\":{ \"b\":\"1234\" }}}", text);
	assert_int_equal(update(&d, fits, T1), SHADOW_ACCEPTED);
	assert_int_equal(
		update(&d, "{\"state\":{\"reported\":{\"b\":\"12345\"}}}", T1), SHADOW_TOO_LARGE);
	assert_int_equal(
		update(&d, "{\"state\":{\"reported\":{\"b\":\"4321\"}}}", T1), SHADOW_ACCEPTED);
	assert_int_equal(update(&d, "{\"state\":{\"desired\":null}}", T1), SHADOW_ACCEPTED);
	assert_int_equal(d.version, 3);
	// Spaces do not count, up to the ceiling of a request.
	memset(text, ' ', LIMIT_SHADOW_REQUEST);
	text[LIMIT_SHADOW_REQUEST] = 0;
	assert_int_equal(read_reason(SHADOW_UPDATE, text), SHADOW_INVALID_JSON);
	lm_auto_free char *padded = lm_xasprintf("{\"state\":{}}%s", text);
	assert_int_equal(read_reason(SHADOW_UPDATE, padded), SHADOW_TOO_LARGE);
	assert_int_equal(read_reason(SHADOW_GET, padded), SHADOW_TOO_LARGE);
}

static void get_answers_with_all_of_it(void **state)
{
	(void)state;
	assert_get(
		"{\"state\":{\"desired\":{\"a\":1,\"s\":[1,{\"x\":[2]}]},\"reported\":{\"a\":1}}}",
		"{\"state\":{\"desired\":{\"a\":2}}}", "{\"clientToken\":\"t-1\"}",
		"{\"state\":{\"desired\":{\"a\":2,\"s\":[1,{\"x\":[2]}]},\"reported\":{\"a\":1},"
		"\"delta\":{\"a\":2,\"s\":[1,{\"x\":[2]}]}},"
		"\"metadata\":{\"desired\":{\"a\":{\"timestamp\":1600000002},"
		"\"s\":[{\"timestamp\":1600000001},{\"x\":[{\"timestamp\":1600000001}]}]},"
		"\"reported\":{\"a\":{\"timestamp\":1600000001}}},"
		"\"version\":2,\"timestamp\":1600000003,\"clientToken\":\"t-1\"}");
	assert_get("{\"state\":{\"reported\":{\"a\":{\"timestamp\":5}}}}", NULL, "",
		"{\"state\":{\"reported\":{\"a\":{\"timestamp\":5}}},"
		"\"metadata\":{\"reported\":{\"a\":{\"timestamp\":{\"timestamp\":1600000001}}}},"
		"\"version\":1,\"timestamp\":1600000003}");
	assert_get("{\"state\":{}}", NULL, "",
		"{\"state\":{},\"metadata\":{},\"version\":1,\"timestamp\":1600000003}");
}

static void update_answers_with_its_own_fields(void **state)
{
	(void)state;
	lm_auto(shadow_document_finish) struct shadow_document d =
		updated("{\"state\":{\"desired\":{\"a\":1,\"b\":2}}}", NULL);
	lm_auto(shadow_request_finish) struct shadow_request r;
	lm_auto(shadow_document_finish) struct shadow_document after = {0};
	lm_auto_buf struct lm_buf out = LM_BUF(LIMIT_SHADOW_REPLY);

	assert_int_equal(
		shadow_request_read(SHADOW_UPDATE,
			LM_STR("{\"clientToken\":\"t\",\"state\":{\"reported\":null,"
			       "\"desired\":{\"b\":3.5,\"c\":null,\"d\":[1,2]}},\"version\":1}"),
			&r),
		SHADOW_ACCEPTED);
	assert_int_equal(shadow_document_update(&d, &r, T2, &after), SHADOW_ACCEPTED);
	shadow_write_accepted(&r, &after, T2, &out);
	assert_string_equal(lm_buf_cstr(&out),
		"{\"state\":{\"reported\":null,\"desired\":{\"b\":3.5,\"c\":null,\"d\":[1,2]}},"
		"\"metadata\":{\"reported\":{\"timestamp\":1600000002},"
		"\"desired\":{\"b\":{\"timestamp\":1600000002},\"c\":{\"timestamp\":1600000002},"
		"\"d\":[{\"timestamp\":1600000002},{\"timestamp\":1600000002}]}},"
		"\"version\":2,\"timestamp\":1600000002,\"clientToken\":\"t\"}");
	lm_buf_clear(&out);
	shadow_write_documents(&d, &after, r.token, T2, &out);
	assert_string_equal(lm_buf_cstr(&out),
		"{\"previous\":{\"state\":{\"desired\":{\"a\":1,\"b\":2}},"
		"\"metadata\":{\"desired\":{\"a\":{\"timestamp\":1600000001},\"b\":{\"timestamp\":"
		"1600000001}}},"
		"\"version\":1},"
		"\"current\":{\"state\":{\"desired\":{\"a\":1,\"b\":3.5,\"d\":[1,2]}},"
		"\"metadata\":{\"desired\":{\"a\":{\"timestamp\":1600000001},\"b\":{\"timestamp\":"
		"1600000002},"
		"\"d\":[{\"timestamp\":1600000002},{\"timestamp\":1600000002}]}},"
		"\"version\":2},\"timestamp\":1600000002,\"clientToken\":\"t\"}");
}

static void delete_answers_with_the_version(void **state)
{
	(void)state;
	struct shadow_document d = {.exists = true, .version = 5};
	lm_auto(shadow_request_finish) struct shadow_request r;
	lm_auto_buf struct lm_buf out = LM_BUF(LIMIT_SHADOW_REPLY);

	assert_int_equal(shadow_request_read(SHADOW_DELETE, LM_STR("{\"clientToken\":\"ü\"}"), &r),
		SHADOW_ACCEPTED);
	shadow_write_accepted(&r, &d, T1, &out);
	assert_string_equal(lm_buf_cstr(&out),
		"{\"version\":5,\"timestamp\":1600000001,\"clientToken\":\"ü\"}");
}

static void delta_has_what_differs(void **state)
{
	(void)state;
	// A real line of Greengrass V1, with our times.
	assert_delta("{\"state\":{\"desired\":{\"users.json\":\"x\"}}}", NULL,
		"{\"version\":1,\"timestamp\":1600000003,\"state\":{\"users.json\":\"x\"},"
		"\"metadata\":{\"users.json\":{\"timestamp\":1600000001}}}");
	assert_delta("{\"state\":{\"desired\":{\"a\":1,\"b\":{\"c\":2,\"d\":{\"e\":3,\"f\":4}},"
		     "\"g\":[1,2]}}}",
		"{\"state\":{\"reported\":{\"a\":1,\"b\":{\"c\":2,\"d\":{\"e\":3}},\"g\":[2,1],"
		"\"h\":1}}}",
		"{\"version\":2,\"timestamp\":1600000003,\"state\":{\"b\":{\"d\":{\"f\":4}},\"g\":["
		"1,2]},"
		"\"metadata\":{\"b\":{\"d\":{\"f\":{\"timestamp\":1600000001}}},"
		"\"g\":[{\"timestamp\":1600000001},{\"timestamp\":1600000001}]}}");
}

static void there_is_no_delta_without_a_difference(void **state)
{
	(void)state;
	assert_delta("{\"state\":{\"reported\":{\"a\":1}}}", NULL, NULL);
	assert_delta("{\"state\":{}}", NULL, NULL);
	assert_delta("{\"state\":{\"desired\":{\"a\":1,\"b\":[{\"c\":1,\"d\":2}],\"e\":{}}}}",
		"{\"state\":{\"reported\":{\"x\":1,\"a\":1.0,\"b\":[{\"d\":2.0,\"c\":1}],\"e\":{"
		"\"f\":1}}}}",
		NULL);
	assert_delta("{\"state\":{\"desired\":{\"a\":1}}}",
		"{\"state\":{\"reported\":{\"a\":\"1\"}}}",
		"{\"version\":2,\"timestamp\":1600000003,\"state\":{\"a\":1},"
		"\"metadata\":{\"a\":{\"timestamp\":1600000001}}}");
	assert_delta("{\"state\":{\"desired\":{\"a\":{\"b\":1}}}}",
		"{\"state\":{\"reported\":{\"a\":2}}}",
		"{\"version\":2,\"timestamp\":1600000003,\"state\":{\"a\":{\"b\":1}},"
		"\"metadata\":{\"a\":{\"b\":{\"timestamp\":1600000001}}}}");
}

static void the_first_document_has_an_empty_one_before(void **state)
{
	(void)state;
	lm_auto(shadow_document_finish) struct shadow_document d =
		updated("{\"state\":{\"desired\":{\"a\":1}}}", NULL);
	lm_auto_buf struct lm_buf out = LM_BUF(LIMIT_SHADOW_REPLY);

	shadow_write_documents(&(struct shadow_document){0}, &d, NULL, T1, &out);
	assert_string_equal(lm_buf_cstr(&out),
		"{\"previous\":{\"state\":{},\"metadata\":{},\"version\":0},"
		"\"current\":{\"state\":{\"desired\":{\"a\":1}},"
		"\"metadata\":{\"desired\":{\"a\":{\"timestamp\":1600000001}}},\"version\":1},"
		"\"timestamp\":1600000001}");
}

static void rejections_have_code_and_text(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf out = LM_BUF(LIMIT_SHADOW_REPLY);
	lm_auto_json json_t *token = json_string("t");

	shadow_write_rejected(SHADOW_CONFLICT, LM_STR("X"), token, T1, &out);
	assert_string_equal(lm_buf_cstr(&out), "{\"code\":409,\"message\":\"Version conflict\","
					       "\"timestamp\":1600000001,\"clientToken\":\"t\"}");
	lm_buf_clear(&out);
	shadow_write_rejected(SHADOW_NO_SHADOW, LM_STR("My:Thing"), NULL, T1, &out);
	assert_string_equal(lm_buf_cstr(&out),
		"{\"code\":404,\"message\":\"No shadow exists with name: 'My:Thing'\"}");
	static const int codes[] = {
		400, 400, 400, 400, 400, 400, 400, 400, 400, 404, 404, 409, 413, 415, 429, 500};
	for (size_t i = 0; i < LM_ARRAY_SIZE(codes); i++)
		assert_int_equal(shadow_rejection_code((enum shadow_rejection)(i + 1)), codes[i]);
}

static void what_was_written_reads_as_the_same(void **state)
{
	(void)state;
	lm_auto(shadow_document_finish) struct shadow_document d =
		updated("{\"state\":{\"desired\":{\"a\":{\"b\":1.1}},\"reported\":{\"c\":[1]}}}",
			"{\"state\":{\"desired\":{\"a\":{\"d\":2}}}}");
	lm_auto_buf struct lm_buf out = LM_BUF(LIMIT_SHADOW_REPLY);
	lm_auto(shadow_document_finish) struct shadow_document read = {0};

	assert_true(shadow_document_write(&d, &out));
	assert_int_equal(shadow_document_read(lm_buf_str(&out), &read, NULL), LM_OK);
	assert_true(read.exists);
	assert_stored(&read, lm_buf_cstr(&out));
	struct lm_buf small = LM_BUF(10);
	assert_false(shadow_document_write(&d, &small));
	lm_buf_finish(&small);
}

static void refuses_what_it_did_not_write(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "{", "[]", "1", "{\"desired\":1}",
		"{\"desired\":{\"a\":1}}", "{\"desired\":{},\"times\":{\"desired\":1}}",
		"{\"desired\":{\"a\":1},\"times\":{\"desired\":\"x\"}}",
		"{\"desired\":{\"a\":1},\"times\":[]}",
		"{\"desired\":{\"a\":[[[[[[1]]]]]]},\"times\":{\"desired\":1}}"};
	struct lm_err err = {0};

	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		struct shadow_document d = {0};
		assert_int_equal(shadow_document_read(lm_str(bad[i]), &d, &err), LM_E_INVALID);
	}
}

static void times_that_are_missing_do_no_harm(void **state)
{
	(void)state;
	static const char stored[] = "{\"desired\":{\"a\":{\"b\":1},\"c\":2,\"d\":{\"e\":1}},"
				     "\"times\":{\"desired\":{\"a\":\"x\",\"d\":7}}}";
	lm_auto(shadow_document_finish) struct shadow_document d = {0};

	assert_int_equal(shadow_document_read(lm_str(stored), &d, NULL), LM_OK);
	assert_int_equal(
		update(&d, "{\"state\":{\"desired\":{\"a\":{\"f\":2},\"d\":{\"g\":1}}}}", T1),
		SHADOW_ACCEPTED);
	lm_auto_buf struct lm_buf out = LM_BUF(LIMIT_SHADOW_REPLY);
	assert_true(shadow_write_delta(&d, NULL, T1, &out));
	assert_non_null(strstr(lm_buf_cstr(&out),
		"\"metadata\":{\"a\":{\"b\":{\"timestamp\":0},\"f\":{\"timestamp\":1600000001}},"
		"\"c\":{\"timestamp\":0},\"d\":{\"e\":{\"timestamp\":7},\"g\":{\"timestamp\":"
		"1600000001}}}"));
}

static void all_replies_fit(void **state)
{
	(void)state;
	// Arrays of digits have most metadata.
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_SHADOW_REQUEST);
	lm_auto(shadow_document_finish) struct shadow_document d = {0};
	lm_auto_buf struct lm_buf out = LM_BUF(LIMIT_SHADOW_REPLY);

	lm_buf_puts(&text, "{\"state\":{\"desired\":{\"a\":[1");
	for (size_t i = 0; i < (LIMIT_SHADOW_STATE - 9) / 2; i++)
		lm_buf_puts(&text, ",1");
	lm_buf_puts(&text, "]}}}");
	assert_int_equal(update(&d, lm_buf_cstr(&text), T1), SHADOW_ACCEPTED);
	shadow_write_documents(&d, &d, NULL, T1, &out);
	assert_false(out.overflow);
	lm_buf_clear(&out);
	lm_auto(shadow_request_finish) struct shadow_request r = {.operation = SHADOW_GET};
	shadow_write_accepted(&r, &d, T1, &out);
	assert_false(out.overflow);
	// And of a request, nulls.
	lm_buf_clear(&text);
	lm_buf_puts(&text, "{\"state\":{\"desired\":{\"a\":null");
	for (size_t i = 0; text.len < LIMIT_SHADOW_REQUEST - 20; i++)
		lm_buf_printf(&text, ",\"k%zx\":null", i);
	lm_buf_puts(&text, "}}}");
	shadow_request_finish(&r);
	assert_int_equal(
		shadow_request_read(SHADOW_UPDATE, lm_buf_str(&text), &r), SHADOW_ACCEPTED);
	lm_buf_clear(&out);
	shadow_write_accepted(&r, &d, T1, &out);
	assert_false(out.overflow);
}

static void reads_topics(void **state)
{
	(void)state;
	struct lm_str thing = {0};
	enum shadow_operation operation = SHADOW_DELETE;
	static const char *const others[] = {"", "$aws", "$aws/things", "$aws/things/X/shadow",
		"$aws/things/X/shadow/", "$aws/things//shadow/get", "$aws/things/X/shadow/get/",
		"$aws/things/X/shadow/get/accepted", "$aws/things/X/shadow/name/n/get",
		"$aws/things/X/Y/shadow/get", "/$aws/things/X/shadow/get",
		"$AWS/things/X/shadow/get", "$aws/things/X/shadow/Get",
		"$aws/things/X/shadow/update/delta"};

	assert_true(shadow_topic_read(LM_STR("$aws/things/X:1/shadow/get"), &thing, &operation));
	assert_true(lm_str_eq(thing, LM_STR("X:1")));
	assert_int_equal(operation, SHADOW_GET);
	assert_true(shadow_topic_read(LM_STR("$aws/things/X/shadow/update"), &thing, &operation));
	assert_int_equal(operation, SHADOW_UPDATE);
	assert_true(shadow_topic_read(LM_STR("$aws/things/X/shadow/delete"), &thing, &operation));
	assert_int_equal(operation, SHADOW_DELETE);
	for (size_t i = 0; i < LM_ARRAY_SIZE(others); i++)
		assert_false(shadow_topic_read(lm_str(others[i]), &thing, &operation));
}

static void takes_a_state_from_elsewhere(void **state)
{
	(void)state;
	lm_auto_json json_t *good = json_pack("{s:{s:i}}", "desired", "a", 1);
	lm_auto_json json_t *bad = json_pack("{s:i}", "desired", 1);
	lm_auto(shadow_request_finish) struct shadow_request r;
	lm_auto(shadow_document_finish) struct shadow_document before = {.version = 3};
	lm_auto(shadow_document_finish) struct shadow_document after = {0};

	assert_int_equal(shadow_request_of_state(bad, &r), SHADOW_DESIRED_NO_OBJECT);
	shadow_request_finish(&r);
	assert_int_equal(shadow_request_of_state(good, &r), SHADOW_ACCEPTED);
	assert_int_equal(shadow_document_update(&before, &r, T1, &after), SHADOW_ACCEPTED);
	assert_int_equal(after.version, 4);
	lm_auto_json json_t *merged = shadow_document_state(&after);
	assert_true(json_equal(merged, good));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rejects_what_is_no_request),
		cmocka_unit_test(takes_what_is_optional),
		cmocka_unit_test(refuses_bytes_that_are_not_utf8),
		cmocka_unit_test(takes_six_levels_of_each_section),
		cmocka_unit_test(a_token_has_at_most_64_bytes),
		cmocka_unit_test(a_rejection_keeps_the_token),
		cmocka_unit_test(get_and_delete_ignore_their_payload),
		cmocka_unit_test(merges_objects_deeply),
		cmocka_unit_test(replaces_arrays_whole),
		cmocka_unit_test(null_deletes),
		cmocka_unit_test(keeps_the_order_of_keys),
		cmocka_unit_test(keeps_values_as_they_are),
		cmocka_unit_test(a_version_must_be_the_stored_one),
		cmocka_unit_test(counting_goes_on_after_a_delete),
		cmocka_unit_test(the_state_has_at_most_8_kb),
		cmocka_unit_test(get_answers_with_all_of_it),
		cmocka_unit_test(update_answers_with_its_own_fields),
		cmocka_unit_test(delete_answers_with_the_version),
		cmocka_unit_test(delta_has_what_differs),
		cmocka_unit_test(there_is_no_delta_without_a_difference),
		cmocka_unit_test(the_first_document_has_an_empty_one_before),
		cmocka_unit_test(rejections_have_code_and_text),
		cmocka_unit_test(what_was_written_reads_as_the_same),
		cmocka_unit_test(refuses_what_it_did_not_write),
		cmocka_unit_test(times_that_are_missing_do_no_harm),
		cmocka_unit_test(all_replies_fit),
		cmocka_unit_test(reads_topics),
		cmocka_unit_test(takes_a_state_from_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
