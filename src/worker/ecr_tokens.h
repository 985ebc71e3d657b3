// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The passwords of the ECR registries that a deployment is about: one token for each account and
/// region, whatever the names of its hosts. A token is fetched as soon as a registry is known, and
/// fetched again before it runs out, or when a registry does not take it any more.

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
/// Notes all whose hosts stand anywhere in a text, as far as there is room.
void ecr_tokens_scan(struct ecr_tokens *t, struct lm_str text);
/// Starts fetching the tokens that are missing; aws_session_run, or the one under way, carries that
/// out. The session is open. `t` must last until then.
void ecr_tokens_start(struct ecr_tokens *t, struct aws_session *c);
/// Takes in what was fetched, and warns of a wrong clock.
void ecr_tokens_take(struct ecr_tokens *t, struct aws_session *c);
/// Fetches the token of a host again, and waits for it; opens the session if need be. What is held
/// is kept after a failure. As aws_session_open and ecr_start_token.
lm_rc ecr_tokens_renew(
	struct ecr_tokens *t, struct aws_session *c, struct lm_str host, struct lm_err *err);

/// Whether the host is a registry of ECR whose token is held, or whose token is due to be renewed.
bool ecr_tokens_has(const struct ecr_tokens *t, struct lm_str host);
bool ecr_tokens_is_due(const struct ecr_tokens *t, struct lm_str host);
/// Why the token of a host is not there; LM_OK if it is, or the host is none of ECR.
lm_rc ecr_tokens_failure(const struct ecr_tokens *t, struct lm_str host, struct lm_err *err);
/// The login for a host whose token is held. A copy, for the caller to finish.
struct registry_credentials ecr_tokens_login(const struct ecr_tokens *t, struct lm_str host);
void ecr_tokens_finish(struct ecr_tokens *t);

/// After how long a token that holds for `left_ms` more is to be fetched again: five minutes before
/// its end. One that is over already by our clock, or nearly so, gets a minute.
uint64_t ecr_tokens_renewal_ms(int64_t left_ms);
