// SPDX-License-Identifier: Apache-2.0
#include "broker/local_clients.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

/// A hint at which endpoint a client is: true only if the client ID is the endpoint's.
struct client_hint {
	const void *token;
	const struct router_endpoint *endpoint;
};

struct local_clients {
	const struct routes *routes;
	struct local_client **list; ///< Not more than endpoints, but those that go with a reload.
	size_t n, size;
	struct local_client **by_endpoint; ///< By the endpoint's index.
	struct client_hint *hints;
	size_t hints_n; ///< A power of two.
};

static void index_clients(struct local_clients *c, const struct routes *routes)
{
	size_t n = routes_endpoints_n(routes);

	free(c->by_endpoint);
	free(c->hints);
	c->routes = routes;
	c->by_endpoint = lm_xcalloc(n, sizeof(struct local_client *));
	for (c->hints_n = 64; c->hints_n < 4 * n;)
		c->hints_n *= 2;
	c->hints = lm_xcalloc(c->hints_n, sizeof(*c->hints));
	for (size_t i = 0; i < c->n; i++) {
		struct local_client *client = c->list[i];

		client->endpoint = routes_client(routes, lm_str(client->id));
		if (client->endpoint)
			c->by_endpoint[client->endpoint->index] = client;
	}
}

struct local_clients *local_clients_create(const struct routes *routes)
{
	struct local_clients *c = lm_xcalloc(1, sizeof(*c));

	index_clients(c, routes);
	return c;
}

static void free_local_client(struct local_client *client)
{
	free(client->id);
	free(client);
}

void local_clients_destroy(struct local_clients *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++)
		free_local_client(c->list[i]);
	free(c->list);
	free(c->by_endpoint);
	free(c->hints);
	free(c);
}

const struct router_endpoint *local_clients_identify(
	struct local_clients *c, const void *token, const char *client_id)
{
	uint64_t mixed = (uint64_t)(uintptr_t)token * 0x9e3779b97f4a7c15u >> 32;
	struct client_hint *hint = &c->hints[mixed & (c->hints_n - 1)];

	if (!client_id)
		return NULL;
	if (hint->token == token && strcmp(hint->endpoint->client_id, client_id) == 0)
		return hint->endpoint;
	const struct router_endpoint *endpoint = routes_client(c->routes, lm_str(client_id));
	if (endpoint)
		*hint = (struct client_hint){token, endpoint};
	return endpoint;
}

struct local_client *local_clients_of(
	struct local_clients *c, const struct router_endpoint *endpoint)
{
	return c->by_endpoint[endpoint->index];
}

static struct local_client *add_local_client(
	struct local_clients *c, const struct router_endpoint *endpoint)
{
	struct local_client *client = lm_xcalloc(1, sizeof(*client));

	if (c->n == c->size) {
		c->size = c->size ? 2 * c->size : 16;
		c->list = lm_xrealloc(c->list, c->size * sizeof(struct local_client *));
	}
	c->list[c->n++] = client;
	client->id = lm_xstrdup(endpoint->client_id);
	client->endpoint = endpoint;
	c->by_endpoint[endpoint->index] = client;
	return client;
}

struct local_client *local_clients_connect(struct local_clients *c,
	const struct router_endpoint *endpoint, const void *token, const struct identity *shown,
	int64_t now_ms, bool *ret_keep)
{
	struct local_client *client = local_clients_of(c, endpoint);

	*ret_keep = client && !client->revoked;
	if (!client)
		client = add_local_client(c, endpoint);
	client->token = token;
	client->local = shown->local;
	client->revoked = false;
	client->barred = false;
	client->stuck = false;
	client->since_ms = now_ms;
	client->certificate[0] = '\0';
	if (shown->certificate)
		memcpy(client->certificate, shown->certificate, LM_SHA256_HEX + 1);
	return client;
}

bool local_clients_disconnect(
	struct local_clients *c, const void *token, const char *client_id, int64_t now_ms)
{
	const struct router_endpoint *endpoint = local_clients_identify(c, token, client_id);
	struct local_client *client = endpoint ? local_clients_of(c, endpoint) : NULL;

	// One that the table has no more has no endpoint.
	for (size_t i = 0; !client && client_id && i < c->n; i++)
		if (!c->list[i]->endpoint && strcmp(c->list[i]->id, client_id) == 0)
			client = c->list[i];
	if (!client || client->token != token)
		return false;
	client->token = NULL;
	client->since_ms = now_ms;
	return true;
}

bool local_clients_is_connected(
	const struct local_clients *c, const struct router_endpoint *endpoint, const void *token)
{
	const struct local_client *client = c->by_endpoint[endpoint->index];

	return client && client->token == token && !client->barred;
}

/// Marks the targets of subscriptions that `now` has no more.
static void mark_revoked(struct local_clients *c, const struct routes *now)
{
	const struct router_table *old = routes_table(c->routes);

	for (size_t i = 0; i < old->subscriptions_n; i++) {
		const struct router_subscription *s = &old->subscriptions[i];
		struct local_client *client =
			c->by_endpoint[routes_endpoint(c->routes, lm_str(s->target))->index];

		if (client && !client->revoked && !routes_has(now, s))
			client->revoked = true;
	}
}

/// Why it may not stay, or NULL. Its password was right; a new one is for the next time.
static const char *why_not(const struct local_clients *c, const struct local_client *client)
{
	struct identity shown = {
		.client_id = client->id,
		.certificate = client->certificate[0] ? client->certificate : NULL,
		.local = client->local,
	};
	const char *why = NULL;

	if (client->endpoint && client->endpoint->kind == ROUTER_ENDPOINT_CONNECTOR)
		return NULL;
	(void)identity_check(c->routes, &shown, &why);
	return why;
}

static void forget_gone_clients(struct local_clients *c)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->n; i++) {
		if (c->list[i]->endpoint || c->list[i]->token)
			c->list[kept++] = c->list[i];
		else
			free_local_client(c->list[i]);
	}
	c->n = kept;
}

void local_clients_set_routes(struct local_clients *c, const struct routes *routes,
	void (*refuse)(void *ctx, const char *client_id, const char *why), void *ctx)
{
	mark_revoked(c, routes);
	index_clients(c, routes);
	for (size_t i = 0; i < c->n; i++) {
		const char *why = why_not(c, c->list[i]);

		c->list[i]->barred = why != NULL;
		if (why && c->list[i]->token)
			refuse(ctx, c->list[i]->id, why);
	}
	forget_gone_clients(c);
}

struct local_client *local_clients_take_stuck(struct local_clients *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->list[i]->stuck && c->list[i]->token) {
			c->list[i]->stuck = false;
			return c->list[i];
		}
	return NULL;
}

const struct local_client *local_clients_at(const struct local_clients *c, size_t i)
{
	return i < c->n ? c->list[i] : NULL;
}
