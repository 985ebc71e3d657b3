// SPDX-License-Identifier: Apache-2.0
#include "deploy/generation_folder.h"

#include "base/file.h"
#include "base/memory.h"
#include "sys/damage.h"
#include "sys/record.h"

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

lm_rc generation_folder_next(int generations_fd, unsigned *ret_n, struct lm_err *err)
{
	lm_auto_close int fd = openat(generations_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lm_auto_closedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	unsigned last = 0;

	if (!dir)
		return lm_fail(err, LM_E_SYS, errno, "read the folder of generations: %m");
	(void)lm_take_fd(fd); // the stream's now
	errno = 0;
	for (struct dirent *e; (e = readdir(dir)) != NULL; errno = 0) {
		struct lm_str name = lm_str(e->d_name);

		// One that was set aside had its number, too.
		if (lm_str_ends(name, LM_STR(DAMAGE_SUFFIX)))
			name.n -= strlen(DAMAGE_SUFFIX);
		unsigned n = generation_parse_number(name);
		if (n > last)
			last = n;
	}
	if (errno != 0)
		return lm_fail(err, LM_E_SYS, errno, "read the folder of generations: %m");
	*ret_n = last + 1;
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
	// Before any of its files goes: else a power cut may leave some of them under the number.
	if (rc == LM_OK)
		rc = lm_dir_sync(generations_fd, name, err);
	if (rc == LM_OK)
		rc = lm_tree_remove(generations_fd, old, err);
	return rc ? lm_wrap(err, "remove generation %u", n) : LM_OK;
}

lm_rc generation_json_read(int dir_fd, const char *name, json_t **ret, struct lm_err *err)
{
	return record_json_read(dir_fd, name, GENERATION_OUTCOME_MAX, ret, err);
}

lm_rc generation_object_read(int dir_fd, const char *name, json_t **ret, struct lm_err *err)
{
	lm_auto_json json_t *found = NULL;
	lm_rc rc = generation_json_read(dir_fd, name, &found, err);

	if (rc == LM_E_SYS)
		return rc;
	*ret = json_is_object(found) ? lm_take(found) : json_object();
	return LM_OK;
}

lm_rc generation_json_replace(int dir_fd, const char *name, const json_t *j, struct lm_err *err)
{
	lm_auto_free char *text = json_dumps(j, JSON_INDENT(1));

	if (!text)
		return lm_fail(err, LM_E_INVALID, 0, "'%s' cannot be written as JSON", name);
	if (strlen(text) > GENERATION_OUTCOME_MAX)
		return lm_fail(err, LM_E_TOO_LARGE, 0, "'%s' would be over %d bytes", name,
			GENERATION_OUTCOME_MAX);
	return record_replace(dir_fd, name, lm_str(text), err);
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
	return record_replace(fd, GENERATION_DEFINITION, definition, err);
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

/// As text, whatever it is.
static json_t *image_text(json_t *text)
{
	return json_is_string(text) ? json_incref(text) : json_string("");
}

lm_rc generation_read_images(int dir, json_t **ret, struct lm_err *err)
{
	lm_auto_json json_t *read = NULL;
	json_t *images = json_object();
	lm_rc rc = generation_json_read(dir, GENERATION_IMAGES, &read, err);
	const char *ref;
	json_t *image;

	if (rc == LM_E_SYS) {
		json_decref(images);
		return rc;
	}
	json_object_foreach(read, ref, image)
	{
		bool is_old = json_is_string(image);
		json_t *digest = is_old ? image : json_object_get(image, "digest");

		json_object_set_new(images, ref,
			json_pack("{s:o, s:o}", "digest", image_text(digest), "id",
				image_text(json_object_get(image, "id"))));
	}
	*ret = images;
	return LM_OK;
}

lm_rc generation_check_images(int dir, unsigned n, struct lm_err *err)
{
	lm_auto_json json_t *images = NULL;
	lm_rc rc = generation_json_read(dir, GENERATION_IMAGES, &images, err);

	if (rc == LM_E_SYS || (rc == LM_OK && json_is_object(images)))
		return rc;
	// At the start it was set aside.
	if (rc == LM_E_NOT_FOUND &&
		faccessat(dir, GENERATION_IMAGES DAMAGE_SUFFIX, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return LM_OK;
	return lm_fail(err, LM_E_INVALID, 0,
		"which images generation %u needs is not known, because its '" GENERATION_IMAGES
		"' is damaged: none is removed before that generation was deployed again or "
		"removed",
		n);
}

lm_rc generation_quarantine(int dir, const char *reason, int64_t at_ms, struct lm_err *err)
{
	lm_auto_json json_t *j = json_pack(
		"{s:o, s:I}", "reason", json_from_text(reason), "at_ms", (json_int_t)at_ms);

	lm_rc rc = generation_json_replace(dir, GENERATION_QUARANTINE, j, err);
	// A link needs no block of its own, so that a disk that is full takes it.
	if (rc == LM_E_SYS && err->sys == ENOSPC)
		rc = lm_link_replace(dir, GENERATION_QUARANTINE, "no-space", err);
	return rc;
}

static bool is_link(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
}

lm_rc generation_lift(int dir, struct lm_err *err)
{
	return lm_tree_remove(dir, GENERATION_QUARANTINE, err);
}

lm_rc generation_read_quarantine(int dir, char **ret_reason, int64_t *ret_at_ms, struct lm_err *err)
{
	lm_auto_json json_t *j = NULL;
	lm_rc rc = generation_json_read(dir, GENERATION_QUARANTINE, &j, err);

	if (rc == LM_E_SYS || rc == LM_E_NOT_FOUND)
		return rc;
	// What is damaged was a quarantine all the same.
	const char *reason = json_get_text(j, "reason");
	if (!reason)
		reason = is_link(dir, GENERATION_QUARANTINE)
				 ? "the disk had no space for the reason"
				 : "the record of the reason is damaged";
	*ret_reason = lm_xstrdup(reason);
	*ret_at_ms = json_get_int(j, "at_ms", 0);
	return LM_OK;
}
