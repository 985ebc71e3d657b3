// SPDX-License-Identifier: Apache-2.0
#include "cli/group_file.h"

#include "base/file.h"
#include "cli/follow.h"
#include "cli/output.h"
#include "cli/render.h"
#include "config/definition.h"

#include <string.h>
#include <unistd.h>

static bool is_standard_input(const char *path)
{
	return strcmp(path, "-") == 0;
}

const char *group_file_name(const char *path)
{
	return is_standard_input(path) ? "standard input" : path;
}

lm_rc group_file_read(const char *path, struct lm_buf *out, struct lm_err *err)
{
	if (is_standard_input(path))
		return lm_fd_read_all(STDIN_FILENO, group_file_name(path), out, err);
	return lm_file_read(path, out, err);
}

static void group_file_print_json(const struct call *call, const struct answer *answer)
{
	lm_auto_json json_t *document = answer_to_json(answer, "cannot send the group file");

	output_json(call, document);
}

static void group_file_report(const struct call *call, const struct validation_errors *errors)
{
	lm_auto(answer_finish) struct answer answer = {
		.faults = json_array(),
		.warnings = json_array(),
		.stages = json_array(),
		.exit_status = EXIT_INVALID,
	};

	for (size_t i = 0; i < errors->n; i++) {
		lm_auto_free char *text = validation_error_text(&errors->items[i]);
		lm_auto_free char *plain = sanitize_text(text);
		(void)json_array_append_new(
			answer.faults, json_pack("{s:n, s:n, s:n, s:s, s:s}", "entry", "parameter",
					       "value", "rule", plain, "text", plain));
		if (!call->json)
			(void)fprintf(
				call->err, "%s: %s\n", group_file_name(call->argument), plain);
	}
	if (call->json)
		group_file_print_json(call, &answer);
}

bool group_file_load(const struct call *call, struct lm_buf *text)
{
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};
	lm_auto_json json_t *document = NULL;
	struct lm_err why = {0};

	if (group_file_read(call->argument, text, &why))
		validation_errors_add(&errors, NULL, NULL, NULL, "%s", why.msg);
	else
		document = definition_read(lm_buf_str(text), &errors);
	if (errors.n > 0)
		group_file_report(call, &errors);
	return errors.n == 0;
}
