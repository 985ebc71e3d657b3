// SPDX-License-Identifier: Apache-2.0
#include "aws/profile_file.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto_profile_command struct profile_command w = {0};
	const char *why = NULL;
	size_t total = 0;

	if (!profile_command_split((struct lm_str){(const char *)data, size}, &w, &why)) {
		if (!why || w.items)
			abort();
		return 0;
	}
	for (size_t i = 0; i < w.n; i++)
		total += strlen(w.items[i]);
	if (w.n > PROFILE_COMMAND_WORDS_MAX || w.items[w.n] || total > size)
		abort();
	return 0;
}
