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
		struct profile p = {0};
		struct lm_err err = {0};
		lm_rc rc = profile_file_find(
			text, (enum profile_file_kind)kind, LM_STR("default"), &p, &err);

		if ((rc != LM_OK) != (err.msg[0] != '\0') || (rc != LM_OK && p.found))
			abort();
		if (!p.found && (p.access_key_id.n || p.elsewhere || p.process))
			abort();
		check_inside(p.access_key_id, text);
		check_inside(p.secret_access_key, text);
		check_inside(p.session_token, text);
	}
	return 0;
}
