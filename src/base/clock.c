// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

uint64_t lm_clock_mono_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int64_t lm_clock_wall_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/// Writes the time by strftime's `format` and returns how many bytes it took.
static size_t format_utc(int64_t wall_ms, const char *format, char out[LM_TIME_SIZE])
{
	time_t seconds = (time_t)(wall_ms / 1000 - (wall_ms % 1000 < 0)); // rounded down
	struct tm tm;

	if (!gmtime_r(&seconds, &tm))
		memset(&tm, 0, sizeof(tm));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	return strftime(out, LM_TIME_SIZE, format, &tm);
#pragma GCC diagnostic pop
}

char *lm_time_format_iso(int64_t wall_ms, char out[LM_TIME_SIZE])
{
	size_t n = format_utc(wall_ms, "%Y-%m-%dT%H:%M:%S", out);

	(void)snprintf(out + n, LM_TIME_SIZE - n, ".%03uZ",
		(unsigned)((wall_ms % 1000 + 1000) % 1000) % 1000u);
	return out;
}

char *lm_time_format_log(int64_t wall_ms, char out[LM_TIME_SIZE])
{
	(void)lm_time_format_iso(wall_ms, out);
	size_t n = strlen(out) - 1; // without the Z
	while (n > 0 && out[n - 1] == '0' && strchr(out, '.') < out + n)
		n--;
	if (n > 0 && out[n - 1] == '.')
		n--;
	out[n] = 'Z';
	out[n + 1] = '\0';
	return out;
}

char *lm_time_format_amz(int64_t wall_ms, char out[LM_TIME_SIZE])
{
	(void)format_utc(wall_ms, "%Y%m%dT%H%M%SZ", out);
	return out;
}

/// The number that the first `digits` characters of `*s` are, and `end` behind it (0: nothing).
static bool take_digits(struct lm_str *s, size_t digits, char end, int *ret)
{
	int number = 0;

	if (s->n < digits + (end != '\0'))
		return false;
	for (size_t i = 0; i < digits; i++) {
		if (s->p[i] < '0' || s->p[i] > '9')
			return false;
		number = number * 10 + (s->p[i] - '0');
	}
	if (end && s->p[digits] != end)
		return false;
	digits += end != '\0';
	*s = (struct lm_str){s->p + digits, s->n - digits};
	*ret = number;
	return true;
}

/// ".909Z" or "Z", in milliseconds; -1: something else.
static int parse_fraction(struct lm_str s)
{
	int ms = 0;
	size_t digits = 0;

	if (lm_str_eq(s, LM_STR("Z")))
		return 0;
	if (s.n < 3 || s.n > 2 + 9 || s.p[0] != '.' || s.p[s.n - 1] != 'Z')
		return -1;
	for (size_t i = 1; i < s.n - 1; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -1;
		if (digits++ < 3)
			ms = ms * 10 + (s.p[i] - '0');
	}
	for (; digits < 3; digits++)
		ms *= 10;
	return ms;
}

bool lm_time_parse(struct lm_str text, int64_t *ret_wall_ms)
{
	struct tm tm = {0};

	if (!take_digits(&text, 4, '-', &tm.tm_year) || !take_digits(&text, 2, '-', &tm.tm_mon) ||
		!take_digits(&text, 2, 'T', &tm.tm_mday) ||
		!take_digits(&text, 2, ':', &tm.tm_hour) ||
		!take_digits(&text, 2, ':', &tm.tm_min) || !take_digits(&text, 2, 0, &tm.tm_sec))
		return false;
	int ms = parse_fraction(text);
	bool is_date = tm.tm_mon >= 1 && tm.tm_mon <= 12 && tm.tm_mday >= 1 && tm.tm_mday <= 31;
	bool is_time = tm.tm_hour <= 23 && tm.tm_min <= 59 && tm.tm_sec <= 60;
	if (ms < 0 || !is_date || !is_time)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	*ret_wall_ms = (int64_t)timegm(&tm) * 1000 + ms;
	return true;
}

uint64_t lm_random_below(uint64_t bound)
{
	uint64_t random = 0;

	if (bound == 0)
		return 0;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random)) {
		struct timespec t; // early in boot: the clock's low bits spread devices well enough

		(void)clock_gettime(CLOCK_REALTIME, &t);
		random = (uint64_t)t.tv_nsec * 2654435761u + (uint64_t)t.tv_sec;
	}
	return random % bound;
}

uint64_t lm_backoff_ms(unsigned attempt, uint64_t base_ms, uint64_t max_ms)
{
	uint64_t bound = base_ms;

	for (unsigned i = 0; i < attempt && bound > 0 && bound < max_ms; i++)
		bound = bound > max_ms / 2 ? max_ms : bound * 2;
	if (bound > max_ms)
		bound = max_ms;
	return lm_random_below(bound < UINT64_MAX ? bound + 1 : bound);
}
