// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Shared by s3.c (the exchange) and s3_failure.c (what went wrong, in sentences) only.

#include "aws/s3.h"
#include "aws/s3_error.h"

/// What S3 answered instead of the object.
struct s3_failure {
	const struct s3_request *request;
	const char *access_key_id; ///< That it was signed with,
	const char *source;        ///< and where that was from.
	struct lm_str host;
	const struct https_answer *answer;
	struct s3_error error;
	int64_t signed_ms; ///< The time that the request was signed for.
};

lm_rc s3_describe_failure(const struct s3_failure *f, struct lm_err *err);
