// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The compose file at an https:// address (the definition's Source.Url).

#include "aws/s3.h"
#include "base/error.h"
#include "sys/wait.h"

/// Gets it, without credentials, following redirects to other https:// addresses. Its version is
/// the server's ETag without quotes, if there is one. LM_E_INVALID: the address cannot be used.
/// LM_E_NOT_FOUND, LM_E_DENIED, LM_E_REFUSED: the server says so. LM_E_NETWORK, LM_E_TIMEOUT: no
/// answer, or one that may pass (429, 5xx). LM_E_TOO_LARGE: over LIMIT_COMPOSE_FILE.
/// LM_E_PROTOCOL: redirected in circles, or to an address that is not https://.
lm_rc compose_address_get(const char *address, const struct wait_limit *limit,
	struct stored_object *ret, struct lm_err *err);
