// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"
#include "worker/ship_logs.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/// Every byte is in one event or ends one, and each event goes into one batch of its day.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto_free char *copy = lm_xmemdup0(data, size);
	struct lm_str text = {copy, size};
	lm_auto_free struct log_event *events = NULL;
	size_t n = ship_logs_split(text, 1597147200000, &events);
	size_t bytes = 0;

	for (size_t i = 0; i < n; i++)
		bytes += events[i].message.n + 1;
	if (bytes != size && bytes != size + 1)
		abort();
	for (size_t i = 0; i < n;) {
		size_t day = ship_logs_one_day(events + i, n - i);
		size_t batch = cloudwatch_logs_fit(events + i, day);
		lm_auto_free char *stream = ship_logs_stream_name(events[i].time_ms, copy);

		if (batch == 0 || batch > day || !cloudwatch_logs_is_stream(lm_str(stream)))
			abort();
		i += batch;
	}
	return 0;
}
