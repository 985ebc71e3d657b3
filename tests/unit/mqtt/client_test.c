// SPDX-License-Identifier: Apache-2.0
#include "mqtt/client.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "certificates.h"
#include "fake_broker.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { LONG_MS = 60 * 1000 };

struct world {
	struct loop *loop;
	struct fake_broker broker;
	struct mqtt_client *client;
	unsigned connected, closed;
	char why[LM_ERR_MSG_SIZE];
	int ids[32]; ///< Acknowledged.
	unsigned ids_n;
	int hole[3]; ///< Descriptors of a black hole; 0: none.
};

static char directory[64];
static char big[LIMIT_MQTT_PAYLOAD];

static int setup(void **state)
{
	struct world *w = lm_xcalloc(1, sizeof(*w));

	(void)snprintf(directory, sizeof(directory), "/tmp/client_test.XXXXXX");
	assert_non_null(mkdtemp(directory));
	assert_int_equal(loop_create(&w->loop, NULL), LM_OK);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	mqtt_client_destroy(w->client);
	if (w->broker.loop)
		fake_broker_stop(&w->broker);
	loop_destroy(w->loop);
	for (unsigned i = 0; i < LM_ARRAY_SIZE(w->hole); i++) {
		if (w->hole[i] > 0)
			(void)close(w->hole[i]);
	}
	free(w);
	assert_int_equal(lm_tree_remove(AT_FDCWD, directory, NULL), LM_OK);
	return 0;
}

static void on_connected(void *ctx)
{
	struct world *w = ctx;

	w->connected++;
	loop_stop(w->loop);
}

static void on_acknowledged(void *ctx, int id)
{
	struct world *w = ctx;

	w->ids[w->ids_n++] = id;
	loop_stop(w->loop);
}

static void on_closed(void *ctx, const char *why)
{
	struct world *w = ctx;

	w->closed++;
	(void)snprintf(w->why, sizeof(w->why), "%s", why);
	loop_stop(w->loop);
}

#define RUN_UNTIL(w, condition)                                                                    \
	do {                                                                                       \
		while (!(condition))                                                               \
			loop_run((w)->loop);                                                       \
	} while (0)

static void create(struct world *w, const struct mqtt_settings *s, unsigned limit_ms)
{
	const struct mqtt_client_options options = {.limit_ms = limit_ms, .keep_alive_s = 5};
	const struct mqtt_client_callbacks events = {
		.connected = on_connected,
		.acknowledged = on_acknowledged,
		.closed = on_closed,
		.ctx = w,
	};

	assert_int_equal(
		mqtt_client_create(w->loop, s, &options, &events, &w->client, NULL), LM_OK);
}

/// Begins to connect to a broker that follows the script.
static void connect_to(struct world *w, const struct fake_script *script, unsigned limit_ms)
{
	fake_broker_start(&w->broker, w->loop, script, 1);
	create(w, &(struct mqtt_settings){.host = "127.0.0.1", .port = w->broker.port}, limit_ms);
	assert_int_equal(mqtt_client_connect(w->client, NULL), LM_OK);
}

static void connected_to(struct world *w, const struct fake_script *script)
{
	connect_to(w, script, LONG_MS);
	RUN_UNTIL(w, w->connected + w->closed);
	assert_int_equal(w->connected, 1);
}

static int publish(struct world *w, const char *payload)
{
	int id = 0;

	assert_int_equal(mqtt_client_publish(w->client, "t/x", lm_str(payload), &id, NULL), LM_OK);
	return id;
}

/// The attempt or the connection ends with a sentence that has both parts.
static void expect_closed(struct world *w, const char *part, const char *other)
{
	unsigned before = w->closed;

	RUN_UNTIL(w, w->closed > before);
	if (!strstr(w->why, part) || !strstr(w->why, other))
		fail_msg("'%s' has not both '%s' and '%s'", w->why, part, other);
}

static char *write_file(const char *name, const char *text)
{
	char *path = lm_path_join(directory, name);

	assert_int_equal(lm_file_replace(AT_FDCWD, path, lm_str(text), 0600, NULL), LM_OK);
	return path;
}

static void publishes_and_is_acknowledged(void **state)
{
	struct world *w = *state;

	connected_to(w, &(struct fake_script){0});
	int first = publish(w, "one");
	int second = publish(w, "two");
	RUN_UNTIL(w, w->ids_n == 2);
	assert_int_equal(w->ids[0], first);
	assert_int_equal(w->ids[1], second);
	assert_int_equal(w->broker.messages_n, 2);
	assert_string_equal(w->broker.messages[0], "t/x one");
	assert_string_equal(w->broker.messages[1], "t/x two");
}

static void asks_for_version_3_1_1_and_a_clean_session(void **state)
{
	struct world *w = *state;
	const unsigned char head[] = {0, 4, 'M', 'Q', 'T', 'T', 4, 0x02, 0, 5, 0, 23};

	connected_to(w, &(struct fake_script){0});
	assert_int_equal(w->broker.connect_n, sizeof(head) + 23);
	assert_memory_equal(w->broker.connect, head, sizeof(head));
	assert_memory_equal(w->broker.connect + sizeof(head), "lighterman", 10);
}

static void leaves_a_last_will_with_the_broker(void **state)
{
	struct world *w = *state;
	const struct fake_script script = {0};
	const char will[] = {0, 3, 't', '/', 'w', 0, 4, 'g', 'o', 'n', 'e'};
	enum { CLEAN = 0x02, WILL = 0x04, WILL_QOS_1 = 0x08 };

	fake_broker_start(&w->broker, w->loop, &script, 1);
	create(w, &(struct mqtt_settings){.host = "127.0.0.1", .port = w->broker.port}, LONG_MS);
	mqtt_client_set_will(w->client, "t/other", "replaced");
	mqtt_client_set_will(w->client, "t/w", "gone");
	assert_int_equal(mqtt_client_connect(w->client, NULL), LM_OK);
	RUN_UNTIL(w, w->connected + w->closed);
	assert_int_equal(w->broker.connect[7], CLEAN | WILL | WILL_QOS_1);
	assert_int_equal(w->broker.connect_n, 12 + 23 + sizeof(will));
	assert_memory_equal(w->broker.connect + 12 + 23, will, sizeof(will));
}

static void connect_with_password(struct world *w, const char *path)
{
	const struct fake_script script = {0};

	fake_broker_start(&w->broker, w->loop, &script, 1);
	create(w,
		&(struct mqtt_settings){.host = "127.0.0.1",
			.port = w->broker.port,
			.client_id = "me",
			.username = "core",
			.password_file = path},
		LONG_MS);
	assert_int_equal(mqtt_client_connect(w->client, NULL), LM_OK);
	RUN_UNTIL(w, w->connected + w->closed);
}

static void sends_the_password_that_the_file_has_now(void **state)
{
	struct world *w = *state;
	lm_auto_free char *path = write_file("password", "s3 cret\r\n");
	const char tail[] = {
		0, 2, 'm', 'e', 0, 4, 'c', 'o', 'r', 'e', 0, 7, 's', '3', ' ', 'c', 'r', 'e', 't'};

	connect_with_password(w, path);
	assert_int_equal(w->connected, 1);
	assert_int_equal(w->broker.connect[7], 0xc2); // user name, password, clean session
	assert_int_equal(w->broker.connect_n, 10 + sizeof(tail));
	assert_memory_equal(w->broker.connect + 10, tail, sizeof(tail));
}

static void a_password_file_that_cannot_be_used_is_named(void **state)
{
	struct world *w = *state;
	lm_auto_free char *path = write_file("password", "one\ntwo\n");

	connect_with_password(w, path);
	assert_non_null(strstr(w->why, path));
	assert_non_null(strstr(w->why, "must hold one line"));
	assert_null(strstr(w->why, "two"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mqtt_client_connect(w->client, NULL), LM_OK);
	expect_closed(w, "mqtt: passwordFile: ", path);
	assert_int_equal(w->broker.accepted, 0);
}

static void each_refusal_is_a_sentence_of_its_own(void **state)
{
	struct world *w = *state;
	static const char *const WORDS[] = {NULL, "does not support MQTT 3.1.1", "check clientId",
		"not available", "bad user name or password", "not authorised", "with 6"};
	struct fake_script scripts[LM_ARRAY_SIZE(WORDS)] = {0};
	char greetings[LM_ARRAY_SIZE(WORDS)][4];

	for (unsigned i = 1; i < LM_ARRAY_SIZE(WORDS); i++) {
		memcpy(greetings[i], (const char[]){0x20, 2, 0, (char)i}, 4);
		scripts[i] = (struct fake_script){
			.greeting = greetings[i], .greeting_n = 4, .closes = true};
	}
	fake_broker_start(&w->broker, w->loop, scripts + 1, LM_ARRAY_SIZE(WORDS) - 1);
	create(w, &(struct mqtt_settings){.host = "127.0.0.1", .port = w->broker.port}, LONG_MS);
	for (unsigned i = 1; i < LM_ARRAY_SIZE(WORDS); i++) {
		assert_int_equal(mqtt_client_connect(w->client, NULL), LM_OK);
		expect_closed(w, "the MQTT broker 127.0.0.1:", WORDS[i]);
	}
	assert_int_equal(w->connected, 0);
}

static void a_broker_that_closes_without_an_answer(void **state)
{
	struct world *w = *state;

	connect_to(w, &(struct fake_script){.greeting = "", .closes = true}, LONG_MS);
	expect_closed(w, "closed the connection before it answered", "asks for TLS");
}

static void a_broker_that_closes_in_the_middle_of_its_answer(void **state)
{
	struct world *w = *state;

	connect_to(w,
		&(struct fake_script){.greeting = "\x20\x02\x00", .greeting_n = 3, .closes = true},
		LONG_MS);
	expect_closed(w, "the MQTT broker 127.0.0.1:", "closed the connection");
}

static void a_broker_that_resets(void **state)
{
	struct world *w = *state;

	connect_to(w, &(struct fake_script){.resets = true}, LONG_MS);
	expect_closed(w, "the MQTT broker 127.0.0.1:", "closed the connection");
}

static void a_reset_in_the_tls_handshake_is_seen_at_once(void **state)
{
	struct world *w = *state;
	const struct fake_script script = {.resets = true};
	lm_auto_free char *ca = lm_path_join(directory, "ca.pem");
	lm_auto_free char *key = lm_path_join(directory, "ca.key");

	make_certificate(ca, key, NULL);
	fake_broker_start(&w->broker, w->loop, &script, 1);
	create(w, &(struct mqtt_settings){.host = "127.0.0.1", .port = w->broker.port, .ca = ca},
		LONG_MS);
	assert_int_equal(mqtt_client_connect(w->client, NULL), LM_OK);
	expect_closed(w, "the MQTT broker 127.0.0.1:", "certificate, privateKey");
}

static void what_does_not_speak_mqtt_is_named(void **state)
{
	struct world *w = *state;
	static const char HTTP[] = "HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n"
				   "Content-Length: 0\r\nConnection: keep-alive\r\n\r\n"
				   "                                                  ";

	connect_to(w, &(struct fake_script){.greeting = HTTP, .greeting_n = sizeof(HTTP) - 1},
		LONG_MS);
	expect_closed(w, "does not speak MQTT 3.1.1", "check host and port");
}

static void an_answer_in_pieces_is_an_answer(void **state)
{
	struct world *w = *state;

	connected_to(w, &(struct fake_script){.byte_by_byte = true});
	int id = publish(w, "one");
	RUN_UNTIL(w, w->ids_n == 1);
	assert_int_equal(w->ids[0], id);
}

static void a_broker_that_never_answers_is_given_up(void **state)
{
	struct world *w = *state;

	connect_to(w, &(struct fake_script){.silent = true}, 3000);
	expect_closed(w, "accepted the connection but did not answer within 3 s", "127.0.0.1:");
}

static void a_lost_connection_is_reported_and_made_again(void **state)
{
	struct world *w = *state;

	connected_to(w, &(struct fake_script){.closes_at = 1});
	(void)publish(w, "one");
	expect_closed(w, "closed the connection", "see its log");
	assert_int_equal(w->ids_n, 1);
	assert_int_equal(
		mqtt_client_publish(w->client, "t", LM_STR("x"), &(int){0}, NULL), LM_E_NETWORK);
	assert_int_equal(mqtt_client_connect(w->client, NULL), LM_OK);
	RUN_UNTIL(w, w->connected == 2);
}

static void a_slow_reader_gets_all_without_being_waited_for(void **state)
{
	struct world *w = *state;

	memset(big, 'x', sizeof(big));
	connected_to(w, &(struct fake_script){.reads_on_order = true});
	for (int i = 0; i < 20; i++)
		assert_int_equal(mqtt_client_publish(w->client, "t",
					 (struct lm_str){big, sizeof(big)}, &(int){0}, NULL),
			LM_OK);
	assert_int_equal(w->broker.messages_n, 0);
	fake_broker_read_on(&w->broker);
	RUN_UNTIL(w, w->ids_n == 20);
	assert_true(w->broker.bytes > 20 * sizeof(big));
}

static void a_silent_broker_is_pinged_and_given_up(void **state)
{
	struct world *w = *state;

	connected_to(w, &(struct fake_script){.no_pong = true});
	expect_closed(w, "did not respond for 5 s", "127.0.0.1:");
	assert_int_equal(mqtt_client_ending(w->client), MQTT_CLIENT_SILENT);
	assert_int_equal(w->broker.pings, 1);
	RUN_UNTIL(w, w->broker.lost == 1);
	assert_int_equal(w->broker.goodbyes, 0); // or the last will would be forgotten
}

static void sends_disconnect_at_the_end(void **state)
{
	struct world *w = *state;

	connected_to(w, &(struct fake_script){0});
	mqtt_client_destroy(lm_take(w->client));
	RUN_UNTIL(w, w->broker.lost == 1);
	assert_int_equal(w->broker.goodbyes, 1);
}

static void a_port_without_a_broker_is_named(void **state)
{
	struct world *w = *state;
	const struct fake_script script = {0};
	unsigned port;

	fake_broker_start(&w->broker, w->loop, &script, 1);
	port = w->broker.port;
	fake_broker_stop(&w->broker);
	w->broker.loop = NULL;
	create(w, &(struct mqtt_settings){.host = "127.0.0.1", .port = port}, LONG_MS);
	assert_int_equal(mqtt_client_connect(w->client, NULL), LM_OK);
	expect_closed(w, "no MQTT broker listens on 127.0.0.1:", "Connection refused");
}

static void no_socket_is_there(void **state)
{
	struct world *w = *state;
	lm_auto_free char *path = lm_path_join(directory, "broker.sock");

	create(w, &(struct mqtt_settings){.socket = path}, LONG_MS);
	assert_string_equal(mqtt_client_name(w->client), path);
	assert_int_equal(mqtt_client_connect(w->client, NULL), LM_OK);
	expect_closed(w, "no MQTT broker listens on the socket", path);
}

static void topics_that_no_broker_takes_are_refused(void **state)
{
	(void)state;
	static const char *const BAD[] = {"", "a/#", "a/+/b", "a\n", "\xff"};
	char longest[LIMIT_MQTT_TOPIC + 2] = "";

	for (size_t i = 0; i < LM_ARRAY_SIZE(BAD); i++)
		assert_int_equal(mqtt_client_check_topic(BAD[i], NULL), LM_E_INVALID);
	memset(longest, 'a', LIMIT_MQTT_TOPIC);
	assert_int_equal(mqtt_client_check_topic(longest, NULL), LM_OK);
	longest[LIMIT_MQTT_TOPIC] = 'a';
	assert_int_equal(mqtt_client_check_topic(longest, NULL), LM_E_INVALID);
}

/// A port that takes no connection and refuses none, so that connect() hangs.
static unsigned make_black_hole(struct world *w)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(a);

	for (unsigned i = 0; i < LM_ARRAY_SIZE(w->hole); i++)
		w->hole[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(w->hole[0], (const struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(w->hole[0], 0), 0);
	assert_int_equal(getsockname(w->hole[0], (struct sockaddr *)&a, &size), 0);
	// They fill the queue of those that wait to be accepted.
	for (unsigned i = 1; i < LM_ARRAY_SIZE(w->hole); i++)
		(void)connect(w->hole[i], (const struct sockaddr *)&a, sizeof(a));
	return ntohs(a.sin_port);
}

static void a_hanging_attempt_does_not_hold_up_the_end(void **state)
{
	struct world *w = *state;
	unsigned port = make_black_hole(w);

	create(w, &(struct mqtt_settings){.host = "127.0.0.1", .port = port}, LONG_MS);
	assert_int_equal(mqtt_client_connect(w->client, NULL), LM_OK);
	mqtt_client_destroy(lm_take(w->client)); // returns
}

/// Last: the threads that it leaves behind count for the whole process.
static void attempts_that_hang_are_left_behind_and_counted(void **state)
{
	struct world *w = *state;
	unsigned port = make_black_hole(w);
	struct lm_err err;

	create(w, &(struct mqtt_settings){.host = "127.0.0.1", .port = port}, 50);
	while (mqtt_client_connect(w->client, &err) == LM_OK)
		expect_closed(w, "was not reached within 0.05 s", "127.0.0.1:");
	assert_in_range(w->closed, LIMIT_MQTT_HANGING - 1, LIMIT_MQTT_HANGING);
	assert_int_equal(err.rc, LM_E_TIMEOUT);
	assert_non_null(strstr(err.msg, "earlier attempts are still waiting"));
}

#define CLIENT_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLIENT_TEST(publishes_and_is_acknowledged),
		CLIENT_TEST(asks_for_version_3_1_1_and_a_clean_session),
		CLIENT_TEST(leaves_a_last_will_with_the_broker),
		CLIENT_TEST(sends_the_password_that_the_file_has_now),
		CLIENT_TEST(a_password_file_that_cannot_be_used_is_named),
		CLIENT_TEST(each_refusal_is_a_sentence_of_its_own),
		CLIENT_TEST(a_broker_that_closes_without_an_answer),
		CLIENT_TEST(a_broker_that_closes_in_the_middle_of_its_answer),
		CLIENT_TEST(a_broker_that_resets),
		CLIENT_TEST(a_reset_in_the_tls_handshake_is_seen_at_once),
		CLIENT_TEST(what_does_not_speak_mqtt_is_named),
		CLIENT_TEST(an_answer_in_pieces_is_an_answer),
		CLIENT_TEST(a_broker_that_never_answers_is_given_up),
		CLIENT_TEST(a_lost_connection_is_reported_and_made_again),
		CLIENT_TEST(a_slow_reader_gets_all_without_being_waited_for),
		CLIENT_TEST(a_silent_broker_is_pinged_and_given_up),
		CLIENT_TEST(sends_disconnect_at_the_end),
		CLIENT_TEST(a_port_without_a_broker_is_named),
		CLIENT_TEST(no_socket_is_there),
		CLIENT_TEST(topics_that_no_broker_takes_are_refused),
		CLIENT_TEST(a_hanging_attempt_does_not_hold_up_the_end),
		CLIENT_TEST(attempts_that_hang_are_left_behind_and_counted),
	};

	return cmocka_run_group_tests_name("mqtt/client", tests, NULL, NULL);
}
