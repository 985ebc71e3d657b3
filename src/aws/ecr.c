// SPDX-License-Identifier: Apache-2.0
#include "aws/ecr.h"

#include "base/encoding.h"
#include "base/limits.h"
#include "base/memory.h"

#include <string.h>

enum { ACCOUNT_LEN = 12, HOST_MAX = 253 };

struct ecr_token_fetch {
	struct ecr_result *result;
	char *subject;
};

static bool is_account(struct lm_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	}
	return s.n == ACCOUNT_LEN;
}

/// Takes "dkr.ecr." or "dkr-ecr." with or without "-fips" off the front; false if there is neither.
static bool take_infix(struct lm_str *rest, bool *ret_dual_stack)
{
	static const struct {
		const char *text;
		bool dual_stack;
	} infixes[] = {
		{"dkr.ecr.", false},
		{"dkr.ecr-fips.", false},
		{"dkr-ecr.", true},
		{"dkr-ecr-fips.", true},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(infixes); i++) {
		struct lm_str text = lm_str(infixes[i].text);

		if (!lm_str_starts(*rest, text))
			continue;
		*rest = (struct lm_str){rest->p + text.n, rest->n - text.n};
		*ret_dual_stack = infixes[i].dual_stack;
		return true;
	}
	return false;
}

static bool parse_lower(struct lm_str host, struct ecr_registry *ret)
{
	struct lm_str rest = host;
	struct lm_str account = lm_str_cut(&rest, '.');
	bool dual_stack = false;

	if (!is_account(account) || !take_infix(&rest, &dual_stack))
		return false;
	struct lm_str region = lm_str_cut(&rest, '.');
	const struct aws_partition *p = endpoint_partition_of(region);

	if (!endpoint_is_region(region) ||
		!lm_str_eq(rest, lm_str(dual_stack ? p->dual_stack_suffix : p->suffix)))
		return false;
	struct ecr_registry r = {0};
	memcpy(r.account, account.p, account.n);
	memcpy(r.region, region.p, region.n);
	*ret = r;
	return true;
}

bool ecr_registry_parse(struct lm_str host, struct ecr_registry *ret)
{
	char lower[HOST_MAX];

	if (lm_str_ends(host, LM_STR(":443")))
		host.n -= 4;
	if (host.n > sizeof(lower))
		return false;
	for (size_t i = 0; i < host.n; i++) {
		char c = host.p[i];

		lower[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
	}
	return parse_lower((struct lm_str){lower, host.n}, ret);
}

static bool is_host_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.';
}

/// The host with its account at `at`, if one stands there by itself.
static struct lm_str host_at(struct lm_str text, size_t at)
{
	size_t end = at;

	while (end < text.n && is_host_char(text.p[end]))
		end++;
	while (end > at && (text.p[end - 1] == '.' || text.p[end - 1] == '-'))
		end--;
	return (struct lm_str){text.p + at, end - at};
}

bool ecr_registry_scan(struct lm_str *rest, struct lm_str *ret_host, struct ecr_registry *ret)
{
	struct lm_str text = *rest;

	for (size_t at = 0; at + ACCOUNT_LEN < text.n;) {
		size_t digits = 0;

		while (at + digits < text.n && text.p[at + digits] >= '0' &&
			text.p[at + digits] <= '9')
			digits++;
		struct lm_str host = {0};
		if (digits == ACCOUNT_LEN)
			host = host_at(text, at);
		if (host.n && ecr_registry_parse(host, ret)) {
			*ret_host = host;
			*rest = (struct lm_str){
				host.p + host.n, (size_t)(text.p + text.n - host.p) - host.n};
			return true;
		}
		at += digits ? digits : 1;
	}
	rest->p += rest->n;
	rest->n = 0;
	return false;
}

static bool has_control(struct lm_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7F)
			return true;
	}
	return false;
}

bool ecr_token_parse(struct lm_str token, char **ret_username, struct lm_secret *ret_password)
{
	lm_auto_buf struct lm_buf text = LM_BUF_SECRET(LIMIT_ECR_ANSWER);

	if (!lm_base64_decode(&text, token))
		return false;
	struct lm_str password = lm_buf_str(&text);
	struct lm_str username = lm_str_cut(&password, ':');

	if (!username.n || !password.n || has_control(lm_buf_str(&text)))
		return false;
	*ret_username = lm_xmemdup0(username.p, username.n);
	lm_secret_set(ret_password, password);
	return true;
}

/// Seconds since 1970, maybe with a fraction, as milliseconds; 0 if it is none of our time.
static int64_t expiry_ms(const json_t *data)
{
	const json_t *value = json_object_get(data, "expiresAt");
	double seconds = json_number_value(value);

	return seconds > 0 && seconds < 1e11 ? (int64_t)(seconds * 1000) : 0;
}

static lm_rc take_ecr_token(
	const struct ecr_token_fetch *j, const json_t *answer, struct lm_err *err)
{
	const json_t *data = json_array_get(json_object_get(answer, "authorizationData"), 0);
	const json_t *token = json_object_get(data, "authorizationToken");
	struct ecr_result *r = j->result;

	if (!json_is_string(token))
		return lm_fail(err, LM_E_PROTOCOL, 0, "%s: the answer of ECR has no token in it",
			j->subject);
	if (!ecr_token_parse(json_text(token), &r->username, &r->password))
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"%s: ECR's token is not base64 of a name and a password", j->subject);
	r->expires_ms = expiry_ms(data);
	return LM_OK;
}

static void on_ecr_token(void *ctx, const struct service_outcome *o)
{
	struct ecr_token_fetch *j = ctx;
	struct ecr_result *r = j->result;

	r->clock_offset_ms = o->clock_offset_ms;
	r->rc = o->rc;
	if (o->rc == LM_OK)
		r->rc = take_ecr_token(j, o->answer, &r->err);
	else
		r->err = o->err;
	free(j->subject);
	free(j);
}

void ecr_start_token(struct https *https, const struct ecr_request *request,
	struct credentials_provider *credentials, struct ecr_result *ret)
{
	const struct ecr_registry *registry = &request->registry;
	struct ecr_token_fetch *j = lm_xcalloc(1, sizeof(*j));
	lm_auto_json json_t *input = json_pack("{s[s]}", "registryIds", registry->account);

	*ret = (struct ecr_result){0};
	*j = (struct ecr_token_fetch){
		.result = ret,
		.subject =
			lm_xasprintf("ECR registry %s in %s", registry->account, registry->region),
	};
	const struct service_call call = {
		.service = AWS_ECR,
		.region = registry->region,
		.operation = "GetAuthorizationToken",
		.subject = j->subject,
		.permission = "ecr:GetAuthorizationToken on *",
		.input = input,
		.answer_max = LIMIT_ECR_ANSWER,
		.limits = request->limits,
		.done = on_ecr_token,
		.ctx = j,
	};
	request_start_call(https, &call, credentials);
}

void ecr_result_finish(struct ecr_result *r)
{
	free(r->username);
	lm_secret_finish(&r->password);
	*r = (struct ecr_result){0};
}
