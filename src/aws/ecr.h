// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Amazon ECR: which hosts are its registries, and the password for one.
///
/// A registry's password is not kept anywhere; it is asked for with AWS credentials and holds for
/// 12 hours.

#include "aws/credentials_provider.h"
#include "aws/request.h"
#include "base/error.h"
#include "base/secret.h"
#include "http/https.h"

#include <stdbool.h>
#include <stdint.h>

struct ecr_registry {
	char account[13]; ///< Twelve digits.
	char region[33];
};

/// Whether `host` ("host" or "host:443", without regard to case) is a private registry of ECR:
/// ACCOUNT.dkr.ecr[-fips].REGION.amazonaws.com or, with IPv6, ACCOUNT.dkr-ecr[-fips].REGION.on.aws,
/// with the suffixes of the region's partition. (Amazon ECR User Guide: "Making requests to Amazon
/// ECR registries".) If not, `ret` is untouched.
bool ecr_registry_parse(struct lm_str host, struct ecr_registry *ret);

/// Finds the next host of such a registry in any text, and takes off the front of `*rest` what is
/// up to its end. `ret_host` points into the text. False: there is none.
bool ecr_registry_scan(struct lm_str *rest, struct lm_str *ret_host, struct ecr_registry *ret);

struct ecr_request {
	struct ecr_registry registry;
	struct request_limits limits;
};

struct ecr_result {
	lm_rc rc;
	struct lm_err err; ///< If `rc` is not LM_OK.

	// If it is:
	char *username; ///< "AWS".
	struct lm_secret password;
	int64_t expires_ms; ///< Wall clock; 0: unknown.

	/// As in struct s3_result. 0: no correction was needed.
	int64_t clock_offset_ms;
};

/// Starts asking for a registry's password; https_run carries it out, beside whatever else was
/// started. All is borrowed until https_run has returned; `ret` is filled by then. Errors as in
/// request_start_call.
void ecr_start_token(struct https *https, const struct ecr_request *request,
	struct credentials_provider *credentials, struct ecr_result *ret);
void ecr_result_finish(struct ecr_result *r);
#define lm_auto_ecr_result lm_auto(ecr_result_finish)

/// Splits a token: base64 of "AWS:password". False if it is none; then the outputs are untouched.
bool ecr_token_parse(struct lm_str token, char **ret_username, struct lm_secret *ret_password);
