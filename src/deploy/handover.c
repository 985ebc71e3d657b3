// SPDX-License-Identifier: Apache-2.0
#include "deploy/handover.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define TAKE "take\n" // the line that the descriptors come with

enum { AT_ENVIRONMENT, AT_COMPOSE, AT_KEY, AT_CERTIFICATE, AT_PREVIOUS, AT_DEVICES, DESCRIPTORS };

/// Room for the control message, aligned as it has to be.
union control {
	char bytes[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
	struct cmsghdr header;
};

char **handover_first_environment(const char *const *environment)
{
	static const char *const prefixes[] = {"LD_", "GLIBC_TUNABLES=", "MALLOC_"};
	size_t n = 0, kept = 0;

	while (environment[n])
		n++;
	char **first = lm_xcalloc(n + 1, sizeof(*first));
	for (size_t i = 0; i < n; i++)
		for (size_t p = 0; p < LM_ARRAY_SIZE(prefixes); p++)
			if (strncmp(environment[i], prefixes[p], strlen(prefixes[p])) == 0)
				first[kept++] = (char *)environment[i];
	return first;
}

lm_rc handover_make_socket(int *ret_ours, int *ret_theirs, struct lm_err *err)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return lm_fail(err, LM_E_SYS, errno, "make a socket: %m");
	*ret_ours = ends[0];
	*ret_theirs = ends[1];
	if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
		return lm_fail(err, LM_E_SYS, errno, "make a socket: %m");
	return LM_OK;
}

/// A file in memory with the entries, to be read from its beginning.
static lm_rc write_environment(const char *const *environment, int *ret_fd, struct lm_err *err)
{
	lm_auto_buf struct lm_buf block = LM_BUF_SECRET(LIMIT_ENVIRONMENT);
	lm_auto_close int fd = memfd_create("environment", MFD_CLOEXEC);

	if (fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "make a file in memory: %m");
	for (size_t i = 0; environment[i]; i++)
		(void)lm_buf_add(&block, environment[i], strlen(environment[i]) + 1);
	if (block.overflow)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the environment is over %d bytes, the most that a worker is given",
			LIMIT_ENVIRONMENT);
	lm_rc rc = lm_fd_write_all(fd, "the environment", lm_buf_str(&block), err);
	if (rc)
		return rc;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return lm_fail(err, LM_E_SYS, errno, "rewind a file in memory: %m");
	*ret_fd = lm_take_fd(fd);
	return LM_OK;
}

static lm_rc send_descriptors(int socket, const int *fds, struct lm_err *err)
{
	char line[] = TAKE;
	union control control = {0};
	struct iovec data = {line, sizeof(line) - 1};
	struct msghdr message = {.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	ssize_t n;

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(DESCRIPTORS * sizeof(int));
	memcpy(CMSG_DATA(header), fds, DESCRIPTORS * sizeof(int));
	do
		n = sendmsg(socket, &message, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)data.iov_len)
		return LM_OK;
	return lm_fail(err,
		n < 0 && (errno == EPIPE || errno == ECONNRESET) ? LM_E_NETWORK : LM_E_SYS, errno,
		"pass descriptors to the worker: %m");
}

lm_rc handover_send(
	int socket, const struct handover *h, const char *const *environment, struct lm_err *err)
{
	lm_auto_close int none = open("/dev/null", O_RDWR | O_CLOEXEC);
	lm_auto_close int variables = -1;

	if (none < 0)
		return lm_fail(err, LM_E_SYS, errno, "open '/dev/null': %m");
	lm_rc rc = write_environment(environment, &variables, err);
	if (rc)
		return rc;
	const int fds[DESCRIPTORS] = {
		[AT_ENVIRONMENT] = variables,
		[AT_COMPOSE] = h->compose_fd < 0 ? none : h->compose_fd,
		[AT_KEY] = h->key_fd < 0 ? none : h->key_fd,
		[AT_CERTIFICATE] = h->certificate_fd < 0 ? none : h->certificate_fd,
		[AT_PREVIOUS] = h->previous_fd < 0 ? none : h->previous_fd,
		[AT_DEVICES] = h->devices_fd < 0 ? none : h->devices_fd,
	};
	return send_descriptors(socket, fds, err);
}

/// The descriptors of a message, and how many came. The padding of the control message has room for
/// more than DESCRIPTORS, which a lightermand of another version may send: those are closed.
static size_t unpack(struct msghdr *message, int *fds)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);

	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
		return 0;
	size_t n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
		if (i < DESCRIPTORS)
			fds[i] = fd;
		else
			(void)close(fd);
	}
	return n;
}

static lm_rc receive_descriptors(int socket, int *fds, size_t *ret_n, struct lm_err *err)
{
	char line[sizeof(TAKE) - 1];
	union control control = {0};
	struct iovec data = {line, sizeof(line)}; // no byte of what follows
	struct msghdr message = {.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	ssize_t n;

	do
		n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return lm_fail(err, LM_E_PROTOCOL, errno,
			"take what lightermand hands over on stdin: %m; this program is started by "
			"lightermand");
	if (n == 0)
		return lm_fail(err, LM_E_CANCELLED, 0, "cancelled");
	*ret_n = unpack(&message, fds);
	if (*ret_n != DESCRIPTORS || (message.msg_flags & MSG_CTRUNC) ||
		n != (ssize_t)sizeof(line) || memcmp(line, TAKE, sizeof(line)) != 0)
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"lightermand did not hand over what was agreed; are lightermand and "
			"lighterman-worker of the same version?");
	return LM_OK;
}

char **handover_parse_environment(struct lm_str block)
{
	size_t n = 0, kept = 0;

	for (size_t i = 0; i < block.n; i++)
		n += block.p[i] == '\0';
	char **entries = lm_xcalloc(n + 2, sizeof(*entries));
	while (block.n > 0) {
		struct lm_str entry = lm_str_cut(&block, '\0');
		size_t name_n = lm_str_find(entry, '=');

		if (name_n > 0 && name_n < entry.n)
			entries[kept++] = (char *)entry.p;
	}
	return entries;
}

static struct lm_buf taken = {.max = LIMIT_ENVIRONMENT, .wipe = true};
static char **taken_entries;

static lm_rc take_environment(int fd, struct lm_err *err)
{
	lm_rc rc = lm_fd_read_all(fd, "the environment", &taken, err);

	if (rc)
		return rc;
	taken_entries = handover_parse_environment((struct lm_str){lm_buf_cstr(&taken), taken.len});
	environ = taken_entries;
	return LM_OK;
}

lm_rc handover_receive(int socket, struct handover *ret, struct lm_err *err)
{
	int fds[DESCRIPTORS];
	size_t n = 0;
	lm_rc rc = receive_descriptors(socket, fds, &n, err);

	if (rc == LM_OK)
		rc = take_environment(fds[AT_ENVIRONMENT], err);
	if (rc == LM_OK) {
		(void)close(fds[AT_ENVIRONMENT]);
		*ret = (struct handover){fds[AT_COMPOSE], fds[AT_KEY], fds[AT_CERTIFICATE],
			fds[AT_PREVIOUS], fds[AT_DEVICES]};
		return LM_OK;
	}
	for (size_t i = 0; i < n && i < DESCRIPTORS; i++)
		(void)close(fds[i]);
	return rc;
}

void handover_finish(struct handover *h)
{
	lm_cleanup_close(&h->compose_fd);
	lm_cleanup_close(&h->key_fd);
	lm_cleanup_close(&h->certificate_fd);
	lm_cleanup_close(&h->previous_fd);
	lm_cleanup_close(&h->devices_fd);
	*h = HANDOVER_NONE;
}

void handover_forget_environment(void)
{
	static char *nothing[] = {NULL};

	environ = nothing;
	lm_buf_finish(&taken);
	free(taken_entries);
	taken_entries = NULL;
}
