// SPDX-License-Identifier: Apache-2.0

/// A journal, whatever is in it.

#include "base/cleanup.h"
#include "base/memory.h"
#include "deploy/journal.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto_free char *copy = lm_xmemdup0(data, size);
	struct journal_state state = journal_parse((struct lm_str){copy, size});

	if (strlen(state.stage) >= sizeof(state.stage) ||
		strspn(state.stage, "abcdefghijklmnopqrstuvwxyz-") != strlen(state.stage))
		abort();
	// Either it names an attempt, or it is empty, or it is damaged.
	if ((state.generation != 0) + (size == 0) + state.damaged != 1)
		abort();
	if (state.damaged && state.stage[0])
		abort();
	return 0;
}
