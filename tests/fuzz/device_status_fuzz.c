// SPDX-License-Identifier: Apache-2.0
/// What the broker of the client devices says about itself, and what lightermand shows of it.

#include "daemon/device_status.h"

#include "base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct lm_str text = {(const char *)data, size};
	lm_auto_json json_t *status = device_status_parse(text, 77);
	lm_auto_json json_t *answer = json_object();

	(void)device_status_cloud(status);
	(void)device_status_is_connected(status, "A");
	(void)device_status_count(status, "shadows", "updates");
	device_status_show(status, answer);
	lm_auto_free char *shown = json_dumps(answer, 0);
	return shown ? 0 : -1;
}
