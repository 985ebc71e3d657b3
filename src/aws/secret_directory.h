// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The embedded secret store: a directory. The secret `arn:…:secret:NAME-abc123` is the file
/// `<directory>/NAME.json`; a '/' in NAME is a subdirectory. Files are opened as in
/// aws/object_directory: nothing leads out of the directory.

#include "aws/secret_value.h"
#include "base/error.h"

#include <stdbool.h>

/// `*ret_exposed` (may be NULL) tells that every user of the device can read the file: worth a
/// warning. LM_E_NOT_FOUND, LM_E_DENIED, LM_E_INVALID (the ARN, or the value as in
/// secret_value_parse), LM_E_TOO_LARGE, LM_E_SYS. Messages name the ARN, never content.
lm_rc secret_directory_get(const char *directory, const char *arn, struct secret_value *ret,
	bool *ret_exposed, struct lm_err *err);
