// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The sources of AWS credentials, one function each: the environment, a credential_process, the
/// container endpoint, the EC2 instance metadata service (version 2), and the AWS IoT credentials
/// provider; and the requests of those that are asked over HTTP.

#include "aws/credentials.h"
#include "aws/shared_config.h"
#include "http/https.h"
#include "sys/wait.h"

#include <stdbool.h>
#include <stddef.h>

struct credentials_context {
	struct https *https;
	const struct credentials_settings *settings;
	const struct wait_limit *limit;
	const struct shared_config *config;
	const char *region; ///< For STS; NULL: not configured.
};

/// A source. LM_E_NOT_FOUND: it has none, and the next one is to be asked; the message is short and
/// gives the reason ("AWS_ACCESS_KEY_ID is not set"). Any other failure ends the search. `err` is
/// never NULL.
typedef lm_rc credentials_source(
	const struct credentials_context *c, struct aws_credentials *ret, struct lm_err *err);

credentials_source credentials_from_environment;
credentials_source credentials_from_container;
credentials_source credentials_from_imds;
/// Its LM_E_NOT_FOUND ends the search too.
credentials_source credentials_from_iot;
/// Runs the program of a credential_process, without a shell, and reads its output, of which
/// nothing gets into messages.
lm_rc credentials_from_process(const struct credentials_context *c, struct lm_str command,
	struct aws_credentials *ret, struct lm_err *err);

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

/// Reads an answer of 200. LM_E_PROTOCOL: it is not what it should be; the message has nothing of
/// its content. `host` is for messages.
lm_rc credentials_parse_answer(const struct https_answer *answer,
	const struct credentials_names *names, struct lm_str host, struct aws_credentials *ret,
	struct lm_err *err);

enum { CREDENTIALS_MESSAGE_SIZE = 2 + 4 * 160 + 32 };
/// ": " and the "message" of an error document, made readable; "" without one. Returns `out`.
const char *credentials_error_message(
	const struct https_answer *answer, char out[CREDENTIALS_MESSAGE_SIZE]);
