// SPDX-License-Identifier: Apache-2.0
#include "daemon/mqtt_brokers.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "sys/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct publisher_events broker; ///< What the brokers gave their publisher.

int64_t __wrap_lm_clock_wall_ms(void);
lm_rc __wrap_publisher_create(struct loop *loop, const struct mqtt_settings *settings,
	const char *directory, const struct publisher_events *events, struct publisher **ret,
	struct lm_err *err);
void __wrap_publisher_redirect(struct publisher *p, enum outbox_class class, const char *topic);
struct outbox_counts __wrap_publisher_counts(const struct publisher *p);

static struct outbox_counts counts;
static char logged[1000];

struct outbox_counts __wrap_publisher_counts(const struct publisher *p)
{
	(void)p;
	return counts;
}

int64_t __wrap_lm_clock_wall_ms(void)
{
	return 1600000000123;
}

lm_rc __wrap_publisher_create(struct loop *loop, const struct mqtt_settings *settings,
	const char *directory, const struct publisher_events *events, struct publisher **ret,
	struct lm_err *err)
{
	(void)loop;
	(void)settings;
	(void)directory;
	(void)err;
	broker = *events;
	*ret = NULL;
	return LM_OK;
}

void __wrap_publisher_redirect(struct publisher *p, enum outbox_class class, const char *topic)
{
	(void)p;
	(void)class;
	(void)topic;
}

/// Takes a member that is 32 hexadecimal digits out of the message.
static void take_id(json_t *message, const char *key, char out[MQTT_BROKERS_ID_SIZE])
{
	const char *id = json_get_text(message, key);

	assert_non_null(id);
	assert_int_equal(strspn(id, "0123456789abcdef"), 32);
	assert_int_equal(strlen(id), 32);
	memcpy(out, id, MQTT_BROKERS_ID_SIZE);
	json_object_del(message, key);
}

/// The message without its ids, as the publisher asks for it after that of a lost connection.
static char *without_ids(enum publisher_connection what, const char *thing)
{
	struct host_broker settings = {.host = (char *)"127.0.0.1", .port = 1883};
	const struct host_settings host = {.state_directory = (char *)"/nonexistent",
		.runtime_directory = (char *)"/nonexistent",
		.thing_name = (char *)thing,
		.brokers = &settings,
		.brokers_n = 1};
	struct loop *loop = NULL;
	struct mqtt_brokers *brokers = NULL;
	char id[MQTT_BROKERS_ID_SIZE], first[MQTT_BROKERS_ID_SIZE], second[MQTT_BROKERS_ID_SIZE];

	assert_int_equal(loop_create(&loop, NULL), LM_OK);
	assert_int_equal(mqtt_brokers_create(loop, &host, &brokers, NULL), LM_OK);
	lm_auto_free char *lost = broker.connection_message(broker.ctx, PUBLISHER_LOST);
	lm_auto_free char *text =
		what == PUBLISHER_LOST ? NULL : broker.connection_message(broker.ctx, what);
	lm_auto_json json_t *will = json_loads(lost, 0, NULL);
	lm_auto_json json_t *message = json_loads(text ? text : lost, 0, NULL);
	take_id(message, "id", id);
	take_id(will, "connection", first);
	take_id(message, "connection", second);
	assert_string_equal(first, second);
	assert_string_not_equal(id, first);
	mqtt_brokers_destroy(brokers);
	loop_destroy(loop);
	return json_dumps(message, JSON_COMPACT | JSON_SORT_KEYS);
}

static void take_log(void *ctx, enum lm_level level, struct lm_str line)
{
	(void)ctx;
	(void)level;
	(void)snprintf(logged, sizeof(logged), "%.*s", LM_STR_ARG(line));
}

static void damaged_messages_of_an_earlier_run_are_reported(void **state)
{
	(void)state;
	lm_log_set_sink(take_log, NULL);
	counts.bad = 0;
	free(without_ids(PUBLISHER_ENDED, NULL));
	assert_string_equal(logged, "");
	counts.bad = 2;
	free(without_ids(PUBLISHER_ENDED, NULL));
	lm_log_set_sink(NULL, NULL);
	counts.bad = 0;
	assert_non_null(strstr(logged, "[WARN]"));
	assert_non_null(strstr(logged, "2 damaged file(s) in the outbox '/nonexistent/outbox/"));
	assert_non_null(strstr(logged, "were set aside as '*.bad': messages in them are lost"));
}

static void reports_who_is_connected_since_when(void **state)
{
	lm_auto_free char *text = without_ids(PUBLISHER_CONNECTED, "Boat");

	(void)state;
	assert_string_equal(text,
		"{\"state\":\"connected\",\"thing\":\"Boat\","
		"\"time\":\"2020-09-13T12:26:40.123Z\",\"version\":\"" LM_VERSION "\"}");
}

static void reports_an_orderly_disconnect(void **state)
{
	lm_auto_free char *text = without_ids(PUBLISHER_ENDED, NULL);

	(void)state;
	assert_string_equal(text,
		"{\"state\":\"ended\",\"thing\":null,"
		"\"time\":\"2020-09-13T12:26:40.123Z\",\"version\":\"" LM_VERSION "\"}");
}

static void a_last_will_has_no_time(void **state)
{
	lm_auto_free char *text = without_ids(PUBLISHER_LOST, "Boat");

	(void)state;
	assert_string_equal(text, "{\"state\":\"lost\",\"thing\":\"Boat\",\"time\":null,"
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
		cmocka_unit_test(damaged_messages_of_an_earlier_run_are_reported),
		cmocka_unit_test(reports_who_is_connected_since_when),
		cmocka_unit_test(reports_an_orderly_disconnect),
		cmocka_unit_test(a_last_will_has_no_time),
		cmocka_unit_test(ids_differ),
	};

	return cmocka_run_group_tests_name("daemon/mqtt_brokers", tests, NULL, NULL);
}
