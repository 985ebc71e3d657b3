// SPDX-License-Identifier: Apache-2.0
#include "aws/profile_file.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct lm_str part, struct lm_str whole)
{
	if (part.n && (part.p < whole.p || part.p + part.n > whole.p + whole.n))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lm_str text = {(const char *)data, size};

	for (int kind = PROFILE_FILE_CREDENTIALS; kind <= PROFILE_FILE_CONFIG; kind++) {
		lm_auto_profile_file struct profile_file f = {0};
		struct lm_err err = {0};
		lm_rc rc = profile_file_parse(text, (enum profile_file_kind)kind, &f, &err);

		if ((rc != LM_OK) != (err.msg[0] != '\0') || (rc != LM_OK && f.n))
			abort();
		for (size_t i = 0; i < f.n; i++) {
			const struct profile_entry *e = &f.entries[i];

			check_inside(e->name, text);
			check_inside(e->key, text);
			check_inside(e->nested, text);
			check_inside(e->value, text);
			if ((e->nested.n && !e->key.n) || (e->value.n && !e->key.n) ||
				!profile_file_has(&f, e->section, e->name))
				abort();
		}
		check_inside(profile_file_get(&f, LM_STR("default"), "region"), text);
		check_inside(profile_file_get_nested(&f, PROFILE_SECTION_SERVICES, LM_STR("dev"),
				     "s3", "endpoint_url"),
			text);
	}
	return 0;
}
