// SPDX-License-Identifier: Apache-2.0

/// A request to lighterman-discovery, as it comes from the network, and the answer to it.

#include "base/cleanup.h"
#include "base/limits.h"
#include "discovery/http_text.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lm_str received = {(const char *)data, size};
	lm_auto_buf struct lm_buf answer = LM_BUF(LIMIT_DISCOVERY_ANSWER);
	size_t head = http_head_size(received);

	if (head == 0 || head > size)
		return 0;
	struct http_request request = http_request_parse((struct lm_str){received.p, head});
	if ((request.status == 200) != (request.problem == NULL))
		__builtin_trap();
	if (request.status == 200 && !arn_is_thing_name(lm_str(request.thing)))
		__builtin_trap();
	if (!http_answer_write(&answer, request.status, LM_STR("{}"), request.no_body))
		__builtin_trap();
	// What we answer can be read back as a head.
	if (http_head_size(lm_buf_str(&answer)) == 0)
		__builtin_trap();
	return 0;
}
