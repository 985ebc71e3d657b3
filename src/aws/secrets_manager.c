// SPDX-License-Identifier: Apache-2.0
#include "aws/secrets_manager.h"

#include "base/encoding.h"
#include "base/limits.h"
#include "base/memory.h"
#include "http/wiping_alloc.h"
#include "sys/json.h"

#include <stdlib.h>
#include <string.h>

enum secret_field { USERNAME, PASSWORD, REGISTRY_URL, FIELDS };

static const char *const field_names[FIELDS] = {"username", "password", "registryUrl"};

void secret_json_harden(void)
{
	json_set_alloc_funcs(wiping_malloc, wiping_free);
}

/// jansson's own message may quote the text, so it is never passed on: only its place.
static lm_rc load_secret(const char *name, struct lm_str text, json_t **ret, struct lm_err *err)
{
	json_error_t e;
	lm_auto_json json_t *root =
		json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
	enum json_error_code code = json_error_code(&e);
	int line = e.line, column = e.column;

	lm_wipe(&e, sizeof(e));
	if (!root && code == json_error_duplicate_key)
		return lm_fail(err, LM_E_INVALID, 0,
			"secret '%s' has a key twice (line %d, column %d)", name, line, column);
	if (!root)
		return lm_fail(err, LM_E_INVALID, 0,
			"the value of secret '%s' is not JSON (line %d, column %d); it must be an "
			"object with username, password and registryUrl",
			name, line, column);
	*ret = lm_take(root);
	return LM_OK;
}

static lm_rc add_fields(
	const char *name, const json_t *object, json_t *found[FIELDS], struct lm_err *err)
{
	for (int i = 0; i < FIELDS; i++) {
		json_t *value = json_object_get(object, field_names[i]);

		if (value && found[i])
			return lm_fail(err, LM_E_INVALID, 0, "secret '%s' has '%s' twice", name,
				field_names[i]);
		if (value)
			found[i] = value;
	}
	return LM_OK;
}

static lm_rc find_fields(
	const char *name, const json_t *root, json_t *found[FIELDS], struct lm_err *err)
{
	if (json_is_object(root))
		return add_fields(name, root, found, err);
	if (!json_is_array(root))
		return lm_fail(err, LM_E_INVALID, 0,
			"the value of secret '%s' is %s; it must be an object with username, "
			"password and registryUrl, or an array of such objects",
			name, json_type_name(root));
	for (size_t i = 0; i < json_array_size(root); i++) {
		const json_t *item = json_array_get(root, i);

		if (!json_is_object(item))
			return lm_fail(err, LM_E_INVALID, 0,
				"item %zu of secret '%s' is %s, not an object", i + 1, name,
				json_type_name(item));
		lm_rc rc = add_fields(name, item, found, err);
		if (rc != LM_OK)
			return rc;
	}
	return LM_OK;
}

/// User name and registry go into headers and messages; only the password may hold anything.
static bool has_control_char(struct lm_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7F)
			return true;
	}
	return false;
}

static lm_rc check_field(
	const char *name, enum secret_field field, const json_t *value, struct lm_err *err)
{
	const char *key = field_names[field];

	if (!value)
		return lm_fail(err, LM_E_INVALID, 0, "secret '%s' has no key '%s'", name, key);
	if (!json_is_string(value))
		return lm_fail(err, LM_E_INVALID, 0, "'%s' of secret '%s' is %s, not a string", key,
			name, json_type_name(value));
	if (!json_string_length(value))
		return lm_fail(err, LM_E_INVALID, 0, "'%s' of secret '%s' is empty", key, name);
	if (field != PASSWORD && has_control_char(json_text(value)))
		return lm_fail(err, LM_E_INVALID, 0,
			"'%s' of secret '%s' holds a line end or another control character", key,
			name);
	return LM_OK;
}

lm_rc secret_value_parse(
	const char *name, struct lm_str text, struct secret_value *ret, struct lm_err *err)
{
	lm_auto_json json_t *root = NULL;
	json_t *found[FIELDS] = {NULL};
	lm_rc rc = load_secret(name, text, &root, err);

	if (rc == LM_OK)
		rc = find_fields(name, root, found, err);
	for (int i = 0; i < FIELDS && rc == LM_OK; i++)
		rc = check_field(name, (enum secret_field)i, found[i], err);
	if (rc != LM_OK)
		return rc;
	struct secret_value v = {
		.username = lm_xstrdup(json_string_value(found[USERNAME])),
		.registry_url = lm_xstrdup(json_string_value(found[REGISTRY_URL])),
	};
	lm_secret_set(&v.password, json_text(found[PASSWORD]));
	*ret = v;
	return LM_OK;
}

void secret_value_finish(struct secret_value *v)
{
	free(v->username);
	free(v->registry_url);
	lm_secret_finish(&v->password);
	*v = (struct secret_value){0};
}

enum {
	ARN_MAX_SHOWN = 300,
	ARN_SIZE = 4 * ARN_MAX_SHOWN + 32,
	SUFFIX_LEN = 7, ///< "-" and the six characters that the service adds to a name.
};

struct secret_fetch {
	const char *arn;
	struct secret_result *result;
};

static bool is_arn_suffix(struct lm_str s)
{
	for (size_t i = 1; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
			return false;
	}
	return s.p[0] == '-';
}

bool secret_arn_parse(const char *arn, struct secret_arn *ret)
{
	struct lm_str rest = lm_str(arn), part[6];

	for (size_t i = 0; i < LM_ARRAY_SIZE(part); i++)
		part[i] = lm_str_cut(&rest, ':');
	if (!lm_str_eq(part[0], LM_STR("arn")) || !lm_str_eq(part[2], LM_STR("secretsmanager")) ||
		!lm_str_eq(part[5], LM_STR("secret")) || !rest.n)
		return false;
	if (rest.n > SUFFIX_LEN &&
		is_arn_suffix((struct lm_str){rest.p + rest.n - SUFFIX_LEN, SUFFIX_LEN}))
		rest.n -= SUFFIX_LEN;
	*ret = (struct secret_arn){.region = part[3], .name = rest};
	return true;
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
	return lm_fail(err, LM_E_DENIED, 0, "Secrets Manager cannot return secret '%s': %s", arn,
		e->message);
}

static lm_rc not_decrypted(const char *arn, const struct service_error *e, struct lm_err *err)
{
	return lm_fail(err, LM_E_DENIED, 0,
		"secret '%s' cannot be decrypted: the role needs kms:Decrypt on the secret's KMS "
		"key, and the key must be enabled (Secrets Manager: %s)",
		arn, e->message);
}

/// A lack of kms:Decrypt comes as AccessDeniedException, "Access to KMS is not allowed".
static lm_rc secret_denied(const char *arn, const struct service_error *e, struct lm_err *err)
{
	return strstr(e->message, "KMS") ? not_decrypted(arn, e, err) : LM_OK;
}

static const struct {
	const char *code;
	/// LM_OK: what holds for all services holds here, too.
	lm_rc (*describe)(const char *arn, const struct service_error *, struct lm_err *);
} secret_codes[] = {
	{"ResourceNotFoundException", no_secret},
	{"InvalidRequestException", invalid_request},
	{"DecryptionFailure", not_decrypted},
	{"AccessDeniedException", secret_denied},
};

static lm_rc describe_secret_failure(
	const char *arn, const struct service_outcome *o, struct lm_err *err)
{
	char shown[ARN_SIZE];

	(void)lm_str_shorten(lm_str(arn), ARN_MAX_SHOWN, shown, sizeof(shown));
	for (size_t i = 0; i < LM_ARRAY_SIZE(secret_codes); i++) {
		if (strcmp(o->error.code, secret_codes[i].code) != 0)
			continue;
		lm_rc rc = secret_codes[i].describe(shown, &o->error, err);
		if (rc != LM_OK)
			return rc;
	}
	*err = o->err;
	if (err->rc == LM_E_INVALID) // a setting of this device: LM_E_INVALID is for the value
		err->rc = LM_E_DENIED;
	return err->rc;
}

static lm_rc take_secret_text(
	const char *arn, struct lm_str text, struct secret_value *ret, struct lm_err *err)
{
	if (text.n > LIMIT_SECRET_VALUE)
		return lm_fail(err, LM_E_TOO_LARGE, 0, "secret '%.300s' is larger than %d bytes",
			arn, LIMIT_SECRET_VALUE);
	return secret_value_parse(arn, text, ret, err);
}

static lm_rc take_secret_value(
	const char *arn, const json_t *answer, struct secret_value *ret, struct lm_err *err)
{
	const json_t *string = json_object_get(answer, "SecretString");
	const json_t *binary = json_object_get(answer, "SecretBinary");
	lm_auto_buf struct lm_buf bytes = LM_BUF_SECRET(LIMIT_SECRET_VALUE);

	if (json_is_string(string))
		return take_secret_text(arn, json_text(string), ret, err);
	if (!json_is_string(binary))
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the answer of Secrets Manager for secret '%.300s' has neither a "
			"SecretString nor a SecretBinary",
			arn);
	if (lm_base64_decode(&bytes, json_text(binary)))
		return take_secret_text(arn, lm_buf_str(&bytes), ret, err);
	if (bytes.overflow)
		return lm_fail(err, LM_E_TOO_LARGE, 0, "secret '%.300s' is larger than %d bytes",
			arn, LIMIT_SECRET_VALUE);
	return lm_fail(err, LM_E_PROTOCOL, 0,
		"the SecretBinary that Secrets Manager gives for secret '%.300s' is not base64",
		arn);
}

static void on_secret(void *ctx, const struct service_outcome *o)
{
	lm_auto_free struct secret_fetch *j = ctx;
	struct secret_result *r = j->result;

	r->clock_offset_ms = o->clock_offset_ms;
	if (o->rc == LM_OK)
		r->rc = take_secret_value(j->arn, o->answer, &r->value, &r->err);
	else
		r->rc = describe_secret_failure(j->arn, o, &r->err);
}

void secrets_manager_start(struct https *https, const struct secret_request *request,
	struct credentials_provider *credentials, struct secret_result *ret)
{
	struct secret_arn arn;
	char shown[ARN_SIZE];

	*ret = (struct secret_result){0};
	(void)lm_str_shorten(lm_str(request->arn), ARN_MAX_SHOWN, shown, sizeof(shown));
	if (!secret_arn_parse(request->arn, &arn) || !lm_str_is_utf8(arn.name) ||
		!endpoint_is_region(arn.region)) {
		ret->rc = lm_fail(&ret->err, LM_E_INVALID, 0,
			"'%s' is not the ARN of a secret "
			"(arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-abc123)",
			shown);
		return;
	}
	struct secret_fetch *j = lm_xcalloc(1, sizeof(*j));
	lm_auto_free char *region_text = lm_xmemdup0(arn.region.p, arn.region.n);
	lm_auto_free char *subject = lm_xasprintf("secret '%s'", shown);
	lm_auto_free char *permission = lm_xasprintf("secretsmanager:GetSecretValue on %s", shown);
	lm_auto_json json_t *input =
		json_pack("{ss ss}", "SecretId", request->arn, "VersionStage", "AWSCURRENT");

	*j = (struct secret_fetch){.arn = request->arn, .result = ret};
	const struct service_call call = {
		.service = AWS_SECRETS_MANAGER,
		.region = region_text,
		.operation = "GetSecretValue",
		.subject = subject,
		.permission = permission,
		.input = input,
		.answer_max = LIMIT_SECRET_ANSWER,
		.limits = request->limits,
		.done = on_secret,
		.ctx = j,
	};
	request_start_call(https, &call, credentials);
}

void secret_result_finish(struct secret_result *r)
{
	secret_value_finish(&r->value);
	*r = (struct secret_result){0};
}
