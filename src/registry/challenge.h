// SPDX-License-Identifier: Apache-2.0
#pragma once

/// How a registry asks for credentials, and the answer of the token server that it may send us to.
/// Pure. https://distribution.github.io/distribution/spec/auth/token/

#include "base/error.h"
#include "base/secret.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum challenge_scheme { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };

struct challenge {
	enum challenge_scheme scheme;
	// BEARER; "" if it has none.
	char *realm;   ///< Address of the token server.
	char *service; ///< The token server's name of the registry.
	char *scope;   ///< What the token permits.
};

/// Reads a WWW-Authenticate header, which may hold several challenges: the first of a known scheme.
/// CHALLENGE_NONE if there is none, or a Bearer without a realm.
void challenge_parse(struct lm_str header, struct challenge *ret);
void challenge_finish(struct challenge *c);

/// The token in a token server's answer. LM_E_PROTOCOL: it has none, or one that is no header.
lm_rc challenge_token_parse(struct lm_str body, struct lm_secret *ret, struct lm_err *err);

/// The value of an Authorization header. False if user name or password cannot be sent so.
bool challenge_basic(struct lm_str username, struct lm_str password, struct lm_secret *ret);
void challenge_bearer(const struct lm_secret *token, struct lm_secret *ret);

/// A URL that a registry names in a header, parsed and decoded.
struct registry_url_parameter {
	char *name, *value;
};

struct registry_url {
	bool https;
	char *origin; ///< "https://host[:port]"
	char *path;   ///< Begins with '/'.
	struct registry_url_parameter *query;
	size_t query_n;
};

/// `base` is the origin of one that begins with '/'; NULL: there is none. LM_E_INVALID: it is no
/// http:// or https:// URL, holds a user name, or cannot be decoded.
lm_rc registry_url_parse(
	struct lm_str text, const char *base, struct registry_url *ret, struct lm_err *err);
void registry_url_finish(struct registry_url *a);
