// SPDX-License-Identifier: Apache-2.0
#include "deploy/generation_check.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "deploy/generation_fetched.h"
#include "deploy/generation_folder.h"
#include "deploy/generation_outcome.h"
#include "sys/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { FOLDERS_KEPT = 3 };

/// The records, each with what it means that it is lost.
static const struct {
	const char *name;
	size_t max;
	const char *meaning;
} RECORDS[] = {
	{GENERATION_DEFINITION, LIMIT_GROUP_FILE,
		"it cannot be deployed any more; deploy its group file again"},
	{GENERATION_OUTCOME, GENERATION_OUTCOME_MAX,
		"how its last attempt ended is not known, and a status message that was not sent "
		"yet is lost"},
	{GENERATION_REPORTED, GENERATION_NAME_SIZE, "its last status message is sent again"},
	{GENERATION_IMAGES, GENERATION_OUTCOME_MAX,
		"which images it ran with is not known until it is deployed again, and until then "
		"no image is removed"},
	{GENERATION_IMAGES_NEW, GENERATION_OUTCOME_MAX,
		"which images it ran with is not known until it is deployed again"},
	{GENERATION_COPIES, GENERATION_OUTCOME_MAX,
		"in offline mode the local copy is not known to be of it"},
	{GENERATION_QUARANTINE, GENERATION_OUTCOME_MAX, "it stays in quarantine"},
};

/// Files that are no records.
static const struct {
	const char *name, *meaning;
} FILES[] = {
	{GENERATION_COMPOSE, "its next start fetches it again, and cannot do without"},
	{GENERATION_COMPOSE_NEW, "it is made again"},
	{GENERATION_COMPOSE_KEPT, "it is made again"},
};

static void report(struct damage *d, unsigned n, int dir, const char *name, const char *why,
	const char *meaning)
{
	if (damage_set_aside(d, dir, name))
		damage_note(d, "generation %u: %s; it was set aside as '%s" DAMAGE_SUFFIX "': %s",
			n, why, name, meaning);
}

/// Reads the record. A disk that failed once may not fail again.
static lm_rc check_record(int dir, const char *name, size_t max, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	for (int tries = 0; tries < 2; tries++) {
		lm_auto_buf struct lm_buf text = LM_BUF(max);

		rc = record_read(dir, name, &text, err);
		if (rc != LM_E_SYS)
			break;
	}
	return rc;
}

/// On a full disk a quarantine is a link.
static bool is_quarantine_link(int dir, const char *name)
{
	struct stat st;

	return strcmp(name, GENERATION_QUARANTINE) == 0 &&
	       fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
}

/// What is no file is in the way of one.
static void check_type(struct damage *d, unsigned n, int dir, const char *name, const char *meaning)
{
	lm_auto_free char *why = NULL;
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISREG(st.st_mode))
		return;
	why = lm_xasprintf("'%s' is not a regular file", name);
	report(d, n, dir, name, why, meaning);
}

static void check_temporary(struct damage *d, unsigned n, int dir, const char *name)
{
	char temporary[GENERATION_NAME_SIZE];

	(void)snprintf(temporary, sizeof(temporary), ".%s.tmp", name);
	check_type(d, n, dir, temporary, "it is made again");
}

static bool exists_at(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void check_files(struct damage *d, unsigned n, int dir)
{
	for (size_t i = 0; i < LM_ARRAY_SIZE(RECORDS); i++) {
		const char *name = RECORDS[i].name;
		struct lm_err err = {LM_OK};
		lm_rc rc = check_record(dir, name, RECORDS[i].max, &err);

		if (rc == LM_OK || !damage_is(&err) || is_quarantine_link(dir, name))
			continue;
		report(d, n, dir, name, err.msg, RECORDS[i].meaning);
		if (strcmp(name, GENERATION_QUARANTINE) == 0 &&
			generation_quarantine(dir, "the record of the reason was damaged",
				lm_clock_wall_ms(), &err) != LM_OK)
			damage_note(d, "generation %u is in quarantine no more: %s", n, err.msg);
	}
	for (size_t i = 0; i < LM_ARRAY_SIZE(RECORDS); i++)
		check_temporary(d, n, dir, RECORDS[i].name);
	for (size_t i = 0; i < LM_ARRAY_SIZE(FILES); i++)
		check_type(d, n, dir, FILES[i].name, FILES[i].meaning);
}

struct generation_facts generation_check(int generations_fd, unsigned n, struct damage *d)
{
	lm_auto_close int dir = -1;
	struct generation_facts facts = {.n = n, .usable = true};
	struct generation_verdict verdict = {0};
	struct lm_err err = {LM_OK};
	char name[GENERATION_NAME_SIZE];

	(void)snprintf(name, sizeof(name), "%u", n);
	if (generation_folder_open(generations_fd, n, &dir, &err) != LM_OK) {
		if (!damage_is(&err))
			return facts;
		if (damage_set_aside(d, generations_fd, name))
			damage_note(d, "%s; it was set aside as 'generations/%s" DAMAGE_SUFFIX "'",
				err.msg, name);
		return (struct generation_facts){0};
	}
	check_files(d, n, dir);
	bool ended = generation_verdict_read(dir, &verdict, &err) == LM_OK && verdict.attempt > 0;
	(void)!generation_reported_read(dir, &facts.reported, &err);
	facts.usable = exists_at(dir, GENERATION_DEFINITION);
	facts.empty = !facts.usable && !ended && facts.reported == 0 &&
		      !exists_at(dir, GENERATION_DEFINITION DAMAGE_SUFFIX);
	facts.ended = ended;
	facts.good = verdict.good;
	facts.probation = verdict.probation;
	facts.quarantined = exists_at(dir, GENERATION_QUARANTINE);
	return facts;
}

void generation_check_compose(int generations_fd, unsigned n, struct damage *d)
{
	lm_auto_close int dir = -1, compose = -1;
	struct generation_verdict verdict = {0};
	struct lm_err err = {LM_OK};

	if (generation_folder_open(generations_fd, n, &dir, &err) != LM_OK ||
		generation_verdict_read(dir, &verdict, &err) != LM_OK)
		return;
	lm_rc rc = generation_compose_open(dir, verdict.compose_sha256, &compose, &err);
	if (rc == LM_E_SYS) // a disk that failed once may not fail again
		rc = generation_compose_open(dir, verdict.compose_sha256, &compose, &err);
	if (rc != LM_OK && damage_is(&err))
		report(d, n, dir, GENERATION_COMPOSE, err.msg, FILES[0].meaning);
}

static int compare_newest_first(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return (x < y) - (x > y);
}

/// Their numbers, the newest first.
static unsigned *list_damaged(int generations_fd, size_t *ret_n)
{
	lm_auto_close int fd = openat(generations_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lm_auto_closedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	unsigned *numbers = NULL;

	*ret_n = 0;
	if (!dir)
		return NULL;
	(void)lm_take_fd(fd); // the stream's now
	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		struct lm_str name = lm_str(e->d_name);

		if (!lm_str_ends(name, LM_STR(DAMAGE_SUFFIX)))
			continue;
		name.n -= strlen(DAMAGE_SUFFIX);
		numbers = lm_xrealloc(numbers, (*ret_n + 1) * sizeof(*numbers));
		numbers[(*ret_n)++] = generation_parse_number(name);
	}
	if (*ret_n > 1)
		qsort(numbers, *ret_n, sizeof(*numbers), compare_newest_first);
	return numbers;
}

void generation_check_limit(int generations_fd, struct damage *d)
{
	size_t count = 0;
	lm_auto_free unsigned *numbers = list_damaged(generations_fd, &count);

	for (size_t i = FOLDERS_KEPT; i < count && numbers[i] > 0; i++) {
		char name[GENERATION_NAME_SIZE];
		struct lm_err err = {LM_OK};

		(void)snprintf(name, sizeof(name), "%u" DAMAGE_SUFFIX, numbers[i]);
		if (lm_tree_remove(generations_fd, name, &err) != LM_OK)
			damage_note(d, "%s", err.msg);
	}
}
