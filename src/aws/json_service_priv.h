// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Shared by json_service.c (the exchange) and json_service_failure.c (what went wrong) only.

#include "aws/json_service.h"

/// What a service answered instead of its result.
struct service_failure {
	const char *service; ///< "Secrets Manager".
	const char *region, *subject, *permission;
	const char *access_key_id; ///< That it was signed with,
	const char *source;        ///< and where that was from.
	struct lm_str host;
	const struct https_answer *answer;
	const struct service_error *error;
	int64_t signed_ms; ///< The time that the request was signed for.
};

lm_rc json_service_describe(const struct service_failure *f, struct lm_err *err);
/// Whether the failure passes by itself.
bool json_service_is_transient(const struct service_error *error);
bool json_service_is_expired(const struct service_error *error);
/// The server's time in milliseconds, if the signature was refused and the two clocks are further
/// apart than AWS allows; else 0.
int64_t json_service_server_ms(const struct service_failure *f);
