// SPDX-License-Identifier: Apache-2.0
#include "worker/candidate.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "worker/hints.h"
#include "worker/local_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#define PREFIX ".docker-compose."
#define SUFFIX ".yml"

enum {
	RANDOM_BYTES = 8,
	NAME_LENGTH = sizeof(PREFIX) - 1 + 2 * RANDOM_BYTES + sizeof(SUFFIX) - 1,
	TRIES = 16,
};

static bool is_candidate_name(const char *name)
{
	struct lm_str s = lm_str(name);

	return s.n == NAME_LENGTH && lm_str_starts(s, LM_STR(PREFIX)) &&
	       lm_str_ends(s, LM_STR(SUFFIX)) &&
	       strspn(name + sizeof(PREFIX) - 1, "0123456789abcdef") == 2 * RANDOM_BYTES;
}

/// Removes a file of ours that nobody has locked.
static void remove_abandoned(int directory_fd, const char *name)
{
	// O_NONBLOCK: a FIFO of that name must not block us.
	lm_auto_close int fd =
		openat(directory_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		(void)unlinkat(directory_fd, name, 0);
}

/// Removes candidates of killed tasks, if the directory can be listed.
static void remove_all_abandoned(int directory_fd)
{
	int fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lm_auto_closedir DIR *listing = fd >= 0 ? fdopendir(fd) : NULL;

	if (!listing) {
		lm_cleanup_close(&fd);
		return;
	}
	for (const struct dirent *e = readdir(listing); e; e = readdir(listing))
		if (is_candidate_name(e->d_name))
			remove_abandoned(directory_fd, e->d_name);
}

static void make_name(char name[NAME_LENGTH + 1])
{
	unsigned char bytes[RANDOM_BYTES] = {0};
	size_t n = sizeof(PREFIX) - 1;

	// Without randomness O_EXCL still protects existing files.
	(void)!getrandom(bytes, sizeof(bytes), GRND_NONBLOCK);
	memcpy(name, PREFIX, n);
	for (size_t i = 0; i < RANDOM_BYTES; i++)
		n += (size_t)snprintf(name + n, 3, "%02x", bytes[i]);
	memcpy(name + n, SUFFIX, sizeof(SUFFIX));
}

/// Opens a new file and locks it. False, with errno EEXIST, if another must be tried.
static bool open_new(int directory_fd, char name[NAME_LENGTH + 1], int *ret)
{
	struct stat st;

	make_name(name);
	lm_auto_close int fd = openat(
		directory_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return false;
	// On a file system without locks other tasks cannot lock it either, and so leave it alone.
	(void)flock(fd, LOCK_EX);
	if (fstat(fd, &st) == 0 && st.st_nlink == 0) { // another task removed it as abandoned
		errno = EEXIST;
		return false;
	}
	*ret = lm_take_fd(fd);
	return true;
}

lm_rc candidate_create(int directory_fd, const char *directory, struct lm_str text,
	struct candidate *ret, struct lm_err *err)
{
	lm_auto_candidate struct candidate c = CANDIDATE_NONE;
	char name[NAME_LENGTH + 1];

	remove_all_abandoned(directory_fd);
	for (unsigned i = 0; i < TRIES && c.fd < 0; i++)
		if (!open_new(directory_fd, name, &c.fd) && errno != EEXIST)
			break;
	if (c.fd < 0)
		return lm_fail(err, errno == EACCES ? LM_E_DENIED : LM_E_SYS, errno,
			"create a file in '%s': %m", directory);
	c.path = lm_path_join(directory, name);
	c.directory_fd = fcntl(directory_fd, F_DUPFD_CLOEXEC, 3);
	if (c.directory_fd < 0) {
		int sys = errno;

		(void)unlinkat(directory_fd, name, 0);
		return lm_fail(err, LM_E_SYS, sys, "keep '%s' open: %m", directory);
	}
	lm_rc rc = lm_fd_write_all(c.fd, c.path, text, err);
	if (rc)
		return rc;
	*ret = c;
	c = CANDIDATE_NONE;
	return LM_OK;
}

void candidate_finish(struct candidate *c)
{
	if (c->directory_fd >= 0 && c->path)
		(void)unlinkat(c->directory_fd, lm_path_base(c->path), 0);
	lm_cleanup_close(&c->fd);
	lm_cleanup_close(&c->directory_fd);
	free(c->path);
	*c = CANDIDATE_NONE;
}

lm_rc candidate_write_secret(
	const struct context *cx, struct lm_str text, struct candidate *ret, struct lm_err *err)
{
	const char *directory = cx->task->credentials_directory;
	lm_auto_close int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "open '%s': %m", directory);
	return candidate_create(fd, directory, text, ret, err);
}

lm_rc candidate_write(const struct context *cx, const struct project_directory *dir,
	struct lm_str text, struct candidate *ret, struct lm_err *err)
{
	lm_rc rc = LM_E_NOT_FOUND;

	if (dir->fd >= 0)
		rc = candidate_create(dir->fd, dir->path, text, ret, err);
	else
		(void)!lm_fail(err, rc, 0, "there is no directory '%s'", dir->path);
	if (rc == LM_OK || !cx->task->credentials_directory) // a check has none
		return rc;
	lm_debug("%s; docker-compose reads the compose file in '%s'", err->msg,
		cx->task->credentials_directory);
	return candidate_write_secret(cx, text, ret, err);
}

struct compose_project candidate_compose_job(const struct context *cx,
	const struct project_directory *dir, char *const *env, const struct candidate *candidate)
{
	return context_compose_job(cx, dir, env, candidate->path, context_definition(cx)->key);
}
