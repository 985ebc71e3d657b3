// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include "base/limits.h"
#include "devices/routes.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/// Subjects are looked up as if they were topics, too: most hit something.
static void check_routes(struct routes *r)
{
	const struct router_table *t = routes_table(r);

	for (size_t i = 0; i < t->subscriptions_n && i < 64; i++) {
		const struct router_subscription *s = &t->subscriptions[i];
		const struct router_endpoint *source = routes_endpoint(r, lm_str(s->source));
		const struct router_endpoint *target = routes_endpoint(r, lm_str(s->target));
		struct route_match match;
		bool has = false;

		if (!source || !target || !routes_has(r, s))
			abort();
		routes_match(r, source, lm_str(s->subject), &match);
		has = route_match_has(&match, target);
		routes_match_any(r, lm_str(s->subject), &match);
		if (has && !route_match_has(&match, target))
			abort();
	}
	for (size_t i = 0; i < routes_endpoints_n(r); i++) {
		const struct router_endpoint *e = routes_endpoint_at(r, i);

		if (routes_endpoint(r, lm_str(e->name)) != e ||
			(e->client_id && routes_client(r, lm_str(e->client_id)) != e))
			abort();
	}
}

/// What was read is written, and read again as the same.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto_router_table struct router_table t = {0}, again = {0};
	lm_auto_buf struct lm_buf first = LM_BUF(2 * LIMIT_ROUTER_TABLE),
				  second = LM_BUF(2 * LIMIT_ROUTER_TABLE);
	struct lm_err err = {0};

	if (router_table_read((struct lm_str){(const char *)data, size}, &t, &err) != LM_OK) {
		if (!err.msg[0] || t.devices || t.subscriptions)
			abort();
		return 0;
	}
	lm_auto_json json_t *written = router_table_to_json(&t);
	if (!json_write(written, &first) ||
		router_table_read(lm_buf_str(&first), &again, &err) != LM_OK)
		abort();
	lm_auto_json json_t *rewritten = router_table_to_json(&again);
	if (!json_write(rewritten, &second) || !lm_str_eq(lm_buf_str(&first), lm_buf_str(&second)))
		abort();
	lm_auto(routes_destroy_p) struct routes *r = routes_create(&t);
	check_routes(r);
	return 0;
}
