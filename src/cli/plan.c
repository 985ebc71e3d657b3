// SPDX-License-Identifier: Apache-2.0
/// `lighterman plan`.

#include "base/limits.h"
#include "cli/command.h"
#include "cli/follow.h"
#include "cli/group_file.h"
#include "cli/input.h"
#include "cli/plain.h"
#include "cli/plan_page.h"

/// `why` the deployment would fail; NULL: it would not.
static int print_plan(
	const struct call *call, const struct answer *answer, json_t *plan, const char *why)
{
	// Escaped and padded, it is longer than what came.
	lm_auto_buf struct lm_buf page = LM_BUF(16 * LIMIT_CONTROL_REPLY);

	if (call->json) {
		json_object_set(plan, "warnings", answer->warnings);
		command_print_json(call, plan);
		return answer->exit_status;
	}
	plan_page_add(plan, &page);
	command_print(call, lm_buf_str(&page));
	if (why)
		command_complain(call->err, why);
	return answer->exit_status;
}

/// Of a group file that is not valid every fault has been told.
static int fail(const struct call *call, const struct answer *answer, const char *why, int status)
{
	bool told = status == EXIT_INVALID && json_array_size(answer->faults) > 0;

	if (call->json) {
		lm_auto_json json_t *document = answer_to_json(answer, why);
		command_print_json(call, document);
	} else if (!told) {
		command_complain(call->err, why);
	}
	return status;
}

int command_plan(const struct call *call)
{
	const struct follow_words words = {.source = input_name(call->argument),
		.interrupted = "the plan was given up",
		.quiet = true};
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_GROUP_FILE);
	lm_auto(answer_finish) struct answer answer = {0};
	struct lm_err why = {0};

	if (!group_file_read(call, &text))
		return EXIT_INVALID;
	lm_auto_json json_t *request =
		json_pack("{s:s, s:s%}", "command", "plan", "group", text.data, text.len);
	if (follow_run(call, &words, request, &answer, &why))
		return fail(call, &answer, why.msg, answer.exit_status);
	const char *message = json_get_text(answer.last, "message");
	lm_auto_json json_t *plan = plan_document(answer.plan);
	if (answer.exit_status != EXIT_DONE && !plan)
		return fail(
			call, &answer, message ? message : "there is no plan", answer.exit_status);
	if (!plan)
		return fail(call, &answer,
			"lightermand's answer has no plan: is it of the same version as "
			"lighterman?",
			EXIT_FAILED);
	return print_plan(call, &answer, plan, message);
}
