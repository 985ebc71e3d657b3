// SPDX-License-Identifier: Apache-2.0
#include "exchange.h"
#include "aws/shared_config.h"

#include "base/clock.h"
#include "base/memory.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

void exchange_begin(
	struct exchange *x, const char *variable, const struct loopback_answer *answers, unsigned n)
{
	struct aws_credentials credentials = {
		.access_key_id = lm_xstrdup("AKIDEXAMPLE"), .source = "the environment"};

	lm_secret_set(&credentials.secret, LM_STR("hunter2"));
	*x = (struct exchange){
		.server = loopback_start(answers, n),
		.credentials = credentials_provider_of(&credentials),
		.limits = {.attempts = 2, .backoff_base_ms = 1, .backoff_max_ms = 2},
	};
	(void)setenv(variable, loopback_origin(x->server), 1);
	assert_int_equal(shared_config_https(&x->https, NULL), LM_OK);
}

void exchange_run(struct exchange *x)
{
	const struct wait_limit limit = {
		.deadline_ms = lm_clock_mono_ms() + 30000, .cancel_fd = -1};

	assert_int_equal(https_run(x->https, &limit, NULL), LM_OK);
	loopback_stop(x->server);
}

void exchange_finish(struct exchange *x)
{
	https_destroy(x->https);
	loopback_destroy(x->server);
	credentials_provider_destroy(x->credentials);
}

void exchange_assert_asked(const struct exchange *x, unsigned i, const char *what)
{
	const char *request = loopback_request(x->server, i);

	if (!strstr(request, what))
		fail_msg("request %u has no '%s': %s", i, what, request);
}

void exchange_assert_says(const struct lm_err *err, const char *what)
{
	if (!strstr(err->msg, what))
		fail_msg("the message has no '%s': %s", what, err->msg);
	assert_null(strstr(err->msg, "hunter2"));
}
