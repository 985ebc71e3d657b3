// SPDX-License-Identifier: Apache-2.0
#include "daemon/job_line.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto_json json_t *line = NULL;
	struct job_line parsed = {0};

	if (job_line_parse((struct lm_str){(const char *)data, size}, &line, &parsed))
		return 0;
	// What was accepted has all that its reader relies on.
	if (parsed.kind == JOB_LINE_STAGE && !parsed.stage)
		abort();
	if ((parsed.kind == JOB_LINE_IMAGE || parsed.kind == JOB_LINE_COMPOSE ||
		    parsed.kind == JOB_LINE_COPY) &&
		(!parsed.first || !parsed.second))
		abort();
	if (parsed.kind == JOB_LINE_RESULT) {
		struct job_result result = job_line_result(line);
		if (result.verdict == JOB_FAIL && (!result.error || !result.message))
			abort();
	}
	return 0;
}
