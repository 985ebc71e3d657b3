// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor_report.h"

#include "base/memory.h"
#include "base/str.h"
#include "cli/output.h"
#include "cli/render.h"

enum {
	PAGE_MAX = 64 << 10,
	VERDICT_COLUMN = 9,
	NAME_COLUMN = 20,
	INDENT = VERDICT_COLUMN + NAME_COLUMN,
	WRAP_LEAST = 24, ///< Columns for the sentences; with fewer they are left to the terminal.
};

static const struct {
	const char *text;
	int colour;
} VERDICTS[] = {
	[CHECK_OK] = {"ok", 32},
	[CHECK_WARNING] = {"warning", 33},
	[CHECK_PROBLEM] = {"PROBLEM", 31},
	[CHECK_SKIPPED] = {"-", 2},
};

static void add_blanks(struct lm_buf *out, size_t n)
{
	render_padded(out, "", n);
}

/// Appends text that begins at INDENT, in lines of at most `columns` (0: one line).
static void add_wrapped(struct lm_buf *out, const char *text, size_t columns)
{
	lm_auto_free char *plain = sanitize_text(text);
	struct lm_str rest = lm_str(plain);
	size_t at = INDENT;

	while (rest.n > 0) {
		lm_auto_buf struct lm_buf word = LM_BUF(rest.n);

		(void)lm_buf_add_str(&word, lm_str_cut(&rest, ' '));
		size_t width = render_width(lm_buf_cstr(&word));
		if (columns > 0 && at > INDENT && at + 1 + width > columns) {
			(void)lm_buf_putc(out, '\n');
			add_blanks(out, INDENT);
			at = INDENT;
		}
		if (at > INDENT) {
			(void)lm_buf_putc(out, ' ');
			at++;
		}
		(void)lm_buf_add_str(out, lm_buf_str(&word));
		at += width;
	}
	(void)lm_buf_putc(out, '\n');
}

static void add_verdict(
	struct lm_buf *out, const struct terminal_style *style, enum check_verdict verdict)
{
	if (style->colour)
		(void)lm_buf_printf(out, "\x1b[%dm", VERDICTS[verdict].colour);
	render_padded(out, VERDICTS[verdict].text, VERDICT_COLUMN);
	if (style->colour)
		(void)lm_buf_puts(out, "\x1b[0m");
}

void doctor_render(
	struct lm_buf *out, const struct terminal_style *style, const json_t *check, bool is_more)
{
	lm_auto_free char *name = sanitize_text(json_get_text(check, "check"));
	const char *message = json_get_text(check, "message");
	const char *fix = json_get_text(check, "mend");
	bool wraps = style->moving && style->columns >= INDENT + WRAP_LEAST;
	size_t columns = wraps ? style->columns : 0;

	add_verdict(out, style, check_verdict_of(check));
	render_padded(out, is_more ? "" : name, NAME_COLUMN);
	add_wrapped(out, message ? message : "no message", columns);
	if (!fix)
		return;
	lm_auto_buf struct lm_buf line = LM_BUF(LM_ERR_MSG_SIZE * 4);
	(void)lm_buf_printf(&line, "fix: %s", fix);
	add_blanks(out, INDENT);
	add_wrapped(out, lm_buf_cstr(&line), columns);
}

void doctor_render_sum(struct lm_buf *out, size_t problems, size_t warnings)
{
	if (problems == 0)
		(void)lm_buf_puts(out, "no problems found");
	else
		(void)lm_buf_printf(out, "%zu problem%s found", problems, problems == 1 ? "" : "s");
	if (warnings > 0)
		(void)lm_buf_printf(out, ", %zu warning%s", warnings, warnings == 1 ? "" : "s");
	(void)lm_buf_putc(out, '\n');
}

static void print(const struct doctor_report *r, const json_t *check)
{
	lm_auto_buf struct lm_buf page = LM_BUF(PAGE_MAX);
	const json_t *above = json_array_get(r->checks, json_array_size(r->checks) - 1);
	bool is_more = json_equal(json_object_get(above, "check"), json_object_get(check, "check"));

	if (r->call->json)
		return;
	doctor_render(&page, &r->style, check, is_more);
	output_text(r->call, lm_buf_str(&page));
	(void)output_note(r->call, fflush(r->call->out) == 0); // the next may take its time
}

static void doctor_report_keep(void *ctx, json_t *check)
{
	struct doctor_report *r = ctx;

	print(r, check);
	json_array_append_new(r->checks, check);
}

void doctor_report_init(struct doctor_report *r, const struct call *call)
{
	*r = (struct doctor_report){.call = call,
		.style = terminal_get_style(call->out),
		.found = {.add = doctor_report_keep, .ctx = r},
		.checks = json_array()};
}

void doctor_report_finish(struct doctor_report *r)
{
	json_decref(r->checks);
}

void doctor_report_end(const struct doctor_report *r)
{
	lm_auto_buf struct lm_buf page = LM_BUF(PAGE_MAX);

	if (r->call->json) {
		lm_auto_json json_t *document = json_pack(
			"{s:O, s:b}", "checks", r->checks, "ok", (int)(r->found.problems == 0));
		output_json(r->call, document);
		return;
	}
	doctor_render_sum(&page, r->found.problems, r->found.warnings);
	output_text(r->call, lm_buf_str(&page));
}
