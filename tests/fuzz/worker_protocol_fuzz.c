// SPDX-License-Identifier: Apache-2.0
#include "daemon/worker_protocol.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto_json json_t *line = NULL;
	struct worker_line parsed = {0};

	if (worker_protocol_parse((struct lm_str){(const char *)data, size}, &line, &parsed))
		return 0;
	// What was accepted has all that its reader relies on.
	if (parsed.kind == WORKER_LINE_STAGE && !parsed.stage)
		abort();
	if ((parsed.kind == WORKER_LINE_IMAGE || parsed.kind == WORKER_LINE_COMPOSE ||
		    parsed.kind == WORKER_LINE_COPY) &&
		(!parsed.first || !parsed.second))
		abort();
	if (parsed.kind == WORKER_LINE_RESULT) {
		struct worker_result result = worker_protocol_result(line);
		if (result.verdict == WORKER_FAIL && (!result.error || !result.message))
			abort();
	}
	return 0;
}
