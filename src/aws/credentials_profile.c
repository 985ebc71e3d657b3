// SPDX-License-Identifier: Apache-2.0
#include "aws/credentials_priv.h"

#include "aws/sts.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"

#include <stdlib.h>

enum {
	CHAIN_MAX = 8, ///< Profiles that take their credentials from each other.
	ARN_MAX = 2048,
	DURATION_MIN_S = 900,
	DURATION_MAX_S = 43200, ///< As STS has it.
};

/// The way from the profile that was asked for to the one that has credentials.
struct chain {
	struct lm_str profiles[CHAIN_MAX];
	size_t n;
};

static lm_rc load_profile(const struct credentials_context *c, struct chain *chain,
	struct lm_str profile, struct aws_credentials *ret, struct lm_err *err);

static struct lm_str get(
	const struct credentials_context *c, struct lm_str profile, const char *key)
{
	return shared_config_get(c->config, profile, key);
}

static lm_rc refuse(struct lm_str profile, struct lm_err *err, const char *why)
{
	char shown[CREDENTIALS_SHOWN_SIZE];

	return lm_fail(
		err, LM_E_INVALID, 0, "AWS profile '%s' %s", credentials_show(profile, shown), why);
}

/// A source that has nothing where something was meant to be is no reason to ask the next one.
static lm_rc must_have(lm_rc rc, struct lm_str profile, struct lm_err *err, const char *key)
{
	char shown[CREDENTIALS_SHOWN_SIZE];

	if (rc == LM_OK)
		return rc;
	if (rc == LM_E_NOT_FOUND)
		err->rc = LM_E_INVALID;
	return lm_wrap(err, "AWS profile '%s', %s", credentials_show(profile, shown), key);
}

/// Where a role is, and nothing that could end a request early.
static bool is_arn(struct lm_str s)
{
	return s.n <= ARN_MAX && lm_str_starts(s, LM_STR("arn:")) && credentials_is_token(s);
}

static lm_rc read_duration(
	struct lm_str profile, struct lm_str text, unsigned *ret, struct lm_err *err)
{
	uint64_t seconds = 0;

	if (text.n && (!lm_str_to_u64(text, DURATION_MAX_S, &seconds) || seconds < DURATION_MIN_S))
		return refuse(
			profile, err, "has a duration_seconds that is no number from 900 to 43200");
	*ret = (unsigned)seconds;
	return LM_OK;
}

static char *copy_or_null(struct lm_str s)
{
	return s.n ? lm_xmemdup0(s.p, s.n) : NULL;
}

static lm_rc from_credential_source(const struct credentials_context *c, struct lm_str profile,
	struct lm_str name, struct aws_credentials *ret, struct lm_err *err)
{
	static const struct {
		const char *name;
		credentials_source *source;
	} sources[] = {
		{"Environment", credentials_from_environment},
		{"Ec2InstanceMetadata", credentials_from_imds},
		{"EcsContainer", credentials_from_container},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(sources); i++) {
		if (lm_str_eq_nocase(name, lm_str(sources[i].name)))
			return must_have(
				sources[i].source(c, ret, err), profile, err, "credential_source");
	}
	return refuse(profile, err,
		"has a credential_source that is none of Environment, Ec2InstanceMetadata and "
		"EcsContainer");
}

static lm_rc from_source_profile(const struct credentials_context *c, struct chain *chain,
	struct lm_str profile, struct lm_str source, struct aws_credentials *ret,
	struct lm_err *err)
{
	char shown[CREDENTIALS_SHOWN_SIZE];

	if (!shared_config_has(c->config, source)) {
		(void)!lm_fail(err, LM_E_INVALID, 0, "there is no profile '%s'",
			credentials_show(source, shown));
		return must_have(LM_E_INVALID, profile, err, "source_profile");
	}
	return must_have(load_profile(c, chain, source, ret, err), profile, err, "source_profile");
}

/// The credentials with which the role is assumed.
static lm_rc load_source(const struct credentials_context *c, struct chain *chain,
	struct lm_str profile, struct aws_credentials *ret, struct lm_err *err)
{
	struct lm_str source = get(c, profile, "source_profile");
	struct lm_str credential_source = get(c, profile, "credential_source");

	if (source.n && credential_source.n)
		return refuse(profile, err,
			"has both source_profile and credential_source; keep one of them");
	if (credential_source.n)
		return from_credential_source(c, profile, credential_source, ret, err);
	if (source.n)
		return from_source_profile(c, chain, profile, source, ret, err);
	return refuse(profile, err,
		"has a role_arn, but neither source_profile nor credential_source; add one of "
		"them");
}

static lm_rc assume_role(const struct credentials_context *c, struct chain *chain,
	struct lm_str profile, struct aws_credentials *ret, struct lm_err *err)
{
	lm_auto_free char *arn = copy_or_null(get(c, profile, "role_arn"));
	lm_auto_free char *session = copy_or_null(get(c, profile, "role_session_name"));
	lm_auto_free char *external_id = copy_or_null(get(c, profile, "external_id"));
	lm_auto_credentials struct aws_credentials source = {0};
	struct sts_role role = {
		.arn = arn, .session_name = session, .external_id = external_id, .source = &source};

	if (!is_arn(lm_str(arn)))
		return refuse(profile, err, "has a role_arn that is no ARN of a role");
	if (get(c, profile, "mfa_serial").n)
		return refuse(profile, err,
			"has an mfa_serial: nobody is there to type a code in; use a role that "
			"needs none");
	lm_rc rc =
		read_duration(profile, get(c, profile, "duration_seconds"), &role.duration_s, err);
	if (rc == LM_OK)
		rc = load_source(c, chain, profile, &source, err);
	if (rc != LM_OK)
		return rc;
	return must_have(sts_assume_role(c, &role, ret, err), profile, err, "role_arn");
}

/// A setting of web identity: the variable counts for the profile that was asked for only.
static struct lm_str web_identity_setting(const struct credentials_context *c, bool first,
	struct lm_str profile, const char *variable, const char *key)
{
	const char *value = first ? credentials_variable(variable) : NULL;

	return value ? lm_str(value) : get(c, profile, key);
}

static lm_rc read_token(const char *path, struct lm_buf *ret, struct lm_err *err)
{
	lm_rc rc = lm_file_read(path, ret, err);

	if (rc == LM_E_NOT_FOUND)
		return lm_fail(err, LM_E_INVALID, 0, "there is no file '%s'", path);
	if (rc == LM_OK && !credentials_is_token(lm_str_trim(lm_buf_str(ret))))
		return lm_fail(err, LM_E_INVALID, 0, "'%s' holds no token", path);
	return rc;
}

static lm_rc from_web_identity(const struct credentials_context *c, bool first,
	struct lm_str profile, struct lm_str file, struct aws_credentials *ret, struct lm_err *err)
{
	struct lm_str arn_text =
		web_identity_setting(c, first, profile, "AWS_ROLE_ARN", "role_arn");
	lm_auto_free char *arn = copy_or_null(arn_text);
	lm_auto_free char *path = lm_xmemdup0(file.p, file.n);
	lm_auto_free char *session = copy_or_null(web_identity_setting(
		c, first, profile, "AWS_ROLE_SESSION_NAME", "role_session_name"));
	lm_auto_buf struct lm_buf token = LM_BUF_SECRET(LIMIT_WEB_IDENTITY_TOKEN);
	struct sts_role role = {.arn = arn, .session_name = session};

	if (!is_arn(arn_text))
		return lm_fail(err, LM_E_INVALID, 0,
			"there is a web identity token file, '%.200s', but no role: set "
			"AWS_ROLE_ARN, or role_arn in the profile, to the ARN of one",
			path);
	lm_rc rc = read_token(path, &token, err);
	if (rc == LM_OK) {
		role.web_identity_token = lm_str_trim(lm_buf_str(&token));
		rc = sts_assume_role(c, &role, ret, err);
	}
	if (rc == LM_E_NOT_FOUND)
		err->rc = LM_E_INVALID;
	return rc == LM_OK ? rc : lm_wrap(err, "web identity");
}

/// What needs a person at a browser; NULL: nothing.
static const char *find_unsupported(const struct credentials_context *c, struct lm_str profile)
{
	static const char *const keys[] = {
		"sso_session", "sso_start_url", "sso_account_id", "login_session"};

	for (size_t i = 0; i < LM_ARRAY_SIZE(keys); i++) {
		if (get(c, profile, keys[i]).n)
			return keys[i];
	}
	return NULL;
}

static lm_rc unsupported(struct lm_str profile, const char *key, struct lm_err *err)
{
	char shown[CREDENTIALS_SHOWN_SIZE];

	return lm_fail(err, LM_E_INVALID, 0,
		"AWS profile '%s' gets its credentials by '%s', which needs a person to log in and "
		"is not supported; give it keys, a credential_process or a role_arn, or choose "
		"another profile with AWS_PROFILE",
		credentials_show(profile, shown), key);
}

/// The keys of one of the files. Where it has none, the reason goes behind the others.
static lm_rc from_file(const struct credentials_context *c, const struct shared_file *file,
	struct lm_str profile, struct lm_buf *reasons, struct aws_credentials *ret,
	struct lm_err *err)
{
	lm_rc rc = credentials_from_profile_file(file, profile, ret, err);

	(void)c;
	if (rc == LM_E_NOT_FOUND)
		(void)lm_buf_printf(reasons, "%s%s", reasons->len ? "; " : "", err->msg);
	return rc;
}

/// What a profile has of its own, in the order of Boto3 ("Credentials"): the credentials file's
/// keys, credential_process, the config file's keys.
static lm_rc load_own(const struct credentials_context *c, struct lm_str profile,
	struct aws_credentials *ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf reasons = LM_BUF(2 * LM_ERR_MSG_SIZE);
	struct lm_str process = shared_config_get_whole(c->config, profile, "credential_process");
	lm_rc rc = from_file(c, &c->config->credentials, profile, &reasons, ret, err);

	if (rc == LM_E_NOT_FOUND && process.n)
		return must_have(credentials_from_process(c, process, ret, err), profile, err,
			"credential_process");
	if (rc == LM_E_NOT_FOUND)
		rc = from_file(c, &c->config->config, profile, &reasons, ret, err);
	if (rc == LM_E_NOT_FOUND)
		return lm_fail(err, rc, 0, "%s", lm_buf_cstr(&reasons));
	return rc;
}

/// `own`: it has keys, so it may be named by itself.
static lm_rc enter(struct chain *chain, struct lm_str profile, bool own, struct lm_err *err)
{
	if (chain->n == CHAIN_MAX)
		return refuse(profile, err,
			"is the ninth in a row of source_profile; at most eight are followed");
	for (size_t i = 0; i < chain->n; i++) {
		if (lm_str_eq(chain->profiles[i], profile) && !(own && i + 1 == chain->n))
			return refuse(profile, err,
				"is its own source_profile, directly or by way of others, and has "
				"no "
				"keys");
	}
	chain->profiles[chain->n++] = profile;
	return LM_OK;
}

static bool has_keys(const struct credentials_context *c, struct lm_str profile)
{
	return get(c, profile, "aws_access_key_id").n || get(c, profile, "aws_secret_access_key").n;
}

/// The order of botocore. A profile that another one names uses its own keys before a role: so it
/// may be its own source.
static lm_rc load_profile(const struct credentials_context *c, struct chain *chain,
	struct lm_str profile, struct aws_credentials *ret, struct lm_err *err)
{
	bool first = chain->n == 0;
	bool own = !first && has_keys(c, profile);
	bool has_role = get(c, profile, "role_arn").n > 0;
	bool has_token = get(c, profile, "web_identity_token_file").n > 0;
	lm_rc rc = enter(chain, profile, own, err);

	if (rc != LM_OK)
		return rc;
	if (has_role && !has_token && !own)
		return assume_role(c, chain, profile, ret, err);
	struct lm_str token = web_identity_setting(
		c, first, profile, "AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file");
	if (token.n)
		return from_web_identity(c, first, profile, token, ret, err);
	const char *key = find_unsupported(c, profile);
	return key ? unsupported(profile, key, err) : load_own(c, profile, ret, err);
}

lm_rc credentials_from_profile(
	const struct credentials_context *c, struct aws_credentials *ret, struct lm_err *err)
{
	const struct shared_config *config = c->config;
	struct chain chain = {.n = 0};
	char shown[CREDENTIALS_SHOWN_SIZE], why[LM_ERR_MSG_SIZE];
	lm_rc rc = load_profile(c, &chain, config->profile, ret, err);

	if (rc != LM_E_NOT_FOUND || !config->profile_variable ||
		shared_config_has(config, config->profile))
		return rc;
	(void)snprintf(why, sizeof(why), "%s", err->msg);
	return lm_fail(err, LM_E_INVALID, 0, "%s names the profile '%s', which cannot be had: %s",
		config->profile_variable, credentials_show(config->profile, shown), why);
}
