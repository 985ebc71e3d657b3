// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What docker-compose makes of a compose file without a word, and its author most likely did not
/// mean; docker-compose 1 has more such habits than 2. Pure.

#include "base/str.h"

/// Called with a sentence for each place; it begins with line and column and has no values but of
/// ports. Each place is told once, and of a flood only the beginning. Nothing is found in a text
/// that cannot be read.
void compose_lint(struct lm_str text, unsigned generation,
	void (*found)(void *ctx, const char *message), void *ctx);
