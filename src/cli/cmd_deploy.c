// SPDX-License-Identifier: Apache-2.0
#include "cli/cmd_deploy.h"

#include "base/limits.h"
#include "cli/follow.h"
#include "cli/group_file.h"
#include "cli/output.h"
#include "cli/render.h"
#include "deploy/stages.h"

#include <string.h>

struct action {
	struct follow_texts texts;
	const char *noun; ///< "deployment": "the deployment failed".
	const char *of;   ///< "the deployment of generation 3"; NULL: "of".
	const char *done; ///< "deployed": "deployed generation 3 in 4.2 s". NULL: see `finished`.
	const char *started, *finished; ///< Used in place of that.
};

static void deploy_print_json(
	const struct call *call, const struct answer *answer, const char *message)
{
	lm_auto_json json_t *document = answer_to_json(answer, message);

	output_json(call, document);
}

/// "deployed generation 3 in 4.2 s"; lightermand's own sentence, if it has one, is more to the
/// point where there was nothing to wait for.
static void print_done(const struct call *call, const struct action *action, const json_t *last)
{
	const json_t *generation = json_object_get(last, "generation");
	const json_t *ms = json_object_get(last, "ms");
	const char *message = json_get_text(last, "message");
	char duration[FORMAT_SIZE];

	if (action->done && json_is_integer(generation) && json_is_integer(ms))
		(void)fprintf(call->out, "%s generation %lld in %s\n", action->done,
			(long long)json_integer_value(generation),
			format_duration(json_integer_value(ms), duration));
	else if (!message && action->started && call->no_wait && json_is_integer(generation))
		(void)fprintf(call->out, "the %s %s generation %lld %s\n", action->noun,
			action->of ? action->of : "of", (long long)json_integer_value(generation),
			action->started);
	else if (!message)
		(void)fprintf(call->out, "%s\n", action->finished);
	if (message) {
		lm_auto_free char *shown = sanitize_text(message);
		(void)fprintf(call->out, "%s\n", shown);
	}
}

/// What failed, where, why, and what has become of what ran before.
static void print_failed(
	const struct call *call, const struct action *action, const struct answer *answer)
{
	const json_t *generation = json_object_get(answer->last, "generation");
	lm_auto_free char *message = sanitize_text(json_get_text(answer->last, "message"));
	const char *effect =
		deploy_effect_text(deploy_effect_from_name(json_get_text(answer->last, "effect")));
	bool reported = answer->exit_status == EXIT_INVALID && json_array_size(answer->faults);

	if (reported)
		return;
	(void)fputs("lighterman: ", call->err);
	if (json_is_integer(generation))
		(void)fprintf(call->err, "the %s %s generation %lld failed%s%s: ", action->noun,
			action->of ? action->of : "of", (long long)json_integer_value(generation),
			answer->failed_stage ? " in " : "",
			answer->failed_stage ? answer->failed_stage : "");
	else if (!*message)
		(void)fprintf(call->err, "the %s failed: ", action->noun);
	(void)fprintf(call->err, "%s%s%s\n", *message ? message : "see lightermand's log",
		*effect ? "; " : "", effect);
}

/// Asks, follows, and reports the outcome. Returns the exit status.
static int run_action(const struct call *call, const struct action *action, const json_t *request)
{
	lm_auto(answer_finish) struct answer answer = {0};
	struct lm_err why = {0};
	lm_rc rc = follow_run(call, &action->texts, request, &answer, &why);

	if (call->json)
		deploy_print_json(call, &answer, rc ? why.msg : NULL);
	else if (rc)
		output_error(call->err, why.msg);
	else if (answer.exit_status == EXIT_DONE)
		print_done(call, action, answer.last);
	else
		print_failed(call, action, &answer);
	return answer.exit_status;
}

/// What waits already.
static int activate_now(const struct call *call)
{
	static const struct action action = {
		.texts = {.source = "lighterman",
			.interrupted = "the deployment continues; see `lighterman status`"},
		.noun = "activation",
		.finished = "activated",
	};
	lm_auto_json json_t *request = json_pack("{s:s, s:b}", "command", "deploy", "now", 1);

	return run_action(call, &action, request);
}

static int deploy_group(const struct call *call)
{
	const struct action action = {
		.texts = {.source = group_file_name(call->argument),
			.doing = "deploying",
			.interrupted = "the deployment continues; see `lighterman status`"},
		.noun = "deployment",
		.done = "deployed",
		.started = "has started; see `lighterman status`",
		.finished = "deployed",
	};
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_GROUP_FILE);
	int status;

	if (!group_file_load(call, &text, &status))
		return status;
	lm_auto_json json_t *request = json_pack("{s:s, s:s%, s:b, s:b}", "command", "deploy",
		"group", text.data, text.len, "wait", !call->no_wait, "now", call->now);
	return run_action(call, &action, request);
}

int cmd_deploy(const struct call *call)
{
	return call->argument ? deploy_group(call) : activate_now(call);
}

int cmd_rollback(const struct call *call)
{
	static const struct action action = {
		.texts = {.source = "lighterman",
			.doing = "rolling back to",
			.interrupted = "the rollback continues; see `lighterman status`"},
		.noun = "rollback",
		.of = "to",
		.done = "rolled back to",
		.started = "has started; see `lighterman status`",
		.finished = "rolled back",
	};
	uint64_t generation = 0;

	if (call->argument &&
		(!lm_str_to_u64(lm_str(call->argument), INT32_MAX, &generation) || generation == 0))
		return output_fail(call, EXIT_USAGE,
			"GENERATION must be a number; `lighterman history` lists the generations");
	lm_auto_json json_t *request = json_pack("{s:s, s:I, s:b}", "command", "rollback",
		"generation", (json_int_t)generation, "wait", !call->no_wait);
	return run_action(call, &action, request);
}

int cmd_start(const struct call *call)
{
	static const struct action action = {
		.texts = {.source = "lighterman",
			.doing = "starting",
			.interrupted = "the start continues; see `lighterman status`"},
		.noun = "start",
		.done = "started",
		.finished = "started",
	};
	lm_auto_json json_t *request = json_pack("{s:s}", "command", "start");

	return run_action(call, &action, request);
}

int cmd_stop(const struct call *call)
{
	static const struct action action = {
		.texts = {.source = "lighterman",
			.interrupted = "the stop continues; see `lighterman status`"},
		.noun = "stop",
		.finished = "stopped; `lighterman start` or a deployment starts it again",
	};
	lm_auto_json json_t *request = json_pack("{s:s}", "command", "stop");

	return run_action(call, &action, request);
}
