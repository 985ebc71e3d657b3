// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Shared by the sources of credentials only.

#include "aws/credentials.h"
#include "aws/shared_config.h"
#include "base/str.h"

#include <stdbool.h>

struct credentials_context {
	struct https *https;
	const struct credentials_settings *settings;
	const struct wait_limit *limit;
	const struct shared_config *config;
	const char *region; ///< For STS; NULL: nobody says which.
};

/// A source. LM_E_NOT_FOUND: it has none, and the next one is to be asked; the message is short and
/// says why ("AWS_ACCESS_KEY_ID is not set"). Any other failure ends the search. `err` is never
/// NULL.
typedef lm_rc credentials_source(
	const struct credentials_context *c, struct aws_credentials *ret, struct lm_err *err);

credentials_source credentials_from_environment;
/// Whatever the profile says: a role, a web identity, keys, a program.
credentials_source credentials_from_profile;
credentials_source credentials_from_container;
credentials_source credentials_from_imds;
/// Its LM_E_NOT_FOUND ends the search too.
credentials_source credentials_from_iot;

/// Credentials as a source wrote them down. Borrowed.
struct credentials_parts {
	struct lm_str id, secret, token;                ///< Empty: absent.
	const char *id_name, *secret_name, *token_name; ///< What the source calls them.
	const char *where;  ///< Behind a name, for messages: " in profile 'x' of '/y'", or "".
	const char *source; ///< As in struct aws_credentials.
};

/// LM_E_NOT_FOUND: neither id nor secret. LM_E_INVALID: one without the other, or a character that
/// no header can carry.
lm_rc credentials_assemble(
	const struct credentials_parts *parts, struct aws_credentials *ret, struct lm_err *err);

/// Whether `s` can stand in an HTTP header and has no space: a line end in a variable (a common
/// slip with "$(cat file)" done by hand) must not become a header of its own.
bool credentials_is_token(struct lm_str s);
/// The variable's value; NULL if it is not set or empty.
const char *credentials_variable(const char *name);

/// The keys that one of the two files has of a profile.
lm_rc credentials_from_profile_file(const struct shared_file *file, struct lm_str profile,
	struct aws_credentials *ret, struct lm_err *err);
/// Runs the program of a credential_process, without a shell, and reads its output, of which
/// nothing gets into messages.
lm_rc credentials_from_process(const struct credentials_context *c, struct lm_str command,
	struct aws_credentials *ret, struct lm_err *err);

enum { CREDENTIALS_SHOWN_MAX = 64, CREDENTIALS_SHOWN_SIZE = 4 * CREDENTIALS_SHOWN_MAX + 32 };
/// A profile's name, to be read by a person. Returns `out`.
const char *credentials_show(struct lm_str name, char out[CREDENTIALS_SHOWN_SIZE]);
