// SPDX-License-Identifier: Apache-2.0
#include "base/encoding.h"
#include "base/limits.h"
#include "docker/engine.h"
#include "docker/engine_priv.h"

enum {
	ASK_MS = 90 * 1000, ///< The engine waits for the registry behind it.
	TARGET_MAX = 4096,
};

static lm_rc ask(
	const struct http_unix_request *request, const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	struct wait_limit within = wait_limit_within(limit, ASK_MS);
	lm_rc rc = engine_connect(request, &h, err);

	if (!rc)
		rc = http_unix_wait(h, &within, err);
	if (!rc && http_unix_status(h) / 100 != 2)
		rc = engine_answer_error(h, err);
	return rc;
}

lm_rc engine_ask_registry(const struct engine *e, const char *image, const struct lm_secret *auth,
	const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);

	(void)lm_buf_printf(&target, "/v1.%u/distribution/", e->version.minor);
	(void)lm_percent_encode(&target, lm_str(image), true);
	(void)lm_buf_puts(&target, "/json");
	if (target.overflow)
		return lm_fail(err, LM_E_INVALID, 0, "the name of an image is too long");
	const struct http_unix_request request = {.socket_path = e->socket_path,
		.method = "GET",
		.target = lm_buf_cstr(&target),
		.secret_header = auth ? "X-Registry-Auth" : NULL,
		.secret_value = auth,
		.body_max = LIMIT_ENGINE_BODY};
	lm_rc rc = ask(&request, limit, err);
	return rc ? lm_wrap(err, "image %s", image) : LM_OK;
}
