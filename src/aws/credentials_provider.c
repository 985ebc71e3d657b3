// SPDX-License-Identifier: Apache-2.0
#include "aws/credentials_provider.h"
#include "aws/shared_config.h"

#include "base/clock.h"
#include "base/memory.h"
#include "http/https.h"
#include "sys/wait.h"

#include <stdlib.h>

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
	bool expired;                       ///< By the word of a service.
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

static bool is_due(const struct credentials_provider *p)
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

static lm_rc renew(struct credentials_provider *p, struct lm_err *err)
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
	if (p->https && is_due(p)) {
		lm_rc rc = renew(p, err);
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
