// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The worker's side of the worker protocol (docs/formats.md): JSON lines on stdout, `go` lines on
/// stdin, and cancellation: by SIGTERM, or by end of file on stdin, as when lightermand has died.

#include "base/error.h"
#include "base/str.h"
#include "deploy/handover.h"
#include "deploy/stages.h"
#include "sys/json.h"
#include "sys/wait.h"

struct protocol {
	int in, out;
	int signal_fd; ///< SIGTERM and SIGINT.
	int stop_fd;   ///< Readable once the task is cancelled: an epoll of `in` and `signal_fd`.
	struct lm_buf pending; ///< Of `in`, read and not yet used.
	uint64_t alive_due_ms; ///< When the next "alive" line is due.
	uint64_t need;         ///< Bytes on disk that something else is to take, by the last `go`.
};

/// Blocks SIGTERM and SIGINT, ignores SIGPIPE. `in` and `out` stay the caller's.
lm_rc protocol_init(struct protocol *p, int in, int out, struct lm_err *err);
void protocol_finish(struct protocol *p);

/// Reports that no other program can look into this process, and receives what lightermand then
/// hands over. As handover_receive; LM_E_SYS: one still can.
lm_rc protocol_take_handover(struct protocol *p, struct handover *ret, struct lm_err *err);

/// The limit for everything the task waits for: no deadline, ends when cancelled, sends
/// "alive" well within the `silence_s` seconds after which lightermand kills a silent worker.
/// Borrows `p`.
struct wait_limit protocol_limit(struct protocol *p, unsigned silence_s);

/// Reads one line of at most `max` bytes from `in`, waiting for it; borrowed until the next read.
/// LM_E_CANCELLED: the stream ended, or SIGTERM. LM_E_TOO_LARGE.
lm_rc protocol_read_line(struct protocol *p, size_t max, struct lm_str *ret, struct lm_err *err);

/// Waits for a line, or for end of file, which protocol_read_line then finds; sends "alive"
/// meanwhile. LM_E_CANCELLED: SIGTERM.
lm_rc protocol_wait(struct protocol *p, unsigned silence_s, struct lm_err *err);
/// Writes a document as one line and drops the reference. LM_E_SYS: nobody reads any more.
lm_rc protocol_send(struct protocol *p, json_t *line, struct lm_err *err);
/// Sends the event of a stage; after a begin, waits for its `go`.
lm_rc protocol_report_stage(
	struct protocol *p, const struct deploy_event *event, struct lm_err *err);
