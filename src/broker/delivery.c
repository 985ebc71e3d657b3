// SPDX-License-Identifier: Apache-2.0
#include "broker/delivery.h"

#include "base/cleanup.h"

#include <string.h>

const char *delivery_state_name(enum delivery_state state)
{
	static const char *const names[] = {
		[DELIVERY_NOBODY] = "nobody",
		[DELIVERY_PUBLISH] = "publish",
		[DELIVERY_OWN] = "own",
	};

	return names[state];
}

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
}

/// The one place where the state changes.
static void delivery_enter(struct delivery *d, enum delivery_state state, const void *publisher)
{
	d->state = state;
	d->publisher = publisher;
	d->topic[0] = '\0';
	d->match = (struct route_match){0};
}

/// A topic over its ceiling has no target.
static void match_topic(
	struct delivery *d, const struct router_endpoint *source, struct lm_str topic)
{
	d->topic[0] = '\0';
	d->match = (struct route_match){0};
	if (topic.n > LIMIT_MQTT_TOPIC)
		return;
	memcpy(d->topic, topic.p, topic.n);
	d->topic[topic.n] = '\0';
	routes_match(d->routes, source, topic, &d->match);
}

bool delivery_publish(struct delivery *d, const void *publisher,
	const struct router_endpoint *source, const char *topic)
{
	delivery_enter(d, DELIVERY_PUBLISH, publisher);
	if (!delivery_is_reserved(lm_str(topic)))
		match_topic(d, source, lm_str(topic));
	if (d->match.n > 0)
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
	return route_match_has(&d->match, target);
}

bool delivery_allows(struct delivery *d, const void *client, const struct router_endpoint *target,
	const char *topic)
{
	if (is_published(d, topic))
		return route_match_has(&d->match, target);
	if (delivery_is_reserved(lm_str(topic)))
		return false;
	if (delivery_is_waiting(d, client, topic)) {
		delivery_enter(d, DELIVERY_NOBODY, NULL);
		return d->keep && allows_waiting(d, target, lm_str(topic));
	}
	return d->state == DELIVERY_OWN && allows_own(d, target, topic);
}
