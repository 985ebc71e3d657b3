// SPDX-License-Identifier: Apache-2.0
/// A publisher for tests/e2e/mqtt_publisher_test.py: takes the broker as in a host file, as JSON,
/// and the outbox's directory in its arguments, messages as lines of JSON on stdin; prints a line
/// of JSON for each message taken and each event. The end of stdin is none; SIGTERM is.
#include "base/buf.h"
#include "base/limits.h"
#include "base/memory.h"
#include "mqtt/publisher.h"
#include "sys/json.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct driver {
	struct loop *loop;
	struct publisher *publisher;
	struct loop_fd *in;
	struct lm_buf line;
	unsigned attempts;
	bool has_connection_topic, ending;
};

/// Drops the reference.
static void print(json_t *line)
{
	(void)json_dumpf(line, stdout, JSON_COMPACT);
	(void)putchar('\n');
	(void)fflush(stdout);
	json_decref(line);
}

static void on_connected(void *ctx)
{
	(void)ctx;
	print(json_pack("{ss}", "event", "connected"));
}

static void on_disconnected(void *ctx, const char *why, uint64_t retry_ms)
{
	(void)ctx;
	print(json_pack("{ss ss sI}", "event", "disconnected", "why", why, "retry_ms",
		(json_int_t)retry_ms));
}

/// The state of the connection, with a number for the attempt.
static char *make_connection_message(void *ctx, enum publisher_connection what)
{
	static const char *const words[] = {"connected", "ended", "lost"};
	struct driver *d = ctx;

	d->attempts += what == PUBLISHER_LOST;
	return lm_xasprintf("%s %u", words[what], d->attempts);
}

static void on_drained(void *ctx)
{
	struct driver *d = ctx;

	print(json_pack("{ss}", "event", "drained"));
	if (d->ending)
		loop_stop(d->loop);
}

static void on_sigterm(void *ctx)
{
	struct driver *d = ctx;

	d->ending = true;
	publisher_end(d->publisher);
	if (!d->has_connection_topic || !publisher_is_connected(d->publisher))
		loop_stop(d->loop);
}

static void take_line(struct driver *d, struct lm_str line)
{
	lm_auto_json json_t *in = json_loadb(line.p, line.n, 0, NULL);
	const char *payload = json_string_value(json_object_get(in, "payload"));
	const char *topic = json_string_value(json_object_get(in, "topic"));
	struct lm_err err = {0};

	if (!payload || !topic)
		return;
	lm_rc rc = publisher_send(d->publisher, OUTBOX_STATUS, topic, lm_str(payload), &err);
	print(json_pack("{ss ss ss}", "event", "taken", "rc", rc ? lm_rc_name(rc) : "ok", "message",
		err.msg));
}

static void on_stdin(void *ctx, short events)
{
	struct driver *d = ctx;
	char *room = lm_buf_reserve(&d->line, 4096);
	ssize_t n = room ? read(STDIN_FILENO, room, 4096) : 0;
	size_t end;

	(void)events;
	if (n <= 0) {
		loop_fd_set(d->in, 0);
		return;
	}
	d->line.len += (size_t)n;
	while ((end = lm_str_find(lm_buf_str(&d->line), '\n')) < d->line.len) {
		take_line(d, (struct lm_str){d->line.data, end});
		lm_buf_consume(&d->line, end + 1);
	}
}

static struct mqtt_settings settings_of(const json_t *in)
{
	return (struct mqtt_settings){
		.host = json_string_value(json_object_get(in, "host")),
		.port = (unsigned)json_integer_value(json_object_get(in, "port")),
		.socket = json_string_value(json_object_get(in, "socket")),
		.ca = json_string_value(json_object_get(in, "ca")),
		.certificate = json_string_value(json_object_get(in, "certificate")),
		.private_key = json_string_value(json_object_get(in, "privateKey")),
		.username = json_string_value(json_object_get(in, "username")),
		.password_file = json_string_value(json_object_get(in, "passwordFile")),
		.client_id = json_string_value(json_object_get(in, "clientId")),
	};
}

int main(int argc, char **argv)
{
	struct driver d = {.line = LM_BUF(LIMIT_MQTT_PAYLOAD * 2)};
	struct publisher_events events = {
		.connected = on_connected,
		.disconnected = on_disconnected,
		.drained = on_drained,
		.connection_message = make_connection_message,
		.ctx = &d,
	};
	struct loop_signal *sigterm = NULL;
	struct lm_err err = {0};
	lm_auto_json json_t *in = argc == 3 ? json_loads(argv[1], 0, NULL) : NULL;
	const struct mqtt_settings settings = settings_of(in);

	if (!in)
		return 64;
	events.connection_topic = json_string_value(json_object_get(in, "presenceTopic"));
	d.has_connection_topic = events.connection_topic != NULL;
	lm_rc rc = loop_create(&d.loop, &err);
	if (rc == LM_OK)
		rc = loop_signal_create(d.loop, SIGTERM, on_sigterm, &d, &sigterm, &err);
	if (rc == LM_OK)
		rc = publisher_create(d.loop, &settings, argv[2], &events, &d.publisher, &err);
	if (rc == LM_OK)
		rc = loop_fd_create(d.loop, STDIN_FILENO, on_stdin, &d, &d.in, &err);
	if (rc != LM_OK) {
		(void)fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	loop_fd_set(d.in, POLLIN);
	loop_run(d.loop);
	publisher_destroy(d.publisher);
	loop_fd_destroy(d.in);
	loop_signal_destroy(sigterm);
	loop_destroy(d.loop);
	lm_buf_finish(&d.line);
	return 0;
}
