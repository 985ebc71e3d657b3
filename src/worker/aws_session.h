// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A task's session with AWS: connections and the role's credentials, from first use to the task's
/// end.

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
	int key_fd, certificate_fd;       ///< Opened by lightermand; borrowed. -1: none.
	struct lm_buf key, certificate;   ///< What was read of them.
	struct credentials_settings settings;
	struct https *https; ///< NULL: not open.
	struct credentials_provider *credentials;
	/// This device has no AWS credentials, and none are configured. After aws_session_open.
	bool has_no_source;
	bool clock_reported;
};

/// Opens the connections and loads the credentials; does nothing if that is done. LM_E_DENIED: this
/// device has wrong settings or no credentials, which the definition is not to blame for. Otherwise
/// as credentials_load.
lm_rc aws_session_open(struct aws_session *c, struct lm_err *err);
/// Fills in a region that neither the host file nor a variable names, from the AWS profile of the
/// application's user.
void aws_session_complete_region(struct host_settings *host);
/// Runs the requests that were started. As https_run.
lm_rc aws_session_run(struct aws_session *c, struct lm_err *err);
/// Warns of credentials that could not be renewed in time and, once a task, of a clock that is off
/// by `clock_offset_ms` (0: it is right) according to `service`.
void aws_session_note(struct aws_session *c, const char *service, int64_t clock_offset_ms);
/// Wipes and closes.
void aws_session_finish(struct aws_session *c);
