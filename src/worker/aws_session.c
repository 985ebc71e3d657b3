// SPDX-License-Identifier: Apache-2.0
#include "worker/aws_session.h"

#include "aws/shared_config.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"

#include <sys/stat.h>
#include <unistd.h>

static const char *either(const char *a, const char *b)
{
	return a ? a : b;
}

/// The application's user may be unable to read the core's own CA file; the system has Amazon's
/// CAs.
static const char *choose_ca(const struct host_settings *host)
{
	if (host->credentials.ca || !host->iot.ca || access(host->iot.ca, R_OK) == 0)
		return either(host->credentials.ca, host->iot.ca);
	lm_warn("the application's user cannot read the CA file '%s' of config.json (%m): using "
		"the system's CAs",
		host->iot.ca);
	return NULL;
}

/// Reads a file that lightermand opened for us; if it could not, the file itself is tried later.
static lm_rc read_opened(int fd, const char *name, struct lm_buf *ret, struct lm_err *err)
{
	struct stat st;

	*ret = LM_BUF_SECRET(LIMIT_PEM_FILE);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return LM_OK;
	return lm_fd_read_all(fd, name, ret, err);
}

/// Settings of the role alias's provider that the host file lacks are the core's own.
static lm_rc make_settings(struct aws_session *c, struct lm_err *err)
{
	const struct host_settings *host = c->host;
	const char *key = either(host->credentials.private_key, host->iot.private_key);
	const char *certificate = either(host->credentials.certificate, host->iot.certificate);
	lm_rc rc = LM_OK;

	c->settings = (struct credentials_settings){.region = c->region};
	if (!host->credentials.role_alias)
		return LM_OK; // the SDKs' chain
	if (key && !c->key.len)
		rc = read_opened(c->key_fd, key, &c->key, err);
	if (!rc && certificate && !c->certificate.len)
		rc = read_opened(c->certificate_fd, certificate, &c->certificate, err);
	if (rc)
		return rc;
	c->settings = (struct credentials_settings){
		.role_alias = host->credentials.role_alias,
		.endpoint = host->credentials.endpoint,
		.certificate = certificate,
		.private_key = key,
		.certificate_text = lm_buf_str(&c->certificate),
		.private_key_text = lm_buf_str(&c->key),
		.ca = choose_ca(host),
		.thing_name = host->thing_name,
	};
	return LM_OK;
}

static void close_connections(struct aws_session *c)
{
	https_destroy(lm_take(c->https));
	credentials_provider_destroy(lm_take(c->credentials));
}

static lm_rc open_connections(struct aws_session *c, struct lm_err *err)
{
	const struct aws_credentials *loaded;
	lm_rc rc = make_settings(c, err);

	if (!rc)
		rc = shared_config_https(&c->https, err);
	if (!rc)
		rc = credentials_provider_create(&c->settings, c->limit, &c->credentials, err);
	return rc ? rc : credentials_get(c->credentials, &loaded, err);
}

lm_rc aws_session_open(struct aws_session *c, struct lm_err *err)
{
	struct lm_err failure = {LM_OK};

	if (c->https)
		return LM_OK;
	lm_rc rc = open_connections(c, &failure);
	c->has_no_source = rc == LM_E_NOT_FOUND && !c->host->credentials.role_alias;
	if (!rc)
		return LM_OK;
	close_connections(c);
	if (rc == LM_E_INVALID || rc == LM_E_NOT_FOUND || rc == LM_E_TOO_LARGE)
		failure.rc = LM_E_DENIED;
	if (err)
		*err = failure;
	return failure.rc;
}

void aws_session_complete_region(struct host_settings *host)
{
	lm_auto_shared_config struct shared_config config = {0};

	// Whatever needs the files reports their errors.
	if (host->region || shared_config_load(&config, NULL))
		return;
	struct lm_str region = shared_config_get(&config, config.profile, "region");
	if (region.n)
		host->region = lm_xmemdup0(region.p, region.n);
}

lm_rc aws_session_run(struct aws_session *c, struct lm_err *err)
{
	return c->https ? https_run(c->https, c->limit, err) : LM_OK;
}

void aws_session_note(struct aws_session *c, const char *service, int64_t clock_offset_ms)
{
	struct lm_err warning;

	if (c->credentials && credentials_take_warning(c->credentials, &warning))
		lm_warn("%s", warning.msg);
	if (clock_offset_ms == 0 || c->clock_reported)
		return;
	c->clock_reported = true;
	lm_warn("this device's clock is off by %lld s according to %s: set it",
		(long long)(clock_offset_ms / 1000), service);
}

void aws_session_finish(struct aws_session *c)
{
	close_connections(c);
	lm_buf_finish(&c->key);
	lm_buf_finish(&c->certificate);
}
