// SPDX-License-Identifier: Apache-2.0
#include "events/event.h"

#include "base/encoding.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

enum {
	NS_PER_S = 1000000000,
	SIGNAL_HIGHEST = 64,
	SINCE_TYPES = 22, ///< API 1.22 filters by type, and has Actor.
};

#define HEALTH_PREFIX "health_status: "

static const struct {
	const char *word;
	enum event_action action;
} ACTIONS[] = {
	{"create", EVENT_CREATE},
	{"start", EVENT_START},
	{"die", EVENT_DIE},
	{"oom", EVENT_OOM},
	{"kill", EVENT_KILL},
	{"pause", EVENT_PAUSE},
	{"unpause", EVENT_UNPAUSE},
	{"rename", EVENT_RENAME},
	{"destroy", EVENT_DESTROY},
};

static void read_action(const char *word, struct event *e)
{
	size_t prefix = strlen(HEALTH_PREFIX);

	for (size_t i = 0; i < LM_ARRAY_SIZE(ACTIONS); i++)
		if (strcmp(ACTIONS[i].word, word) == 0)
			e->action = ACTIONS[i].action;
	if (strncmp(word, HEALTH_PREFIX, prefix) != 0)
		return;
	e->action = EVENT_HEALTH;
	if (strcmp(word + prefix, "healthy") == 0)
		e->health = ENGINE_HEALTHY;
	else if (strcmp(word + prefix, "unhealthy") == 0)
		e->health = ENGINE_UNHEALTHY;
	else
		e->health = ENGINE_HEALTH_STARTING;
}

/// An id goes into targets of requests: letters and digits only.
static bool read_id(const char *id, struct event *e)
{
	size_t n = id ? strlen(id) : 0;

	if (n == 0 || n >= EVENT_ID_SIZE)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)id[i]))
			return false;
	memcpy(e->id, id, n + 1);
	return true;
}

static uint64_t hash(uint64_t h, const void *p, size_t n)
{
	const unsigned char *bytes = p;

	for (size_t i = 0; i < n; i++) // FNV-1a
		h = (h ^ bytes[i]) * 0x100000001b3u;
	return h;
}

static uint64_t make_key(const struct event *e, const char *word)
{
	uint64_t h = hash(0xcbf29ce484222325u, &e->time_ns, sizeof(e->time_ns));

	h = hash(h, e->id, strlen(e->id));
	return hash(h, word, strlen(word));
}

static const char *text_or_empty(const json_t *object, const char *key)
{
	const char *text = json_get_text(object, key);

	return text ? text : "";
}

static void read_attributes(const json_t *attributes, struct event *e)
{
	const char *code = json_get_text(attributes, "exitCode");
	const char *signal = json_get_text(attributes, "signal");
	uint64_t number;

	e->name = text_or_empty(attributes, "name");
	e->service = text_or_empty(attributes, "com.docker.compose.service");
	e->image = text_or_empty(attributes, "image");
	if (code && lm_str_to_u64(lm_str(code), INT32_MAX, &number))
		e->exit_code = (int)number;
	if (signal && lm_str_to_u64(lm_str(signal), SIGNAL_HIGHEST, &number))
		e->signal = (int)number;
}

static int64_t read_time(const json_t *j)
{
	int64_t ns = json_get_int(j, "timeNano", 0), s = json_get_int(j, "time", 0);

	if (ns > 0)
		return ns;
	return s > 0 && s < INT64_MAX / NS_PER_S ? s * NS_PER_S : 0;
}

lm_rc event_parse(struct lm_str text, json_t **ret_json, struct event *ret, struct lm_err *err)
{
	lm_auto_json json_t *j = NULL;
	struct event e = {.exit_code = -1};

	if (json_parse(text, &j, err))
		return lm_fail(err, LM_E_PROTOCOL, 0, "an event of the Docker daemon is not JSON");
	const json_t *actor = json_object_get(j, "Actor");
	const char *action = json_get_text(j, "Action"), *id = json_get_text(actor, "ID");
	const char *type = json_get_text(j, "Type");
	if (!action)
		action = json_get_text(j, "status");
	e.time_ns = read_time(j);
	if (!action || !read_id(id ? id : json_get_text(j, "id"), &e) || e.time_ns == 0)
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"an event of the Docker daemon lacks its time, action or container");
	if (!type || strcmp(type, "container") == 0)
		read_action(action, &e);
	read_attributes(json_object_get(actor, "Attributes"), &e);
	if (!*e.image)
		e.image = text_or_empty(j, "from");
	e.key = make_key(&e, action);
	*ret_json = lm_take(j);
	*ret = e;
	return LM_OK;
}

bool event_target(struct lm_buf *out, unsigned minor, const char *project, int64_t since_ns)
{
	lm_auto_buf struct lm_buf filter = LM_BUF(1024);

	(void)lm_buf_puts(&filter, minor >= SINCE_TYPES ? "{\"type\":[\"container\"]," : "{");
	(void)lm_buf_printf(&filter, "\"label\":[\"com.docker.compose.project=%s\"],", project);
	(void)lm_buf_puts(&filter, "\"event\":[\"health_status\"");
	for (size_t i = 0; i < LM_ARRAY_SIZE(ACTIONS); i++)
		(void)lm_buf_printf(&filter, ",\"%s\"", ACTIONS[i].word);
	(void)lm_buf_puts(&filter, "]}");
	if (since_ns < 0)
		since_ns = 0;
	(void)lm_buf_printf(out, "/v1.%u/events?since=%" PRId64 ".%09" PRId64 "&filters=", minor,
		since_ns / NS_PER_S, since_ns % NS_PER_S);
	return !filter.overflow && lm_percent_encode(out, lm_buf_str(&filter), false) &&
	       !out->overflow;
}
