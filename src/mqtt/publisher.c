// SPDX-License-Identifier: Apache-2.0
#include "mqtt/publisher.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "mqtt/client.h"
#include "mqtt/subscription.h"

enum {
	CONNECT_LIMIT_MS = 30 * 1000,
	/// Each ping costs about 200 bytes with TLS, TCP and IP: every 15 minutes that is 0.6 MB a
	/// month, every minute it would be 9 MB. AWS IoT Core takes 20 minutes at most.
	KEEP_ALIVE_S = 15 * 60,
	/// What is between forgets quiet connections, some after 5 minutes, few sooner.
	KEEP_ALIVE_MIN_S = 60,
	BACKOFF_MIN_MS = 1000,
	BACKOFF_MAX_MS = 60 * 1000,
	/// A connection that was lost sooner counts as a failed attempt: a broker that takes us and
	/// drops us at once, for whatever reason, is not hammered.
	LASTED_MS = 30 * 1000,
	/// A broker that ends a connection that lasted perhaps restarts, and ends those of a whole
	/// fleet at once: its first attempts are spread over 16 s, and later ones over more.
	HERD_FAILURES = 4,
	WINDOW_MAX = 20,
	/// Of payloads; one message is always sent. It bounds what libmosquitto keeps in memory.
	WINDOW_BYTES = LIMIT_MQTT_PAYLOAD,
	/// Without an acknowledgement, though the broker may answer pings.
	ACKNOWLEDGE_MS = 150 * 1000,
	/// Until messages that could not be read are tried again.
	UNREADABLE_MS = 10 * 1000,
	/// In a turn of the loop: each is synced.
	SAVED_AT_ONCE = 8,
	/// So often a topic, alone, ends the connection until it counts as refused.
	STRIKES_MAX = 2,
	/// Until a refused topic is tried again, twice as long each time.
	REFUSED_STATUS_MS = 60 * 1000,
	REFUSED_STATUS_MAX_MS = 10 * 60 * 1000,
	REFUSED_MS = 60 * 60 * 1000,
	REFUSED_MAX_MS = 24 * 60 * 60 * 1000,
	LANE_CONNECTION = OUTBOX_CLASSES, ///< Past the outbox.
	LANE_REQUESTS,                    ///< The same: the subscription, and requests.
	LANES,
};

/// Whether the broker accepts one of our topics: each class has one.
struct lane {
	char *topic;  ///< Of the last message; NULL: none yet.
	bool suspect; ///< Was in flight when the broker ended a connection: is sent alone.
	/// Connections that it ended, alone, since a message was acknowledged.
	unsigned strikes;
	unsigned refusals;
	bool set_aside;
	struct loop_timer *retry;
	struct publisher *publisher;
};

/// Of what is not in the outbox.
#define NO_SEQ UINT64_MAX

/// A message that the broker has not acknowledged yet.
struct in_flight {
	int id;
	unsigned lane;
	uint64_t seq;
	size_t n;
};

struct publisher {
	struct outbox *outbox;
	struct mqtt_client *client;
	struct loop_timer *timer; ///< The next attempt; while connected, to send what waits.
	struct loop_timer *acknowledge_timer; ///< While something is in flight,
	uint64_t unacknowledged_ms;           ///< since when nothing was acknowledged.
	struct loop_timer *save_timer;        ///< To save more of what is held.
	struct publisher_events events;
	char *connection_topic;
	bool connection_due; ///< That we are connected, or `ending`, is still to be sent.
	bool ending;
	struct lane lanes[LANES];
	struct subscription *subscription; ///< NULL: nothing is subscribed to.
	struct publisher_subscription subscriber;
	struct loop_timer *deliver_timer; ///< To hand over what has come.
	bool subscribe_due;
	int subscribe_id; ///< Of the SUBSCRIBE that is in flight.
	bool subscribed, subscribe_refused, subscribed_told;
	unsigned will_refusals; ///< Attempts with a last will that the broker ended, in a row.
	bool without_will;      ///< The attempt, or connection, that there is.
	bool will_doubted; ///< Accepted without one: the next attempt shows whether that is why.
	struct in_flight window[WINDOW_MAX];
	unsigned window_n;
	size_t window_bytes;
	bool connected;
	uint64_t connected_ms;  ///< Since when.
	unsigned failures;      ///< Attempts since a connection that lasted.
	unsigned herd_failures; ///< As if there had been so many, after one that lasted was ended.
	unsigned keep_alive_s, keep_alive_max_s; ///< Of the next connection; as set.
	bool undrained; ///< Something was taken since `drained` was last called.
	/// Why the connection was lost in publisher_send; NULL: it was not. Reported from the loop.
	char *broken;
	char *fault;
	bool *gone; ///< Set when the publisher is destroyed; NULL: nobody asks.
};

static bool has_room(const struct publisher *p)
{
	return p->window_n == 0 || (p->window_n < WINDOW_MAX && p->window_bytes < WINDOW_BYTES);
}

/// A topic that is suspect is sent alone, so that it is known what ended the connection.
static bool may_join(const struct publisher *p, unsigned lane)
{
	if (p->lanes[lane].suspect)
		return p->window_n == 0;
	return has_room(p) && !(p->window_n > 0 && p->lanes[p->window[0].lane].suspect);
}

static void await_acknowledgement(struct publisher *p)
{
	p->unacknowledged_ms = lm_clock_mono_ms();
	loop_timer_start(p->acknowledge_timer, ACKNOWLEDGE_MS, 0);
}

static void add_to_window(
	struct publisher *p, unsigned lane, const char *topic, int id, uint64_t seq, size_t n)
{
	free(p->lanes[lane].topic);
	p->lanes[lane].topic = lm_xstrdup(topic);
	p->window[p->window_n++] = (struct in_flight){.id = id, .lane = lane, .seq = seq, .n = n};
	p->window_bytes += n;
	if (!loop_timer_active(p->acknowledge_timer))
		await_acknowledgement(p);
}

static void end_set_aside(void *ctx)
{
	struct lane *l = ctx;
	struct publisher *p = l->publisher;
	unsigned lane = (unsigned)(l - p->lanes);

	l->set_aside = false;
	l->strikes = STRIKES_MAX - 1; // one more is enough
	if (lane == LANE_CONNECTION)
		p->connection_due = p->connected;
	else if (lane == LANE_REQUESTS)
		p->subscribe_due = p->connected;
	else
		outbox_set_aside(p->outbox, lane, false);
	if (p->connected)
		loop_timer_start(p->timer, 0, 0);
}

/// With the connection goes what was for it. Whoever was subscribed is notified.
static void end_subscription(struct publisher *p)
{
	bool told = p->subscribed_told;

	p->subscribe_due = p->subscribed = p->subscribe_refused = p->subscribed_told = false;
	if (!p->subscription)
		return;
	subscription_reset(p->subscription);
	loop_timer_stop(p->deliver_timer);
	if (told)
		p->subscriber.lost(p->subscriber.ctx);
}

/// Not for ever, as a policy may be changed; a status sooner, as none may be lost.
static void set_lane_aside(struct publisher *p, unsigned lane)
{
	struct lane *l = &p->lanes[lane];
	bool is_status = lane == OUTBOX_STATUS;
	uint64_t ms = is_status ? REFUSED_STATUS_MS : REFUSED_MS;
	uint64_t max_ms = is_status ? REFUSED_STATUS_MAX_MS : REFUSED_MAX_MS;

	for (unsigned i = 0; i < l->refusals && ms < max_ms; i++)
		ms *= 2;
	ms = ms < max_ms ? ms : max_ms;
	l->set_aside = l->suspect = true;
	if (lane == LANE_CONNECTION)
		p->connection_due = false;
	else if (lane != LANE_REQUESTS)
		outbox_set_aside(p->outbox, lane, true);
	loop_timer_start(l->retry, ms, 0);
	p->failures = 0; // the connection itself was good
	if (l->refusals++ == 0 && p->events.set_aside)
		p->events.set_aside(p->events.ctx, l->topic, ms);
}

/// The broker has ended the connection: by what was in flight, perhaps.
static void suspect_window(struct publisher *p)
{
	unsigned lane = p->window_n > 0 ? p->window[0].lane : 0;
	bool alone = p->window_n > 0;

	for (unsigned i = 0; i < p->window_n; i++) {
		p->lanes[p->window[i].lane].suspect = true;
		alone = alone && p->window[i].lane == lane;
	}
	if (alone && ++p->lanes[lane].strikes >= STRIKES_MAX)
		set_lane_aside(p, lane);
}

static void clear_lane(struct publisher *p, unsigned lane)
{
	struct lane *l = &p->lanes[lane];

	l->suspect = false;
	l->strikes = l->refusals = 0;
}

/// False if the publisher is no more.
static bool notify_drained(struct publisher *p)
{
	bool gone = false;

	const struct outbox_counts counts = outbox_counts(p->outbox);

	if (!p->undrained || counts.messages > counts.set_aside ||
		(p->connected && !publisher_is_drained(p)))
		return true;
	p->undrained = false;
	if (!p->events.drained)
		return true;
	// cppcheck-suppress autoVariables ; taken back below, unless p is gone
	p->gone = &gone;
	p->events.drained(p->events.ctx);
	if (!gone)
		p->gone = NULL;
	return !gone;
}

static void set_fault(struct publisher *p, const char *why)
{
	free(p->fault);
	p->fault = lm_xstrdup(why);
}

/// What the disk refuses is held until the next time: there is one at each failed attempt, and at
/// each event.
static void save_some(void *ctx)
{
	struct publisher *p = ctx;

	if (outbox_save_held(p->outbox, SAVED_AT_ONCE, NULL) == LM_OK &&
		!outbox_is_saved(p->outbox))
		loop_timer_start(p->save_timer, 0, 0);
}

/// `refused`: the attempt had a last will, and the broker ended it.
static void note_will(struct publisher *p, bool refused)
{
	if (!refused) {
		p->will_refusals = 0;
		p->will_doubted = false;
	} else if (p->will_doubted) {
		p->will_refusals = STRIKES_MAX;
	} else {
		p->will_refusals++;
	}
}

/// A connection that was dead after a quiet interval, and is made again at once, was forgotten by
/// something between, as NAT does: the next interval is shorter. If it is not made at once, the
/// network was away, and may have become another one.
static void adapt_keep_alive(struct publisher *p)
{
	enum mqtt_client_ending ending = mqtt_client_ending(p->client);

	if (p->connected && ending == MQTT_CLIENT_SILENT) {
		unsigned half_s = p->keep_alive_s / 2;
		unsigned min_s = KEEP_ALIVE_MIN_S < p->keep_alive_max_s ? KEEP_ALIVE_MIN_S
									: p->keep_alive_max_s;

		p->keep_alive_s = half_s > min_s ? half_s : min_s;
	} else if (!p->connected && ending == MQTT_CLIENT_FAILED) {
		p->keep_alive_s = p->keep_alive_max_s;
	}
	mqtt_client_set_keep_alive(p->client, p->keep_alive_s);
}

/// The publisher may be no more when this returns.
static void on_closed(void *ctx, const char *why)
{
	struct publisher *p = ctx;

	if (p->connected && lm_clock_mono_ms() - p->connected_ms >= LASTED_MS)
		p->failures =
			mqtt_client_ending(p->client) == MQTT_CLIENT_DROPPED ? p->herd_failures : 0;
	adapt_keep_alive(p);
	uint64_t retry_ms = lm_backoff_ms(p->failures, BACKOFF_MIN_MS, BACKOFF_MAX_MS);
	p->failures++;
	if (mqtt_client_ending(p->client) == MQTT_CLIENT_DROPPED)
		suspect_window(p);
	note_will(p, mqtt_client_ending(p->client) == MQTT_CLIENT_REFUSED && !p->without_will);
	p->connected = false;
	free(lm_take(p->broken));
	loop_timer_stop(p->acknowledge_timer);
	p->window_n = 0;
	p->window_bytes = 0;
	outbox_return_all(p->outbox);
	save_some(p);
	set_fault(p, why);
	end_subscription(p);
	loop_timer_start(p->timer, retry_ms, 0);
	if (notify_drained(p))
		p->events.disconnected(p->events.ctx, p->fault, retry_ms);
}

/// The broker took us without a last will. It refuses the topic, or has only come back from where
/// it refused everybody: tried with the will again, it shows which.
static void doubt_will(struct publisher *p)
{
	p->will_doubted = true;
	p->will_refusals = 0;
	p->failures = 0; // the connection itself was good
	mqtt_client_give_up(p->client);
	loop_timer_start(p->timer, 0, 0);
}

static void publisher_on_connected(void *ctx)
{
	struct publisher *p = ctx;
	bool left_out = p->without_will && !p->lanes[LANE_CONNECTION].set_aside;

	if (left_out && !p->will_doubted) {
		doubt_will(p);
		return;
	}
	p->connected = true;
	p->connected_ms = lm_clock_mono_ms();
	if (left_out)
		set_lane_aside(p, LANE_CONNECTION);
	note_will(p, false);
	p->connection_due = p->connection_topic && !p->lanes[LANE_CONNECTION].set_aside;
	p->subscribe_due = p->subscription && !p->lanes[LANE_REQUESTS].set_aside;
	set_fault(p, "");
	loop_timer_start(p->timer, 0, 0);
	p->events.connected(p->events.ctx);
}

/// Takes what the broker has answered out of the window; false: it is not there. Called from inside
/// libmosquitto: sending goes on in the next turn of the loop.
static bool take_from_window(struct publisher *p, int id, unsigned *ret_lane)
{
	for (unsigned i = 0; i < p->window_n; i++) {
		if (p->window[i].id != id)
			continue;
		// A file that cannot be removed comes again after a restart: late, but not lost.
		if (p->window[i].seq != NO_SEQ)
			(void)outbox_done(p->outbox, p->window[i].seq, NULL);
		*ret_lane = p->window[i].lane;
		p->window_bytes -= p->window[i].n;
		p->window[i] = p->window[--p->window_n];
		loop_timer_stop(p->acknowledge_timer);
		if (p->window_n > 0)
			await_acknowledgement(p);
		loop_timer_start(p->timer, 0, 0);
		return true;
	}
	return false;
}

static void publisher_on_acknowledged(void *ctx, int id)
{
	struct publisher *p = ctx;
	unsigned lane;

	if (take_from_window(p, id, &lane))
		clear_lane(p, lane);
}

/// Whoever may subscribe may perhaps not publish: the lane is cleared by the PUBACK of a request
/// only.
static void publisher_on_subscribed(void *ctx, int id, bool granted)
{
	struct publisher *p = ctx;
	unsigned lane;

	if (id != p->subscribe_id || !p->subscription)
		return;
	(void)take_from_window(p, id, &lane);
	p->subscribed = granted;
	p->subscribe_refused = !granted;
	loop_timer_start(p->deliver_timer, 0, 0);
}

static void publisher_on_received(void *ctx, const char *topic, struct lm_str payload)
{
	struct publisher *p = ctx;

	if (!p->subscription)
		return;
	subscription_add_received(p->subscription, topic, payload);
	loop_timer_start(p->deliver_timer, 0, 0);
}

static void on_deliver(void *ctx)
{
	struct publisher *p = ctx;
	struct subscription_message m;

	if (p->subscribe_refused) {
		p->subscribe_refused = false;
		set_lane_aside(p, LANE_REQUESTS);
		return; // it may be no more
	}
	if (p->subscribed && !p->subscribed_told) {
		p->subscribed_told = true;
		p->subscriber.subscribed(p->subscriber.ctx);
	}
	while (p->subscribed_told && subscription_take_received(p->subscription, &m)) {
		p->subscriber.received(p->subscriber.ctx, m.topic, (struct lm_str){m.payload, m.n});
		subscription_message_finish(&m);
	}
}

/// The connection ends, and why: for the caller to report, and to free.
static char *give_up_unacknowledged(struct publisher *p)
{
	uint64_t silent_ms = lm_clock_mono_ms() - p->unacknowledged_ms;

	mqtt_client_give_up(p->client);
	return lm_xasprintf("the MQTT broker %s has acknowledged no message for %llu s; check the "
			    "network, and that it works",
		publisher_name(p), (unsigned long long)(silent_ms + 500) / 1000);
}

static void on_unacknowledged(void *ctx)
{
	struct publisher *p = ctx;

	if (p->broken)
		return; // is reported already
	lm_auto_free char *why = give_up_unacknowledged(p);
	on_closed(p, why);
}

void publisher_doubt(struct publisher *p, uint64_t silent_ms)
{
	if (!p->connected || p->broken || p->window_n == 0 ||
		lm_clock_mono_ms() - p->unacknowledged_ms < silent_ms)
		return;
	p->broken = give_up_unacknowledged(p);
	loop_timer_start(p->timer, 0, 0);
}

/// Sends the state of the connection, past the outbox: with the connection gone it would be of no
/// interest.
static lm_rc send_connection_message(struct publisher *p, struct lm_err *err)
{
	lm_auto_free char *payload = p->events.connection_message(
		p->events.ctx, p->ending ? PUBLISHER_ENDED : PUBLISHER_CONNECTED);
	struct lm_str text = lm_str(payload);
	int id = 0;

	p->connection_due = false;
	lm_rc rc = mqtt_client_publish(p->client, p->connection_topic, text, &id, err);
	if (rc != LM_OK)
		return rc == LM_E_INVALID ? LM_OK : rc;
	add_to_window(p, LANE_CONNECTION, p->connection_topic, id, NO_SEQ, text.n);
	return LM_OK;
}

/// LM_E_NOT_FOUND: nothing waits that may be sent. LM_E_INVALID: one less does. Others: the
/// connection is lost.
static lm_rc send_next(struct publisher *p, struct lm_err *err)
{
	struct outbox_message m;
	int id = 0;

	if (!outbox_next(p->outbox, &m))
		return LM_E_NOT_FOUND;
	lm_rc rc = mqtt_client_publish(
		p->client, m.topic, (struct lm_str){m.payload, m.payload_n}, &id, err);
	if (rc == LM_OK) {
		add_to_window(p, m.class, m.topic, id, m.seq, m.payload_n);
	} else if (rc == LM_E_INVALID) {
		// Not from publisher_send, which checks; it must not hold up the others.
		outbox_reject(p->outbox, m.seq);
	}
	outbox_message_finish(&m);
	return rc;
}

static lm_rc send_subscribe(struct publisher *p, struct lm_err *err)
{
	size_t n = 0;
	const char *const *filters = subscription_filters(p->subscription, &n);

	p->subscribe_due = false;
	lm_rc rc = mqtt_client_subscribe(p->client, filters, n, &p->subscribe_id, err);
	if (rc != LM_OK)
		return rc == LM_E_INVALID ? LM_OK : rc;
	add_to_window(p, LANE_REQUESTS, filters[0], p->subscribe_id, NO_SEQ, 0);
	return LM_OK;
}

static lm_rc send_one_request(struct publisher *p, struct lm_err *err)
{
	struct subscription_message m;
	int id = 0;

	if (!subscription_take_request(p->subscription, &m))
		return LM_OK;
	lm_rc rc =
		mqtt_client_publish(p->client, m.topic, (struct lm_str){m.payload, m.n}, &id, err);
	if (rc == LM_OK)
		add_to_window(p, LANE_REQUESTS, m.topic, id, NO_SEQ, m.n);
	subscription_message_finish(&m);
	return rc == LM_E_INVALID ? LM_OK : rc;
}

/// Before what waits in the outbox, which may be a lot.
static lm_rc send_requests(struct publisher *p, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	if (p->subscribe_due && may_join(p, LANE_REQUESTS))
		rc = send_subscribe(p, err);
	while (rc == LM_OK && p->subscribed && subscription_has_request(p->subscription) &&
		may_join(p, LANE_REQUESTS))
		rc = send_one_request(p, err);
	return rc;
}

static void send_waiting(struct publisher *p)
{
	struct lm_err err;
	lm_rc rc = p->subscription ? send_requests(p, &err) : LM_OK;

	while (has_room(p) && (rc == LM_OK || rc == LM_E_INVALID)) {
		enum outbox_class class = outbox_next_class(p->outbox);
		if (class != OUTBOX_CLASSES && !may_join(p, class))
			break;
		rc = send_next(p, &err);
	}
	if (rc == LM_E_NOT_FOUND && !outbox_is_sent(p->outbox))
		loop_timer_start(p->timer, UNREADABLE_MS, 0);
	if (rc == LM_E_NOT_FOUND && p->connection_due && may_join(p, LANE_CONNECTION))
		rc = send_connection_message(p, &err);
	if (rc == LM_OK || rc == LM_E_INVALID || rc == LM_E_NOT_FOUND)
		(void)notify_drained(p);
	else
		on_closed(p, err.msg);
}

static lm_rc publisher_begin_attempt(struct publisher *p, struct lm_err *err)
{
	if (p->connection_topic) {
		lm_auto_free char *payload =
			p->events.connection_message(p->events.ctx, PUBLISHER_LOST);
		p->without_will =
			p->lanes[LANE_CONNECTION].set_aside || p->will_refusals >= STRIKES_MAX;
		mqtt_client_set_will(
			p->client, p->without_will ? NULL : p->connection_topic, payload);
	}
	return mqtt_client_connect(p->client, err);
}

static void publisher_on_timer(void *ctx)
{
	struct publisher *p = ctx;
	struct lm_err err;

	if (p->broken) {
		lm_auto_free char *why = lm_take(p->broken);
		on_closed(p, why);
		return;
	}
	if (p->connected)
		send_waiting(p);
	else if (publisher_begin_attempt(p, &err) != LM_OK)
		on_closed(p, err.msg);
}

lm_rc publisher_create(struct loop *loop, const struct mqtt_settings *settings,
	const char *directory, const struct publisher_events *events, struct publisher **ret,
	struct lm_err *err)
{
	lm_auto(publisher_destroy_p) struct publisher *p = lm_xcalloc(1, sizeof(*p));
	const struct mqtt_client_options options = {
		.limit_ms = CONNECT_LIMIT_MS,
		.keep_alive_s = settings->keep_alive_s ? settings->keep_alive_s : KEEP_ALIVE_S,
	};
	const struct mqtt_client_callbacks client_events = {
		.connected = publisher_on_connected,
		.acknowledged = publisher_on_acknowledged,
		.subscribed = publisher_on_subscribed,
		.received = publisher_on_received,
		.closed = on_closed,
		.ctx = p,
	};

	p->events = *events;
	p->keep_alive_s = p->keep_alive_max_s = options.keep_alive_s;
	p->herd_failures = settings->socket ? 0 : HERD_FAILURES; // a socket is this device's alone
	p->fault = lm_xstrdup("");
	if (events->connection_topic)
		p->connection_topic = lm_xstrdup(events->connection_topic);
	for (unsigned i = 0; i < LANES; i++) {
		p->lanes[i].publisher = p;
		p->lanes[i].retry = loop_timer_create(loop, end_set_aside, &p->lanes[i]);
	}
	if (events->connection_topic)
		p->lanes[LANE_CONNECTION].topic = lm_xstrdup(events->connection_topic);
	p->timer = loop_timer_create(loop, publisher_on_timer, p);
	p->save_timer = loop_timer_create(loop, save_some, p);
	p->acknowledge_timer = loop_timer_create(loop, on_unacknowledged, p);
	p->deliver_timer = loop_timer_create(loop, on_deliver, p);
	lm_rc rc = mqtt_client_create(loop, settings, &options, &client_events, &p->client, err);
	if (rc == LM_OK)
		rc = outbox_open(directory, &p->outbox, err);
	if (rc != LM_OK)
		return rc;
	p->undrained = outbox_counts(p->outbox).messages > 0;
	loop_timer_start(p->timer, 0, 0);
	*ret = lm_take(p);
	return LM_OK;
}

void publisher_subscribe(struct publisher *p, const struct publisher_subscription *s)
{
	p->subscription = subscription_create(s->filters, s->n);
	p->subscriber = *s;
	free(p->lanes[LANE_REQUESTS].topic);
	p->lanes[LANE_REQUESTS].topic = lm_xstrdup(s->filters[0]);
	p->subscribe_due = p->connected;
	if (p->connected)
		loop_timer_start(p->timer, 0, 0);
}

lm_rc publisher_request(
	struct publisher *p, const char *topic, struct lm_str payload, struct lm_err *err)
{
	lm_rc rc = mqtt_client_check_topic(topic, err);

	if (rc != LM_OK)
		return rc;
	if (!p->connected || !p->subscribed || p->broken)
		return lm_fail(err, LM_E_NETWORK, 0,
			"nothing is subscribed to at the MQTT broker %s", publisher_name(p));
	if (!subscription_add_request(p->subscription, topic, payload))
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"too many requests wait for the MQTT broker %s", publisher_name(p));
	p->undrained = true;
	loop_timer_start(p->timer, 0, 0);
	return LM_OK;
}

void publisher_hasten(struct publisher *p)
{
	if (p->connected)
		return;
	p->failures = 0; // an attempt that is under way may have come too soon
	if (loop_timer_active(p->timer))
		loop_timer_start(p->timer, 0, 0);
}

void publisher_end(struct publisher *p)
{
	if (!p->connection_topic || p->ending)
		return;
	p->ending = true;
	p->connection_due = p->connected && !p->lanes[LANE_CONNECTION].set_aside;
	p->undrained = true;
	if (p->connected)
		loop_timer_start(p->timer, 0, 0);
}

void publisher_destroy(struct publisher *p)
{
	if (!p)
		return;
	if (p->gone)
		*p->gone = true;
	mqtt_client_destroy(p->client);
	if (p->outbox)
		(void)publisher_save(p, NULL);
	for (unsigned i = 0; i < LANES; i++) {
		loop_timer_destroy(p->lanes[i].retry);
		free(p->lanes[i].topic);
	}
	loop_timer_destroy(p->timer);
	loop_timer_destroy(p->save_timer);
	loop_timer_destroy(p->acknowledge_timer);
	loop_timer_destroy(p->deliver_timer);
	subscription_destroy(p->subscription);
	outbox_close(p->outbox);
	free(p->broken);
	free(p->fault);
	free(p->connection_topic);
	free(p);
}

/// Whether a message may be sent now.
static bool may_send(const struct publisher *p)
{
	return p->connected && !p->broken && has_room(p);
}

/// A message was taken.
static void note_taken(struct publisher *p)
{
	p->undrained = true;
	if (may_send(p))
		loop_timer_start(p->timer, 0, 0);
}

/// Sends it, if nothing goes before it, before it is on disk: syncing takes longer than all the
/// rest of it.
static lm_rc hold_in_memory(struct publisher *p, enum outbox_class class, const char *topic,
	struct lm_str payload, struct lm_err *err)
{
	struct lm_err broken = {LM_OK};
	bool at_once = may_send(p) && may_join(p, class) && !p->lanes[class].set_aside &&
		       outbox_is_sent(p->outbox);
	uint64_t seq;
	lm_rc rc = outbox_hold(p->outbox, class, topic, payload, &seq, err);

	if (rc != LM_OK)
		return rc;
	rc = at_once ? send_next(p, &broken) : LM_OK;
	if (rc != LM_OK && rc != LM_E_INVALID) {
		p->broken = lm_xstrdup(broken.msg);
		loop_timer_start(p->timer, 0, 0); // nothing else would: the socket is gone
	}
	if (outbox_save(p->outbox, seq, NULL) == LM_OK)
		save_some(p);
	note_taken(p);
	return LM_OK;
}

lm_rc publisher_send(struct publisher *p, enum outbox_class class, const char *topic,
	struct lm_str payload, struct lm_err *err)
{
	lm_rc rc = mqtt_client_check_topic(topic, err);

	if (rc != LM_OK)
		return rc;
	if (class == OUTBOX_EVENT)
		return hold_in_memory(p, class, topic, payload, err);
	rc = outbox_add(p->outbox, class, topic, payload, err);
	if (rc != LM_OK)
		return rc;
	save_some(p);
	note_taken(p);
	return LM_OK;
}

lm_rc publisher_send_once(struct publisher *p, const char *key, enum outbox_class class,
	const char *topic, struct lm_str payload, struct lm_err *err)
{
	if (outbox_has_taken(p->outbox, key))
		return LM_OK;
	lm_rc rc = publisher_send(p, class, topic, payload, err);
	if (rc == LM_OK)
		(void)outbox_note_taken(p->outbox, key, NULL); // at worst it comes twice
	return rc;
}

void publisher_forget_taken(struct publisher *p)
{
	outbox_forget_taken(p->outbox);
}

lm_rc publisher_hold(struct publisher *p, enum outbox_class class, const char *topic,
	struct lm_str payload, struct lm_err *err)
{
	lm_rc rc = publisher_send(p, class, topic, payload, err);

	if (rc == LM_OK || rc == LM_E_INVALID || rc == LM_E_TOO_LARGE)
		return rc;
	return hold_in_memory(p, class, topic, payload, err);
}

lm_rc publisher_save(struct publisher *p, struct lm_err *err)
{
	return outbox_save_held(p->outbox, SIZE_MAX, err);
}

const char *publisher_name(const struct publisher *p)
{
	return mqtt_client_name(p->client);
}

bool publisher_is_connected(const struct publisher *p)
{
	return p->connected;
}

bool publisher_is_drained(const struct publisher *p)
{
	const struct outbox_counts counts = outbox_counts(p->outbox);

	return counts.messages == counts.set_aside && p->window_n == 0 && !p->connection_due;
}

const char *publisher_set_aside(const struct publisher *p, size_t i)
{
	for (unsigned lane = 0; lane < LANES; lane++) {
		if (p->lanes[lane].set_aside && i-- == 0)
			return p->lanes[lane].topic;
	}
	return NULL;
}

void publisher_redirect(struct publisher *p, enum outbox_class class, const char *topic)
{
	outbox_redirect(p->outbox, class, topic);
}

const char *publisher_fault(const struct publisher *p)
{
	return p->fault;
}

struct outbox_counts publisher_counts(const struct publisher *p)
{
	return outbox_counts(p->outbox);
}
