// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Who may connect to the local broker, and as what. Pure.

#include "base/str.h"
#include "devices/routes.h"

#include <stdbool.h>

/// What a client shows when it connects.
struct identity {
	const char *client_id;   ///< NULL: none.
	const char *certificate; ///< SHA-256 of its DER in hexadecimal; NULL: none.
	const char *user, *password;
	bool local; ///< Over the unix socket.
};

/// The endpoint that it is, or NULL; `*why` is then a clause that says what is wrong, static.
const struct router_endpoint *identity_check(
	const struct routes *routes, const struct identity *shown, const char **why);
