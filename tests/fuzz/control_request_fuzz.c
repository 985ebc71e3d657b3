// SPDX-License-Identifier: Apache-2.0
#include "daemon/control_server.h"

#include <stdint.h>
#include <stdlib.h>

enum { CEILING = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/// Adds the text in pieces of `step` bytes. True if the line became complete.
static bool add(struct lm_buf *in, struct lm_str text, size_t step)
{
	bool complete = false;
	struct lm_err err;

	for (size_t i = 0; i < text.n && !complete; i += step) {
		size_t n = text.n - i < step ? text.n - i : step;

		if (control_request_add(in, (struct lm_str){text.p + i, n}, &complete, &err))
			return false;
	}
	return complete;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lm_str text = {(const char *)data, size};
	lm_auto_buf struct lm_buf whole = LM_BUF(CEILING);
	lm_auto_buf struct lm_buf pieces = LM_BUF(CEILING);
	lm_auto_json json_t *request = NULL;
	struct lm_err err = {0};

	// How it was cut on its way must not matter.
	bool complete = add(&whole, text, size + 1);
	if (complete != add(&pieces, text, size > 0 ? 1 + data[0] % 7 : 1))
		abort();
	if (!complete)
		return 0;
	if (!lm_str_eq(lm_buf_str(&whole), lm_buf_str(&pieces)))
		abort();
	lm_rc rc = control_request_parse(lm_buf_str(&whole), &request, &err);
	if (rc == LM_OK ? !json_is_object(request) : request || !err.msg[0])
		abort();
	return 0;
}
