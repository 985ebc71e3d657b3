// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One process of lighterman-worker, from its start until nothing of it is left: the pipes, the
/// lines that it reports (docs/formats.md), its silence, and its exit, however that comes.
///
/// Knows the protocol, but not the task. Never logs. From the loop's thread.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "daemon/worker_protocol.h"
#include "deploy/handover.h"
#include "sys/json.h"
#include "sys/loop.h"
#include "sys/process.h"

#include <stdbool.h>
#include <stdint.h>

struct worker_process;

struct worker_process_spec {
	const char *program;             ///< Path of lighterman-worker.
	const struct process_user *user; ///< It becomes this user; NULL: stays lightermand's.
	const json_t *document;          ///< The task. Borrowed for the call.
	int lock_fd;                     ///< Becomes its descriptor 3; stays the caller's.
	struct handover handover;        ///< What it gets once it is hardened; stays the caller's.
	unsigned silence_ms;             ///< Without a line for so long it is killed.
	bool bare; ///< It gets nothing of the environment, in which AWS keys may be.
};

/// NULL: this task has no such lines; one that comes all the same is an error.
struct worker_process_events {
	/// A stage is about to begin, and nothing is awaited any more. After LM_OK it does; else
	/// the worker is killed with that error.
	lm_rc (*begin)(void *ctx, const char *stage, struct lm_err *err);
	/// Whether the stage waits, before `begin`, for worker_process_go or worker_process_refuse;
	/// NULL: no stage does.
	bool (*defers)(void *ctx, const char *stage);
	/// Any line with a stage (the begins too), as the worker sent it. Borrowed.
	void (*progress)(void *ctx, const json_t *line);
	/// Of an IMAGE line: name, digest ("": none), ID, and whether it was brought. Borrowed.
	void (*image)(void *ctx, const struct worker_line *image);
	/// The image with that ID, which no generation needs, is no longer on this device.
	void (*removed)(void *ctx, const char *id);
	void (*compose)(void *ctx, const char *stamp, const char *version);
	/// The compose file that is deployed, which is what the definition names; version "": none.
	void (*copy)(void *ctx, const char *sha256, const char *version);
	/// A part of a plan, as the worker sent it. Borrowed.
	void (*plan)(void *ctx, const json_t *line);
	/// About a client device, or all of them, as the worker sent it. Borrowed.
	void (*device)(void *ctx, const json_t *line);
	/// An image that is read now, or what was found, as the worker sent it. Borrowed.
	void (*verify)(void *ctx, const json_t *line);
	/// The first `n` bytes of the log that it was given are shipped; of their lines CloudWatch
	/// Logs does not keep `rejected`, counted from the last of these events on.
	void (*shipped)(void *ctx, uint64_t n, uint64_t rejected);
	/// It waits for worker_process_order.
	void (*idle)(void *ctx);
	/// A line of its stderr.
	void (*text)(void *ctx, struct lm_str line);
	/// Last of all: it has exited, was reaped, and left no process behind. May be destroyed
	/// inside.
	void (*exited)(void *ctx, const struct worker_result *result);
	void *ctx;
};

/// Starts a worker. `events` is copied. As process_start.
lm_rc worker_process_start(struct loop *loop, const struct worker_process_spec *spec,
	const struct worker_process_events *events, struct worker_process **ret,
	struct lm_err *err);
/// Answers a worker that has begun a stage or is idle, with a line.
void worker_process_order(struct worker_process *worker, const char *line);
/// Lets a worker begin the stage that was deferred, unless it is to stop. While it waited, its
/// silence did not count.
void worker_process_go(struct worker_process *worker);
/// Something else is to take so many bytes of disk space: the worker gets that with the next `go`.
void worker_process_note_need(struct worker_process *worker, uint64_t bytes);
/// The stage that was deferred must not begin: the worker is stopped, as by worker_process_cancel,
/// and has failed there with that error.
void worker_process_refuse(struct worker_process *worker, const struct lm_err *why);
/// Stops it. After 30 s what is left of it is killed.
void worker_process_cancel(struct worker_process *worker);
/// Kills it at once and hands over the lines that it has sent, without `exited`. To be destroyed.
void worker_process_kill(struct worker_process *worker);
pid_t worker_process_pid(const struct worker_process *worker);
/// A worker that still runs is killed. Takes NULL.
void worker_process_destroy(struct worker_process *worker);
LM_DEFINE_CLEANUP(struct worker_process, worker_process_destroy)
