// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The addresses at which other programs and devices can reach this one.

#include "base/cleanup.h"
#include "base/error.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

struct interface_address {
	bool is_up;
	bool is_loopback;
	bool is_bridge;  ///< Of containers: what is behind it reaches every other address, too.
	bool is_passing; ///< IPv6: temporary, deprecated, or not in use yet.
	bool is_ipv6;
	struct in6_addr address; ///< IPv4 in the first four bytes.
};

struct address_list {
	char **texts;
	size_t n;
};

#define lm_auto_addresses lm_auto(address_list_finish)

/// The addresses of all interfaces that are up, at most LIMIT_ADDRESSES, those first that most
/// others can reach: IPv4, then that of bridges, then IPv6 (global, then unique local), then
/// loopback. No link-local ones, and no IPv6 address that will not stay. The same interfaces give
/// the same order. LM_E_SYS.
lm_rc interfaces_list_addresses(struct address_list *ret, struct lm_err *err);
/// What interfaces_list_addresses makes of addresses. Pure.
void interfaces_select(const struct interface_address *all, size_t n, struct address_list *ret);
void address_list_finish(struct address_list *list);
