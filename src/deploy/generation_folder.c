// SPDX-License-Identifier: Apache-2.0
#include "deploy/generation_folder.h"

#include "base/file.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

unsigned generation_parse_number(struct lm_str name)
{
	uint64_t n;

	return lm_str_to_u64(name, GENERATION_MAX, &n) ? (unsigned)n : 0;
}

static const char *format_name(char out[GENERATION_NAME_SIZE], const char *prefix, unsigned n)
{
	(void)snprintf(out, GENERATION_NAME_SIZE, "%s%u", prefix, n);
	return out;
}

lm_rc generation_folder_open(int generations_fd, unsigned n, int *ret_fd, struct lm_err *err)
{
	char name[GENERATION_NAME_SIZE];
	int fd = openat(generations_fd, format_name(name, "", n),
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return lm_fail(err, LM_E_NOT_FOUND, ENOENT, "there is no generation %u", n);
	if (fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "open the folder of generation %u: %m", n);
	*ret_fd = fd;
	return LM_OK;
}

static int compare_numbers(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return (x > y) - (x < y);
}

lm_rc generation_folder_list(
	int generations_fd, unsigned **ret, size_t *ret_count, struct lm_err *err)
{
	lm_auto_close int fd = openat(generations_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lm_auto_closedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	lm_auto_free unsigned *numbers = NULL;
	size_t count = 0;

	if (!dir)
		return lm_fail(err, LM_E_SYS, errno, "read the folder of generations: %m");
	(void)lm_take_fd(fd); // the stream's now
	errno = 0;
	for (struct dirent *e; (e = readdir(dir)) != NULL; errno = 0) {
		unsigned n = generation_parse_number(lm_str(e->d_name));

		if (n == 0)
			continue;
		numbers = lm_xrealloc(numbers, (count + 1) * sizeof(*numbers));
		numbers[count++] = n;
	}
	if (errno != 0)
		return lm_fail(err, LM_E_SYS, errno, "read the folder of generations: %m");
	if (count > 0)
		qsort(numbers, count, sizeof(*numbers), compare_numbers);
	*ret = lm_take(numbers);
	*ret_count = count;
	return LM_OK;
}

lm_rc generation_folder_discard(int generations_fd, unsigned n, struct lm_err *err)
{
	char name[GENERATION_NAME_SIZE], old[GENERATION_NAME_SIZE];
	lm_rc rc = lm_tree_remove(generations_fd, format_name(old, ".old-", n), err);

	if (rc == LM_OK &&
		renameat(generations_fd, format_name(name, "", n), generations_fd, old) < 0 &&
		errno != ENOENT)
		rc = lm_fail(err, LM_E_SYS, errno, "rename its folder: %m");
	if (rc == LM_OK)
		rc = lm_tree_remove(generations_fd, old, err);
	return rc ? lm_wrap(err, "remove generation %u", n) : LM_OK;
}

lm_rc generation_file_open(int dir_fd, const char *name, int *ret_fd, struct lm_err *err)
{
	// O_NONBLOCK: a FIFO of that name must not hold us up.
	lm_auto_close int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return lm_fail(err, LM_E_NOT_FOUND, ENOENT, "there is no '%s'", name);
	if (fd < 0 && errno == ELOOP)
		return lm_fail(err, LM_E_INVALID, ELOOP, "'%s' is a link, not a file", name);
	if (fd < 0 || fstat(fd, &st) < 0)
		return lm_fail(err, LM_E_SYS, errno, "open '%s': %m", name);
	if (!S_ISREG(st.st_mode))
		return lm_fail(err, LM_E_INVALID, 0, "'%s' is not a regular file", name);
	*ret_fd = lm_take_fd(fd);
	return LM_OK;
}

lm_rc generation_file_read(int dir_fd, const char *name, struct lm_buf *out, struct lm_err *err)
{
	lm_auto_close int fd = -1;
	lm_rc rc = generation_file_open(dir_fd, name, &fd, err);

	return rc ? rc : lm_fd_read_all(fd, name, out, err);
}

lm_rc generation_json_read(int dir_fd, const char *name, json_t **ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(GENERATION_OUTCOME_MAX);
	lm_rc rc = generation_file_read(dir_fd, name, &text, err);

	if (rc)
		return rc;
	rc = json_parse(lm_buf_str(&text), ret, err);
	return rc ? lm_wrap(err, "'%s' is damaged", name) : LM_OK;
}

lm_rc generation_json_replace(int dir_fd, const char *name, const json_t *j, struct lm_err *err)
{
	lm_auto_free char *text = json_dumps(j, JSON_INDENT(1));

	if (!text)
		return lm_fail(err, LM_E_INVALID, 0, "'%s' cannot be written as JSON", name);
	if (strlen(text) > GENERATION_OUTCOME_MAX)
		return lm_fail(err, LM_E_TOO_LARGE, 0, "'%s' would be over %d bytes", name,
			GENERATION_OUTCOME_MAX);
	return lm_file_replace(dir_fd, name, lm_str(text), 0600, err);
}

lm_rc generation_folder_make(
	int generations_fd, const char *name, struct lm_str definition, struct lm_err *err)
{
	lm_rc rc = lm_tree_remove(generations_fd, name, err);

	if (rc)
		return rc;
	if (mkdirat(generations_fd, name, 0700) < 0)
		return lm_fail(err, LM_E_SYS, errno, "create its folder: %m");
	lm_auto_close int fd =
		openat(generations_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "open its folder: %m");
	return lm_file_replace(fd, GENERATION_DEFINITION, definition, 0600, err);
}

lm_rc generation_is_complete(int generations_fd, unsigned n, bool *ret, struct lm_err *err)
{
	lm_auto_close int fd = -1, file = -1;
	lm_rc rc = generation_folder_open(generations_fd, n, &fd, err);

	if (rc == LM_OK)
		rc = generation_file_open(fd, GENERATION_DEFINITION, &file, err);
	// What cannot be read now may be read later: only what is not there is not complete.
	*ret = rc == LM_OK || rc == LM_E_SYS;
	return rc == LM_E_NOT_FOUND || rc == LM_E_INVALID || rc == LM_E_SYS ? LM_OK : rc;
}

/// Removes ".new-<n>" (never got its number) and ".old-<n>" (lost it).
lm_rc generation_remove_unnumbered(int generations_fd, struct lm_err *err)
{
	lm_auto_close int fd = openat(generations_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lm_auto_closedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir)
		return lm_fail(err, LM_E_SYS, errno, "read the folder of generations: %m");
	(void)lm_take_fd(fd);
	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		struct lm_str name = lm_str(e->d_name);

		if (!lm_str_starts(name, LM_STR(".new-")) && !lm_str_starts(name, LM_STR(".old-")))
			continue;
		lm_rc rc = lm_tree_remove(generations_fd, e->d_name, err);
		if (rc)
			return rc;
	}
	return LM_OK;
}

lm_rc generation_verdict_read(int generation_fd, struct generation_verdict *ret, struct lm_err *err)
{
	lm_auto_json json_t *j = NULL;
	lm_rc rc = generation_json_read(generation_fd, GENERATION_OUTCOME, &j, err);

	if (rc == LM_E_NOT_FOUND || rc == LM_E_INVALID || rc == LM_E_TOO_LARGE) {
		*ret = (struct generation_verdict){0};
		return LM_OK;
	}
	if (rc)
		return rc;
	json_int_t attempt = json_integer_value(json_object_get(j, "attempt"));
	*ret = (struct generation_verdict){
		.attempt = attempt > 0 && attempt < INT32_MAX ? (unsigned)attempt : 0,
		.success = json_is_true(json_object_get(j, "success")),
		.good = json_is_true(json_object_get(j, "good")),
		.has_status = json_is_string(json_object_get(j, "status")),
	};
	return LM_OK;
}

lm_rc generation_is_unreported(
	int generation_fd, const struct generation_verdict *verdict, bool *ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(GENERATION_NAME_SIZE);

	if (verdict->attempt == 0 || !verdict->has_status) {
		*ret = false;
		return LM_OK;
	}
	lm_rc rc = generation_file_read(generation_fd, GENERATION_REPORTED, &text, err);
	if (rc == LM_E_SYS)
		return rc;
	// Anything but this attempt's number: better sent twice than never.
	*ret = rc != LM_OK ||
	       generation_parse_number(lm_str_trim(lm_buf_str(&text))) != verdict->attempt;
	return LM_OK;
}

lm_rc generation_drop_fetched(int generation_fd, struct lm_err *err)
{
	static const char *const names[] = {
		GENERATION_COMPOSE_NEW, GENERATION_COMPOSE_KEPT, GENERATION_IMAGES_NEW};
	bool removed = false;

	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++) {
		if (unlinkat(generation_fd, names[i], 0) == 0)
			removed = true;
		else if (errno != ENOENT)
			return lm_fail(err, LM_E_SYS, errno, "remove '%s': %m", names[i]);
	}
	return removed ? lm_dir_sync(generation_fd, "generation", err) : LM_OK;
}

/// Renames a file that waited for its outcome; one that is not there was moved before, or never
/// was.
static lm_rc adopt(int fd, const char *from, const char *to, struct lm_err *err)
{
	if (renameat(fd, from, fd, to) < 0 && errno != ENOENT)
		return lm_fail(err, LM_E_SYS, errno, "rename '%s' to '%s': %m", from, to);
	return LM_OK;
}

lm_rc generation_adopt_fetched(int fd, const struct generation_verdict *verdict, struct lm_err *err)
{
	// What a failed attempt fetched must not replace what once was good.
	if (!verdict->success && verdict->good)
		return generation_drop_fetched(fd, err);
	lm_rc rc = adopt(fd, GENERATION_COMPOSE_KEPT, GENERATION_COMPOSE, err);
	if (rc == LM_OK)
		rc = adopt(fd, GENERATION_IMAGES_NEW, GENERATION_IMAGES, err);
	if (rc == LM_OK)
		rc = lm_dir_sync(fd, "generation", err);
	return rc ? rc : generation_drop_fetched(fd, err);
}

/// An array, whatever there is.
lm_rc generation_read_copies(int dir, json_t **ret, struct lm_err *err)
{
	json_t *copies = NULL;
	lm_rc rc = generation_json_read(dir, GENERATION_COPIES, &copies, err);

	if (rc == LM_E_SYS)
		return rc;
	if (rc != LM_OK || !json_is_array(copies)) {
		json_decref(copies);
		copies = json_array();
	}
	*ret = copies;
	return LM_OK;
}

static void forget_copy(json_t *copies, const char *sha256)
{
	for (size_t i = json_array_size(copies); i-- > 0;) {
		const char *other = json_get_text(json_array_get(copies, i), "sha256");

		if (!other || strcmp(other, sha256) == 0)
			(void)json_array_remove(copies, i);
	}
}

lm_rc generation_note_copy(int dir, const char *sha256, const char *version, struct lm_err *err)
{
	enum { COPIES_MAX = 8 };
	lm_auto_json json_t *copies = NULL;
	lm_rc rc = generation_read_copies(dir, &copies, err);

	if (rc)
		return rc;
	forget_copy(copies, sha256);
	json_array_insert_new(
		copies, 0, json_pack("{s:s, s:s}", "sha256", sha256, "version", version));
	while (json_array_size(copies) > COPIES_MAX)
		(void)json_array_remove(copies, COPIES_MAX);
	return generation_json_replace(dir, GENERATION_COPIES, copies, err);
}
