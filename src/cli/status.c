// SPDX-License-Identifier: Apache-2.0
/// `lighterman status`.

#include "base/clock.h"
#include "base/limits.h"
#include "cli/ask.h"
#include "cli/command.h"
#include "cli/status_page.h"

static void print_status(const struct call *call, const json_t *status)
{
	// Escaped and padded, it is longer than what came.
	lm_auto_buf struct lm_buf page = LM_BUF(16 * LIMIT_CONTROL_REPLY);

	if (call->json) {
		command_print_json(call, status);
		return;
	}
	status_page_add(status, lm_clock_wall_ms(), &page);
	command_print(call, lm_buf_str(&page));
}

int command_status(const struct call *call)
{
	lm_auto_json json_t *last = NULL;
	int failure = ask_for(call, "status", &last);

	if (failure)
		return failure;
	const json_t *status = json_object_get(last, "status");
	if (!json_is_object(status)) {
		const char *message = json_get_text(last, "message");
		return command_fail(call, EXIT_FAILED,
			message ? message : "lightermand's answer has no status");
	}
	print_status(call, status);
	return EXIT_DONE;
}
