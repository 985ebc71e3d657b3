// SPDX-License-Identifier: Apache-2.0
#include "sys/sd_notify.h"

#include "base/memory.h"
#include "base/str.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { PATIENCE_S = 1 };

struct sd_notify {
	int fd;
	struct sockaddr_un address;
	socklen_t address_n;
	uint64_t watchdog_ms;
};

/// A path, or '@' and the name of a socket that has no file.
static lm_rc read_notify_address(const char *name, struct sd_notify *n, struct lm_err *err)
{
	size_t length = strlen(name);

	if ((name[0] != '/' && name[0] != '@') || length < 2 ||
		length >= sizeof(n->address.sun_path))
		return lm_fail(err, LM_E_INVALID, 0,
			"NOTIFY_SOCKET: '%s' is not the address of a unix socket: a path, or '@' "
			"and a name, of at most %zu bytes",
			name, sizeof(n->address.sun_path) - 1);
	n->address.sun_family = AF_UNIX;
	memcpy(n->address.sun_path, name, length);
	if (name[0] == '@')
		n->address.sun_path[0] = '\0';
	n->address_n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	return LM_OK;
}

static uint64_t read_number_variable(const char *text)
{
	uint64_t number = 0;

	(void)lm_str_to_u64(lm_str(text), UINT64_MAX, &number);
	return number;
}

/// An interval for another process, such as the one that has become us by exec, is not ours.
static uint64_t read_watchdog_ms(const char *interval_us, const char *pid)
{
	if (!interval_us || (pid && read_number_variable(pid) != (uint64_t)getpid()))
		return 0;
	return read_number_variable(interval_us) / 1000;
}

static lm_rc open_socket(struct sd_notify *n, struct lm_err *err)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};

	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (n->fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "make a socket to the service manager: %m");
	(void)setsockopt(n->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return LM_OK;
}

static char *take_variable(const char *name)
{
	const char *value = getenv(name);
	char *copy = value ? lm_xstrdup(value) : NULL;

	(void)unsetenv(name);
	return copy;
}

lm_rc sd_notify_open(struct sd_notify **ret, struct lm_err *err)
{
	lm_auto_free char *name = take_variable("NOTIFY_SOCKET");
	lm_auto_free char *interval_us = take_variable("WATCHDOG_USEC");
	lm_auto_free char *pid = take_variable("WATCHDOG_PID");
	lm_auto(sd_notify_close_p) struct sd_notify *n = NULL;

	*ret = NULL;
	if (!name || !name[0])
		return LM_OK;
	n = lm_xcalloc(1, sizeof(*n));
	n->fd = -1;
	n->watchdog_ms = read_watchdog_ms(interval_us, pid);
	lm_rc rc = read_notify_address(name, n, err);
	if (rc == LM_OK)
		rc = open_socket(n, err);
	if (rc)
		return rc;
	*ret = lm_take(n);
	return LM_OK;
}

void sd_notify_close(struct sd_notify *n)
{
	if (!n)
		return;
	lm_cleanup_close(&n->fd);
	free(n);
}

lm_rc sd_notify_send(const struct sd_notify *n, enum sd_notify_patience patience, const char *lines,
	struct lm_err *err)
{
	int flags = MSG_NOSIGNAL | (patience == SD_NOTIFY_AT_ONCE ? MSG_DONTWAIT : 0);
	ssize_t sent;

	if (!n)
		return LM_OK;
	do
		sent = sendto(n->fd, lines, strlen(lines), flags,
			(const struct sockaddr *)&n->address, n->address_n);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return LM_OK;
	return lm_fail(err, errno == EAGAIN ? LM_E_TIMEOUT : LM_E_SYS, errno,
		"notify the service manager: %m");
}

uint64_t sd_notify_watchdog_ms(const struct sd_notify *n)
{
	return n ? n->watchdog_ms : 0;
}
