// SPDX-License-Identifier: Apache-2.0
#include "daemon/mqtt_brokers.h"

#include "base/cleanup.h"
#include "sys/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/// The message without its id, which is 32 hexadecimal digits.
static char *without_id(enum publisher_connection what, const char *thing)
{
	lm_auto_free char *text = mqtt_brokers_connection_message(what, "c1", thing, 1600000000123);
	lm_auto_json json_t *message = json_loads(text, 0, NULL);
	const char *id = json_get_text(message, "id");

	assert_non_null(id);
	assert_int_equal(strspn(id, "0123456789abcdef"), 32);
	assert_int_equal(strlen(id), 32);
	json_object_del(message, "id");
	return json_dumps(message, JSON_COMPACT | JSON_SORT_KEYS);
}

static void reports_who_is_connected_since_when(void **state)
{
	lm_auto_free char *text = without_id(PUBLISHER_CONNECTED, "Boat");

	(void)state;
	assert_string_equal(text,
		"{\"connection\":\"c1\",\"state\":\"connected\",\"thing\":\"Boat\","
		"\"time\":\"2020-09-13T12:26:40.123Z\",\"version\":\"" LM_VERSION "\"}");
}

static void reports_an_orderly_disconnect(void **state)
{
	lm_auto_free char *text = without_id(PUBLISHER_ENDED, NULL);

	(void)state;
	assert_string_equal(text,
		"{\"connection\":\"c1\",\"state\":\"ended\",\"thing\":null,"
		"\"time\":\"2020-09-13T12:26:40.123Z\",\"version\":\"" LM_VERSION "\"}");
}

static void a_last_will_has_no_time(void **state)
{
	lm_auto_free char *text = without_id(PUBLISHER_LOST, "Boat");

	(void)state;
	assert_string_equal(text,
		"{\"connection\":\"c1\",\"state\":\"lost\",\"thing\":\"Boat\",\"time\":null,"
		"\"version\":\"" LM_VERSION "\"}");
}

static void ids_differ(void **state)
{
	char a[MQTT_BROKERS_ID_SIZE], b[MQTT_BROKERS_ID_SIZE];

	(void)state;
	assert_string_not_equal(mqtt_brokers_make_id(a), mqtt_brokers_make_id(b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reports_who_is_connected_since_when),
		cmocka_unit_test(reports_an_orderly_disconnect),
		cmocka_unit_test(a_last_will_has_no_time),
		cmocka_unit_test(ids_differ),
	};

	return cmocka_run_group_tests_name("daemon/mqtt_brokers", tests, NULL, NULL);
}
