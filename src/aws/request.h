// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Requests to AWS services: one signed request, as S3 and all others need it, and on top of it one
/// call to a service that speaks the JSON protocol (AWS JSON 1.1): a signed POST with an
/// X-Amz-Target, and a JSON object as answer. The services' own modules are the callers.

#include "aws/credentials_provider.h"
#include "aws/endpoint.h"
#include "base/error.h"
#include "http/https.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REQUEST_ACCESS_KEY_SIZE = 65 };

/// Of one request; 0: the defaults of struct https_request.
struct request_limits {
	unsigned connect_timeout_ms, timeout_ms, attempts, backoff_base_ms, backoff_max_ms;
};

/// A request that is signed afresh for each attempt, and again after a correction of clock or
/// credentials. It lasts until `http.done` of its last sending has returned.
struct signed_request {
	struct https *https;
	struct credentials_provider *credentials;
	struct https_request http; ///< All but `prepare` and `ctx`; `done` gets `ctx` below.
	https_done *done;
	void *ctx;
	const struct http_pair *headers; ///< Signed and sent.
	size_t headers_n;
	const char *body_sha256, *region, *service; ///< As in struct sigv4_request.
	int64_t clock_offset_ms;                    ///< Added to our time in signing.

	// How the last attempt was signed:
	int64_t signed_ms;
	unsigned signed_serial;
	char access_key_id[REQUEST_ACCESS_KEY_SIZE];
	const char *source; ///< Of the credentials.
	bool clock_corrected, credentials_corrected;
};

void request_set_limits(struct https_request *http, const struct request_limits *limits);
/// Hands the request to `https`; https_run carries it out.
void request_send(struct signed_request *r);
/// Signs and sends once more with the server's time. False: that is unknown (0), or was done
/// before.
bool request_correct_clock(struct signed_request *r, int64_t server_ms);
/// Signs and sends once more with other credentials. False: `code` does not mean that they have
/// expired, or there are none, or that was done before.
bool request_correct_credentials(struct signed_request *r, const char *code);

/// The error document of a JSON service: {"__type":"…#Code","message":"…"}, where the type may have
/// a namespace in front and an address behind, and Message may be written with a capital.
/// Texts are UTF-8 and cut at their size; "" if absent.
struct service_error {
	char code[64]; ///< "ResourceNotFoundException", without namespace and address.
	char message[512];
};

/// `header` is the answer's x-amzn-errortype, which counts where the body names no type.
/// Whatever the body is, `ret` is filled with what could be read.
void service_error_parse(struct lm_str body, struct lm_str header, struct service_error *ret);

/// How a call finished. Borrowed for the time of `done`.
struct service_outcome {
	lm_rc rc;
	struct lm_err err; ///< If `rc` is not LM_OK.
	/// What the service answered instead; its code is "" if it answered nothing of the kind.
	struct service_error error;
	/// What was added to our time in signing (the server's minus ours); 0: nothing.
	int64_t clock_offset_ms;
	const json_t *answer; ///< If `rc` is LM_OK: an object.
};

typedef void service_done(void *ctx, const struct service_outcome *outcome);

struct service_call {
	enum aws_service service; ///< All but AWS_S3 and AWS_STS.
	const char *region;
	const char *operation;  ///< "GetSecretValue".
	const char *subject;    ///< For messages: "secret 'arn:…'".
	const char *permission; ///< For messages: "secretsmanager:GetSecretValue on arn:…".
	const json_t *input;
	size_t answer_max;
	int64_t clock_offset_ms; ///< What an earlier call found out; 0: nothing.
	struct request_limits limits;
	service_done *done; ///< May start further calls.
	void *ctx;
};

/// Starts a call, which https_run carries out beside whatever else was started. Copies all but the
/// provider of the credentials, which must last until `done`. `done` is called from inside
/// https_run or, if the call is wrong in itself (region, endpoint, size), from inside this
/// function. What is throttled is tried again (with HTTP 400, too); the failures that all services
/// share are described here, each sentence with the `subject`. As credentials_get fails, or
/// LM_E_DENIED (rights, keys, signature, clock, credentials expired), LM_E_NOT_FOUND, LM_E_INVALID,
/// LM_E_REFUSED (5xx, 429, throttled), LM_E_TOO_LARGE, LM_E_PROTOCOL, LM_E_NETWORK, LM_E_TIMEOUT,
/// LM_E_CANCELLED.
void request_start_call(struct https *https, const struct service_call *call,
	struct credentials_provider *credentials);
