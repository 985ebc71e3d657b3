// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One attempt to connect to an MQTT broker, and the connection that came of it; why there is none,
/// in one sentence that names the broker and what to check. The attempt (files, name, TCP) runs in
/// a thread of its own, which owns the connection meanwhile; then the loop's thread does. The
/// handshakes of TLS and MQTT are the loop's.

#include "base/error.h"
#include "base/str.h"
#include "mqtt/settings.h"
#include "sys/loop.h"

#include <stdbool.h>
#include <stddef.h>

struct mqtt_connection;

struct mqtt_connection_spec {
	const struct mqtt_settings *settings; ///< Copied; with a client_id.
	unsigned keep_alive_s;
	const char *will_topic, *will_payload; ///< Copied; NULL: no last will.
	struct loop_wakeup *wakeup;            ///< Sent to when the attempt is done.
	/// Called inside of mqtt_connection_step: the broker has taken message `id`.
	void (*acknowledged)(void *ctx, int id);
	/// The same: it has answered subscription `id`, and grants all of it, or not.
	void (*subscribed)(void *ctx, int id, bool granted);
	/// The same: a message of a subscription. Borrowed. `acknowledges`: libmosquitto answers it
	/// with a packet.
	void (*received)(void *ctx, const char *topic, struct lm_str payload, bool acknowledges);
	/// The same: libmosquitto has sent a ping; and has got the broker's answer, with whichever
	/// step that came.
	void (*pinged)(void *ctx);
	void (*answered)(void *ctx);
	void *ctx;
};

/// Starts an attempt. LM_E_SYS: no thread. LM_E_TIMEOUT: too many earlier attempts, of this process
/// and given up, still hang in the system.
lm_rc mqtt_connection_start(
	const struct mqtt_connection_spec *spec, struct mqtt_connection **ret, struct lm_err *err);
/// True once the attempt has ended; from then on the connection is the loop's, and only then the
/// functions below may be called.
bool mqtt_connection_is_done(struct mqtt_connection *c);
/// What came of the attempt. LM_OK: there is a socket.
lm_rc mqtt_connection_result(const struct mqtt_connection *c, struct lm_err *err);
/// libmosquitto's own descriptor, which it closes by itself.
int mqtt_connection_fd(const struct mqtt_connection *c);
/// There is something to be written as soon as that is possible.
bool mqtt_connection_wants_write(const struct mqtt_connection *c);
/// Reads, writes and pings, as far as it goes without waiting. An error: the connection is lost.
lm_rc mqtt_connection_step(struct mqtt_connection *c, struct lm_err *err);
/// The broker has accepted us.
bool mqtt_connection_is_accepted(const struct mqtt_connection *c);
/// The connection was lost, and it was the broker that ended it.
bool mqtt_connection_ended_by_broker(const struct mqtt_connection *c);
/// Sends at QoS 1. LM_E_INVALID: no broker takes such a message. Others: the connection is lost.
lm_rc mqtt_connection_publish(struct mqtt_connection *c, const char *topic, struct lm_str payload,
	int *ret_id, struct lm_err *err);
/// Subscribes to `n` filters at QoS 1. As mqtt_connection_publish.
lm_rc mqtt_connection_subscribe(struct mqtt_connection *c, const char *const *filters, size_t n,
	int *ret_id, struct lm_err *err);
/// The broker has accepted us: what was needed for that only is given back.
void mqtt_connection_shed(struct mqtt_connection *c);
/// Closes the connection, or leaves it to its thread, without waiting. With `disconnect` the broker
/// learns that this is meant, and drops the last will. Takes NULL.
void mqtt_connection_release(struct mqtt_connection *c, bool disconnect);
