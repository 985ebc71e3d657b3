// SPDX-License-Identifier: Apache-2.0
#include "broker/report.h"

#include "base/clock.h"
#include "base/error.h"

#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <stdarg.h>
#include <stdio.h>

enum {
	MINUTE_MS = 60 * 1000,
	TEXT_SHOWN = 128,
	TEXT_SIZE = 4 * TEXT_SHOWN + 32,
	LINE_SIZE = 1024, ///< More than mosquitto writes of one.
};

static void report_line(int level, const char *format, va_list ap)
	__attribute__((format(printf, 2, 0)));

static void report_line(int level, const char *format, va_list ap)
{
	char line[LINE_SIZE];

	(void)vsnprintf(line, sizeof(line), format, ap);
	mosquitto_log_printf(level, "lighterman_router: %s", line);
}

void report_notice(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	report_line(MOSQ_LOG_NOTICE, format, ap);
	va_end(ap);
}

void report_error(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	report_line(MOSQ_LOG_ERR, format, ap);
	va_end(ap);
}

void report_tick(struct report *r, uint64_t now_mono_ms)
{
	if (now_mono_ms < r->minute_end_ms)
		return;
	if (r->held > 0)
		report_notice("%u more were refused within the last minute", r->held);
	*r = (struct report){.minute_end_ms = now_mono_ms + MINUTE_MS};
}

void report_refusal(
	struct report *r, const char *kind, struct lm_str who, struct lm_str what, const char *why)
{
	char who_shown[TEXT_SIZE], what_shown[TEXT_SIZE];

	report_tick(r, lm_clock_mono_ms());
	if (r->lines >= REPORT_MINUTE_MAX) {
		r->held++;
		return;
	}
	r->lines++;
	report_notice("refused a %s of '%s'%s%s%s: %s", kind,
		lm_str_shorten(who, TEXT_SHOWN, who_shown, sizeof(who_shown)), what.n ? ", '" : "",
		lm_str_shorten(what, TEXT_SHOWN, what_shown, sizeof(what_shown)), what.n ? "'" : "",
		why);
}
