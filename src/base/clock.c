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
