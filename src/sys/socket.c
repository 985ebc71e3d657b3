// SPDX-License-Identifier: Apache-2.0
#include "sys/socket.h"

#include "base/cleanup.h"
#include "base/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static lm_rc unix_address(const char *path, struct sockaddr_un *ret, struct lm_err *err)
{
	size_t n = strlen(path);

	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (n == 0 || n >= sizeof(ret->sun_path))
		return lm_fail(err, LM_E_INVALID, 0,
			"the socket path '%s' must have 1 to %zu bytes", path,
			sizeof(ret->sun_path) - 1);
	memcpy(ret->sun_path, path, n);
	return LM_OK;
}

static lm_rc fail_unix_connect(const char *path, struct lm_err *err)
{
	int sys = errno;

	switch (sys) {
	case ENOENT:
	case ENOTDIR:
		return lm_fail(err, LM_E_NOT_FOUND, sys, "there is no socket '%s'", path);
	case EACCES:
	case EPERM:
		return lm_fail(err, LM_E_DENIED, sys, "connect to '%s': %m", path);
	case ECONNREFUSED:
		return lm_fail(err, LM_E_NETWORK, sys, "nothing is listening at '%s'", path);
	default:
		return lm_fail(err, LM_E_SYS, sys, "connect to '%s': %m", path);
	}
}

lm_rc socket_unix_connect(const char *path, int *ret_fd, struct lm_err *err)
{
	struct sockaddr_un address;
	lm_rc rc = unix_address(path, &address, err);

	if (rc)
		return rc;
	lm_auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "make a socket: %m");
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return fail_unix_connect(path, err);
	*ret_fd = lm_take_fd(fd);
	return LM_OK;
}

/// Makes room for a new socket at `path`: a socket without a listener is what a killed run left.
static lm_rc clear_stale(const char *path, struct lm_err *err)
{
	struct stat st;
	int fd = -1;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? LM_OK
				       : lm_fail(err, LM_E_SYS, errno, "examine '%s': %m", path);
	if (!S_ISSOCK(st.st_mode))
		return lm_fail(err, LM_E_CONFLICT, 0, "'%s' exists and is not a socket", path);
	struct lm_err refused;
	lm_rc rc = socket_unix_connect(path, &fd, &refused);
	if (fd >= 0)
		(void)close(fd);
	if (rc != LM_E_NETWORK)
		return lm_fail(err, LM_E_CONFLICT, 0,
			"another program answers at '%s': stop it first", path);
	if (unlink(path) < 0)
		return lm_fail(err, LM_E_SYS, errno, "remove the old socket '%s': %m", path);
	return LM_OK;
}

lm_rc socket_unix_listen(
	const char *path, mode_t mode, gid_t group, int *ret_fd, struct lm_err *err)
{
	struct sockaddr_un address;
	lm_rc rc = unix_address(path, &address, err);

	if (!rc)
		rc = clear_stale(path, err);
	if (rc)
		return rc;
	lm_auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "make a socket: %m");
	// Nobody may connect between bind and chmod: connecting needs write permission.
	mode_t mask = umask(0777);
	int bound = bind(fd, (const struct sockaddr *)&address, sizeof(address));
	int sys = errno;
	(void)umask(mask);
	if (bound < 0)
		return lm_fail(err, sys == EACCES ? LM_E_DENIED : LM_E_SYS, sys,
			"make the socket '%s': %m", path);
	if (group != (gid_t)-1 && lchown(path, (uid_t)-1, group) < 0)
		return lm_fail(err, LM_E_SYS, errno, "set the group of '%s': %m", path);
	if (chmod(path, mode) < 0)
		return lm_fail(err, LM_E_SYS, errno, "set the mode of '%s': %m", path);
	if (listen(fd, 16) < 0)
		return lm_fail(err, LM_E_SYS, errno, "listen at '%s': %m", path);
	*ret_fd = lm_take_fd(fd);
	return LM_OK;
}

lm_rc socket_unix_accept(int listen_fd, int *ret_fd, struct lm_err *err)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		return lm_fail(err, LM_E_SYS, errno, "accept a client: %m");
	*ret_fd = fd < 0 ? -1 : fd;
	return LM_OK;
}

uid_t socket_unix_peer_uid(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.uid : (uid_t)-1;
}

bool socket_unix_peer_is_in(int fd, gid_t group)
{
	enum { GROUPS_MAX = 65536 }; // the kernel's own
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return false;
	if (peer.gid == group)
		return true;
	lm_auto_free gid_t *groups = lm_xcalloc(GROUPS_MAX, sizeof(*groups));
	size = GROUPS_MAX * sizeof(*groups);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
		return false;
	for (size_t i = 0; i < size / sizeof(*groups); i++)
		if (groups[i] == group)
			return true;
	return false;
}
