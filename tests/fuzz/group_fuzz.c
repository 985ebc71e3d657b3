// SPDX-License-Identifier: Apache-2.0
#include "config/definition.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};
	lm_auto(group_destroy_p) struct group *group = NULL;
	struct lm_err err = {0};
	struct lm_str text = {(const char *)data, size};

	if (definition_parse(text, &errors, &group, &err)) {
		// A refusal always says why.
		if (errors.n == 0 || !err.msg[0])
			abort();
		return 0;
	}
	// What was accepted reads back as the same.
	lm_auto(validation_errors_finish) struct validation_errors again = {0};
	lm_auto(group_destroy_p) struct group *copy = NULL;
	lm_auto_json json_t *json = group_to_json(group);
	if (definition_parse_json(json, &again, &copy, &err))
		abort();
	lm_auto_json json_t *copied = group_to_json(copy);
	if (!json_equal(json, copied))
		abort();
	return 0;
}
