// SPDX-License-Identifier: Apache-2.0
#pragma once

/// AWS credentials for as long as a job lasts: loaded when they are first asked for, kept, renewed
/// five minutes before their end, and once more when a service says that they are over.
///
/// It has connections of its own, so it may be asked from inside of a request that is being
/// prepared or that has just ended; the caller's other transfers stand still meanwhile.
/// One thread. Requests keep no pointer to credentials: they ask each time they sign.

#include "aws/credentials.h"
#include "base/cleanup.h"
#include "base/error.h"

#include <stdbool.h>

struct credentials_provider;

/// `settings` and what they point to are borrowed for the provider's life; `limit` is copied, and
/// bounds each load. LM_E_INVALID: as https_create.
lm_rc credentials_provider_create(const struct credentials_settings *settings,
	const struct wait_limit *limit, struct credentials_provider **ret, struct lm_err *err);
/// A provider of nothing but these, which it takes over.
struct credentials_provider *credentials_provider_of(struct aws_credentials *credentials);
/// Wipes what it has.
void credentials_provider_destroy(struct credentials_provider *p);
LM_DEFINE_CLEANUP(struct credentials_provider, credentials_provider_destroy)

/// The credentials, loaded or renewed where that is due. `*ret` is borrowed until the next call.
/// Those that cannot be renewed, but are still valid, are returned all the same, and
/// credentials_take_warning then has the reason. Errors as credentials_load.
lm_rc credentials_get(
	struct credentials_provider *p, const struct aws_credentials **ret, struct lm_err *err);
/// A service says that those with this `serial` are over: the next credentials_get loads others,
/// or fails. Does nothing if that has happened since, for another request that was signed with
/// them. False: there are no others to be had.
bool credentials_expire(struct credentials_provider *p, unsigned serial);
/// True, once, if credentials could not be renewed in time: `*ret` is why, worth a warning.
bool credentials_take_warning(struct credentials_provider *p, struct lm_err *ret);
