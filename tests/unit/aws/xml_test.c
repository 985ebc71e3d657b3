// SPDX-License-Identifier: Apache-2.0
#include "aws/xml.h"

#include "base/buf.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <string.h>

/// The text of one field.
static void assert_field(const char *xml, const char *path, const char *expected)
{
	char text[64];
	const struct xml_field field = {path, text, sizeof(text)};

	xml_read_fields(lm_str(xml), &field, 1);
	assert_string_equal(text, expected);
}

static void reads_each_text_by_the_way_to_it(void **state)
{
	static const char nested[] =
		"<?xml version='1.0'?>\n<R xmlns='x'>\n <A><B>1</B><C a='>'>2</C></A><B>3</B></R>";
	static const char mixed[] = "<R><A/><B></B><C>x<D>y</D>z</C></R>";

	(void)state;
	assert_field(nested, "/R/A/B", "1");
	assert_field(nested, "/R/A/C", "2");
	assert_field(nested, "/R/B", "3");
	assert_field(nested, "/R/A", "");
	assert_field(nested, "/R", "");
	assert_field(mixed, "/R/C/D", "y");
	assert_field(mixed, "/R/A", "");
	assert_field(mixed, "/R/B", "");
	assert_field(mixed, "/R/C", "");
}

static void takes_the_first_element_of_a_pattern(void **state)
{
	static const char xml[] = "<XResponse><YResult><A>1</A></YResult><A>2</A></XResponse>";

	(void)state;
	assert_field(xml, "/*Response/*Result/A", "1");
	assert_field(xml, "/*/A", "2");
	assert_field(xml, "/*", "");
	assert_field("<R><A>1</A><A>2</A></R>", "/R/A", "1");
}

static void ends_with_the_root_and_with_what_makes_no_sense(void **state)
{
	(void)state;
	assert_field("<R><A>1</A></R><R><B>2</B></R>", "/R/A", "1");
	assert_field("<R><A>1</A></R><R><B>2</B></R>", "/R/B", "");
	assert_field("<R/><A>1</A>", "/A", "");
	assert_field("x<A>1</A>", "/A", "");
	assert_field("</R><A>1</A>", "/A", "");
	assert_field("<R><A>1</A><B>2", "/R/A", "1");
	assert_field("<R><A>1</A><B>2", "/R/B", "");
	assert_field("<R><A>1</B><C>2</C></R>", "/R/A", "");
	assert_field("<R><A>1</B><C>2</C></R>", "/R/B", "");
	assert_field("<R><A>1</B><C>2</C></R>", "/R/C", "2");
	assert_field("", "/", "");
}

static void passes_over_what_is_too_deep(void **state)
{
	lm_auto_buf struct lm_buf xml = LM_BUF(1 << 20);

	(void)state;
	(void)lm_buf_puts(&xml, "<R>");
	for (int i = 0; i < 1000; i++)
		(void)lm_buf_puts(&xml, "<Element>");
	(void)lm_buf_puts(&xml, "text");
	for (int i = 0; i < 1000; i++)
		(void)lm_buf_puts(&xml, "</Element>");
	(void)lm_buf_puts(&xml, "<A>1</A></R>");
	assert_field(lm_buf_cstr(&xml), "/R/A", "1");
}

static void stops_at_a_name_with_a_nul(void **state)
{
	static const char xml[] = "<R><A\0x>1</A\0x><B>2</B></R>";
	char a[8], b[8];
	const struct xml_field fields[] = {{"/R/A", a, sizeof(a)}, {"/R/B", b, sizeof(b)}};

	(void)state;
	xml_read_fields((struct lm_str){xml, sizeof(xml) - 1}, fields, 2);
	assert_string_equal(a, "");
	assert_string_equal(b, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_each_text_by_the_way_to_it),
		cmocka_unit_test(takes_the_first_element_of_a_pattern),
		cmocka_unit_test(ends_with_the_root_and_with_what_makes_no_sense),
		cmocka_unit_test(passes_over_what_is_too_deep),
		cmocka_unit_test(stops_at_a_name_with_a_nul),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
