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
	[DOCTOR_OK] = {"ok", 32},
	[DOCTOR_WARNING] = {"warning", 33},
	[DOCTOR_PROBLEM] = {"PROBLEM", 31},
	[DOCTOR_SKIPPED] = {"-", 2},
};

/// Of text that is not a check: a problem.
static enum doctor_verdict doctor_judge(const json_t *check)
{
	const json_t *ok = json_object_get(check, "ok");

	if (json_is_true(ok))
		return json_get_bool(check, "warning", false) ? DOCTOR_WARNING : DOCTOR_OK;
	return json_is_null(ok) ? DOCTOR_SKIPPED : DOCTOR_PROBLEM;
}

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
	struct lm_buf *out, const struct terminal_style *style, enum doctor_verdict verdict)
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

	add_verdict(out, style, doctor_judge(check));
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

void doctor_report_init(struct doctor_report *r, const struct call *call)
{
	*r = (struct doctor_report){
		.call = call, .style = terminal_get_style(call->out), .checks = json_array()};
}

void doctor_report_finish(struct doctor_report *r)
{
	json_decref(r->checks);
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

/// Keeps and prints a check; takes ownership of the reference.
static void add(struct doctor_report *r, json_t *check)
{
	enum doctor_verdict verdict = doctor_judge(check);

	r->problems += verdict == DOCTOR_PROBLEM;
	r->warnings += verdict == DOCTOR_WARNING;
	print(r, check);
	json_array_append_new(r->checks, check);
}

static void add_line(
	struct doctor_report *r, json_t *ok, bool warning, const char *message, const char *fix)
{
	char shown[4 * LM_ERR_MSG_SIZE + 32];

	// Names of files need not be UTF-8, and jansson takes nothing else.
	(void)lm_str_shorten(lm_str(message), LM_ERR_MSG_SIZE, shown, sizeof(shown));
	add(r, json_pack("{s:s, s:o, s:b, s:s, s:s?}", "check", r->check, "ok", ok, "warning",
		       (int)warning, "message", shown, "mend", fix));
}

void doctor_report_ok(struct doctor_report *r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	lm_auto_free char *message = lm_xvasprintf(format, ap);
	va_end(ap);
	add_line(r, json_true(), false, message, NULL);
}

void doctor_report_skip(struct doctor_report *r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	lm_auto_free char *message = lm_xvasprintf(format, ap);
	va_end(ap);
	add_line(r, json_null(), false, message, NULL);
}

void doctor_report_warning(struct doctor_report *r, const char *message, const char *fix)
{
	add_line(r, json_true(), true, message, fix);
}

void doctor_report_problem(struct doctor_report *r, const char *message, const char *fix)
{
	add_line(r, json_false(), false, message, fix);
}

void doctor_report_add(struct doctor_report *r, const json_t *check)
{
	add(r, json_deep_copy(check));
}

void doctor_report_end(const struct doctor_report *r)
{
	lm_auto_buf struct lm_buf page = LM_BUF(PAGE_MAX);

	if (r->call->json) {
		lm_auto_json json_t *document =
			json_pack("{s:O, s:b}", "checks", r->checks, "ok", (int)(r->problems == 0));
		output_json(r->call, document);
		return;
	}
	doctor_render_sum(&page, r->problems, r->warnings);
	output_text(r->call, lm_buf_str(&page));
}
