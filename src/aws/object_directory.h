// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The embedded object store: a directory. Bucket `b`, key `k` is the file `<directory>/b/k`; its
/// version `v` is `<directory>/b/k@v`; version "null", which S3 gives to what a bucket without
/// versions holds, is `k` itself where there is no `k@null`. It never leaves its directory: no
/// "..", no absolute or empty parts, and no symbolic link below it is followed.

#include "aws/stored_object.h"
#include "base/error.h"

#include <stddef.h>

/// Reads an object of at most `size_max` bytes. `version` may be NULL; the answer's version is what
/// was asked for. LM_E_NOT_FOUND (bucket, object or version), LM_E_NETWORK (the directory is away,
/// as in aws/beneath.h), LM_E_DENIED (no right to read, or the
/// name leads out of the directory), LM_E_INVALID (no name for a file, or not a regular file),
/// LM_E_TOO_LARGE, LM_E_SYS.
lm_rc object_directory_get(const char *directory, const char *bucket, const char *key,
	const char *version, size_t size_max, struct stored_object *ret, struct lm_err *err);
