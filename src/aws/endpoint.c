// SPDX-License-Identifier: Apache-2.0
#include "aws/endpoint.h"

#include "aws/web_address.h"
#include "base/memory.h"

#include <stdlib.h>

static const struct {
	const char *host;     ///< Before ".<region>.<suffix>".
	const char *variable; ///< Behind "AWS_ENDPOINT_URL_".
} services[] = {
	[AWS_S3] = {"s3", "AWS_ENDPOINT_URL_S3"},
	[AWS_SECRETS_MANAGER] = {"secretsmanager", "AWS_ENDPOINT_URL_SECRETS_MANAGER"},
	[AWS_ECR] = {"api.ecr", "AWS_ENDPOINT_URL_ECR"},
	[AWS_CLOUDWATCH_LOGS] = {"logs", "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"},
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

static lm_rc refuse(const char *variable, const char *why, struct lm_err *err)
{
	return lm_fail(err, LM_E_INVALID, 0,
		"%s %s; give it as https://host, https://host:port or https://host/path", variable,
		why);
}

static lm_rc parse_override(
	const char *variable, struct lm_str url, struct aws_endpoint *ret, struct lm_err *err)
{
	lm_auto_web_address struct web_address a = {0};
	const char *why = NULL;

	if (!web_address_parse(url, &a, &why))
		return refuse(variable, why, err);
	struct lm_str path = a.rest;
	if (lm_str_find(path, '?') < path.n || lm_str_find(path, '#') < path.n)
		return refuse(variable, "has something behind its path", err);
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

lm_rc endpoint_resolve(
	enum aws_service service, const char *region, struct aws_endpoint *ret, struct lm_err *err)
{
	const char *variable = services[service].variable;
	const char *url = getenv(variable);

	if (!endpoint_is_region(lm_str(region)))
		return lm_fail(err, LM_E_INVALID, 0,
			"'%.40s' cannot be an AWS region (like eu-west-1); set 'region' in the "
			"host "
			"file or AWS_REGION",
			region);
	if (!url || !*url) {
		variable = "AWS_ENDPOINT_URL";
		url = getenv(variable);
	}
	if (url && *url)
		return parse_override(variable, lm_str(url), ret, err);
	*ret = (struct aws_endpoint){
		.origin = lm_xasprintf("https://%s.%s.%s", services[service].host, region,
			endpoint_partition_of(lm_str(region))->suffix),
		.base_path = lm_xstrdup(""),
	};
	return LM_OK;
}

void endpoint_finish(struct aws_endpoint *e)
{
	free(e->origin);
	free(e->base_path);
	*e = (struct aws_endpoint){0};
}
