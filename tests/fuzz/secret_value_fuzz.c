// SPDX-License-Identifier: Apache-2.0
#include "aws/secrets_manager.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto_secret_value struct secret_value v = {0};
	struct lm_err err = {0};
	lm_rc rc = secret_value_parse("n", (struct lm_str){(const char *)data, size}, &v, &err);

	if (rc == LM_OK && (!v.username[0] || !v.password.len || !v.registry_url[0]))
		abort();
	if (rc != LM_OK && (v.username || v.password.data || v.registry_url || !err.msg[0]))
		abort();
	return 0;
}
