// SPDX-License-Identifier: Apache-2.0
#include "cli/cmd_verify.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/memory.h"
#include "cli/follow.h"
#include "cli/output.h"
#include "cli/render.h"

#include <string.h>

enum { IMAGE_LINE_MAX = 64 << 10 };

void verify_render_generations(struct lm_buf *out, const json_t *generations)
{
	size_t n = json_array_size(generations);

	for (size_t i = 0; i < n; i++)
		(void)lm_buf_printf(out, "%s%lld",
			i > 0   ? ", "
			: n > 1 ? ", of generations "
				: ", of generation ",
			(long long)json_integer_value(json_array_get(generations, i)));
}

char *verify_render_image(const json_t *verify)
{
	lm_auto_buf struct lm_buf out = LM_BUF(IMAGE_LINE_MAX);
	const char *state = json_get_text(verify, "state");
	char bytes[FORMAT_SIZE];
	char duration[FORMAT_SIZE];
	char time[FORMAT_SIZE];

	if (!state || strcmp(state, "reading") == 0)
		return NULL;
	(void)lm_buf_printf(&out, "%-10s  ", state);
	render_member(&out, verify, "image", "");
	verify_render_generations(&out, json_object_get(verify, "generations"));
	int64_t n = json_get_int(verify, "bytes", 0);
	if (strcmp(state, "ok") == 0 && n > 0)
		(void)lm_buf_printf(&out, ": %s in %s", format_bytes((uint64_t)n, bytes),
			format_duration(json_get_int(verify, "ms", 0), duration));
	render_member(&out, verify, "message", ": ");
	const json_t *replaced = json_object_get(verify, "replaced_ms");
	if (json_is_integer(replaced))
		(void)lm_buf_printf(
			&out, "; replaced at %s", format_time(json_integer_value(replaced), time));
	return lm_buf_take(&out);
}

static int print_json(const struct call *call, const struct answer *answer, const char *why)
{
	lm_auto_json json_t *document = answer->last ? json_copy(answer->last) : json_object();

	json_object_set_new(document, "exit", json_integer(answer->exit_status));
	if (why) {
		lm_auto_free char *plain = sanitize_text(why);
		json_object_set_new(document, "message", json_string(plain));
	}
	json_object_set(document, "verified", answer->verified);
	json_object_set(document, "warnings", answer->warnings);
	output_json(call, document);
	return answer->exit_status;
}

int cmd_verify(const struct call *call)
{
	const struct follow_texts texts = {.source = "lighterman",
		.image = verify_render_image,
		.interrupted = "interrupted; no image is read any more",
		.quiet = true};
	lm_auto_json json_t *request = json_pack("{s:s}", "command", "verify");
	lm_auto(answer_finish) struct answer answer = {0};
	struct lm_err err = {0};
	const char *why = NULL;

	if (follow_run(call, &texts, request, &answer, &err))
		why = err.msg;
	else if (answer.exit_status != EXIT_DONE)
		why = json_get_text(answer.last, "message");
	if (call->json)
		return print_json(call, &answer, why);
	if (why)
		output_error(call->err, why);
	else if (json_array_size(answer.verified) == 0)
		output_text(call, LM_STR("no generation has images yet\n"));
	return answer.exit_status;
}
