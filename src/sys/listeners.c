// SPDX-License-Identifier: Apache-2.0
#include "sys/listeners.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	TCP_LISTENING = 0x0a, ///< Of the kernel's enum in tcp_states.h.
	UDP_UNCONNECTED = 0x07,
	ID_LENGTH = 64,
	CGROUP_MAX = 64 << 10,
};

/// The next column; columns are parted by blanks.
static struct lm_str next_column(struct lm_str *rest)
{
	while (rest->n > 0 && *rest->p == ' ')
		*rest = (struct lm_str){rest->p + 1, rest->n - 1};
	return lm_str_cut(rest, ' ');
}

static bool read_hex(struct lm_str s, uint32_t *ret)
{
	uint32_t value = 0;

	if (s.n == 0 || s.n > 8)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (!isxdigit(c))
			return false;
		value = value << 4 | (uint32_t)(isdigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	*ret = value;
	return true;
}

/// "0100007F:1F90": each group of eight digits is a word as it is in memory.
static bool read_socket_address(
	struct lm_str s, bool ipv6, struct in6_addr *address, unsigned *port)
{
	struct lm_str hex = lm_str_cut(&s, ':');
	uint32_t words[4] = {0};
	uint32_t number = 0;

	if (hex.n != (ipv6 ? 32U : 8U) || !read_hex(s, &number) || number > UINT16_MAX)
		return false;
	for (size_t i = 0; i < hex.n / 8; i++)
		if (!read_hex((struct lm_str){hex.p + 8 * i, 8}, &words[i]))
			return false;
	memcpy(address, words, sizeof(words));
	*port = (unsigned)number;
	return true;
}

bool listener_parse(struct lm_str line, bool udp, bool ipv6, struct listener *ret)
{
	struct listener found = {.udp = udp, .ipv6 = ipv6};
	uint32_t state = 0;
	uint64_t uid = 0;

	(void)next_column(&line); // "0:"
	if (!read_socket_address(next_column(&line), ipv6, &found.address, &found.port))
		return false;
	(void)next_column(&line); // the other end
	if (!read_hex(next_column(&line), &state) ||
		state != (udp ? UDP_UNCONNECTED : TCP_LISTENING))
		return false;
	for (int i = 0; i < 3; i++) // queues, timer, retransmissions
		(void)next_column(&line);
	if (!lm_str_to_u64(next_column(&line), UINT32_MAX, &uid))
		return false;
	(void)next_column(&line); // time-out
	if (!lm_str_to_u64(lm_str_trim(next_column(&line)), UINT64_MAX, &found.inode))
		return false;
	found.uid = (uid_t)uid;
	*ret = found;
	return true;
}

static void add_listener(struct listeners *to, const struct listener *l)
{
	if ((to->n & (to->n - 1)) == 0)
		to->items = lm_xrealloc(to->items, (to->n ? 2 * to->n : 1) * sizeof(*to->items));
	to->items[to->n++] = *l;
}

/// A table that is not there is empty: a device may have no IPv6.
static lm_rc read_table(
	const char *path, bool udp, bool ipv6, struct listeners *to, struct lm_err *err)
{
	lm_auto_fclose FILE *file = fopen(path, "re");
	size_t before = to->n;
	char line[512];

	if (!file)
		return errno == ENOENT ? LM_OK
				       : lm_fail(err, LM_E_SYS, errno, "open '%s': %m", path);
	while (to->n - before < LIMIT_LISTENERS && fgets(line, sizeof(line), file)) {
		struct listener found;

		if (listener_parse(lm_str_trim(lm_str(line)), udp, ipv6, &found))
			add_listener(to, &found);
	}
	return LM_OK;
}

lm_rc listeners_read(struct listeners *ret, struct lm_err *err)
{
	static const struct {
		const char *path;
		bool udp, ipv6;
	} tables[] = {{"/proc/net/tcp", false, false}, {"/proc/net/tcp6", false, true},
		{"/proc/net/udp", true, false}, {"/proc/net/udp6", true, true}};
	lm_auto(listeners_finish) struct listeners found = {0};

	for (size_t i = 0; i < LM_ARRAY_SIZE(tables); i++) {
		lm_rc rc = read_table(tables[i].path, tables[i].udp, tables[i].ipv6, &found, err);
		if (rc)
			return rc;
	}
	*ret = found;
	found = (struct listeners){0};
	return LM_OK;
}

void listeners_finish(struct listeners *list)
{
	free(list->items);
	*list = (struct listeners){0};
}

bool listener_find_container(struct lm_str cgroup, char ret[static ID_LENGTH + 1])
{
	size_t digits = 0;

	for (size_t i = 0; i <= cgroup.n; i++) {
		char c = i < cgroup.n ? cgroup.p[i] : '\n';

		if (isdigit((unsigned char)c) || (c >= 'a' && c <= 'f')) {
			digits++;
			continue;
		}
		if (digits == ID_LENGTH) {
			memcpy(ret, cgroup.p + i - ID_LENGTH, ID_LENGTH);
			ret[ID_LENGTH] = '\0';
			return true;
		}
		digits = 0;
	}
	return false;
}

/// Whether one of the process's descriptors is the socket `link` ("socket:[123]").
static bool has_socket(const char *pid, const char *link)
{
	char path[64], target[64];

	(void)snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
	lm_auto_closedir DIR *dir = opendir(path);
	if (!dir) // another user's, or gone
		return false;
	for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		if (n <= 0)
			continue;
		target[n] = '\0';
		if (strcmp(target, link) == 0)
			return true;
	}
	return false;
}

static void describe_process(const char *pid, struct listener_process *ret)
{
	lm_auto_buf struct lm_buf name = LM_BUF(sizeof(ret->name) - 1);
	lm_auto_buf struct lm_buf cgroup = LM_BUF(CGROUP_MAX);
	char path[64];
	uint64_t number = 0;

	if (!lm_str_to_u64(lm_str(pid), INT32_MAX, &number))
		return;
	ret->pid = (pid_t)number;
	(void)snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
	if (lm_file_read(path, &name, NULL) == LM_OK)
		(void)snprintf(ret->name, sizeof(ret->name), "%.*s",
			LM_STR_ARG(lm_str_trim(lm_buf_str(&name))));
	(void)snprintf(path, sizeof(path), "/proc/%.16s/cgroup", pid);
	if (lm_file_read(path, &cgroup, NULL) == LM_OK)
		(void)listener_find_container(lm_buf_str(&cgroup), ret->container_id);
}

struct listener_process listener_find_process(const struct listener *listener)
{
	struct listener_process found = {0};
	lm_auto_closedir DIR *proc = opendir("/proc");
	char link[64];

	(void)snprintf(link, sizeof(link), "socket:[%" PRIu64 "]", listener->inode);
	for (const struct dirent *entry = proc ? readdir(proc) : NULL; entry;
		entry = readdir(proc)) {
		if (!isdigit((unsigned char)entry->d_name[0]) || !has_socket(entry->d_name, link))
			continue;
		describe_process(entry->d_name, &found);
		break;
	}
	return found;
}
