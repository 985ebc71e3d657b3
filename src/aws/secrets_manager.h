// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Registry secrets out of AWS Secrets Manager: the value of a secret's version AWSCURRENT, as text
/// or as bytes.
///
/// No message holds anything of a secret. The answers' memory is wiped; for jansson's share of it
/// the program calls secret_json_harden.

#include "aws/credentials_provider.h"
#include "aws/request.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/secret.h"
#include "base/str.h"
#include "http/https.h"

#include <stdbool.h>
#include <stdint.h>

/// A registry secret: `username`, `password` and `registryUrl`, as one object
/// {"username":…,"password":…,"registryUrl":…} or as an array of objects
/// [{"username":…},{"password":…},{"registryUrl":…}]. Other keys are ignored.
struct secret_value {
	char *username;
	struct lm_secret password;
	char *registry_url; ///< As written: with or without scheme and path.
};

/// `name` is for messages, which never hold anything of the text. LM_E_INVALID: not JSON, not of
/// these two shapes, or a key is missing, twice there, empty or no string.
lm_rc secret_value_parse(
	const char *name, struct lm_str text, struct secret_value *ret, struct lm_err *err);
void secret_value_finish(struct secret_value *v);
#define lm_auto_secret_value lm_auto(secret_value_finish)

/// Makes jansson wipe all memory that it gives back. For programs that parse secrets: call it in
/// main(), before jansson is used for anything.
void secret_json_harden(void);

/// "arn:P:secretsmanager:REGION:A:secret:NAME-abc123", taken apart. Borrowed.
struct secret_arn {
	struct lm_str region;
	struct lm_str name; ///< Without the six characters that Secrets Manager adds.
};
/// False: it is no ARN of a secret.
bool secret_arn_parse(const char *arn, struct secret_arn *ret);

struct secret_request {
	const char *arn;
	struct request_limits limits;
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
/// request_start_call.
void secrets_manager_start(struct https *https, const struct secret_request *request,
	struct credentials_provider *credentials, struct secret_result *ret);
void secret_result_finish(struct secret_result *r);
#define lm_auto_secret_result lm_auto(secret_result_finish)
