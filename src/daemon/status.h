// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the supervisor does, as `lighterman status`, `doctor`, the service manager and the log show
/// it. Changes nothing.

#include "daemon/activation.h"
#include "daemon/progress_publisher.h"
#include "deploy/lifecycle.h"
#include "deploy/store.h"
#include "docker/engine_json.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stdint.h>

/// The task of the worker that runs.
enum status_task { STATUS_NO_TASK, STATUS_DEPLOY, STATUS_DOWN, STATUS_PLAN };

/// Everything is borrowed from the supervisor.
struct status {
	const struct lifecycle *lifecycle;
	struct store *store;
	const struct progress_publisher *progress;
	enum status_task task;
	const char *why_cancelled;
	uint64_t retry_at_ms; ///< On lm_clock_mono_ms(); 0: it waits for disk space.
	/// When the probation of what runs ends, by the clock on the wall, if all goes well; 0:
	/// there is none.
	int64_t probation_until_ms;
	/// Why what lifecycle->leaves is was rolled back; NULL: by a person, or not known any more.
	const char *rollback_why;
	/// Why what runs has failed in its probation, and stays as there is nothing to go back to;
	/// NULL: it has not.
	const char *unsound_why;
	bool waits; ///< The deployment is held, as `activation` has it.
	struct activation_view activation;
};

/// A short description for people: "deploying generation 3: pull". The caller frees.
char *status_describe(const struct status *s);
/// What `status` shows but for containers and brokers; a new reference. `containers`: what the
/// engine has; NULL: it did not answer.
json_t *status_to_json(const struct status *s, const struct engine_containers *containers);
