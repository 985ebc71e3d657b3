// SPDX-License-Identifier: Apache-2.0
/// Resolves endpoints for tests/e2e/aws_settings_test.py: takes a list of services, regions
/// and environments (and buckets and keys) as JSON on stdin, prints what came of each as JSON.
#include "aws/endpoint.h"
#include "aws/s3.h"
#include "http/https.h"
#include "sys/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool find_service(const char *name, enum aws_service *ret)
{
	static const char *const names[] = {
		[AWS_S3] = "s3",
		[AWS_SECRETS_MANAGER] = "secretsmanager",
		[AWS_ECR] = "ecr",
		[AWS_CLOUDWATCH_LOGS] = "logs",
		[AWS_STS] = "sts",
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++) {
		if (strcmp(names[i], name) == 0) {
			*ret = (enum aws_service)i;
			return true;
		}
	}
	return false;
}

static void set_variables(json_t *in)
{
	const char *name;
	json_t *value;

	json_object_foreach(json_object_get(in, "environment"), name, value)(void)
		setenv(name, json_string_value(value), 1);
}

static void unset_variables(json_t *in)
{
	const char *name;
	json_t *value;

	json_object_foreach(json_object_get(in, "environment"), name, value)(void) unsetenv(name);
}

static lm_rc resolve_object(
	const json_t *in, const char *region, struct aws_endpoint *ret, struct lm_err *err)
{
	const struct s3_request r = {
		.bucket = json_get_text(in, "bucket"), .key = json_get_text(in, "key")};
	struct s3_location at = {0};
	lm_rc rc = s3_locate(&r, region, &at, err);

	if (rc == LM_OK) {
		ret->origin = at.origin;
		ret->base_path = at.path;
		free(at.bucket_path);
	}
	return rc;
}

static json_t *resolve(json_t *in)
{
	lm_auto_endpoint struct aws_endpoint e = {0};
	const char *region = json_get_text(in, "region");
	struct lm_err err = {0};
	enum aws_service service;

	if (!find_service(json_get_text(in, "service"), &service))
		exit(64);
	set_variables(in);
	lm_rc rc = json_get_text(in, "bucket") ? resolve_object(in, region, &e, &err)
					       : endpoint_resolve(service, region, &e, &err);
	unset_variables(in);
	struct lm_str host = https_origin_host(lm_str(e.origin ? e.origin : ""));
	return json_pack("{ss ss ss ss% ss}", "rc", rc == LM_OK ? "ok" : lm_rc_name(rc), "message",
		err.msg, "origin", e.origin ? e.origin : "", "host", host.p, host.n, "path",
		e.base_path ? e.base_path : "");
}

int main(void)
{
	json_error_t why;
	lm_auto_json json_t *in = json_loadf(stdin, 0, &why);
	lm_auto_json json_t *out = json_array();
	json_t *one;
	size_t i;

	json_array_foreach(in, i, one)(void) json_array_append_new(out, resolve(one));
	(void)json_dumpf(out, stdout, JSON_COMPACT);
	(void)putchar('\n');
	return 0;
}
