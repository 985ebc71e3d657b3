// SPDX-License-Identifier: Apache-2.0
#include "worker/log_text.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <stdbool.h>
#include <string.h>

enum {
	DAY_MS = 24 * 3600 * 1000,
	/// Lines of two programs may have come in the order in which they did not look at the
	/// clock. Further back it has been set.
	BACK_MAX_MS = 10 * 1000,
	CORE_MAX = 256,
};

size_t log_text_split(struct lm_str text, int64_t fallback_ms, struct log_event **ret)
{
	struct lm_str rest = text;
	int64_t time_ms = fallback_ms;
	int64_t own_ms = 0;
	enum lm_level ignored;
	size_t lines = 1, n = 0;

	for (size_t i = 0; i < text.n; i++)
		lines += text.p[i] == '\n';
	*ret = lm_xcalloc(lines, sizeof(**ret));
	while (rest.n) {
		struct lm_str line = lm_str_cut(&rest, '\n');

		if (lm_log_parse(line, &own_ms, &ignored) &&
			(own_ms > time_ms || own_ms < time_ms - BACK_MAX_MS || n == 0))
			time_ms = own_ms;
		(*ret)[n++] = (struct log_event){.time_ms = time_ms, .message = line};
	}
	return n;
}

static int64_t day_of(int64_t time_ms)
{
	return time_ms > 0 ? time_ms / DAY_MS : 0;
}

size_t log_text_one_day(const struct log_event *events, size_t n)
{
	size_t same = 0;

	while (same < n && day_of(events[same].time_ms) == day_of(events[0].time_ms))
		same++;
	return same;
}

char *log_group_name(const char *region)
{
	return lm_xasprintf("/aws/greengrass/Lambda/%s/aws/" CONNECTOR_NAME, region);
}

char *log_stream_name(int64_t time_ms, const char *core)
{
	char time[LM_TIME_SIZE];
	lm_auto_free char *name = NULL;

	(void)lm_time_format_iso(time_ms > 0 ? time_ms : 0, time);
	name = lm_xasprintf(
		"%.4s/%.2s/%.2s/aws/lighterman/%.*s", time, time + 5, time + 8, CORE_MAX, core);
	bool is_utf8 = lm_str_is_utf8(lm_str(name));
	for (char *p = name; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if (c == ':' || c == '*' || c < ' ' || c == 0x7f || (c >= 0x80 && !is_utf8))
			*p = '_';
	}
	return lm_take(name);
}

/// "arn:aws:iot:eu-west-1:123456789012:thing/NAME".
static const char *thing_of(const char *arn)
{
	const char *name = strstr(arn, ":thing/");

	return name ? name + strlen(":thing/") : "";
}

char *log_core_name(
	const struct host_settings *host, const struct group *group, const char *machine)
{
	if (host->thing_name)
		return lm_xstrdup(host->thing_name);
	if (group->cores_n > 0 && *thing_of(group->cores[0].thing_arn))
		return lm_xstrdup(thing_of(group->cores[0].thing_arn));
	return lm_xstrdup(*machine ? machine : "unknown");
}
