// SPDX-License-Identifier: Apache-2.0
#include "devices/device_registry.h"

#include "base/limits.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto_registry struct device_registry r = {0}, again = {0};
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_REGISTRY_FILE);
	lm_auto_buf struct lm_buf second = LM_BUF(LIMIT_REGISTRY_FILE);
	struct lm_err err = {0};

	if (device_registry_read((struct lm_str){(const char *)data, size}, &r, &err)) {
		if (r.devices || !err.msg[0])
			abort();
		return 0;
	}
	if (!device_registry_write(&r, &text) ||
		device_registry_read(lm_buf_str(&text), &again, &err) ||
		!device_registry_write(&again, &second) ||
		!lm_str_eq(lm_buf_str(&text), lm_buf_str(&second)))
		abort();
	return 0;
}
