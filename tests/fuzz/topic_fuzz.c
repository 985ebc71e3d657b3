// SPDX-License-Identifier: Apache-2.0
#include "config/topic.h"

#include "base/memory.h"
#include "broker/delivery.h"
#include "devices/routes.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/// A table with the subjects of the lines but the last: each from the same source, to a target of
/// its own.
static struct routes *read_subjects(struct lm_str *text)
{
	struct router_table t = {0};
	const char *why = NULL;

	t.subscriptions = lm_xcalloc(64, sizeof(*t.subscriptions));
	while (lm_str_find(*text, '\n') < text->n && t.subscriptions_n < 64) {
		struct lm_str subject = lm_str_cut(text, '\n');
		struct router_subscription *s = &t.subscriptions[t.subscriptions_n];

		if (!topic_is_filter(subject, &why))
			continue;
		*s = (struct router_subscription){lm_xstrdup("cloud"),
			lm_xmemdup0(subject.p, subject.n),
			lm_xasprintf("arn:%zu", t.subscriptions_n)};
		t.subscriptions_n++;
	}
	return routes_create(&t);
}

/// The last line is a topic. The index routes it as a comparison with each subject does, and so
/// does what decides about delivery.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lm_str topic = {(const char *)data, size};
	lm_auto(routes_destroy_p) struct routes *r = read_subjects(&topic);
	const struct router_table *t = routes_table(r);
	const struct router_endpoint *cloud = routes_endpoint(r, LM_STR("cloud"));
	struct route_match match;
	struct delivery d;
	bool any = false;

	if (!topic_is_name(topic, NULL))
		return 0;
	lm_auto_free char *text = lm_xmemdup0(topic.p, topic.n);
	routes_match(r, cloud, topic, &match);
	for (size_t i = 0; i < t->subscriptions_n; i++) {
		bool expected = topic_matches(lm_str(t->subscriptions[i].subject), topic);

		any |= expected;
		if (route_match_has(&match,
			    routes_endpoint(r, lm_str(t->subscriptions[i].target))) != expected)
			abort();
	}
	any = any && !delivery_is_reserved(topic);
	delivery_init(&d, r);
	if (delivery_publish(&d, data, cloud, text) != any ||
		delivery_is_of(&d, data, text) != any || delivery_allows(&d, data, cloud, text))
		abort();
	delivery_finish(&d);
	return 0;
}
