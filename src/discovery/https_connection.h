// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One HTTPS connection of a client, from its handshake to its end: one request and one answer.
/// Each part has a time limit that no client can stretch by sending a byte now and then: 10 s from
/// the connection to the end of the request's head, 10 s for taking the answer, 2 s for closing.

#include "base/buf.h"
#include "base/error.h"
#include "discovery/tls_identity.h"
#include "sys/loop.h"

struct https_connection;

struct https_callbacks {
	/// The head of the request has come; empty: it is over LIMIT_DISCOVERY_HEAD. Called at most
	/// once; writes the answer.
	void (*request)(void *ctx, struct lm_str head, const struct tls_client *client,
		struct lm_buf *answer);
	/// It did not come to a request, or the client did not take the answer: the reason, for the
	/// log. A client that closes the connection is not reported.
	void (*failed)(void *ctx, const char *why);
	/// The last call, at which the connection is to be destroyed.
	void (*closed)(void *ctx);
	void *ctx;
};

/// Takes over `fd`, a connected socket that is non-blocking, also after an error. `identity` may go
/// before the connection does. LM_E_SYS.
lm_rc https_connection_create(struct loop *loop, struct ssl_ctx_st *identity, int fd,
	const struct https_callbacks *callbacks, struct https_connection **ret, struct lm_err *err);
/// Closes it at once, without a callback. Takes NULL.
void https_connection_destroy(struct https_connection *c);
