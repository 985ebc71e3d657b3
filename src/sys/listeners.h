// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The ports of this device that programs listen on (/proc/net/tcp, tcp6, udp, udp6), and which
/// programs these are, as far as we may see them.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct listener {
	bool udp, ipv6;
	struct in6_addr address; ///< IPv4 in the first four bytes.
	unsigned port;
	uid_t uid; ///< Of the socket's owner.
	uint64_t inode;
};

struct listeners {
	struct listener *items;
	size_t n;
};

/// Of the network namespace that we are in; at most LIMIT_LISTENERS of each table. LM_E_SYS: /proc
/// is not there.
lm_rc listeners_read(struct listeners *ret, struct lm_err *err);
void listeners_finish(struct listeners *list);

/// Reads one line of such a table. False: it is not that of a socket that listens. Pure.
bool listener_parse(struct lm_str line, bool udp, bool ipv6, struct listener *ret);

struct listener_process {
	pid_t pid; ///< 0: it cannot be seen; only root sees those of other users.
	char name[32];
	/// Of the container that it runs in; "" for none, or where that is not known.
	char container_id[65];
};

/// Who has the socket. Looks through /proc.
struct listener_process listener_find_process(const struct listener *listener);
/// Finds the container in the text of /proc/PID/cgroup: 64 hexadecimal digits. Pure.
bool listener_find_container(struct lm_str cgroup, char ret[static 65]);
