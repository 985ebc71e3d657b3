// SPDX-License-Identifier: Apache-2.0

/// The engine's stream of events, split where the first byte says, and each event in it.

#include "base/cleanup.h"
#include "docker/engine_json.h"
#include "events/event_stream.h"

#include <ctype.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static lm_rc on_object(void *ctx, struct lm_str object, struct lm_err *err)
{
	lm_auto_json json_t *json = NULL;
	struct engine_event event;
	(void)ctx;

	if (engine_event_parse(object, &json, &event, err))
		return LM_OK;
	// What was accepted goes into a request, and into texts.
	for (const char *c = event.id; *c; c++)
		if (!isalnum((unsigned char)*c))
			abort();
	if (!event.name || !event.service || !event.image || event.time_ns <= 0)
		abort();
	return LM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto(json_stream_finish) struct json_stream stream;
	struct lm_str text = {(const char *)data, size};
	size_t split = size == 0 ? 0 : data[0] % size;
	struct lm_err err = {LM_OK};

	json_stream_init(&stream);
	if (json_stream_feed(&stream, (struct lm_str){text.p, split}, on_object, NULL, &err) ==
		LM_OK)
		(void)!json_stream_feed(&stream, (struct lm_str){text.p + split, size - split},
			on_object, NULL, &err);
	return 0;
}
