// SPDX-License-Identifier: Apache-2.0
#include "daemon/status_text.h"

#include "base/cleanup.h"

#include <inttypes.h>
#include <string.h>

enum { VALUE_MAX = 256 };

static bool is_word(const struct engine_container *c, const char *word)
{
	return strcmp(c->state, word) == 0;
}

bool status_is_fresh(
	const struct status_known *known, const struct engine_container *c, uint64_t now_ms)
{
	int64_t age_s = engine_status_age_s(c->status);

	if (!is_word(c, known->word) || is_word(c, "restarting"))
		return false;
	if (age_s >= 0)
		return (uint64_t)age_s * 1000 >= now_ms - known->seen_ms;
	return is_word(c, "created") || is_word(c, "dead"); // nothing happens to these
}

/// As it is if it is one plain word, else in quotes. Lists come from anybody who may label a
/// container.
static void add_value(struct lm_buf *out, const char *key, const char *value)
{
	char shown[4 * VALUE_MAX + 32];

	(void)lm_buf_printf(out, "%s=", key);
	(void)lm_str_shorten(lm_str(value), VALUE_MAX, shown, sizeof(shown));
	if (!*shown)
		(void)lm_buf_puts(out, "-");
	else if (!strpbrk(shown, " \"="))
		(void)lm_buf_puts(out, shown);
	else {
		for (char *p = shown; (p = strchr(p, '"'));)
			*p = '\'';
		(void)lm_buf_printf(out, "\"%s\"", shown);
	}
	(void)lm_buf_putc(out, ' ');
}

static void add_number(struct lm_buf *out, const char *key, int64_t number)
{
	if (number < 0)
		(void)lm_buf_printf(out, "%s=-", key);
	else
		(void)lm_buf_printf(out, "%s=%" PRId64, key, number);
}

static int64_t uptime_s(const struct engine_container *c,
	const struct engine_container_state *state, int64_t now_wall_ms)
{
	if (!is_word(c, "running") && !is_word(c, "paused"))
		return -1;
	if (!state || state->started_ms == 0)
		return engine_status_age_s(c->status);
	return now_wall_ms > state->started_ms ? (now_wall_ms - state->started_ms) / 1000 : 0;
}

static int64_t exit_code(
	const struct engine_container *c, const struct engine_container_state *state)
{
	if (is_word(c, "running") || is_word(c, "paused"))
		return -1;
	return c->exit_code >= 0 || !state ? c->exit_code : state->exit_code;
}

void status_format(struct lm_buf *out, const struct engine_container *c,
	const struct engine_container_state *state, int64_t now_wall_ms)
{
	static const char *const healths[] = {[ENGINE_HEALTH_NONE] = "none",
		[ENGINE_HEALTH_STARTING] = "starting",
		[ENGINE_HEALTHY] = "healthy",
		[ENGINE_UNHEALTHY] = "unhealthy"};

	add_value(out, "service", c->service);
	add_value(out, "name", c->name);
	add_value(out, "image", c->image);
	add_value(out, "state", c->state);
	add_value(out, "health", healths[c->health]);
	add_number(out, "restarts", state ? (int64_t)state->restart_count : -1);
	add_number(out, " exit_code", exit_code(c, state));
	add_number(out, " uptime_s", uptime_s(c, state, now_wall_ms));
}
