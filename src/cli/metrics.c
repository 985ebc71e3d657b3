// SPDX-License-Identifier: Apache-2.0
/// `lighterman metrics`.

#include "cli/ask.h"
#include "cli/command.h"

static void print_json(const char *text, FILE *out)
{
	lm_auto_json json_t *document = json_pack("{s:s}", "metrics", text);

	(void)json_dumpf(document, out, JSON_INDENT(2));
	(void)fputc('\n', out);
}

int command_metrics(const struct call *call)
{
	lm_auto_json json_t *last = NULL;
	int failure = ask_for(call, "metrics", &last);

	if (failure)
		return failure;
	const char *text = json_get_text(last, "metrics");
	if (!text) {
		const char *message = json_get_text(last, "message");
		command_complain(
			call->err, message ? message : "lightermand's answer has no metrics");
		return EXIT_FAILED;
	}
	if (call->json)
		print_json(text, call->out);
	else
		(void)fputs(text, call->out);
	return EXIT_DONE;
}
