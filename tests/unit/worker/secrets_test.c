// SPDX-License-Identifier: Apache-2.0
#include "worker/secrets.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>

#define ARN(name) "arn:aws:secretsmanager:eu-west-1:1:secret:" name "-AbC123"
#define VALUE(user)                                                                                \
	"{\"username\":\"" user "\",\"password\":\"pw-" user "\",\"registryUrl\":\"r:5000\"}"

static char root[] = "/tmp/secrets_test.XXXXXX";
static char arn_one[] = ARN("one"), arn_two[] = ARN("two");
static char *const arns[] = {arn_one, arn_two};

static void write_secret(const char *name, struct lm_str text, mode_t mode)
{
	lm_auto_free char *path = lm_xasprintf("%s/%s.json", root, name);
	struct lm_err err;
	assert_int_equal(lm_file_replace(AT_FDCWD, path, text, mode, &err), LM_OK);
}

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(root));
	write_secret("one", LM_STR(VALUE("alice")), 0600);
	write_secret("two", LM_STR(VALUE("bob")), 0600);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	struct lm_err err;
	assert_int_equal(lm_tree_remove(AT_FDCWD, root, &err), LM_OK);
	memcpy(root + sizeof(root) - 7, "XXXXXX", 6);
	return 0;
}

static lm_rc get(size_t n, struct registry_list *ret, struct lm_err *err)
{
	struct secrets_source source = {.directory = root};
	return secrets_get(&source, arns, n, ret, err);
}

static void gets_every_secret_of_the_directory_in_order(void **state)
{
	(void)state;
	lm_auto_registry_list struct registry_list secrets = {0};
	struct lm_err err = {LM_OK};
	assert_int_equal(get(2, &secrets, &err), LM_OK);
	assert_int_equal(secrets.n, 2);
	assert_string_equal(secrets.items[0].username, "alice");
	assert_string_equal(secrets.items[1].username, "bob");
	assert_string_equal(secrets.items[1].password.data, "pw-bob");
	assert_string_equal(secrets.items[1].registry, "r:5000");
}

static void one_that_fails_is_named_without_its_content(void **state)
{
	(void)state;
	struct registry_list secrets = {0};
	struct lm_err err = {LM_OK};
	write_secret("two", LM_STR("{\"password\":\"pw-bob\"}"), 0600);
	assert_int_equal(get(2, &secrets, &err), LM_E_INVALID);
	assert_non_null(strstr(err.msg, ARN("two")));
	assert_null(strstr(err.msg, "pw-bob"));
	assert_null(secrets.items);
}

static void says_how_many_fail(void **state)
{
	(void)state;
	struct registry_list secrets = {0};
	struct lm_err err = {LM_OK};
	write_secret("one", LM_STR("{}"), 0600);
	write_secret("two", LM_STR("[]"), 0600);
	assert_int_equal(get(2, &secrets, &err), LM_E_INVALID);
	assert_true(lm_str_starts(lm_str(err.msg),
		LM_STR("2 secrets cannot be read (all are in the log); the first: ")));
	assert_non_null(strstr(err.msg, ARN("one")));
	assert_null(strstr(err.msg, ARN("two")));
	assert_null(secrets.items);
}

static void note_line(void *ctx, enum lm_level level, struct lm_str line)
{
	(void)level;
	(void)lm_buf_add_str(ctx, line);
}

static void warns_of_a_file_that_everybody_can_read(void **state)
{
	(void)state;
	lm_auto_registry_list struct registry_list secrets = {0};
	lm_auto_buf struct lm_buf lines = LM_BUF(5000);
	struct lm_err err = {LM_OK};
	write_secret("one", LM_STR(VALUE("alice")), 0644);
	lm_log_set_sink(note_line, &lines);
	assert_int_equal(get(2, &secrets, &err), LM_OK);
	lm_log_set_sink(NULL, NULL);
	assert_non_null(strstr(lm_buf_cstr(&lines), "is world-readable"));
	assert_non_null(strstr(lm_buf_cstr(&lines), ARN("one")));
	assert_null(strstr(lm_buf_cstr(&lines), ARN("two")));
}

static void without_secrets_no_store_is_needed(void **state)
{
	(void)state;
	lm_auto_registry_list struct registry_list secrets = {0};
	struct secrets_source source = {0};
	struct lm_err err = {LM_OK};
	assert_int_equal(secrets_get(&source, NULL, 0, &secrets, &err), LM_OK);
	assert_int_equal(secrets.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			gets_every_secret_of_the_directory_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			one_that_fails_is_named_without_its_content, set_up, tear_down),
		cmocka_unit_test_setup_teardown(says_how_many_fail, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			warns_of_a_file_that_everybody_can_read, set_up, tear_down),
		cmocka_unit_test(without_secrets_no_store_is_needed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
