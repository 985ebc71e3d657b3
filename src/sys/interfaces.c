// SPDX-License-Identifier: Apache-2.0
#include "sys/interfaces.h"

#include "base/limits.h"
#include "base/memory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/// In the order in which addresses are told.
enum rank { RANK_IPV4, RANK_BRIDGE, RANK_GLOBAL, RANK_LOCAL, RANK_LOOPBACK, RANK_NONE };

static enum rank find_rank(const struct interface_address *a)
{
	const unsigned char *b = a->address.s6_addr;

	if (!a->is_up || a->is_passing)
		return RANK_NONE;
	if (!a->is_ipv6) {
		if (b[0] == 0 || b[0] >= 224 || (b[0] == 169 && b[1] == 254))
			return RANK_NONE;
		if (a->is_loopback || b[0] == 127)
			return RANK_LOOPBACK;
		return a->is_bridge ? RANK_BRIDGE : RANK_IPV4;
	}
	if (IN6_IS_ADDR_LOOPBACK(&a->address))
		return RANK_LOOPBACK;
	if ((b[0] & 0xfe) == 0xfc)
		return RANK_LOCAL;
	return (b[0] & 0xe0) == 0x20 ? RANK_GLOBAL : RANK_NONE;
}

struct ranked {
	enum rank rank;
	size_t size;
	const struct interface_address *address;
};

static int compare_ranked(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	if (x->size != y->size)
		return x->size < y->size ? -1 : 1;
	return memcmp(&x->address->address, &y->address->address, x->size);
}

void interfaces_select(const struct interface_address *all, size_t n, struct address_list *ret)
{
	struct ranked *ranked = lm_xcalloc(n + 1, sizeof(*ranked));
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		enum rank rank = find_rank(&all[i]);
		size_t size = all[i].is_ipv6 ? sizeof(struct in6_addr) : sizeof(struct in_addr);

		if (rank != RANK_NONE)
			ranked[kept++] = (struct ranked){rank, size, &all[i]};
	}
	qsort(ranked, kept, sizeof(*ranked), compare_ranked);
	ret->texts = lm_xcalloc(LIMIT_ADDRESSES + 1, sizeof(*ret->texts));
	ret->n = 0;
	for (size_t i = 0; i < kept && ret->n < LIMIT_ADDRESSES; i++) {
		char text[INET6_ADDRSTRLEN];

		if ((i == 0 || compare_ranked(&ranked[i - 1], &ranked[i]) != 0) &&
			inet_ntop(ranked[i].address->is_ipv6 ? AF_INET6 : AF_INET,
				&ranked[i].address->address, text, sizeof(text)))
			ret->texts[ret->n++] = lm_xstrdup(text);
	}
	free(ranked);
}

void address_list_finish(struct address_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->texts[i]);
	free(list->texts);
	*list = (struct address_list){0};
}

/// Marks the addresses that /proc/net/if_inet6 says will not stay, or are not in use yet.
/// getifaddrs does not tell.
static void mark_passing(struct interface_address *all, size_t n)
{
	enum { TEMPORARY = 0x01, DAD_FAILED = 0x08, DEPRECATED = 0x20, TENTATIVE = 0x40 };
	lm_auto_fclose FILE *file = fopen("/proc/net/if_inet6", "re");
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		char digits[33];
		unsigned flags = 0;
		struct in6_addr address;

		if (sscanf(line, "%32[0-9a-f] %*x %*x %*x %x", digits, &flags) != 2 ||
			strlen(digits) != 32)
			continue;
		for (unsigned i = 0; i < sizeof(address); i++) {
			unsigned byte = 0;

			(void)sscanf(&digits[2 * i], "%2x", &byte);
			address.s6_addr[i] = (unsigned char)byte;
		}
		for (size_t i = 0; i < n; i++)
			if (all[i].is_ipv6 &&
				memcmp(&all[i].address, &address, sizeof(address)) == 0)
				all[i].is_passing = (flags & (TEMPORARY | DAD_FAILED | DEPRECATED |
								     TENTATIVE)) != 0;
	}
}

static bool is_bridge(const char *name)
{
	lm_auto_free char *path = lm_xasprintf("/sys/class/net/%s/bridge", name);

	return access(path, F_OK) == 0;
}

static bool read_interface(const struct ifaddrs *i, struct interface_address *ret)
{
	sa_family_t family = i->ifa_addr ? i->ifa_addr->sa_family : AF_UNSPEC;

	if (family != AF_INET && family != AF_INET6)
		return false;
	*ret = (struct interface_address){.is_up = (i->ifa_flags & IFF_UP) != 0,
		.is_loopback = (i->ifa_flags & IFF_LOOPBACK) != 0,
		.is_bridge = is_bridge(i->ifa_name),
		.is_ipv6 = family == AF_INET6};
	if (ret->is_ipv6)
		memcpy(&ret->address,
			&((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr,
			sizeof(struct in6_addr));
	else
		memcpy(&ret->address,
			&((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr,
			sizeof(struct in_addr));
	return true;
}

lm_rc interfaces_list_addresses(struct address_list *ret, struct lm_err *err)
{
	struct ifaddrs *first = NULL;
	size_t n = 0;

	if (getifaddrs(&first) < 0)
		return lm_fail(err, LM_E_SYS, errno, "list the addresses of this device: %m");
	for (const struct ifaddrs *i = first; i; i = i->ifa_next)
		n++;
	struct interface_address *all = lm_xcalloc(n + 1, sizeof(*all));
	n = 0;
	for (const struct ifaddrs *i = first; i; i = i->ifa_next)
		n += read_interface(i, &all[n]);
	freeifaddrs(first);
	mark_passing(all, n);
	interfaces_select(all, n, ret);
	free(all);
	return LM_OK;
}
