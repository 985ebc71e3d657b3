// SPDX-License-Identifier: Apache-2.0
#include "events/ring.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "events/report.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NUMBER_DIGITS = 20, NAME_SIZE = 32 };
#define SUFFIX ".json"

struct entry {
	uint64_t number;
	char id[REPORT_ID_SIZE]; ///< "": not readable.
};

struct ring {
	char *directory;
	int fd;
	struct entry entries[LIMIT_CRASHES]; ///< Oldest first.
	size_t n;
	uint64_t last; ///< The highest number that was ever seen.
};

static char *name_of(uint64_t number, char out[NAME_SIZE])
{
	(void)snprintf(out, NAME_SIZE, "%020" PRIu64 SUFFIX, number);
	return out;
}

static bool number_of(const char *name, uint64_t *ret)
{
	const char *digits = name + strspn(name, "0");

	if (strlen(name) != NUMBER_DIGITS + strlen(SUFFIX) ||
		strcmp(name + NUMBER_DIGITS, SUFFIX) != 0)
		return false;
	return lm_str_to_u64((struct lm_str){digits, (size_t)(name + NUMBER_DIGITS - digits)},
		UINT64_MAX - 1, ret);
}

static lm_rc read_record(const struct ring *r, uint64_t number, json_t **ret, struct lm_err *err)
{
	char name[NAME_SIZE];
	lm_auto_free char *path = lm_path_join(r->directory, name_of(number, name));

	return json_read_file(path, LIMIT_CRASH_FILE, ret, err);
}

static void remove_file(const struct ring *r, const char *name)
{
	(void)unlinkat(r->fd, name, 0); // what stays is removed by a later start
}

static void drop_oldest(struct ring *r)
{
	char name[NAME_SIZE];

	remove_file(r, name_of(r->entries[0].number, name));
	r->n--;
	memmove(r->entries, r->entries + 1, r->n * sizeof(r->entries[0]));
}

/// Puts a number in its place; the oldest goes where there are too many.
static void insert(struct ring *r, uint64_t number)
{
	size_t at = r->n;
	char name[NAME_SIZE];

	if (number > r->last)
		r->last = number;
	if (r->n == LIMIT_CRASHES && number < r->entries[0].number) {
		remove_file(r, name_of(number, name));
		return;
	}
	if (r->n == LIMIT_CRASHES)
		drop_oldest(r);
	for (at = r->n; at > 0 && r->entries[at - 1].number > number; at--)
		r->entries[at] = r->entries[at - 1];
	r->entries[at] = (struct entry){.number = number};
	r->n++;
}

static void set_id(struct entry *e, const json_t *record)
{
	const char *id = json_get_text(record, "id");

	(void)snprintf(e->id, sizeof(e->id), "%s", id ? id : "");
}

static void read_ids(struct ring *r)
{
	for (size_t i = 0; i < r->n; i++) {
		lm_auto_json json_t *record = NULL;
		struct lm_err ignored; // its file keeps its place until it is the oldest

		if (read_record(r, r->entries[i].number, &record, &ignored) == LM_OK)
			set_id(&r->entries[i], record);
	}
}

static lm_rc read_names(struct ring *r, struct lm_err *err)
{
	lm_auto_closedir DIR *dir = opendir(r->directory);

	if (!dir)
		return lm_fail(err, LM_E_SYS, errno, "read '%s': %m", r->directory);
	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		uint64_t number;

		if (number_of(e->d_name, &number))
			insert(r, number);
		else if (e->d_name[0] == '.' && lm_str_ends(lm_str(e->d_name), LM_STR(".tmp")))
			remove_file(r, e->d_name);
	}
	return LM_OK;
}

lm_rc ring_open(const char *directory, struct ring **ret, struct lm_err *err)
{
	lm_auto(ring_close_p) struct ring *r = lm_xcalloc(1, sizeof(*r));
	lm_rc rc = lm_dir_make(directory, 0700, err);

	r->directory = lm_xstrdup(directory);
	r->fd = -1;
	if (rc)
		return rc;
	r->fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->fd < 0)
		return lm_fail(err, errno == EACCES ? LM_E_DENIED : LM_E_SYS, errno,
			"open '%s': %m", directory);
	rc = read_names(r, err);
	if (rc)
		return rc;
	read_ids(r);
	*ret = lm_take(r);
	return LM_OK;
}

void ring_close(struct ring *r)
{
	if (!r)
		return;
	lm_cleanup_close(&r->fd);
	free(r->directory);
	free(r);
}

lm_rc ring_add(struct ring *r, const json_t *record, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_CRASH_FILE);
	char name[NAME_SIZE];

	if (!json_write(record, &text))
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the record of a crash is over %d bytes, the most that is kept",
			LIMIT_CRASH_FILE);
	lm_rc rc = lm_file_replace(r->fd, name_of(r->last + 1, name), lm_buf_str(&text), 0600, err);
	if (rc)
		return lm_wrap(err, "'%s'", r->directory);
	insert(r, r->last + 1);
	set_id(&r->entries[r->n - 1], record);
	return LM_OK;
}

bool ring_has(const struct ring *r, const char *id)
{
	for (size_t i = r->n; i > 0; i--)
		if (strcmp(r->entries[i - 1].id, id) == 0)
			return true;
	return false;
}

void ring_each(const struct ring *r, void (*each)(void *ctx, const char *id), void *ctx)
{
	for (size_t i = 0; i < r->n; i++)
		each(ctx, r->entries[i].id);
}

json_t *ring_to_json(const struct ring *r)
{
	json_t *list = json_array();

	for (size_t i = r->n; i > 0; i--) {
		json_t *record = NULL;
		struct lm_err ignored;

		if (read_record(r, r->entries[i - 1].number, &record, &ignored) == LM_OK)
			json_array_append_new(list, record);
	}
	return list;
}
