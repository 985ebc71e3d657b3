// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The clients of the local broker that have shown who they are, and what they sent.
///
/// A client of mosquitto is a token here, which is only compared: mosquitto frees it without a
/// word. Its client ID is what counts: nobody has it who has not shown that it is theirs.

#include "base/encoding.h"
#include "broker/identity.h"
#include "devices/routes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct local_client {
	char *id;
	const struct router_endpoint *endpoint; ///< NULL: it is in the table no more.
	const void *token;                      ///< NULL: it is not connected.
	char certificate[LM_SHA256_HEX + 1];    ///< Empty: none.
	bool local;
	/// Since it connected, subscriptions that had it as target were taken away: what still
	/// waits for it may be of them.
	bool revoked;
	/// By another table it may not be this client any more. It is disconnected, and no will
	/// that it left is published.
	bool barred;
	bool stuck; ///< Of what waited for it something was dropped: see local_clients_take_stuck.
	int64_t since_ms; ///< When it connected, or went away.
	uint64_t routed, refused;
};

struct local_clients;

struct local_clients *local_clients_create(const struct routes *routes);
void local_clients_destroy(struct local_clients *c);

/// Which endpoint the client with that token and ID is, or NULL.
const struct router_endpoint *local_clients_identify(
	struct local_clients *c, const void *token, const char *client_id);
/// The endpoint's client; NULL: there was none since the broker started.
struct local_client *local_clients_of(
	struct local_clients *c, const struct router_endpoint *endpoint);
/// It has shown who it is. One with the same ID that is connected is replaced. `*ret_keep`:
/// whether everything that waits for it was sent to it by subscriptions that there still are.
struct local_client *local_clients_connect(struct local_clients *c,
	const struct router_endpoint *endpoint, const void *token, const struct identity *shown,
	int64_t now_ms, bool *ret_keep);
/// False: it was not connected, or another one has its ID now.
bool local_clients_disconnect(
	struct local_clients *c, const void *token, const char *client_id, int64_t now_ms);
/// Whether it is the client that is connected with that endpoint's ID, and may be.
bool local_clients_is_connected(
	const struct local_clients *c, const struct router_endpoint *endpoint, const void *token);
/// Another table counts; `old` is still there. Calls `refuse` with the ID of each connected client
/// that may not be one any more; it may call local_clients_disconnect.
void local_clients_set_routes(struct local_clients *c, const struct routes *routes,
	void (*refuse)(void *ctx, const char *client_id, const char *why), void *ctx);
/// A client that is connected and stuck, or NULL; it is not any more.
struct local_client *local_clients_take_stuck(struct local_clients *c);
/// By number, up to NULL.
const struct local_client *local_clients_at(const struct local_clients *c, size_t i);
