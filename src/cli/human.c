// SPDX-License-Identifier: Apache-2.0
#include "cli/human.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <time.h>

enum {
	SECOND_MS = 1000,
	MINUTE_S = 60,
	HOUR_S = 3600,
	DAY_S = 86400,
};

char *human_duration(int64_t ms, char out[HUMAN_SIZE])
{
	long long tenths = ms > 0 ? ms / 100 : 0, s = tenths / 10;

	if (s < MINUTE_S)
		(void)snprintf(out, HUMAN_SIZE, "%lld.%lld s", s, tenths % 10);
	else if (s < HOUR_S)
		(void)snprintf(out, HUMAN_SIZE, "%lld min %lld s", s / MINUTE_S, s % MINUTE_S);
	else if (s < DAY_S)
		(void)snprintf(
			out, HUMAN_SIZE, "%lld h %lld min", s / HOUR_S, s % HOUR_S / MINUTE_S);
	else
		(void)snprintf(out, HUMAN_SIZE, "%lld d %lld h", s / DAY_S, s % DAY_S / HOUR_S);
	return out;
}

char *human_age(int64_t s, char out[HUMAN_SIZE])
{
	long long n = s > 0 ? s : 0;

	if (n < MINUTE_S)
		(void)snprintf(out, HUMAN_SIZE, "%lld s", n);
	else if (n < HOUR_S)
		(void)snprintf(out, HUMAN_SIZE, "%lld min", n / MINUTE_S);
	else if (n < DAY_S)
		(void)snprintf(out, HUMAN_SIZE, "%lld h", n / HOUR_S);
	else
		(void)snprintf(out, HUMAN_SIZE, "%lld d", n / DAY_S);
	return out;
}

char *human_ago(int64_t then_ms, int64_t now_ms, char out[HUMAN_SIZE])
{
	long long s;

	if (__builtin_sub_overflow(now_ms, then_ms, &s) || s < -MINUTE_S * SECOND_MS) {
		(void)snprintf(out, HUMAN_SIZE, "in the future");
		return out;
	}
	char age[HUMAN_SIZE];

	(void)snprintf(out, HUMAN_SIZE, "%.*s ago", HUMAN_SIZE - 8, human_age(s / SECOND_MS, age));
	return out;
}

char *human_time(int64_t wall_ms, char out[HUMAN_SIZE])
{
	time_t s = (time_t)(wall_ms / SECOND_MS);
	struct tm local;

	if (!localtime_r(&s, &local)) { // a year that does not fit
		(void)snprintf(out, HUMAN_SIZE, "%lld ms", (long long)wall_ms);
		return out;
	}
	long minutes = local.tm_gmtoff / MINUTE_S, absolute = minutes < 0 ? -minutes : minutes;
	(void)snprintf(out, HUMAN_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d%c%02ld:%02ld",
		local.tm_year + 1900, local.tm_mon + 1, local.tm_mday, local.tm_hour, local.tm_min,
		local.tm_sec, minutes < 0 ? '-' : '+', absolute / MINUTE_S, absolute % MINUTE_S);
	return out;
}

struct unit {
	double divisor;
	const char *name;
};

static const struct unit *unit_of(uint64_t n)
{
	static const struct unit units[] = {{1e3, "kB"}, {1e6, "MB"}, {1e9, "GB"}, {1e12, "TB"}};
	size_t i = 0;

	while (i + 1 < LM_ARRAY_SIZE(units) && (double)n >= 999.95 * units[i].divisor)
		i++;
	return &units[i];
}

char *human_bytes(uint64_t n, char out[HUMAN_SIZE])
{
	const struct unit *unit = unit_of(n);

	if (n < 1000)
		(void)snprintf(out, HUMAN_SIZE, "%llu B", (unsigned long long)n);
	else
		(void)snprintf(out, HUMAN_SIZE, "%.1f %s", (double)n / unit->divisor, unit->name);
	return out;
}

char *human_bytes_of(uint64_t done, uint64_t total, char out[HUMAN_SIZE])
{
	const struct unit *unit = unit_of(total);

	(void)snprintf(out, HUMAN_SIZE, "%.1f of %.1f %s", (double)done / unit->divisor,
		(double)total / unit->divisor, unit->name);
	return out;
}
