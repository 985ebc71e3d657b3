// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Where lightermand's own lines and those of its workers go: to stderr; to the connector log once
/// the region is known, which is part of the log's path; and to what is to be shipped to CloudWatch
/// Logs. The last two each have a level of their own, by the group's loggers (daemon/loggers.h);
/// stderr has that of the file, or INFO without one.

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "config/definition.h"
#include "config/host_file.h"
#include "daemon/shipping.h"

/// Takes over the program's log. `host` stays borrowed until daemon_log_end. A log that cannot be
/// opened is no reason not to run: the fault is told on stderr, and tried again with the next
/// group.
void daemon_log_begin(const struct host_settings *host);
void daemon_log_end(void);
/// Where lines to be shipped go from now on; NULL: nowhere. Borrowed.
void daemon_log_set_shipping(struct shipping *shipping);
/// Goes by the group's loggers and region.
void daemon_log_apply(const struct group *group);
/// Between the two, lines are put together and written in few calls, for who writes many at once.
/// Both within one turn of the loop.
void daemon_log_hold(void);
void daemon_log_release(void);
/// Somebody who hears every line that stderr gets, from now on. Borrowed until daemon_log_unfollow.
/// The callback must not log.
struct daemon_log_follower {
	void (*line)(void *ctx, struct lm_str line); ///< With its line end.
	void *ctx;
	struct daemon_log_follower *next; ///< The log's own.
};
void daemon_log_follow(struct daemon_log_follower *follower);
/// Does nothing for one that does not follow. Not from inside a callback.
void daemon_log_unfollow(struct daemon_log_follower *follower);
/// Appends the last lines of the connector log. LM_E_NOT_FOUND: there is no log file, because of
/// the group's loggers or because the region is not known yet. LM_E_SYS.
lm_rc daemon_log_tail(unsigned lines, struct lm_buf *out, struct lm_err *err);
/// A line of a worker's stderr: as it is if it has the log's form, else as an error.
void daemon_log_forward(struct lm_str line);
