// SPDX-License-Identifier: Apache-2.0
#include "daemon/textfile.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { EVERY_MS = 15 * 1000 };

struct textfile {
	char *path;
	textfile_text *text;
	void *ctx;
	struct loop_timer *timer; ///< Runs while a change is to be written.
	uint64_t next_ms;         ///< Not earlier than then.
	char *written;            ///< What the file holds; NULL: unknown.
	size_t written_n;
	bool failed; ///< The log knows that it cannot be written.
};

/// Whether the file is there with this text. What changes is often not told: each failed attempt
/// to connect is a change, and the disk is to be spared.
static bool is_written(const struct textfile *t, struct lm_str text)
{
	struct stat st;

	return t->written && lm_str_eq(text, (struct lm_str){t->written, t->written_n}) &&
	       lstat(t->path, &st) == 0 && S_ISREG(st.st_mode) && (size_t)st.st_size == text.n;
}

static lm_rc replace_file(struct textfile *t, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_METRICS);

	if (!t->text(t->ctx, &text))
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"they are more than %d bytes, the most that is written", LIMIT_METRICS);
	if (is_written(t, lm_buf_str(&text)))
		return LM_OK;
	free(lm_take(t->written));
	lm_rc rc = lm_file_replace(AT_FDCWD, t->path, lm_buf_str(&text), 0644, err);
	if (rc)
		return rc;
	t->written_n = text.len;
	t->written = lm_buf_take(&text);
	return LM_OK;
}

static void write_file(struct textfile *t)
{
	struct lm_err err = {LM_OK};
	lm_rc rc = replace_file(t, &err);

	t->next_ms = lm_clock_mono_ms() + EVERY_MS;
	if (rc && !t->failed)
		lm_warn("write the metrics to '%s': %s, retrying at the next change", t->path,
			err.msg);
	t->failed = rc != LM_OK;
}

static void on_timer(void *ctx)
{
	write_file(ctx);
}

struct textfile *textfile_create(
	struct loop *loop, const char *path, textfile_text *text, void *ctx)
{
	struct textfile *t = lm_xcalloc(1, sizeof(*t));

	t->path = lm_xstrdup(path);
	t->text = text;
	t->ctx = ctx;
	t->timer = loop_timer_create(loop, on_timer, t);
	return t;
}

void textfile_destroy(struct textfile *t)
{
	if (!t)
		return;
	write_file(t);
	loop_timer_destroy(t->timer);
	free(t->written);
	free(t->path);
	free(t);
}

void textfile_changed(struct textfile *t)
{
	uint64_t now_ms = lm_clock_mono_ms();

	if (t && !loop_timer_active(t->timer))
		loop_timer_start(t->timer, t->next_ms > now_ms ? t->next_ms - now_ms : 0, 0);
}
