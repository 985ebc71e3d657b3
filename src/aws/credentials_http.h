// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Shared by the sources of credentials that are asked over HTTP.

#include "aws/credentials_priv.h"
#include "http/https.h"
#include "http/pair.h"

#include <stddef.h>

enum { CREDENTIALS_QUERY_MAX = 8 };

/// An address, taken apart.
struct credentials_address {
	char *origin; ///< "http://host:port".
	struct lm_str
		host; ///< Without the port, "[::1]" without its brackets; points into `origin`.
	bool plain_http;
	char *path;                                    ///< Not encoded; "/" at least.
	struct http_pair query[CREDENTIALS_QUERY_MAX]; ///< Not encoded; points into `query_text`.
	size_t query_n;
	char *query_text;
};

/// LM_E_INVALID: it is no http:// or https:// address; `variable` is where it stands.
lm_rc credentials_parse_address(const char *variable, struct lm_str url,
	struct credentials_address *ret, struct lm_err *err);
void credentials_address_finish(struct credentials_address *a);
#define lm_auto_address lm_auto(credentials_address_finish)

/// A request with its headers, which may be secret. Of `request` method, origin, path, query and
/// what else differs from the usual; limits that are 0 there are the settings'.
struct credentials_request {
	struct https_request request;
	const struct http_pair *headers;
	size_t headers_n;
};

/// Sends a request and waits for its answer, of whatever status; the caller finishes it.
lm_rc credentials_fetch(const struct credentials_context *c, const struct credentials_request *r,
	struct https_answer *ret, struct lm_err *err);

/// How a source names what it answers.
struct credentials_names {
	const char *object; ///< The member that holds the others; NULL: the document itself.
	const char *id, *secret, *token, *expiration;
	bool needs_token;
	int version;        ///< Of the document, in its member "Version"; 0: it has none.
	const char *source; ///< As in struct aws_credentials.
};

/// Reads a document that holds credentials. `server_ms`: its sender's time; 0: unknown, ours is
/// taken. LM_E_PROTOCOL: it is not what it should be; the message is short and has nothing of its
/// content.
lm_rc credentials_parse(struct lm_str text, const struct credentials_names *names,
	int64_t server_ms, struct aws_credentials *ret, struct lm_err *err);
/// A time as AWS writes it, "2018-01-18T09:18:06Z" or with an offset; 0 if it is anything else.
int64_t credentials_parse_time_ms(struct lm_str s);
/// Notes when credentials expire by the clock of their source (`server_ms`; 0: by ours).
void credentials_set_expiry(struct aws_credentials *c, int64_t expires_ms, int64_t server_ms);

/// Reads an answer of 200. LM_E_PROTOCOL: it is not what it should be; the message has nothing of
/// its content. `host` is for messages.
lm_rc credentials_parse_answer(const struct https_answer *answer,
	const struct credentials_names *names, struct lm_str host, struct aws_credentials *ret,
	struct lm_err *err);

enum { CREDENTIALS_MESSAGE_SIZE = 2 + 4 * 160 + 32 };
/// ": " and the "message" of an error document, made readable; "" without one. Returns `out`.
const char *credentials_error_message(
	const struct https_answer *answer, char out[CREDENTIALS_MESSAGE_SIZE]);
