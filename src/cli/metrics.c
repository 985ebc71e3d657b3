// SPDX-License-Identifier: Apache-2.0
/// `lighterman metrics`.

#include "cli/ask.h"
#include "cli/command.h"

static void print_json(const struct call *call, const char *text)
{
	lm_auto_json json_t *document = json_pack("{s:s}", "metrics", text);

	command_print_json(call, document);
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
		return command_fail(call, EXIT_FAILED,
			message ? message : "lightermand's answer has no metrics");
	}
	if (call->json)
		print_json(call, text);
	else
		command_print(call, lm_str(text));
	return EXIT_DONE;
}
