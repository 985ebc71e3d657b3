// SPDX-License-Identifier: Apache-2.0
#include "config/host_file.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto_json json_t *document = NULL;
	lm_auto_host struct host_settings host = {0};
	struct lm_err err = {LM_OK};

	lm_auto_buf struct lm_buf text = LM_BUF(size);
	(void)lm_buf_add(&text, data, size);
	if (host_parse(&text, &document, &err))
		return 0;
	if (host_from_json(document, &host, &err)) {
		if (!err.msg[0])
			abort();
		return 0;
	}
	// What was accepted reads back.
	lm_auto_json json_t *written = host_to_json(&host);
	lm_auto_host struct host_settings again = {0};
	if (host_from_json(written, &again, &err))
		abort();
	return 0;
}
