// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor_page.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/plain.h"

enum {
	VERDICT_COLUMN = 9,
	NAME_COLUMN = 20,
	INDENT = VERDICT_COLUMN + NAME_COLUMN,
	WRAP_LEAST = 24, ///< Columns for the sentences; with fewer they are left to the terminal.
};

static const struct {
	const char *word;
	int colour;
} VERDICTS[] = {
	[DOCTOR_OK] = {"ok", 32},
	[DOCTOR_WARNING] = {"warning", 33},
	[DOCTOR_WRONG] = {"WRONG", 31},
	[DOCTOR_SKIPPED] = {"-", 2},
};

enum doctor_verdict doctor_judge(const json_t *check)
{
	const json_t *ok = json_object_get(check, "ok");

	if (json_is_true(ok))
		return json_get_bool(check, "warning", false) ? DOCTOR_WARNING : DOCTOR_OK;
	return json_is_null(ok) ? DOCTOR_SKIPPED : DOCTOR_WRONG;
}

static void add_blanks(struct lm_buf *out, size_t n)
{
	plain_add_padded(out, "", n);
}

/// Appends text that begins at INDENT, in lines of at most `columns` (0: one line).
static void add_wrapped(struct lm_buf *out, const char *text, size_t columns)
{
	lm_auto_free char *plain = plain_text(text);
	struct lm_str rest = lm_str(plain);
	size_t at = INDENT;

	while (rest.n > 0) {
		lm_auto_buf struct lm_buf word = LM_BUF(rest.n);

		(void)lm_buf_add_str(&word, lm_str_cut(&rest, ' '));
		size_t width = plain_width(lm_buf_cstr(&word));
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
	struct lm_buf *out, const struct progress_style *style, enum doctor_verdict verdict)
{
	if (style->colour)
		(void)lm_buf_printf(out, "\x1b[%dm", VERDICTS[verdict].colour);
	plain_add_padded(out, VERDICTS[verdict].word, VERDICT_COLUMN);
	if (style->colour)
		(void)lm_buf_puts(out, "\x1b[0m");
}

void doctor_page_add(
	struct lm_buf *out, const struct progress_style *style, const json_t *check, bool is_more)
{
	lm_auto_free char *name = plain_text(json_get_text(check, "check"));
	const char *message = json_get_text(check, "message");
	const char *mend = json_get_text(check, "mend");
	bool wraps = style->moving && style->columns >= INDENT + WRAP_LEAST;
	size_t columns = wraps ? style->columns : 0;

	add_verdict(out, style, doctor_judge(check));
	plain_add_padded(out, is_more ? "" : name, NAME_COLUMN);
	add_wrapped(out, message ? message : "no message", columns);
	if (!mend)
		return;
	lm_auto_buf struct lm_buf line = LM_BUF(LM_ERR_MSG_SIZE * 4);
	(void)lm_buf_printf(&line, "to mend: %s", mend);
	add_blanks(out, INDENT);
	add_wrapped(out, lm_buf_cstr(&line), columns);
}

void doctor_page_sum(struct lm_buf *out, size_t wrong, size_t warnings)
{
	if (wrong == 0)
		(void)lm_buf_puts(out, "nothing is wrong");
	else
		(void)lm_buf_printf(out, "%zu thing%s wrong", wrong, wrong == 1 ? " is" : "s are");
	if (warnings > 0)
		(void)lm_buf_printf(out, ", %zu warning%s", warnings, warnings == 1 ? "" : "s");
	(void)lm_buf_putc(out, '\n');
}
