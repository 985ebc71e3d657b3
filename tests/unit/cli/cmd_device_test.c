// SPDX-License-Identifier: Apache-2.0
#include "cli/cmd_device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_list(const char *devices, const char *expected)
{
	lm_auto_json json_t *json = NULL;
	lm_auto_buf struct lm_buf page = LM_BUF(65536);
	struct lm_err err = {0};

	assert_int_equal(json_parse(lm_str(devices), &json, &err), LM_OK);
	device_render_list(json, &page);
	assert_string_equal(lm_buf_cstr(&page), expected);
}

static void assert_added(const char *device, bool registered, const char *expected)
{
	lm_auto_json json_t *json = NULL;
	lm_auto_buf struct lm_buf page = LM_BUF(65536);
	struct lm_err err = {0};

	assert_int_equal(json_parse(lm_str(device), &json, &err), LM_OK);
	device_render_added(json, registered, &page);
	assert_string_equal(lm_buf_cstr(&page), expected);
}

static void each_certificate_is_a_row(void **state)
{
	(void)state;
	assert_list("[{\"name\":\"Crane\",\"in_group\":true,\"removed\":false,\"connected\":true,"
		    "\"certificates\":[{\"sha256\":\"0123456789abcdef0123\",\"origin\":\"issued\","
		    "\"expires_ms\":1597153444909},"
		    "{\"sha256\":\"abc\",\"origin\":\"registered\",\"expires_ms\":null}]},"
		    "{\"name\":\"Pump\",\"in_group\":false,\"removed\":true,\"connected\":null,"
		    "\"certificates\":[]}]",
		"DEVICE  STATE      IN GROUP  CERTIFICATE        ORIGIN      VALID UNTIL\n"
		"Crane   connected  yes       0123456789abcdef…  issued      2020-08-11\n"
		"                             abc                registered  -\n"
		"Pump    removed    no        -                  -           -\n");
}

static void no_devices_is_said_so(void **state)
{
	(void)state;
	assert_list("[]", "no client devices\n");
}

static void what_was_made_is_said_with_its_place(void **state)
{
	(void)state;
	assert_added("{\"name\":\"Crane\",\"sha256\":\"abc\",\"expires_ms\":1597153444909,"
		     "\"directory\":\"/var/lib/lighterman/devices/things/Crane\","
		     "\"files\":[\"device.key\",\"device.pem\"],\"in_group\":true}",
		false,
		"added            Crane\n"
		"certificate      SHA-256 abc\n"
		"valid until      2020-08-11\n"
		"directory        /var/lib/lighterman/devices/things/Crane\n"
		"files            device.key, device.pem\n");
}

static void a_device_that_no_group_names_is_pointed_out(void **state)
{
	(void)state;
	assert_added("{\"name\":\"Crane\",\"sha256\":\"abc\",\"expires_ms\":null,"
		     "\"in_group\":false}",
		true,
		"accepted         Crane\n"
		"certificate      SHA-256 abc\n"
		"valid until      -\n"
		"\n"
		"The deployed group has no device of this name: it can connect once Devices names "
		"it.\n");
}

static void a_function_need_not_be_a_device(void **state)
{
	(void)state;
	assert_added("{\"name\":\"arn:aws:lambda:us-west-2:123456789012:function:F:1\","
		     "\"sha256\":\"abc\",\"expires_ms\":null,\"in_group\":false}",
		false,
		"added            arn:aws:lambda:us-west-2:123456789012:function:F:1\n"
		"certificate      SHA-256 abc\n"
		"valid until      -\n");
}

static void bears_members_of_other_types(void **state)
{
	(void)state;
	assert_list("{}", "no client devices\n");
	assert_list("[7,{\"name\":[],\"certificates\":{\"a\":1},\"connected\":3}]",
		"DEVICE  STATE  IN GROUP  CERTIFICATE  ORIGIN  VALID UNTIL\n"
		"-       -      -         -            -       -\n"
		"-       -      -         -            -       -\n");
	assert_added("[]", false,
		"added            \n"
		"certificate      \n"
		"valid until      -\n");
}

static void a_device_cannot_command_the_terminal(void **state)
{
	(void)state;
	assert_list("[{\"name\":\"a\\u001b[2J\",\"certificates\":[{\"sha256\":\"\\u0007\"}]}]",
		"DEVICE    STATE  IN GROUP  CERTIFICATE  ORIGIN  VALID UNTIL\n"
		"a\\x1b[2J  -      -         \\x07         -       -\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_certificate_is_a_row),
		cmocka_unit_test(no_devices_is_said_so),
		cmocka_unit_test(what_was_made_is_said_with_its_place),
		cmocka_unit_test(a_device_that_no_group_names_is_pointed_out),
		cmocka_unit_test(a_function_need_not_be_a_device),
		cmocka_unit_test(bears_members_of_other_types),
		cmocka_unit_test(a_device_cannot_command_the_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
