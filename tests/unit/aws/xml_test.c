// SPDX-License-Identifier: Apache-2.0
#include "aws/xml.h"

#include "base/buf.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <string.h>

static void note(void *ctx, struct lm_str path, struct lm_str text)
{
	(void)lm_buf_printf(ctx, "%.*s=%.*s;", LM_STR_ARG(path), LM_STR_ARG(text));
}

static void assert_texts(const char *xml, const char *expected)
{
	lm_auto_buf struct lm_buf texts = LM_BUF(4096);

	xml_each_text(lm_str(xml), note, &texts);
	assert_string_equal(lm_buf_cstr(&texts), expected);
}

static void names_the_way_to_each_text(void **state)
{
	(void)state;
	assert_texts(
		"<?xml version='1.0'?>\n<R xmlns='x'>\n <A><B>1</B><C a='>'>2</C></A><B>3</B></R>",
		"R/A/B=1;R/A/C=2;R/B=3;");
	assert_texts("<R><A/><B></B><C>x<D>y</D>z</C></R>", "R/C/D=y;");
}

static void ends_with_the_root_and_with_what_makes_no_sense(void **state)
{
	(void)state;
	assert_texts("<R><A>1</A></R><R><A>2</A></R>", "R/A=1;");
	assert_texts("<R/><A>1</A>", "");
	assert_texts("x<A>1</A>", "");
	assert_texts("</R><A>1</A>", "");
	assert_texts("<R><A>1</A><B>2", "R/A=1;");
	assert_texts("<R><A>1</B><C>2</C></R>", "R/C=2;");
	assert_texts("", "");
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
	assert_texts(lm_buf_cstr(&xml), "R/A=1;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_the_way_to_each_text),
		cmocka_unit_test(ends_with_the_root_and_with_what_makes_no_sense),
		cmocka_unit_test(passes_over_what_is_too_deep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
