// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The stage `fetch`: gets compose file, secrets and ECR tokens, all at the same time.

#include "worker/context.h"

lm_rc fetch_all(struct context *cx, struct lm_err *err);
/// The secrets alone, for a task without a compose file. As secrets_get and aws_session_open.
lm_rc fetch_secrets(struct context *cx, struct lm_err *err);
/// Offline mode: takes the generation's own compose file, or else the local copy, if it may be what
/// the definition names.
lm_rc fetch_local_copy(struct context *cx, struct lm_err *err);
/// Whether the generation's own compose file and all images that were deployed with it are on this
/// device: then there is nothing to fetch.
lm_rc fetch_own_suffices(struct context *cx, bool *ret, struct lm_err *err);
/// Offline mode, at a start: as deploy_ops.take_own.
lm_rc fetch_take_own(struct context *cx, bool *ret_changed, struct lm_err *err);
