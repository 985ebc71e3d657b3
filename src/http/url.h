// SPDX-License-Identifier: Apache-2.0
#pragma once

/// An http:// or https:// address as a person wrote it, taken apart, and in the one form in which a
/// request is both sent and signed: scheme and host in lower case, the port as a plain number, and
/// none where it is the scheme's own (":443", ":0443" and ":" behind https://). AWS SDKs sign the
/// Host header in that form, and servers compare it byte by byte.

#include "base/cleanup.h"
#include "base/str.h"

#include <stdbool.h>

struct url {
	char *origin;       ///< "https://host" or "https://host:8443".
	struct lm_str host; ///< Without the port, "[::1]" without its brackets; in `origin`.
	bool plain_http;
	struct lm_str rest; ///< Path and query, as they stand in the text that was parsed.
};

/// Takes an address apart; a user name, and a character that no host has, are refused. False:
/// `*ret_why` is the reason, to follow the name of the setting ("names no host").
bool url_parse(struct lm_str text, struct url *ret, const char **ret_why);
void url_finish(struct url *url);
#define lm_auto_url lm_auto(url_finish)
