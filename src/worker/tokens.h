// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The passwords of the ECR registries that a deployment is about: one token for each account and
/// region, whatever the names of its hosts. A token is fetched as soon as a registry is known, and
/// fetched again before it runs out, or when a registry does not take it any more.

#include "aws/ecr.h"
#include "base/limits.h"
#include "docker/registry.h"
#include "worker/cloud.h"

#include <stdbool.h>
#include <stddef.h>

struct token {
	struct ecr_request request;
	struct ecr_result result; ///< The last one that could be had.
	struct ecr_result next;   ///< Of a request under way, or that failed.
	bool held;                ///< There is one in `result`.
	uint64_t renew_mono_ms;   ///< When it is to be fetched again; 0: never.
};

struct tokens {
	struct token *items[LIMIT_ECR_REGISTRIES]; ///< Owned, each by itself: requests point there.
	size_t n;
};

/// Notes the registry of a host, if it is one of ECR and is not known yet. LM_E_INVALID: there
/// are more than LIMIT_ECR_REGISTRIES.
lm_rc tokens_want(struct tokens *t, struct lm_str host, struct lm_err *err);
/// Notes all whose hosts stand anywhere in a text, as far as there is room.
void tokens_scan(struct tokens *t, struct lm_str text);
/// Starts fetching the tokens that are missing; cloud_run, or the one under way, carries that out.
/// The cloud is open. `t` must last until then.
void tokens_start(struct tokens *t, struct cloud *c);
/// Takes in what was fetched, and warns of a wrong clock.
void tokens_settle(struct tokens *t, struct cloud *c);
/// Fetches the token of a host again, and waits for it; opens the cloud if need be. What is held is
/// kept after a failure. As cloud_open and ecr_start_token.
lm_rc tokens_renew(struct tokens *t, struct cloud *c, struct lm_str host, struct lm_err *err);

/// Whether the host is a registry of ECR whose token is held, or whose token is due to be renewed.
bool tokens_has(const struct tokens *t, struct lm_str host);
bool tokens_is_due(const struct tokens *t, struct lm_str host);
/// Why the token of a host is not there; LM_OK if it is, or the host is none of ECR.
lm_rc tokens_failure(const struct tokens *t, struct lm_str host, struct lm_err *err);
/// The login for a host whose token is held. A copy, for the caller to finish.
struct registry_credentials tokens_login(const struct tokens *t, struct lm_str host);
void tokens_finish(struct tokens *t);

/// After how long a token that holds for `left_ms` more is to be fetched again: five minutes before
/// its end. One that is over already by our clock, or nearly so, gets a minute.
uint64_t tokens_renewal_ms(int64_t left_ms);
