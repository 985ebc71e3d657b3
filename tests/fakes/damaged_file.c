// SPDX-License-Identifier: Apache-2.0
#include "damaged_file.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { FILE_MAX = 1 << 20, GIGABYTE = 1 << 30 };

/// A test cannot go on.
static void fail_file(const char *what, const char *path)
{
	(void)fprintf(stderr, "%s '%s': %m\n", what, path);
	abort();
}

static void remove_file(const char *path)
{
	lm_auto_free char *aside = lm_xasprintf("%s.damaged", path);

	if (lm_tree_remove(AT_FDCWD, path, NULL) || lm_tree_remove(AT_FDCWD, aside, NULL))
		fail_file("remove", path);
}

static void put_file(const char *path, struct lm_str text, off_t size)
{
	lm_auto_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 || lm_fd_write_all(fd, path, text, NULL) || ftruncate(fd, size) < 0)
		fail_file("write", path);
}

static void check_text(const char *path, struct lm_str text, off_t size, const char *damage,
	void (*check)(const char *damage))
{
	put_file(path, text, size);
	check(damage);
	remove_file(path);
}

static void check_bytes(const char *path, struct lm_str text, void (*check)(const char *damage))
{
	lm_auto_free char *flipped = lm_xmemdup0(text.p, text.n);
	char damage[64];

	for (size_t i = 0; i < text.n; i++) {
		(void)snprintf(damage, sizeof(damage), "cut off at byte %zu", i);
		check_text(path, (struct lm_str){text.p, i}, (off_t)i, damage, check);
		(void)snprintf(damage, sizeof(damage), "a bit of byte %zu flipped", i);
		flipped[i] ^= (char)(1 << i % 8);
		check_text(path, (struct lm_str){flipped, text.n}, (off_t)text.n, damage, check);
		flipped[i] = text.p[i];
	}
}

static void check_others(const char *path, void (*check)(const char *damage))
{
	lm_auto_free char *inside = lm_path_join(path, "inside");

	if (mkdir(path, 0700) < 0 || mkdir(inside, 0700) < 0)
		fail_file("make the directory", path);
	check("a directory");
	remove_file(path);
	if (mkfifo(path, 0600) < 0)
		fail_file("make the FIFO", path);
	check("a FIFO");
	remove_file(path);
	if (symlink("/nowhere", path) < 0)
		fail_file("make the link", path);
	check("a link");
	remove_file(path);
}

void damaged_file_each(const char *path, void (*check)(const char *damage))
{
	lm_auto_buf struct lm_buf original = LM_BUF(FILE_MAX);
	struct lm_err err = {LM_OK};

	if (lm_file_read(path, &original, &err))
		fail_file("read", path);
	struct lm_str text = lm_buf_str(&original);
	remove_file(path);
	check_bytes(path, text, check);
	check_text(path, LM_STR(""), (off_t)text.n, "zeros", check);
	check_text(path, text, GIGABYTE, "a gigabyte", check);
	check_others(path, check);
	put_file(path, text, (off_t)text.n);
}
