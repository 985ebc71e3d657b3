// SPDX-License-Identifier: Apache-2.0
#include "aws/s3.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *text, size_t size)
{
	size_t n = strnlen(text, size);

	if (n == size || !lm_str_is_utf8((struct lm_str){text, n}))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct s3_error e;

	s3_error_parse((struct lm_str){(const char *)data, size}, &e);
	check(e.code, sizeof(e.code));
	check(e.message, sizeof(e.message));
	check(e.region, sizeof(e.region));
	check(e.request_time, sizeof(e.request_time));
	check(e.server_time, sizeof(e.server_time));
	return 0;
}
