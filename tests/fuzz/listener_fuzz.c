// SPDX-License-Identifier: Apache-2.0

/// Lines of the kernel's tables of sockets, and the text of a process's control groups.

#include "sys/listeners.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lm_str text = {(const char *)data, size};
	struct listener found;
	char id[65];

	for (unsigned i = 0; i < 4; i++)
		(void)listener_parse(text, i & 1, i & 2, &found);
	(void)listener_find_container(text, id);
	return 0;
}
