// SPDX-License-Identifier: Apache-2.0

/// The text of the link `wanted`: what is understood of it is written and read again.

#include "base/cleanup.h"
#include "base/memory.h"
#include "deploy/wanted.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_same_target(struct lifecycle_target a, struct lifecycle_target b)
{
	return a.state == b.state && a.generation == b.generation;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto_free char *copy = lm_xmemdup0(data, size);
	char text[WANTED_SIZE];
	struct store_want read, again;

	if (!wanted_parse((struct lm_str){copy, size}, &read)) {
		if (read.wanted.state != WANTED_NOTHING || read.before.state != WANTED_NOTHING)
			abort();
		return 0;
	}
	wanted_format(&read, text);
	if (!wanted_parse(lm_str(text), &again) || !is_same_target(read.wanted, again.wanted) ||
		!is_same_target(read.before, again.before) || read.touched != again.touched ||
		read.leaves != again.leaves)
		abort();
	return 0;
}
