// SPDX-License-Identifier: Apache-2.0
#include "aws/sts.h"

#include "aws/endpoint.h"
#include "aws/sigv4.h"
#include "aws/xml.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/encoding.h"
#include "base/limits.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum {
	CONNECT_TIMEOUT_MS = 10 * 1000,
	TIMEOUT_MS = 15 * 1000,
	ATTEMPTS = 3,
	BODY_MAX = 64 << 10,
	SKEW_MS = 5 * 60 * 1000, ///< What STS tolerates.
	SHOWN_MAX = 200,
};

static const char content_type[] = "application/x-www-form-urlencoded; charset=utf-8";

/// One call, which is made twice if our clock is wrong.
struct sts_call {
	const struct credentials_context *context;
	const struct sts_role *role;
	const char *region;
	struct aws_endpoint endpoint;
	char *path;
	struct lm_buf body;
	int64_t clock_offset_ms;
	int64_t signed_ms;
	char shown[4 * SHOWN_MAX + 32]; ///< The role's ARN, for messages.
};

static void call_finish(struct sts_call *k)
{
	endpoint_finish(&k->endpoint);
	free(k->path);
	lm_buf_finish(&k->body);
}

void sts_answer_parse(struct lm_str xml, struct sts_answer *ret)
{
#define CREDENTIALS "/*Response/*Result/Credentials/"
	const struct xml_field fields[] = {
		{CREDENTIALS "AccessKeyId", ret->access_key_id, sizeof(ret->access_key_id)},
		{CREDENTIALS "SecretAccessKey", ret->secret, sizeof(ret->secret)},
		{CREDENTIALS "SessionToken", ret->token, sizeof(ret->token)},
		{CREDENTIALS "Expiration", ret->expiration, sizeof(ret->expiration)},
		{"/ErrorResponse/Error/Code", ret->code, sizeof(ret->code)},
		{"/ErrorResponse/Error/Message", ret->message, sizeof(ret->message)},
	};

	xml_read_fields(xml, fields, LM_ARRAY_SIZE(fields));
}

static void answer_wipe(struct sts_answer *a)
{
	lm_wipe(a, sizeof(*a));
}

static void add_parameter(struct lm_buf *body, const char *name, struct lm_str value)
{
	if (!value.n)
		return;
	(void)lm_buf_printf(body, "&%s=", name);
	(void)lm_percent_encode(body, value, false);
}

static void build_body(struct sts_call *k)
{
	const struct sts_role *role = k->role;
	char duration[16] = "";

	if (role->duration_s)
		(void)snprintf(duration, sizeof(duration), "%u", role->duration_s);
	(void)lm_buf_printf(&k->body, "Action=%s&Version=2011-06-15",
		role->web_identity_token.n ? "AssumeRoleWithWebIdentity" : "AssumeRole");
	add_parameter(&k->body, "RoleArn", lm_str(role->arn));
	add_parameter(&k->body, "RoleSessionName",
		lm_str(role->session_name ? role->session_name : "lighterman"));
	add_parameter(&k->body, "ExternalId", lm_str(role->external_id));
	add_parameter(&k->body, "DurationSeconds", lm_str(duration));
	add_parameter(&k->body, "WebIdentityToken", role->web_identity_token);
}

/// Without a region of ours: one that the role's partition has.
static const char *sts_region(const struct credentials_context *c, const char *arn)
{
	if (c->region)
		return c->region;
	if (strncmp(arn, "arn:aws-cn:", 11) == 0)
		return "cn-north-1";
	return strncmp(arn, "arn:aws-us-gov:", 15) == 0 ? "us-gov-west-1" : "us-east-1";
}

static void sign(struct sts_call *k, struct header_list *headers)
{
	const struct http_pair type = {LM_STR("Content-Type"), lm_str(content_type)};
	char hash[LM_SHA256_HEX + 1];

	lm_sha256_hex(lm_buf_str(&k->body), hash);
	k->signed_ms = lm_clock_wall_ms() + k->clock_offset_ms;
	const struct sigv4_request r = {
		.method = "POST",
		.host = https_origin_host(lm_str(k->endpoint.origin)),
		.path = lm_str(k->path),
		.headers = &type,
		.headers_n = 1,
		.body_sha256 = hash,
		.region = k->region,
		.service = "sts",
		.wall_ms = k->signed_ms,
	};
	sigv4_sign(&r, k->role->source, headers);
}

static lm_rc send_call(struct sts_call *k, struct https_answer *ret, struct lm_err *err)
{
	lm_auto_header_list struct header_list signature = {0};
	struct http_pair headers[8] = {{LM_STR("Content-Type"), lm_str(content_type)}};
	size_t n = 1;

	if (!k->role->web_identity_token.n)
		sign(k, &signature);
	for (size_t i = 0; i < signature.n && n < LM_ARRAY_SIZE(headers); i++)
		headers[n++] = (struct http_pair){
			lm_str(signature.items[i].name), lm_secret_str(&signature.items[i].value)};
	const struct credentials_request r = {
		.request =
			{
				.method = "POST",
				.origin = lm_str(k->endpoint.origin),
				.path = lm_str(k->path),
				.body = lm_buf_str(&k->body),
				.plain_http = k->endpoint.plain_http,
				.connect_timeout_ms = CONNECT_TIMEOUT_MS,
				.timeout_ms = TIMEOUT_MS,
				.attempts = ATTEMPTS,
			},
		.headers = headers,
		.headers_n = n,
	};
	return credentials_fetch(k->context, &r, ret, err);
}

static lm_rc take_credentials(const struct sts_call *k, const struct https_answer *answer,
	const struct sts_answer *a, struct aws_credentials *ret, struct lm_err *err)
{
	int64_t server_ms = https_parse_date_ms(https_header(answer, "date"));
	int64_t expires_ms = credentials_parse_time_ms(lm_str(a->expiration));
	const struct credentials_parts parts = {
		.id = lm_str(a->access_key_id),
		.secret = lm_str(a->secret),
		.token = lm_str(a->token),
		.id_name = "AccessKeyId",
		.secret_name = "SecretAccessKey",
		.token_name = "SessionToken",
		.where = " in the answer of STS",
		.source = k->role->web_identity_token.n ? "STS AssumeRoleWithWebIdentity"
							: "STS AssumeRole",
	};

	if (!parts.id.n || !parts.secret.n || !parts.token.n || !expires_ms)
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the answer of %.*s holds no usable credentials; check that its endpoint "
			"is STS, and that no proxy answers in its place",
			LM_STR_ARG(https_origin_host(lm_str(k->endpoint.origin))));
	lm_rc rc = credentials_assemble(&parts, ret, err);
	if (rc == LM_OK)
		credentials_set_expiry(ret, expires_ms, server_ms);
	return rc == LM_E_INVALID ? LM_E_PROTOCOL : rc;
}

static lm_rc describe_denied(
	const struct sts_call *k, const struct sts_answer *a, struct lm_err *err)
{
	if (k->role->web_identity_token.n)
		return lm_fail(err, LM_E_DENIED, 0,
			"the trust policy of role '%s' rejects the web identity token (STS: %s)",
			k->shown, a->message[0] ? a->message : a->code);
	return lm_fail(err, LM_E_DENIED, 0,
		"access key %.64s from %s may not assume role '%s': its own policy must allow "
		"sts:AssumeRole on the role, and the role's trust policy must name it (STS: %s)",
		k->role->source->access_key_id, k->role->source->source, k->shown,
		a->message[0] ? a->message : a->code);
}

static lm_rc describe_identity(
	const struct sts_call *k, const struct sts_answer *a, struct lm_err *err)
{
	static const char *const codes[] = {"InvalidClientTokenId", "SignatureDoesNotMatch",
		"ExpiredToken", "ExpiredTokenException", "InvalidIdentityToken", "IDPRejectedClaim",
		"RequestExpired", "UnrecognizedClientException", "IncompleteSignature"};

	for (size_t i = 0; i < LM_ARRAY_SIZE(codes); i++) {
		if (strcmp(a->code, codes[i]) != 0)
			continue;
		if (k->role->web_identity_token.n)
			return lm_fail(err, LM_E_DENIED, 0,
				"STS does not accept the web identity token for role '%s' (%s: %s)",
				k->shown, a->code, a->message);
		return lm_fail(err, LM_E_DENIED, 0,
			"STS does not accept access key %.64s from %s, with which role '%s' was to "
			"be assumed (%s: %s)",
			k->role->source->access_key_id, k->role->source->source, k->shown, a->code,
			a->message);
	}
	return LM_OK;
}

static lm_rc describe_refusal(struct sts_call *k, const struct https_answer *answer,
	const struct sts_answer *a, struct lm_err *err)
{
	if (strcmp(a->code, "AccessDenied") == 0 || strcmp(a->code, "AccessDeniedException") == 0)
		return describe_denied(k, a, err);
	lm_rc rc = describe_identity(k, a, err);
	if (rc != LM_OK)
		return rc;
	if (strcmp(a->code, "RegionDisabledException") == 0)
		return lm_fail(err, LM_E_DENIED, 0,
			"STS is not activated in region %s for the account of role '%s'; activate "
			"it there (IAM, account settings)",
			k->region, k->shown);
	return lm_fail(err, LM_E_REFUSED, 0,
		"STS returns no credentials for role '%s': %.*s answers HTTP %d%s%s%s%s, after %u "
		"attempt%s",
		k->shown, LM_STR_ARG(https_origin_host(lm_str(k->endpoint.origin))), answer->status,
		a->code[0] ? ", " : "", a->code, a->message[0] ? ": " : "", a->message,
		answer->attempts, answer->attempts == 1 ? "" : "s");
}

/// Whether a refusal is our clock's fault; the next call is then signed with the server's time.
static bool correct_clock(
	struct sts_call *k, const struct https_answer *answer, const struct sts_answer *a)
{
	int64_t server_ms = https_parse_date_ms(https_header(answer, "date"));
	int64_t apart_ms = server_ms - k->signed_ms;

	if (k->clock_offset_ms || !server_ms || !k->signed_ms || answer->status / 100 != 4 ||
		!a->code[0] || (apart_ms < SKEW_MS && apart_ms > -SKEW_MS))
		return false;
	k->clock_offset_ms = server_ms - lm_clock_wall_ms();
	return k->clock_offset_ms != 0;
}

static lm_rc make_call(struct sts_call *k, struct aws_credentials *ret, struct lm_err *err)
{
	lm_auto(answer_wipe) struct sts_answer a = {.code = ""};
	struct https_answer answer = {0};
	lm_rc rc = send_call(k, &answer, err);

	if (rc != LM_OK)
		return lm_wrap(err, "ask STS for the credentials of role '%s'", k->shown);
	sts_answer_parse(lm_buf_str(&answer.body), &a);
	bool again = answer.status != 200 && correct_clock(k, &answer, &a);
	if (answer.status == 200)
		rc = take_credentials(k, &answer, &a, ret, err);
	else if (!again)
		rc = describe_refusal(k, &answer, &a, err);
	https_answer_finish(&answer);
	return again ? make_call(k, ret, err) : rc;
}

lm_rc sts_assume_role(const struct credentials_context *c, const struct sts_role *role,
	struct aws_credentials *ret, struct lm_err *err)
{
	lm_auto(call_finish) struct sts_call k = {.context = c,
		.role = role,
		.region = sts_region(c, role->arn),
		.body = LM_BUF_SECRET(BODY_MAX)};
	lm_rc rc = endpoint_resolve(AWS_STS, k.region, &k.endpoint, err);

	if (rc != LM_OK)
		return rc;
	(void)lm_str_shorten(lm_str(role->arn), SHOWN_MAX, k.shown, sizeof(k.shown));
	k.path = lm_xasprintf("%s/", k.endpoint.base_path);
	build_body(&k);
	if (k.body.overflow)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the request to STS for role '%s' would be over %d bytes", k.shown,
			BODY_MAX);
	return make_call(&k, ret, err);
}
