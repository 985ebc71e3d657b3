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
	char *service; ///< The registry, as the token server knows it.
	char *scope;   ///< What the token is to be good for.
};

/// Reads a WWW-Authenticate header, which may hold several challenges: the first that we know.
/// CHALLENGE_NONE if there is none, or a Bearer without a realm.
void challenge_parse(struct lm_str header, struct challenge *ret);
void challenge_finish(struct challenge *c);

/// The token in a token server's answer. LM_E_PROTOCOL: it has none, or one that is no header.
lm_rc challenge_token_parse(struct lm_str body, struct lm_secret *ret, struct lm_err *err);

/// The value of an Authorization header. False if user name or password cannot be sent so.
bool challenge_basic(struct lm_str username, struct lm_str password, struct lm_secret *ret);
void challenge_bearer(const struct lm_secret *token, struct lm_secret *ret);

/// An address taken apart and decoded, as it comes in headers.
struct address_pair {
	char *name, *value;
};

struct address {
	bool https;
	char *origin; ///< "https://host[:port]"
	char *path;   ///< Begins with '/'.
	struct address_pair *query;
	size_t query_n;
};

/// `base` is the origin for one that begins with '/'; NULL: there is none. LM_E_INVALID: it is not
/// an address of http or https, has a user name in it, or cannot be decoded.
lm_rc address_parse(struct lm_str text, const char *base, struct address *ret, struct lm_err *err);
void address_finish(struct address *a);
