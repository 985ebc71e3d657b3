// SPDX-License-Identifier: Apache-2.0
#pragma once

/// An HTTP client for the Engine API on a unix socket, for both kinds of program: a request is a
/// small state machine on a non-blocking descriptor, stepped by whoever waits for that descriptor.
///
/// Requests go out as HTTP/1.0 with "Connection: close", so that an answer is never chunked and
/// ends where the connection ends (or at Content-Length). One request a connection, no redirects.
/// An HTTP/1.1 answer with chunked encoding is LM_E_PROTOCOL.

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/secret.h"
#include "sys/wait.h"

#include <stdbool.h>

struct http_unix;

struct http_unix_request {
	const char *socket_path;
	const char *method;       ///< "GET", "POST", "DELETE", "HEAD"
	const char *target;       ///< Path and query, percent-encoded already.
	struct lm_str body;       ///< Borrowed until http_unix_destroy; no copy is made.
	const char *content_type; ///< NULL: no body.
	/// A header whose value is a secret (X-Registry-Auth); name NULL: none. Borrowed until
	/// http_unix_destroy; our own copy is wiped.
	const char *secret_header;
	const struct lm_secret *secret_value;
	/// Called for each piece of a 2xx body as it comes; LM_OK to go on. NULL: the body is
	/// collected in `body_max` bytes at most. Bodies of other answers are always collected, and
	/// cut at LIMIT_HTTP_ERROR_BODY.
	lm_rc (*on_body)(void *ctx, struct lm_str piece, struct lm_err *err);
	void *ctx;
	size_t body_max;
};

/// Connects and prepares the request.
/// LM_E_NOT_FOUND (no socket), LM_E_DENIED (no right to it), LM_E_NETWORK (nobody listens),
/// LM_E_SYS; LM_E_INVALID (a target or header value with a space or a control character).
lm_rc http_unix_create(
	const struct http_unix_request *request, struct http_unix **ret, struct lm_err *err);
void http_unix_destroy(struct http_unix *h);
int http_unix_fd(const struct http_unix *h);
/// What to wait for: POLLIN or POLLOUT.
short http_unix_events(const struct http_unix *h);
/// Does what can be done without waiting. `*ret_done` once the answer is complete.
/// LM_E_NETWORK (connection lost early), LM_E_PROTOCOL, LM_E_TOO_LARGE, or what on_body returned.
lm_rc http_unix_step(struct http_unix *h, bool *ret_done, struct lm_err *err);

/// The path of the socket, for messages. Borrowed.
const char *http_unix_peer(const struct http_unix *h);
/// 0 until the headers are complete.
int http_unix_status(const struct http_unix *h);
/// Value of a header (name without regard to case), or an empty text. Borrowed.
struct lm_str http_unix_header(const struct http_unix *h, const char *name);
/// What was collected of the body. Borrowed.
struct lm_str http_unix_body(const struct http_unix *h);

/// Steps a request to its end under `limit`, for programs that wait.
lm_rc http_unix_wait(struct http_unix *h, const struct wait_limit *limit, struct lm_err *err);
LM_DEFINE_CLEANUP(struct http_unix, http_unix_destroy)
