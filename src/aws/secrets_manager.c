// SPDX-License-Identifier: Apache-2.0
#include "aws/secrets_manager.h"

#include "base/encoding.h"
#include "base/limits.h"
#include "base/memory.h"

#include <string.h>

enum { ARN_MAX_SHOWN = 300, ARN_SIZE = 4 * ARN_MAX_SHOWN + 32 };

struct job {
	const char *arn;
	struct secret_result *result;
};

/// "arn:P:secretsmanager:REGION:A:secret:NAME" → "REGION"; n 0 if it is none.
static struct lm_str region_of(const char *arn)
{
	struct lm_str rest = lm_str(arn), part[6];

	for (size_t i = 0; i < LM_ARRAY_SIZE(part); i++)
		part[i] = lm_str_cut(&rest, ':');
	if (!lm_str_eq(part[0], LM_STR("arn")) || !lm_str_eq(part[2], LM_STR("secretsmanager")) ||
		!lm_str_eq(part[5], LM_STR("secret")) || !rest.n || !lm_str_is_utf8(rest) ||
		!endpoint_is_region(part[3]))
		return LM_STR("");
	return part[3];
}

static lm_rc no_secret(const char *arn, const struct service_error *e, struct lm_err *err)
{
	if (strstr(e->message, "staging label"))
		return lm_fail(err, LM_E_NOT_FOUND, 0,
			"secret '%s' is there but has no value yet (no version AWSCURRENT); store "
			"one in it",
			arn);
	return lm_fail(err, LM_E_NOT_FOUND, 0,
		"there is no secret '%s'; check name, region, account and the six characters at "
		"its end",
		arn);
}

static lm_rc invalid_request(const char *arn, const struct service_error *e, struct lm_err *err)
{
	if (strstr(e->message, "deletion") || strstr(e->message, "deleted"))
		return lm_fail(err, LM_E_DENIED, 0,
			"secret '%s' is scheduled for deletion; restore it (aws secretsmanager "
			"restore-secret), or name another",
			arn);
	return lm_fail(err, LM_E_DENIED, 0, "Secrets Manager cannot give out secret '%s': %s", arn,
		e->message);
}

static lm_rc not_decrypted(const char *arn, const struct service_error *e, struct lm_err *err)
{
	return lm_fail(err, LM_E_DENIED, 0,
		"secret '%s' cannot be decrypted: the role needs kms:Decrypt on the secret's KMS "
		"key, and the key must be enabled (Secrets Manager says: %s)",
		arn, e->message);
}

/// A lack of kms:Decrypt comes as AccessDeniedException, "Access to KMS is not allowed".
static lm_rc access_denied(const char *arn, const struct service_error *e, struct lm_err *err)
{
	return strstr(e->message, "KMS") ? not_decrypted(arn, e, err) : LM_OK;
}

static const struct {
	const char *code;
	/// LM_OK: what is said of all services is right here, too.
	lm_rc (*describe)(const char *arn, const struct service_error *, struct lm_err *);
} codes[] = {
	{"ResourceNotFoundException", no_secret},
	{"InvalidRequestException", invalid_request},
	{"DecryptionFailure", not_decrypted},
	{"AccessDeniedException", access_denied},
};

static lm_rc describe(const char *arn, const struct service_outcome *o, struct lm_err *err)
{
	char shown[ARN_SIZE];

	(void)lm_str_shorten(lm_str(arn), ARN_MAX_SHOWN, shown, sizeof(shown));
	for (size_t i = 0; i < LM_ARRAY_SIZE(codes); i++) {
		if (strcmp(o->error.code, codes[i].code) != 0)
			continue;
		lm_rc rc = codes[i].describe(shown, &o->error, err);
		if (rc != LM_OK)
			return rc;
	}
	*err = o->err;
	if (err->rc == LM_E_INVALID) // a setting of this device: LM_E_INVALID is for the value
		err->rc = LM_E_DENIED;
	return err->rc;
}

static lm_rc take_text(
	const char *arn, struct lm_str text, struct secret_value *ret, struct lm_err *err)
{
	if (text.n > LIMIT_SECRET_VALUE)
		return lm_fail(err, LM_E_TOO_LARGE, 0, "secret '%.300s' is larger than %d bytes",
			arn, LIMIT_SECRET_VALUE);
	return secret_value_parse(arn, text, ret, err);
}

static lm_rc take_value(
	const char *arn, const json_t *answer, struct secret_value *ret, struct lm_err *err)
{
	const json_t *string = json_object_get(answer, "SecretString");
	const json_t *binary = json_object_get(answer, "SecretBinary");
	lm_auto_buf struct lm_buf bytes = LM_BUF_SECRET(LIMIT_SECRET_VALUE);

	if (json_is_string(string))
		return take_text(arn, json_text(string), ret, err);
	if (!json_is_string(binary))
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the answer of Secrets Manager for secret '%.300s' has neither a "
			"SecretString nor a SecretBinary",
			arn);
	if (lm_base64_decode(&bytes, json_text(binary)))
		return take_text(arn, lm_buf_str(&bytes), ret, err);
	if (bytes.overflow)
		return lm_fail(err, LM_E_TOO_LARGE, 0, "secret '%.300s' is larger than %d bytes",
			arn, LIMIT_SECRET_VALUE);
	return lm_fail(err, LM_E_PROTOCOL, 0,
		"the SecretBinary that Secrets Manager gives for secret '%.300s' is no base64",
		arn);
}

static void on_outcome(void *ctx, const struct service_outcome *o)
{
	lm_auto_free struct job *j = ctx;
	struct secret_result *r = j->result;

	r->clock_offset_ms = o->clock_offset_ms;
	if (o->rc == LM_OK)
		r->rc = take_value(j->arn, o->answer, &r->value, &r->err);
	else
		r->rc = describe(j->arn, o, &r->err);
}

void secrets_manager_start(struct https *https, const struct secret_request *request,
	struct credentials_provider *credentials, struct secret_result *ret)
{
	struct lm_str region = region_of(request->arn);
	char shown[ARN_SIZE];

	*ret = (struct secret_result){0};
	(void)lm_str_shorten(lm_str(request->arn), ARN_MAX_SHOWN, shown, sizeof(shown));
	if (!region.n) {
		ret->rc = lm_fail(&ret->err, LM_E_INVALID, 0,
			"'%s' is not the ARN of a secret "
			"(arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-abc123)",
			shown);
		return;
	}
	struct job *j = lm_xcalloc(1, sizeof(*j));
	lm_auto_free char *region_text = lm_xmemdup0(region.p, region.n);
	lm_auto_free char *subject = lm_xasprintf("secret '%s'", shown);
	lm_auto_free char *permission = lm_xasprintf("secretsmanager:GetSecretValue on %s", shown);
	lm_auto_json json_t *input =
		json_pack("{ss ss}", "SecretId", request->arn, "VersionStage", "AWSCURRENT");

	*j = (struct job){.arn = request->arn, .result = ret};
	const struct service_call call = {
		.service = AWS_SECRETS_MANAGER,
		.region = region_text,
		.operation = "GetSecretValue",
		.subject = subject,
		.permission = permission,
		.input = input,
		.answer_max = LIMIT_SECRET_ANSWER,
		.limits = request->limits,
		.done = on_outcome,
		.ctx = j,
	};
	json_service_start(https, &call, credentials);
}

void secret_result_finish(struct secret_result *r)
{
	secret_value_finish(&r->value);
	*r = (struct secret_result){0};
}
