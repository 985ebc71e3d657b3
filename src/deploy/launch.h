// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What a worker needs before it can start: the user that it becomes, the lock that keeps tasks one
/// after the other, the folder for credentials, the task's document.

#include "base/cleanup.h"
#include "base/error.h"
#include "config/definition.h"
#include "config/host_file.h"
#include "sys/json.h"
#include "sys/process.h"

/// The user for the application: DockerUserId, else the host file's defaultUser, else who we are.
/// LM_E_INVALID: the definition's DockerUserId cannot be used here. LM_E_NOT_FOUND, LM_E_DENIED:
/// the default user cannot. The message has what to do.
lm_rc launch_find_user(const struct host_settings *host, const struct connector_definition *def,
	struct process_user *ret, struct lm_err *err);
/// Its two halves: whether there is that user; whether it may be the application's on this device,
/// and whether this program can become it.
lm_rc launch_look_up_user(const struct host_settings *host, const struct connector_definition *def,
	struct process_user *ret, struct lm_err *err);
lm_rc launch_check_user(const struct host_settings *host, const struct connector_definition *def,
	const struct process_user *user, struct lm_err *err);

/// The path of lighterman-worker, beside our own program. The caller frees.
lm_rc launch_find_worker(char **ret, struct lm_err *err);
/// The path of a file that only groups with client devices need (lighterman-discovery,
/// lighterman_router.so): beside our own program, else in ../lib/lighterman. The caller frees.
lm_rc launch_find_library(const char *name, char **ret, struct lm_err *err);

/// Takes the lock `<runtime>/job.lock`, for a descriptor that the worker inherits: it is held until
/// the last process that has it is gone, whatever became of us. LM_E_CONFLICT: a worker of an
/// earlier lightermand still runs; `*ret_holder` is its session, or 0 if that is not known.
lm_rc launch_lock(
	const struct host_settings *host, int *ret_fd, pid_t *ret_holder, struct lm_err *err);
/// Writes down who has the lock.
lm_rc launch_lock_note(int lock_fd, pid_t worker, struct lm_err *err);

/// Makes the empty folder `<runtime>/credentials` anew, for `user` only. The caller frees the path.
lm_rc launch_make_credentials(const struct host_settings *host, const struct process_user *user,
	char **ret_path, struct lm_err *err);
/// Removes it with all that is in it.
lm_rc launch_remove_credentials(const struct host_settings *host, struct lm_err *err);

/// The device's private key and its certificate, as far as the AWS IoT credentials provider of the
/// host file needs them; -1: it does not, or they cannot be opened, which the worker then reports.
struct launch_identity {
	int key_fd, certificate_fd;
};

/// Opens them with our rights, for a worker whose user may not read them. Never reads them.
struct launch_identity launch_open_identity(const struct host_settings *host);
void launch_identity_finish(struct launch_identity *i);

struct launch_compose {
	const char *stamp, *version; ///< NULL: not known yet.
};

/// What else a task gets. All is borrowed; NULL: it gets none.
struct launch_extras {
	const json_t *fallback;
	const json_t *released;           ///< As store_list_released has it.
	const char *previous_destination; ///< Of the generation that runs.
};

/// The task's document; a new reference.
json_t *launch_make_document(const char *kind, const struct group *group,
	const struct host_settings *host, const char *credentials,
	const struct launch_compose *compose, const struct launch_extras *extras);
