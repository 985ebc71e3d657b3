// SPDX-License-Identifier: Apache-2.0
#include "aws/sts.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t size)
{
	if (strnlen(text, size) == size || !lm_str_is_utf8(lm_str(text)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sts_answer a;

	sts_answer_parse((struct lm_str){(const char *)data, size}, &a);
	check_text(a.access_key_id, sizeof(a.access_key_id));
	check_text(a.secret, sizeof(a.secret));
	check_text(a.token, sizeof(a.token));
	check_text(a.expiration, sizeof(a.expiration));
	check_text(a.code, sizeof(a.code));
	check_text(a.message, sizeof(a.message));
	return 0;
}
