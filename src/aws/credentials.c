// SPDX-License-Identifier: Apache-2.0
#include "aws/credentials_priv.h"

#include "base/buf.h"
#include "base/memory.h"

#include <stdlib.h>

/// They leave room in the sentence for what to do.
enum { REASONS_MAX = 800, REASON_MAX = 250 };

bool credentials_is_token(struct lm_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	}
	return s.n > 0;
}

const char *credentials_variable(const char *name)
{
	return shared_config_variable(name);
}

const char *credentials_show(struct lm_str name, char out[CREDENTIALS_SHOWN_SIZE])
{
	return lm_str_shorten(name, CREDENTIALS_SHOWN_MAX, out, CREDENTIALS_SHOWN_SIZE);
}

static lm_rc check_part(const struct credentials_parts *p, const char *name, struct lm_str value,
	struct lm_err *err)
{
	if (credentials_is_token(value))
		return LM_OK;
	return lm_fail(err, LM_E_INVALID, 0,
		"%s%s holds a space, a line end or another character that it cannot have; set it "
		"again without",
		name, p->where);
}

lm_rc credentials_assemble(
	const struct credentials_parts *p, struct aws_credentials *ret, struct lm_err *err)
{
	if (!p->id.n && !p->secret.n)
		return lm_fail(err, LM_E_NOT_FOUND, 0, "%s%s is not set", p->id_name, p->where);
	if (!p->id.n || !p->secret.n)
		return lm_fail(err, LM_E_INVALID, 0, "%s is set but %s is not%s; set both",
			p->id.n ? p->id_name : p->secret_name,
			p->id.n ? p->secret_name : p->id_name, p->where);

	lm_rc rc = check_part(p, p->id_name, p->id, err);
	if (rc == LM_OK)
		rc = check_part(p, p->secret_name, p->secret, err);
	if (rc == LM_OK && p->token.n)
		rc = check_part(p, p->token_name, p->token, err);
	if (rc != LM_OK)
		return rc;

	struct aws_credentials c = {
		.access_key_id = lm_xmemdup0(p->id.p, p->id.n),
		.source = p->source,
	};
	lm_secret_set(&c.secret, p->secret);
	if (p->token.n)
		lm_secret_set(&c.session_token, p->token);
	*ret = c;
	return LM_OK;
}

static lm_rc ask_in_turn(
	const struct credentials_context *c, struct aws_credentials *ret, struct lm_err *err)
{
	static credentials_source *const sources[] = {
		credentials_from_environment,
		credentials_from_profile,
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

/// The host file's, the environment's, the profile's; the caller frees. NULL: none says which.
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
static lm_rc load_usual(struct https *https, const struct credentials_settings *settings,
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
					: load_usual(https, settings, limit, ret, &failure);

	if (rc != LM_OK && err)
		*err = failure;
	return rc;
}

void credentials_finish(struct aws_credentials *c)
{
	free(c->access_key_id);
	lm_secret_finish(&c->secret);
	lm_secret_finish(&c->session_token);
	*c = (struct aws_credentials){0};
}
