// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The task's way to AWS: connections and the role's credentials, from when they are first needed
/// to the task's end.

#include "aws/credentials_provider.h"
#include "base/buf.h"
#include "base/error.h"
#include "config/host_file.h"
#include "http/https.h"
#include "sys/wait.h"

#include <stdbool.h>
#include <stdint.h>

struct aws_session {
	const struct host_settings *host; ///< Borrowed.
	const struct wait_limit *limit;   ///< Of the whole task. Borrowed.
	const char *region;               ///< Where STS is asked; NULL: unknown. Borrowed.
	int key_fd, certificate_fd;       ///< As lightermand opened them; borrowed. -1: none.
	struct lm_buf key, certificate;   ///< What was read of them.
	struct credentials_settings settings;
	struct https *https; ///< NULL: not open.
	struct credentials_provider *credentials;
	/// Nothing on this device gives credentials, and nothing was set up to. After
	/// aws_session_open.
	bool has_no_source;
	bool clock_reported;
};

/// Opens the way and loads the credentials; does nothing if that is done. What is wrong with this
/// device's own settings is no fault of the definition: LM_E_DENIED, for that and for a device that
/// has no credentials. Otherwise as credentials_load.
lm_rc aws_session_open(struct aws_session *c, struct lm_err *err);
/// Fills in a region that neither the host file nor a variable names, from the AWS profile of the
/// application's user.
void aws_session_complete_region(struct host_settings *host);
/// Carries out what was started there. As https_run.
lm_rc aws_session_run(struct aws_session *c, struct lm_err *err);
/// Warns of what came to light: credentials that could not be renewed in time and, once a task, a
/// clock of ours that is wrong by `clock_offset_ms` (0: it is not) as `service` says.
void aws_session_note(struct aws_session *c, const char *service, int64_t clock_offset_ms);
/// Wipes and closes.
void aws_session_finish(struct aws_session *c);
