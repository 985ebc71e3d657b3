// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The task, as lightermand sends it (docs/formats.md): one JSON object, which is checked like any
/// other input. Pure.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "config/definition.h"
#include "config/host_file.h"

enum task_kind { TASK_DEPLOY, TASK_DOWN, TASK_CHECK, TASK_PLAN, TASK_SHIP_LOGS, TASK_DEVICES };

/// A compose file that is known to be what the definition names.
struct task_copy {
	char *sha256;  ///< Hexadecimal digits.
	char *version; ///< "": of none.
};

/// What offline mode may fall back to; all is zero without it.
struct task_fallback {
	bool restores; ///< Starts the previous application again: as in offline mode, whatever the
		       ///< definition says,
	bool keeps;          ///< and containers of it that still run are not stopped.
	bool is_start;       ///< What was handed over holds the generation's own compose file.
	char *start_version; ///< Of that; NULL: none.
	bool placed; ///< A compose file was put at the destination before, so the one there is
		     ///< ours.
	struct task_copy *copies;
	size_t copies_n;
};

enum devices_action {
	DEVICES_PREPARE,
	DEVICES_APPLY,
	DEVICES_ADD,
	DEVICES_LIST,
	DEVICES_REMOVE,
};

/// What the task `devices` is to do.
struct task_device {
	enum devices_action action;
	char *name;              ///< For add and remove.
	char *csr, *certificate; ///< For add: one of the two, or neither; PEM.
};

struct task {
	enum task_kind kind;
	/// NULL for a check without a definition, and for `devices` without a group.
	struct group *group;
	struct host_settings host;
	char *credentials_directory; ///< Absolute; only for tasks of an application.
	/// The docker-compose that an earlier task found; both NULL if none did.
	char *compose_stamp, *compose_version;
	struct task_fallback fallback;
	char *previous_destination; ///< Of the generation that runs; NULL: none does.
	struct task_device device;  ///< Of TASK_DEVICES.
	bool as_user;               ///< Of a check: this process is the application's user.
};

/// LM_E_INVALID: the group is invalid. LM_E_PROTOCOL: anything else is.
lm_rc task_parse(struct lm_str line, struct task *ret, struct lm_err *err);
void task_finish(struct task *task);
#define lm_auto_task lm_auto(task_finish)
