// SPDX-License-Identifier: Apache-2.0

/// discovery.json: what is read is written so that it is read again, and makes an answer.

#include "base/cleanup.h"
#include "base/limits.h"
#include "devices/discovery_document.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto(discovery_document_finish) struct discovery_document doc = {0}, again = {0};
	lm_auto_buf struct lm_buf text = LM_BUF(2U * LIMIT_DISCOVERY_FILE);
	lm_auto_buf struct lm_buf answer = LM_BUF(2U * LIMIT_DISCOVERY_FILE);
	struct lm_err err = {0};

	if (discovery_document_parse((struct lm_str){(const char *)data, size}, &doc, &err) !=
		LM_OK)
		return 0;
	if (!discovery_document_write(&doc, &text) || !discovery_document_answer(&doc, &answer))
		__builtin_trap();
	if (discovery_document_parse(lm_buf_str(&text), &again, &err) != LM_OK)
		__builtin_trap();
	if (again.devices_n != doc.devices_n || again.listen_n != doc.listen_n)
		__builtin_trap();
	return 0;
}
