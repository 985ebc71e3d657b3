// SPDX-License-Identifier: Apache-2.0
#include "discovery/http_text.h"

#include "base/cleanup.h"
#include "base/encoding.h"

#include <string.h>

enum { METHOD_MAX = 32 };

static const struct {
	int status;
	const char *reason, *message, *header;
} STATUSES[] = {
	{200, "OK", "", ""},
	{400, "Bad Request", "The request is malformed.", ""},
	{401, "Unauthorized", "A client certificate that is registered in the group is needed.",
		""},
	{403, "Forbidden", "The client certificate belongs to another thing.", ""},
	{404, "Not Found", "There is no such thing in the group.", ""},
	{405, "Method Not Allowed", "The only method is GET.", "allow: GET\r\n"},
	{429, "Too Many Requests", "Too many requests: try again later.", "retry-after: 2\r\n"},
	{431, "Request Header Fields Too Large", "The request's headers are too large.", ""},
	{505, "HTTP Version Not Supported", "The version must be HTTP/1.1.", ""},
};

size_t http_head_size(struct lm_str received)
{
	const char *end = received.n ? memmem(received.p, received.n, "\r\n\r\n", 4) : NULL;

	return end ? (size_t)(end - received.p) + 4 : 0;
}

static struct http_request http_refuse(struct http_request request, int status, const char *problem)
{
	request.status = status;
	request.problem = problem;
	return request;
}

/// RFC 9110, 5.6.2.
static bool is_http_token(struct lm_str text)
{
	static const char others[] = "!#$%&'*+-.^_`|~";

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		bool alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');

		if (!alnum && (c == '\0' || !strchr(others, c)))
			return false;
	}
	return text.n > 0;
}

/// Printable ASCII without the space.
static bool is_target(struct lm_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] <= ' ' || text.p[i] == 0x7f)
			return false;
	}
	return text.n > 0 && text.p[0] == '/';
}

static bool is_field_value(struct lm_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

/// The line without its CR LF, cut off at the front of a head, whose last bytes are CR LF.
static struct lm_str next_line(struct lm_str *head)
{
	const char *end = memmem(head->p, head->n, "\r\n", 2);
	size_t n = end ? (size_t)(end - head->p) : head->n;
	struct lm_str line = {head->p, n};

	n += end ? 2 : 0;
	*head = (struct lm_str){head->p + n, head->n - n};
	return line;
}

/// How many Host fields there are; -1: the fields are malformed.
static int count_hosts(struct lm_str fields)
{
	int hosts = 0;

	for (struct lm_str line = next_line(&fields); line.n > 0; line = next_line(&fields)) {
		size_t colon = lm_str_find(line, ':');
		struct lm_str name = {line.p, colon};

		if (colon == line.n || !is_http_token(name) ||
			!is_field_value((struct lm_str){line.p + colon, line.n - colon}))
			return -1;
		hosts += lm_str_eq_nocase(name, LM_STR("host"));
	}
	return hosts;
}

static bool is_version(struct lm_str text)
{
	return text.n == 8 && lm_str_starts(text, LM_STR("HTTP/")) && text.p[5] >= '0' &&
	       text.p[5] <= '9' && text.p[6] == '.' && text.p[7] >= '0' && text.p[7] <= '9';
}

/// The thing's name may be percent-encoded; no SDK does that.
static struct http_request parse_target(struct http_request request, struct lm_str target)
{
	static const struct lm_str prefix = {"/greengrass/discover/thing/", 27};
	lm_auto_buf struct lm_buf name = LM_BUF(ARN_THING_NAME_MAX);

	if (!lm_str_starts(target, prefix))
		return http_refuse(request, 404, "no resource has this path");
	if (!lm_percent_decode(&name, (struct lm_str){target.p + prefix.n, target.n - prefix.n}) ||
		!arn_is_thing_name(lm_buf_str(&name)))
		return http_refuse(request, 400, "no thing can have this name");
	memcpy(request.thing, name.data, name.len + 1);
	return request;
}

struct http_request http_request_parse(struct lm_str head)
{
	struct http_request request = {.status = 200};
	struct lm_str version = next_line(&head);
	struct lm_str method = lm_str_cut(&version, ' ');
	struct lm_str target = lm_str_cut(&version, ' ');

	request.no_body = lm_str_eq(method, LM_STR("HEAD"));
	if (!is_http_token(method) || method.n > METHOD_MAX || !is_version(version))
		return http_refuse(request, 400, "the request line is malformed");
	if (version.p[5] != '1')
		return http_refuse(request, 505, "the version is not HTTP/1");
	int hosts = count_hosts(head);
	if (hosts < 0)
		return http_refuse(request, 400, "a header field is malformed");
	// RFC 9112, 3.2
	if (hosts > 1 || (hosts == 0 && version.p[7] != '0'))
		return http_refuse(request, 400, "there must be one Host field");
	if (!lm_str_eq(method, LM_STR("GET")))
		return http_refuse(request, 405, "the method is not GET");
	if (!is_target(target))
		return http_refuse(request, 400, "the path is malformed");
	return parse_target(request, target);
}

bool http_answer_write(struct lm_buf *out, int status, struct lm_str json, bool no_body)
{
	size_t row = 0;

	while (row < LM_ARRAY_SIZE(STATUSES) - 1 && STATUSES[row].status != status)
		row++;
	lm_auto_buf struct lm_buf error = LM_BUF(256);
	if (status != 200) {
		(void)lm_buf_printf(&error, "{\"message\":\"%s\"}", STATUSES[row].message);
		json = lm_buf_str(&error);
	}
	(void)lm_buf_printf(out,
		"HTTP/1.1 %d %s\r\n"
		"content-type: application/json\r\n"
		"content-length: %zu\r\n"
		"connection: close\r\n"
		"%s\r\n",
		status, STATUSES[row].reason, json.n, STATUSES[row].header);
	if (!no_body)
		(void)lm_buf_add_str(out, json);
	return !out->overflow;
}
