// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The index of a group's subscriptions: who gets what a source publishes on a topic, and which
/// client is which endpoint.
///
/// Built once from a table and then only read. A match costs a hash for each level of the topic
/// (twice where a subject has `+`), the question whether it has a target next to nothing, whatever
/// the number of subscriptions is. Pure; no thread of its own.

#include "base/str.h"
#include "devices/router_table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum router_endpoint_kind {
	ROUTER_ENDPOINT_CLOUD,
	ROUTER_ENDPOINT_SHADOW_SERVICE,
	ROUTER_ENDPOINT_DEVICE,
	ROUTER_ENDPOINT_FUNCTION,
	ROUTER_ENDPOINT_CONNECTOR,
	/// Named in a subscription, and nobody that can connect: a thing that is no device of the
	/// group, a connector that is not ours.
	ROUTER_ENDPOINT_STRANGER,
};

/// What a subscription's source or target names.
struct router_endpoint {
	uint32_t index; ///< Below routes_endpoints_n.
	enum router_endpoint_kind kind;
	const char *name;      ///< As in subscriptions; the table's.
	const char *client_id; ///< NULL: it is no client of the broker.
	char *const *certificates;
	size_t certificates_n;
};

struct routes;
struct route_targets;

enum { ROUTE_MATCH_SETS = 8 };

/// The targets of one message. Valid as long as the `routes`; if they are `united`, until the next
/// match.
struct route_match {
	const struct route_targets *sets[ROUTE_MATCH_SETS];
	size_t n;               ///< 0: it has no target.
	const uint64_t *united; ///< Instead of `sets`, if subjects of more sets match.
};

/// Takes over the table, whatever it is, and leaves it empty.
struct routes *routes_create(struct router_table *table);
void routes_destroy(struct routes *r);
LM_DEFINE_CLEANUP(struct routes, routes_destroy)

/// Of any text, eight bytes at a time: quick enough for every message. No defence against texts
/// that were made to collide.
uint64_t route_hash(const char *p, size_t n);

const struct router_table *routes_table(const struct routes *r);
size_t routes_endpoints_n(const struct routes *r);
const struct router_endpoint *routes_endpoint_at(const struct routes *r, size_t index);
/// By the name that subscriptions have for it, or NULL.
const struct router_endpoint *routes_endpoint(const struct routes *r, struct lm_str name);
/// The endpoint with that client ID, or NULL: nobody may connect with it.
const struct router_endpoint *routes_client(const struct routes *r, struct lm_str client_id);

/// Whether it has a subscription of that source, subject and target.
bool routes_has(const struct routes *r, const struct router_subscription *subscription);

/// Whom a message from `source` on `topic`, a valid name, is for.
void routes_match(struct routes *r, const struct router_endpoint *source, struct lm_str topic,
	struct route_match *ret);
/// As routes_match, of all sources together.
void routes_match_any(struct routes *r, struct lm_str topic, struct route_match *ret);
bool route_match_has(const struct route_match *match, const struct router_endpoint *target);
