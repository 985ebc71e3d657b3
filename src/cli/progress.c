// SPDX-License-Identifier: Apache-2.0
#include "cli/progress.h"

#include "base/limits.h"
#include "base/memory.h"
#include "cli/render.h"

#include <string.h>

enum {
	STAGES_MAX = 100, ///< Kept; a task has a dozen.
	STAGE_COLUMN = 14,
	ROWS_KEPT = 2, ///< Of the terminal: the stage's own line, and the cursor's.
};

struct image {
	char *name;   ///< Fit for a terminal.
	char *shown;  ///< The same in a live line: of a digest, its first digits.
	char *status; ///< Likewise.
	uint64_t bytes_done, bytes_total;
	bool done;
};

struct progress {
	char *stage; ///< Under way; NULL: none.
	uint64_t began_ms;
	char *message; ///< The last one of the stage.
	char *failed;
	struct image *images; ///< Of the stage.
	size_t images_n;
	size_t drawn; ///< Live lines on the screen.
	json_t *stages;
};

struct progress *progress_create(void)
{
	struct progress *p = lm_xcalloc(1, sizeof(*p));

	p->stages = json_array();
	return p;
}

/// Forgets the stage under way.
static void clear_stage(struct progress *p)
{
	for (size_t i = 0; i < p->images_n; i++) {
		free(p->images[i].name);
		free(p->images[i].shown);
		free(p->images[i].status);
	}
	free(p->images);
	free(p->stage);
	free(p->message);
	p->images = NULL;
	p->images_n = 0;
	p->stage = p->message = NULL;
}

void progress_destroy(struct progress *p)
{
	if (!p)
		return;
	clear_stage(p);
	free(p->failed);
	json_decref(p->stages);
	free(p);
}

void progress_erase(struct progress *p, struct lm_buf *out)
{
	if (p->drawn) // up to the first of them, and clear from there
		(void)lm_buf_printf(out, "\x1b[%zuA\r\x1b[J", p->drawn);
	p->drawn = 0;
}

bool progress_is_drawn(const struct progress *p)
{
	return p->drawn > 0;
}

static void add_mark(struct lm_buf *out, const struct terminal_style *style, bool good)
{
	const char *mark = style->utf8 ? (good ? "✓" : "✗") : (good ? "+" : "x");

	if (style->colour)
		(void)lm_buf_printf(out, "\x1b[%dm%s\x1b[0m ", good ? 32 : 31, mark);
	else
		(void)lm_buf_printf(out, "%s ", mark);
}

static void add_images_sum(const struct progress *p, struct lm_buf *out)
{
	uint64_t sum = 0;
	char bytes[FORMAT_SIZE];

	for (size_t i = 0; i < p->images_n; i++)
		(void)__builtin_add_overflow(sum, p->images[i].bytes_total, &sum);
	(void)lm_buf_printf(out, "  %zu image%s", p->images_n, p->images_n == 1 ? "" : "s");
	if (sum)
		(void)lm_buf_printf(out, ", %s", format_bytes(sum, bytes));
}

/// The final line of a stage.
static void print_finished(struct progress *p, const struct terminal_style *style,
	const char *stage, bool good, int64_t ms, struct lm_buf *out)
{
	char duration[FORMAT_SIZE];

	(void)format_duration(ms, duration);
	if (!style->moving) {
		(void)lm_buf_printf(
			out, "%s: %s %s\n", stage, good ? "done in" : "failed after", duration);
		return;
	}
	progress_erase(p, out);
	add_mark(out, style, good);
	render_padded(out, stage, STAGE_COLUMN);
	(void)lm_buf_puts(out, duration);
	if (p->images_n && good)
		add_images_sum(p, out);
	(void)lm_buf_putc(out, '\n');
}

static void take_end(struct progress *p, const struct terminal_style *style, const char *stage,
	bool good, const json_t *event, struct lm_buf *out)
{
	int64_t ms = json_get_int(event, "ms", 0);

	if (ms < 0)
		ms = 0;
	print_finished(p, style, stage, good, ms, out);
	if (!good) {
		free(p->failed);
		p->failed = lm_xstrdup(stage);
	}
	if (json_array_size(p->stages) < STAGES_MAX)
		(void)json_array_append_new(
			p->stages, json_pack("{s:s, s:I}", "stage", stage, "ms", (json_int_t)ms));
	clear_stage(p);
}

/// A whole digest would leave no room for the name in front of it. The caller frees.
static char *shorten_digest(const char *name)
{
	enum { DIGITS = 12 };
	static const char before[] = "@sha256:";
	const char *at = strstr(name, before);
	size_t n = at ? (size_t)(at - name) + sizeof(before) - 1 + DIGITS : strlen(name);

	return lm_xasprintf("%.*s", (int)n, name);
}

static struct image *find_image(struct progress *p, const char *name)
{
	for (size_t i = 0; i < p->images_n; i++) {
		if (strcmp(p->images[i].name, name) == 0)
			return &p->images[i];
	}
	if (p->images_n == LIMIT_SERVICES)
		return NULL;
	p->images = lm_xrealloc(p->images, (p->images_n + 1) * sizeof(*p->images));
	p->images[p->images_n] =
		(struct image){.name = lm_xstrdup(name), .shown = shorten_digest(name)};
	return &p->images[p->images_n++];
}

static uint64_t progress_get_bytes(const json_t *event, const char *key)
{
	int64_t n = json_get_int(event, key, 0);

	return n > 0 ? (uint64_t)n : 0;
}

static void print_image_done(const struct image *image, const char *stage, struct lm_buf *out)
{
	char bytes[FORMAT_SIZE];

	(void)lm_buf_printf(out, "%s: %s done", stage, image->name);
	if (image->bytes_total)
		(void)lm_buf_printf(out, ", %s", format_bytes(image->bytes_total, bytes));
	(void)lm_buf_putc(out, '\n');
}

static void take_image(struct progress *p, const struct terminal_style *style, const char *stage,
	const json_t *event, struct lm_buf *out)
{
	lm_auto_free char *name = sanitize_text(json_get_text(event, "image"));
	const char *status = json_get_text(event, "status");
	struct image *image = find_image(p, name);

	if (!image)
		return;
	free(image->status);
	image->status = sanitize_text(status);
	image->bytes_done = progress_get_bytes(event, "bytes_done");
	image->bytes_total = progress_get_bytes(event, "bytes_total");
	if (image->bytes_done > image->bytes_total)
		image->bytes_done = image->bytes_total;
	bool done = status && strcmp(status, "done") == 0;
	if (done && !image->done && !style->moving)
		print_image_done(image, stage, out);
	image->done |= done;
}

static void take_message(struct progress *p, const struct terminal_style *style, const char *stage,
	const char *message, struct lm_buf *out)
{
	char *text = sanitize_text(message);

	if (!p->message || strcmp(p->message, text) != 0) {
		progress_erase(p, out);
		(void)lm_buf_printf(out, "%s%s: %s\n", style->moving ? "  " : "", stage, text);
	}
	free(p->message);
	p->message = text;
}

void progress_take(struct progress *p, const struct terminal_style *style, const json_t *event,
	uint64_t now_ms, struct lm_buf *out)
{
	const char *state = json_get_text(event, "state");
	lm_auto_free char *stage = sanitize_text(json_get_text(event, "stage"));
	const char *message = json_get_text(event, "message");

	if (!*stage || !state)
		return;
	if (strcmp(state, "begin") == 0) {
		clear_stage(p);
		p->stage = lm_take(stage);
		p->began_ms = now_ms;
	} else if (strcmp(state, "end") == 0) {
		take_end(p, style, stage, true, event, out);
	} else if (strcmp(state, "fail") == 0) {
		take_end(p, style, stage, false, event, out);
	} else if (strcmp(state, "progress") == 0) {
		if (json_get_text(event, "image"))
			take_image(p, style, stage, event, out);
		else if (message)
			take_message(p, style, stage, message, out);
	}
}

/// One live line, cut to the terminal.
static void draw_line(struct progress *p, const struct terminal_style *style,
	const struct lm_buf *line, struct lm_buf *out)
{
	render_cut(out, line->data ? line->data : "", style->columns);
	(void)lm_buf_putc(out, '\n');
	p->drawn++;
}

static void draw_image(struct progress *p, const struct terminal_style *style,
	const struct image *image, size_t column, struct lm_buf *out)
{
	lm_auto_buf struct lm_buf line = LM_BUF(LIMIT_CONTROL_REPLY),
				  state = LM_BUF(LIMIT_CONTROL_REPLY);
	char bytes[FORMAT_SIZE];

	if (image->bytes_total && image->done)
		(void)lm_buf_puts(&state, format_bytes(image->bytes_total, bytes));
	else if (image->bytes_total)
		(void)lm_buf_puts(
			&state, format_bytes_of(image->bytes_done, image->bytes_total, bytes));
	(void)lm_buf_printf(&state, "%s%s", state.len ? "  " : "", image->status);
	(void)lm_buf_puts(&line, "    ");
	lm_auto_buf struct lm_buf name = LM_BUF(LIMIT_CONTROL_REPLY);
	render_tail(&name, image->shown, column);
	render_padded(&line, name.data ? name.data : "", column + 2);
	(void)lm_buf_add_str(&line, lm_buf_str(&state));
	draw_line(p, style, &line, out);
}

/// The widest name, but so that 30 columns are left for what is behind it.
static size_t name_column(const struct progress *p, const struct terminal_style *style)
{
	enum { BEHIND = 36, LEAST = 12 };
	size_t most = style->columns > BEHIND + LEAST ? style->columns - BEHIND : LEAST;
	size_t column = 0;

	for (size_t i = 0; i < p->images_n; i++) {
		size_t width = render_width(p->images[i].shown);
		if (width > column)
			column = width;
	}
	return column < most ? column : most;
}

/// All images if the terminal is high enough, else those under way and the number of the others.
static void draw_images(struct progress *p, const struct terminal_style *style, struct lm_buf *out)
{
	size_t column = name_column(p, style), shown = 0;
	size_t room = style->rows > ROWS_KEPT + 1 ? style->rows - ROWS_KEPT : 1;
	bool all = p->images_n <= room;

	for (size_t i = 0; i < p->images_n; i++) {
		if (!all && (p->images[i].done || shown + 1 >= room))
			continue;
		draw_image(p, style, &p->images[i], column, out);
		shown++;
	}
	if (!all) {
		lm_auto_buf struct lm_buf line = LM_BUF(64);
		(void)lm_buf_printf(&line, "    and %zu more", p->images_n - shown);
		draw_line(p, style, &line, out);
	}
}

void progress_draw(
	struct progress *p, const struct terminal_style *style, uint64_t now_ms, struct lm_buf *out)
{
	lm_auto_buf struct lm_buf line = LM_BUF(LIMIT_CONTROL_REPLY);
	char duration[FORMAT_SIZE];

	progress_erase(p, out);
	if (!style->moving || !p->stage)
		return;
	int64_t ms = now_ms > p->began_ms ? (int64_t)(now_ms - p->began_ms) : 0;
	(void)lm_buf_puts(&line, style->utf8 ? "· " : "- ");
	render_padded(&line, p->stage, STAGE_COLUMN);
	(void)lm_buf_puts(&line, format_duration(ms, duration));
	draw_line(p, style, &line, out);
	draw_images(p, style, out);
}

const char *progress_failed_stage(const struct progress *p)
{
	return p->failed;
}

json_t *progress_stages(const struct progress *p)
{
	return p->stages;
}
