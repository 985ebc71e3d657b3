// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The passwords of the ECR registries of a deployment: one token for each account and region,
/// whatever the names of its hosts. A token is fetched as soon as a registry is known, and again
/// before it expires, or when a registry rejects it.

#include "aws/ecr.h"
#include "base/limits.h"
#include "docker/registry_auth.h"
#include "worker/aws_session.h"

#include <stdbool.h>
#include <stddef.h>

struct ecr_token {
	struct ecr_request request;
	struct ecr_result result; ///< The last one that could be had.
	struct ecr_result next;   ///< Of a request under way, or that failed.
	bool held;                ///< There is one in `result`.
	uint64_t renew_mono_ms;   ///< When it is to be fetched again; 0: never.
};

struct ecr_tokens {
	struct ecr_token
		*items[LIMIT_ECR_REGISTRIES]; ///< Owned, each by itself: requests point there.
	size_t n;
};

/// Notes the registry of a host, if it is one of ECR and is not known yet. LM_E_INVALID: there
/// are more than LIMIT_ECR_REGISTRIES.
lm_rc ecr_tokens_want(struct ecr_tokens *t, struct lm_str host, struct lm_err *err);
/// Notes all whose hosts a text contains, as far as there is room.
void ecr_tokens_scan(struct ecr_tokens *t, struct lm_str text);
/// Starts fetching the missing tokens, for aws_session_run to carry out; `t` must last until then.
/// The session is open.
void ecr_tokens_start(struct ecr_tokens *t, struct aws_session *c);
/// Takes the results, and warns of a wrong clock.
void ecr_tokens_take(struct ecr_tokens *t, struct aws_session *c);
/// Fetches the token of a host again, and waits for it; opens the session if need be. The old
/// token is kept after a failure. As aws_session_open and ecr_start_token.
lm_rc ecr_tokens_renew(
	struct ecr_tokens *t, struct aws_session *c, struct lm_str host, struct lm_err *err);

/// Whether the host is a registry of ECR whose token is held, or whose token is due to be renewed.
bool ecr_tokens_has(const struct ecr_tokens *t, struct lm_str host);
bool ecr_tokens_is_due(const struct ecr_tokens *t, struct lm_str host);
/// Why the token of a host is missing; LM_OK if it is not, or the host is not of ECR.
lm_rc ecr_tokens_failure(const struct ecr_tokens *t, struct lm_str host, struct lm_err *err);
/// The login for a host whose token is held. A copy, for the caller to finish.
struct registry_credentials ecr_tokens_login(const struct ecr_tokens *t, struct lm_str host);
void ecr_tokens_finish(struct ecr_tokens *t);

/// After how long to renew a token that is valid for `left_ms` more: five minutes before it
/// expires. One that has expired by our clock, or nearly so, gets a minute.
uint64_t ecr_tokens_renewal_ms(int64_t left_ms);
