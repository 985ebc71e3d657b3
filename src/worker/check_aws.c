// SPDX-License-Identifier: Apache-2.0
#include "aws/endpoint.h"
#include "aws/shared_config.h"
#include "base/clock.h"
#include "base/memory.h"
#include "worker/check_priv.h"

#include <inttypes.h>

enum {
	/// Secrets Manager and ECR refuse what was signed further off; S3 takes 15 minutes.
	SKEW_WRONG_S = 300,
	SKEW_WARNING_S = 30,
	DATE_MAX = 64 << 10,
	DATE_MS = 15 * 1000,
};

static bool uses_s3(const struct checkup *c)
{
	return !c->w->job->host.object_store_directory;
}

static bool uses_secrets_manager(const struct checkup *c)
{
	const struct job *job = c->w->job;

	return job->group && job->group->connector.secret_arns_n > 0 &&
	       !job->host.secret_store_directory;
}

/// NULL: unknown.
static const char *region_of(const struct checkup *c)
{
	const struct job *job = c->w->job;

	if (job->host.region)
		return job->host.region;
	return job->group ? job->group->connector.region : NULL;
}

void check_region(struct checkup *c)
{
	const char *own = c->w->job->host.region, *region = region_of(c);
	struct lm_err err = {LM_OK};

	if (!region) {
		(void)!lm_fail(&err, LM_E_NOT_FOUND, 0,
			"neither the host file, nor a Greengrass core's config.json, nor "
			"AWS_REGION, nor the AWS profile, nor a definition names a region");
		check_wrong(c, &err, "set region in the host file");
	} else if (!endpoint_is_region(lm_str(region))) {
		(void)!lm_fail(&err, LM_E_INVALID, 0, "'%.64s' cannot be a region", region);
		check_wrong(c, &err, "set region in the host file");
	} else {
		check_ok(c, "%s, %s", region,
			own ? "as this device is set up" : "from the connector's ARN");
	}
}

void check_credentials(struct checkup *c)
{
	const struct aws_credentials *found = NULL;
	struct lm_err err = {LM_OK};

	if (!uses_s3(c) && !uses_secrets_manager(c)) {
		check_skip(c, "not needed: compose file and secrets come from directories");
		return;
	}
	lm_rc rc = cloud_open(&c->w->cloud, &err);
	if (!rc)
		rc = credentials_get(c->w->cloud.credentials, &found, &err);
	if (rc) {
		check_wrong(c, &err,
			"lighterman doctor looks at its own environment: if lightermand has other "
			"variables, run it with the same");
		return;
	}
	c->have |= NEED_CREDENTIALS;
	check_ok(c, "access key %.64s from %s", found->access_key_id, found->source);
}

/// The compose file, by the function of the stage; the secrets have a check of their own.
static lm_rc fetch_object(struct work *w, struct lm_err *err)
{
	const struct job *whole = w->job;
	struct group group = *whole->group;
	struct job job = *whole;

	group.connector.secret_arns_n = 0;
	job.group = &group;
	w->job = &job;
	lm_rc rc = fetch_all(w, err);
	w->job = whole;
	return rc;
}

void check_object(struct checkup *c)
{
	struct work *w = c->w;
	const struct connector_definition *d = work_definition(w);
	const char *lack = uses_s3(c) ? check_lack(c, NEED_CREDENTIALS) : NULL;
	struct lm_err err = {LM_OK};

	if (lack) {
		check_skip(c, "not checked: %s", lack);
		return;
	}
	if (fetch_object(w, &err)) {
		check_wrong(c, &err,
			err.rc == LM_E_NOT_FOUND
				? "put the compose file there, or mend DockerComposeFileS3Bucket, "
				  "DockerComposeFileS3Key or DockerComposeFileS3Version"
				: NULL);
		return;
	}
	c->have |= NEED_FILE;
	check_ok(c, "'%s' of bucket '%s' can be read: %zu bytes%s%.80s", d->key, d->bucket,
		w->text.len, w->store_version ? ", version " : "",
		w->store_version ? w->store_version : "");
}

void check_secrets(struct checkup *c)
{
	struct work *w = c->w;
	const struct connector_definition *d = work_definition(w);
	const char *lack = uses_secrets_manager(c) ? check_lack(c, NEED_CREDENTIALS) : NULL;
	const struct secrets_source source = {
		.directory = w->job->host.secret_store_directory, .cloud = &w->cloud};
	size_t good = 0;

	if (d->secret_arns_n == 0 || lack) {
		check_skip(c, "%s",
			lack ? lack : "not needed: the definition has no AWSSecretsArnList");
		return;
	}
	// One after the other, so that each is told of.
	for (size_t i = 0; i < d->secret_arns_n && !c->cancelled; i++) {
		lm_auto_registry_list struct registry_list got = {0};
		struct lm_err err = {LM_OK};

		if (secrets_get(&source, &d->secret_arns[i], 1, &got, &err)) {
			check_wrong(c, &err, NULL);
			continue;
		}
		registry_list_add(&w->secrets, &got.items[0]);
		good++;
	}
	if (good > 0)
		check_ok(c, "%zu of %zu can be read", good, d->secret_arns_n);
}

struct date {
	lm_rc rc;
	struct lm_err err;
	int64_t server_ms, own_ms;
};

static void on_date(void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err)
{
	struct date *date = ctx;

	date->rc = rc;
	if (rc) {
		date->err = *err;
		return;
	}
	date->own_ms = lm_clock_wall_ms();
	date->server_ms = https_parse_date_ms(https_header(answer, "date"));
}

/// Asks the store for nothing: any answer has a date.
static lm_rc ask_date(struct checkup *c, const char *region, struct date *ret)
{
	lm_auto(https_destroy_p) struct https *https = NULL;
	lm_auto_endpoint struct aws_endpoint e = {0};
	struct wait_limit limit = wait_limit_within(&c->w->limit, DATE_MS);
	lm_rc rc = endpoint_resolve(AWS_S3, region, &e, &ret->err);

	if (!rc)
		rc = shared_config_https(&https, &ret->err);
	if (rc)
		return rc;
	const struct https_request request = {.method = "HEAD",
		.origin = lm_str(e.origin),
		.path = LM_STR("/"),
		.body_max = DATE_MAX,
		.plain_http = e.plain_http,
		.attempts = 2,
		.done = on_date,
		.ctx = ret};
	https_start(https, &request);
	rc = https_run(https, &limit, &ret->err);
	return rc ? rc : ret->rc;
}

static void judge_skew(struct checkup *c, const struct date *date)
{
	int64_t skew_s = (date->own_ms - date->server_ms) / 1000;
	int64_t off_s = skew_s < 0 ? -skew_s : skew_s;
	const char *side = skew_s < 0 ? "behind" : "ahead of";
	static const char mend[] =
		"set the clock, and let a time service keep it (systemd-timesyncd, "
		"chrony)";
	struct lm_err err = {LM_OK};

	if (off_s <= SKEW_WARNING_S) {
		check_ok(c, "as that of S3, but for %" PRId64 " s", off_s);
		return;
	}
	(void)!lm_fail(&err, LM_E_DENIED, 0, "this device's clock is %" PRId64 " s %s that of S3",
		off_s, side);
	if (off_s > SKEW_WRONG_S)
		check_wrong(c, &err, mend);
	else
		check_warn(c, err.msg, mend);
}

/// That S3 cannot be reached was told with the compose file, if anybody could ask for that.
static void fail_date(struct checkup *c, struct lm_err *err)
{
	if (err->rc != LM_E_CANCELLED)
		(void)!lm_wrap(err, "ask S3 for the time");
	if (err->rc != LM_E_CANCELLED && !check_lack(c, NEED_CREDENTIALS | NEED_DEFINITION))
		check_skip(c, "not checked: %s", err->msg);
	else
		check_wrong(c, err, NULL);
}

static bool can_read_sdk_files(void)
{
	lm_auto_shared_config struct shared_config config = {0};

	return shared_config_load(&config, NULL) == LM_OK;
}

void check_clock(struct checkup *c)
{
	const char *region = region_of(c);
	struct date date = {.rc = LM_OK};

	if (!uses_s3(c))
		check_skip(c, "not needed: nothing comes from S3");
	else if (!region)
		check_skip(c, "not checked: no region is known");
	else if (!can_read_sdk_files())
		check_skip(c, "not checked: the settings of the AWS SDKs cannot be read");
	else if (ask_date(c, region, &date))
		fail_date(c, &date.err);
	else if (!date.server_ms)
		check_skip(c, "not checked: S3 does not tell its time");
	else
		judge_skew(c, &date);
}
