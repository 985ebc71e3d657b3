// SPDX-License-Identifier: Apache-2.0
#include "mqtt/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static char too_long[120];

static void expect_invalid(struct mqtt_settings s, const char *key)
{
	struct lm_err err;

	assert_int_equal(mqtt_settings_check(&s, &err), LM_E_INVALID);
	if (!strstr(err.msg, key))
		fail_msg("'%s' does not name '%s'", err.msg, key);
}

static void names_the_key_that_cannot_work(void **state)
{
	(void)state;
	memset(too_long, 'x', sizeof(too_long) - 1);
	expect_invalid((struct mqtt_settings){0}, "host");
	expect_invalid((struct mqtt_settings){.host = "h", .port = 1, .socket = "/s"}, "socket");
	expect_invalid((struct mqtt_settings){.host = "", .port = 1}, "host");
	expect_invalid((struct mqtt_settings){.host = "h"}, "port");
	expect_invalid((struct mqtt_settings){.host = "h", .port = 65536}, "port");
	expect_invalid((struct mqtt_settings){.socket = too_long}, "socket");
	expect_invalid((struct mqtt_settings){.socket = "/s", .ca = "/ca"}, "ca");
	expect_invalid(
		(struct mqtt_settings){.host = "h", .port = 1, .certificate = "/c"}, "privateKey");
	expect_invalid(
		(struct mqtt_settings){.host = "h", .port = 1, .private_key = "/k"}, "certificate");
	expect_invalid(
		(struct mqtt_settings){.host = "h", .port = 1, .password_file = "/p"}, "username");
	expect_invalid(
		(struct mqtt_settings){.host = "h", .port = 1, .username = "\xff"}, "username");
	expect_invalid((struct mqtt_settings){.host = "h", .port = 1, .client_id = ""}, "clientId");
}

static void takes_all_that_can_work(void **state)
{
	(void)state;
	const struct mqtt_settings tls = {.host = "::1",
		.port = 65535,
		.ca = "/ca",
		.certificate = "/c",
		.private_key = "/k",
		.username = "ü",
		.password_file = "/p",
		.client_id = "me"};
	const struct mqtt_settings plain = {.socket = "/run/broker.sock"};

	assert_int_equal(mqtt_settings_check(&tls, NULL), LM_OK);
	assert_true(mqtt_settings_want_tls(&tls));
	assert_int_equal(mqtt_settings_check(&plain, NULL), LM_OK);
	assert_false(mqtt_settings_want_tls(&plain));
}

static void expect_name(struct mqtt_settings s, const char *expected)
{
	lm_auto_free char *name = mqtt_settings_name(&s);

	assert_string_equal(name, expected);
}

static void names_a_broker_as_a_person_would(void **state)
{
	(void)state;
	expect_name((struct mqtt_settings){.host = "10.0.0.1", .port = 1883}, "10.0.0.1:1883");
	expect_name((struct mqtt_settings){.host = "::1", .port = 1883}, "[::1]:1883");
	expect_name((struct mqtt_settings){.socket = "/run/b.sock"}, "/run/b.sock");
}

static void a_copy_stands_alone_and_has_an_identifier_of_its_own(void **state)
{
	(void)state;
	char host[] = "h";
	const struct mqtt_settings s = {.host = host, .port = 7, .username = "u"};
	lm_auto_mqtt_settings struct mqtt_settings a = mqtt_settings_copy(&s);
	lm_auto_mqtt_settings struct mqtt_settings b = mqtt_settings_copy(&s);
	lm_auto_mqtt_settings struct mqtt_settings c = mqtt_settings_copy(&a);

	host[0] = 'x';
	assert_string_equal(a.host, "h");
	assert_int_equal(a.port, 7);
	assert_string_equal(a.username, "u");
	assert_null(a.socket);
	assert_int_equal(strlen(a.client_id), 23);
	assert_string_not_equal(a.client_id, b.client_id);
	assert_string_equal(a.client_id, c.client_id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_the_key_that_cannot_work),
		cmocka_unit_test(takes_all_that_can_work),
		cmocka_unit_test(names_a_broker_as_a_person_would),
		cmocka_unit_test(a_copy_stands_alone_and_has_an_identifier_of_its_own),
	};

	return cmocka_run_group_tests_name("mqtt/settings", tests, NULL, NULL);
}
