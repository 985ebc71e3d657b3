// SPDX-License-Identifier: Apache-2.0
#include "mqtt/client.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "mqtt/fault_priv.h"
#include "mqtt/link_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/// libmosquitto counts in whole seconds: when this is over, it agrees that the interval is.
enum { KEEP_ALIVE_MARGIN_MS = 500 };

struct client {
	struct loop *loop;
	struct mqtt_settings settings;
	char *name;
	struct client_options options;
	struct client_events events;
	char *will_topic, *will_payload; ///< NULL: none.
	struct loop_wakeup *wakeup;      ///< From the attempt's thread.
	struct loop_timer *timer;        ///< The attempt's limit; once connected, the keep-alive.
	struct link *link;               ///< NULL: neither an attempt nor a connection.
	int fd; ///< Ours, of the link's socket; -1 while the thread has it.
	struct loop_fd *watch;
	bool connected;
	enum client_ending ending;
	uint64_t heard_ms; ///< When something last came, and when something was last sent.
	uint64_t sent_ms;
};

static void close_link(struct client *c, bool goodbye)
{
	loop_fd_destroy(c->watch);
	c->watch = NULL;
	lm_cleanup_close(&c->fd);
	c->fd = -1;
	loop_timer_stop(c->timer);
	link_release(lm_take(c->link), goodbye);
	c->connected = false;
}

/// The client may be no more when this returns.
static void fail(struct client *c, const struct lm_err *why)
{
	close_link(c, false);
	c->events.closed(c->events.ctx, why->msg);
}

static void arm_keep_alive(struct client *c)
{
	uint64_t quiet_since_ms = c->heard_ms < c->sent_ms ? c->heard_ms : c->sent_ms;
	uint64_t due_ms =
		quiet_since_ms + (uint64_t)c->options.keep_alive_s * 1000 + KEEP_ALIVE_MARGIN_MS;
	uint64_t now_ms = lm_clock_mono_ms();

	loop_timer_start(c->timer, due_ms > now_ms ? due_ms - now_ms : 0, 0);
}

/// libmosquitto 2.0.11 does not see that a connection was reset during the TLS handshake.
static bool is_closed_by_peer(const struct client *c)
{
	char byte;
	ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

static void watch_for(struct client *c)
{
	loop_fd_set(
		c->watch, (short)(POLLIN | (mosquitto_want_write(c->link->mosq) ? POLLOUT : 0)));
}

static void note_ending(struct client *c, int code)
{
	bool by_peer = code == MOSQ_ERR_CONN_LOST || code == MOSQ_ERR_ERRNO ||
		       code == MOSQ_ERR_CONN_REFUSED;

	c->ending = !by_peer ? CLIENT_FAILED : c->connected ? CLIENT_DROPPED : CLIENT_REFUSED;
}

/// Reads, writes and pings, as far as it goes without waiting. The client may be no more when this
/// returns.
static void serve(struct client *c)
{
	struct link *l = c->link;
	struct lm_err why;

	errno = 0;
	// With no time to wait this is mosquitto_loop_read, _write and _misc, and goes on with a
	// TLS handshake in either direction, which those by themselves do not.
	int code = mosquitto_loop(l->mosq, 0, 1);
	int sys = errno;
	if (code == MOSQ_ERR_SUCCESS && mosquitto_socket(l->mosq) < 0)
		code = MOSQ_ERR_CONN_LOST;
	if (code == MOSQ_ERR_SUCCESS && l->connack != 0 && is_closed_by_peer(c)) {
		code = MOSQ_ERR_CONN_LOST;
		sys = 0;
	}
	if (code != MOSQ_ERR_SUCCESS) {
		note_ending(c, code);
		(void)fault_lost(l, code, sys, &why);
		fail(c, &why);
		return;
	}
	watch_for(c);
	if (c->connected || l->connack != 0)
		return;
	c->connected = true;
	link_shed(l);
	arm_keep_alive(c);
	c->events.connected(c->events.ctx);
}

static void on_fd(void *ctx, short events)
{
	struct client *c = ctx;

	if (events & POLLIN)
		c->heard_ms = lm_clock_mono_ms();
	serve(c);
}

static void on_timer(void *ctx)
{
	struct client *c = ctx;
	uint64_t now_ms = lm_clock_mono_ms();
	uint64_t quiet_ms = now_ms - (c->heard_ms < c->sent_ms ? c->heard_ms : c->sent_ms);
	struct lm_err why;

	if (!c->connected) {
		(void)fault_limit(c->name, c->watch, c->options.limit_ms, &why);
		fail(c, &why);
		return;
	}
	bool due = quiet_ms >= (uint64_t)c->options.keep_alive_s * 1000;
	if (due)
		c->heard_ms = c->sent_ms = now_ms; // as libmosquitto does when it sends a ping
	arm_keep_alive(c);
	if (due)
		serve(c);
}

static lm_rc watch_socket(struct client *c, struct lm_err *err)
{
	// A descriptor of our own: libmosquitto closes its one before it can be unwatched.
	c->fd = fcntl(mosquitto_socket(c->link->mosq), F_DUPFD_CLOEXEC, 0);
	if (c->fd < 0)
		return lm_fail(
			err, LM_E_SYS, errno, "the connection to the MQTT broker %s: %m", c->name);
	return loop_fd_create(c->loop, c->fd, on_fd, c, &c->watch, err);
}

static void on_wakeup(void *ctx)
{
	struct client *c = ctx;
	struct lm_err why;

	if (!c->link || c->watch || !link_is_done(c->link))
		return;
	lm_rc rc = c->link->rc;
	if (rc != LM_OK)
		why = c->link->err;
	else
		rc = watch_socket(c, &why);
	if (rc != LM_OK) {
		fail(c, &why);
		return;
	}
	c->heard_ms = c->sent_ms = lm_clock_mono_ms();
	watch_for(c);
}

static void on_acknowledged(void *ctx, int id)
{
	struct client *c = ctx;

	c->events.acknowledged(c->events.ctx, id);
}

lm_rc client_create(struct loop *loop, const struct mqtt_settings *settings,
	const struct client_options *options, const struct client_events *events,
	struct client **ret, struct lm_err *err)
{
	lm_rc rc = mqtt_settings_check(settings, err);

	if (rc != LM_OK)
		return rc;
	lm_auto(client_destroy_p) struct client *c = lm_xcalloc(1, sizeof(*c));
	c->loop = loop;
	c->settings = mqtt_settings_copy(settings);
	c->name = mqtt_settings_name(settings);
	c->options = *options;
	c->events = *events;
	c->fd = -1;
	c->timer = loop_timer_create(loop, on_timer, c);
	rc = loop_wakeup_create(loop, on_wakeup, c, &c->wakeup, err);
	if (rc != LM_OK)
		return rc;
	*ret = lm_take(c);
	return LM_OK;
}

void client_destroy(struct client *c)
{
	if (!c)
		return;
	close_link(c, true);
	loop_timer_destroy(c->timer);
	loop_wakeup_destroy(c->wakeup);
	mqtt_settings_finish(&c->settings);
	free(c->name);
	free(c->will_topic);
	free(c->will_payload);
	free(c);
}

void client_set_will(struct client *c, const char *topic, const char *payload)
{
	free(c->will_topic);
	free(c->will_payload);
	c->will_topic = topic ? lm_xstrdup(topic) : NULL;
	c->will_payload = topic ? lm_xstrdup(payload) : NULL;
}

lm_rc client_connect(struct client *c, struct lm_err *err)
{
	const struct link_spec spec = {
		.settings = &c->settings,
		.keep_alive_s = c->options.keep_alive_s,
		.will_topic = c->will_topic,
		.will_payload = c->will_payload,
		.wakeup = c->wakeup,
		.acknowledged = on_acknowledged,
		.ctx = c,
	};
	c->ending = CLIENT_FAILED;
	lm_rc rc = link_start(&spec, &c->link, err);

	if (rc == LM_OK)
		loop_timer_start(c->timer, c->options.limit_ms, 0);
	return rc;
}

lm_rc client_publish(
	struct client *c, const char *topic, struct lm_str payload, int *ret_id, struct lm_err *err)
{
	if (!c->connected)
		return lm_fail(err, LM_E_NETWORK, 0, "there is no connection to the MQTT broker %s",
			c->name);
	errno = 0;
	int code = mosquitto_publish(
		c->link->mosq, ret_id, topic, (int)payload.n, payload.p, 1, false);
	int sys = errno;
	switch (code) {
	case MOSQ_ERR_SUCCESS:
		c->sent_ms = lm_clock_mono_ms();
		watch_for(c);
		return LM_OK;
	case MOSQ_ERR_INVAL:
	case MOSQ_ERR_MALFORMED_UTF8:
	case MOSQ_ERR_PAYLOAD_SIZE:
		return lm_fail(err, LM_E_INVALID, 0, "publish to '%s': %s", topic,
			mosquitto_strerror(code));
	default:
		break;
	}
	note_ending(c, code);
	lm_rc rc = fault_lost(c->link, code, sys, err);
	close_link(c, false);
	return rc;
}

void client_give_up(struct client *c)
{
	c->ending = CLIENT_DROPPED;
	close_link(c, false);
}

lm_rc client_check_topic(const char *topic, struct lm_err *err)
{
	size_t n = strlen(topic);

	if (n == 0 || n > LIMIT_MQTT_TOPIC ||
		mosquitto_pub_topic_check(topic) != MOSQ_ERR_SUCCESS ||
		mosquitto_validate_utf8(topic, (int)n) != MOSQ_ERR_SUCCESS)
		return lm_fail(err, LM_E_INVALID, 0, "'%s' is no topic to publish to", topic);
	return LM_OK;
}

enum client_ending client_ending(const struct client *c)
{
	return c->ending;
}

const char *client_name(const struct client *c)
{
	return c->name;
}
