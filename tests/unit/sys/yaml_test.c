// SPDX-License-Identifier: Apache-2.0
#include "sys/yaml.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct lm_err err;

static void assert_refused(struct lm_str text, const char *words)
{
	lm_auto(yaml_destroy_p) struct yaml_doc *doc = NULL;

	assert_int_equal(yaml_parse(text, &doc, &err), LM_E_INVALID);
	assert_string_equal(err.msg, words);
}

static void follows_anchors_and_merges(void **state)
{
	(void)state;
	lm_auto(yaml_destroy_p) struct yaml_doc *doc = NULL;
	struct lm_str text = LM_STR("base: &b {image: x, tty: no}\nweb: {<<: *b, tty: yes}\n");

	assert_int_equal(yaml_parse(text, &doc, &err), LM_OK);
	const struct yaml_node *web = yaml_get(yaml_root(doc), "web");
	assert_true(lm_str_eq(yaml_text(yaml_get(web, "image")), LM_STR("x")));
	assert_true(lm_str_eq(yaml_text(yaml_get(web, "tty")), LM_STR("yes")));
	assert_null(yaml_get(web, "absent"));
	assert_int_equal(yaml_line(web), 2);
}

static void takes_every_common_line_end_and_a_byte_order_mark(void **state)
{
	(void)state;
	static const struct lm_str texts[] = {LM_STR("a: 1\nb: |\n  x\n  y\n"),
		LM_STR("a: 1\r\nb: |\r\n  x\r\n  y\r\n"),
		LM_STR("\xef\xbb\xbf"
		       "a: 1\nb: >-\n  x\n  y")};

	for (size_t i = 0; i < LM_ARRAY_SIZE(texts); i++) {
		lm_auto(yaml_destroy_p) struct yaml_doc *doc = NULL;
		assert_int_equal(yaml_parse(texts[i], &doc, &err), LM_OK);
		assert_int_equal(yaml_size(yaml_root(doc)), 2);
	}
}

static void names_line_and_column_of_a_fault(void **state)
{
	(void)state;
	lm_auto(yaml_destroy_p) struct yaml_doc *doc = NULL;

	assert_int_equal(yaml_parse(LM_STR("a: 1\nb: [1, 2\nc: 3\n"), &doc, &err), LM_E_INVALID);
	assert_ptr_equal(strstr(err.msg, "line 3, column"), err.msg);
	assert_refused(LM_STR(""), "line 1, column 1: it is empty");
	assert_refused(LM_STR("a: 1\n---\nb: 2\n"),
		"line 3, column 1: a second document starts here; only one is allowed");
}

static void counts_an_alias_as_what_it_stands_for(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf text = LM_BUF(4096);

	assert_true(lm_buf_puts(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"));
	for (int i = 1; i < 9; i++) {
		assert_true(lm_buf_printf(&text, "a%d: &a%d [", i, i));
		for (int k = 0; k < 10; k++)
			assert_true(lm_buf_printf(&text, "%s*a%d", k ? ", " : "", i - 1));
		assert_true(lm_buf_puts(&text, "]\n"));
	}
	lm_auto(yaml_destroy_p) struct yaml_doc *doc = NULL;
	assert_int_equal(yaml_parse(lm_buf_str(&text), &doc, &err), LM_E_INVALID);
	assert_non_null(strstr(err.msg, "too many values"));
}

static void refuses_what_would_be_read_for_minutes(void **state)
{
	(void)state;
	enum { DEPTH = 1000000 };
	lm_auto_free char *deep = lm_xcalloc(DEPTH + 1, 1);

	memset(deep, '[', DEPTH);
	assert_refused(lm_str(deep), "line 1, column 66: it is nested too deep");
}

static void takes_a_value_up_to_its_ceiling(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_YAML_TEXT + 16);
	lm_auto(yaml_destroy_p) struct yaml_doc *doc = NULL;

	assert_true(lm_buf_puts(&text, "a: "));
	for (size_t i = 0; i < LIMIT_YAML_TEXT; i++)
		assert_true(lm_buf_putc(&text, 'x'));
	assert_int_equal(yaml_parse(lm_buf_str(&text), &doc, &err), LM_OK);
	assert_true(lm_buf_putc(&text, 'x'));
	assert_refused(lm_buf_str(&text), "line 1, column 4: this value is over 1 MB");
}

static void refuses_a_value_that_contains_itself(void **state)
{
	(void)state;
	assert_refused(LM_STR("&a [*a]"),
		"line 1, column 1: it has no end, as an alias stands in what it refers to");
}

static void knows_null_only_as_a_plain_word(void **state)
{
	(void)state;
	lm_auto(yaml_destroy_p) struct yaml_doc *doc = NULL;

	assert_int_equal(yaml_parse(LM_STR("[~, '~', , null, nul]"), &doc, &err), LM_E_INVALID);
	assert_int_equal(yaml_parse(LM_STR("[~, '~', null, nul]"), &doc, &err), LM_OK);
	static const bool expected[] = {true, false, true, false};
	for (size_t i = 0; i < LM_ARRAY_SIZE(expected); i++)
		assert_int_equal(yaml_is_null(yaml_item(yaml_root(doc), i)), expected[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_anchors_and_merges),
		cmocka_unit_test(takes_every_common_line_end_and_a_byte_order_mark),
		cmocka_unit_test(names_line_and_column_of_a_fault),
		cmocka_unit_test(counts_an_alias_as_what_it_stands_for),
		cmocka_unit_test(refuses_what_would_be_read_for_minutes),
		cmocka_unit_test(takes_a_value_up_to_its_ceiling),
		cmocka_unit_test(refuses_a_value_that_contains_itself),
		cmocka_unit_test(knows_null_only_as_a_plain_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
