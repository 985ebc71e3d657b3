// SPDX-License-Identifier: Apache-2.0
#include "aws/credentials_provider.h"

#include "base/memory.h"
#include "credentials_fixture.h"
#include "sys/wait.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <string.h>
#include <unistd.h>

/// An answer with credentials that end so long after the server's clock of 08:00:00.
#define ANSWER(id, expiration)                                                                     \
	"HTTP/1.0 200 OK\r\nDate: Thu, 18 Jan 2018 08:00:00 GMT\r\n\r\n{\"AccessKeyId\":\"" id     \
	"\",\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":\"2018-01-18T" expiration     \
	"Z\"}"
#define FAILURE "HTTP/1.0 400 Bad Request\r\n\r\n{\"message\":\"not now\"}"

struct kit {
	struct loopback *server;
	struct credentials_settings settings;
	struct credentials_provider *provider;
};

static void start(struct kit *k, const struct loopback_answer *answers, unsigned n)
{
	k->server = loopback_start(answers, n);
	k->settings = fixture_settings();
	fixture_set("AWS_CONTAINER_CREDENTIALS_FULL_URI", loopback_origin(k->server));
	assert_int_equal(
		credentials_provider_create(&k->settings, &WAIT_FOREVER, &k->provider, NULL),
		LM_OK);
}

static void finish(struct kit *k)
{
	credentials_provider_destroy(k->provider);
	loopback_destroy(k->server);
}

static unsigned assert_gets(struct kit *k, const char *id)
{
	const struct aws_credentials *c = NULL;
	struct lm_err err = {0};

	if (credentials_get(k->provider, &c, &err) != LM_OK)
		fail_msg("%s", err.msg);
	assert_string_equal(c->access_key_id, id);
	return c->serial;
}

static void assert_fails(struct kit *k, const char *part)
{
	const struct aws_credentials *c = NULL;
	struct lm_err err = {0};

	assert_int_equal(credentials_get(k->provider, &c, &err), LM_E_REFUSED);
	assert_non_null(strstr(err.msg, part));
	assert_null(c);
}

static void assert_count(struct kit *k, unsigned n)
{
	loopback_stop(k->server);
	assert_int_equal(loopback_count(k->server), n);
}

static void loads_once_and_keeps_until_five_minutes_before_the_end(void **state)
{
	const struct loopback_answer answers[] = {{ANSWER("A", "08:06:00")}};
	lm_auto(finish) struct kit k;

	(void)state;
	start(&k, answers, 1);
	assert_int_equal(assert_gets(&k, "A"), 1);
	assert_int_equal(assert_gets(&k, "A"), 1);
	assert_count(&k, 1);
}

static void renews_those_that_end_within_five_minutes(void **state)
{
	const struct loopback_answer answers[] = {
		{ANSWER("A", "08:04:59")}, {ANSWER("B", "09:00:00")}};
	lm_auto(finish) struct kit k;

	(void)state;
	start(&k, answers, 2);
	assert_int_equal(assert_gets(&k, "A"), 1);
	assert_int_equal(assert_gets(&k, "B"), 2);
	assert_int_equal(assert_gets(&k, "B"), 2);
	assert_count(&k, 2);
}

static void uses_valid_ones_that_cannot_be_renewed_and_says_so_once(void **state)
{
	const struct loopback_answer answers[] = {{ANSWER("A", "08:04:00")}, {FAILURE}};
	struct lm_err warning = {0};
	lm_auto(finish) struct kit k;

	(void)state;
	start(&k, answers, 2);
	(void)assert_gets(&k, "A");
	assert_false(credentials_take_warning(k.provider, &warning));
	assert_int_equal(assert_gets(&k, "A"), 1);
	assert_int_equal(assert_gets(&k, "A"), 1); // without asking again at once
	assert_count(&k, 2);
	assert_true(credentials_take_warning(k.provider, &warning));
	assert_non_null(strstr(warning.msg, "HTTP 400: not now"));
	assert_false(credentials_take_warning(k.provider, &warning));
}

static void fails_if_those_that_are_over_cannot_be_renewed(void **state)
{
	const struct loopback_answer answers[] = {{ANSWER("A", "08:00:00")}, {FAILURE}};
	lm_auto(finish) struct kit k;

	(void)state;
	start(&k, answers, 2);
	(void)assert_gets(&k, "A");
	assert_fails(&k, "not now");
}

static void loads_others_when_a_service_says_that_they_are_over(void **state)
{
	const struct loopback_answer answers[] = {
		{ANSWER("A", "10:00:00")}, {ANSWER("B", "10:00:00")}};
	lm_auto(finish) struct kit k;

	(void)state;
	start(&k, answers, 2);
	unsigned serial = assert_gets(&k, "A");
	assert_true(credentials_expire(k.provider, serial));
	(void)assert_gets(&k, "B");
	assert_true(credentials_expire(k.provider, serial)); // another request's, signed with A
	(void)assert_gets(&k, "B");
	assert_count(&k, 2);
}

static void never_returns_those_that_a_service_says_are_over(void **state)
{
	const struct loopback_answer answers[] = {{ANSWER("A", "10:00:00")}, {FAILURE}};
	lm_auto(finish) struct kit k;

	(void)state;
	start(&k, answers, 2);
	assert_true(credentials_expire(k.provider, assert_gets(&k, "A")));
	assert_fails(&k, "not now");
	assert_fails(&k, "not now");
}

static void keeps_lasting_ones(void **state)
{
	lm_auto(finish) struct kit k = {.settings = fixture_settings()};

	(void)state;
	fixture_set("AWS_ACCESS_KEY_ID", "A");
	fixture_set("AWS_SECRET_ACCESS_KEY", "s");
	assert_int_equal(
		credentials_provider_create(&k.settings, &WAIT_FOREVER, &k.provider, NULL), LM_OK);
	(void)assert_gets(&k, "A");
	fixture_set("AWS_ACCESS_KEY_ID", "B");
	(void)assert_gets(&k, "A");
}

static void gives_what_it_is_made_of_and_nothing_else(void **state)
{
	struct aws_credentials given = {.access_key_id = lm_xstrdup("A"), .source = "a test"};
	lm_auto(finish) struct kit k = {.provider = credentials_provider_of(&given)};

	(void)state;
	assert_null(given.access_key_id);
	assert_false(credentials_expire(k.provider, assert_gets(&k, "A")));
	(void)assert_gets(&k, "A");
}

static void ends_when_it_is_told_to_stop(void **state)
{
	const struct loopback_answer answers[] = {{ANSWER("A", "08:04:00"), .hold = true}};
	const struct aws_credentials *c = NULL;
	lm_auto(finish) struct kit k;
	int stop[2];

	(void)state;
	start(&k, answers, 1);
	credentials_provider_destroy(k.provider);
	assert_int_equal(pipe(stop), 0);
	(void)close(stop[1]);
	const struct wait_limit limit = {.cancel_fd = stop[0]};
	assert_int_equal(
		credentials_provider_create(&k.settings, &limit, &k.provider, NULL), LM_OK);
	assert_int_equal(credentials_get(k.provider, &c, NULL), LM_E_CANCELLED);
	(void)close(stop[0]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(loads_once_and_keeps_until_five_minutes_before_the_end),
		TEST(renews_those_that_end_within_five_minutes),
		TEST(uses_valid_ones_that_cannot_be_renewed_and_says_so_once),
		TEST(fails_if_those_that_are_over_cannot_be_renewed),
		TEST(loads_others_when_a_service_says_that_they_are_over),
		TEST(never_returns_those_that_a_service_says_are_over),
		TEST(keeps_lasting_ones),
		TEST(gives_what_it_is_made_of_and_nothing_else),
		TEST(ends_when_it_is_told_to_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
