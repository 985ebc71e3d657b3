// SPDX-License-Identifier: Apache-2.0
#include "cli/follow.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "cli/client.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/render.h"
#include "cli/terminal.h"

enum {
	LINES_KEPT = 1000,                ///< Of faults, and of warnings.
	PARTS_KEPT = 20 * LIMIT_SERVICES, ///< Of a plan.
	DRAW_MS = 100,                    ///< Live lines are drawn at most so often,
	TICK_MS = 250,                    ///< and at least so often, for the seconds that pass.
	EXIT_MAX = 125,                   ///< More are the shell's own.
};

struct follow {
	const struct call *call;
	const struct follow_texts *texts;
	struct answer *answer;
	struct progress *progress;
	struct terminal_style style;
	uint64_t drawn_ms;
	unsigned begun; ///< Generations: a second one means that the first is rolled back.
};

static void write_out(const struct follow *f, const struct lm_buf *text)
{
	if (text->len == 0)
		return;
	output_text(f->call, lm_buf_str(text));
	(void)output_note(f->call, fflush(f->call->out) == 0);
}

static void draw(struct follow *f)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_CONTROL_REPLY);

	f->drawn_ms = lm_clock_mono_ms();
	terminal_measure(f->call->out, &f->style);
	progress_draw(f->progress, &f->style, f->drawn_ms, &text);
	write_out(f, &text);
}

static void tick(void *ctx)
{
	draw(ctx);
}

static void erase(struct follow *f)
{
	lm_auto_buf struct lm_buf text = LM_BUF(64);

	progress_erase(f->progress, &text);
	write_out(f, &text);
}

/// One line for people on `to`, with the live lines out of the way.
static void follow_print_line(struct follow *f, FILE *to, const char *before, const char *text)
{
	lm_auto_free char *shown = sanitize_text(text);

	if (f->call->json)
		return;
	erase(f);
	bool done = fprintf(to, "%s%s\n", before, shown) >= 0 && fflush(to) == 0;
	(void)output_note(f->call, done || to != f->call->out);
}

static void follow_take_progress(struct follow *f, const json_t *event)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_CONTROL_REPLY);

	if (f->texts->quiet && !f->call->json)
		erase(f);
	progress_take(f->progress, &f->style, event, lm_clock_mono_ms(), &text);
	if (!f->call->json && !f->texts->quiet)
		write_out(f, &text);
}

static void take_fault(struct follow *f, json_t *fault)
{
	lm_auto_free char *before = lm_xasprintf("%s: ", f->texts->source);
	const char *text = json_get_text(fault, "text");

	if (json_array_size(f->answer->faults) < LINES_KEPT)
		(void)json_array_append(f->answer->faults, fault);
	if (text)
		follow_print_line(f, f->call->err, before, text);
}

static void take_warning(struct follow *f, json_t *warning)
{
	lm_auto_free char *before = lm_xasprintf("%s: warning: ", f->texts->source);

	if (!json_is_string(warning))
		return;
	if (json_array_size(f->answer->warnings) < LINES_KEPT)
		(void)json_array_append(f->answer->warnings, warning);
	follow_print_line(f, f->call->err, before, json_string_value(warning));
}

static void take_plan(struct follow *f, json_t *part)
{
	if (json_array_size(f->answer->plan) < PARTS_KEPT)
		(void)json_array_append(f->answer->plan, part);
}

/// What is under way is not kept.
static void take_verified(struct follow *f, json_t *verify)
{
	lm_auto_free char *line = f->texts->image ? f->texts->image(verify) : NULL;

	if (!line)
		return;
	if (json_array_size(f->answer->verified) < LIMIT_LOCAL_IMAGES)
		(void)json_array_append(f->answer->verified, verify);
	follow_print_line(f, f->call->out, "", line);
}

static void take_generation(struct follow *f, int64_t generation)
{
	const char *doing = f->begun++ > 0 ? "rolling back to" : f->texts->doing;
	lm_auto_free char *text = NULL;

	if (!f->texts->doing || f->call->no_wait)
		return;
	text = lm_xasprintf("%s generation %lld", doing, (long long)generation);
	follow_print_line(f, f->call->out, "", text);
}

/// A line before the last. An unknown one, of a later lightermand, is ignored.
static void follow_take_line(struct follow *f, const json_t *line)
{
	json_t *event = json_object_get(line, "progress");
	json_t *fault = json_object_get(line, "fault");
	json_t *generation = json_object_get(line, "generation");
	json_t *plan = json_object_get(line, "plan");
	json_t *verify = json_object_get(line, "verify");

	if (event)
		follow_take_progress(f, event);
	else if (fault)
		take_fault(f, fault);
	else if (plan)
		take_plan(f, plan);
	else if (verify)
		take_verified(f, verify);
	else if (json_is_integer(generation))
		take_generation(f, json_integer_value(generation));
	else
		take_warning(f, json_object_get(line, "warning"));
}

static lm_rc take_last(struct follow *f, json_t *line, struct lm_err *err)
{
	int64_t status = json_get_int(line, "exit", -1);

	f->answer->last = line;
	if (status < 0 || status > EXIT_MAX)
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"lightermand's answer has an invalid exit status; are lighterman and "
			"lightermand the same version?");
	f->answer->exit_status = (int)status;
	return LM_OK;
}

static lm_rc follow_read_answer(
	struct follow *f, struct client *client, const struct wait_limit *limit, struct lm_err *err)
{
	for (;;) {
		json_t *line = NULL;
		lm_rc rc = client_read(client, limit, &line, err);

		if (rc)
			return rc;
		if (json_object_get(line, "exit"))
			return take_last(f, line, err);
		follow_take_line(f, line);
		json_decref(line);
		bool due = !progress_is_drawn(f->progress) ||
			   lm_clock_mono_ms() - f->drawn_ms >= DRAW_MS;
		if (limit->alive && due && !client_has_line(client))
			draw(f);
	}
}

static lm_rc fail_interrupted(const struct follow *f, bool asked, struct lm_err *err)
{
	if (!asked)
		return lm_fail(err, LM_E_CANCELLED, 0, "interrupted before the request was sent");
	return lm_fail(err, LM_E_CANCELLED, 0, "%s", f->texts->interrupted);
}

/// Asks and reads. The live lines of an incomplete answer stay on the screen.
static lm_rc follow_ask(struct follow *f, const json_t *request, int cancel_fd, struct lm_err *err)
{
	lm_auto(client_close_p) struct client *client = NULL;
	lm_auto_free char *path = client_socket_path(f->call);
	struct wait_limit limit = {.cancel_fd = cancel_fd};

	lm_rc rc = client_open(path, request, &limit, &client, err);
	if (rc == LM_E_CANCELLED)
		return fail_interrupted(f, false, err);
	if (rc) {
		f->answer->exit_status = EXIT_UNREACHABLE;
		return rc;
	}
	if (f->style.moving && !f->call->json) {
		limit.alive = tick;
		limit.alive_ctx = f;
		limit.alive_ms = TICK_MS;
	}
	rc = follow_read_answer(f, client, &limit, err);
	if (rc == LM_E_CANCELLED)
		return fail_interrupted(f, true, err);
	if (!rc)
		erase(f);
	return rc;
}

lm_rc follow_run(const struct call *call, const struct follow_texts *texts, const json_t *request,
	struct answer *ret, struct lm_err *err)
{
	lm_auto(progress_destroy_p) struct progress *progress = progress_create();
	lm_auto(interrupt_finish) struct interrupt interrupt;

	*ret = (struct answer){
		.faults = json_array(),
		.warnings = json_array(),
		.stages = json_incref(progress_stages(progress)),
		.plan = json_array(),
		.verified = json_array(),
		.exit_status = EXIT_FAILED,
	};
	struct follow f = {.call = call,
		.texts = texts,
		.answer = ret,
		.progress = progress,
		.style = terminal_get_style(call->out)};
	lm_rc rc = interrupt_init(&interrupt, err);
	if (rc)
		return rc;
	rc = follow_ask(&f, request, interrupt.fd, err);
	if (progress_failed_stage(progress))
		ret->failed_stage = lm_xstrdup(progress_failed_stage(progress));
	return rc;
}

void answer_finish(struct answer *answer)
{
	json_decref(answer->last);
	json_decref(answer->faults);
	json_decref(answer->warnings);
	json_decref(answer->stages);
	json_decref(answer->plan);
	json_decref(answer->verified);
	free(answer->failed_stage);
	*answer = (struct answer){0};
}

json_t *answer_to_json(const struct answer *answer, const char *message)
{
	json_t *document = answer->last ? json_copy(answer->last) : json_object();

	if (message) {
		lm_auto_free char *plain = sanitize_text(message); // paths need not be UTF-8
		(void)json_object_set_new(document, "exit", json_integer(answer->exit_status));
		(void)json_object_set_new(document, "message", json_string(plain));
	}
	(void)json_object_set(document, "faults", answer->faults);
	(void)json_object_set(document, "warnings", answer->warnings);
	(void)json_object_set(document, "stages", answer->stages);
	return document;
}
