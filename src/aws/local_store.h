// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Directories of this device that stand in for S3 and for Secrets Manager.
///
/// Nothing leads out of them: a name has no "..", no absolute and no empty parts, and no symbolic
/// link below the directory is followed (the directory itself may be one).

#include "aws/s3.h"
#include "aws/secrets_manager.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/// Reads an object of at most `size_max` bytes. Bucket `b`, key `k` is the file `<directory>/b/k`;
/// its version `v` is `<directory>/b/k@v`; version "null", which S3 gives to what a bucket without
/// versions holds, is `k` itself where there is no `k@null`. `version` may be NULL; the answer's
/// version is what was asked for. LM_E_NOT_FOUND (bucket, object or version), LM_E_NETWORK (the
/// directory does not exist or is empty, or what it is on does not answer: a stick that is not
/// mounted, a file server that is away), LM_E_DENIED (no right to read, or the name leads out of
/// the directory), LM_E_INVALID (no name for a file, or not a regular file), LM_E_TOO_LARGE,
/// LM_E_SYS.
lm_rc local_store_get_object(const char *directory, const char *bucket, const char *key,
	const char *version, size_t size_max, struct stored_object *ret, struct lm_err *err);

/// Reads a secret. `arn:…:secret:NAME-abc123` is the file `<directory>/NAME.json`; a '/' in NAME is
/// a subdirectory. `*ret_exposed` (may be NULL): every user of the device can read the file, worth
/// a warning. Errors as above; LM_E_INVALID also of the ARN, or of the value as in
/// secret_value_parse. Messages name the ARN, never content.
lm_rc local_store_get_secret(const char *directory, const char *arn, struct secret_value *ret,
	bool *ret_exposed, struct lm_err *err);
