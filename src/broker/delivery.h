// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Whose message mosquitto is handing out at the moment, and who may have it.
///
/// mosquitto 2.0 asks for each receiver alone, without the sender. But it does all of one message
/// before anything else, so the events between tell: a publish is checked and then handed out in
/// one call; what a plugin publishes is handed out behind the end of a turn of the loop; what
/// waited for a client is checked behind its connect. What comes in no such place nobody gets:
/// retained messages, $SYS.
///
/// Pure: clients are tokens that are only compared.

#include "base/limits.h"
#include "base/str.h"
#include "devices/routes.h"

#include <stdbool.h>
#include <stddef.h>

enum delivery_state {
	DELIVERY_NOBODY,
	DELIVERY_PUBLISH, ///< Of a client, a will, or a message that a bridge received.
	DELIVERY_OWN,     ///< What the plugin published, in the name of GGShadowService.
};

struct delivery_known;

struct delivery {
	struct routes *routes;
	struct delivery_known *known; ///< What was found for the messages before: devices repeat.
	enum delivery_state state;
	const void *publisher;
	const char *topic; ///< Empty: `match` is not computed.
	const struct route_match *match;
	char new_topic[LIMIT_MQTT_TOPIC + 1]; ///< Of a message of which nothing is known.
	struct route_match new_match;
	const void *connecting; ///< The client whose waiting messages are looked at.
	bool keep;              ///< Whether it may have them.
};

/// `routes` are borrowed.
void delivery_init(struct delivery *d, struct routes *routes);
void delivery_finish(struct delivery *d);
/// `source` publishes, whose client is `publisher`. False: nobody is to get it; it must be refused.
bool delivery_publish(struct delivery *d, const void *publisher,
	const struct router_endpoint *source, const char *topic);
/// Whether that is what `publisher` publishes at the moment.
bool delivery_is_of(const struct delivery *d, const void *publisher, const char *topic);
/// Messages that waited for `client`, which has shown who it is, are looked at. `keep`: all
/// subscriptions that sent it something are still there.
void delivery_connect(struct delivery *d, const void *client, bool keep);
/// Whether messages that waited for `client` are looked at, and not what somebody publishes on that
/// topic.
bool delivery_is_waiting(const struct delivery *d, const void *client, const char *topic);
/// What comes next is the plugin's own.
void delivery_tick(struct delivery *d);
/// A client went away; maybe as the one that connects takes its place.
void delivery_disconnect(struct delivery *d);
/// Something happens that hands out no message.
void delivery_end(struct delivery *d);
/// Whether `target`, whose client is `client`, may have the message that is handed out.
bool delivery_allows(struct delivery *d, const void *client, const struct router_endpoint *target,
	const char *topic);

/// Topics that belong to the broker and to Lighterman: nothing on them is delivered, and no client
/// subscribes to any: $SYS, $CONTROL, $share, $lighterman.
bool delivery_is_reserved(struct lm_str topic);
