// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Shows lightermand that a task is alive also while one of its calls blocks: on a slow disk with
/// much that is not written yet, an fsync or an unlink takes minutes. A thread sends the signs of
/// life meanwhile; not for ever, so that a disk that has died is found.

#include "base/error.h"
#include "sys/wait.h"

#include <stdint.h>

struct heartbeat;

/// From now on the thread alone calls what `limit->alive` was, every `alive_ms`, until
/// heartbeat_stop; and nobody else may write where that writes. Waits under `*limit`, which is
/// changed for that, show it that the task goes on: it falls silent when there was none for
/// `patience_ms`.
lm_rc heartbeat_start(
	struct wait_limit *limit, uint64_t patience_ms, struct heartbeat **ret, struct lm_err *err);
/// Takes NULL. `limit` cannot be used any more.
void heartbeat_stop(struct heartbeat *h);
