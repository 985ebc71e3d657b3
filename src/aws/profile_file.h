// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The files of the AWS SDKs and tools, ~/.aws/credentials and ~/.aws/config: sections of
/// `key = value` lines. (AWS SDKs and Tools Reference Guide: "Using shared config and credentials
/// files to globally configure AWS SDKs and tools",
/// https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html.)
///
/// Reads what belongs to one profile. Keys compare without regard to case; of a key that is there
/// twice the last counts; lines that are indented deeper than the key before them belong to it and
/// are passed over; " #" and " ;" begin a comment behind a value.

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>

enum profile_file_kind {
	PROFILE_FILE_CREDENTIALS, ///< [name]
	PROFILE_FILE_CONFIG,      ///< [default] and [profile name]
};

struct profile {
	bool found; ///< The file has such a section.
	/// Borrowed from the text; empty if absent.
	struct lm_str access_key_id, secret_access_key, session_token;
	/// A key that says that credentials are to be had elsewhere, before those here ("role_arn",
	/// "sso_session", …) and after them ("credential_process"). NULL: none. Static storage.
	const char *elsewhere, *process;
};

/// LM_E_INVALID: the text is no such file; the message names the line and nothing of its content.
lm_rc profile_file_find(struct lm_str text, enum profile_file_kind kind, struct lm_str name,
	struct profile *ret, struct lm_err *err);
