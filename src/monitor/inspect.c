// SPDX-License-Identifier: Apache-2.0
#include "monitor/inspect.h"

#include "sys/json.h"

#include <string.h>
#include <time.h>

enum { NS_PER_S = 1000000000, YEAR_MAX = 2200 }; // as far as 64 bits of nanoseconds go

static const char *const WORDS[LIVES] = {
	[LIFE_CREATED] = "created",
	[LIFE_RUNNING] = "running",
	[LIFE_PAUSED] = "paused",
	[LIFE_RESTARTING] = "restarting",
	[LIFE_REMOVING] = "removing",
	[LIFE_EXITED] = "exited",
	[LIFE_DEAD] = "dead",
};

const char *life_word(enum life life)
{
	return WORDS[life];
}

enum life life_from_word(const char *word)
{
	for (size_t i = 0; i < LIVES; i++)
		if (strcmp(WORDS[i], word) == 0)
			return (enum life)i;
	return LIFE_CREATED;
}

bool life_is_up(enum life life)
{
	return life == LIFE_RUNNING || life == LIFE_PAUSED;
}

/// `n` digits at `*text`, which moves behind them. -1 if they are not there.
static int take_number(const char **text, int n)
{
	int number = 0;

	for (int i = 0; i < n; i++, (*text)++) {
		if (**text < '0' || **text > '9')
			return -1;
		number = number * 10 + (**text - '0');
	}
	return number;
}

static bool take(const char **text, char c)
{
	if (**text != c)
		return false;
	(*text)++;
	return true;
}

/// ".499521528", with as many digits as there are.
static int64_t take_fraction(const char **text)
{
	int64_t ns = 0, unit = NS_PER_S / 10;

	if (!take(text, '.'))
		return 0;
	for (; **text >= '0' && **text <= '9'; (*text)++, unit /= 10)
		ns += unit * (**text - '0');
	return ns;
}

/// Seconds east of Greenwich: "Z", "+01:00". False if it is neither.
static bool take_zone(const char **text, int *ret)
{
	int sign = **text == '-' ? -1 : 1;

	if (take(text, 'Z')) {
		*ret = 0;
		return true;
	}
	if (!take(text, '+') && !take(text, '-'))
		return false;
	int hours = take_number(text, 2);
	if (hours < 0 || !take(text, ':'))
		return false;
	int minutes = take_number(text, 2);
	*ret = sign * (hours * 3600 + minutes * 60);
	return minutes >= 0;
}

static bool take_date(const char **text, struct tm *tm)
{
	static const char ends[] = "--T::";
	int numbers[6];

	for (size_t i = 0; i < LM_ARRAY_SIZE(numbers); i++) {
		numbers[i] = take_number(text, i == 0 ? 4 : 2);
		if (numbers[i] < 0 || (i + 1 < LM_ARRAY_SIZE(numbers) && !take(text, ends[i])))
			return false;
	}
	*tm = (struct tm){
		.tm_year = numbers[0] - 1900,
		.tm_mon = numbers[1] - 1,
		.tm_mday = numbers[2],
		.tm_hour = numbers[3],
		.tm_min = numbers[4],
		.tm_sec = numbers[5],
	};
	return numbers[0] >= 1970 && numbers[0] < YEAR_MAX;
}

int64_t inspect_parse_time(const char *text)
{
	struct tm tm;
	int zone;

	if (!take_date(&text, &tm))
		return 0;
	int64_t fraction = take_fraction(&text);
	if (!take_zone(&text, &zone))
		return 0;
	int64_t ns = ((int64_t)timegm(&tm) - zone) * NS_PER_S + fraction;
	return ns > 0 ? ns : 0;
}

static int64_t time_of(const json_t *state, const char *key)
{
	const char *text = json_get_text(state, key);

	return text ? inspect_parse_time(text) : 0;
}

static enum engine_health health_of(const json_t *state)
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

/// State.Status came with API 1.21; a paused container is also Running.
static enum life life_of(const json_t *state)
{
	const char *word = json_get_text(state, "Status");

	if (word)
		return life_from_word(word);
	if (json_get_bool(state, "Paused", false))
		return LIFE_PAUSED;
	if (json_get_bool(state, "Restarting", false))
		return LIFE_RESTARTING;
	return json_get_bool(state, "Running", false) ? LIFE_RUNNING : LIFE_EXITED;
}

lm_rc inspect_parse(struct lm_str body, struct inspect *ret, struct lm_err *err)
{
	lm_auto_json json_t *j = NULL;

	if (json_parse(body, &j, err))
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the Docker daemon's word on a container is not JSON");
	const json_t *state = json_object_get(j, "State");
	if (!json_is_object(state))
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the Docker daemon's word on a container has no State");
	int64_t restarts = json_get_int(j, "RestartCount", 0);
	int64_t code = json_get_int(state, "ExitCode", 0);
	*ret = (struct inspect){
		.life = life_of(state),
		.health = health_of(state),
		.exit_code = code >= 0 && code <= INT32_MAX ? (int)code : -1,
		.oom_killed = json_get_bool(state, "OOMKilled", false),
		.started_ns = time_of(state, "StartedAt"),
		.finished_ns = time_of(state, "FinishedAt"),
		.restart_count = restarts > 0 ? restarts : 0,
	};
	return LM_OK;
}
