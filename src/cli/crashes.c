// SPDX-License-Identifier: Apache-2.0
/// `lighterman crashes`.

#include "base/limits.h"
#include "cli/ask.h"
#include "cli/command.h"
#include "cli/crashes_page.h"

static void print_crashes(const struct call *call, const json_t *crashes)
{
	// Escaped, it is longer than what came.
	lm_auto_buf struct lm_buf page = LM_BUF(16 * LIMIT_CONTROL_REPLY);

	if (call->json) {
		command_print_json(call, crashes);
		return;
	}
	crashes_page_add(crashes, &page);
	command_print(call, lm_buf_str(&page));
}

int command_crashes(const struct call *call)
{
	lm_auto_json json_t *last = NULL;
	int failure = ask_for(call, "crashes", &last);

	if (failure)
		return failure;
	const json_t *crashes = json_object_get(last, "crashes");
	if (!json_is_array(crashes)) {
		const char *message = json_get_text(last, "message");
		return command_fail(call, EXIT_FAILED,
			message ? message : "lightermand's answer has no crashes");
	}
	print_crashes(call, crashes);
	return EXIT_DONE;
}
