// SPDX-License-Identifier: Apache-2.0
#include "events/crash_log.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "events/container_event.h"
#include "sys/numbered_dir.h"
#include "sys/record.h"

#include <stdio.h>
#include <string.h>

enum { SUFFIX_CRASH, SUFFIX_DAMAGED };

static const char *const SUFFIXES[] = {".json", ".json" DAMAGE_SUFFIX, NULL};

struct crash {
	struct numbered_file file;
	char id[CONTAINER_EVENT_ID_SIZE]; ///< "": not readable.
};

struct crash_log {
	struct numbered_dir dir;
	struct crash crashes[LIMIT_CRASHES]; ///< Oldest first.
	size_t n;
};

static lm_rc read_crash(
	const struct crash_log *l, struct numbered_file file, json_t **ret, struct lm_err *err)
{
	char name[NUMBERED_FILE_NAME_SIZE];

	return record_json_read(
		l->dir.fd, numbered_file_name(&l->dir, file, name), LIMIT_CRASH_FILE, ret, err);
}

static void crash_log_remove_file(struct crash_log *l, struct numbered_file file)
{
	struct lm_err ignored; // what stays is removed by a later start

	(void)!numbered_dir_remove(&l->dir, file, &ignored);
}

/// Puts a file in its place; the oldest goes where there are too many.
static void crash_log_insert(struct crash_log *l, struct numbered_file file)
{
	size_t at;

	if (l->n == LIMIT_CRASHES && file.number < l->crashes[0].file.number) {
		crash_log_remove_file(l, file);
		return;
	}
	if (l->n == LIMIT_CRASHES) {
		crash_log_remove_file(l, l->crashes[0].file);
		l->n--;
		memmove(l->crashes, l->crashes + 1, l->n * sizeof(l->crashes[0]));
	}
	for (at = l->n; at > 0 && l->crashes[at - 1].file.number > file.number; at--)
		l->crashes[at] = l->crashes[at - 1];
	l->crashes[at] = (struct crash){.file = file};
	l->n++;
}

static void crash_log_on_file(void *ctx, const char *name, const struct numbered_file *file)
{
	(void)name;
	if (file)
		crash_log_insert(ctx, *file);
}

static void set_id(struct crash *c, const json_t *crash)
{
	const char *id = json_get_text(crash, "id");

	(void)snprintf(c->id, sizeof(c->id), "%s", id ? id : "");
}

/// A damaged one keeps its place until it is the oldest.
static void set_crash_aside(
	struct crash_log *l, struct crash *c, const struct lm_err *why, struct damage *damage)
{
	char name[NUMBERED_FILE_NAME_SIZE];

	if (damage_is(why) &&
		damage_report(damage, l->dir.fd, numbered_file_name(&l->dir, c->file, name),
			why->msg, "what crashed then is not known any more"))
		c->file.suffix = SUFFIX_DAMAGED;
}

static void read_ids(struct crash_log *l, struct damage *damage)
{
	for (size_t i = 0; i < l->n; i++) {
		lm_auto_json json_t *crash = NULL;
		struct lm_err err = {LM_OK};

		if (l->crashes[i].file.suffix == SUFFIX_DAMAGED)
			continue;
		if (read_crash(l, l->crashes[i].file, &crash, &err) == LM_OK)
			set_id(&l->crashes[i], crash);
		else
			set_crash_aside(l, &l->crashes[i], &err, damage);
	}
}

lm_rc crash_log_open(
	const char *directory, struct damage *damage, struct crash_log **ret, struct lm_err *err)
{
	lm_auto(crash_log_close_p) struct crash_log *l = lm_xcalloc(1, sizeof(*l));
	lm_rc rc = numbered_dir_open(directory, SUFFIXES, &l->dir, err);

	if (rc == LM_OK)
		rc = numbered_dir_list(&l->dir, crash_log_on_file, l, err);
	if (rc)
		return rc;
	read_ids(l, damage);
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
	lm_auto_buf struct lm_buf document = LM_BUF(LIMIT_CRASH_FILE);
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_CRASH_FILE + RECORD_HEADER_MAX);
	const struct numbered_file file = {.number = l->dir.last + 1};
	char name[NUMBERED_FILE_NAME_SIZE];

	if (!json_write(crash, &document))
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the record of a crash is over %d bytes, the most that is kept",
			LIMIT_CRASH_FILE);
	lm_rc rc = record_make(
		numbered_file_name(&l->dir, file, name), lm_buf_str(&document), &text, err);
	if (rc == LM_OK)
		rc = numbered_dir_put(&l->dir, file, lm_buf_str(&text), err);
	if (rc)
		return rc;
	crash_log_insert(l, file);
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

		if (l->crashes[i - 1].file.suffix == SUFFIX_CRASH &&
			read_crash(l, l->crashes[i - 1].file, &crash, &ignored) == LM_OK)
			json_array_append_new(list, crash);
	}
	return list;
}
