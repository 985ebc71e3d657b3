// SPDX-License-Identifier: Apache-2.0
#include "aws/shared_config.h"
#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void finds_the_authorities_of_aws_ca_bundle(void **state)
{
	lm_auto_free char *bundle = NULL;

	(void)state;
	(void)setenv("AWS_CA_BUNDLE", "/dev/null", 1);
	assert_int_equal(shared_config_find_ca_bundle(&bundle, NULL), LM_OK);
	(void)unsetenv("AWS_CA_BUNDLE");
	assert_string_equal(bundle, "/dev/null");
}

static void without_a_setting_there_are_none(void **state)
{
	lm_auto_free char *bundle = NULL;

	(void)state;
	assert_int_equal(shared_config_find_ca_bundle(&bundle, NULL), LM_OK);
	assert_null(bundle);
}

static void names_a_ca_bundle_that_cannot_be_read(void **state)
{
	struct https *h = NULL;
	struct lm_err err = {0};

	(void)state;
	(void)setenv("AWS_CA_BUNDLE", "/nonexistent/ca.pem", 1);
	assert_int_equal(shared_config_https(&h, &err), LM_E_INVALID);
	(void)unsetenv("AWS_CA_BUNDLE");
	assert_null(h);
	assert_string_equal(
		err.msg, "AWS_CA_BUNDLE names '/nonexistent/ca.pem': No such file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_authorities_of_aws_ca_bundle),
		cmocka_unit_test(without_a_setting_there_are_none),
		cmocka_unit_test(names_a_ca_bundle_that_cannot_be_read),
	};

	(void)setenv("HOME", "/nonexistent", 1);
	(void)unsetenv("AWS_CONFIG_FILE");
	(void)unsetenv("AWS_SHARED_CREDENTIALS_FILE");
	(void)unsetenv("AWS_CA_BUNDLE");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
