// SPDX-License-Identifier: Apache-2.0
#include "deploy/destination.h"

#include "base/file.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "compose"

char *destination_default(const char *state_directory, const uint32_t *uid)
{
	lm_auto_free char *folder = lm_path_join(state_directory, FOLDER);

	return uid ? lm_xasprintf("%s/%" PRIu32, folder, *uid) : lm_path_join(folder, "default");
}

/// The last part of a destination of ours; NULL: it is another directory.
static const char *name_of_ours(const char *state_directory, const char *destination)
{
	lm_auto_free char *folder = lm_path_join(state_directory, FOLDER);
	size_t n = strlen(folder);

	if (strncmp(destination, folder, n) != 0 || destination[n] != '/')
		return NULL;
	const char *name = destination + n + 1;
	return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0
		       ? name
		       : NULL;
}

bool destination_is_ours(const char *state_directory, const char *destination)
{
	return name_of_ours(state_directory, destination) != NULL;
}

/// Makes the directory `name`, if it is missing, and opens it.
static int open_made(int parent, const char *name, mode_t mode)
{
	// Masked by nothing: lightermand's umask is 022, and these are no wider.
	if (mkdirat(parent, name, mode) < 0 && errno != EEXIST)
		return -1;
	return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

lm_rc destination_make(const struct host_settings *host, const char *destination,
	const struct process_user *user, struct lm_err *err)
{
	const char *name = name_of_ours(host->state_directory, destination);
	struct stat st;

	if (!name)
		return LM_OK;
	lm_auto_close int state = open(host->state_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lm_auto_close int folder = state < 0 ? -1 : open_made(state, FOLDER, 0711);
	lm_auto_close int fd = folder < 0 ? -1 : open_made(folder, name, 0700);
	if (fd < 0 || fstat(fd, &st) < 0)
		return lm_fail(err, lm_rc_of_errno(errno), errno, "create the destination '%s': %m",
			destination);
	// Ours: a start before this one was killed between the two steps.
	if (st.st_uid == user->uid || st.st_uid != geteuid())
		return LM_OK;
	if (fchown(fd, user->uid, user->gid) < 0)
		return lm_fail(err, LM_E_SYS, errno, "give the destination '%s' to '%s': %m",
			destination, user->name);
	return LM_OK;
}
