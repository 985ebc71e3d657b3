// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Registry secrets out of AWS Secrets Manager: the value of a secret's version AWSCURRENT, as text
/// or as bytes, in one of the shapes that aws/secret_value reads.
///
/// No message holds anything of a secret. The answers' memory is wiped; for jansson's share of it
/// the program calls secret_json_harden.

#include "aws/credentials_provider.h"
#include "aws/json_service.h"
#include "aws/secret_value.h"
#include "base/error.h"
#include "http/https.h"

#include <stdbool.h>
#include <stdint.h>

struct secret_request {
	const char *arn; ///< Names the region, too.
	struct service_limits limits;
};

struct secret_result {
	lm_rc rc;
	struct lm_err err;         ///< If `rc` is not LM_OK.
	struct secret_value value; ///< If it is.
	/// As in struct s3_result. 0: no correction was needed.
	int64_t clock_offset_ms;
};

/// Starts fetching a secret; https_run carries it out, beside whatever else was started. All is
/// borrowed until https_run has returned. `ret` is filled by then:
/// LM_E_NOT_FOUND (secret, or it has no value), LM_E_DENIED (rights, keys, signature, clock, KMS;
/// settings of this device; scheduled for deletion, or another code of the service, which is in the
/// sentence), LM_E_INVALID (the ARN, or the value as in secret_value_parse), and the rest as in
/// json_service_start.
void secrets_manager_start(struct https *https, const struct secret_request *request,
	struct credentials_provider *credentials, struct secret_result *ret);
void secret_result_finish(struct secret_result *r);
#define lm_auto_secret_result lm_auto(secret_result_finish)
