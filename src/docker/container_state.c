// SPDX-License-Identifier: Apache-2.0
#include "docker/container_state.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/encoding.h"
#include "sys/json.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/// As the engine counts them, whatever a C library keeps for itself.
enum { RTMIN = 34, RTMAX = 64 };

bool engine_container_target(struct lm_buf *out, unsigned minor, const char *id)
{
	(void)lm_buf_printf(out, "/v1.%u/containers/", minor);
	return *id && lm_percent_encode(out, lm_str(id), false) && lm_buf_puts(out, "/json") &&
	       !out->overflow;
}

static int64_t read_time(const json_t *object, const char *key)
{
	const char *text = json_get_text(object, key);
	int64_t ms = 0;

	// One that never ran has a time in the year 1.
	return text && lm_time_parse(lm_str(text), &ms) && ms > 0 ? ms : 0;
}

static enum engine_health read_health(const json_t *state)
{
	const char *word = json_get_text(json_object_get(state, "Health"), "Status");

	if (!word)
		return ENGINE_HEALTH_NONE;
	if (strcmp(word, "healthy") == 0)
		return ENGINE_HEALTHY;
	if (strcmp(word, "unhealthy") == 0)
		return ENGINE_UNHEALTHY;
	return strcmp(word, "starting") == 0 ? ENGINE_HEALTH_STARTING : ENGINE_HEALTH_NONE;
}

/// State.Status came with API 1.21. A container that is paused or restarting is also Running.
static const char *read_word(const json_t *state)
{
	const char *word = json_get_text(state, "Status");

	if (word)
		return word;
	if (json_get_bool(state, "Paused", false))
		return "paused";
	if (json_get_bool(state, "Restarting", false))
		return "restarting";
	return json_get_bool(state, "Running", false) ? "running" : "exited";
}

static enum engine_restart read_restart_policy(const json_t *container)
{
	const json_t *policy =
		json_object_get(json_object_get(container, "HostConfig"), "RestartPolicy");
	const char *name = json_get_text(policy, "Name");

	if (!name)
		return ENGINE_RESTART_NO;
	if (strcmp(name, "always") == 0 || strcmp(name, "unless-stopped") == 0)
		return ENGINE_RESTART_ALWAYS;
	return strcmp(name, "on-failure") == 0 ? ENGINE_RESTART_ON_FAILURE : ENGINE_RESTART_NO;
}

/// "SIGQUIT", "QUIT", "3", "RTMIN+3"; "" is SIGTERM. Of the image, unless the container has its
/// own.
static int read_stop_signal(const json_t *container)
{
	static const struct {
		const char *name;
		int number;
	} names[] = {{"HUP", SIGHUP}, {"INT", SIGINT}, {"QUIT", SIGQUIT}, {"KILL", SIGKILL},
		{"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"TERM", SIGTERM}, {"ABRT", SIGABRT},
		{"ALRM", SIGALRM}, {"CONT", SIGCONT}, {"PWR", SIGPWR}, {"WINCH", SIGWINCH},
		{"RTMIN", RTMIN}, {"RTMAX", RTMAX}};
	const char *text = json_get_text(json_object_get(container, "Config"), "StopSignal");
	struct lm_str rest = lm_str(text ? text : "");
	uint64_t number = 0;

	if (rest.n == 0)
		return SIGTERM;
	if (lm_str_to_u64(rest, RTMAX, &number))
		return (int)number;
	if (lm_str_starts(rest, LM_STR("SIG")))
		rest = (struct lm_str){rest.p + 3, rest.n - 3};
	bool is_below = lm_str_starts(rest, LM_STR("RTMAX-"));
	struct lm_str name = lm_str_cut(&rest, is_below ? '-' : '+');
	if (rest.n > 0 && !lm_str_to_u64(rest, RTMAX - RTMIN, &number))
		return 0;
	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++) {
		if (lm_str_eq_nocase(name, lm_str(names[i].name)))
			return names[i].number + (is_below ? -(int)number : (int)number);
	}
	return 0;
}

static bool has_ended(const json_t *state)
{
	return !json_get_bool(state, "Running", false) || json_get_bool(state, "Restarting", false);
}

lm_rc engine_parse_container_state(
	struct lm_str body, struct engine_container_state *ret, struct lm_err *err)
{
	lm_auto_json json_t *j = NULL;

	if (json_parse(body, &j, err) != LM_OK)
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the Docker daemon's word on a container is not JSON");
	const json_t *state = json_object_get(j, "State");
	if (!json_is_object(state))
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the Docker daemon's word on a container has no State");
	int64_t restarts = json_get_int(j, "RestartCount", 0);
	int64_t code = json_get_int(state, "ExitCode", -1);
	int64_t started_ms = read_time(state, "StartedAt");
	bool ended = started_ms && has_ended(state);

	*ret = (struct engine_container_state){
		.restart_count = restarts > 0 && restarts <= UINT32_MAX ? (unsigned)restarts : 0,
		.exit_code = ended && code >= 0 && code <= INT32_MAX ? (int)code : -1,
		.started_ms = started_ms,
		.ended_ms = read_time(state, "FinishedAt"),
		.oom_killed = json_get_bool(state, "OOMKilled", false),
		.health = read_health(state),
		.restart_policy = read_restart_policy(j),
		.stop_signal = read_stop_signal(j),
	};
	(void)snprintf(ret->state, sizeof(ret->state), "%s", read_word(state));
	return LM_OK;
}

/// Drops `words` at the front, if they are there.
static bool take(struct lm_str *s, const char *words)
{
	size_t n = strlen(words);

	if (!lm_str_starts(*s, lm_str(words)))
		return false;
	*s = (struct lm_str){s->p + n, s->n - n};
	return true;
}

/// "5 minutes", as the engine rounds: hours to the nearest, and from two days on the hours down to
/// whole days, weeks, months (of 30 days) and years.
static int64_t read_number_of(struct lm_str s)
{
	enum { HOUR = 3600, DAY = 24 * HOUR, HALF_AN_HOUR = HOUR / 2 };
	static const struct {
		const char *unit;
		int64_t seconds, rounded_up;
	} units[] = {{"second", 1, 0}, {"minute", 60, 0}, {"hour", HOUR, HALF_AN_HOUR},
		{"day", DAY, HALF_AN_HOUR}, {"week", 7 * DAY, HALF_AN_HOUR},
		{"month", 30 * DAY, HALF_AN_HOUR}, {"year", 365 * DAY, HALF_AN_HOUR}};
	uint64_t n = 0;

	if (!lm_str_to_u64(lm_str_cut(&s, ' '), 1000, &n))
		return -1;
	for (size_t i = 0; i < LM_ARRAY_SIZE(units); i++) {
		if (lm_str_starts(s, lm_str(units[i].unit)))
			return n ? (int64_t)n * units[i].seconds - units[i].rounded_up : 0;
	}
	return -1;
}

int64_t engine_status_age_s(const char *status)
{
	struct lm_str s = lm_str(status);

	if (!take(&s, "Up ")) {
		if (!take(&s, "Exited (") && !take(&s, "Restarting ("))
			return -1;
		(void)lm_str_cut(&s, ')');
		(void)take(&s, " ");
	}
	if (lm_str_starts(s, LM_STR("Less than a second")))
		return 0;
	if (lm_str_starts(s, LM_STR("About a minute")))
		return 60;
	if (lm_str_starts(s, LM_STR("About an hour")))
		return 3600;
	return read_number_of(s);
}
