// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Why there is no connection, in one sentence that names the broker and what to check.

#include "base/error.h"
#include "mqtt/link_priv.h"

/// mosquitto_connect returned `rc`, and `sys` in errno.
lm_rc fault_connect(const struct link *l, int rc, int sys, struct lm_err *err);
/// mosquitto_loop or mosquitto_publish returned `rc`, and `sys` in errno.
lm_rc fault_lost(const struct link *l, int rc, int sys, struct lm_err *err);
/// The attempt took longer than `limit_ms`. `reached`: there was a connection, but no CONNACK.
lm_rc fault_limit(const char *name, bool reached, unsigned limit_ms, struct lm_err *err);
