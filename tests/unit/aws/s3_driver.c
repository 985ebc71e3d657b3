// SPDX-License-Identifier: Apache-2.0
/// Fetches one object for tests/e2e/s3_swift_test.py: takes a request as JSON in its argument and
/// credentials by the environment, prints what came of it as JSON.
#include "aws/s3.h"
#include "aws/shared_config.h"
#include "base/clock.h"
#include "base/limits.h"
#include "sys/json.h"

#include <stdio.h>
#include <string.h>

static const char *text_or_null(const json_t *in, const char *key)
{
	return json_string_value(json_object_get(in, key));
}

static enum s3_style style_of(const json_t *in)
{
	const char *style = text_or_null(in, "style");

	if (style && strcmp(style, "virtual-host") == 0)
		return S3_STYLE_VIRTUAL_HOST;
	return style && strcmp(style, "path") == 0 ? S3_STYLE_PATH : S3_STYLE_AUTO;
}

static lm_rc fetch(const json_t *in, struct s3_result *ret, struct lm_err *err)
{
	lm_auto(credentials_provider_destroy_p) struct credentials_provider *p = NULL;
	lm_auto(https_destroy_p) struct https *h = NULL;
	const struct s3_request r = {
		.bucket = text_or_null(in, "bucket"),
		.key = text_or_null(in, "key"),
		.version = text_or_null(in, "version"),
		.region = text_or_null(in, "region"),
		.style = style_of(in),
		.size_max = LIMIT_COMPOSE_FILE,
		.limits = {.attempts = 2, .backoff_max_ms = 10},
	};
	const struct wait_limit limit = {
		.deadline_ms = lm_clock_mono_ms() + 60 * 1000,
		.cancel_fd = -1,
	};
	const struct credentials_settings settings = {0};
	lm_rc rc = credentials_provider_create(&settings, &limit, &p, err);

	if (rc == LM_OK)
		rc = shared_config_https(&h, err);
	if (rc == LM_OK)
		rc = s3_get_object(h, &r, p, &limit, ret, err);
	return rc;
}

int main(int argc, char **argv)
{
	lm_auto_s3_result struct s3_result result = {0};
	struct lm_err err = {0};
	json_error_t e;
	lm_auto_json json_t *in = argc == 2 ? json_loads(argv[1], 0, &e) : NULL;

	if (!in)
		return 64;
	lm_rc rc = fetch(in, &result, &err);
	lm_auto_json json_t *out = json_pack("{ss ss sI ss* ss sI}", "rc",
		rc == LM_OK ? "ok" : lm_rc_name(rc), "message", err.msg, "size",
		(json_int_t)result.object.text.len, "version", result.object.version, "region",
		result.region, "clock_offset_ms", (json_int_t)result.clock_offset_ms);
	if (rc == LM_OK && lm_str_is_utf8(lm_buf_str(&result.object.text)))
		(void)json_object_set_new(out, "text",
			json_stringn(lm_buf_cstr(&result.object.text), result.object.text.len));
	(void)json_dumpf(out, stdout, JSON_COMPACT);
	(void)putchar('\n');
	return 0;
}
