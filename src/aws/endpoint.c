// SPDX-License-Identifier: Apache-2.0
#include "aws/endpoint.h"

#include "aws/shared_config.h"
#include "base/memory.h"
#include "http/url.h"

#include <stdlib.h>

/// How the hosts of a service begin, before ".<region>.<domain>".
struct service_hosts {
	const char *usual, *fips, *dual_stack, *fips_dual_stack;
};

static const struct service {
	struct service_hosts hosts;
	const char *gov_fips; ///< In aws-us-gov, where the usual host is the FIPS one; NULL: as
			      ///< elsewhere.
	const char *variable; ///< Of its own endpoint.
	const char *key;      ///< The same in a services section.
} services[] = {
	[AWS_S3] = {{"s3", "s3-fips", "s3.dualstack", "s3-fips.dualstack"}, NULL,
		"AWS_ENDPOINT_URL_S3", "s3"},
	[AWS_SECRETS_MANAGER] = {{"secretsmanager", "secretsmanager-fips", "secretsmanager",
					 "secretsmanager-fips"},
		NULL, "AWS_ENDPOINT_URL_SECRETS_MANAGER", "secrets_manager"},
	[AWS_ECR] = {{"api.ecr", "ecr-fips", "ecr", "ecr-fips"}, NULL, "AWS_ENDPOINT_URL_ECR",
		"ecr"},
	[AWS_CLOUDWATCH_LOGS] = {{"logs", "logs-fips", "logs", "logs-fips"}, "logs",
		"AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "cloudwatch_logs"},
	[AWS_STS] = {{"sts", "sts-fips", "sts", "sts-fips"}, "sts", "AWS_ENDPOINT_URL_STS", "sts"},
};

#define USE_FIPS "AWS_USE_FIPS_ENDPOINT"
#define USE_DUALSTACK "AWS_USE_DUALSTACK_ENDPOINT"

/// The hosts that are wanted.
struct variant {
	bool fips, dual_stack;
};

bool endpoint_is_region(struct lm_str region)
{
	for (size_t i = 0; i < region.n; i++) {
		char c = region.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
			return false;
	}
	return region.n > 0 && region.n <= 32 && region.p[0] != '-' &&
	       region.p[region.n - 1] != '-';
}

const struct aws_partition *endpoint_partition_of(struct lm_str region)
{
	// The last one takes every other region, also of years to come.
	static const struct aws_partition partitions[] = {
		{"aws-cn", "cn-", "amazonaws.com.cn", "on.amazonwebservices.com.cn"},
		{"aws-us-gov", "us-gov-", "amazonaws.com", "on.aws"},
		{"aws-iso", "us-iso-", "c2s.ic.gov", "on.aws.ic.gov"},
		{"aws-iso-b", "us-isob-", "sc2s.sgov.gov", "on.aws.scloud"},
		{"aws-iso-e", "eu-isoe-", "cloud.adc-e.uk", "on.cloud-aws.adc-e.uk"},
		{"aws-iso-f", "us-isof-", "csp.hci.ic.gov", "on.aws.hci.ic.gov"},
		{"aws-eusc", "eusc-", "amazonaws.eu", "on.amazonwebservices.eu"},
		{"aws", "", "amazonaws.com", "on.aws"},
	};
	const struct aws_partition *p = partitions;

	while (!lm_str_starts(region, lm_str(p->region_prefix)))
		p++;
	return p;
}

const char *endpoint_partition(const char *region)
{
	return endpoint_partition_of(lm_str(region))->name;
}

static lm_rc refuse_endpoint(const char *name, const char *why, struct lm_err *err)
{
	return lm_fail(err, LM_E_INVALID, 0,
		"%s %s; give it as https://host, https://host:port or https://host/path", name,
		why);
}

static lm_rc parse_override(
	const char *name, struct lm_str url, struct aws_endpoint *ret, struct lm_err *err)
{
	lm_auto_url struct url a = {0};
	const char *why = NULL;

	if (!url_parse(url, &a, &why))
		return refuse_endpoint(name, why, err);
	struct lm_str path = a.rest;
	if (lm_str_find(path, '?') < path.n || lm_str_find(path, '#') < path.n)
		return refuse_endpoint(name, "has something behind its path", err);
	while (path.n && path.p[path.n - 1] == '/')
		path.n--;
	*ret = (struct aws_endpoint){
		.origin = lm_take(a.origin),
		.base_path = lm_xmemdup0(path.p, path.n),
		.overridden = true,
		.plain_http = a.plain_http,
	};
	return LM_OK;
}

/// The service's address in the services section that the profile names.
static lm_rc find_in_services(const struct shared_config *c, const struct service *service,
	struct lm_str *ret, struct lm_err *err)
{
	struct lm_str name = shared_config_get(c, c->profile, "services");
	const struct profile_file *config = &c->config.parsed;
	char shown[4 * 64 + 32];

	*ret = LM_STR("");
	if (!name.n)
		return LM_OK;
	if (!profile_file_has(config, PROFILE_SECTION_SERVICES, name))
		return lm_fail(err, LM_E_INVALID, 0,
			"the AWS profile has 'services = %s', but the AWS config file has no "
			"section [services %s]; add it, or remove that line",
			lm_str_shorten(name, 64, shown, sizeof(shown)), shown);
	*ret = profile_file_get_nested(
		config, PROFILE_SECTION_SERVICES, name, service->key, "endpoint_url");
	return LM_OK;
}

/// The address that a person set, and what for a name the setting has; empty if there is none.
/// (AWS SDKs and Tools Reference Guide: "Service-specific endpoints", with its order.)
static lm_rc find_override(const struct shared_config *c, const struct service *service,
	struct lm_str *ret_url, const char **ret_name, struct lm_err *err)
{
	*ret_url = LM_STR("");
	if (shared_config_flag(
		    c, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls"))
		return LM_OK;
	*ret_url = shared_config_setting(c, service->variable, NULL, ret_name);
	if (!ret_url->n)
		*ret_url = shared_config_setting(c, "AWS_ENDPOINT_URL", NULL, ret_name);
	if (ret_url->n)
		return LM_OK;
	*ret_name = "endpoint_url of the AWS profile's services section";
	lm_rc rc = find_in_services(c, service, ret_url, err);
	if (rc != LM_OK || ret_url->n)
		return rc;
	*ret_name = "endpoint_url of the AWS profile";
	*ret_url = shared_config_get(c, c->profile, "endpoint_url");
	return LM_OK;
}

static struct variant find_variant(const struct shared_config *c, enum aws_service service)
{
	struct lm_str s3 = shared_config_get_nested(c, c->profile, "s3", "use_dualstack_endpoint");
	struct variant v = {
		.fips = shared_config_flag(c, USE_FIPS, "use_fips_endpoint"),
		.dual_stack = shared_config_flag(c, USE_DUALSTACK, "use_dualstack_endpoint"),
	};

	if (service == AWS_S3 && lm_str_eq_nocase(s3, LM_STR("true")))
		v.dual_stack = true;
	return v;
}

/// Whether the dual-stack hosts of a service have the usual domain, not one of their own. (AWS
/// Secrets Manager User Guide: "Control API access with IAM policies"; botocore, of 2025 on.)
static bool has_one_domain(enum aws_service service, const struct aws_partition *p)
{
	static const char *const partitions[] = {"aws", "aws-cn", "aws-us-gov"};

	for (size_t i = 0; i < LM_ARRAY_SIZE(partitions) && service == AWS_SECRETS_MANAGER; i++) {
		if (strcmp(p->name, partitions[i]) == 0)
			return true;
	}
	return service == AWS_S3;
}

static lm_rc resolve_usual(enum aws_service service, const char *region, struct variant v,
	struct aws_endpoint *ret, struct lm_err *err)
{
	const struct aws_partition *p = endpoint_partition_of(lm_str(region));
	const struct service_hosts *hosts = &services[service].hosts;
	const char *gov_fips = services[service].gov_fips;
	const char *host = hosts->usual;
	bool other_domain = v.dual_stack && !has_one_domain(service, p);

	if (v.fips && service == AWS_S3 && strcmp(p->name, "aws-cn") == 0)
		return lm_fail(err, LM_E_INVALID, 0,
			USE_FIPS " is true, but S3 has no FIPS endpoints in %s; unset it", region);
	if (v.fips && v.dual_stack)
		host = hosts->fips_dual_stack;
	else if (v.fips)
		host = gov_fips && strcmp(p->name, "aws-us-gov") == 0 ? gov_fips : hosts->fips;
	else if (v.dual_stack)
		host = hosts->dual_stack;
	*ret = (struct aws_endpoint){
		.origin =
			lm_xasprintf("https://%s.%s.%s%s", host, region, other_domain ? "api" : "",
				other_domain ? p->dual_stack_suffix + 2 : p->suffix),
		.base_path = lm_xstrdup(""),
	};
	return LM_OK;
}

lm_rc endpoint_resolve(
	enum aws_service service, const char *region, struct aws_endpoint *ret, struct lm_err *err)
{
	lm_auto_shared_config struct shared_config c = {0};
	const char *name = NULL;
	struct lm_str url;

	if (!endpoint_is_region(lm_str(region)))
		return lm_fail(err, LM_E_INVALID, 0,
			"'%.40s' cannot be an AWS region (like eu-west-1); set 'region' in the "
			"host file or AWS_REGION",
			region);
	lm_rc rc = shared_config_load(&c, err);
	if (rc == LM_OK)
		rc = find_override(&c, &services[service], &url, &name, err);
	if (rc != LM_OK)
		return rc;
	if (url.n) // whatever kind of host is wanted: it is for the services that have no name
		return parse_override(name, url, ret, err);
	return resolve_usual(service, region, find_variant(&c, service), ret, err);
}

void endpoint_finish(struct aws_endpoint *e)
{
	free(e->origin);
	free(e->base_path);
	*e = (struct aws_endpoint){0};
}
