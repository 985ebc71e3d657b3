// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/limits.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static enum lm_level lowest = LM_INFO;
static lm_log_sink *log_sink;
static void *log_sink_ctx;

void lm_log_set_level(enum lm_level level)
{
	lowest = level;
}

void lm_log_set_sink(lm_log_sink *sink, void *ctx)
{
	log_sink = sink;
	log_sink_ctx = ctx;
}

const char *lm_level_name(enum lm_level level)
{
	static const char *const names[] = {"DEBUG", "INFO", "WARN", "ERROR"};

	return names[level];
}

static bool parse_level(struct lm_str word, enum lm_level *ret)
{
	for (enum lm_level level = LM_DEBUG; level <= LM_ERROR; level++) {
		if (lm_str_eq(word, lm_str(lm_level_name(level)))) {
			*ret = level;
			return true;
		}
	}
	return false;
}

bool lm_log_parse(struct lm_str line, int64_t *ret_wall_ms, enum lm_level *ret_level)
{
	struct lm_str rest = line;
	int64_t wall_ms = 0;

	if (!lm_str_starts(rest, LM_STR("[")))
		return false;
	(void)lm_str_cut(&rest, '[');
	if (!lm_time_parse(lm_str_cut(&rest, ']'), &wall_ms) || !lm_str_starts(rest, LM_STR("[")))
		return false;
	(void)lm_str_cut(&rest, '[');
	struct lm_str word = lm_str_cut(&rest, ']');
	if (!lm_str_starts(rest, LM_STR("-")) || !parse_level(word, ret_level))
		return false;
	*ret_wall_ms = wall_ms;
	return true;
}

static void escape_controls(struct lm_buf *line, size_t from)
{
	for (size_t i = from; i < line->len; i++) {
		unsigned char c = (unsigned char)line->data[i];

		if (c < 0x20 || c == 0x7f)
			line->data[i] = c == '\n' || c == '\t' ? ' ' : '?';
	}
}

void lm_log_from(const char *file, int number, enum lm_level level, const char *format, ...)
{
	if (level < lowest)
		return;

	int saved = errno; // %m of the caller
	char time[LM_TIME_SIZE];
	lm_auto_buf struct lm_buf line = LM_BUF(LIMIT_LOG_LINE - 1); // the newline always fits
	(void)lm_buf_printf(&line, "[%s][%s]-%s:%d,", lm_time_format_log(lm_clock_wall_ms(), time),
		lm_level_name(level), file, number);
	size_t head = line.len;

	va_list ap;
	va_start(ap, format);
	errno = saved;
	if (!lm_buf_vprintf(&line, format, ap))
		(void)lm_buf_puts(&line, "(a message too long for a log line)");
	va_end(ap);
	escape_controls(&line, head);
	line.max = LIMIT_LOG_LINE;
	(void)lm_buf_putc(&line, '\n');

	if (log_sink)
		log_sink(log_sink_ctx, level, lm_buf_str(&line));
	else
		(void)!write(STDERR_FILENO, line.data, line.len);
	errno = saved;
}
