// SPDX-License-Identifier: Apache-2.0
#include "cli/cmd_verify.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void expect(const char *json, const char *wanted)
{
	lm_auto_json json_t *verify = NULL;

	assert_int_equal(json_parse(lm_str(json), &verify, NULL), LM_OK);
	lm_auto_free char *line = verify_render_image(verify);
	if (wanted)
		assert_string_equal(line, wanted);
	else
		assert_null(line);
}

static void shows_what_was_found(void **state)
{
	(void)state;
	expect("{\"image\":\"web:1\",\"state\":\"ok\",\"generations\":[3,2],\"bytes\":2048,"
	       "\"ms\":1500,\"message\":null}",
		"ok          web:1, of generations 3, 2: 2.0 kB in 1.5 s");
	expect("{\"image\":\"web:1\",\"state\":\"damaged\",\"generations\":[3],\"bytes\":2048,"
	       "\"ms\":1500,\"message\":\"layer 2 of 5 has another content\"}",
		"damaged     web:1, of generation 3: layer 2 of 5 has another content");
	expect("{\"image\":\"web:1\",\"state\":\"ok\",\"generations\":[1],\"bytes\":2048,\"ms\":"
	       "1500,"
	       "\"message\":null,\"replaced_ms\":1500000000000}",
		"ok          web:1, of generation 1: 2.0 kB in 1.5 s; replaced at "
		"2017-07-14T02:40:00+00:00");
	expect("{\"image\":\"a\\u001b[1m\",\"state\":\"missing\",\"message\":\"No such image\"}",
		"missing     a\\x1b[1m: No such image");
}

static void what_is_under_way_or_unknown_is_not_shown(void **state)
{
	(void)state;
	expect("{\"image\":\"web:1\",\"state\":\"reading\"}", NULL);
	expect("{}", NULL);
	expect("[]", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shows_what_was_found),
		cmocka_unit_test(what_is_under_way_or_unknown_is_not_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
