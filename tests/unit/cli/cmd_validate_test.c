// SPDX-License-Identifier: Apache-2.0
#include "cli/cmd_validate.h"

#include "base/cleanup.h"
#include "base/memory.h"
#include "sys/json.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/// Runs `validate` and collects both streams; the caller frees them.
static int run(const char *path, bool json, char **out, char **err)
{
	size_t out_n, err_n;
	FILE *out_stream = open_memstream(out, &out_n);
	FILE *err_stream = open_memstream(err, &err_n);
	int sys = 0;
	const struct call call = {.argument = path,
		.json = json,
		.out = out_stream,
		.err = err_stream,
		.out_sys = &sys};
	int status = cmd_validate(&call);

	(void)fclose(out_stream);
	(void)fclose(err_stream);
	return status;
}

/// A file of `size` bytes (a hole behind `text`); the caller frees and removes it.
static char *make_file(const char *text, off_t size)
{
	char *path = lm_xstrdup("/tmp/lighterman-validate-XXXXXX");
	lm_auto_close int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	if (size)
		assert_int_equal(ftruncate(fd, size), 0);
	return path;
}

static void a_valid_file_is_told_in_one_line(void **state)
{
	lm_auto_free char *out = NULL, *err = NULL;

	(void)state;
	assert_int_equal(run(FIXTURES "/group.json", false, &out, &err), 0);
	assert_string_equal(out,
		FIXTURES "/group.json: valid: DockerApplicationDeployment version 7, "
			 "id MyDockerApplicationDeploymentConnector\n");
	assert_string_equal(err, "");
}

static void each_error_has_its_line(void **state)
{
	lm_auto_free char *path = make_file("{\"Connectors\":[7,\"x\"]}", 0);
	lm_auto_free char *out = NULL, *err = NULL;
	lm_auto_free char *expected =
		lm_xasprintf("%s: Connectors[0]: 7: must be an object, but is a number\n"
			     "%s: Connectors[1]: \"x\": must be an object, but is a string\n",
			path, path);

	(void)state;
	int status = run(path, false, &out, &err);
	(void)unlink(path);
	assert_int_equal(status, 2);
	assert_string_equal(out, "");
	assert_string_equal(err, expected);
}

static void json_is_one_document(void **state)
{
	lm_auto_free char *path = make_file("{\"Connectors\":[7]}", 0);
	lm_auto_free char *out = NULL, *err = NULL;
	lm_auto_json json_t *document = NULL;
	struct lm_err why = {0};

	(void)state;
	int status = run(path, true, &out, &err);
	(void)unlink(path);
	assert_int_equal(status, 2);
	assert_string_equal(err, "");
	assert_int_equal(json_parse(lm_str(out), &document, &why), LM_OK);
	assert_true(json_is_false(json_object_get(document, "valid")));
	json_t *fault = json_array_get(json_object_get(document, "faults"), 0);
	assert_string_equal(json_get_text(fault, "entry"), "Connectors[0]");
	assert_string_equal(json_get_text(fault, "value"), "7");
	assert_string_equal(json_get_text(fault, "rule"), "must be an object, but is a number");
}

static void a_hundred_megabytes_are_refused(void **state)
{
	lm_auto_free char *path = make_file("{", 100 << 20);
	lm_auto_free char *out = NULL, *err = NULL;

	(void)state;
	int status = run(path, false, &out, &err);
	(void)unlink(path);
	assert_int_equal(status, 2);
	assert_non_null(strstr(err, "4194304"));
}

static void an_absent_file_is_invalid(void **state)
{
	lm_auto_free char *out = NULL, *err = NULL;

	(void)state;
	assert_int_equal(run("/nonexistent/group.json", false, &out, &err), 2);
	assert_non_null(strstr(err, "/nonexistent/group.json"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_valid_file_is_told_in_one_line),
		cmocka_unit_test(each_error_has_its_line),
		cmocka_unit_test(json_is_one_document),
		cmocka_unit_test(a_hundred_megabytes_are_refused),
		cmocka_unit_test(an_absent_file_is_invalid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
