// SPDX-License-Identifier: Apache-2.0
#include "aws/credentials_provider.h"

#include "aws/credential_sources.h"
#include "aws/shared_config.h"
#include "aws/sts.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "http/https.h"
#include "sys/wait.h"

#include <stdlib.h>

enum {
	CHAIN_MAX = 8, ///< Profiles that take their credentials from each other.
	ARN_MAX = 2048,
	DURATION_MIN_S = 900,
	DURATION_MAX_S = 43200, ///< As STS has it.
	PROFILE_SHOWN_MAX = 64,
	PROFILE_SHOWN_SIZE = 4 * PROFILE_SHOWN_MAX + 32,
};

static const char *show_profile(struct lm_str name, char out[PROFILE_SHOWN_SIZE])
{
	return lm_str_shorten(name, PROFILE_SHOWN_MAX, out, PROFILE_SHOWN_SIZE);
}

/// The way from the profile that was asked for to the one that has credentials.
struct profile_chain {
	struct lm_str profiles[CHAIN_MAX];
	size_t n;
};

static lm_rc load_profile(const struct credentials_context *c, struct profile_chain *chain,
	struct lm_str profile, struct aws_credentials *ret, struct lm_err *err);

static struct lm_str profile_get(
	const struct credentials_context *c, struct lm_str profile, const char *key)
{
	return shared_config_get(c->config, profile, key);
}

static lm_rc refuse_profile(struct lm_str profile, struct lm_err *err, const char *why)
{
	char shown[PROFILE_SHOWN_SIZE];

	return lm_fail(
		err, LM_E_INVALID, 0, "AWS profile '%s' %s", show_profile(profile, shown), why);
}

/// A source that has nothing where something was meant to be is no reason to ask the next one.
static lm_rc must_have(lm_rc rc, struct lm_str profile, struct lm_err *err, const char *key)
{
	char shown[PROFILE_SHOWN_SIZE];

	if (rc == LM_OK)
		return rc;
	if (rc == LM_E_NOT_FOUND)
		err->rc = LM_E_INVALID;
	return lm_wrap(err, "AWS profile '%s', %s", show_profile(profile, shown), key);
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
		return refuse_profile(profile, err,
			"has a duration_seconds that is not a number from 900 to 43200");
	*ret = (unsigned)seconds;
	return LM_OK;
}

static char *copy_setting(struct lm_str s)
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
	return refuse_profile(profile, err,
		"has a credential_source that is none of Environment, Ec2InstanceMetadata and "
		"EcsContainer");
}

static lm_rc from_source_profile(const struct credentials_context *c, struct profile_chain *chain,
	struct lm_str profile, struct lm_str source, struct aws_credentials *ret,
	struct lm_err *err)
{
	char shown[PROFILE_SHOWN_SIZE];

	if (!shared_config_has(c->config, source)) {
		(void)!lm_fail(err, LM_E_INVALID, 0, "there is no profile '%s'",
			show_profile(source, shown));
		return must_have(LM_E_INVALID, profile, err, "source_profile");
	}
	return must_have(load_profile(c, chain, source, ret, err), profile, err, "source_profile");
}

/// The credentials with which the role is assumed.
static lm_rc load_source(const struct credentials_context *c, struct profile_chain *chain,
	struct lm_str profile, struct aws_credentials *ret, struct lm_err *err)
{
	struct lm_str source = profile_get(c, profile, "source_profile");
	struct lm_str credential_source = profile_get(c, profile, "credential_source");

	if (source.n && credential_source.n)
		return refuse_profile(profile, err,
			"has both source_profile and credential_source; keep one of them");
	if (credential_source.n)
		return from_credential_source(c, profile, credential_source, ret, err);
	if (source.n)
		return from_source_profile(c, chain, profile, source, ret, err);
	return refuse_profile(profile, err,
		"has a role_arn, but neither source_profile nor credential_source; add one of "
		"them");
}

static lm_rc assume_role(const struct credentials_context *c, struct profile_chain *chain,
	struct lm_str profile, struct aws_credentials *ret, struct lm_err *err)
{
	lm_auto_free char *arn = copy_setting(profile_get(c, profile, "role_arn"));
	lm_auto_free char *session = copy_setting(profile_get(c, profile, "role_session_name"));
	lm_auto_free char *external_id = copy_setting(profile_get(c, profile, "external_id"));
	lm_auto_credentials struct aws_credentials source = {0};
	struct sts_role role = {
		.arn = arn, .session_name = session, .external_id = external_id, .source = &source};

	if (!is_arn(lm_str(arn)))
		return refuse_profile(profile, err, "has a role_arn that is not the ARN of a role");
	if (profile_get(c, profile, "mfa_serial").n)
		return refuse_profile(profile, err,
			"has an mfa_serial, which needs somebody to type a code in; use a role "
			"without MFA");
	lm_rc rc = read_duration(
		profile, profile_get(c, profile, "duration_seconds"), &role.duration_s, err);
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
	const char *value = first ? shared_config_variable(variable) : NULL;

	return value ? lm_str(value) : profile_get(c, profile, key);
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
	lm_auto_free char *arn = copy_setting(arn_text);
	lm_auto_free char *path = lm_xmemdup0(file.p, file.n);
	lm_auto_free char *session = copy_setting(web_identity_setting(
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
		if (profile_get(c, profile, keys[i]).n)
			return keys[i];
	}
	return NULL;
}

static lm_rc unsupported(struct lm_str profile, const char *key, struct lm_err *err)
{
	char shown[PROFILE_SHOWN_SIZE];

	return lm_fail(err, LM_E_INVALID, 0,
		"AWS profile '%s' gets its credentials by '%s', which needs an interactive login "
		"and is not supported; give it keys, a credential_process or a role_arn, or choose "
		"another profile with AWS_PROFILE",
		show_profile(profile, shown), key);
}

/// The keys that one of the two files has of a profile.
static lm_rc from_keys(const struct shared_file *file, struct lm_str profile,
	struct aws_credentials *ret, struct lm_err *err)
{
	char shown[PROFILE_SHOWN_SIZE];

	show_profile(profile, shown);
	if (file->lack.rc != LM_OK) {
		*err = file->lack;
		return LM_E_NOT_FOUND;
	}
	if (!profile_file_has(&file->parsed, PROFILE_SECTION_PROFILE, profile))
		return lm_fail(
			err, LM_E_NOT_FOUND, 0, "'%s' has no profile '%s'", file->path, shown);
	lm_auto_free char *where = lm_xasprintf(" in profile '%s' of '%s'", shown, file->path);
	// As botocore: the old name counts first.
	struct lm_str token = profile_file_get(&file->parsed, profile, "aws_security_token");
	bool old = token.n > 0;
	const struct credentials_parts parts = {
		.id = profile_file_get(&file->parsed, profile, "aws_access_key_id"),
		.secret = profile_file_get(&file->parsed, profile, "aws_secret_access_key"),
		.token =
			old ? token : profile_file_get(&file->parsed, profile, "aws_session_token"),
		.id_name = "aws_access_key_id",
		.secret_name = "aws_secret_access_key",
		.token_name = old ? "aws_security_token" : "aws_session_token",
		.where = where,
		.source = file->source,
	};
	return credentials_assemble(&parts, ret, err);
}

/// The same. Where it has none, the reason goes behind the others.
static lm_rc from_file(const struct shared_file *file, struct lm_str profile,
	struct lm_buf *reasons, struct aws_credentials *ret, struct lm_err *err)
{
	lm_rc rc = from_keys(file, profile, ret, err);

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
	lm_rc rc = from_file(&c->config->credentials, profile, &reasons, ret, err);

	if (rc == LM_E_NOT_FOUND && process.n)
		return must_have(credentials_from_process(c, process, ret, err), profile, err,
			"credential_process");
	if (rc == LM_E_NOT_FOUND)
		rc = from_file(&c->config->config, profile, &reasons, ret, err);
	if (rc == LM_E_NOT_FOUND)
		return lm_fail(err, rc, 0, "%s", lm_buf_cstr(&reasons));
	return rc;
}

/// `own`: it has keys, so it may be named by itself.
static lm_rc enter_profile(
	struct profile_chain *chain, struct lm_str profile, bool own, struct lm_err *err)
{
	if (chain->n == CHAIN_MAX)
		return refuse_profile(profile, err,
			"is the ninth in a row of source_profile; at most eight are followed");
	for (size_t i = 0; i < chain->n; i++) {
		if (lm_str_eq(chain->profiles[i], profile) && !(own && i + 1 == chain->n))
			return refuse_profile(profile, err,
				"is its own source_profile, directly or by way of others, and has "
				"no keys");
	}
	chain->profiles[chain->n++] = profile;
	return LM_OK;
}

static bool has_keys(const struct credentials_context *c, struct lm_str profile)
{
	return profile_get(c, profile, "aws_access_key_id").n ||
	       profile_get(c, profile, "aws_secret_access_key").n;
}

/// The order of botocore. A profile that another one names uses its own keys before a role: so it
/// may be its own source.
static lm_rc load_profile(const struct credentials_context *c, struct profile_chain *chain,
	struct lm_str profile, struct aws_credentials *ret, struct lm_err *err)
{
	bool first = chain->n == 0;
	bool own = !first && has_keys(c, profile);
	bool has_role = profile_get(c, profile, "role_arn").n > 0;
	bool has_token = profile_get(c, profile, "web_identity_token_file").n > 0;
	lm_rc rc = enter_profile(chain, profile, own, err);

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

static lm_rc from_profile(
	const struct credentials_context *c, struct aws_credentials *ret, struct lm_err *err)
{
	const struct shared_config *config = c->config;
	struct profile_chain chain = {.n = 0};
	char shown[PROFILE_SHOWN_SIZE], why[LM_ERR_MSG_SIZE];
	lm_rc rc = load_profile(c, &chain, config->profile, ret, err);

	if (rc != LM_E_NOT_FOUND || !config->profile_variable ||
		shared_config_has(config, config->profile))
		return rc;
	(void)snprintf(why, sizeof(why), "%s", err->msg);
	return lm_fail(err, LM_E_INVALID, 0, "%s names the profile '%s', which is not usable: %s",
		config->profile_variable, show_profile(config->profile, shown), why);
}

/// They leave room in the sentence for what to do.
enum { REASONS_MAX = 800, REASON_MAX = 250 };

static lm_rc ask_in_turn(
	const struct credentials_context *c, struct aws_credentials *ret, struct lm_err *err)
{
	static credentials_source *const sources[] = {
		credentials_from_environment,
		from_profile,
		credentials_from_container,
		credentials_from_imds,
	};
	lm_auto_buf struct lm_buf reasons = LM_BUF(REASONS_MAX);

	for (size_t i = 0; i < LM_ARRAY_SIZE(sources); i++) {
		char reason[4 * REASON_MAX + 32];
		lm_rc rc = sources[i](c, ret, err);

		if (rc != LM_E_NOT_FOUND)
			return rc;
		(void)lm_buf_printf(&reasons, "%s%s", i ? "; " : "",
			lm_str_shorten(lm_str(err->msg), REASON_MAX, reason, sizeof(reason)));
	}
	return lm_fail(err, LM_E_NOT_FOUND, 0,
		"there are no AWS credentials (%s); set 'credentials' in the host file to a role "
		"alias of AWS IoT, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the "
		"environment of lightermand",
		lm_buf_cstr(&reasons));
}

/// The host file's, the environment's, the profile's; the caller frees. NULL: not configured.
static char *find_region(
	const struct credentials_settings *settings, const struct shared_config *config)
{
	struct lm_str region = lm_str(settings->region);

	if (!region.n)
		region = shared_config_setting(config, "AWS_REGION", NULL, NULL);
	if (!region.n)
		region = shared_config_setting(config, "AWS_DEFAULT_REGION", "region", NULL);
	return region.n ? lm_xmemdup0(region.p, region.n) : NULL;
}

/// The SDKs' sources.
static lm_rc load_in_order(struct https *https, const struct credentials_settings *settings,
	const struct wait_limit *limit, struct aws_credentials *ret, struct lm_err *err)
{
	lm_auto_shared_config struct shared_config config = {0};
	lm_rc rc = shared_config_load(&config, err);

	if (rc != LM_OK)
		return rc;
	lm_auto_free char *region = find_region(settings, &config);
	const struct credentials_context c = {https, settings, limit, &config, region};

	return ask_in_turn(&c, ret, err);
}

lm_rc credentials_load(struct https *https, const struct credentials_settings *settings,
	const struct wait_limit *limit, struct aws_credentials *ret, struct lm_err *err)
{
	const struct credentials_context iot = {https, settings, limit, NULL, NULL};
	struct lm_err failure = {0}; // the sources wrap theirs, so there must be one
	lm_rc rc = settings->role_alias ? credentials_from_iot(&iot, ret, &failure)
					: load_in_order(https, settings, limit, ret, &failure);

	if (rc != LM_OK && err)
		*err = failure;
	return rc;
}

enum {
	REFRESH_EARLY_MS = 5 * 60 * 1000,
	RETRY_MS = 30 * 1000, ///< After a renewal that failed.
	LOAD_MS = 60 * 1000,
};

struct credentials_provider {
	struct https *https; ///< NULL: nothing is ever loaded.
	const struct credentials_settings *settings;
	struct wait_limit limit;
	struct aws_credentials credentials; ///< Without an access key: none yet.
	unsigned serial;                    ///< Of the last ones loaded.
	bool expired;                       ///< A service reported so.
	uint64_t retry_mono_ms;             ///< Not renewed before that.
	bool has_warning;
	struct lm_err warning;
};

lm_rc credentials_provider_create(const struct credentials_settings *settings,
	const struct wait_limit *limit, struct credentials_provider **ret, struct lm_err *err)
{
	struct https *https = NULL;
	lm_rc rc = shared_config_https(&https, err);

	if (rc != LM_OK)
		return rc;
	struct credentials_provider *p = lm_xcalloc(1, sizeof(*p));
	p->https = https;
	p->settings = settings;
	p->limit = *limit;
	*ret = p;
	return LM_OK;
}

struct credentials_provider *credentials_provider_of(struct aws_credentials *credentials)
{
	struct credentials_provider *p = lm_xcalloc(1, sizeof(*p));

	p->credentials = *credentials;
	p->credentials.serial = p->serial = 1;
	*credentials = (struct aws_credentials){0};
	return p;
}

void credentials_provider_destroy(struct credentials_provider *p)
{
	if (!p)
		return;
	https_destroy(p->https);
	credentials_finish(&p->credentials);
	free(p);
}

static bool is_renewal_due(const struct credentials_provider *p)
{
	const struct aws_credentials *c = &p->credentials;
	uint64_t early = p->settings->refresh_early_ms ? p->settings->refresh_early_ms
						       : (uint64_t)REFRESH_EARLY_MS;
	uint64_t now = lm_clock_mono_ms();

	if (!c->access_key_id || p->expired)
		return true;
	if (!c->expires_mono_ms || now + early < c->expires_mono_ms)
		return false;
	return now >= p->retry_mono_ms || now >= c->expires_mono_ms;
}

/// Whether those at hand can be used, although they should have been renewed.
static bool is_valid(const struct credentials_provider *p)
{
	return p->credentials.access_key_id && !p->expired &&
	       lm_clock_mono_ms() < p->credentials.expires_mono_ms;
}

static lm_rc provider_renew(struct credentials_provider *p, struct lm_err *err)
{
	const struct wait_limit limit = wait_limit_within(&p->limit, LOAD_MS);
	struct aws_credentials fresh = {0};
	struct lm_err failure = {0};
	lm_rc rc = credentials_load(p->https, p->settings, &limit, &fresh, &failure);

	if (rc == LM_OK) {
		credentials_finish(&p->credentials);
		fresh.serial = ++p->serial;
		p->credentials = fresh;
		p->expired = false;
		p->retry_mono_ms = 0;
		return LM_OK;
	}
	if (rc != LM_E_CANCELLED && is_valid(p)) {
		p->retry_mono_ms = lm_clock_mono_ms() + RETRY_MS;
		p->has_warning = true;
		p->warning = failure;
		return LM_OK;
	}
	if (err)
		*err = failure;
	return rc;
}

lm_rc credentials_get(
	struct credentials_provider *p, const struct aws_credentials **ret, struct lm_err *err)
{
	if (p->https && is_renewal_due(p)) {
		lm_rc rc = provider_renew(p, err);
		if (rc != LM_OK)
			return rc;
	}
	*ret = &p->credentials;
	return LM_OK;
}

bool credentials_expire(struct credentials_provider *p, unsigned serial)
{
	if (serial == p->serial)
		p->expired = true;
	return p->https != NULL;
}

bool credentials_take_warning(struct credentials_provider *p, struct lm_err *ret)
{
	bool has = p->has_warning;

	if (has)
		*ret = p->warning;
	p->has_warning = false;
	return has;
}
