// SPDX-License-Identifier: Apache-2.0
#include "aws/secret_directory.h"

#include "base/file.h"
#include "base/memory.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ARN "arn:aws:secretsmanager:eu-west-1:123456789012:secret:"
#define VALUE "{\"username\":\"u\",\"password\":\"hunter2\",\"registryUrl\":\"r\"}"

static char root[] = "/tmp/secret_directory_test.XXXXXX";

static void write_file(const char *name, const char *text, mode_t mode)
{
	lm_auto_free char *path = lm_xasprintf("%s/%s", root, name);
	lm_auto_fclose FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(chmod(path, mode), 0);
}

static int set_up(void **state)
{
	lm_auto_free char *folder = NULL;
	lm_auto_free char *link = NULL;

	(void)state;
	assert_non_null(mkdtemp(root));
	folder = lm_xasprintf("%s/team", root);
	link = lm_xasprintf("%s/link.json", root);
	assert_int_equal(mkdir(folder, 0700), 0);
	write_file("greengrass-hub.json", VALUE, 0600);
	write_file("team/hub.json", VALUE, 0600);
	write_file("open.json", VALUE, 0644);
	write_file("broken.json", "{\"password\":hunter2}", 0600);
	assert_int_equal(symlink("greengrass-hub.json", link), 0);
	return 0;
}

static int tear_down(void **state)
{
	struct lm_err err;

	(void)state;
	return lm_tree_remove(AT_FDCWD, root, &err) == LM_OK ? 0 : -1;
}

static void finds_a_secret_by_its_arn(void **state)
{
	static const char *const arns[] = {ARN "greengrass-hub-a1B2c3", ARN "team/hub-a1B2c3",
		"arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:greengrass-hub-XXXXXX"};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(arns); i++) {
		lm_auto_secret_value struct secret_value v = {0};
		bool exposed = true;

		assert_int_equal(secret_directory_get(root, arns[i], &v, &exposed, NULL), LM_OK);
		assert_string_equal(v.password.data, "hunter2");
		assert_false(exposed);
	}
}

static void tells_that_every_user_can_read_it(void **state)
{
	lm_auto_secret_value struct secret_value v = {0};
	bool exposed = false;

	(void)state;
	assert_int_equal(secret_directory_get(root, ARN "open-a1B2c3", &v, &exposed, NULL), LM_OK);
	assert_true(exposed);
}

static void names_the_arn_and_the_file_that_is_missing(void **state)
{
	struct secret_value v;
	struct lm_err err = {0};
	lm_auto_free char *expected =
		lm_xasprintf("secret '" ARN "none-a1B2c3': there is no file '%s/none.json'", root);

	(void)state;
	assert_int_equal(
		secret_directory_get(root, ARN "none-a1B2c3", &v, NULL, &err), LM_E_NOT_FOUND);
	assert_string_equal(err.msg, expected);
}

static void never_leaves_its_directory(void **state)
{
	static const char *const arns[] = {ARN "../x-a1B2c3", ARN "/etc/x-a1B2c3",
		ARN "team//hub-a1B2c3", ARN "team/../greengrass-hub-a1B2c3"};
	struct secret_value v;

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(arns); i++)
		assert_int_equal(secret_directory_get(root, arns[i], &v, NULL, NULL), LM_E_INVALID);
	assert_int_equal(
		secret_directory_get(root, ARN "link-a1B2c3", &v, NULL, NULL), LM_E_DENIED);
}

static void refuses_what_is_no_arn_of_a_secret(void **state)
{
	static const char *const arns[] = {"", "greengrass-hub", "arn:aws:s3:::apps/greengrass-hub",
		"arn:aws:secretsmanager:eu-west-1:1:parameter:greengrass-hub-a1B2c3", ARN};
	struct secret_value v;

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(arns); i++)
		assert_int_equal(secret_directory_get(root, arns[i], &v, NULL, NULL), LM_E_INVALID);
}

static void shows_no_content_of_a_broken_value(void **state)
{
	struct secret_value v;
	struct lm_err err = {0};

	(void)state;
	assert_int_equal(
		secret_directory_get(root, ARN "broken-a1B2c3", &v, NULL, &err), LM_E_INVALID);
	assert_non_null(strstr(err.msg, ARN "broken-a1B2c3"));
	assert_null(strstr(err.msg, "hunter2"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_a_secret_by_its_arn),
		cmocka_unit_test(tells_that_every_user_can_read_it),
		cmocka_unit_test(names_the_arn_and_the_file_that_is_missing),
		cmocka_unit_test(never_leaves_its_directory),
		cmocka_unit_test(refuses_what_is_no_arn_of_a_secret),
		cmocka_unit_test(shows_no_content_of_a_broken_value),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
