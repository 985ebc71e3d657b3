// SPDX-License-Identifier: Apache-2.0
/// Loads credentials for tests/e2e/role_credentials_test.py: takes settings as JSON in its argument
/// and the rest from the environment, prints what came of it as JSON. `gets`: how often it asks the
/// provider; `expire`: whether it says between that they are over. The credentials are the tests'
/// own, so they are printed, too.
#include "aws/credentials_provider.h"
#include "base/clock.h"
#include "sys/json.h"
#include "sys/wait.h"

#include <stdio.h>

static json_t *describe(lm_rc rc, const struct aws_credentials *c, const struct lm_err *err)
{
	if (rc != LM_OK)
		return json_pack("{ss ss}", "rc", lm_rc_name(rc), "message", err->msg);
	return json_pack("{ss ss ss ss ss sI sI}", "rc", "ok", "id", c->access_key_id, "secret",
		c->secret.data, "token", lm_secret_str(&c->session_token).p, "source", c->source,
		"expires_ms", (json_int_t)c->expires_ms, "serial", (json_int_t)c->serial);
}

static void run(const json_t *in, json_t *out)
{
	const struct credentials_settings settings = {
		.role_alias = json_get_text(in, "role_alias"),
		.endpoint = json_get_text(in, "endpoint"),
		.certificate = json_get_text(in, "certificate"),
		.private_key = json_get_text(in, "private_key"),
		.ca = json_get_text(in, "ca"),
		.thing_name = json_get_text(in, "thing_name"),
		.region = json_get_text(in, "region"),
		.timeout_ms = (unsigned)json_get_int(in, "timeout_ms", 0),
		.attempts = (unsigned)json_get_int(in, "attempts", 0),
		.backoff_max_ms = 10,
	};
	const struct wait_limit limit = {
		.deadline_ms = lm_clock_mono_ms() + 60 * 1000,
		.cancel_fd = -1,
	};
	lm_auto(credentials_provider_destroy_p) struct credentials_provider *p = NULL;
	struct lm_err err = {0};
	lm_rc rc = credentials_provider_create(&settings, &limit, &p, &err);

	if (rc != LM_OK)
		(void)json_array_append_new(out, describe(rc, NULL, &err));
	for (int64_t i = json_get_int(in, "gets", 1); i > 0 && rc == LM_OK; i--) {
		const struct aws_credentials *c = NULL;

		rc = credentials_get(p, &c, &err);
		(void)json_array_append_new(out, describe(rc, c, &err));
		if (rc == LM_OK && json_get_bool(in, "expire", false))
			(void)credentials_expire(p, c->serial);
	}
}

int main(int argc, char **argv)
{
	json_error_t e;
	lm_auto_json json_t *in = argc == 2 ? json_loads(argv[1], 0, &e) : NULL;
	lm_auto_json json_t *out = json_array();

	if (!in)
		return 64;
	run(in, out);
	(void)json_dumpf(out, stdout, JSON_COMPACT);
	(void)putchar('\n');
	return 0;
}
