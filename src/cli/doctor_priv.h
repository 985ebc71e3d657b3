// SPDX-License-Identifier: Apache-2.0
#pragma once

/// `lighterman doctor`: checks that are made here and those of a worker, in one order. A check
/// tells what it found in one line or more, whatever became of the others.

#include "base/buf.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "config/definition.h"
#include "config/host_file.h"
#include "sys/json.h"
#include "sys/process.h"
#include "sys/wait.h"

struct doctor {
	const struct call *call;
	struct progress_style style;
	struct wait_limit limit;
	json_t *checks; ///< What was told.
	size_t wrong, warnings;
	const char *name; ///< Of the check that runs.
	size_t at;        ///< Its place in the order.
	bool at_told;     ///< It has told something.
	bool invalid;     ///< Host file or group file.
	bool cancelled;   ///< Told to stop in the midst of a check; there are no more.

	struct lm_buf
		input; ///< The group file that was named, unless `input_rc` says it cannot be read.
	lm_rc input_rc;
	struct lm_err input_err;

	bool has_host;
	struct host_settings host;
	struct group *group;   ///< NULL: none, or it is invalid.
	bool group_is_invalid; ///< Then the application's user is not known either.
	char *socket_path;     ///< Of lightermand.
	lm_rc ask_rc;          ///< It does not answer, for that reason.
	struct lm_err ask_err;
	json_t *status;   ///< Its; NULL: it does not answer.
	uid_t daemon_uid; ///< Of lightermand, or of who would start it.
	bool has_user;    ///< There is such a user.
	bool as_user;     ///< The worker runs as the application's user, or as who asks.
	struct process_user user;

	/// It can be handed what others must not have; it has said something; it has sent its
	/// result.
	bool worker_hardened, worker_lives, worker_done;
};

// doctor.c
/// A line of the check at work. `mend` may be NULL.
void doctor_ok(struct doctor *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
void doctor_warn(struct doctor *d, const char *message, const char *mend);
void doctor_wrong(struct doctor *d, const char *message, const char *mend);
void doctor_skip(struct doctor *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
/// A line of a worker; the checks that come before it are made first. Borrowed.
void doctor_take(struct doctor *d, const json_t *check);

typedef void doctor_check(struct doctor *d);

// doctor_definition.c
doctor_check doctor_check_host_file, doctor_check_group_file, doctor_check_lightermand,
	doctor_check_user, doctor_check_root;

// doctor_host.c
doctor_check doctor_check_brokers, doctor_check_log, doctor_check_state, doctor_check_runtime,
	doctor_check_memory;

// doctor_worker.c
/// Runs a worker; what it finds goes to doctor_take. LM_E_CANCELLED: told to stop; other failures
/// are told as the check "worker".
lm_rc doctor_run_worker(struct doctor *d, struct lm_err *err);
