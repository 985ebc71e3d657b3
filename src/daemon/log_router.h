// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Where lightermand's own lines and those of its workers go: to stderr; to the connector log once
/// the region is known, which is part of the log's path; and to what is to be shipped to CloudWatch
/// Logs. The last two each have a level of their own, by the group's loggers; stderr has that of
/// the file, or INFO without one.

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "config/definition.h"
#include "config/host_file.h"

#include <stdbool.h>

/// Takes over the program's log. `host` stays borrowed until log_router_close. A log that cannot be
/// opened is reported on stderr, and opened with the next group.
void log_router_open(const struct host_settings *host);
void log_router_close(void);

/// What a group's loggers want of one log: those of the component Lambda, as the connector was one.
/// Without any, there is Greengrass's default: a file, INFO, 128 KB.
struct logger {
	bool on;
	enum lm_level level;
	unsigned space_kb;
};

/// Ships lines to CloudWatch Logs.
struct log_router_shipper {
	/// A finished line.
	void (*add)(void *ctx, enum lm_level level, struct lm_str line);
	/// Another group, with its logger for CloudWatch Logs.
	void (*apply)(void *ctx, const struct group *group, const struct logger *logger);
	void *ctx;
};
/// Where lines to be shipped go from now on; NULL: nowhere. Borrowed.
void log_router_set_shipper(const struct log_router_shipper *to);
/// Applies the group's loggers and region.
void log_router_apply(const struct group *group);
/// Between the two, lines are collected and written in few calls. Both within one turn of the loop.
void log_router_hold(void);
void log_router_release(void);
/// Gets every line that goes to stderr, from now on. Borrowed until log_router_unfollow.
/// The callback must not log.
struct log_follower {
	void (*line)(void *ctx, struct lm_str line); ///< With its line end.
	void *ctx;
	struct log_follower *next; ///< The log's own.
};
void log_router_follow(struct log_follower *follower);
/// Does nothing for one that does not follow. Not from inside a callback.
void log_router_unfollow(struct log_follower *follower);
/// Appends the last lines of the connector log. LM_E_NOT_FOUND: there is no log file, because of
/// the group's loggers or because the region is not known yet. LM_E_SYS.
lm_rc log_router_tail(unsigned lines, struct lm_buf *out, struct lm_err *err);
/// A line of a worker's stderr: as it is if it has the log's form, else as an error. For struct
/// worker_process_events: `ctx` is ignored.
void log_router_forward(void *ctx, struct lm_str line);
