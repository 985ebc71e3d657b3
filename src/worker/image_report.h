// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What lightermand gets to record of the application's images: their digests and IDs, and which of
/// them the engine did not have before.

#include "worker/context.h"

/// Notes which images the engine has, before any is pulled or built. Only the first call counts.
lm_rc image_report_begin(struct context *cx, struct lm_err *err);
/// Reports what the engine has under an image's name. Nothing if there is none of that name.
lm_rc image_report_send(const struct context *cx, const char *name, struct lm_err *err);
