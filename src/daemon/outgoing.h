// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What goes out over MQTT: one publisher with its own outbox for each broker of the host file, as
/// every broker gets every message. Logs connections made and lost, once each.

#include "base/cleanup.h"
#include "base/error.h"
#include "config/host_file.h"
#include "daemon/metrics.h"
#include "mqtt/publisher.h"
#include "sys/json.h"
#include "sys/loop.h"

#include <stdbool.h>

struct outgoing;

/// Outboxes are `<stateDirectory>/outbox/<broker>/`; one of a broker that the host file no longer
/// names is removed, with a warning if messages were in it. As publisher_create. `host` is
/// borrowed.
lm_rc outgoing_create(struct loop *loop, const struct host_settings *host, struct outgoing **ret,
	struct lm_err *err);
/// Logs if messages are lost as the disk refuses them to the last. Takes NULL.
void outgoing_destroy(struct outgoing *o);
LM_DEFINE_CLEANUP(struct outgoing, outgoing_destroy)

/// Calls `changed` from now on, from the loop, when a connection was made or lost, or a broker has
/// taken all that waited for it.
void outgoing_watch(struct outgoing *o, loop_cb *changed, void *ctx);

/// Takes a message for every broker, for the topic that its class has there; a broker for which the
/// host file switches it off gets none. If one cannot take it (disk full) the others still get it,
/// and the first error is returned: giving it again sends it twice to those.
lm_rc outgoing_send(
	struct outgoing *o, enum outbox_class class, struct lm_str payload, struct lm_err *err);

/// The same for a status message that is given again until every broker has taken it: those that
/// have taken one of that key do not get it again, also over a restart. A broker that could not
/// take one gets no later ones until outgoing_send_again, so that they come in their order.
lm_rc outgoing_send_once(
	struct outgoing *o, const char *key, struct lm_str payload, struct lm_err *err);
/// All that some broker could not take is given again from now on, the oldest first.
void outgoing_send_again(struct outgoing *o);
/// Every broker has taken all such messages.
void outgoing_forget_taken(struct outgoing *o);

/// The same, as publisher_hold.
lm_rc outgoing_hold(
	struct outgoing *o, enum outbox_class class, struct lm_str payload, struct lm_err *err);

/// For the end: tells of it, and calls `done` once nothing waits at any broker that is connected,
/// or after `limit_ms`.
void outgoing_drain(struct outgoing *o, uint64_t limit_ms, loop_cb *done, void *ctx);

/// [{"name","connected","waiting","error","refused_topics"},…]; a new reference.
json_t *outgoing_to_json(const struct outgoing *o);
/// What of each broker metrics tell. Returns how many; the caller frees the array, the names are
/// borrowed.
size_t outgoing_measure(const struct outgoing *o, struct metrics_broker **ret);
