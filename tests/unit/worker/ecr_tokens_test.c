// SPDX-License-Identifier: Apache-2.0
#include "worker/ecr_tokens.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MINUTE_MS = 60 * 1000, HOUR_MS = 60 * MINUTE_MS };

#define HOST(account, region) account ".dkr.ecr." region ".amazonaws.com"
#define MINE HOST("123456789012", "eu-west-1")

static void one_token_is_for_all_hosts_of_an_account_and_region(void **state)
{
	(void)state;
	lm_auto(ecr_tokens_finish) struct ecr_tokens t = {0};
	static const char *const hosts[] = {MINE, MINE ":443",
		"123456789012.DKR.ecr-fips.eu-west-1.amazonaws.com",
		"123456789012.dkr-ecr.eu-west-1.on.aws"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(hosts); i++)
		assert_int_equal(ecr_tokens_want(&t, lm_str(hosts[i]), NULL), LM_OK);
	assert_int_equal(t.n, 1);
	assert_int_equal(
		ecr_tokens_want(&t, LM_STR(HOST("123456789012", "eu-west-2")), NULL), LM_OK);
	assert_int_equal(
		ecr_tokens_want(&t, LM_STR(HOST("210987654321", "eu-west-1")), NULL), LM_OK);
	assert_int_equal(t.n, 3);
}

static void other_registries_want_none(void **state)
{
	(void)state;
	lm_auto(ecr_tokens_finish) struct ecr_tokens t = {0};
	struct lm_err err = {0};
	assert_int_equal(ecr_tokens_want(&t, LM_STR("docker.io"), NULL), LM_OK);
	assert_int_equal(t.n, 0);
	assert_false(ecr_tokens_has(&t, LM_STR("docker.io")));
	assert_false(ecr_tokens_is_due(&t, LM_STR("docker.io")));
	assert_int_equal(ecr_tokens_failure(&t, LM_STR("docker.io"), &err), LM_OK);
}

static void a_text_full_of_registries_is_no_fault_but_too_many_images_are(void **state)
{
	(void)state;
	lm_auto(ecr_tokens_finish) struct ecr_tokens t = {0};
	lm_auto_buf struct lm_buf text = LM_BUF(100000);
	struct lm_err err = {0};
	for (unsigned i = 0; i < 2 * LIMIT_ECR_REGISTRIES; i++)
		(void)lm_buf_printf(&text, "%012u.dkr.ecr.eu-west-1.amazonaws.com/a\n", i);
	ecr_tokens_scan(&t, lm_buf_str(&text));
	assert_int_equal(t.n, LIMIT_ECR_REGISTRIES);
	assert_int_equal(ecr_tokens_want(&t, LM_STR(MINE), &err), LM_E_INVALID);
	assert_non_null(strstr(err.msg, "more than 50 ECR registries"));
	assert_int_equal(
		ecr_tokens_want(&t, LM_STR(HOST("000000000007", "eu-west-1")), &err), LM_OK);
}

static void a_token_is_renewed_five_minutes_before_its_end(void **state)
{
	(void)state;
	assert_int_equal(ecr_tokens_renewal_ms(12 * (int64_t)HOUR_MS),
		12 * (int64_t)HOUR_MS - 5 * MINUTE_MS);
	// By our clock it is over: that clock may be wrong, and nobody is to be asked all the time.
	assert_int_equal(ecr_tokens_renewal_ms(0), MINUTE_MS);
	assert_int_equal(ecr_tokens_renewal_ms(-12 * (int64_t)HOUR_MS), MINUTE_MS);
	assert_int_equal(ecr_tokens_renewal_ms(5 * MINUTE_MS + 1), MINUTE_MS);
}

static void a_token_that_is_held_is_a_login(void **state)
{
	(void)state;
	lm_auto(ecr_tokens_finish) struct ecr_tokens t = {0};
	assert_int_equal(ecr_tokens_want(&t, LM_STR(MINE), NULL), LM_OK);
	assert_false(ecr_tokens_has(&t, LM_STR(MINE)));
	t.items[0]->held = true;
	t.items[0]->result.username = strdup("AWS");
	lm_secret_set(&t.items[0]->result.password, LM_STR("t0ken"));
	assert_true(ecr_tokens_has(&t, LM_STR(MINE)));
	assert_false(ecr_tokens_is_due(&t, LM_STR(MINE)));
	t.items[0]->renew_mono_ms = 1;
	assert_true(ecr_tokens_is_due(&t, LM_STR(MINE)));
	struct registry_credentials c = ecr_tokens_login(&t, LM_STR(MINE));
	assert_string_equal(c.registry, MINE);
	assert_string_equal(c.username, "AWS");
	assert_string_equal(c.password.data, "t0ken");
	registry_credentials_finish(&c);
}

static void a_setting_that_is_wrong_is_no_fault_of_the_definition(void **state)
{
	(void)state;
	lm_auto(ecr_tokens_finish) struct ecr_tokens t = {0};
	struct aws_session session = {0};
	struct lm_err err = {LM_OK};
	assert_int_equal(ecr_tokens_want(&t, LM_STR(MINE), NULL), LM_OK);
	t.items[0]->next.rc =
		lm_fail(&t.items[0]->next.err, LM_E_INVALID, 0, "AWS_ENDPOINT_URL is wrong");
	ecr_tokens_take(&t, &session);
	assert_int_equal(ecr_tokens_failure(&t, LM_STR(MINE), &err), LM_E_DENIED);
	assert_int_equal(err.rc, LM_E_DENIED);
	assert_string_equal(err.msg, "AWS_ENDPOINT_URL is wrong");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_token_is_for_all_hosts_of_an_account_and_region),
		cmocka_unit_test(other_registries_want_none),
		cmocka_unit_test(a_text_full_of_registries_is_no_fault_but_too_many_images_are),
		cmocka_unit_test(a_token_is_renewed_five_minutes_before_its_end),
		cmocka_unit_test(a_token_that_is_held_is_a_login),
		cmocka_unit_test(a_setting_that_is_wrong_is_no_fault_of_the_definition),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
