// SPDX-License-Identifier: Apache-2.0
#include "http/web_address.h"

#include "base/memory.h"

#include <stdlib.h>

enum { HOST_MAX = 255, PORT_MAX = 65535, PORT_HTTP = 80, PORT_HTTPS = 443 };

static struct lm_str behind(struct lm_str s, size_t n)
{
	return (struct lm_str){s.p + n, s.n - n};
}

static bool take_scheme(struct lm_str *rest, const char *scheme)
{
	size_t n = strlen(scheme);

	if (rest->n < n || !lm_str_eq_nocase((struct lm_str){rest->p, n}, lm_str(scheme)))
		return false;
	*rest = behind(*rest, n);
	return true;
}

static bool is_host_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_';
}

static bool is_ipv6_char(char c)
{
	return (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || (c >= '0' && c <= '9') ||
	       c == ':' || c == '.';
}

/// Splits "host", "host:port", "[::1]" or "[::1]:port"; the host keeps its brackets.
static bool split_authority(struct lm_str authority, struct lm_str *ret_host,
	struct lm_str *ret_port, const char **ret_why)
{
	bool ipv6 = authority.n && authority.p[0] == '[';
	size_t end = lm_str_find(authority, ipv6 ? ']' : ':');
	struct lm_str name = {authority.p + ipv6, end - ipv6};

	if (ipv6 && end == authority.n) {
		*ret_why = "begins a host with '[' but has no ']'";
		return false;
	}
	if (!name.n || name.n > HOST_MAX) {
		*ret_why = name.n ? "has a host that is too long" : "names no host";
		return false;
	}
	for (size_t i = 0; i < name.n; i++) {
		if (ipv6 ? is_ipv6_char(name.p[i]) : is_host_char(name.p[i]))
			continue;
		*ret_why = "has a character in its host that no host has";
		return false;
	}
	*ret_host = (struct lm_str){authority.p, end + ipv6};
	*ret_port = behind(authority, ret_host->n);
	return true;
}

/// The port of ":port"; 0 of "" and ":".
static bool read_port(struct lm_str text, unsigned *ret, const char **ret_why)
{
	unsigned port = 0;
	bool wrong = text.n && text.p[0] != ':';

	for (size_t i = 1; i < text.n && !wrong; i++) {
		char c = text.p[i];

		wrong = c < '0' || c > '9';
		port = wrong ? 0 : port * 10 + (unsigned)(c - '0');
		wrong = wrong || port > PORT_MAX;
	}
	if (wrong || (text.n > 1 && port == 0)) {
		*ret_why = "has a port that is no number from 1 to 65535";
		return false;
	}
	*ret = port;
	return true;
}

static char *make_origin(bool plain_http, struct lm_str host, unsigned port)
{
	lm_auto_free char *lower = lm_xmemdup0(host.p, host.n);
	const char *scheme = plain_http ? "http" : "https";

	for (char *c = lower; *c; c++) {
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	}
	if (!port || port == (plain_http ? PORT_HTTP : PORT_HTTPS))
		return lm_xasprintf("%s://%s", scheme, lower);
	return lm_xasprintf("%s://%s:%u", scheme, lower, port);
}

bool web_address_parse(struct lm_str url, struct web_address *ret, const char **ret_why)
{
	struct lm_str rest = url, host, port_text;
	bool plain_http = take_scheme(&rest, "http://");
	unsigned port = 0;
	size_t end = 0;

	if (!plain_http && !take_scheme(&rest, "https://")) {
		*ret_why = "is no https:// or http:// address";
		return false;
	}
	while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?' && rest.p[end] != '#')
		end++;
	struct lm_str authority = {rest.p, end};
	if (lm_str_find(authority, '@') < authority.n) {
		*ret_why = "holds a user name";
		return false;
	}
	if (!split_authority(authority, &host, &port_text, ret_why) ||
		!read_port(port_text, &port, ret_why))
		return false;
	struct web_address a = {
		.origin = make_origin(plain_http, host, port),
		.plain_http = plain_http,
		.rest = behind(rest, end),
	};
	bool ipv6 = host.p[0] == '[';
	a.host = (struct lm_str){strstr(a.origin, "://") + 3 + ipv6, host.n - (ipv6 ? 2 : 0)};
	*ret = a;
	return true;
}

void web_address_finish(struct web_address *a)
{
	free(a->origin);
	*a = (struct web_address){0};
}
