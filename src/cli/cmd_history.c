// SPDX-License-Identifier: Apache-2.0
#include "cli/cmd_history.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "cli/client.h"
#include "cli/output.h"
#include "cli/render.h"
#include "cli/terminal.h"

enum { VERSION_COLUMNS = 12, SENTENCE_MAX = 64 << 10, INDENT = 4 };

static int64_t history_number(const json_t *entry, const char *key)
{
	return json_get_int(entry, key, 0);
}

static char *ended_cell(const json_t *entry, int64_t now_ms)
{
	const json_t *ended = json_object_get(entry, "ended_ms");
	char ago[FORMAT_SIZE];

	if (!json_is_integer(ended))
		return NULL;
	return lm_xstrdup(format_ago(json_integer_value(ended), now_ms, ago));
}

static char *outcome_cell(const json_t *entry)
{
	const json_t *success = json_object_get(entry, "success");
	lm_auto_free char *stage = sanitize_text(json_get_text(entry, "stage"));

	if (!json_is_boolean(success))
		return lm_xstrdup("unfinished");
	if (json_is_true(success))
		return lm_xstrdup("succeeded");
	return *stage ? lm_xasprintf("failed in %s", stage) : lm_xstrdup("failed");
}

static char *version_cell(const json_t *entry)
{
	lm_auto_free char *version = sanitize_text(json_get_text(entry, "compose_version"));
	struct lm_buf cell = LM_BUF(SENTENCE_MAX);

	render_cut(&cell, version, VERSION_COLUMNS);
	return lm_buf_take(&cell);
}

static char *history_state_cell(const json_t *entry)
{
	const struct {
		const char *word;
		bool is_on;
	} states[] = {
		{"current", json_get_bool(entry, "current", false)},
		{"last good", json_get_bool(entry, "last_good", false)},
		{"probation", json_is_object(json_object_get(entry, "probation"))},
		{"quarantine", json_is_object(json_object_get(entry, "quarantine"))},
	};
	struct lm_buf cell = LM_BUF(SENTENCE_MAX);

	for (size_t i = 0; i < LM_ARRAY_SIZE(states); i++)
		if (states[i].is_on)
			(void)lm_buf_printf(&cell, "%s%s", cell.len ? ", " : "", states[i].word);
	return lm_buf_take(&cell);
}

static void history_add_table(const json_t *history, int64_t now_ms, struct lm_buf *out)
{
	static const char *const heads[] = {"GENERATION", "ENDED", "OUTCOME", "VERSION", "STATE"};
	struct table t = {.columns = LM_ARRAY_SIZE(heads)};
	size_t i;
	json_t *entry;

	for (i = 0; i < t.columns; i++)
		table_add(&t, lm_xstrdup(heads[i]));
	json_array_foreach(history, i, entry)
	{
		table_add(&t, lm_xasprintf("%lld", (long long)history_number(entry, "generation")));
		table_add(&t, ended_cell(entry, now_ms));
		table_add(&t, outcome_cell(entry));
		table_add(&t, version_cell(entry));
		table_add(&t, history_state_cell(entry));
	}
	table_render(&t, out);
}

static void history_add_sentence(const struct lm_buf *sentence, size_t columns, struct lm_buf *out)
{
	render_wrapped(out, lm_buf_cstr(sentence), columns, INDENT);
	(void)lm_buf_putc(out, '\n');
}

static void history_add_failure(const json_t *entry, size_t columns, struct lm_buf *out)
{
	lm_auto_buf struct lm_buf sentence = LM_BUF(SENTENCE_MAX);

	if (!json_get_text(entry, "message"))
		return;
	(void)lm_buf_printf(&sentence, "generation %lld failed",
		(long long)history_number(entry, "generation"));
	render_member(&sentence, entry, "stage", " in ");
	render_member(&sentence, entry, "message", ": ");
	history_add_sentence(&sentence, columns, out);
}

static void history_add_probation(
	const json_t *entry, int64_t now_ms, size_t columns, struct lm_buf *out)
{
	const json_t *probation = json_object_get(entry, "probation");
	const json_t *until = json_object_get(probation, "until_ms");
	lm_auto_buf struct lm_buf sentence = LM_BUF(SENTENCE_MAX);
	char time[FORMAT_SIZE], left[FORMAT_SIZE];

	if (!json_is_object(probation))
		return;
	(void)lm_buf_printf(&sentence, "generation %lld is on probation",
		(long long)history_number(entry, "generation"));
	if (json_is_integer(until))
		(void)lm_buf_printf(&sentence, " until %s, for %s",
			format_time(json_integer_value(until), time),
			format_age((json_integer_value(until) - now_ms) / 1000, left));
	history_add_sentence(&sentence, columns, out);
}

static void history_add_quarantine(const json_t *entry, size_t columns, struct lm_buf *out)
{
	const json_t *quarantine = json_object_get(entry, "quarantine");
	const json_t *at = json_object_get(quarantine, "at_ms");
	lm_auto_buf struct lm_buf sentence = LM_BUF(SENTENCE_MAX);
	char time[FORMAT_SIZE];

	if (!json_is_object(quarantine))
		return;
	(void)lm_buf_printf(&sentence, "generation %lld is quarantined",
		(long long)history_number(entry, "generation"));
	if (json_is_integer(at))
		(void)lm_buf_printf(
			&sentence, ", since %s", format_time(json_integer_value(at), time));
	render_member(&sentence, quarantine, "reason", ": ");
	history_add_sentence(&sentence, columns, out);
}

static void history_add_possible(const json_t *history, size_t columns, struct lm_buf *out)
{
	lm_auto_buf struct lm_buf sentence = LM_BUF(SENTENCE_MAX);
	const char *before = "`lighterman rollback GENERATION` can go back to ";
	size_t i;
	json_t *entry;

	json_array_foreach(history, i, entry)
	{
		if (!json_get_bool(entry, "rollback", false) ||
			json_get_bool(entry, "current", false))
			continue;
		(void)lm_buf_printf(&sentence, "%s%lld", before,
			(long long)history_number(entry, "generation"));
		before = ", ";
	}
	if (sentence.len == 0)
		(void)lm_buf_puts(&sentence, "no earlier generation to roll back to");
	history_add_sentence(&sentence, columns, out);
}

void history_render(const json_t *history, int64_t now_ms, size_t columns, struct lm_buf *out)
{
	size_t i;
	json_t *entry;

	if (json_array_size(history) == 0) {
		(void)lm_buf_puts(out, "nothing deployed yet\n");
		return;
	}
	history_add_table(history, now_ms, out);
	(void)lm_buf_putc(out, '\n');
	json_array_foreach(history, i, entry)
	{
		history_add_failure(entry, columns, out);
		history_add_probation(entry, now_ms, columns, out);
		history_add_quarantine(entry, columns, out);
	}
	history_add_possible(history, columns, out);
}

int cmd_history(const struct call *call)
{
	// Escaped and padded, it is longer than what came.
	lm_auto_buf struct lm_buf page = LM_BUF(16 * LIMIT_CONTROL_REPLY);
	lm_auto_json json_t *history = NULL;
	const struct terminal_style style = terminal_get_style(call->out);
	int failure = client_query(call, "history", JSON_ARRAY, &history);

	if (failure)
		return failure;
	if (call->json) {
		output_json(call, history);
		return EXIT_DONE;
	}
	history_render(history, lm_clock_wall_ms(), style.moving ? style.columns : SIZE_MAX, &page);
	output_text(call, lm_buf_str(&page));
	return EXIT_DONE;
}
