// SPDX-License-Identifier: Apache-2.0
#include "broker/delivery.h"

#include "base/cleanup.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum {
	KNOWN_MESSAGES = 1024, ///< A power of two.
	KNOWN_TOPIC_MAX = 127,
};

/// Whom messages of that source on that topic are for. It stands at a place by the hash of both;
/// the next message with that place takes it.
struct delivery_known {
	const struct router_endpoint *source; ///< NULL: the place is free.
	uint64_t hash;
	struct route_match match;
	char topic[KNOWN_TOPIC_MAX + 1];
};

bool delivery_is_reserved(struct lm_str topic)
{
	static const char *const reserved[] = {"$SYS", "$CONTROL", "$share", "$lighterman"};

	if (topic.n == 0 || topic.p[0] != '$')
		return false;
	for (size_t i = 0; i < LM_ARRAY_SIZE(reserved); i++)
		if (lm_str_starts(topic, lm_str(reserved[i])))
			return true;
	return false;
}

void delivery_init(struct delivery *d, struct routes *routes)
{
	*d = (struct delivery){.routes = routes};
	// Pages that no message needs are never there.
	d->known = lm_xcalloc(KNOWN_MESSAGES, sizeof(*d->known));
	delivery_end(d);
}

void delivery_finish(struct delivery *d)
{
	free(lm_take(d->known));
}

static void forget_message(struct delivery *d)
{
	static const struct route_match nobody;

	d->topic = "";
	d->match = &nobody;
}

/// The one place where the state changes.
static void delivery_enter(struct delivery *d, enum delivery_state state, const void *publisher)
{
	d->state = state;
	d->publisher = publisher;
	forget_message(d);
}

static bool is_known(const struct delivery_known *known, const struct router_endpoint *source,
	uint64_t hash, struct lm_str topic)
{
	return topic.n <= KNOWN_TOPIC_MAX && known->hash == hash && known->source == source &&
	       memcmp(known->topic, topic.p, topic.n) == 0 && known->topic[topic.n] == '\0';
}

static void copy_topic(char *ret, struct lm_str topic)
{
	memcpy(ret, topic.p, topic.n);
	ret[topic.n] = '\0';
}

/// Returns whether it can be known from now on: what is united lasts for one message only.
static bool learn(struct delivery *d, struct delivery_known *known,
	const struct router_endpoint *source, uint64_t hash, struct lm_str topic)
{
	routes_match(d->routes, source, topic, &d->new_match);
	if (topic.n > KNOWN_TOPIC_MAX || d->new_match.united)
		return false;
	known->source = source;
	known->hash = hash;
	known->match = d->new_match;
	copy_topic(known->topic, topic);
	return true;
}

/// A topic over its ceiling has no target.
static void match_topic(
	struct delivery *d, const struct router_endpoint *source, struct lm_str topic)
{
	uint64_t hash = route_hash(topic.p, topic.n) ^ source->index;
	struct delivery_known *known = &d->known[hash & (KNOWN_MESSAGES - 1)];

	forget_message(d);
	if (topic.n > LIMIT_MQTT_TOPIC)
		return;
	if (is_known(known, source, hash, topic) || learn(d, known, source, hash, topic)) {
		d->topic = known->topic;
		d->match = &known->match;
		return;
	}
	copy_topic(d->new_topic, topic);
	d->topic = d->new_topic;
	d->match = &d->new_match;
}

bool delivery_publish(struct delivery *d, const void *publisher,
	const struct router_endpoint *source, const char *topic)
{
	struct lm_str text = lm_str(topic);

	delivery_enter(d, DELIVERY_PUBLISH, publisher);
	if (!delivery_is_reserved(text))
		match_topic(d, source, text);
	if (d->match->n > 0)
		return true;
	delivery_enter(d, DELIVERY_NOBODY, NULL);
	return false;
}

static bool is_published(const struct delivery *d, const char *topic)
{
	return d->state == DELIVERY_PUBLISH && strcmp(d->topic, topic) == 0;
}

bool delivery_is_of(const struct delivery *d, const void *publisher, const char *topic)
{
	return d->state == DELIVERY_PUBLISH && d->publisher == publisher &&
	       strcmp(d->topic, topic) == 0;
}

void delivery_connect(struct delivery *d, const void *client, bool keep)
{
	delivery_end(d);
	d->connecting = client;
	d->keep = keep;
}

bool delivery_is_waiting(const struct delivery *d, const void *client, const char *topic)
{
	return d->connecting && d->connecting == client && !is_published(d, topic);
}

void delivery_tick(struct delivery *d)
{
	delivery_enter(d, DELIVERY_OWN, NULL);
	d->connecting = NULL;
}

void delivery_disconnect(struct delivery *d)
{
	delivery_enter(d, DELIVERY_NOBODY, NULL);
}

void delivery_end(struct delivery *d)
{
	delivery_enter(d, DELIVERY_NOBODY, NULL);
	d->connecting = NULL;
}

/// Who sent it is not known any more; but no subscription was taken away since.
static bool allows_waiting(
	struct delivery *d, const struct router_endpoint *target, struct lm_str topic)
{
	struct route_match match;

	routes_match_any(d->routes, topic, &match);
	return route_match_has(&match, target);
}

static bool allows_own(struct delivery *d, const struct router_endpoint *target, const char *topic)
{
	// The same message comes once for each receiver.
	if (strcmp(d->topic, topic) != 0)
		match_topic(d, routes_endpoint(d->routes, LM_STR(ENDPOINT_SHADOWS)), lm_str(topic));
	return route_match_has(d->match, target);
}

bool delivery_allows(struct delivery *d, const void *client, const struct router_endpoint *target,
	const char *topic)
{
	if (is_published(d, topic))
		return route_match_has(d->match, target);
	if (delivery_is_reserved(lm_str(topic)))
		return false;
	if (delivery_is_waiting(d, client, topic)) {
		delivery_enter(d, DELIVERY_NOBODY, NULL);
		return d->keep && allows_waiting(d, target, lm_str(topic));
	}
	return d->state == DELIVERY_OWN && allows_own(d, target, topic);
}
