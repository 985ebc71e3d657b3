// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One call to an AWS service that speaks the JSON protocol (AWS JSON 1.1): a signed POST with an
/// X-Amz-Target, and a JSON object as answer.
///
/// What it does: tries again what is throttled (with 400, too), signs once more with the server's
/// time if ours is wrong and with other credentials if they are over, and words the failures that
/// all services share; each sentence names the `subject`. The services' own modules are its
/// callers.

#include "aws/credentials_provider.h"
#include "aws/endpoint.h"
#include "aws/service_error.h"
#include "base/error.h"
#include "http/https.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Of one call; 0: the defaults of struct https_request.
struct service_limits {
	unsigned connect_timeout_ms, timeout_ms, attempts, backoff_base_ms, backoff_max_ms;
};

/// How a call ended. Borrowed for the time of `done`.
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
	enum aws_service service; ///< All but AWS_S3.
	const char *region;
	const char *operation;  ///< "GetSecretValue".
	const char *subject;    ///< For messages: "secret 'arn:…'".
	const char *permission; ///< For messages: "secretsmanager:GetSecretValue on arn:…".
	const json_t *input;
	size_t answer_max;
	int64_t clock_offset_ms; ///< What an earlier call found out; 0: nothing.
	struct service_limits limits;
	service_done *done; ///< May start further calls.
	void *ctx;
};

/// Starts a call, which https_run carries out beside whatever else was started. Copies all but the
/// provider of the credentials, which must last until `done`. `done` is called from inside
/// https_run or, if the call is wrong in itself (region, endpoint, size), from inside this
/// function. As credentials_get fails, or LM_E_DENIED (rights, keys, signature, clock, credentials
/// over), LM_E_NOT_FOUND, LM_E_INVALID, LM_E_REFUSED (5xx, 429, throttled),
/// LM_E_TOO_LARGE, LM_E_PROTOCOL, LM_E_NETWORK, LM_E_TIMEOUT, LM_E_CANCELLED.
void json_service_start(struct https *https, const struct service_call *call,
	struct credentials_provider *credentials);
