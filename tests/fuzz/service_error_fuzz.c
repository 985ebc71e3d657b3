// SPDX-License-Identifier: Apache-2.0
#include "aws/request.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *text, size_t size)
{
	size_t n = strnlen(text, size);

	if (n == size || !lm_str_is_utf8((struct lm_str){text, n}))
		abort();
}

/// The input's first line is the header.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lm_str body = {(const char *)data, size};
	struct lm_str header = lm_str_cut(&body, '\n');
	struct service_error e;

	service_error_parse(body, header, &e);
	check(e.code, sizeof(e.code));
	check(e.message, sizeof(e.message));
	return 0;
}
