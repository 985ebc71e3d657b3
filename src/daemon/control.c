// SPDX-License-Identifier: Apache-2.0
#include "daemon/control.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "daemon/control_priv.h"
#include "sys/socket.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define NO_GROUP ((gid_t)-1)

enum {
	EXIT_UNREACHABLE = 3, ///< As where the socket file refuses.
	ACCEPT_PAUSE_MS = 1000,
	GROUP_MAX = 1 << 20, ///< One entry of the group database, with all its members.
};

static lm_rc find_group(const char *name, gid_t *ret, struct lm_err *err)
{
	for (size_t size = 4096; size <= GROUP_MAX; size *= 4) {
		lm_auto_free char *text = lm_xmalloc(size);
		struct group entry;
		struct group *found = NULL;
		int sys = getgrnam_r(name, &entry, text, size, &found);

		if (found) {
			*ret = found->gr_gid;
			return LM_OK;
		}
		if (sys == 0 || sys == ENOENT || sys == ESRCH)
			return lm_fail(err, LM_E_NOT_FOUND, 0,
				"there is no group '%s': create it (groupadd %s)", name, name);
		if (sys != ERANGE)
			return lm_fail(err, LM_E_SYS, sys, "look up the group '%s': %m", name);
	}
	return lm_fail(err, LM_E_TOO_LARGE, 0,
		"the entry of the group '%s' is over %d bytes: name a group with fewer members",
		name, GROUP_MAX);
}

json_t *control_last_line(int status, const char *message)
{
	// What a parser quotes of its input may end within a character.
	char text[4 * LM_ERR_MSG_SIZE + 32];

	if (message)
		message = lm_str_shorten(lm_str(message), LM_ERR_MSG_SIZE, text, sizeof(text));
	return json_pack("{s:i, s:s?}", "exit", status, "message", message);
}

/// A connection that is not served: a new socket takes a line at once.
static void turn_away(int fd, int status, const char *why)
{
	lm_auto_buf struct lm_buf line = LM_BUF(LM_ERR_MSG_SIZE);
	lm_auto_json json_t *refusal = control_last_line(status, why);

	(void)json_write(refusal, &line);
	(void)lm_buf_putc(&line, '\n');
	(void)send(fd, line.data, line.len, MSG_NOSIGNAL);
}

/// Without a pause a client that cannot be accepted (no descriptors left) would keep us busy.
static void pause_accepting(struct control *c, const struct lm_err *err)
{
	if (!c->warned)
		lm_warn("control socket '%s': %s, retrying every second", c->path, err->msg);
	c->warned = true;
	loop_fd_set(c->watch, 0);
	loop_timer_start(c->retry, ACCEPT_PAUSE_MS, 0);
}

static void on_retry(void *ctx)
{
	struct control *c = ctx;

	loop_fd_set(c->watch, POLLIN);
}

static bool has_place(const struct control *c, bool trusted)
{
	return c->n < LIMIT_CONTROL_CLIENTS + (trusted ? LIMIT_CONTROL_RESERVED : 0);
}

/// Whoever is being answered keeps its place; whoever has not even asked does not.
static bool make_place(struct control *c, bool trusted)
{
	if (!has_place(c, trusted))
		control_client_give_up(c, trusted);
	return has_place(c, trusted);
}

static bool is_trusted(int fd)
{
	uid_t uid = socket_unix_peer_uid(fd);

	return uid == 0 || uid == geteuid();
}

/// The mode of the socket file may let in more than may ask.
static enum control_access find_access(const struct control *c, int fd, bool trusted)
{
	if (trusted || (c->all_gid != NO_GROUP && socket_unix_peer_is_in(fd, c->all_gid)))
		return CONTROL_ALL;
	if (c->read_gid != NO_GROUP && socket_unix_peer_is_in(fd, c->read_gid))
		return CONTROL_READ;
	return CONTROL_NOTHING;
}

static void turn_away_crowd(const struct control *c, int fd)
{
	char text[96];

	(void)snprintf(text, sizeof(text),
		"too many clients: %zu are being served, try again later", c->n);
	turn_away(fd, 1, text);
}

static void on_connection(void *ctx, short events)
{
	struct control *c = ctx;
	struct lm_err err;
	lm_auto_close int fd = -1;
	(void)events;

	lm_rc rc = socket_unix_accept(c->fd, &fd, &err);
	if (rc == LM_OK && fd < 0)
		return;
	bool trusted = rc == LM_OK && is_trusted(fd);
	enum control_access access = rc == LM_OK ? find_access(c, fd, trusted) : CONTROL_NOTHING;
	if (rc == LM_OK && access == CONTROL_NOTHING) {
		turn_away(fd, EXIT_UNREACHABLE,
			"you may not use the control socket: run it as root or as a member of the "
			"group in lightermand's controlGroup or controlReadGroup");
		return;
	}
	if (rc == LM_OK && !make_place(c, trusted)) {
		turn_away_crowd(c, fd);
		return;
	}
	if (rc == LM_OK)
		rc = control_client_create(c, &fd, trusted, access, &err);
	if (rc != LM_OK)
		pause_accepting(c, &err);
	else
		c->warned = false;
}

/// A socket file has one group; with two the kernel has to let in everybody.
static lm_rc listen_for(struct control *c, struct lm_err *err)
{
	bool has_all = c->all_gid != NO_GROUP, has_read = c->read_gid != NO_GROUP;
	mode_t mode = has_all && has_read ? 0666 : has_all || has_read ? 0660 : 0600;

	return socket_unix_listen(c->path, mode, has_all ? c->all_gid : c->read_gid, &c->fd, err);
}

lm_rc control_create(struct loop *loop, const char *path, const struct control_groups *groups,
	const struct control_handler *handler, struct control **ret, struct lm_err *err)
{
	gid_t all_gid = NO_GROUP, read_gid = NO_GROUP;
	struct stat st = {0};
	lm_rc rc = groups->all ? find_group(groups->all, &all_gid, err) : LM_OK;

	if (rc == LM_OK && groups->read)
		rc = find_group(groups->read, &read_gid, err);
	if (rc != LM_OK)
		return lm_wrap(err, "control socket '%s'", path);
	lm_auto(control_destroy_p) struct control *c = lm_xcalloc(1, sizeof(*c));
	c->fd = -1;
	c->loop = loop;
	c->path = lm_xstrdup(path);
	c->handler = *handler;
	c->all_gid = all_gid;
	c->read_gid = read_gid;
	rc = listen_for(c, err);
	if (rc != LM_OK)
		return lm_wrap(err, "control socket");
	if (lstat(path, &st) == 0) {
		c->dev = st.st_dev;
		c->ino = st.st_ino;
	}
	rc = loop_fd_create(loop, c->fd, on_connection, c, &c->watch, err);
	if (rc != LM_OK)
		return lm_wrap(err, "control socket '%s'", path);
	c->retry = loop_timer_create(loop, on_retry, c);
	loop_fd_set(c->watch, POLLIN);
	*ret = lm_take(c);
	return LM_OK;
}

/// The file may have been removed, and another program's be in its place.
static void remove_socket(const struct control *c)
{
	struct stat st;

	if (lstat(c->path, &st) == 0 && st.st_dev == c->dev && st.st_ino == c->ino)
		(void)unlink(c->path);
}

void control_destroy(struct control *c)
{
	if (!c)
		return;
	while (c->clients)
		control_client_destroy(c->clients);
	loop_fd_destroy(c->watch);
	loop_timer_destroy(c->retry);
	if (c->fd >= 0)
		remove_socket(c);
	lm_cleanup_close(&c->fd);
	free(c->path);
	free(c);
}
