// SPDX-License-Identifier: Apache-2.0
#include "aws/xml.h"
#include "base/cleanup.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/// Every field is UTF-8 that ends within its size, whatever the document is.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char one[1], tiny[4], small[16], large[4096];
	const struct xml_field fields[] = {
		{"/*", one, sizeof(one)},
		{"/*/*", tiny, sizeof(tiny)},
		{"/Error/Code", small, sizeof(small)},
		{"/*Response/*Result/*/*", large, sizeof(large)},
	};

	memset(large, 'x', sizeof(large));
	xml_read_fields((struct lm_str){(const char *)data, size}, fields, LM_ARRAY_SIZE(fields));
	for (size_t i = 0; i < LM_ARRAY_SIZE(fields); i++) {
		size_t n = strnlen(fields[i].out, fields[i].size);

		if (n == fields[i].size || !lm_str_is_utf8((struct lm_str){fields[i].out, n}))
			abort();
	}
	return 0;
}
