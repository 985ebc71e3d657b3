// SPDX-License-Identifier: Apache-2.0
#include "cli/cmd_import.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void expect(const char *json, const char *wanted)
{
	lm_auto_buf struct lm_buf page = LM_BUF(1 << 16);
	lm_auto_json json_t *report = NULL;

	assert_int_equal(json_parse(lm_str(json), &report, NULL), LM_OK);
	import_render(report, &page);
	assert_string_equal(lm_buf_cstr(&page), wanted);
}

static void shows_what_was_taken_and_what_was_not(void **state)
{
	(void)state;
	expect("{\"taken\":[{\"what\":\"core\",\"value\":\"Gateway\"},"
	       "{\"what\":\"region\",\"value\":\"a\\u001b[1m\"}],"
	       "\"not_taken\":[{\"what\":\"resources\",\"why\":\"disk\",\"fix\":\"name local "
	       "devices "
	       "and volumes in the compose file, and put models into images\"},"
	       "{\"what\":\"item\",\"why\":\"it is invalid\",\"fix\":null}],"
	       "\"keep\":[\"/c/core.key\"],\"missing\":[\"/c/core.key\"],"
	       "\"files\":[{\"path\":\"/etc/l.json\",\"written\":true}]}",
		"Taken:\n"
		"  core    Gateway\n"
		"  region  a\\x1b[1m\n"
		"\n"
		"Not taken:\n"
		"  resources: disk\n"
		"    -> name local devices and volumes in the compose file, and put models into\n"
		"       images\n"
		"  item: it is invalid\n"
		"\n"
		"The host file refers to these files, which must stay:\n"
		"  /c/core.key\n"
		"\n"
		"Missing:\n"
		"  /c/core.key\n"
		"\n"
		"Written:\n"
		"  /etc/l.json\n");
}

static void shows_what_a_dry_run_would_write(void **state)
{
	(void)state;
	expect("{\"taken\":[],\"not_taken\":[],\"keep\":[],\"missing\":[],"
	       "\"files\":[{\"path\":\"g.json\",\"written\":false}]}",
		"\nWould be written:\n  g.json\n");
	expect("{}", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shows_what_was_taken_and_what_was_not),
		cmocka_unit_test(shows_what_a_dry_run_would_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
