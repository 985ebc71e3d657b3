// SPDX-License-Identifier: Apache-2.0
#include "config/schema.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct settings {
	char *name, *path;
	bool on;
	unsigned port;
};

#define AT(member) offsetof(struct settings, member)
static const struct schema_key INNER_KEYS[] = {
	{"path", &SCHEMA_PATH, AT(path)},
	{"port", &SCHEMA_NUMBER, AT(port), .lowest = 1, .highest = 65535},
};
static const struct schema INNER = SCHEMA(INNER_KEYS);
static const struct schema_key KEYS[] = {
	{"name", &SCHEMA_TEXT, AT(name), .required = true},
	{"on", &SCHEMA_BOOL, AT(on), .since = 3},
	{"inner", .members = &INNER},
	{"title", &SCHEMA_ANY},
};
static const struct schema SETTINGS = SCHEMA(KEYS);

static void read_settings(
	const char *text, unsigned version, struct settings *ret, struct validation_errors *errors)
{
	const struct schema_place place = {"Items[0]", "", version};
	lm_auto_json json_t *object = NULL;
	struct lm_err err = {0};

	assert_int_equal(json_parse(lm_str(text), &object, &err), LM_OK);
	schema_read(&SETTINGS, object, &place, ret, errors);
}

/// `line` is the only error.
static void expect_error(const char *text, unsigned version, const char *line)
{
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};
	struct settings s = {0};

	read_settings(text, version, &s, &errors);
	assert_int_equal(errors.n, 1);
	lm_auto_free char *found = validation_error_text(&errors.items[0]);
	assert_string_equal(found, line);
	schema_finish(&SETTINGS, &s);
}

static void reads_values_and_writes_them_back(void **state)
{
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};
	lm_auto_json json_t *written = json_object();
	lm_auto_buf struct lm_buf text = LM_BUF(1000);
	struct settings s = {0};

	(void)state;
	read_settings("{\"name\":\"n\",\"on\":true,\"inner\":{\"path\":\"/p\",\"port\":8}}", 3, &s,
		&errors);
	assert_int_equal(errors.n, 0);
	assert_string_equal(s.name, "n");
	assert_string_equal(s.path, "/p");
	assert_true(s.on);
	assert_int_equal(s.port, 8);
	schema_write(&SETTINGS, &s, written);
	assert_true(json_write(written, &text));
	assert_string_equal(lm_buf_cstr(&text),
		"{\"name\":\"n\",\"on\":true,\"inner\":{\"path\":\"/p\",\"port\":8}}");
	schema_finish(&SETTINGS, &s);
}

static void wrong_types_are_reported_alike(void **state)
{
	(void)state;
	expect_error("{\"name\":1}", 0, "Items[0]: name: 1: must be a string, but is a number");
	expect_error("{\"name\":\"\"}", 0, "Items[0]: name: \"\": must not be empty");
	expect_error("{\"name\":\"a\\n\"}", 0,
		"Items[0]: name: \"a\\x0a\": must not hold control characters");
	expect_error("{\"name\":\"n\",\"on\":\"yes\"}", 0,
		"Items[0]: on: \"yes\": must be true or false, but is a string");
	expect_error("{\"name\":\"n\",\"inner\":[]}", 0,
		"Items[0]: inner: []: must be an object, but is an array");
	expect_error("{\"name\":\"n\",\"inner\":{\"path\":\"p\"}}", 0,
		"Items[0]: inner.path: \"p\": must be an absolute path");
	expect_error("{\"name\":\"n\",\"inner\":{\"port\":0}}", 0,
		"Items[0]: inner.port: 0: must be a number from 1 to 65535");
}

static void missing_and_unknown_keys_are_reported_once(void **state)
{
	(void)state;
	expect_error("{}", 0, "Items[0]: name: is required");
	expect_error(
		"{\"Name\":\"n\"}", 0, "Items[0]: Name: \"n\": is not known; did you mean name?");
	expect_error("{\"name\":\"n\",\"inner\":{\"colour\":1}}", 0,
		"Items[0]: inner.colour: 1: is not known");
}

static void a_key_of_a_later_version_is_refused(void **state)
{
	(void)state;
	expect_error("{\"name\":\"n\",\"on\":true}", 2,
		"Items[0]: on: true: version 2 of the connector does not know it; it came with "
		"version 3");
}

/// In a locale of Latin-1, isalnum takes both bytes of U+00EA: what one program accepted, another
/// would refuse.
static void letters_and_digits_are_those_of_ascii(void **state)
{
	(void)state;
	assert_true(schema_is_alnum(LM_STR("aZ09-."), "-."));
	assert_false(schema_is_alnum(LM_STR("aZ09-."), ":"));
	for (int c = 0x80; c <= 0xff; c++)
		assert_false(schema_is_alnum((struct lm_str){(char[]){(char)c}, 1}, "-."));
}

static void without_a_struct_it_only_checks(void **state)
{
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};

	(void)state;
	read_settings("{\"name\":\"n\",\"on\":true,\"inner\":{\"path\":\"/p\",\"port\":8}}", 0,
		NULL, &errors);
	assert_int_equal(errors.n, 0);
	read_settings("{\"inner\":{\"port\":true}}", 0, NULL, &errors);
	assert_int_equal(errors.n, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_values_and_writes_them_back),
		cmocka_unit_test(wrong_types_are_reported_alike),
		cmocka_unit_test(missing_and_unknown_keys_are_reported_once),
		cmocka_unit_test(a_key_of_a_later_version_is_refused),
		cmocka_unit_test(letters_and_digits_are_those_of_ascii),
		cmocka_unit_test(without_a_struct_it_only_checks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
