// SPDX-License-Identifier: Apache-2.0
#include "http/url.h"

#include "base/memory.h"

#include <curl/curl.h>
#include <stdlib.h>

enum { HOST_MAX = 255 };

static bool take_scheme(struct lm_str *rest, struct lm_str scheme)
{
	if (rest->n < scheme.n || !lm_str_eq_nocase((struct lm_str){rest->p, scheme.n}, scheme))
		return false;
	*rest = (struct lm_str){rest->p + scheme.n, rest->n - scheme.n};
	return true;
}

/// What libcurl would decode, translate, or take as it is.
static bool has_odd_char(struct lm_str authority)
{
	for (size_t i = 0; i < authority.n; i++) {
		if (authority.p[i] <= ' ' || authority.p[i] > '~' || strchr("%|~", authority.p[i]))
			return true;
	}
	return false;
}

static const char *describe_url_error(CURLUcode code)
{
	switch (code) {
	case CURLUE_NO_HOST:
		return "names no host";
	case CURLUE_USER_NOT_ALLOWED:
		return "holds a user name";
	case CURLUE_BAD_PORT_NUMBER:
		return "has a port that is not a number from 1 to 65535";
	case CURLUE_BAD_IPV6:
		return "has a host in brackets that is not an IPv6 address";
	default:
		return "has a character in its host that no host has";
	}
}

/// Fills `ret` from "host", "host:port", "[::1]" or "[::1]:port".
static CURLUcode parse_authority(CURLU *u, struct lm_str authority, struct url *ret)
{
	const char *scheme = ret->plain_http ? "http" : "https";
	lm_auto_free char *text = lm_xasprintf("%s://%.*s", scheme, LM_STR_ARG(authority));
	char *host = NULL, *port = NULL;
	CURLUcode code = curl_url_set(u, CURLUPART_URL, text, CURLU_DISALLOW_USER);

	if (code != CURLUE_OK)
		return code;
	(void)curl_url_get(u, CURLUPART_PORT, &port, CURLU_NO_DEFAULT_PORT);
	if (port && strcmp(port, "0") == 0)
		code = CURLUE_BAD_PORT_NUMBER;
	else
		code = curl_url_get(u, CURLUPART_HOST, &host, 0);
	if (code != CURLUE_OK) {
		curl_free(port);
		return code;
	}
	for (char *c = host; *c; c++) {
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	}
	ret->origin = lm_xasprintf("%s://%s%s%s", scheme, host, port ? ":" : "", port ? port : "");
	size_t bracket = host[0] == '[' ? 1 : 0;
	ret->host = (struct lm_str){
		strstr(ret->origin, "://") + 3 + bracket, strlen(host) - 2 * bracket};
	curl_free(host);
	curl_free(port);
	return CURLUE_OK;
}

bool url_parse(struct lm_str text, struct url *ret, const char **ret_why)
{
	struct lm_str rest = text;
	struct url url = {.plain_http = take_scheme(&rest, LM_STR("http://"))};
	size_t end = 0;

	if (!url.plain_http && !take_scheme(&rest, LM_STR("https://"))) {
		*ret_why = "is not an http:// or https:// address";
		return false;
	}
	while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?' && rest.p[end] != '#')
		end++;
	struct lm_str authority = {rest.p, end};
	url.rest = (struct lm_str){rest.p + end, rest.n - end};
	if (end > HOST_MAX) {
		*ret_why = "has a host that is too long";
		return false;
	}
	CURLU *u = curl_url();
	if (!u)
		lm_out_of_memory();
	CURLUcode code =
		has_odd_char(authority) ? CURLUE_BAD_HOSTNAME : parse_authority(u, authority, &url);
	curl_url_cleanup(u);
	if (code != CURLUE_OK) {
		*ret_why = describe_url_error(code);
		return false;
	}
	*ret = url;
	return true;
}

void url_finish(struct url *url)
{
	free(url->origin);
	*url = (struct url){0};
}
