// SPDX-License-Identifier: Apache-2.0
#include "cli/group_file.h"

#include "cli/follow.h"
#include "cli/input.h"
#include "cli/plain.h"
#include "config/definition.h"

static void print_json(const struct call *call, const struct answer *answer)
{
	lm_auto_json json_t *document =
		answer_to_json(answer, "the group file cannot be handed over");

	command_print_json(call, document);
}

static void tell(const struct call *call, const struct definition_faults *faults)
{
	lm_auto(answer_finish) struct answer answer = {
		.faults = json_array(),
		.warnings = json_array(),
		.stages = json_array(),
		.exit_status = EXIT_INVALID,
	};

	for (size_t i = 0; i < faults->n; i++) {
		lm_auto_free char *text = fault_text(&faults->items[i]);
		lm_auto_free char *plain = plain_text(text);
		(void)json_array_append_new(
			answer.faults, json_pack("{s:n, s:n, s:n, s:s, s:s}", "entry", "parameter",
					       "value", "rule", plain, "text", plain));
		if (!call->json)
			(void)fprintf(call->err, "%s: %s\n", input_name(call->argument), plain);
	}
	if (call->json)
		print_json(call, &answer);
}

bool group_file_read(const struct call *call, struct lm_buf *text)
{
	lm_auto(faults_finish) struct definition_faults faults = {0};
	lm_auto_json json_t *document = NULL;
	struct lm_err why = {0};

	if (input_read(call->argument, text, &why))
		faults_add(&faults, NULL, NULL, NULL, "%s", why.msg);
	else
		document = definition_read(lm_buf_str(text), &faults);
	if (faults.n > 0)
		tell(call, &faults);
	return faults.n == 0;
}
