// SPDX-License-Identifier: Apache-2.0

/// What docker-compose prints, behind the compose file that it is about: the input up to the first
/// line "--" is that file, the rest are the lines.

#include "base/cleanup.h"
#include "docker/compose_output.h"
#include "docker/compose_values.h"
#include "docker/compose_variables.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char mark[] = "\n--\n";
	struct lm_str all = {(const char *)data, size};
	const char *end = memmem(all.p, all.n, mark, sizeof(mark) - 1);
	struct lm_str file = {all.p, end ? (size_t)(end - all.p) : 0};
	struct lm_str lines = {all.p + file.n, all.n - file.n};
	lm_auto_buf struct lm_buf a = LM_BUF(1 << 16), b = LM_BUF(1 << 16);
	lm_auto(compose_reason_finish) struct compose_reason reason;
	struct compose_quotes quotes = {0};
	struct compose_values *values = compose_values_create();

	compose_values_add_file(values, file);
	compose_values_add_env_file(values, file);
	compose_reason_init(&reason);
	while (lines.n > 0) {
		compose_line_clean(lm_str_cut(&lines, '\n'), &b);
		enum compose_line_kind kind = compose_line_read(lm_buf_str(&b), &a);
		compose_references_describe(file, compose_line_unset(lm_buf_str(&a)), &b);
		if (!compose_quotes_strip(&quotes, lm_buf_str(&a), &b))
			continue;
		lm_buf_clear(&a);
		compose_values_mask(values, lm_buf_str(&b), &a);
		compose_line_explain_key(lm_buf_str(&a), "1.29.2", &b);
		compose_reason_add(&reason, kind, lm_buf_str(&b));
	}
	(void)!compose_reason_class(compose_reason_text(&reason));
	compose_values_destroy(values);
	return 0;
}
