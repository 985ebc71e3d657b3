// SPDX-License-Identifier: Apache-2.0
#include "config/topic.h"

#include "base/limits.h"

static bool topic_refuse(const char **why, const char *rule)
{
	if (why)
		*why = rule;
	return false;
}

/// What names and filters have in common.
static bool is_topic_text(struct lm_str topic, const char **why)
{
	if (topic.n == 0)
		return topic_refuse(why, "is empty");
	if (topic.n > LIMIT_MQTT_TOPIC)
		return topic_refuse(why, "is longer than 256 bytes");
	if (!lm_str_is_utf8(topic))
		return topic_refuse(why, "is not UTF-8");
	for (size_t i = 0; i < topic.n; i++) {
		unsigned char c = (unsigned char)topic.p[i];

		if (c < 0x20 || c == 0x7f)
			return topic_refuse(why, "has a control character");
	}
	return true;
}

bool topic_has_wildcard(struct lm_str filter)
{
	return lm_str_find(filter, '+') < filter.n || lm_str_find(filter, '#') < filter.n;
}

bool topic_is_name(struct lm_str topic, const char **why)
{
	if (!is_topic_text(topic, why))
		return false;
	return topic_has_wildcard(topic) ? topic_refuse(why, "has a wildcard") : true;
}

bool topic_is_filter(struct lm_str filter, const char **why)
{
	struct lm_str rest = filter;

	if (!is_topic_text(filter, why))
		return false;
	for (;;) {
		bool last = lm_str_find(rest, '/') == rest.n;
		struct lm_str level = lm_str_cut(&rest, '/');

		if (lm_str_find(level, '#') < level.n && (level.n > 1 || !last))
			return topic_refuse(why, "has a '#' that is not the whole last level");
		if (lm_str_find(level, '+') < level.n && level.n > 1)
			return topic_refuse(why, "has a '+' that is not a whole level");
		if (last)
			return true;
	}
}

bool topic_matches(struct lm_str filter, struct lm_str name)
{
	if (name.n > 0 && name.p[0] == '$' && filter.n > 0 && filter.p[0] != '$')
		return false;
	for (;;) {
		bool filter_last = lm_str_find(filter, '/') == filter.n;
		bool name_last = lm_str_find(name, '/') == name.n;
		struct lm_str wanted = lm_str_cut(&filter, '/');
		struct lm_str level = lm_str_cut(&name, '/');

		if (lm_str_eq(wanted, LM_STR("#")))
			return true;
		if (!lm_str_eq(wanted, LM_STR("+")) && !lm_str_eq(wanted, level))
			return false;
		if (filter_last || name_last)
			return filter_last && name_last;
	}
}
