// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The task, as lightermand sends it (docs/formats.md): one JSON object, which is checked like any
/// other input. Pure.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "config/definition.h"
#include "config/host_file.h"

enum task_kind {
	TASK_DEPLOY,
	TASK_DOWN,
	TASK_CHECK,
	TASK_PLAN,
	TASK_SHIP_LOGS,
	TASK_DEVICES,
	TASK_PRUNE_IMAGES,
	TASK_VERIFY,
	TASK_REPLACE_IMAGES,
	TASK_VOLUMES,
};

/// A compose file that is known to be what the definition names.
struct task_copy {
	char *sha256;  ///< Hexadecimal digits.
	char *version; ///< "": of none.
};

/// An image of the generation to start, as it was deployed.
struct task_image {
	char *name; ///< As in its compose file.
	char *id;   ///< "sha256:…"
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
	struct task_image *images; ///< Those whose ID is known.
	size_t images_n;
};

/// An image that deployments have brought and none needs any more (deploy/pulled_images.h).
struct task_released {
	char *id;
	char **names; ///< That it had in compose files.
	size_t names_n;
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

/// An image that the task `verify` is to read, or that another one is to replace.
struct task_subject {
	char *ref;      ///< As in the compose file.
	char *id;       ///< "sha256:…"; NULL: unknown, not of TASK_REPLACE_IMAGES.
	char *digest;   ///< "sha256:…" in its registry; NULL: unknown.
	unsigned layer; ///< The lowest damaged one, from 1; 0: unknown.
	char *platform; ///< "linux/arm/v7"; NULL: unknown.
	/// {REF:BOOL}: the names that generations which are kept give to it, and whether none gives
	/// them to another image; NULL: none.
	json_t *names;
};

enum volumes_action { VOLUMES_MEASURE, VOLUMES_COPY, VOLUMES_START, VOLUMES_CLEAN };

/// What the task `volumes` is to do.
struct task_volumes {
	enum volumes_action action;
	unsigned generation; ///< Whose volumes; of VOLUMES_START: that is to start.
	unsigned subject;    ///< Of VOLUMES_START: whose volumes were copied before; 0: none's.
	uint32_t max_mb;     ///< That may be copied byte by byte.
	uint32_t reserve_mb; ///< That are to stay free.
};

struct task {
	enum task_kind kind;
	/// NULL for a check without a definition, for `devices` without a group, for
	/// `prune-images` and for `volumes`.
	struct group *group;
	struct host_settings host;
	char *credentials_directory; ///< Absolute; only for tasks of an application.
	/// The docker-compose that an earlier task found; both NULL if none did.
	char *compose_stamp, *compose_version;
	struct task_fallback fallback;
	json_t *kept; ///< Of one that replaces: the IDs of all images of generations, as keys.
	struct task_released *released; ///< May be removed, of a deploy or a plan.
	size_t released_n;
	char *previous_destination;  ///< Of the generation that runs; NULL: none does.
	bool is_first;               ///< Nothing was deployed on this device with success yet.
	struct task_device device;   ///< Of TASK_DEVICES.
	struct task_volumes volumes; ///< Of TASK_VOLUMES.
	bool snapshots;              ///< The volumes are copied by lightermand before `down`,
	bool restores_data;          ///< or put back before `up`, so that nothing may run then.
	/// Of TASK_VERIFY; of TASK_DEPLOY and TASK_REPLACE_IMAGES: those that are damaged.
	struct task_subject *subjects;
	size_t subjects_n;
	bool is_gentle; ///< Of TASK_VERIFY: nobody waits for it.
	bool as_user;   ///< Of a check: this process is the application's user.
};

/// LM_E_INVALID: the group is invalid. LM_E_PROTOCOL: anything else is.
lm_rc task_parse(struct lm_str line, struct task *ret, struct lm_err *err);
void task_finish(struct task *task);
#define lm_auto_task lm_auto(task_finish)
