// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One broker, and the outbox of what is to be sent to it: messages are taken at once, sent at
/// QoS 1 when there is a connection, and removed once the broker has acknowledged them. A broker
/// that is away, slow or restarted delays messages and nothing else: no call waits, and what would
/// (files, name, TCP) is done in a thread, as long as an attempt lasts.
///
/// Never logs. Used from the loop's thread. Reconnects by itself, with exponential backoff and full
/// jitter between 1 s and 60 s; after a broker on the network has ended a connection that lasted,
/// it begins with 16 s, so that a fleet does not return to a restarted broker all at once.
///
/// The keep-alive interval is halved, down to a minute, each time that a connection was dead (no
/// answer to a ping, or no acknowledgement) and the next attempt shows that the network is there;
/// see docs/formats.md.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "mqtt/outbox.h"
#include "mqtt/settings.h"
#include "sys/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct publisher;

/// The state of the connection, for subscribers.
enum publisher_connection {
	PUBLISHER_CONNECTED, ///< By us, once all that waited has been sent.
	PUBLISHER_ENDED,     ///< By us, after publisher_end.
	PUBLISHER_LOST,      ///< By the broker, if there was no DISCONNECT (the last will).
};

/// Called from the loop only, not from within a call to the publisher; each may destroy it.
struct publisher_events {
	/// The broker accepted us.
	void (*connected)(void *ctx);
	/// A connection was lost or refused, or could not be made. `why` is a sentence; the next
	/// attempt is in `retry_ms`. Called for each failed attempt.
	void (*disconnected)(void *ctx, const char *why, uint64_t retry_ms);
	/// The broker refuses the topic, by ending the connection again and again: its messages
	/// wait, and are tried again in `retry_ms`. May be NULL.
	void (*set_aside)(void *ctx, const char *topic, uint64_t retry_ms);
	/// All that was taken is acknowledged: nothing waits any more. May be NULL.
	void (*drained)(void *ctx);
	/// The topic for the state of the connection; NULL: none.
	const char *connection_topic;
	/// Makes that message, for the publisher to free. LOST is asked for at the beginning of
	/// each attempt.
	char *(*connection_message)(void *ctx, enum publisher_connection what);
	void *ctx;
};

/// What is subscribed to at each connection. Its functions are called from the loop only, not from
/// within a call to the publisher; each may call publisher_request.
struct publisher_subscription {
	const char *const *filters; ///< At most eight; copied.
	size_t n;
	/// The broker has granted all of them: requests may be sent.
	void (*subscribed)(void *ctx);
	/// After that, the connection was lost: with it go the requests and their replies.
	void (*lost)(void *ctx);
	/// A message, whether one of the filters has its topic or not. Borrowed. A payload over
	/// LIMIT_MQTT_PAYLOAD has no text: `p` is NULL.
	void (*received)(void *ctx, const char *topic, struct lm_str payload);
	void *ctx;
};

/// Opens the outbox in `directory` and begins to connect. `settings` and `events` are copied.
/// LM_E_INVALID: the settings cannot work (the message names the key of the host file); as
/// outbox_open.
lm_rc publisher_create(struct loop *loop, const struct mqtt_settings *settings,
	const char *directory, const struct publisher_events *events, struct publisher **ret,
	struct lm_err *err);
/// Tries to connect now, rather than when the next attempt is due. Does nothing while connected.
void publisher_hasten(struct publisher *p);
/// Subscribes, at each connection from now on. Once, right after publisher_create. A broker that
/// refuses a filter, or ends the connection at one or at a request, is asked again later, as with a
/// topic that is set aside; all else goes on meanwhile.
void publisher_subscribe(struct publisher *p, const struct publisher_subscription *s);
/// Sends a message at QoS 1 that is worth something on this connection only: it is never on disk.
/// LM_E_NETWORK: nothing is subscribed to. LM_E_TOO_LARGE: too many of them wait. LM_E_INVALID: as
/// publisher_send.
lm_rc publisher_request(
	struct publisher *p, const char *topic, struct lm_str payload, struct lm_err *err);
/// Whoever awaits a reply in vain, and cannot wait for the next ping, calls this: if the broker has
/// acknowledged nothing of what was sent for `silent_ms`, the connection counts as dead, and
/// another one is made at once. Does nothing if all is acknowledged.
void publisher_doubt(struct publisher *p, uint64_t silent_ms);
/// Before publisher_destroy: publishes ENDED once all that waits has been sent. `drained` is called
/// when the broker has acknowledged that too.
void publisher_end(struct publisher *p);
/// Disconnects from the broker, and closes the outbox; what waits is sent after the next start.
/// Takes NULL.
void publisher_destroy(struct publisher *p);
LM_DEFINE_CLEANUP(struct publisher, publisher_destroy)

/// Takes a message, as outbox_add, whose errors it returns; when it returns LM_OK a status message
/// is safely on disk. An event for which nothing has to wait is sent first and is on disk then; if
/// the disk refuses an event, it is held as by publisher_hold. LM_E_INVALID also for a topic that
/// no broker takes.
lm_rc publisher_send(struct publisher *p, enum outbox_class class, const char *topic,
	struct lm_str payload, struct lm_err *err);
/// The same, unless a message of that key was taken before: for a message that the caller gives
/// again as long as not all brokers have taken it. The key, of printable characters, is kept over a
/// restart, until publisher_forget_taken.
lm_rc publisher_send_once(struct publisher *p, const char *key, enum outbox_class class,
	const char *topic, struct lm_str payload, struct lm_err *err);
/// No message will be given again.
void publisher_forget_taken(struct publisher *p);
/// As publisher_send for a message that the caller could not give again: if the disk refuses it, it
/// is held in memory, within the bounds of the outbox, and saved once the disk takes it, if it is
/// not acknowledged before. There is no error of the disk.
lm_rc publisher_hold(struct publisher *p, enum outbox_class class, const char *topic,
	struct lm_str payload, struct lm_err *err);
/// Puts on disk all that is held. publisher_destroy does it too, and ignores errors. As
/// lm_file_replace: the disk refused it; what is held is lost with the publisher.
lm_rc publisher_save(struct publisher *p, struct lm_err *err);

/// "127.0.0.1:1883" or the socket's path. Borrowed.
const char *publisher_name(const struct publisher *p);
bool publisher_is_connected(const struct publisher *p);
/// The topics that the broker refuses, by number from 0 on; NULL: no more. Borrowed.
const char *publisher_set_aside(const struct publisher *p, size_t i);
/// Messages of that class go to `topic` from now on, those that wait too; NULL: they are dropped.
void publisher_redirect(struct publisher *p, enum outbox_class class, const char *topic);
/// Whether nothing waits but for what the broker refuses, nor is anything sent and not
/// acknowledged.
bool publisher_is_drained(const struct publisher *p);
/// Why there is no connection; "" while there is one or before the first attempt ended. Borrowed.
const char *publisher_fault(const struct publisher *p);
struct outbox_counts publisher_counts(const struct publisher *p);
