// SPDX-License-Identifier: Apache-2.0
#include "events/crash_log.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "events/container_event.h"
#include "sys/numbered_dir.h"

#include <stdio.h>
#include <string.h>

static const char *const SUFFIXES[] = {".json", NULL};

struct crash {
	uint64_t number;
	char id[CONTAINER_EVENT_ID_SIZE]; ///< "": not readable.
};

struct crash_log {
	struct numbered_dir dir;
	struct crash crashes[LIMIT_CRASHES]; ///< Oldest first.
	size_t n;
};

static lm_rc read_crash(
	const struct crash_log *l, uint64_t number, json_t **ret, struct lm_err *err)
{
	char name[NUMBERED_FILE_NAME_SIZE];
	lm_auto_free char *path = lm_path_join(l->dir.path,
		numbered_file_name(&l->dir, (struct numbered_file){.number = number}, name));

	return json_read_file(path, LIMIT_CRASH_FILE, ret, err);
}

static void crash_log_remove_file(struct crash_log *l, uint64_t number)
{
	struct lm_err ignored; // what stays is removed by a later start

	(void)!numbered_dir_remove(&l->dir, (struct numbered_file){.number = number}, &ignored);
}

/// Puts a number in its place; the oldest goes where there are too many.
static void crash_log_insert(struct crash_log *l, uint64_t number)
{
	size_t at;

	if (l->n == LIMIT_CRASHES && number < l->crashes[0].number) {
		crash_log_remove_file(l, number);
		return;
	}
	if (l->n == LIMIT_CRASHES) {
		crash_log_remove_file(l, l->crashes[0].number);
		l->n--;
		memmove(l->crashes, l->crashes + 1, l->n * sizeof(l->crashes[0]));
	}
	for (at = l->n; at > 0 && l->crashes[at - 1].number > number; at--)
		l->crashes[at] = l->crashes[at - 1];
	l->crashes[at] = (struct crash){.number = number};
	l->n++;
}

static void crash_log_on_file(void *ctx, const char *name, const struct numbered_file *file)
{
	(void)name;
	if (file)
		crash_log_insert(ctx, file->number);
}

static void set_id(struct crash *c, const json_t *crash)
{
	const char *id = json_get_text(crash, "id");

	(void)snprintf(c->id, sizeof(c->id), "%s", id ? id : "");
}

static void read_ids(struct crash_log *l)
{
	for (size_t i = 0; i < l->n; i++) {
		lm_auto_json json_t *crash = NULL;
		struct lm_err ignored; // its file keeps its place until it is the oldest

		if (read_crash(l, l->crashes[i].number, &crash, &ignored) == LM_OK)
			set_id(&l->crashes[i], crash);
	}
}

lm_rc crash_log_open(const char *directory, struct crash_log **ret, struct lm_err *err)
{
	lm_auto(crash_log_close_p) struct crash_log *l = lm_xcalloc(1, sizeof(*l));
	lm_rc rc = numbered_dir_open(directory, SUFFIXES, &l->dir, err);

	if (rc == LM_OK)
		rc = numbered_dir_list(&l->dir, crash_log_on_file, l, err);
	if (rc)
		return rc;
	read_ids(l);
	*ret = lm_take(l);
	return LM_OK;
}

void crash_log_close(struct crash_log *l)
{
	if (!l)
		return;
	numbered_dir_finish(&l->dir);
	free(l);
}

lm_rc crash_log_add(struct crash_log *l, const json_t *crash, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_CRASH_FILE);
	const struct numbered_file file = {.number = l->dir.last + 1};

	if (!json_write(crash, &text))
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the record of a crash is over %d bytes, the most that is kept",
			LIMIT_CRASH_FILE);
	lm_rc rc = numbered_dir_put(&l->dir, file, lm_buf_str(&text), err);
	if (rc)
		return rc;
	crash_log_insert(l, file.number);
	set_id(&l->crashes[l->n - 1], crash);
	return LM_OK;
}

bool crash_log_has(const struct crash_log *l, const char *id)
{
	for (size_t i = l->n; i > 0; i--)
		if (strcmp(l->crashes[i - 1].id, id) == 0)
			return true;
	return false;
}

void crash_log_each(const struct crash_log *l, void (*each)(void *ctx, const char *id), void *ctx)
{
	for (size_t i = 0; i < l->n; i++)
		each(ctx, l->crashes[i].id);
}

json_t *crash_log_to_json(const struct crash_log *l)
{
	json_t *list = json_array();

	for (size_t i = l->n; i > 0; i--) {
		json_t *crash = NULL;
		struct lm_err ignored;

		if (read_crash(l, l->crashes[i - 1].number, &crash, &ignored) == LM_OK)
			json_array_append_new(list, crash);
	}
	return list;
}
