// SPDX-License-Identifier: Apache-2.0
#include "aws/s3_error.h"

#include "base/cleanup.h"
#include "base/memory.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct s3_error parse(const char *xml)
{
	struct s3_error e;
	// A copy of exactly that size, so that a sanitizer sees a read behind its end.
	size_t n = strlen(xml);
	char *copy = lm_xmalloc(n + !n);

	memcpy(copy, xml, n);
	s3_error_parse((struct lm_str){copy, n}, &e);
	free(copy);
	return e;
}

static void reads_an_error_as_s3_sends_it(void **state)
{
	struct s3_error e = parse(
		"<?xml version=\"1.0\" "
		"encoding=\"UTF-8\"?>\n<Error><Code>AuthorizationHeaderMalformed"
		"</Code><Message>The authorization header is malformed; the region 'us-east-1' is "
		"wrong; expecting 'eu-west-1'</Message><Region>eu-west-1</Region><RequestId>1"
		"</RequestId><HostId>x</HostId></Error>");

	(void)state;
	assert_string_equal(e.code, "AuthorizationHeaderMalformed");
	assert_string_equal(e.region, "eu-west-1");
	assert_string_equal(e.message, "The authorization header is malformed; the region "
				       "'us-east-1' is wrong; expecting 'eu-west-1'");
}

static void reads_both_times_of_a_skewed_request(void **state)
{
	struct s3_error e = parse("<Error><Code>RequestTimeTooSkewed</Code><RequestTime>"
				  "20130524T000000Z</RequestTime><ServerTime>2013-05-24T02:00:00Z"
				  "</ServerTime><MaxAllowedSkewMilliseconds>900000"
				  "</MaxAllowedSkewMilliseconds></Error>");

	(void)state;
	assert_string_equal(e.request_time, "20130524T000000Z");
	assert_string_equal(e.server_time, "2013-05-24T02:00:00Z");
}

static void decodes_entities(void **state)
{
	struct s3_error e = parse("<Error><Message>&lt;a&gt; &amp;amp; &quot;b&apos; &#65;&#x42; "
				  "&#xFC; &#x1F6A2; &nope; &#0; &#xD800; &#x110000; & &;</Message>"
				  "</Error>");

	(void)state;
	assert_string_equal(e.message,
		"<a> &amp; \"b' AB \xC3\xBC \xF0\x9F\x9A\xA2 &nope; &#0; &#xD800; &#x110000; & &;");
}

static void skips_comments_attributes_and_byte_order_mark(void **state)
{
	struct s3_error e =
		parse("\xEF\xBB\xBF <?x <Code>no</Code>?><!-- <Error><Code>no</Code> -->"
		      "<!DOCTYPE Error><Error xmlns='a>b' y=\"</Error>\"><!-- <Code>no"
		      "</Code> --><Empty/><Code a='1'> NoSuchKey </Code></Error>");

	(void)state;
	assert_string_equal(e.code, "NoSuchKey");
}

static void takes_only_direct_children_of_the_root_and_the_first_of_a_name(void **state)
{
	struct s3_error e = parse("<Error><Detail><Code>Inner</Code></Detail><Code>Outer</Code>"
				  "<Code>Second</Code><Message>a<b>c</b>d</Message></Error>"
				  "<Error><Region>eu-west-1</Region></Error>");

	(void)state;
	assert_string_equal(e.code, "Outer");
	assert_string_equal(e.message, "");
	assert_string_equal(e.region, "");
}

static void is_not_fooled_by_rubbish(void **state)
{
	static const char *const rubbish[] = {
		"",
		"<",
		"<>",
		"</",
		"</>",
		"<!",
		"<!--",
		"<?",
		"&",
		"Error",
		"<Error",
		"<Error>",
		"<Error><",
		"<Error><Code",
		"<Error><Code>",
		"<Error><Code>NoSuchKey",
		"<Error><Code>NoSuchKey</",
		"<Error><Code>NoSuchKey</Kode></Error>",
		"<Error/><Code>NoSuchKey</Code>",
		"<html><Error><Code>NoSuchKey</Code></Error></html>",
		"</Error><Code>NoSuchKey</Code>",
		"x<Error><Code>NoSuchKey</Code></Error>",
		"{\"Code\":\"NoSuchKey\"}",
		"<Error a='><Code>NoSuchKey</Code></Error>",
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(rubbish); i++)
		assert_string_equal(parse(rubbish[i]).code, "");
}

static void keeps_what_came_before_the_document_broke_off(void **state)
{
	struct s3_error e = parse("<Error><Code>SlowDown</Code><Message>Please red");

	(void)state;
	assert_string_equal(e.code, "SlowDown");
	assert_string_equal(e.message, "");
}

static void cuts_long_texts_between_characters(void **state)
{
	lm_auto_free char *xml =
		lm_xasprintf("<Error><Code>%0*d</Code><Message>%0*d\xC3\xBC</Message>"
			     "</Error>",
			5000, 7, 510, 7);
	struct s3_error e = parse(xml);

	(void)state;
	assert_int_equal(strlen(e.code), sizeof(e.code) - 1);
	assert_true(lm_str_is_utf8(lm_str(e.message)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_an_error_as_s3_sends_it),
		cmocka_unit_test(reads_both_times_of_a_skewed_request),
		cmocka_unit_test(decodes_entities),
		cmocka_unit_test(skips_comments_attributes_and_byte_order_mark),
		cmocka_unit_test(takes_only_direct_children_of_the_root_and_the_first_of_a_name),
		cmocka_unit_test(is_not_fooled_by_rubbish),
		cmocka_unit_test(keeps_what_came_before_the_document_broke_off),
		cmocka_unit_test(cuts_long_texts_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
