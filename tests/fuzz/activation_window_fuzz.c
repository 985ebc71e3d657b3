// SPDX-License-Identifier: Apache-2.0
#include "base/cleanup.h"
#include "config/activation_window.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/// The first byte says which hour of three weeks in which clocks are set it is: the next window
/// that opens is open, and none is before it.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto_buf struct lm_buf why = LM_BUF(4096);
	struct activation_windows w;

	if (size < 1)
		return 0;
	(void)setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	int64_t now_s = 1805756400 + data[0] * 7200; // 2027-03-22 and later
	struct lm_str text = {(const char *)data + 1, size - 1};
	if (!activation_windows_parse(text, &w, &why)) {
		if (why.len == 0)
			abort();
		return 0;
	}
	int64_t next_s = activation_windows_next(&w, now_s);
	if (w.n == 0 || next_s < now_s || !activation_windows_are_open(&w, next_s))
		abort();
	if (next_s > now_s && (activation_windows_are_open(&w, now_s) ||
				      activation_windows_are_open(&w, next_s - 1)))
		abort();
	return 0;
}
