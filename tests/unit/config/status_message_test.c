// SPDX-License-Identifier: Apache-2.0
#include "config/status_message.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void success_has_the_five_keys_in_order(void **state)
{
	lm_auto_free char *text =
		status_message_success("myS3Bucket", "production-docker-compose.yml", "123");

	(void)state;
	assert_string_equal(text,
		"{\"status\":\"success\",\"GreengrassDockerApplicationDeploymentStatus\":"
		"\"Successfully "
		"triggered docker-compose up\",\"S3Bucket\":\"myS3Bucket\",\"ComposeFileName\":"
		"\"production-docker-compose.yml\",\"ComposeFileVersion\":\"123\"}");
}

static void an_unknown_version_is_null(void **state)
{
	lm_auto_free char *text = status_message_success("b", "k", NULL);

	(void)state;
	assert_string_equal(text,
		"{\"status\":\"success\",\"GreengrassDockerApplicationDeploymentStatus\":"
		"\"Successfully "
		"triggered docker-compose up\",\"S3Bucket\":\"b\",\"ComposeFileName\":\"k\","
		"\"ComposeFileVersion\":null}");
}

static void failure_has_the_three_keys_and_is_utf_8(void **state)
{
	lm_auto_free char *text = status_message_failure("InvalidParameter", "bad \xff");

	(void)state;
	assert_string_equal(text, "{\"status\":\"fail\",\"error_message\":\"bad "
				  "\\\\xff\",\"error\":\"InvalidParameter\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(success_has_the_five_keys_in_order),
		cmocka_unit_test(an_unknown_version_is_null),
		cmocka_unit_test(failure_has_the_three_keys_and_is_utf_8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
