// SPDX-License-Identifier: Apache-2.0
#include "aws/ecr.h"

#include "base/memory.h"
#include "exchange.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void recognises_registries_of_every_partition(void **state)
{
	static const struct {
		const char *host, *region;
	} hosts[] = {
		{"123456789012.dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1"},
		{"123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", "us-east-1"},
		{"123456789012.dkr.ecr.us-gov-west-1.amazonaws.com", "us-gov-west-1"},
		{"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"},
		{"123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"},
		{"123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"},
		{"123456789012.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1"},
		{"123456789012.dkr.ecr.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1"},
		{"123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"},
		{"123456789012.dkr-ecr.eu-west-1.on.aws", "eu-west-1"},
		{"123456789012.dkr-ecr-fips.us-east-2.on.aws", "us-east-2"},
		{"123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", "cn-north-1"},
		{"123456789012.DKR.ecr.EU-west-1.amazonaws.COM:443", "eu-west-1"},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(hosts); i++) {
		struct ecr_registry r = {0};

		assert_true(ecr_registry_parse(lm_str(hosts[i].host), &r));
		assert_string_equal(r.account, "123456789012");
		assert_string_equal(r.region, hosts[i].region);
	}
}

static void leaves_other_hosts_alone(void **state)
{
	static const char *const hosts[] = {"", ".", "docker.io", "public.ecr.aws",
		"dkr.ecr.eu-west-1.amazonaws.com", "12345678901.dkr.ecr.eu-west-1.amazonaws.com",
		"1234567890123.dkr.ecr.eu-west-1.amazonaws.com",
		"12345678901a.dkr.ecr.eu-west-1.amazonaws.com",
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com.example.org",
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com.cn",
		"123456789012.dkr.ecr.cn-north-1.amazonaws.com",
		"123456789012.dkr.ecr.eu-west-1.on.aws",
		"123456789012.dkr-ecr.eu-west-1.amazonaws.com",
		"123456789012.dkr.ecr..amazonaws.com", "123456789012.dkr.ecr.amazonaws.com",
		"123456789012.dkr.ecr.eu_west_1.amazonaws.com",
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com:5000",
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com.",
		"123456789012.dkr.ecrx.eu-west-1.amazonaws.com",
		"x.123456789012.dkr.ecr.eu-west-1.amazonaws.com",
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com/image"};
	lm_auto_free char *endless =
		lm_xasprintf("123456789012.dkr.ecr.%0*d.amazonaws.com", 5000, 1);
	struct ecr_registry r = {.region = "untouched"};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(hosts); i++) {
		if (ecr_registry_parse(lm_str(hosts[i]), &r))
			fail_msg("'%s' is taken for a registry of ECR", hosts[i]);
	}
	assert_false(ecr_registry_parse(lm_str(endless), &r));
	assert_string_equal(r.region, "untouched");
}

static void finds_registries_anywhere_in_a_text(void **state)
{
	struct lm_str rest =
		LM_STR("# 1123456789012.dkr.ecr.eu-west-1.amazonaws.com has a digit too many\n"
		       "image: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1\n"
		       "x: \"${R:-210987654321.dkr.ecr-fips.us-east-1.amazonaws.com}/b\"\n"
		       "y: 123456789012\nz: 123456789012.dkr.ecr.${REGION}.amazonaws.com\n"
		       "# see 111111111111.DKR.ECR.eu-west-1.amazonaws.com.\n"
		       "210987654321.dkr-ecr.eu-west-1.on.aws");
	static const char *const hosts[] = {"123456789012.dkr.ecr.eu-west-1.amazonaws.com",
		"210987654321.dkr.ecr-fips.us-east-1.amazonaws.com",
		"111111111111.DKR.ECR.eu-west-1.amazonaws.com",
		"210987654321.dkr-ecr.eu-west-1.on.aws"};
	struct ecr_registry r;
	struct lm_str host;

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(hosts); i++) {
		assert_true(ecr_registry_scan(&rest, &host, &r));
		assert_true(lm_str_eq(host, lm_str(hosts[i])));
		assert_memory_equal(r.account, hosts[i], 12);
	}
	assert_false(ecr_registry_scan(&rest, &host, &r));
	assert_int_equal(rest.n, 0);
	assert_false(ecr_registry_scan(&rest, &host, &r));
}

static void splits_a_token_at_its_first_colon(void **state)
{
	lm_auto_free char *username = NULL;
	lm_auto_secret struct lm_secret password = {0};

	(void)state;
	assert_true(ecr_token_parse(LM_STR("QVdTOnA6dw=="), &username, &password)); // AWS:p:w
	assert_string_equal(username, "AWS");
	assert_string_equal(password.data, "p:w");
}

static void refuses_what_is_no_token(void **state)
{
	static const char *const tokens[] = {"", "!", "QVdT" /* AWS */, "QVdTOg==" /* AWS: */,
		"OnB3" /* :pw */, "QVdTOnAKdw==" /* AWS:p\nw */};
	char *username = NULL;
	struct lm_secret password = {0};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(tokens); i++)
		assert_false(ecr_token_parse(lm_str(tokens[i]), &username, &password));
	assert_null(username);
	assert_null(password.data);
}

static struct ecr_result run(struct exchange *x, const struct loopback_answer *answers)
{
	struct ecr_result r;

	exchange_begin(x, "AWS_ENDPOINT_URL_ECR", answers, 1);
	const struct ecr_request request = {
		.registry = {"123456789012", "eu-west-1"},
		.limits = x->limits,
	};

	ecr_start_token(x->https, &request, x->credentials, &r);
	exchange_run(x);
	return r;
}

static void assert_fails(const char *answer, lm_rc rc, const char *says)
{
	lm_auto_ecr_result struct ecr_result r = {0};
	const struct loopback_answer answers[] = {{answer}};
	struct exchange x;

	r = run(&x, answers);
	assert_int_equal(r.rc, rc);
	exchange_assert_says(&r.err, says);
	exchange_assert_says(&r.err, "ECR registry 123456789012 in eu-west-1");
	exchange_finish(&x);
}

#define DATA(json) ANSWER("200 OK", "", "{\"authorizationData\":[" json "]}")

static void gets_name_password_and_expiry(void **state)
{
	lm_auto_ecr_result struct ecr_result r = {0};
	const struct loopback_answer answers[] = {
		{DATA("{\"authorizationToken\":\"QVdTOnA6dw==\",\"expiresAt\":1.7000432005E9,"
		      "\"proxyEndpoint\":\"https://x\"}")}};
	struct exchange x;

	(void)state;
	r = run(&x, answers);
	assert_int_equal(r.rc, LM_OK);
	assert_string_equal(r.username, "AWS");
	assert_string_equal(r.password.data, "p:w");
	assert_int_equal(r.expires_ms, 1700043200500);
	exchange_assert_asked(&x, 0,
		"X-Amz-Target: AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken\r\n");
	exchange_assert_asked(&x, 0, "/eu-west-1/ecr/aws4_request");
	exchange_assert_asked(&x, 0, "{\"registryIds\":[\"123456789012\"]}");
	exchange_finish(&x);
}

static void does_not_make_up_an_expiry(void **state)
{
	lm_auto_ecr_result struct ecr_result r = {0};
	const struct loopback_answer answers[] = {
		{DATA("{\"authorizationToken\":\"QVdTOnA6dw==\",\"expiresAt\":1e300}")}};
	struct exchange x;

	(void)state;
	r = run(&x, answers);
	assert_int_equal(r.rc, LM_OK);
	assert_int_equal(r.expires_ms, 0);
	exchange_finish(&x);
}

static void says_what_is_wrong(void **state)
{
	(void)state;
	assert_fails(ERROR_ANSWER("400 Bad Request", "AccessDeniedException", "no"), LM_E_DENIED,
		"the role needs ecr:GetAuthorizationToken on *");
	assert_fails(DATA(""), LM_E_PROTOCOL, "has no token in it");
	assert_fails(DATA("{\"authorizationToken\":1}"), LM_E_PROTOCOL, "has no token in it");
	assert_fails(DATA("{\"authorizationToken\":\"hunter2\"}"), LM_E_PROTOCOL, "is not base64");
	assert_fails(ERROR_ANSWER("500 Oops", "ServerException", "sorry"), LM_E_REFUSED,
		"ServerException, sorry");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recognises_registries_of_every_partition),
		cmocka_unit_test(leaves_other_hosts_alone),
		cmocka_unit_test(finds_registries_anywhere_in_a_text),
		cmocka_unit_test(splits_a_token_at_its_first_colon),
		cmocka_unit_test(refuses_what_is_no_token),
		cmocka_unit_test(gets_name_password_and_expiry),
		cmocka_unit_test(does_not_make_up_an_expiry),
		cmocka_unit_test(says_what_is_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
