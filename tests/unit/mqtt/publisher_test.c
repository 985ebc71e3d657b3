// SPDX-License-Identifier: Apache-2.0
#include "mqtt/publisher.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "fake_broker.h"

#include <fcntl.h>
#include <mosquitto.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum ending { NEVER, WHEN_CONNECTED, WHEN_DISCONNECTED, WHEN_DRAINED };

struct world {
	struct loop *loop;
	struct fake_broker broker;
	struct publisher *publisher;
	enum ending ending; ///< In which event the publisher is destroyed.
	unsigned connected, disconnected, drained;
	uint64_t retry_ms[8];
	char why[LM_ERR_MSG_SIZE];
	bool has_connection_topic; ///< "p"
	unsigned refused;
	char topic[32]; ///< The last that was refused.
	unsigned subscribed, lost, received;
	char heard[64]; ///< The last that was received, "topic payload".
};

static char directory[64];
static uint64_t hurried_from_ms; ///< Such a timer, or a longer one, is over at once; 0: none.
static unsigned hurried;         ///< Timers.
static uint64_t skipped_ms;      ///< Of the clock.
static _Thread_local bool in_libmosquitto;
static uint64_t stopped_ms;                    ///< The clock stands at that; 0: it does not.
static unsigned backoffs, backoff_attempts[8]; ///< Of lm_backoff_ms.

void __real_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms);
void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms);

void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms)
{
	bool is_hurried = hurried_from_ms && delay_ms >= hurried_from_ms;

	bool inside = in_libmosquitto;

	hurried += is_hurried;
	in_libmosquitto = false; // libuv looks at the clock
	__real_loop_timer_start(t, is_hurried ? 1 : delay_ms, repeat_ms);
	in_libmosquitto = inside;
}

/// In place of the C library's. libmosquitto gets the same time as we do, libuv the true one.
int clock_gettime(clockid_t clock, struct timespec *t)
{
	int rc = (int)syscall(SYS_clock_gettime, clock, t);

	if (clock != CLOCK_BOOTTIME && !(clock == CLOCK_MONOTONIC && in_libmosquitto))
		return rc;
	(void)syscall(SYS_clock_gettime, CLOCK_BOOTTIME, t);
	uint64_t ms = (uint64_t)t->tv_sec * 1000 + (uint64_t)t->tv_nsec / 1000000;
	ms = (stopped_ms > 0 ? stopped_ms : ms) + skipped_ms;
	*t = (struct timespec){(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
	return rc;
}

#define WRAP_MOSQUITTO(name, parameters, arguments)                                                \
	int __real_##name parameters;                                                              \
	int __wrap_##name parameters;                                                              \
	int __wrap_##name parameters                                                               \
	{                                                                                          \
		in_libmosquitto = true;                                                            \
		int rc = __real_##name arguments;                                                  \
		in_libmosquitto = false;                                                           \
		return rc;                                                                         \
	}

WRAP_MOSQUITTO(mosquitto_connect,
	(struct mosquitto * mosq, const char *host, int port, int keep_alive_s),
	(mosq, host, port, keep_alive_s))
WRAP_MOSQUITTO(mosquitto_loop, (struct mosquitto * mosq, int timeout_ms, int max_packets),
	(mosq, timeout_ms, max_packets))
WRAP_MOSQUITTO(mosquitto_publish,
	(struct mosquitto * mosq, int *id, const char *topic, int n, const void *payload, int qos,
		bool retain),
	(mosq, id, topic, n, payload, qos, retain))
WRAP_MOSQUITTO(mosquitto_subscribe_multiple,
	(struct mosquitto * mosq, int *id, int n, char *const *filters, int qos, int options,
		const mosquitto_property *properties),
	(mosq, id, n, filters, qos, options, properties))

uint64_t __real_lm_backoff_ms(unsigned attempt, uint64_t base_ms, uint64_t max_ms);
uint64_t __wrap_lm_backoff_ms(unsigned attempt, uint64_t base_ms, uint64_t max_ms);

uint64_t __wrap_lm_backoff_ms(unsigned attempt, uint64_t base_ms, uint64_t max_ms)
{
	backoff_attempts[backoffs++ % LM_ARRAY_SIZE(backoff_attempts)] = attempt;
	return skipped_ms > 0 ? 0 : __real_lm_backoff_ms(attempt, base_ms, max_ms);
}

static char big[LIMIT_MQTT_PAYLOAD];

static int setup(void **state)
{
	struct world *w = lm_xcalloc(1, sizeof(*w));

	(void)snprintf(directory, sizeof(directory), "/tmp/publisher_test.XXXXXX");
	assert_non_null(mkdtemp(directory));
	hurried_from_ms = skipped_ms = stopped_ms = 0;
	backoffs = hurried = 0;
	assert_int_equal(loop_create(&w->loop, NULL), LM_OK);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	publisher_destroy(w->publisher);
	if (w->broker.loop)
		fake_broker_stop(&w->broker);
	loop_destroy(w->loop);
	free(w);
	assert_int_equal(lm_tree_remove(AT_FDCWD, directory, NULL), LM_OK);
	return 0;
}

static void end_if(struct world *w, enum ending now)
{
	if (w->ending == now)
		publisher_destroy(lm_take(w->publisher));
	loop_stop(w->loop);
}

static void on_connected(void *ctx)
{
	struct world *w = ctx;

	w->connected++;
	end_if(w, WHEN_CONNECTED);
}

static void on_disconnected(void *ctx, const char *why, uint64_t retry_ms)
{
	struct world *w = ctx;

	(void)snprintf(w->why, sizeof(w->why), "%s", why);
	w->retry_ms[w->disconnected % LM_ARRAY_SIZE(w->retry_ms)] = retry_ms;
	w->disconnected++;
	end_if(w, WHEN_DISCONNECTED);
}

static void on_drained(void *ctx)
{
	struct world *w = ctx;

	w->drained++;
	end_if(w, WHEN_DRAINED);
}

static void on_set_aside(void *ctx, const char *topic, uint64_t retry_ms)
{
	struct world *w = ctx;

	assert_true(retry_ms >= 60 * 1000);
	(void)snprintf(w->topic, sizeof(w->topic), "%s", topic);
	w->refused++;
	loop_stop(w->loop);
}

static char *make_connection_message(void *ctx, enum publisher_connection what)
{
	static const char *const words[] = {"connected", "ended", "lost"};

	(void)ctx;
	return lm_xstrdup(words[what]);
}

#define RUN_UNTIL(w, condition)                                                                    \
	do {                                                                                       \
		while (!(condition))                                                               \
			loop_run((w)->loop);                                                       \
	} while (0)

static void start(struct world *w, const struct fake_script *scripts, unsigned n)
{
	const struct publisher_events events = {
		.connected = on_connected,
		.disconnected = on_disconnected,
		.drained = on_drained,
		.set_aside = on_set_aside,
		.connection_topic = w->has_connection_topic ? "p" : NULL,
		.connection_message = make_connection_message,
		.ctx = w,
	};

	fake_broker_start(&w->broker, w->loop, scripts, n);
	assert_int_equal(
		publisher_create(w->loop,
			&(struct mqtt_settings){.host = "127.0.0.1", .port = w->broker.port},
			directory, &events, &w->publisher, NULL),
		LM_OK);
}

static void send_numbers(struct world *w, int n)
{
	for (int i = 0; i < n; i++) {
		char text[16];

		(void)snprintf(text, sizeof(text), "%d", i);
		assert_int_equal(
			publisher_send(w->publisher, OUTBOX_STATUS, "t", lm_str(text), NULL),
			LM_OK);
	}
}

static void expect_message(const struct world *w, size_t i, int number)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "t %d", number);
	assert_true(i < w->broker.messages_n);
	assert_string_equal(w->broker.messages[i], text);
}

static void add_to_outbox(const char *topic, const char *payload)
{
	lm_auto(outbox_close_p) struct outbox *o = NULL;

	assert_int_equal(outbox_open(directory, &o, NULL), LM_OK);
	assert_int_equal(outbox_add(o, OUTBOX_STATUS, topic, lm_str(payload), NULL), LM_OK);
}

static void sends_all_in_order_and_calls_drained(void **state)
{
	struct world *w = *state;

	start(w, &(struct fake_script){0}, 1);
	assert_false(publisher_is_connected(w->publisher));
	assert_string_equal(publisher_fault(w->publisher), "");
	send_numbers(w, 50);
	assert_int_equal(publisher_counts(w->publisher).messages, 50);
	RUN_UNTIL(w, w->drained == 1);
	assert_true(publisher_is_connected(w->publisher));
	assert_int_equal(w->broker.messages_n, 50);
	for (int i = 0; i < 50; i++)
		expect_message(w, (size_t)i, i);
	assert_int_equal(publisher_counts(w->publisher).messages, 0);
	send_numbers(w, 1);
	RUN_UNTIL(w, w->drained == 2);
	assert_int_equal(w->connected, 1);
}

static void sends_what_an_earlier_run_left(void **state)
{
	struct world *w = *state;

	add_to_outbox("t", "0");
	start(w, &(struct fake_script){0}, 1);
	RUN_UNTIL(w, w->drained == 1);
	expect_message(w, 0, 0);
}

static void nothing_to_send_drains_nothing(void **state)
{
	struct world *w = *state;

	start(w, &(struct fake_script){0}, 1);
	RUN_UNTIL(w, w->connected == 1);
	send_numbers(w, 1);
	RUN_UNTIL(w, w->broker.messages_n == 1);
	assert_int_equal(w->drained, 0);
}

static void what_was_not_acknowledged_comes_again_in_order(void **state)
{
	struct world *w = *state;
	const struct fake_script scripts[] = {{.closes_at = 3}, {0}};

	start(w, scripts, 2);
	send_numbers(w, 6);
	RUN_UNTIL(w, w->drained == 1);
	assert_int_equal(w->connected, 2);
	assert_int_equal(w->disconnected, 1);
	assert_int_equal(w->broker.messages_n, 6);
	for (int i = 0; i < 6; i++)
		expect_message(w, (size_t)i, i);
}

static void no_more_than_20_messages_are_in_flight(void **state)
{
	struct world *w = *state;

	start(w, &(struct fake_script){.no_puback = true}, 1);
	send_numbers(w, 30);
	RUN_UNTIL(w, w->broker.messages_n == 20);
	assert_int_equal(publisher_counts(w->publisher).messages, 30);
	publisher_destroy(lm_take(w->publisher));
	RUN_UNTIL(w, w->broker.lost == 1);
	assert_int_equal(w->broker.messages_n, 20);
	assert_int_equal(w->broker.goodbyes, 1);
}

static void large_messages_go_one_by_one(void **state)
{
	struct world *w = *state;
	struct lm_str payload = {big, sizeof(big)};

	memset(big, 'x', sizeof(big));
	start(w, &(struct fake_script){.no_puback = true}, 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(
			publisher_send(w->publisher, OUTBOX_STATUS, "t", payload, NULL), LM_OK);
	RUN_UNTIL(w, w->broker.messages_n == 1);
	publisher_destroy(lm_take(w->publisher));
	RUN_UNTIL(w, w->broker.lost == 1);
	assert_int_equal(w->broker.messages_n, 1);
}

static void a_broker_that_drops_us_at_once_is_not_hammered(void **state)
{
	struct world *w = *state;
	const struct fake_script script = {
		.greeting = "\x20\x02\x00\x00", .greeting_n = 4, .closes = true};

	start(w, &script, 1);
	RUN_UNTIL(w, w->disconnected == 3);
	assert_int_equal(w->broker.accepted, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_in_range(w->retry_ms[i], 0, 1000u << i);
	assert_string_equal(publisher_fault(w->publisher), w->why);
	assert_non_null(strstr(w->why, publisher_name(w->publisher)));
	assert_false(publisher_is_connected(w->publisher));
}

static void a_fleet_returns_to_a_restarted_broker_bit_by_bit(void **state)
{
	struct world *w = *state;
	const struct fake_script scripts[] = {{.closes_at = 1}, {.closes_at = 1}, {0}};

	start(w, scripts, 3);
	RUN_UNTIL(w, w->connected == 1);
	skipped_ms = 30 * 1000; // the connection has lasted
	send_numbers(w, 1);
	RUN_UNTIL(w, w->disconnected == 1);
	assert_int_equal(backoff_attempts[0], 4); // up to 16 s
	RUN_UNTIL(w, w->connected == 2);
	send_numbers(w, 1); // it restarts once more
	RUN_UNTIL(w, w->disconnected == 2);
	assert_int_equal(backoff_attempts[1], 5);
	RUN_UNTIL(w, w->connected == 3);
}

static unsigned keep_alive_of_connect(const struct world *w)
{
	assert_true(w->broker.connect_n > 10);
	return (unsigned)(w->broker.connect[8] << 8 | w->broker.connect[9]);
}

static void a_dead_connection_shortens_the_keep_alive_until_the_network_was_away(void **state)
{
	struct world *w = *state;
	const unsigned intervals[] = {900, 450, 225, 112, 60, 60};
	const unsigned n = LM_ARRAY_SIZE(intervals);
	struct fake_script scripts[LM_ARRAY_SIZE(intervals) + 2] = {0};

	for (unsigned i = 0; i < n; i++)
		scripts[i].no_pong = true;
	scripts[n].silent = true;
	hurried_from_ms = 50 * 1000; // those of keep-alive
	start(w, scripts, n + 2);
	for (unsigned i = 0; i < n; i++) {
		RUN_UNTIL(w, w->connected == i + 1);
		assert_int_equal(keep_alive_of_connect(w), intervals[i]);
		skipped_ms += 1000 * 1000;
		if (i == n - 1)
			hurried_from_ms = 30 * 1000; // that of the next attempt, too
		RUN_UNTIL(w, w->disconnected == i + 1);
		assert_non_null(strstr(w->why, "did not respond for 60 s"));
		assert_int_equal(backoff_attempts[i % LM_ARRAY_SIZE(backoff_attempts)], 0);
	}
	RUN_UNTIL(w, w->disconnected > n && w->broker.accepted > n);
	hurried_from_ms = 0;
	RUN_UNTIL(w, w->connected == n + 1);
	assert_int_equal(keep_alive_of_connect(w), 900);
}

static void a_message_that_no_broker_takes_holds_up_no_other(void **state)
{
	struct world *w = *state;

	add_to_outbox("t/#", "bad");
	add_to_outbox("t", "0");
	start(w, &(struct fake_script){0}, 1);
	RUN_UNTIL(w, w->drained == 1);
	expect_message(w, 0, 0);
	assert_int_equal(w->broker.messages_n, 1);
	assert_int_equal(publisher_counts(w->publisher).bad, 1);
}

static void refuses_what_it_could_never_send(void **state)
{
	struct world *w = *state;

	start(w, &(struct fake_script){0}, 1);
	assert_int_equal(
		publisher_send(w->publisher, OUTBOX_EVENT, "a/+", LM_STR("x"), NULL), LM_E_INVALID);
	assert_int_equal(publisher_send(w->publisher, OUTBOX_EVENT, "a",
				 (struct lm_str){big, sizeof(big) + 1}, NULL),
		LM_E_TOO_LARGE);
	assert_int_equal(publisher_counts(w->publisher).messages, 0);
}

struct turn {
	struct loop *loop;
	struct loop_timer *timer;
	bool begun;
};

/// At the second call: newer libuv makes the first before anything is read.
static void stop(void *ctx)
{
	struct turn *t = ctx;

	if (t->begun)
		loop_stop(t->loop);
	else
		loop_timer_start(t->timer, 0, 0);
	t->begun = true;
}

static void one_turn(struct world *w)
{
	struct turn t = {.loop = w->loop};

	t.timer = loop_timer_create(w->loop, stop, &t);
	loop_timer_start(t.timer, 0, 0);
	loop_run(w->loop);
	loop_timer_destroy(t.timer);
}

static void a_file_that_cannot_be_removed_stops_nothing(void **state)
{
	struct world *w = *state;
	lm_auto_free char *file = lm_xasprintf("%s/%020d.status", directory, 1);

	start(w, &(struct fake_script){.reads_on_order = true}, 1);
	RUN_UNTIL(w, w->connected == 1);
	send_numbers(w, 1);
	one_turn(w); // sent, and not read yet
	assert_int_equal(unlink(file), 0);
	assert_int_equal(lm_dir_make(file, 0700, NULL), LM_OK);
	fake_broker_read_on(&w->broker);
	RUN_UNTIL(w, w->drained == 1);
	send_numbers(w, 1);
	RUN_UNTIL(w, w->drained == 2);
}

static void a_message_that_cannot_be_read_now_is_sent_later(void **state)
{
	struct world *w = *state;
	struct rlimit limit, none;

	start(w, &(struct fake_script){0}, 1);
	RUN_UNTIL(w, w->connected == 1);
	send_numbers(w, 1);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	one_turn(w);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(publisher_counts(w->publisher).bad, 0);
	assert_int_equal(publisher_counts(w->publisher).messages, 1);
	assert_int_equal(publisher_send(w->publisher, OUTBOX_EVENT, "t", LM_STR("1"), NULL), LM_OK);
	RUN_UNTIL(w, w->drained == 1);
	expect_message(w, 0, 0);
	expect_message(w, 1, 1);
}

static void may_be_destroyed_in_any_event(void **state)
{
	struct world *w = *state;
	const struct fake_script scripts[] = {{.closes_at = 1}, {.closes_at = 1}};

	for (enum ending e = WHEN_CONNECTED; e <= WHEN_DRAINED; e++) {
		w->ending = e;
		start(w, scripts, 2);
		send_numbers(w, 1);
		RUN_UNTIL(w, !w->publisher);
		fake_broker_stop(&w->broker);
		w->broker.loop = NULL;
	}
}

static void publishes_the_connection_after_what_waited(void **state)
{
	struct world *w = *state;

	w->has_connection_topic = true;
	add_to_outbox("t", "0");
	start(w, &(struct fake_script){0}, 1);
	RUN_UNTIL(w, w->drained == 1);
	assert_int_equal(w->broker.messages_n, 2);
	assert_string_equal(w->broker.messages[0], "t 0");
	assert_string_equal(w->broker.messages[1], "p connected");
}

static void the_end_is_drained_once_the_broker_knows_of_it(void **state)
{
	struct world *w = *state;

	w->has_connection_topic = true;
	start(w, &(struct fake_script){0}, 1);
	RUN_UNTIL(w, w->connected == 1);
	publisher_end(w->publisher);
	publisher_end(w->publisher);
	assert_false(publisher_is_drained(w->publisher));
	send_numbers(w, 1); // comes before
	RUN_UNTIL(w, w->drained == 1);
	assert_true(publisher_is_drained(w->publisher));
	assert_string_equal(w->broker.messages[w->broker.messages_n - 2], "t 0");
	assert_string_equal(w->broker.messages[w->broker.messages_n - 1], "p ended");
	publisher_destroy(lm_take(w->publisher));
	RUN_UNTIL(w, w->broker.lost == 1);
	assert_int_equal(w->broker.goodbyes, 1);
}

static void an_end_without_a_connection_waits_for_nothing(void **state)
{
	struct world *w = *state;

	w->has_connection_topic = true;
	start(w, &(struct fake_script){.closes = true}, 1);
	publisher_end(w->publisher);
	RUN_UNTIL(w, w->drained == 1);
	assert_int_equal(w->broker.messages_n, 0);
}

/// The disk refuses all: had the event waited for it, it would not have been sent.
static void an_event_is_on_its_way_before_it_is_on_disk(void **state)
{
	struct world *w = *state;

	start(w, &(struct fake_script){0}, 1);
	RUN_UNTIL(w, w->connected == 1);
	assert_int_equal(lm_tree_remove(AT_FDCWD, directory, NULL), LM_OK);
	assert_int_equal(publisher_send(w->publisher, OUTBOX_EVENT, "t", LM_STR("0"), NULL), LM_OK);
	assert_int_equal(publisher_counts(w->publisher).lasting, 0);
	assert_int_not_equal(
		publisher_send(w->publisher, OUTBOX_STATUS, "t", LM_STR("1"), NULL), LM_OK);
	RUN_UNTIL(w, w->drained == 1);
	expect_message(w, 0, 0);
	assert_int_equal(w->broker.messages_n, 1);
	assert_int_equal(lm_dir_make(directory, 0700, NULL), LM_OK);
}

static void expect_on_disk(const char *const *payloads, size_t n)
{
	struct outbox *o;
	struct outbox_message m;

	assert_int_equal(outbox_open(directory, &o, NULL), LM_OK);
	assert_int_equal(outbox_counts(o).messages, n);
	for (size_t i = 0; i < n; i++) {
		assert_true(outbox_next(o, &m));
		assert_string_equal(m.payload, payloads[i]);
		outbox_message_finish(&m);
	}
	outbox_close(o);
}

/// The disk refuses message `seq`, to root too: a directory has the name of its temporary file.
static void refuse_message(unsigned seq, const char *class)
{
	lm_auto_free char *path = lm_xasprintf("%s/.%020u.%s.tmp", directory, seq, class);

	assert_int_equal(lm_dir_make(path, 0700, NULL), LM_OK);
}

static void accept_message(unsigned seq, const char *class)
{
	lm_auto_free char *path = lm_xasprintf("%s/.%020u.%s.tmp", directory, seq, class);

	assert_int_equal(rmdir(path), 0);
}

static void send_event(struct world *w, const char *payload)
{
	assert_int_equal(
		publisher_send(w->publisher, OUTBOX_EVENT, "t", lm_str(payload), NULL), LM_OK);
}

static void an_event_that_the_disk_refuses_is_saved_after_a_failed_attempt(void **state)
{
	struct world *w = *state;

	start(w, &(struct fake_script){.closes = true}, 1);
	refuse_message(1, "event");
	send_event(w, "a");
	RUN_UNTIL(w, w->disconnected == 1);
	assert_int_equal(publisher_counts(w->publisher).messages, 1);
	assert_int_equal(publisher_counts(w->publisher).lasting, 0);
	accept_message(1, "event");
	RUN_UNTIL(w, w->disconnected == 2);
	assert_int_equal(publisher_counts(w->publisher).lasting, 1);
	publisher_destroy(lm_take(w->publisher));
	expect_on_disk((const char *[]){"a"}, 1);
}

static void many_that_the_disk_refused_are_saved_over_turns_of_the_loop(void **state)
{
	struct world *w = *state;

	start(w, &(struct fake_script){.closes = true}, 1);
	for (unsigned i = 1; i <= 30; i++) {
		refuse_message(i, "event");
		send_event(w, "a");
	}
	assert_int_equal(publisher_counts(w->publisher).lasting, 0);
	for (unsigned i = 1; i <= 30; i++)
		accept_message(i, "event");
	send_event(w, "b");
	assert_int_equal(publisher_counts(w->publisher).lasting, 9);
	for (int i = 0; i < 6; i++)
		one_turn(w);
	assert_int_equal(publisher_counts(w->publisher).lasting, 31);
}

static void an_event_that_the_disk_refuses_is_saved_at_the_end(void **state)
{
	struct world *w = *state;
	struct lm_err err;

	start(w, &(struct fake_script){.closes = true}, 1);
	refuse_message(1, "event");
	send_event(w, "a");
	assert_int_not_equal(publisher_save(w->publisher, &err), LM_OK);
	assert_non_null(strstr(err.msg, directory));
	accept_message(1, "event");
	publisher_destroy(lm_take(w->publisher));
	expect_on_disk((const char *[]){"a"}, 1);
}

static void an_event_that_finds_disk_and_window_full_is_held(void **state)
{
	struct world *w = *state;

	start(w, &(struct fake_script){.no_puback = true}, 1);
	send_numbers(w, 20);
	RUN_UNTIL(w, w->broker.messages_n == 20);
	refuse_message(21, "event");
	send_event(w, "a");
	assert_int_equal(publisher_counts(w->publisher).messages, 21);
	assert_int_equal(publisher_counts(w->publisher).lasting, 20);
	accept_message(21, "event");
	send_event(w, "b");
	assert_int_equal(publisher_counts(w->publisher).lasting, 22);
}

static void a_status_that_nobody_could_give_again_is_held(void **state)
{
	struct world *w = *state;

	start(w, &(struct fake_script){0}, 1);
	for (unsigned i = 1; i <= 3; i++) // each try has a number
		refuse_message(i, "status");
	assert_int_not_equal(
		publisher_send(w->publisher, OUTBOX_STATUS, "t", LM_STR("0"), NULL), LM_OK);
	assert_int_equal(publisher_counts(w->publisher).messages, 0);
	assert_int_equal(
		publisher_hold(w->publisher, OUTBOX_STATUS, "t", LM_STR("0"), NULL), LM_OK);
	assert_int_equal(publisher_counts(w->publisher).lasting, 0);
	assert_int_equal(
		publisher_hold(w->publisher, OUTBOX_STATUS, "t", LM_STR("1"), NULL), LM_OK);
	assert_int_equal(publisher_hold(w->publisher, OUTBOX_STATUS, "t/#", LM_STR("1"), NULL),
		LM_E_INVALID);
	RUN_UNTIL(w, w->drained == 1);
	expect_message(w, 0, 0);
	expect_message(w, 1, 1);
	assert_int_equal(w->broker.messages_n, 2);
}

static void an_event_overtakes_nothing_and_is_on_disk_with_what_waits(void **state)
{
	struct world *w = *state;

	start(w, &(struct fake_script){.reads_on_order = true}, 1);
	RUN_UNTIL(w, w->connected == 1);
	send_numbers(w, 1);
	assert_int_equal(publisher_send(w->publisher, OUTBOX_EVENT, "t", LM_STR("1"), NULL), LM_OK);
	assert_int_equal(publisher_counts(w->publisher).lasting, 2);
	fake_broker_read_on(&w->broker);
	RUN_UNTIL(w, w->drained == 1);
	expect_message(w, 0, 0);
	expect_message(w, 1, 1);
}

static void a_connection_that_breaks_under_an_event_is_reported_later(void **state)
{
	struct world *w = *state;

	start(w, &(struct fake_script){.reads_on_order = true}, 1);
	RUN_UNTIL(w, w->connected == 1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(
			publisher_send(w->publisher, OUTBOX_EVENT, "t", LM_STR("0"), NULL), LM_OK);
		if (i == 0) // what it has not read makes its end a reset, which the next write sees
			fake_broker_stop(&w->broker);
	}
	assert_int_equal(w->disconnected, 0);
	assert_int_equal(publisher_send(w->publisher, OUTBOX_EVENT, "t", LM_STR("0"), NULL), LM_OK);
	assert_int_equal(publisher_counts(w->publisher).lasting, 3);
	w->broker.loop = NULL;
	RUN_UNTIL(w, w->disconnected == 1);
	assert_non_null(strstr(w->why, publisher_name(w->publisher)));
	assert_null(strstr(w->why, "there is no connection"));
	publisher_destroy(lm_take(w->publisher));
	expect_on_disk((const char *[]){"0", "0", "0"}, 3);
}

static void a_message_of_a_key_is_taken_once_also_after_a_restart(void **state)
{
	struct world *w = *state;
	const struct lm_str text = LM_STR("0");

	start(w, &(struct fake_script){.closes = true}, 1);
	for (int i = 0; i < 2; i++)
		assert_int_equal(
			publisher_send_once(w->publisher, "3.1", OUTBOX_STATUS, "t", text, NULL),
			LM_OK);
	publisher_destroy(lm_take(w->publisher));
	fake_broker_stop(&w->broker);
	start(w, &(struct fake_script){0}, 1);
	assert_int_equal(
		publisher_send_once(w->publisher, "3.1", OUTBOX_STATUS, "t", text, NULL), LM_OK);
	RUN_UNTIL(w, w->drained == 1);
	assert_int_equal(w->broker.messages_n, 1);
	publisher_forget_taken(w->publisher);
	assert_int_equal(
		publisher_send_once(w->publisher, "3.1", OUTBOX_STATUS, "t", text, NULL), LM_OK);
	RUN_UNTIL(w, w->drained == 2);
	assert_int_equal(w->broker.messages_n, 2);
}

static void a_reset_between_two_events_ends_in_another_attempt(void **state)
{
	struct world *w = *state;

	start(w, &(struct fake_script){.reads_on_order = true}, 1);
	RUN_UNTIL(w, w->connected == 1);
	send_event(w, "0");
	// No timer is left over that would see by chance what the second event finds.
	for (int i = 0; i < 3; i++)
		one_turn(w);
	fake_broker_stop(&w->broker);
	w->broker.loop = NULL;
	send_event(w, "1");
	RUN_UNTIL(w, w->disconnected == 2);
	publisher_destroy(lm_take(w->publisher));
	expect_on_disk((const char *[]){"0", "1"}, 2);
}

static void a_topic_that_ends_connections_is_set_aside(void **state)
{
	struct world *w = *state;

	start(w, &(struct fake_script){.forbids = "own"}, 1);
	RUN_UNTIL(w, w->connected == 1);
	assert_int_equal(
		publisher_send(w->publisher, OUTBOX_EVENT, "own", LM_STR("x"), NULL), LM_OK);
	RUN_UNTIL(w, w->refused == 1);
	assert_string_equal(w->topic, "own");
	assert_string_equal(publisher_set_aside(w->publisher, 0), "own");
	assert_null(publisher_set_aside(w->publisher, 1));
	// From now on it ends no connection, and holds up nothing.
	RUN_UNTIL(w, publisher_is_connected(w->publisher));
	unsigned accepted = w->broker.accepted;
	assert_int_equal(
		publisher_send(w->publisher, OUTBOX_EVENT, "own", LM_STR("y"), NULL), LM_OK);
	send_numbers(w, 3);
	RUN_UNTIL(w, publisher_is_drained(w->publisher));
	assert_int_equal(w->broker.messages_n, 3);
	assert_true(publisher_is_connected(w->publisher));
	assert_int_equal(w->broker.accepted, accepted);
	assert_int_equal(publisher_counts(w->publisher).set_aside, 2);
	publisher_destroy(lm_take(w->publisher));
	expect_on_disk((const char *[]){"x", "y"}, 2);
}

static void only_the_topic_that_is_refused_is_set_aside(void **state)
{
	struct world *w = *state;

	// All in flight at once: each is suspect, and tried alone.
	start(w, &(struct fake_script){.forbids = "own"}, 1);
	assert_int_equal(
		publisher_send(w->publisher, OUTBOX_EVENT, "own", LM_STR("x"), NULL), LM_OK);
	assert_int_equal(
		publisher_send(w->publisher, OUTBOX_PROGRESS, "other", LM_STR("y"), NULL), LM_OK);
	send_numbers(w, 2);
	RUN_UNTIL(w, w->refused == 1 && publisher_is_drained(w->publisher));
	assert_string_equal(w->topic, "own");
	assert_int_equal(w->refused, 1);
	assert_string_equal(w->broker.messages[0], "t 0"); // a status goes first
	assert_int_equal(publisher_counts(w->publisher).messages, 1);
}

static void a_status_that_is_refused_stays_and_holds_up_nothing(void **state)
{
	struct world *w = *state;

	start(w, &(struct fake_script){.forbids = "t"}, 1);
	send_numbers(w, 2);
	RUN_UNTIL(w, w->refused == 1);
	assert_int_equal(
		publisher_send(w->publisher, OUTBOX_EVENT, "own", LM_STR("x"), NULL), LM_OK);
	RUN_UNTIL(w, publisher_is_drained(w->publisher));
	assert_int_equal(w->broker.messages_n, 1);
	assert_string_equal(w->broker.messages[0], "own x");
	publisher_destroy(lm_take(w->publisher));
	expect_on_disk((const char *[]){"0", "1"}, 2);
}

static void a_last_will_that_is_refused_is_left_out(void **state)
{
	struct world *w = *state;

	w->has_connection_topic = true;
	start(w, &(struct fake_script){.forbids_wills = true, .forbids = "p"}, 1);
	send_numbers(w, 1);
	RUN_UNTIL(w, w->drained == 1);
	assert_int_equal(w->broker.messages_n, 1);
	assert_int_equal(w->broker.accepted, 5); // twice with, without, with and without
	assert_string_equal(w->topic, "p");
	assert_true(publisher_is_drained(w->publisher));
}

static void a_broker_that_comes_back_is_not_taken_for_one_that_refuses_the_last_will(void **state)
{
	struct world *w = *state;
	// Behind a proxy that takes connections also while there is no broker.
	const struct fake_script scripts[] = {{.resets = true}, {.resets = true}, {0}};

	w->has_connection_topic = true;
	start(w, scripts, LM_ARRAY_SIZE(scripts));
	send_numbers(w, 1); // without one, nothing drains
	RUN_UNTIL(w, w->drained == 1);
	assert_true(publisher_is_drained(w->publisher));
	assert_int_equal(w->connected, 1);
	assert_int_equal(w->broker.accepted, 4);
	assert_int_equal(w->broker.connect[7] & 0x04, 0x04);
	assert_int_equal(w->broker.messages_n, 2);
	assert_string_equal(w->broker.messages[0], "t 0");
	assert_string_equal(w->broker.messages[1], "p connected");
	assert_int_equal(w->refused, 0);
	assert_null(publisher_set_aside(w->publisher, 0));
}

static void a_topic_that_is_switched_off_or_renamed_is_so_for_what_waits(void **state)
{
	struct world *w = *state;

	start(w, &(struct fake_script){0}, 1);
	assert_int_equal(
		publisher_send(w->publisher, OUTBOX_EVENT, "old", LM_STR("x"), NULL), LM_OK);
	publisher_redirect(w->publisher, OUTBOX_EVENT, "new");
	RUN_UNTIL(w, w->drained == 1);
	assert_string_equal(w->broker.messages[0], "new x");
	publisher_destroy(lm_take(w->publisher));
	fake_broker_stop(&w->broker);
	start(w, &(struct fake_script){.closes = true}, 1);
	assert_int_equal(
		publisher_send(w->publisher, OUTBOX_EVENT, "old", LM_STR("y"), NULL), LM_OK);
	publisher_redirect(w->publisher, OUTBOX_EVENT, NULL);
	assert_int_equal(publisher_counts(w->publisher).messages, 0);
	assert_int_equal(publisher_counts(w->publisher).dropped_event, 1);
}

static void a_broker_that_acknowledges_nothing_is_connected_to_again(void **state)
{
	struct world *w = *state;
	const struct fake_script scripts[] = {{.no_puback = true}, {0}};

	start(w, scripts, 2);
	RUN_UNTIL(w, w->connected == 1);
	hurried_from_ms = 150 * 1000;
	send_numbers(w, 1);
	RUN_UNTIL(w, w->broker.messages_n == 1);
	skipped_ms = 150 * 1000;
	RUN_UNTIL(w, w->disconnected == 1);
	assert_non_null(strstr(w->why, "has acknowledged no message for 150 s"));
	assert_int_equal(backoff_attempts[0], 0); // not as if the broker restarted
	hurried_from_ms = 0;
	RUN_UNTIL(w, w->drained == 1);
	assert_int_equal(w->connected, 2);
	assert_int_equal(keep_alive_of_connect(w), 450);
	expect_message(w, w->broker.messages_n - 1, 0);
}

static void a_topic_that_is_not_acknowledged_is_not_set_aside(void **state)
{
	struct world *w = *state;
	const struct fake_script scripts[] = {
		{.no_puback = true}, {.no_puback = true}, {.no_puback = true}, {0}};

	skipped_ms = 1; // no backoff
	start(w, scripts, LM_ARRAY_SIZE(scripts));
	send_numbers(w, 1);
	for (unsigned i = 1; i < LM_ARRAY_SIZE(scripts); i++) {
		RUN_UNTIL(w, w->broker.messages_n == i || w->refused > 0);
		skipped_ms += 10 * 1000;
		publisher_doubt(w->publisher, 11 * 1000);
		one_turn(w);
		assert_int_equal(w->disconnected, i - 1);
		publisher_doubt(w->publisher, 10 * 1000);
		assert_int_equal(w->disconnected, i - 1); // not from within
		RUN_UNTIL(w, w->disconnected == i);
		assert_non_null(strstr(w->why, "has acknowledged no message for 10 s"));
	}
	RUN_UNTIL(w, w->drained == 1);
	assert_int_equal(w->refused, 0);
	skipped_ms += 10 * 1000;
	publisher_doubt(w->publisher, 0); // all is acknowledged
	one_turn(w);
	assert_true(publisher_is_connected(w->publisher));
}

static void on_subscribed(void *ctx)
{
	struct world *w = ctx;

	w->subscribed++;
	loop_stop(w->loop);
}

static void on_lost(void *ctx)
{
	((struct world *)ctx)->lost++;
}

static void on_received(void *ctx, const char *topic, struct lm_str payload)
{
	struct world *w = ctx;

	(void)snprintf(w->heard, sizeof(w->heard), "%s %.*s", topic, LM_STR_ARG(payload));
	w->received++;
	loop_stop(w->loop);
}

static void subscribe(struct world *w)
{
	static const char *const filters[] = {"a/b", "c/+/d"};
	const struct publisher_subscription s = {
		filters, 2, on_subscribed, on_lost, on_received, w};

	publisher_subscribe(w->publisher, &s);
}

static void subscribes_at_each_connection_and_hands_over_what_comes(void **state)
{
	struct world *w = *state;
	const struct fake_script scripts[] = {{.pushes = "\x30\x07\x00\x03"
							 "a/b"
							 "hi",
						      .pushes_n = 9,
						      .closes_at = 2},
		{0}};
	struct lm_err err;

	start(w, scripts, 2);
	subscribe(w);
	assert_int_equal(publisher_request(w->publisher, "r", LM_STR("0"), &err), LM_E_NETWORK);
	RUN_UNTIL(w, w->received == 1);
	assert_int_equal(w->subscribed, 1);
	assert_int_equal(w->broker.filters, 2);
	assert_string_equal(w->heard, "a/b hi");
	assert_int_equal(publisher_request(w->publisher, "r", LM_STR("1"), &err), LM_OK);
	assert_int_equal(publisher_request(w->publisher, "+", LM_STR("1"), &err), LM_E_INVALID);
	RUN_UNTIL(w, w->broker.messages_n == 1);
	assert_string_equal(w->broker.messages[0], "r 1");
	assert_int_equal(publisher_request(w->publisher, "r", LM_STR("2"), &err), LM_OK);
	RUN_UNTIL(w, w->lost == 1);
	assert_int_equal(publisher_request(w->publisher, "r", LM_STR("3"), &err), LM_E_NETWORK);
	RUN_UNTIL(w, w->subscribed == 2);
	assert_int_equal(w->broker.subscribes, 2);
	assert_int_equal(publisher_counts(w->publisher).messages, 0);
}

/// Keep-alive's timer is over some times more: nobody is asked, or somebody did not answer.
static void let_keep_alive_look(struct world *w)
{
	unsigned before = hurried;

	while (hurried < before + 5 && w->disconnected == 0)
		one_turn(w);
}

static const char PUSHED[] = "\x32\x09\x00\x03"
			     "a/b"
			     "\x00\x01"
			     "hi"; // at QoS 1
static const char PUSHED_0[] = "\x30\x07\x00\x03"
			       "a/b"
			       "hi";

static void a_message_that_is_acknowledged_puts_off_the_ping(void **state)
{
	struct world *w = *state;

	start(w, &(struct fake_script){0}, 1);
	hurried_from_ms = 100 * 1000; // keep-alive, but not the answer to a ping
	subscribe(w);
	RUN_UNTIL(w, w->subscribed == 1);
	skipped_ms += 500 * 1000;
	fake_broker_push(&w->broker, PUSHED, sizeof(PUSHED) - 1);
	RUN_UNTIL(w, w->received == 1);
	skipped_ms += 410 * 1000; // since SUBSCRIBE, more than the interval
	let_keep_alive_look(w);
	assert_int_equal(w->broker.pings, 0);
	for (unsigned i = 1; i <= 3; i++) {
		skipped_ms += (i == 1 ? 500 : 910) * 1000;
		RUN_UNTIL(w, w->broker.pings == i || w->disconnected > 0);
		let_keep_alive_look(w);
		assert_int_equal(w->disconnected, 0);
	}
}

/// It counts in whole seconds, and may ping before the interval is over.
static void a_ping_of_libmosquitto_by_itself_is_the_ping(void **state)
{
	struct world *w = *state;

	stopped_ms = 1000 * 1000 + 600;
	start(w, &(struct fake_script){0}, 1);
	subscribe(w);
	RUN_UNTIL(w, w->subscribed == 1);
	hurried_from_ms = 100 * 1000;
	skipped_ms = 899 * 1000 + 500;
	fake_broker_push(&w->broker, PUSHED_0, sizeof(PUSHED_0) - 1);
	RUN_UNTIL(w, w->broker.pings == 1);
	for (int i = 0; i < 5; i++) // the answer comes
		one_turn(w);
	skipped_ms += 1000;
	let_keep_alive_look(w);
	assert_int_equal(w->disconnected, 0);
	assert_int_equal(w->broker.pings, 1);
}

static void requests_go_before_what_waits_and_there_are_few(void **state)
{
	struct world *w = *state;
	struct lm_err err;

	start(w, &(struct fake_script){0}, 1);
	subscribe(w);
	RUN_UNTIL(w, w->subscribed == 1);
	send_numbers(w, 1);
	for (int i = 0; i < 4; i++)
		assert_int_equal(publisher_request(w->publisher, "r", LM_STR("x"), &err), LM_OK);
	assert_int_equal(publisher_request(w->publisher, "r", LM_STR("x"), &err), LM_E_TOO_LARGE);
	RUN_UNTIL(w, w->drained == 1);
	assert_int_equal(w->broker.messages_n, 5);
	assert_string_equal(w->broker.messages[0], "r x");
	expect_message(w, 4, 0);
}

static void a_subscription_that_is_refused_is_set_aside(void **state)
{
	struct world *w = *state;
	const struct fake_script scripts[] = {{.refuses_filters = true}};

	start(w, scripts, 1);
	subscribe(w);
	RUN_UNTIL(w, w->refused == 1);
	assert_string_equal(w->topic, "a/b");
	assert_string_equal(publisher_set_aside(w->publisher, 0), "a/b");
	assert_int_equal(w->subscribed, 0);
	send_numbers(w, 1);
	RUN_UNTIL(w, w->drained == 1);
	assert_int_equal(w->connected, 1);
}

static void a_subscription_that_ends_connections_is_set_aside(void **state)
{
	struct world *w = *state;
	const struct fake_script scripts[] = {{.drops_subscribers = true}};

	start(w, scripts, 1);
	subscribe(w);
	RUN_UNTIL(w, w->refused == 1);
	send_numbers(w, 1);
	RUN_UNTIL(w, w->drained == 1);
	assert_int_equal(w->broker.subscribes, 2);
	assert_int_equal(w->subscribed, 0);
	expect_message(w, 0, 0);
}

/// As whoever asks for jobs does: a request, again and again, whenever one may be sent.
static void ask_on_subscribed(void *ctx)
{
	struct world *w = ctx;

	assert_int_equal(publisher_request(w->publisher, "r", LM_STR("x"), NULL), LM_OK);
	on_subscribed(w);
}

static void requests_that_end_connections_are_set_aside(void **state)
{
	struct world *w = *state;
	static const char *const filters[] = {"a/b"};
	const struct publisher_subscription s = {
		filters, 1, ask_on_subscribed, on_lost, on_received, w};

	skipped_ms = 1; // no backoff
	start(w, &(struct fake_script){.forbids = "r"}, 1);
	publisher_subscribe(w->publisher, &s);
	RUN_UNTIL(w, w->refused == 1 || w->lost > 2);
	assert_int_equal(w->lost, 2);
	assert_string_equal(w->topic, "r");
	assert_string_equal(publisher_set_aside(w->publisher, 0), "r");
	send_numbers(w, 1);
	RUN_UNTIL(w, w->broker.messages_n == 1 && publisher_is_drained(w->publisher));
	assert_int_equal(w->subscribed, 2);
	assert_int_equal(w->connected, 3);
	assert_int_equal(w->broker.subscribes, 2);
	assert_true(publisher_is_connected(w->publisher));
}

static void settings_that_cannot_work_are_refused(void **state)
{
	struct world *w = *state;
	const struct publisher_events events = {.connected = on_connected};
	struct lm_err err;

	assert_int_equal(publisher_create(w->loop, &(struct mqtt_settings){.host = "h"}, directory,
				 &events, &w->publisher, &err),
		LM_E_INVALID);
	assert_non_null(strstr(err.msg, "port"));
	assert_int_equal(publisher_create(w->loop, &(struct mqtt_settings){.host = "h", .port = 1},
				 "/dev/null", &events, &w->publisher, &err),
		LM_E_INVALID);
	assert_null(w->publisher);
}

#define PUBLISHER_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PUBLISHER_TEST(sends_all_in_order_and_calls_drained),
		PUBLISHER_TEST(sends_what_an_earlier_run_left),
		PUBLISHER_TEST(nothing_to_send_drains_nothing),
		PUBLISHER_TEST(what_was_not_acknowledged_comes_again_in_order),
		PUBLISHER_TEST(no_more_than_20_messages_are_in_flight),
		PUBLISHER_TEST(large_messages_go_one_by_one),
		PUBLISHER_TEST(a_broker_that_drops_us_at_once_is_not_hammered),
		PUBLISHER_TEST(a_fleet_returns_to_a_restarted_broker_bit_by_bit),
		PUBLISHER_TEST(
			a_dead_connection_shortens_the_keep_alive_until_the_network_was_away),
		PUBLISHER_TEST(a_message_that_no_broker_takes_holds_up_no_other),
		PUBLISHER_TEST(refuses_what_it_could_never_send),
		PUBLISHER_TEST(a_file_that_cannot_be_removed_stops_nothing),
		PUBLISHER_TEST(a_message_that_cannot_be_read_now_is_sent_later),
		PUBLISHER_TEST(may_be_destroyed_in_any_event),
		PUBLISHER_TEST(publishes_the_connection_after_what_waited),
		PUBLISHER_TEST(the_end_is_drained_once_the_broker_knows_of_it),
		PUBLISHER_TEST(an_end_without_a_connection_waits_for_nothing),
		PUBLISHER_TEST(an_event_is_on_its_way_before_it_is_on_disk),
		PUBLISHER_TEST(an_event_that_the_disk_refuses_is_saved_after_a_failed_attempt),
		PUBLISHER_TEST(many_that_the_disk_refused_are_saved_over_turns_of_the_loop),
		PUBLISHER_TEST(an_event_that_the_disk_refuses_is_saved_at_the_end),
		PUBLISHER_TEST(an_event_that_finds_disk_and_window_full_is_held),
		PUBLISHER_TEST(a_status_that_nobody_could_give_again_is_held),
		PUBLISHER_TEST(an_event_overtakes_nothing_and_is_on_disk_with_what_waits),
		PUBLISHER_TEST(a_connection_that_breaks_under_an_event_is_reported_later),
		PUBLISHER_TEST(a_reset_between_two_events_ends_in_another_attempt),
		PUBLISHER_TEST(a_message_of_a_key_is_taken_once_also_after_a_restart),
		PUBLISHER_TEST(a_broker_that_acknowledges_nothing_is_connected_to_again),
		PUBLISHER_TEST(a_topic_that_is_not_acknowledged_is_not_set_aside),
		PUBLISHER_TEST(a_topic_that_ends_connections_is_set_aside),
		PUBLISHER_TEST(only_the_topic_that_is_refused_is_set_aside),
		PUBLISHER_TEST(a_status_that_is_refused_stays_and_holds_up_nothing),
		PUBLISHER_TEST(a_last_will_that_is_refused_is_left_out),
		PUBLISHER_TEST(
			a_broker_that_comes_back_is_not_taken_for_one_that_refuses_the_last_will),
		PUBLISHER_TEST(a_topic_that_is_switched_off_or_renamed_is_so_for_what_waits),
		PUBLISHER_TEST(subscribes_at_each_connection_and_hands_over_what_comes),
		PUBLISHER_TEST(a_message_that_is_acknowledged_puts_off_the_ping),
		PUBLISHER_TEST(a_ping_of_libmosquitto_by_itself_is_the_ping),
		PUBLISHER_TEST(requests_go_before_what_waits_and_there_are_few),
		PUBLISHER_TEST(a_subscription_that_is_refused_is_set_aside),
		PUBLISHER_TEST(a_subscription_that_ends_connections_is_set_aside),
		PUBLISHER_TEST(requests_that_end_connections_are_set_aside),
		PUBLISHER_TEST(settings_that_cannot_work_are_refused),
	};

	return cmocka_run_group_tests_name("mqtt/publisher", tests, NULL, NULL);
}
