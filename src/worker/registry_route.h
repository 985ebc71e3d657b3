// SPDX-License-Identifier: Apache-2.0
#pragma once

/// How a registry is reached, as the engine does it: over TLS, with the authority that the engine
/// was given for it; and in plain text on this machine's own addresses, unless there is such an
/// authority for it.

#include "base/str.h"

#include <stdbool.h>

struct registry_route {
	char *origin; ///< "https://registry.example:5000"
	char *ca;     ///< PEM file; NULL: the system's authorities.
	bool plain;
};

/// `registry` is as in struct image_ref; `certificates` is the engine's directory of them.
void registry_route_find(
	const char *registry, const char *certificates, struct registry_route *ret);
void registry_route_finish(struct registry_route *route);

/// Whether only this machine can be meant by "host[:port]".
bool registry_route_is_local(struct lm_str host);
