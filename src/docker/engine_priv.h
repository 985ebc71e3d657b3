// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Shared by the files that ask the engine: building requests and wording their failures.

#include "base/error.h"
#include "sys/http_unix.h"

struct engine;

/// Connects; a failure is worded by engine_explain.
lm_rc engine_connect(
	const struct http_unix_request *request, struct http_unix **ret, struct lm_err *err);
/// The error in an answer that is not 2xx: class and words of the engine's.
lm_rc engine_answer_error(const struct http_unix *h, struct lm_err *err);
/// GET `target`; an answer that is not 2xx is an error.
lm_rc engine_get_answer(const char *socket_path, const char *target, const struct wait_limit *limit,
	struct http_unix **ret, struct lm_err *err);
/// DELETE; what is gone already is no error.
lm_rc engine_delete_object(const struct engine *e, const char *target,
	const struct wait_limit *limit, struct lm_err *err);
