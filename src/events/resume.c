// SPDX-License-Identifier: Apache-2.0
#include "events/resume.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/path.h"
#include "sys/json.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_NAME "events.json"

enum {
	NS_PER_S = 1000 * 1000 * 1000,
	OVERLAP_NS = NS_PER_S,
	AHEAD_S = 10,    ///< Clocks that are set little by little are not meant.
	SAVED_MAX = 128, ///< Keys of the overlap; more events than that in a second are rare.
	KEY_DIGITS = 16,
};

bool resume_is_ahead(int64_t time_ns, int64_t now_ns)
{
	return time_ns > now_ns && time_ns - now_ns > (int64_t)AHEAD_S * NS_PER_S;
}

bool resume_has(const struct resume *r, uint64_t key, int64_t time_ns)
{
	for (size_t i = 0; i < RESUME_KEYS; i++)
		if (r->seen[i].key == key && r->seen[i].time_ns == time_ns)
			return true;
	return false;
}

bool resume_take(struct resume *r, uint64_t key, int64_t time_ns)
{
	if (resume_has(r, key, time_ns))
		return false;
	r->seen[r->next].key = key;
	r->seen[r->next].time_ns = time_ns;
	r->next = (r->next + 1) % RESUME_KEYS;
	if (time_ns > r->since_ns)
		r->since_ns = time_ns;
	return true;
}

int64_t resume_from(const struct resume *r)
{
	int64_t from_ns = r->since_ns > OVERLAP_NS ? r->since_ns - OVERLAP_NS : 0;

	return from_ns > r->floor_ns ? from_ns : r->floor_ns;
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
static void read_seen(const json_t *list, struct resume *r)
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
		r->seen[r->next].key = key;
		r->seen[r->next].time_ns = time_ns;
		r->next = (r->next + 1) % RESUME_KEYS;
	}
}

static bool is_of_boot(const json_t *j, const char *boot)
{
	const char *told = json_get_text(j, "boot");

	return told && strcmp(told, boot) == 0;
}

void resume_load(const char *directory, const char *boot, int64_t now_ns, struct resume *ret)
{
	lm_auto_free char *path = lm_path_join(directory, FILE_NAME);
	lm_auto_json json_t *j = NULL;
	struct lm_err ignored;

	*ret = (struct resume){.since_ns = now_ns, .floor_ns = now_ns};
	if (json_read_file(path, LIMIT_EVENTS_FILE, &j, &ignored))
		return;
	int64_t since_ns = json_get_int(j, "since", -1);
	if (since_ns < 0)
		return;
	ret->floor_ns = 0;
	if (!is_of_boot(j, boot)) {
		ret->since_ns = 0;
		return;
	}
	ret->floor_ns = json_get_int(j, "floor", 0);
	if (resume_is_ahead(ret->floor_ns, now_ns))
		ret->floor_ns = now_ns;
	ret->since_ns = resume_is_ahead(since_ns, now_ns) ? now_ns : since_ns;
	ret->knows_before = true;
	ret->busy_from_ns = json_get_int(j, "busy_from", 0);
	ret->busy_to_ns = json_get_int(j, "busy_to", 0);
	read_seen(json_object_get(j, "seen"), ret);
}

/// The latest first, as far as the next start can be told them again.
static json_t *seen_to_json(const struct resume *r, int64_t from_ns)
{
	json_t *list = json_array();

	for (size_t i = 1; i <= RESUME_KEYS && json_array_size(list) < SAVED_MAX; i++) {
		size_t at = (r->next + RESUME_KEYS - i) % RESUME_KEYS;
		char key[KEY_DIGITS + 1];

		if (r->seen[at].time_ns == 0 || r->seen[at].time_ns < from_ns)
			continue;
		(void)snprintf(key, sizeof(key), "%016" PRIx64, r->seen[at].key);
		json_array_append_new(
			list, json_pack("[s, I]", key, (json_int_t)r->seen[at].time_ns));
	}
	return list;
}

lm_rc resume_save(const char *directory, const char *boot, const struct resume *r, int64_t since_ns,
	struct lm_err *err)
{
	lm_auto_free char *path = lm_path_join(directory, FILE_NAME);
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_EVENTS_FILE);
	const struct resume from = {.since_ns = since_ns};
	lm_auto_json json_t *j = json_pack("{s:s, s:I, s:I, s:I, s:I, s:o}", "boot", boot, "since",
		(json_int_t)since_ns, "floor", (json_int_t)r->floor_ns, "busy_from",
		(json_int_t)r->busy_from_ns, "busy_to", (json_int_t)r->busy_to_ns, "seen",
		seen_to_json(r, resume_from(&from)));

	if (!json_write(j, &text))
		return lm_fail(err, LM_E_TOO_LARGE, 0, "'%s' would be over %d bytes", path,
			LIMIT_EVENTS_FILE);
	return lm_file_replace(AT_FDCWD, path, lm_buf_str(&text), 0600, err);
}
