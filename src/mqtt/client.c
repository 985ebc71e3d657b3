// SPDX-License-Identifier: Apache-2.0
#include "mqtt/client.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "mqtt/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <mosquitto.h>
#include <poll.h>
#include <string.h>

enum {
	/// libmosquitto counts in whole seconds: when this is over, it agrees that the interval is.
	KEEP_ALIVE_MARGIN_MS = 500,
	/// For the answer to a ping. libmosquitto would wait for another interval.
	ANSWER_MAX_S = 60,
	/// Until libmosquitto is asked again for a ping that is due.
	ASK_AGAIN_MS = 5 * 1000,
};

struct mqtt_client {
	struct loop *loop;
	struct mqtt_settings settings;
	char *name;
	struct mqtt_client_options options;
	struct mqtt_client_callbacks events;
	char *will_topic, *will_payload; ///< NULL: none.
	struct loop_wakeup *wakeup;      ///< From the attempt's thread.
	struct loop_timer *timer;        ///< The attempt's limit; once connected, the keep-alive.
	struct mqtt_connection *connection; ///< NULL: neither an attempt nor a connection.
	int fd;                             ///< Ours, of its socket; -1 while the thread has it.
	struct loop_fd *watch;
	bool connected;
	unsigned keep_alive_s; ///< Of this connection.
	bool pinged;           ///< There has been no answer yet,
	bool answered;         ///< or it has just come.
	bool overdue;          ///< A ping was due, and libmosquitto did not send one.
	enum mqtt_client_ending ending;
	/// When something last came, and when something was last sent, by libmosquitto itself too:
	/// it pings by the same times.
	uint64_t heard_ms, sent_ms;
};

static void close_connection(struct mqtt_client *c, bool disconnect)
{
	loop_fd_destroy(c->watch);
	c->watch = NULL;
	lm_cleanup_close(&c->fd);
	c->fd = -1;
	loop_timer_stop(c->timer);
	mqtt_connection_release(lm_take(c->connection), disconnect);
	c->connected = false;
}

/// The client may be no more when this returns.
static void client_fail(struct mqtt_client *c, const struct lm_err *why)
{
	close_connection(c, false);
	c->events.closed(c->events.ctx, why->msg);
}

static void arm_keep_alive(struct mqtt_client *c)
{
	uint64_t quiet_since_ms = c->heard_ms < c->sent_ms ? c->heard_ms : c->sent_ms;
	uint64_t due_ms = quiet_since_ms + (uint64_t)c->keep_alive_s * 1000 + KEEP_ALIVE_MARGIN_MS;
	uint64_t now_ms = lm_clock_mono_ms();

	loop_timer_start(c->timer, due_ms > now_ms ? due_ms - now_ms : 0, 0);
}

/// The attempt took longer than its limit. `reached`: there was a connection, but no CONNACK.
static lm_rc fail_limit(const char *name, bool reached, unsigned limit_ms, struct lm_err *err)
{
	double limit_s = (double)limit_ms / 1000;

	if (reached)
		return lm_fail(err, LM_E_TIMEOUT, 0,
			"the MQTT broker %s accepted the connection but did not answer within %g "
			"s; "
			"check that host and port are a broker's",
			name, limit_s);
	return lm_fail(err, LM_E_TIMEOUT, 0,
		"the MQTT broker %s was not reached within %g s; check the network, and host and "
		"port",
		name, limit_s);
}

static void watch_for(struct mqtt_client *c)
{
	loop_fd_set(c->watch,
		(short)(POLLIN | (mqtt_connection_wants_write(c->connection) ? POLLOUT : 0)));
}

static void note_ending(struct mqtt_client *c)
{
	c->ending = !mqtt_connection_ended_by_broker(c->connection) ? MQTT_CLIENT_FAILED
		    : !c->connected                                 ? MQTT_CLIENT_REFUSED
		    : c->pinged                                     ? MQTT_CLIENT_SILENT
								    : MQTT_CLIENT_DROPPED;
}

/// Reads, writes and pings. The client may be no more when this returns.
static void serve(struct mqtt_client *c)
{
	struct lm_err why;

	if (mqtt_connection_step(c->connection, &why) != LM_OK) {
		note_ending(c);
		client_fail(c, &why);
		return;
	}
	watch_for(c);
	if (c->pinged && c->answered) {
		c->pinged = false;
		arm_keep_alive(c);
	}
	if (c->connected || !mqtt_connection_is_accepted(c->connection))
		return;
	c->connected = true;
	mqtt_connection_shed(c->connection);
	arm_keep_alive(c);
	c->events.connected(c->events.ctx);
}

static void on_fd(void *ctx, short events)
{
	struct mqtt_client *c = ctx;

	if (events & POLLIN) {
		c->heard_ms = lm_clock_mono_ms();
		c->answered = true;
	}
	serve(c);
}

static unsigned answer_s(const struct mqtt_client *c)
{
	return c->keep_alive_s < ANSWER_MAX_S ? c->keep_alive_s : ANSWER_MAX_S;
}

static void fail_silent(struct mqtt_client *c)
{
	struct lm_err why;

	(void)lm_fail(&why, LM_E_TIMEOUT, 0,
		"the MQTT broker %s did not respond for %u s; check the network, and that it runs",
		c->name, answer_s(c));
	c->ending = MQTT_CLIENT_SILENT;
	client_fail(c, &why);
}

/// The broker has waited one and a half intervals in vain, and holds us for dead: this device slept
/// meanwhile, which libmosquitto, by its clock, did not see.
static void fail_overdue(struct mqtt_client *c)
{
	struct lm_err why;

	(void)lm_fail(&why, LM_E_TIMEOUT, 0,
		"the connection to the MQTT broker %s was quiet for longer than it allows",
		c->name);
	c->ending = MQTT_CLIENT_FAILED;
	client_fail(c, &why);
}

/// Called from inside libmosquitto.
static void client_on_pinged(void *ctx)
{
	struct mqtt_client *c = ctx;

	c->heard_ms = c->sent_ms = lm_clock_mono_ms(); // as libmosquitto does
	c->pinged = true;
	c->answered = c->overdue = false;
	loop_timer_start(c->timer, (uint64_t)answer_s(c) * 1000, 0);
}

/// The same. The step need not be one that on_fd asked for because something had come.
static void client_on_answered(void *ctx)
{
	struct mqtt_client *c = ctx;

	c->answered = true;
}

static void client_on_timer(void *ctx)
{
	struct mqtt_client *c = ctx;
	uint64_t now_ms = lm_clock_mono_ms();
	uint64_t quiet_ms = now_ms - (c->heard_ms < c->sent_ms ? c->heard_ms : c->sent_ms);
	struct lm_err why;

	if (!c->connected) {
		(void)fail_limit(c->name, c->watch, c->options.limit_ms, &why);
		client_fail(c, &why);
		return;
	}
	if (c->pinged) {
		fail_silent(c);
		return;
	}
	if (quiet_ms < (uint64_t)c->keep_alive_s * 1000) {
		c->overdue = false;
		arm_keep_alive(c);
		return;
	}
	if (c->overdue && quiet_ms >= (uint64_t)c->keep_alive_s * 1500) {
		fail_overdue(c);
		return;
	}
	c->overdue = true;
	loop_timer_start(c->timer, ASK_AGAIN_MS, 0);
	serve(c); // pings
}

static lm_rc watch_socket(struct mqtt_client *c, struct lm_err *err)
{
	// A descriptor of our own: libmosquitto closes its one before it can be unwatched.
	c->fd = fcntl(mqtt_connection_fd(c->connection), F_DUPFD_CLOEXEC, 0);
	if (c->fd < 0)
		return lm_fail(
			err, LM_E_SYS, errno, "the connection to the MQTT broker %s: %m", c->name);
	return loop_fd_create(c->loop, c->fd, on_fd, c, &c->watch, err);
}

static void on_wakeup(void *ctx)
{
	struct mqtt_client *c = ctx;
	struct lm_err why;

	if (!c->connection || c->watch || !mqtt_connection_is_done(c->connection))
		return;
	lm_rc rc = mqtt_connection_result(c->connection, &why);
	if (rc == LM_OK)
		rc = watch_socket(c, &why);
	if (rc != LM_OK) {
		client_fail(c, &why);
		return;
	}
	c->heard_ms = c->sent_ms = lm_clock_mono_ms();
	watch_for(c);
}

static void client_on_acknowledged(void *ctx, int id)
{
	struct mqtt_client *c = ctx;

	c->events.acknowledged(c->events.ctx, id);
}

static void client_on_subscribed(void *ctx, int id, bool granted)
{
	struct mqtt_client *c = ctx;

	if (c->events.subscribed)
		c->events.subscribed(c->events.ctx, id, granted);
}

static void client_on_received(
	void *ctx, const char *topic, struct lm_str payload, bool acknowledges)
{
	struct mqtt_client *c = ctx;

	if (acknowledges)
		c->sent_ms = lm_clock_mono_ms();
	if (c->events.received)
		c->events.received(c->events.ctx, topic, payload);
}

lm_rc mqtt_client_create(struct loop *loop, const struct mqtt_settings *settings,
	const struct mqtt_client_options *options, const struct mqtt_client_callbacks *events,
	struct mqtt_client **ret, struct lm_err *err)
{
	lm_rc rc = mqtt_settings_check(settings, err);

	if (rc != LM_OK)
		return rc;
	lm_auto(mqtt_client_destroy_p) struct mqtt_client *c = lm_xcalloc(1, sizeof(*c));
	c->loop = loop;
	c->settings = mqtt_settings_copy(settings);
	c->name = mqtt_settings_name(settings);
	c->options = *options;
	c->events = *events;
	c->fd = -1;
	c->timer = loop_timer_create(loop, client_on_timer, c);
	rc = loop_wakeup_create(loop, on_wakeup, c, &c->wakeup, err);
	if (rc != LM_OK)
		return rc;
	*ret = lm_take(c);
	return LM_OK;
}

void mqtt_client_destroy(struct mqtt_client *c)
{
	if (!c)
		return;
	close_connection(c, true);
	loop_timer_destroy(c->timer);
	loop_wakeup_destroy(c->wakeup);
	mqtt_settings_finish(&c->settings);
	free(c->name);
	free(c->will_topic);
	free(c->will_payload);
	free(c);
}

void mqtt_client_set_will(struct mqtt_client *c, const char *topic, const char *payload)
{
	free(c->will_topic);
	free(c->will_payload);
	c->will_topic = topic ? lm_xstrdup(topic) : NULL;
	c->will_payload = topic ? lm_xstrdup(payload) : NULL;
}

void mqtt_client_set_keep_alive(struct mqtt_client *c, unsigned keep_alive_s)
{
	c->options.keep_alive_s = keep_alive_s;
}

lm_rc mqtt_client_connect(struct mqtt_client *c, struct lm_err *err)
{
	const struct mqtt_connection_spec spec = {
		.settings = &c->settings,
		.keep_alive_s = c->options.keep_alive_s,
		.will_topic = c->will_topic,
		.will_payload = c->will_payload,
		.wakeup = c->wakeup,
		.acknowledged = client_on_acknowledged,
		.subscribed = client_on_subscribed,
		.received = client_on_received,
		.pinged = client_on_pinged,
		.answered = client_on_answered,
		.ctx = c,
	};
	c->ending = MQTT_CLIENT_FAILED;
	c->keep_alive_s = c->options.keep_alive_s;
	c->pinged = c->overdue = false;
	lm_rc rc = mqtt_connection_start(&spec, &c->connection, err);

	if (rc == LM_OK)
		loop_timer_start(c->timer, c->options.limit_ms, 0);
	return rc;
}

static lm_rc fail_unconnected(const struct mqtt_client *c, struct lm_err *err)
{
	return lm_fail(
		err, LM_E_NETWORK, 0, "there is no connection to the MQTT broker %s", c->name);
}

/// A packet was sent, or, after an error, the connection is lost.
static void note_sent(struct mqtt_client *c, lm_rc rc)
{
	if (rc == LM_OK) {
		c->sent_ms = lm_clock_mono_ms();
		watch_for(c);
	} else if (rc != LM_E_INVALID) {
		note_ending(c);
		close_connection(c, false);
	}
}

lm_rc mqtt_client_publish(struct mqtt_client *c, const char *topic, struct lm_str payload,
	int *ret_id, struct lm_err *err)
{
	if (!c->connected)
		return fail_unconnected(c, err);
	lm_rc rc = mqtt_connection_publish(c->connection, topic, payload, ret_id, err);
	note_sent(c, rc);
	return rc;
}

lm_rc mqtt_client_subscribe(struct mqtt_client *c, const char *const *filters, size_t n,
	int *ret_id, struct lm_err *err)
{
	if (!c->connected)
		return fail_unconnected(c, err);
	lm_rc rc = mqtt_connection_subscribe(c->connection, filters, n, ret_id, err);
	note_sent(c, rc);
	return rc;
}

void mqtt_client_give_up(struct mqtt_client *c)
{
	c->ending = MQTT_CLIENT_SILENT;
	close_connection(c, false);
}

lm_rc mqtt_client_check_topic(const char *topic, struct lm_err *err)
{
	size_t n = strlen(topic);

	if (n == 0 || n > LIMIT_MQTT_TOPIC ||
		mosquitto_pub_topic_check(topic) != MOSQ_ERR_SUCCESS ||
		mosquitto_validate_utf8(topic, (int)n) != MOSQ_ERR_SUCCESS)
		return lm_fail(
			err, LM_E_INVALID, 0, "'%s' is not a valid topic to publish to", topic);
	return LM_OK;
}

enum mqtt_client_ending mqtt_client_ending(const struct mqtt_client *c)
{
	return c->ending;
}

const char *mqtt_client_name(const struct mqtt_client *c)
{
	return c->name;
}
