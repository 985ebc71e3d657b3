// SPDX-License-Identifier: Apache-2.0
#include "mqtt/subscription.h"

#include "base/limits.h"
#include "base/memory.h"
#include "mqtt/client.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct subscription {
	char *filters[MQTT_CLIENT_FILTERS];
	size_t filters_n;
	struct subscription_message waiting[SUBSCRIPTION_WAITING];
	size_t waiting_n;
	struct subscription_message received[SUBSCRIPTION_RECEIVED];
	size_t received_n;
};

void subscription_message_finish(struct subscription_message *m)
{
	free(m->topic);
	free(m->payload);
	*m = (struct subscription_message){0};
}

struct subscription *subscription_create(const char *const *filters, size_t n)
{
	struct subscription *s = lm_xcalloc(1, sizeof(*s));

	assert(n > 0 && n <= MQTT_CLIENT_FILTERS);
	for (size_t i = 0; i < n; i++)
		s->filters[s->filters_n++] = lm_xstrdup(filters[i]);
	return s;
}

void subscription_reset(struct subscription *s)
{
	while (s->waiting_n > 0)
		subscription_message_finish(&s->waiting[--s->waiting_n]);
	while (s->received_n > 0)
		subscription_message_finish(&s->received[--s->received_n]);
}

void subscription_destroy(struct subscription *s)
{
	if (!s)
		return;
	subscription_reset(s);
	for (size_t i = 0; i < s->filters_n; i++)
		free(s->filters[i]);
	free(s);
}

const char *const *subscription_filters(const struct subscription *s, size_t *ret_n)
{
	*ret_n = s->filters_n;
	return (const char *const *)s->filters;
}

static struct subscription_message copy_message(const char *topic, struct lm_str payload)
{
	bool fits = payload.n <= LIMIT_MQTT_PAYLOAD;

	return (struct subscription_message){.topic = lm_xstrdup(topic),
		.payload = fits ? lm_xmemdup0(payload.p, payload.n) : NULL,
		.n = payload.n};
}

static bool take_oldest(
	struct subscription_message *items, size_t *n, struct subscription_message *ret)
{
	if (*n == 0)
		return false;
	*ret = items[0];
	memmove(items, items + 1, --*n * sizeof(*items));
	return true;
}

bool subscription_add_request(struct subscription *s, const char *topic, struct lm_str payload)
{
	if (s->waiting_n == SUBSCRIPTION_WAITING)
		return false;
	s->waiting[s->waiting_n++] = copy_message(topic, payload);
	return true;
}

bool subscription_take_request(struct subscription *s, struct subscription_message *ret)
{
	return take_oldest(s->waiting, &s->waiting_n, ret);
}

bool subscription_has_request(const struct subscription *s)
{
	return s->waiting_n > 0;
}

void subscription_add_received(struct subscription *s, const char *topic, struct lm_str payload)
{
	if (s->received_n < SUBSCRIPTION_RECEIVED && strlen(topic) <= LIMIT_MQTT_TOPIC)
		s->received[s->received_n++] = copy_message(topic, payload);
}

bool subscription_take_received(struct subscription *s, struct subscription_message *ret)
{
	return take_oldest(s->received, &s->received_n, ret);
}
