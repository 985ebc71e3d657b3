// SPDX-License-Identifier: Apache-2.0
#include "aws/endpoint.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static int without_variables(void **state)
{
	(void)state;
	(void)unsetenv("AWS_ENDPOINT_URL");
	(void)unsetenv("AWS_ENDPOINT_URL_S3");
	(void)unsetenv("AWS_ENDPOINT_URL_ECR");
	return 0;
}

static void assert_origin(enum aws_service service, const char *region, const char *expected)
{
	lm_auto_endpoint struct aws_endpoint e = {0};

	assert_int_equal(endpoint_resolve(service, region, &e, NULL), LM_OK);
	assert_string_equal(e.origin, expected);
}

static void names_the_host_of_each_service_and_partition(void **state)
{
	(void)state;
	assert_origin(AWS_S3, "eu-west-1", "https://s3.eu-west-1.amazonaws.com");
	assert_origin(AWS_S3, "us-east-1", "https://s3.us-east-1.amazonaws.com");
	assert_origin(AWS_S3, "cn-north-1", "https://s3.cn-north-1.amazonaws.com.cn");
	assert_origin(AWS_S3, "us-gov-west-1", "https://s3.us-gov-west-1.amazonaws.com");
	assert_origin(AWS_S3, "us-isob-east-1", "https://s3.us-isob-east-1.sc2s.sgov.gov");
	assert_origin(AWS_S3, "eusc-de-east-1", "https://s3.eusc-de-east-1.amazonaws.eu");
	assert_origin(AWS_ECR, "eu-west-1", "https://api.ecr.eu-west-1.amazonaws.com");
	assert_origin(
		AWS_SECRETS_MANAGER, "eu-west-1", "https://secretsmanager.eu-west-1.amazonaws.com");
	assert_origin(AWS_CLOUDWATCH_LOGS, "eu-west-1", "https://logs.eu-west-1.amazonaws.com");
	assert_string_equal(endpoint_partition("cn-north-1"), "aws-cn");
	assert_string_equal(endpoint_partition("us-gov-west-1"), "aws-us-gov");
	assert_string_equal(endpoint_partition("us-iso-west-1"), "aws-iso");
	assert_string_equal(endpoint_partition("us-isob-east-1"), "aws-iso-b");
	assert_string_equal(endpoint_partition("eu-west-1"), "aws");
	assert_string_equal(endpoint_partition("xx-new-1"), "aws");
}

static void prefers_the_variable_of_the_service(void **state)
{
	lm_auto_endpoint struct aws_endpoint e = {0};

	(void)state;
	(void)setenv("AWS_ENDPOINT_URL", "https://all.example", 1);
	(void)setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9000/base/", 1);
	assert_origin(AWS_ECR, "eu-west-1", "https://all.example");
	assert_int_equal(endpoint_resolve(AWS_S3, "eu-west-1", &e, NULL), LM_OK);
	assert_string_equal(e.origin, "http://127.0.0.1:9000");
	assert_string_equal(e.base_path, "/base");
	assert_true(e.overridden);
	assert_true(e.plain_http);
}

static void ignores_an_empty_variable(void **state)
{
	(void)state;
	(void)setenv("AWS_ENDPOINT_URL", "", 1);
	(void)setenv("AWS_ENDPOINT_URL_S3", "", 1);
	assert_origin(AWS_S3, "eu-west-1", "https://s3.eu-west-1.amazonaws.com");
}

static void refuses_what_is_no_address_and_names_the_variable(void **state)
{
	static const char *const wrong[] = {"s3.example", "ftp://x", "https://", "https:///x",
		"https://user:pass@host", "https://host?x=1", "https://host/#a", "https://ho st",
		"https://host\r\nX: y", "file:///etc/passwd"};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(wrong); i++) {
		struct aws_endpoint e;
		struct lm_err err = {0};

		(void)setenv("AWS_ENDPOINT_URL_S3", wrong[i], 1);
		assert_int_equal(endpoint_resolve(AWS_S3, "eu-west-1", &e, &err), LM_E_INVALID);
		assert_ptr_equal(strstr(err.msg, "AWS_ENDPOINT_URL_S3 "), err.msg);
		assert_null(strstr(err.msg, "pass"));
	}
}

static void refuses_what_is_no_region(void **state)
{
	static const char *const wrong[] = {"", "EU-WEST-1", "a.b", "evil.com/", "-a", "a-", "a b",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(wrong); i++) {
		struct aws_endpoint e;

		assert_int_equal(endpoint_resolve(AWS_S3, wrong[i], &e, NULL), LM_E_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(
			names_the_host_of_each_service_and_partition, without_variables),
		cmocka_unit_test_setup(prefers_the_variable_of_the_service, without_variables),
		cmocka_unit_test_setup(ignores_an_empty_variable, without_variables),
		cmocka_unit_test_setup(
			refuses_what_is_no_address_and_names_the_variable, without_variables),
		cmocka_unit_test_setup(refuses_what_is_no_region, without_variables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
