// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "base/memory.h"
#include "deploy/store_priv.h"
#include "sys/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

unsigned store_parse_number(struct lm_str name)
{
	uint64_t n;

	return lm_str_to_u64(name, STORE_GENERATION_MAX, &n) ? (unsigned)n : 0;
}

static const char *format_name(char out[STORE_NAME_SIZE], const char *prefix, unsigned n)
{
	(void)snprintf(out, STORE_NAME_SIZE, "%s%u", prefix, n);
	return out;
}

lm_rc store_open_generation(const struct store *s, unsigned n, int *ret_fd, struct lm_err *err)
{
	char name[STORE_NAME_SIZE];
	int fd = openat(s->generations_fd, format_name(name, "", n),
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return lm_fail(err, LM_E_NOT_FOUND, ENOENT, "there is no generation %u", n);
	if (fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "open the folder of generation %u: %m", n);
	*ret_fd = fd;
	return LM_OK;
}

static int compare(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return (x > y) - (x < y);
}

lm_rc store_numbers(const struct store *s, unsigned **ret, size_t *ret_count, struct lm_err *err)
{
	lm_auto_close int fd = openat(s->generations_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lm_auto_closedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	lm_auto_free unsigned *numbers = NULL;
	size_t count = 0;

	if (!dir)
		return lm_fail(err, LM_E_SYS, errno, "read the folder of generations: %m");
	(void)lm_take_fd(fd); // the stream's now
	errno = 0;
	for (struct dirent *e; (e = readdir(dir)) != NULL; errno = 0) {
		unsigned n = store_parse_number(lm_str(e->d_name));

		if (n == 0)
			continue;
		numbers = lm_xrealloc(numbers, (count + 1) * sizeof(*numbers));
		numbers[count++] = n;
	}
	if (errno != 0)
		return lm_fail(err, LM_E_SYS, errno, "read the folder of generations: %m");
	if (count > 0)
		qsort(numbers, count, sizeof(*numbers), compare);
	*ret = lm_take(numbers);
	*ret_count = count;
	return LM_OK;
}

lm_rc store_discard(const struct store *s, unsigned n, struct lm_err *err)
{
	char name[STORE_NAME_SIZE], old[STORE_NAME_SIZE];
	lm_rc rc = lm_tree_remove(s->generations_fd, format_name(old, ".old-", n), err);

	if (rc == LM_OK &&
		renameat(s->generations_fd, format_name(name, "", n), s->generations_fd, old) < 0 &&
		errno != ENOENT)
		rc = lm_fail(err, LM_E_SYS, errno, "rename its folder: %m");
	if (rc == LM_OK)
		rc = lm_tree_remove(s->generations_fd, old, err);
	return rc ? lm_wrap(err, "remove generation %u", n) : LM_OK;
}

lm_rc store_file_open(int dir_fd, const char *name, int *ret_fd, struct lm_err *err)
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

lm_rc store_file_read(int dir_fd, const char *name, struct lm_buf *out, struct lm_err *err)
{
	lm_auto_close int fd = -1;
	lm_rc rc = store_file_open(dir_fd, name, &fd, err);

	return rc ? rc : lm_fd_read_all(fd, name, out, err);
}

lm_rc store_json_read(int dir_fd, const char *name, json_t **ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(STORE_OUTCOME_MAX);
	lm_rc rc = store_file_read(dir_fd, name, &text, err);

	if (rc)
		return rc;
	rc = json_parse(lm_buf_str(&text), ret, err);
	return rc ? lm_wrap(err, "'%s' is damaged", name) : LM_OK;
}

lm_rc store_json_replace(int dir_fd, const char *name, const json_t *j, struct lm_err *err)
{
	lm_auto_free char *text = json_dumps(j, JSON_INDENT(1));

	if (!text)
		return lm_fail(err, LM_E_INVALID, 0, "'%s' cannot be written as JSON", name);
	if (strlen(text) > STORE_OUTCOME_MAX)
		return lm_fail(err, LM_E_TOO_LARGE, 0, "'%s' would be over %d bytes", name,
			STORE_OUTCOME_MAX);
	return lm_file_replace(dir_fd, name, lm_str(text), 0600, err);
}
