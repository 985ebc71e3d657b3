// SPDX-License-Identifier: Apache-2.0
#include "base/cleanup.h"
#include "base/memory.h"
#include "deploy/handover.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto_free char *block = lm_xmemdup0((const char *)data, size);
	lm_auto_free char **entries = handover_parse_environment((struct lm_str){block, size});

	for (size_t i = 0; entries[i]; i++)
		if (entries[i] < block || entries[i] >= block + size ||
			!strchr(entries[i] + 1, '='))
			abort();
	return 0;
}
