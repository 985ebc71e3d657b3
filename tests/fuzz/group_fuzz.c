// SPDX-License-Identifier: Apache-2.0
#include "config/definition.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto(faults_finish) struct definition_faults faults = {0};
	lm_auto(group_destroy_p) struct group *group = NULL;
	struct lm_err err = {0};
	struct lm_str text = {(const char *)data, size};

	if (definition_parse(text, &faults, &group, &err)) {
		// A refusal always says why.
		if (faults.n == 0 || !err.msg[0])
			abort();
		return 0;
	}
	// What was accepted reads back as the same.
	lm_auto(faults_finish) struct definition_faults again = {0};
	lm_auto(group_destroy_p) struct group *copy = NULL;
	lm_auto_json json_t *json = group_to_json(group);
	if (definition_parse_json(json, &again, &copy, &err) || !group_equal(group, copy))
		abort();
	return 0;
}
