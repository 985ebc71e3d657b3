// SPDX-License-Identifier: Apache-2.0
#include "docker/pull_stream.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/// As Engine 20.10 sent it, shortened.
static const char recorded[] =
	"{\"status\":\"Pulling from demo/web\",\"id\":\"1\"}\r\n"
	"{\"status\":\"Pulling fs layer\",\"progressDetail\":{},\"id\":\"c56e\"}\r\n"
	"{\"status\":\"Downloading\",\"progressDetail\":{\"current\":300,\"total\":1000},"
	"\"progress\":\"[=\\u003e } ]\",\"id\":\"c56e\"}\r\n"
	"{\"status\":\"Downloading\",\"progressDetail\":{\"current\":50,\"total\":70},\"id\":"
	"\"ab12\"}\r\n"
	"{\"status\":\"Download complete\",\"progressDetail\":{},\"id\":\"c56e\"}\r\n"
	"{\"status\":\"Extracting\",\"progressDetail\":{\"current\":32,\"total\":1000},\"id\":"
	"\"c56e\"}\r\n"
	"{\"status\":\"Pull complete\",\"progressDetail\":{},\"id\":\"c56e\"}\r\n"
	"{\"status\":\"Digest: sha256:2d31\"}\r\n"
	"{\"status\":\"Status: Downloaded newer image for localhost:5051/demo/web:1\"}\r\n";

static lm_rc feed(struct pull_stream *s, const char *text, struct lm_err *err)
{
	*err = (struct lm_err){0};
	return pull_stream_feed(s, lm_str(text), err);
}

static void sums_the_layers_whatever_the_pieces(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < sizeof(recorded); piece += 7) {
		lm_auto(pull_stream_finish) struct pull_stream s;
		struct lm_err err = {0};
		pull_stream_init(&s);
		for (size_t i = 0; i < sizeof(recorded) - 1; i += piece) {
			size_t left = sizeof(recorded) - 1 - i;
			struct lm_str part = {recorded + i, left < piece ? left : piece};
			assert_int_equal(pull_stream_feed(&s, part, &err), LM_OK);
		}
		assert_int_equal(s.bytes_done, 1050);
		assert_int_equal(s.bytes_total, 1070);
		assert_string_equal(s.digest, "sha256:2d31");
		assert_string_equal(s.status, "Pull complete");
		assert_int_equal(pull_stream_end(&s, &err), LM_OK);
	}
}

#define LAYER(id, status, current, total)                                                          \
	"{\"status\":\"" status "\",\"progressDetail\":{\"current\":" current ",\"total\":" total  \
	"},\"id\":\"" id "\"}\r\n"

static void knows_what_may_come_without_a_report(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint64_t bytes;
	} steps[] = {
		{"{\"status\":\"Pulling fs layer\",\"id\":\"a\"}", 0},
		{LAYER("a", "Downloading", "1", "100000"), 1000},
		{LAYER("b", "Downloading", "1", "999000000"), 1000 + 524288},
		{LAYER("c", "Downloading", "1", "-1"), 1000 + 524288 + 0}, // so small, then
		{LAYER("b", "Retrying in 5 seconds", "0", "0"), 1000},
		{LAYER("b", "Downloading", "2", "999000000"), 1000 + 524288},
		{LAYER("b", "Download complete", "0", "0"), 1000},
		{LAYER("a", "Extracting", "5", "100000"), 0},
	};
	lm_auto(pull_stream_finish) struct pull_stream s;
	struct lm_err err = {0};
	pull_stream_init(&s);
	for (size_t i = 0; i < LM_ARRAY_SIZE(steps); i++) {
		assert_int_equal(feed(&s, steps[i].text, &err), LM_OK);
		assert_int_equal(s.silent_bytes, steps[i].bytes);
	}
}

static void a_stream_cut_off_is_no_success(void **state)
{
	(void)state;
	size_t closing = (size_t)(strstr(recorded, "{\"status\":\"Digest") - recorded);
	for (size_t n = 0; n <= closing + 5; n++) {
		lm_auto(pull_stream_finish) struct pull_stream s;
		struct lm_err err = {0};
		pull_stream_init(&s);
		assert_int_equal(pull_stream_feed(&s, (struct lm_str){recorded, n}, &err), LM_OK);
		assert_int_equal(pull_stream_end(&s, &err), LM_E_NETWORK);
	}
}

static void an_error_is_told_in_the_engines_words(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		lm_rc rc;
		const char *message;
	} cases[] = {
		{"{\"errorDetail\":{\"message\":\"no space left on device\"},\"error\":\"x\"}",
			LM_E_REFUSED, "no space left on device"},
		{"{\"error\":\"read tcp: connection reset by peer\"}", LM_E_NETWORK,
			"read tcp: connection reset by peer"},
		{"{\"errorDetail\":{\"code\":401,\"message\":\"go away\"},\"error\":\"go away\"}",
			LM_E_DENIED, "go away"},
		{"{\"errorDetail\":{}}", LM_E_REFUSED, "no reason given"},
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto(pull_stream_finish) struct pull_stream s;
		struct lm_err err;
		pull_stream_init(&s);
		assert_int_equal(feed(&s, cases[i].text, &err), cases[i].rc);
		assert_string_equal(err.msg, cases[i].message);
	}
}

static void retrying_is_no_progress(void **state)
{
	(void)state;
	lm_auto(pull_stream_finish) struct pull_stream s;
	struct lm_err err;
	pull_stream_init(&s);
	const char *downloading = "{\"status\":\"Downloading\",\"progressDetail\":"
				  "{\"current\":5,\"total\":10},\"id\":\"a\"}";
	assert_int_equal(feed(&s, downloading, &err), LM_OK);
	uint64_t moves = s.moves;
	assert_int_equal(
		feed(&s, "{\"status\":\"Retrying in 5 seconds\",\"id\":\"a\"}", &err), LM_OK);
	assert_int_equal(feed(&s, "{\"status\":\"Waiting\",\"id\":\"a\"}", &err), LM_OK);
	assert_int_equal(feed(&s, downloading, &err), LM_OK);
	assert_int_equal(s.moves, moves);
	assert_int_equal(feed(&s,
				 "{\"status\":\"Downloading\",\"progressDetail\":"
				 "{\"current\":6,\"total\":10},\"id\":\"a\"}",
				 &err),
		LM_OK);
	assert_int_equal(s.moves, moves + 1);
}

static void rubbish_is_a_protocol_error(void **state)
{
	(void)state;
	static const char *const bad[] = {"<html>", "[1]", "{]", "{\"a\":}", "}"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		lm_auto(pull_stream_finish) struct pull_stream s;
		struct lm_err err;
		pull_stream_init(&s);
		assert_int_equal(feed(&s, bad[i], &err), LM_E_PROTOCOL);
	}
}

static void an_endless_object_is_refused(void **state)
{
	(void)state;
	lm_auto(pull_stream_finish) struct pull_stream s;
	struct lm_err err = {0};
	pull_stream_init(&s);
	lm_auto_free char *text = lm_xmalloc(LIMIT_ENGINE_LINE + 2);
	memset(text, 'a', LIMIT_ENGINE_LINE + 1);
	text[0] = '{';
	text[1] = '"';
	struct lm_str piece = {text, LIMIT_ENGINE_LINE + 1};
	assert_int_equal(pull_stream_feed(&s, piece, &err), LM_E_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums_the_layers_whatever_the_pieces),
		cmocka_unit_test(knows_what_may_come_without_a_report),
		cmocka_unit_test(a_stream_cut_off_is_no_success),
		cmocka_unit_test(an_error_is_told_in_the_engines_words),
		cmocka_unit_test(retrying_is_no_progress),
		cmocka_unit_test(rubbish_is_a_protocol_error),
		cmocka_unit_test(an_endless_object_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
