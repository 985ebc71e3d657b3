// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The MQTT brokers of the host file: one publisher with its own outbox for each, as every broker
/// gets every message. Logs connections made and lost, once each.

#include "base/cleanup.h"
#include "base/error.h"
#include "config/host_file.h"
#include "daemon/metrics.h"
#include "mqtt/publisher.h"
#include "sys/json.h"
#include "sys/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct mqtt_brokers;

enum { MQTT_BROKERS_ID_SIZE = 33 };
/// The socket of the client devices' broker, below the runtime directory.
#define MQTT_BROKERS_LOCAL "devices/broker.sock"

/// Outboxes are `<stateDirectory>/outbox/<broker>/`; one of a broker that the host file no longer
/// names is removed, with a warning if messages were in it. As publisher_create. `host` is
/// borrowed.
lm_rc mqtt_brokers_create(struct loop *loop, const struct host_settings *host,
	struct mqtt_brokers **ret, struct lm_err *err);
/// Logs if messages are lost as the disk refuses them to the last. Takes NULL.
void mqtt_brokers_destroy(struct mqtt_brokers *brokers);
LM_DEFINE_CLEANUP(struct mqtt_brokers, mqtt_brokers_destroy)

/// Adds a broker of this device itself, or another one in its place, or, with NULL, takes it away:
/// what waits for it then waits for its return. Does nothing if it is there already, or is one of
/// the host file. Borrowed until it is taken away. It is logged if it cannot be used.
void mqtt_brokers_set_local(struct mqtt_brokers *brokers, const struct host_broker *local);

/// The local broker is up: if there is no connection to it, one is tried now.
void mqtt_brokers_hasten_local(struct mqtt_brokers *brokers);

/// It does not come back: drops what waits for it. Not while it is there.
void mqtt_brokers_forget_local(struct mqtt_brokers *brokers);

/// Calls `changed` from now on, from the loop, when a connection was made or lost, or a broker has
/// taken all that waited for it.
void mqtt_brokers_watch(struct mqtt_brokers *brokers, loop_cb *changed, void *ctx);

/// Takes a message for every broker, for the topic that its class has there; a broker for which the
/// host file switches it off gets none. If one cannot take it (disk full) the others still get it,
/// and the first error is returned: giving it again sends it twice to those.
lm_rc mqtt_brokers_send(struct mqtt_brokers *brokers, enum outbox_class class,
	struct lm_str payload, struct lm_err *err);

/// The same for a status message that is given again until every broker has taken it: those that
/// have taken one of that key do not get it again, also over a restart. A broker that could not
/// take one gets no later ones until mqtt_brokers_send_again, so that they come in their order.
lm_rc mqtt_brokers_send_once(
	struct mqtt_brokers *brokers, const char *key, struct lm_str payload, struct lm_err *err);
/// All that some broker could not take is given again from now on, the oldest first.
void mqtt_brokers_send_again(struct mqtt_brokers *brokers);
/// Every broker has taken all such messages.
void mqtt_brokers_forget_taken(struct mqtt_brokers *brokers);

/// The same, as publisher_hold.
lm_rc mqtt_brokers_hold(struct mqtt_brokers *brokers, enum outbox_class class,
	struct lm_str payload, struct lm_err *err);

/// At exit: announces it, and calls `done` once no message waits for a connected broker, or after
/// `limit_ms`.
void mqtt_brokers_drain(struct mqtt_brokers *brokers, uint64_t limit_ms, loop_cb *done, void *ctx);

/// The broker of the host file that has the jobs of AWS IoT Jobs; NULL: none has. Borrowed.
struct publisher *mqtt_brokers_of_jobs(const struct mqtt_brokers *brokers);

/// [{"name","connected","waiting","error","refused_topics"},…]; a new reference.
json_t *mqtt_brokers_to_json(const struct mqtt_brokers *brokers);
/// The metrics of each broker. Returns how many; the caller frees the array, the names are
/// borrowed.
size_t mqtt_brokers_measure(const struct mqtt_brokers *brokers, struct metrics_broker **ret);

/// A new random id, by which a receiver recognizes a message that came twice. Returns `out`.
char *mqtt_brokers_make_id(char out[MQTT_BROKERS_ID_SIZE]);
