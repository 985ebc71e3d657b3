// SPDX-License-Identifier: Apache-2.0
#include "devices/router_table.h"

#include "base/limits.h"
#include "base/memory.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void reads_what_it_wrote(void **state)
{
	(void)state;
	static const char text[] =
		"{\"format\":1,\"core\":\"arn:c\",\"connector\":{\"arn\":\"arn:k\",\"password_"
		"sha256\":\"" HEX
		"\"},\"devices\":[{\"name\":\"A\",\"arn\":\"arn:a\",\"certificates\":[\"" HEX
		"\"],\"sync\":true}],\"functions\":[{\"arn\":\"arn:f\",\"certificates\":[]}],"
		"\"subscriptions\":[{\"source\":\"arn:a\",\"subject\":\"x/+/"
		"#\",\"target\":\"cloud\"}],"
		"\"cloud\":true,\"unknown\":[1]}";
	lm_auto_router_table struct router_table t = {0}, again = {0};
	lm_auto_buf struct lm_buf out = LM_BUF(4096), second = LM_BUF(4096);
	struct lm_err err = {0};

	assert_int_equal(router_table_read(lm_str(text), &t, &err), LM_OK);
	assert_string_equal(t.devices[0].certificates[0], HEX);
	assert_true(t.devices[0].sync && t.cloud);
	assert_string_equal(t.subscriptions[0].subject, "x/+/#");
	lm_auto_json json_t *document = router_table_to_json(&t);
	assert_true(json_write(document, &out));
	assert_int_equal(router_table_read(lm_buf_str(&out), &again, &err), LM_OK);
	lm_auto_json json_t *written = router_table_to_json(&again);
	assert_true(json_write(written, &second));
	assert_true(lm_str_eq(lm_buf_str(&out), lm_buf_str(&second)));
}

static void check_refused(const char *text, const char *words)
{
	lm_auto_router_table struct router_table t = {0};
	struct lm_err err = {0};

	assert_int_equal(router_table_read(lm_str(text), &t, &err), LM_E_INVALID);
	if (!strstr(err.msg, words))
		fail_msg("'%s' is not in '%s'", words, err.msg);
}

static void refuses_what_is_wrong(void **state)
{
	(void)state;
	check_refused("", "line 1");
	check_refused("[]", "object");
	check_refused("{}", "format is 0");
	check_refused("{\"format\":2}", "format is 2");
	check_refused("{\"format\":1,\"devices\":{}}", "devices must be an array");
	check_refused("{\"format\":1,\"devices\":[{\"name\":\"a b\",\"arn\":\"arn:a\"}]}",
		"devices[0].name");
	check_refused("{\"format\":1,\"devices\":[{\"name\":\"arn:a\",\"arn\":\"arn:a\"}]}",
		"devices[0].name");
	check_refused("{\"format\":1,\"devices\":[{\"name\":\"A\"}]}", "devices[0].arn");
	check_refused("{\"format\":1,\"devices\":[{\"name\":\"A\",\"arn\":\"arn:a\","
		      "\"certificates\":[\"AB\"]}]}",
		"certificates[0]");
	check_refused("{\"format\":1,\"functions\":[{\"arn\":\"F\"}]}", "functions[0].arn");
	check_refused("{\"format\":1,\"connector\":{\"arn\":\"arn:k\"}}", "password_sha256");
	check_refused("{\"format\":1,\"subscriptions\":[{\"source\":\"A\",\"subject\":\"x\","
		      "\"target\":\"cloud\"}]}",
		"subscriptions[0].source");
	check_refused("{\"format\":1,\"subscriptions\":[{\"source\":\"cloud\",\"subject\":\"a/#/"
		      "b\",\"target\":\"arn:x\"}]}",
		"subscriptions[0].subject");
	check_refused("{\"format\":1,\"subscriptions\":[{\"source\":\"cloud\",\"subject\":\"a\"}]}",
		"subscriptions[0].target");
	check_refused(
		"{\"format\":1,\"subscriptions\":[{\"source\":\"cloud\",\"target\":\"arn:x\"}]}",
		"subscriptions[0].subject is missing");
}

/// It is of the group, too, and the others shall be routed.
static void another_connector_may_have_any_name(void **state)
{
	(void)state;
	lm_auto_router_table struct router_table t = {0};
	struct lm_err err = {0};

	assert_int_equal(
		router_table_read(
			LM_STR("{\"format\":1,\"subscriptions\":[{\"source\":\"arn:aws:greengrass:"
			       "r::/connectors/Kn\xc3\xb6pf "
			       "e/versions/1\",\"subject\":\"x\",\"target\":"
			       "\"cloud\"}]}"),
			&t, &err),
		LM_OK);
}

static void has_ceilings(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_ROUTER_TABLE);

	lm_buf_puts(&text, "{\"format\":1,\"devices\":[0");
	for (size_t i = 0; i < LIMIT_DEVICES; i++)
		lm_buf_puts(&text, ",0");
	lm_buf_puts(&text, "]}");
	check_refused(lm_buf_cstr(&text), "devices has 2501 entries");
	lm_buf_clear(&text);
	lm_buf_puts(&text, "[0");
	for (size_t i = 0; i < LIMIT_ROUTER_VALUES; i++)
		lm_buf_puts(&text, ",0");
	lm_buf_puts(&text, "]");
	check_refused(lm_buf_cstr(&text), "is larger than");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_it_wrote),
		cmocka_unit_test(refuses_what_is_wrong),
		cmocka_unit_test(another_connector_may_have_any_name),
		cmocka_unit_test(has_ceilings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
