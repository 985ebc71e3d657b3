// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What goes between the local broker and AWS IoT Core over mosquitto's bridge: messages for the
/// endpoint `cloud`, and the shadows of things that are synchronized.
///
/// The bridge takes what is published under BROKER_CLOUD_PREFIX; mosquitto keeps it while the
/// cloud is away. AWS IoT ends a connection on what it does not take, and the bridge would send it
/// again for ever: so that is refused here.
///
/// A synchronized shadow is asked for at the start, after a connection was lost, when the cloud
/// says that somebody else changed it, and once in a while one after the other. At most
/// LIMIT_CLOUD_REQUESTS wait for replies. A request that is not answered is repeated a few times,
/// then its thing pauses. While the cloud is away (a bridge was disconnected, or none of them is
/// answered) they wait in the bridge's queue, and little more is put there; when it is back
/// they are made anew. No thread of its own.

#include "base/str.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shadow_service;
struct cloud;

struct cloud_setup {
	struct shadow_service *shadows; ///< NULL: nothing is synchronized.
	/// Hands a message to the broker, with QoS 1. False: it could not be.
	bool (*publish)(void *ctx, const char *topic, struct lm_str payload);
	/// Has mosquitto write its database in its next turn.
	void (*save)(void *ctx);
	/// For the log, of what was refused or failed: "a <kind> of <who>, <what>: <why>".
	void (*report)(void *ctx, const char *kind, struct lm_str who, struct lm_str what,
		const char *why);
	void *ctx;
	/// mosquitto.db: the larger it is, the less often it is written. NULL: none is known.
	const char *database;
};

/// Copies the setup. Observes the shadow service until it is destroyed.
struct cloud *cloud_create(const struct cloud_setup *setup);
void cloud_destroy(struct cloud *c);

/// Whether there is a bridge, and the things whose shadows are synchronized. Copies the names.
void cloud_set(struct cloud *c, bool bridge, const char *const *things, size_t n);
/// Whether it is the client ID of a bridge.
bool cloud_is_bridge(const char *client_id);
/// Sends a message that subscriptions allow to reach the cloud. False: it was refused, and
/// reported.
bool cloud_forward(struct cloud *c, const char *topic, struct lm_str payload);

enum cloud_inbound {
	CLOUD_ROUTE,   ///< An ordinary message; the synchronisation has seen it.
	CLOUD_REFUSED, ///< Of a topic that no bridge brings.
};

/// A message of a bridge.
enum cloud_inbound cloud_receive(struct cloud *c, const char *topic, struct lm_str payload);
/// That client was disconnected; others than bridges are ignored.
void cloud_disconnected(struct cloud *c, const char *client_id);
/// At the end of each turn of the loop, before shadow_service_commit. Costs nothing if there is
/// nothing to do.
void cloud_tick(struct cloud *c, uint64_t now_mono_ms);

/// Member `cloud` of status.json (docs/formats.md): NULL if there is no bridge. The caller's.
json_t *cloud_status(const struct cloud *c);
/// Whether cloud_status has changed since the last call.
bool cloud_changed(struct cloud *c);
