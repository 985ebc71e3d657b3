// SPDX-License-Identifier: Apache-2.0
#include "base/openssl.h"

#include <openssl/err.h>

const char *lm_openssl_reason(void)
{
	unsigned long code = ERR_get_error();
	const char *text = ERR_SYSTEM_ERROR(code) ? NULL : ERR_reason_error_string(code);

	ERR_clear_error();
	return text;
}
