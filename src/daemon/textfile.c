// SPDX-License-Identifier: Apache-2.0
#include "daemon/textfile.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"

#include <fcntl.h>
#include <stdlib.h>

enum { EVERY_MS = 15 * 1000 };

struct textfile {
	char *path;
	textfile_text *text;
	void *ctx;
	struct loop_timer *timer; ///< Runs while a change is to be written.
	uint64_t next_ms;         ///< Not earlier than then.
	bool failed;              ///< The log knows that it cannot be written.
};

static void write_file(struct textfile *t)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_METRICS);
	struct lm_err err = {LM_OK};
	lm_rc rc = t->text(t->ctx, &text)
			   ? lm_file_replace(AT_FDCWD, t->path, lm_buf_str(&text), 0644, &err)
			   : lm_fail(&err, LM_E_TOO_LARGE, 0,
				     "they are more than %d bytes, the most that is written",
				     LIMIT_METRICS);

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
	free(t->path);
	free(t);
}

void textfile_changed(struct textfile *t)
{
	uint64_t now_ms = lm_clock_mono_ms();

	if (t && !loop_timer_active(t->timer))
		loop_timer_start(t->timer, t->next_ms > now_ms ? t->next_ms - now_ms : 0, 0);
}
