// SPDX-License-Identifier: Apache-2.0
#include "devices/shadow_sync.h"

#include "base/cleanup.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/// Lines: base, local, cloud; each an object or something else for "there is none".
static void merge(struct lm_str text)
{
	json_t *states[3] = {NULL, NULL, NULL};

	for (int i = 0; i < 3; i++) {
		struct lm_err err = {LM_OK};
		struct lm_str line = lm_str_cut(&text, '\n');

		if (json_parse(line, &states[i], &err) == LM_OK && !json_is_object(states[i])) {
			json_decref(states[i]);
			states[i] = NULL;
		}
	}
	struct shadow_sync_plan plan = {0};
	shadow_sync_decide(states[0], states[1], states[2], &plan);
	// What is merged is what both have next time, and then there is nothing to do.
	struct shadow_sync_plan again = {0};
	shadow_sync_decide(plan.merged, plan.merged, plan.merged, &again);
	if (again.local.action || again.cloud.action || again.conflicts)
		abort();
	if (states[2] && plan.merged && plan.cloud.action == SHADOW_SYNC_DELETE)
		abort();
	shadow_sync_plan_finish(&again);
	shadow_sync_plan_finish(&plan);
	for (int i = 0; i < 3; i++)
		json_decref(states[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lm_str text = {(const char *)data, size};
	struct shadow_sync_reply reply = {0};
	struct lm_err err = {LM_OK};

	merge(text);
	// A topic, and the payload behind the first line's end.
	struct lm_str payload = text;
	struct lm_str topic = lm_str_cut(&payload, '\n');
	if (shadow_sync_reply_read(topic, payload, &reply, &err) && !err.msg[0])
		abort();
	shadow_sync_reply_finish(&reply);
	return 0;
}
