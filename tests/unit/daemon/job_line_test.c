// SPDX-License-Identifier: Apache-2.0
#include "daemon/job_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static lm_rc parse(const char *text, json_t **line, struct job_line *ret)
{
	return job_line_parse(lm_str(text), line, ret);
}

#define SHA256 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void knows_every_line_of_the_protocol(void **state)
{
	static const struct {
		const char *text;
		enum job_line_kind kind;
	} lines[] = {
		{"{\"stage\":\"pull\",\"state\":\"begin\"}", JOB_LINE_STAGE},
		{"{\"stage\":\"up\",\"state\":\"end\",\"ms\":12}", JOB_LINE_STAGE},
		{"{\"stage\":\"pull\",\"state\":\"progress\",\"image\":\"a:1\",\"status\":\"done\","
		 "\"bytes_done\":1,\"bytes_total\":1}",
			JOB_LINE_STAGE},
		{"{\"image\":\"a:1\",\"digest\":\"sha256:0\"}", JOB_LINE_IMAGE},
		{"{\"compose\":{\"stamp\":\"1\",\"version\":\"1.29.2\"}}", JOB_LINE_COMPOSE},
		{"{\"copy\":{\"sha256\":\"" SHA256 "\",\"version\":\"\"}}", JOB_LINE_COPY},
		{"{\"plan\":{\"service\":{\"service\":\"web\"}}}", JOB_LINE_PLAN},
		{"{\"shipped\":4711,\"rejected\":0}", JOB_LINE_SHIPPED},
		{"{\"idle\":true}", JOB_LINE_IDLE},
		{"{\"alive\":true}", JOB_LINE_ALIVE},
		{"{\"result\":\"success\",\"stage\":null}", JOB_LINE_RESULT},
		{"{\"result\":\"cancelled\",\"stage\":\"up\"}", JOB_LINE_RESULT},
		{"{\"result\":\"fail\",\"error\":\"InternalError\",\"message\":\"m\"}",
			JOB_LINE_RESULT},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(lines); i++) {
		lm_auto_json json_t *line = NULL;
		struct job_line parsed = {0};

		assert_int_equal(parse(lines[i].text, &line, &parsed), LM_OK);
		assert_int_equal(parsed.kind, lines[i].kind);
	}
}

static void refuses_everything_else(void **state)
{
	static const char *const lines[] = {
		"",
		"go",
		"[]",
		"{}",
		"{\"alive\":false}",
		"{\"plan\":true}",
		"{\"copy\":{\"sha256\":\"" SHA256 "\"}}",
		"{\"copy\":{\"sha256\":\"" SHA256 "0\",\"version\":\"\"}}",
		"{\"copy\":{\"sha256\":\"../../../../../../../../../../../../../../../../../../../"
		"../x\","
		"\"version\":\"\"}}",
		"{\"alive\":1}",
		"{\"idle\":false}",
		"{\"idle\":\"true\"}",
		"{\"stage\":\"unheard\",\"state\":\"begin\"}",
		"{\"stage\":\"pull\",\"state\":\"over\"}",
		"{\"stage\":\"pull\"}",
		"{\"stage\":7,\"state\":\"begin\"}",
		"{\"image\":\"a:1\",\"digest\":7}",
		"{\"compose\":{\"stamp\":\"1\"}}",
		"{\"compose\":\"1.29.2\"}",
		"{\"shipped\":1}",
		"{\"shipped\":-1,\"rejected\":0}",
		"{\"shipped\":1,\"rejected\":-1}",
		"{\"shipped\":\"1\",\"rejected\":0}",
		"{\"result\":\"good\"}",
		"{\"result\":\"fail\",\"error\":\"InternalError\"}",
		"{\"result\":\"fail\",\"error\":\"MyError\",\"message\":\"m\"}",
		"{\"alive\":true} {\"alive\":true}",
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(lines); i++) {
		lm_auto_json json_t *line = NULL;
		struct job_line parsed = {0};

		assert_int_equal(parse(lines[i], &line, &parsed), LM_E_PROTOCOL);
		assert_null(line);
	}
}

static void a_result_tells_how_it_ended(void **state)
{
	lm_auto_json json_t *line = NULL;
	struct job_line parsed = {0};

	(void)state;
	assert_int_equal(parse("{\"result\":\"fail\",\"stage\":\"fetch\",\"error\":"
			       "\"InvalidParameter\",\"message\":\"no such object\","
			       "\"compose_version\":null,\"effect\":\"untouched\"}",
				 &line, &parsed),
		LM_OK);
	struct job_result result = job_line_result(line);
	assert_int_equal(result.verdict, JOB_FAIL);
	assert_string_equal(result.stage, "fetch");
	assert_string_equal(result.error, "InvalidParameter");
	assert_string_equal(result.message, "no such object");
	assert_null(result.compose_version);
	assert_string_equal(result.effect, "untouched");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_every_line_of_the_protocol),
		cmocka_unit_test(refuses_everything_else),
		cmocka_unit_test(a_result_tells_how_it_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
