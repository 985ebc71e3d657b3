// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A connection to one MQTT broker, to publish and subscribe on, in the loop: no call waits. It
/// does not connect again by itself, and keeps no messages. MQTT 3.1.1, always a clean session.
/// Never logs.
///
/// While connected and idle it wakes up once in a keep-alive interval. A packet over
/// LIMIT_MQTT_RECEIVED from the broker ends the connection.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "mqtt/settings.h"
#include "sys/loop.h"

#include <stdbool.h>
#include <stddef.h>

struct mqtt_client;

enum { MQTT_CLIENT_FILTERS = 8 }; ///< In a SUBSCRIBE: AWS IoT Core's own.

struct mqtt_client_options {
	unsigned limit_ms;     ///< For an attempt, up to CONNACK.
	unsigned keep_alive_s; ///< At least 5; see mqtt_client_set_keep_alive.
};

/// How the last attempt or connection ended.
enum mqtt_client_ending {
	MQTT_CLIENT_FAILED,  ///< No answer, no connection, on our side or the network's.
	MQTT_CLIENT_REFUSED, ///< The broker took the connection and ended it in place of accepting
			     ///< us.
	MQTT_CLIENT_DROPPED, ///< The broker had accepted us, and closed the connection.
	/// After a quiet keep-alive interval a ping got no answer, or a reset for one, or
	/// mqtt_client_give_up: the connection was dead, perhaps for long.
	MQTT_CLIENT_SILENT,
};

/// `connected` and `closed` may destroy the client, the others must not call it.
struct mqtt_client_callbacks {
	/// The broker accepted us.
	void (*connected)(void *ctx);
	/// The broker has taken the message `id`.
	void (*acknowledged)(void *ctx, int id);
	/// The broker has answered the subscription `id`; `granted`: all of it. NULL if there is
	/// none.
	void (*subscribed)(void *ctx, int id, bool granted);
	/// A message of a subscription, or what the broker sends without one. Borrowed. May be
	/// NULL.
	void (*received)(void *ctx, const char *topic, struct lm_str payload);
	/// The attempt failed or the connection was lost, for the reason `why`, a sentence. Nothing
	/// is in flight any more, and mqtt_client_connect may be called.
	void (*closed)(void *ctx, const char *why);
	void *ctx;
};

/// All arguments are copied. LM_E_INVALID: as mqtt_settings_check. LM_E_SYS.
lm_rc mqtt_client_create(struct loop *loop, const struct mqtt_settings *settings,
	const struct mqtt_client_options *options, const struct mqtt_client_callbacks *events,
	struct mqtt_client **ret, struct lm_err *err);
/// Sends DISCONNECT if connected. An attempt under way ends by itself, in its thread. Takes NULL.
void mqtt_client_destroy(struct mqtt_client *c);
LM_DEFINE_CLEANUP(struct mqtt_client, mqtt_client_destroy)

/// What the broker publishes, at QoS 1, if a connection made from now on ends without DISCONNECT.
/// Both are copied; NULL: nothing. A connection that is lost or given up on our side ends so.
void mqtt_client_set_will(struct mqtt_client *c, const char *topic, const char *payload);
/// For connections made from now on; at least 5. A ping is answered within that time, and a minute
/// at most, or the connection is lost.
void mqtt_client_set_keep_alive(struct mqtt_client *c, unsigned keep_alive_s);
/// Begins an attempt, which ends with `connected` or `closed`. Only while there is none and no
/// connection. LM_E_SYS, LM_E_TIMEOUT (too many earlier attempts hang): none was begun.
lm_rc mqtt_client_connect(struct mqtt_client *c, struct lm_err *err);
/// Sends at QoS 1; at most 20 messages may be in flight. LM_E_INVALID: no broker takes such a
/// message. LM_E_NETWORK and others: the connection is lost, without `closed`.
lm_rc mqtt_client_publish(struct mqtt_client *c, const char *topic, struct lm_str payload,
	int *ret_id, struct lm_err *err);
/// Subscribes at QoS 1, to at most MQTT_CLIENT_FILTERS filters. As mqtt_client_publish.
lm_rc mqtt_client_subscribe(struct mqtt_client *c, const char *const *filters, size_t n,
	int *ret_id, struct lm_err *err);
/// Ends the connection, without `closed` and without DISCONNECT, as nothing comes from the broker.
void mqtt_client_give_up(struct mqtt_client *c);
/// LM_E_INVALID: not a topic to publish to (wildcards, control characters, not UTF-8).
lm_rc mqtt_client_check_topic(const char *topic, struct lm_err *err);
/// Of the last that ended.
enum mqtt_client_ending mqtt_client_ending(const struct mqtt_client *c);
/// "127.0.0.1:1883" or the socket's path. Borrowed.
const char *mqtt_client_name(const struct mqtt_client *c);
