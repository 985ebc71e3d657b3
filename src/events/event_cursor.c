// SPDX-License-Identifier: Apache-2.0
#include "events/event_cursor.h"

#include "base/file.h"
#include "base/limits.h"
#include "sys/json.h"
#include "sys/record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FILE_NAME "events.json"

enum {
	NS_PER_S = 1000 * 1000 * 1000,
	NS_PER_MS = 1000 * 1000,
	OVERLAP_NS = NS_PER_S,
	AHEAD_S = 10,    ///< Clocks that are set little by little are not meant.
	SAVED_MAX = 128, ///< Keys of the overlap; more events than that in a second are rare.
	KEY_DIGITS = 16,
	BOOT_FILE_MAX = 256,
	GRACE_S = 60,     ///< After a task, for what it stops: a person's HUP is no exit at all.
	LEFT_BUSY_S = 60, ///< So long a worker of a killed lightermand may still be at work.
};

int64_t event_cursor_now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

bool event_cursor_is_ahead(int64_t time_ns, int64_t now_ns)
{
	return time_ns > now_ns && time_ns - now_ns > (int64_t)AHEAD_S * NS_PER_S;
}

void event_cursor_bound(int64_t *time_ns, int64_t now_ns, int64_t instead_ns)
{
	if (event_cursor_is_ahead(*time_ns, now_ns))
		*time_ns = instead_ns;
}

bool event_cursor_follow_clock(struct event_cursor *c, int64_t now_ns, int64_t heard_ns)
{
	bool was_set_back = event_cursor_is_ahead(c->since_ns, now_ns) ||
			    event_cursor_is_ahead(c->busy_from_ns, now_ns) ||
			    event_cursor_is_ahead(c->busy_to_ns, now_ns);

	event_cursor_bound(&c->since_ns, now_ns, heard_ns);
	event_cursor_bound(&c->floor_ns, now_ns, heard_ns);
	event_cursor_bound(&c->busy_from_ns, now_ns, heard_ns);
	event_cursor_bound(&c->busy_to_ns, now_ns, now_ns);
	for (size_t i = 0; i < EVENT_CURSOR_RESTARTS; i++) {
		int64_t length_ns = c->restarts[i].until_ns - c->restarts[i].from_ns;

		event_cursor_bound(&c->restarts[i].from_ns, now_ns, heard_ns);
		c->restarts[i].until_ns = c->restarts[i].from_ns + length_ns;
	}
	return was_set_back;
}

bool event_cursor_has(const struct event_cursor *c, uint64_t key, int64_t time_ns)
{
	for (size_t i = 0; i < EVENT_CURSOR_KEYS; i++)
		if (c->seen[i].key == key && c->seen[i].time_ns == time_ns)
			return true;
	return false;
}

bool event_cursor_take(struct event_cursor *c, uint64_t key, int64_t time_ns)
{
	if (event_cursor_has(c, key, time_ns))
		return false;
	c->seen[c->next].key = key;
	c->seen[c->next].time_ns = time_ns;
	c->next = (c->next + 1) % EVENT_CURSOR_KEYS;
	if (time_ns > c->since_ns)
		c->since_ns = time_ns;
	return true;
}

int64_t event_cursor_from(const struct event_cursor *c)
{
	int64_t from_ns = c->since_ns > OVERLAP_NS ? c->since_ns - OVERLAP_NS : 0;

	return from_ns > c->floor_ns ? from_ns : c->floor_ns;
}

int64_t event_cursor_from_left(const struct event_cursor *c)
{
	int64_t from_ns = event_cursor_from(c);

	return c->left_from_ns > 0 && c->left_from_ns < from_ns &&
			       from_ns <= c->left_to_ns + (int64_t)GRACE_S * NS_PER_S
		       ? c->left_from_ns
		       : from_ns;
}

void event_cursor_set_busy(struct event_cursor *c, bool busy, int64_t now_ns)
{
	c->busy = busy;
	if (busy)
		c->busy_from_ns = now_ns;
	c->busy_to_ns = busy ? 0 : now_ns;
}

static bool is_within(int64_t time_ns, int64_t from_ns, int64_t to_ns)
{
	return from_ns > 0 && time_ns >= from_ns && time_ns <= to_ns;
}

static int64_t left_to_ns(const struct event_cursor *c)
{
	return c->left_to_ns + (c->left_open ? (int64_t)LEFT_BUSY_S * NS_PER_S : 0);
}

bool event_cursor_was_busy(const struct event_cursor *c, int64_t time_ns)
{
	return is_within(time_ns, c->busy_from_ns, c->busy ? INT64_MAX : c->busy_to_ns) ||
	       is_within(time_ns, c->left_from_ns, left_to_ns(c));
}

bool event_cursor_is_busy_still(const struct event_cursor *c, int64_t time_ns)
{
	int64_t to_ns = c->busy_to_ns > left_to_ns(c) ? c->busy_to_ns : left_to_ns(c);

	return c->busy || time_ns <= to_ns + (int64_t)GRACE_S * NS_PER_S;
}

void event_cursor_end_restart(struct event_cursor *c, const char *id)
{
	for (size_t i = 0; i < EVENT_CURSOR_RESTARTS; i++)
		if (strcmp(c->restarts[i].id, id) == 0)
			c->restarts[i].id[0] = '\0';
}

void event_cursor_begin_restart(
	struct event_cursor *c, const char *id, int64_t from_ns, int64_t until_ns)
{
	size_t at = 0;

	event_cursor_end_restart(c, id);
	for (size_t i = 1; i < EVENT_CURSOR_RESTARTS && c->restarts[at].id[0]; i++)
		if (!c->restarts[i].id[0] || c->restarts[i].from_ns < c->restarts[at].from_ns)
			at = i;
	(void)snprintf(c->restarts[at].id, sizeof(c->restarts[at].id), "%s", id);
	c->restarts[at].from_ns = from_ns;
	c->restarts[at].until_ns = until_ns;
}

bool event_cursor_is_restarting(const struct event_cursor *c, const char *id, int64_t time_ns)
{
	for (size_t i = 0; *id && i < EVENT_CURSOR_RESTARTS; i++)
		if (strcmp(c->restarts[i].id, id) == 0)
			// In a container's state the engine notes whole milliseconds.
			return time_ns >= c->restarts[i].from_ns - NS_PER_MS &&
			       time_ns <= c->restarts[i].until_ns;
	return false;
}

char *event_cursor_boot_id(char out[EVENT_CURSOR_BOOT_SIZE])
{
	lm_auto_buf struct lm_buf text = LM_BUF(BOOT_FILE_MAX);
	static const char path[] = "/proc/sys/kernel/random/boot_id";
	lm_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct lm_err ignored;

	out[0] = '\0';
	if (fd >= 0 && lm_fd_read_all(fd, path, &text, &ignored) == LM_OK)
		(void)snprintf(out, EVENT_CURSOR_BOOT_SIZE, "%.*s",
			LM_STR_ARG(lm_str_trim(lm_buf_str(&text))));
	return out;
}

static bool read_key(const json_t *text, uint64_t *ret)
{
	const char *digits = json_string_value(text);
	char *end;

	if (!digits || json_string_length(text) != KEY_DIGITS)
		return false;
	*ret = strtoull(digits, &end, 16);
	return *end == '\0';
}

/// [["<key>", time], …]
static void read_seen(const json_t *list, struct event_cursor *c)
{
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item)
	{
		int64_t time_ns = json_integer_value(json_array_get(item, 1));
		uint64_t key;

		if (i >= SAVED_MAX)
			return;
		if (time_ns <= 0 || !read_key(json_array_get(item, 0), &key))
			continue;
		c->seen[c->next].key = key;
		c->seen[c->next].time_ns = time_ns;
		c->next = (c->next + 1) % EVENT_CURSOR_KEYS;
	}
}

/// [["<container>", from, until], …]
static void read_restarts(const json_t *list, struct event_cursor *c)
{
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item)
	{
		const char *id = json_string_value(json_array_get(item, 0));

		if (i >= EVENT_CURSOR_RESTARTS)
			return;
		if (id && strlen(id) < EVENT_CURSOR_ID_SIZE)
			event_cursor_begin_restart(c, id,
				json_integer_value(json_array_get(item, 1)),
				json_integer_value(json_array_get(item, 2)));
	}
}

static bool is_of_boot(const json_t *j, const char *boot)
{
	const char *value = json_get_text(j, "boot");

	return value && strcmp(value, boot) == 0;
}

void event_cursor_load(const char *directory, const char *boot, int64_t now_ns,
	struct damage *damage, struct event_cursor *ret)
{
	static const char meaning[] =
		"what happened to containers while lightermand did not run is not reported";
	lm_auto_close int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lm_auto_json json_t *j = NULL;

	*ret = (struct event_cursor){.since_ns = now_ns, .floor_ns = now_ns};
	if (dir < 0 || record_json_load(dir, FILE_NAME, LIMIT_EVENTS_FILE, meaning, damage, &j))
		return;
	int64_t since_ns = json_get_int(j, "since", -1);
	if (since_ns < 0) {
		(void)damage_report(damage, dir, FILE_NAME,
			"'" FILE_NAME "' does not say how far events were read", meaning);
		return;
	}
	ret->floor_ns = 0;
	if (!is_of_boot(j, boot)) {
		ret->since_ns = 0;
		return;
	}
	ret->floor_ns = json_get_int(j, "floor", 0);
	if (event_cursor_is_ahead(ret->floor_ns, now_ns))
		ret->floor_ns = now_ns;
	ret->since_ns = event_cursor_is_ahead(since_ns, now_ns) ? now_ns : since_ns;
	ret->knows_before = true;
	ret->left_from_ns = json_get_int(j, "busy_from", 0);
	ret->left_to_ns = json_get_int(j, "busy_to", 0);
	ret->left_open = ret->left_from_ns > 0 && ret->left_to_ns == 0;
	if (ret->left_open)
		ret->left_to_ns = now_ns;
	read_seen(json_object_get(j, "seen"), ret);
	read_restarts(json_object_get(j, "restarts"), ret);
}

/// The latest first, as far as the engine may send them again to the next start.
static json_t *seen_to_json(const struct event_cursor *c, int64_t from_ns)
{
	json_t *list = json_array();

	for (size_t i = 1; i <= EVENT_CURSOR_KEYS && json_array_size(list) < SAVED_MAX; i++) {
		size_t at = (c->next + EVENT_CURSOR_KEYS - i) % EVENT_CURSOR_KEYS;
		char key[KEY_DIGITS + 1];

		if (c->seen[at].time_ns == 0 || c->seen[at].time_ns < from_ns)
			continue;
		(void)snprintf(key, sizeof(key), "%016" PRIx64, c->seen[at].key);
		json_array_append_new(
			list, json_pack("[s, I]", key, (json_int_t)c->seen[at].time_ns));
	}
	return list;
}

static json_t *restarts_to_json(const struct event_cursor *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < EVENT_CURSOR_RESTARTS; i++)
		if (c->restarts[i].id[0])
			json_array_append_new(list, json_pack("[s, I, I]", c->restarts[i].id,
							    (json_int_t)c->restarts[i].from_ns,
							    (json_int_t)c->restarts[i].until_ns));
	return list;
}

lm_rc event_cursor_save(const char *directory, const char *boot, const struct event_cursor *c,
	int64_t since_ns, struct lm_err *err)
{
	lm_auto_close int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct event_cursor from = {.since_ns = since_ns};
	lm_auto_json json_t *j = json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:o}", "boot", boot,
		"since", (json_int_t)since_ns, "floor", (json_int_t)c->floor_ns, "busy_from",
		(json_int_t)c->busy_from_ns, "busy_to", (json_int_t)c->busy_to_ns, "seen",
		seen_to_json(c, event_cursor_from(&from)), "restarts", restarts_to_json(c));

	if (dir < 0)
		return lm_fail(err, LM_E_SYS, errno, "open '%s': %m", directory);
	return record_json_replace(dir, FILE_NAME, LIMIT_EVENTS_FILE, j, err);
}
