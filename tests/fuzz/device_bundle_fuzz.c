// SPDX-License-Identifier: Apache-2.0
#include "devices/device_bundle.h"

#include "base/limits.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto_bundle struct device_bundle bundle = {0}, again = {0};
	lm_auto_buf struct lm_buf text = LM_BUF_SECRET(LIMIT_DEVICE_BUNDLE);
	struct lm_err err = {0};

	if (device_bundle_read((struct lm_str){(const char *)data, size}, &bundle, &err)) {
		if (bundle.items || !err.msg[0])
			abort();
		return 0;
	}
	if (!device_bundle_write(&bundle, &text) ||
		device_bundle_read(lm_buf_str(&text), &again, &err) || again.n != bundle.n)
		abort();
	return 0;
}
