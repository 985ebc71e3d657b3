// SPDX-License-Identifier: Apache-2.0

/// The end of a container's log: as the engine answers, in two pieces, split where the first byte
/// says, and as lines of the file.

#include "base/limits.h"
#include "events/log_tail.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct log_tail *t)
{
	lm_auto_json json_t *lines = log_tail_lines(t);
	size_t bytes = 0;

	for (size_t i = 0; i < json_array_size(lines); i++) {
		const json_t *line = json_array_get(lines, i);
		if (!json_is_string(line))
			abort();
		bytes += json_string_length(line);
	}
	if (json_array_size(lines) > LIMIT_CRASH_LINES || bytes > LIMIT_CRASH_LOG)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto(log_tail_finish) struct log_tail frames, lines;
	struct lm_str text = {(const char *)data, size};
	size_t split = size == 0 ? 0 : data[0] % size;
	struct lm_err err = {LM_OK};

	log_tail_init(&frames);
	if (log_tail_feed(&frames, (struct lm_str){text.p, split}, &err) == LM_OK)
		(void)!log_tail_feed(&frames, (struct lm_str){text.p + split, size - split}, &err);
	check(&frames);
	log_tail_init(&lines);
	log_tail_feed_json(&lines, text);
	check(&lines);
	return 0;
}
