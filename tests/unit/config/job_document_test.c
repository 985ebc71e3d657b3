// SPDX-License-Identifier: Apache-2.0
#include "config/job_document.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct lm_err err;

static lm_rc read_text(const char *text, struct job_document *ret)
{
	lm_auto_json json_t *document = NULL;

	assert_int_equal(json_parse(lm_str(text), &document, NULL), LM_OK);
	return job_document_read(document, ret, &err);
}

static void expect_group(const char *text, const char *group)
{
	lm_auto_job_document struct job_document d = {JOB_ROLLS_BACK, NULL};

	assert_int_equal(read_text(text, &d), LM_OK);
	assert_int_equal(d.operation, JOB_DEPLOYS);
	assert_string_equal(d.group, group);
}

static void a_group_file_is_deployed(void **state)
{
	(void)state;
	expect_group("{\"Connectors\":[ ]}", "{\"Connectors\":[]}");
	expect_group("[{\"Id\":\"a\"}]", "[{\"Id\":\"a\"}]");
	expect_group("{\"operation\":\"lighterman.deploy\",\"group\":{\"Connectors\":[]}}",
		"{\"Connectors\":[]}");
	expect_group(
		"{\"operation\":\"lighterman.deploy\",\"group\":\"{\\\"a\\\":1}\"}", "{\"a\":1}");
	// As text, as some of AWS's interfaces have it.
	expect_group("\"{\\\"Connectors\\\":[]}\"", "{\"Connectors\":[]}");
}

static void a_rollback_needs_nothing(void **state)
{
	lm_auto_job_document struct job_document d = {0};

	(void)state;
	assert_int_equal(read_text("{\"operation\":\"lighterman.rollback\"}", &d), LM_OK);
	assert_int_equal(d.operation, JOB_ROLLS_BACK);
	assert_null(d.group);
	assert_string_equal(job_operation_name(d.operation), "rollback");
}

static void expect_refused(const char *text, const char *why)
{
	struct job_document d = {0};

	assert_int_equal(read_text(text, &d), LM_E_INVALID);
	assert_non_null(strstr(err.msg, why));
}

static void what_is_not_known_is_refused(void **state)
{
	struct job_document d = {0};

	(void)state;
	expect_refused("null", "no document");
	assert_int_equal(job_document_read(NULL, &d, &err), LM_E_INVALID);
	expect_refused("\"{\"", "not JSON");
	expect_refused("{\"operation\":7}", "must be a string, but is a number");
	expect_refused("{\"operation\":\"firmware.update\"}", "'firmware.update'");
	expect_refused("{\"operation\":\"lighterman.deploy\"}", "no group");
	expect_refused(
		"{\"operation\":\"lighterman.deploy\",\"group\":{},\"force\":true}", "'force'");
	expect_refused("{\"operation\":\"lighterman.rollback\",\"group\":{}}", "'group'");
}

static void more_than_32_kb_is_refused(void **state)
{
	struct job_document d = {0};
	lm_auto_free char *long_text = lm_xmalloc(JOB_DOCUMENT_MAX + 64);

	(void)state;
	memset(long_text, 'x', JOB_DOCUMENT_MAX + 63);
	long_text[JOB_DOCUMENT_MAX + 63] = '\0';
	lm_auto_json json_t *as_text = json_string(long_text);
	lm_auto_json json_t *as_object = json_pack("{s:s}", "Connectors", long_text);
	lm_auto_json json_t *inside =
		json_pack("{s:s, s:s}", "operation", "lighterman.deploy", "group", long_text);
	assert_int_equal(job_document_read(as_text, &d, &err), LM_E_TOO_LARGE);
	assert_int_equal(job_document_read(as_object, &d, &err), LM_E_TOO_LARGE);
	assert_int_equal(job_document_read(inside, &d, &err), LM_E_TOO_LARGE);
	assert_non_null(strstr(err.msg, "32768 bytes"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_group_file_is_deployed),
		cmocka_unit_test(a_rollback_needs_nothing),
		cmocka_unit_test(what_is_not_known_is_refused),
		cmocka_unit_test(more_than_32_kb_is_refused),
	};

	return cmocka_run_group_tests_name("config/job_document", tests, NULL, NULL);
}
