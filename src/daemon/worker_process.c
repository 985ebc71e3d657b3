// SPDX-License-Identifier: Apache-2.0
#include "daemon/worker_process.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/memory.h"
#include "daemon/worker_protocol.h"
#include "deploy/stages.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

enum {
	CANCEL_GRACE_MS = 30 * 1000, ///< docker-compose gets 10 s of it.
	ORDER_MAX = 4096,
	OUT_MAX = LIMIT_WORKER_JOB + ORDER_MAX,
	IMAGE_LINES_MAX = 3 * LIMIT_SERVICES,
	DEVICE_LINES_MAX = 2 * LIMIT_DEVICES, ///< Those of the group, and as many others.
	VERIFY_LINES_MAX = 2 * LIMIT_LOCAL_IMAGES,
};

/// Waits for a worker in parts, and only those count in which our loop turned: while it stood
/// still (a slow disk, a stopped or frozen process) the worker may have stood still, too, or its
/// output was not read yet.
struct time_limit {
	struct loop_timer *timer;
	unsigned parts_left;
};

enum stage_state { STAGE_PENDING, STAGE_STARTED, STAGE_FINISHED };

struct worker_process {
	struct loop *loop;
	struct worker_process_events events;
	pid_t pid;
	bool reaped;
	bool cancelled;           ///< By worker_process_cancel.
	bool idle;                ///< It waits for worker_process_order.
	bool is_hardened;         ///< It reported so, and was given the rest.
	struct handover handover; ///< Until then; our own copies.
	int wait_status;
	int in_fd, out_fd, err_fd; ///< The near ends of its socket and its pipes; -1: closed.
	struct loop_fd *in_watch, *out_watch, *err_watch;
	struct loop_child *child;
	struct time_limit silence, grace;
	unsigned silence_ms;
	enum stage_state stages[DEPLOY_STAGES]; ///< Each begins once, and finishes once.
	unsigned images;                        ///< Lines of images.
	unsigned devices;                       ///< Lines of devices.
	unsigned verified;                      ///< Lines of images that are verified.
	bool bare;
	bool defers;   ///< A stage waits for worker_process_go or worker_process_refuse.
	uint64_t need; ///< For the next `go`.
	struct lm_buf to_worker;
	struct line_reader out, err;
	char stage[32];            ///< The last one begun, "" before the first.
	struct lm_err kill_reason; ///< Why it was killed; rc is LM_OK if it was not.
	struct lm_err refusal;     ///< Why the stage may not begin; the same.
	json_t *result;            ///< Its last line; NULL until it came.
	bool is_finished;          ///< Inside finish: the exit is reported once.
};

static void close_pipe(int *fd, struct loop_fd **watch)
{
	loop_fd_destroy(lm_take(*watch));
	if (*fd >= 0)
		(void)close(lm_take_fd(*fd));
}

/// Ends the worker and all that it started. What becomes of it is reported once it was reaped.
static void kill_worker(struct worker_process *worker, const struct lm_err *why)
{
	if (why && worker->kill_reason.rc == LM_OK)
		worker->kill_reason = *why;
	if (!worker->reaped)
		process_kill_session(worker->pid, SIGKILL);
}

static void time_limit_start(struct time_limit *p, unsigned ms)
{
	enum { PARTS = 4 };
	unsigned part_ms = (ms + PARTS - 1) / PARTS;

	p->parts_left = PARTS;
	loop_timer_start(p->timer, part_ms, part_ms);
}

/// A part has passed, or much more than that: libuv calls once for all that was missed.
static bool time_limit_is_over(struct time_limit *p)
{
	if (--p->parts_left > 0)
		return false;
	loop_timer_stop(p->timer);
	return true;
}

/// It has sent a line: its silence is counted anew.
static void note_life(struct worker_process *worker)
{
	time_limit_start(&worker->silence, worker->silence_ms);
}

/// Writes what waits in `to_worker`, as far as it goes.
static void write_more(struct worker_process *worker)
{
	while (worker->to_worker.len > 0) {
		ssize_t n = write(worker->in_fd, worker->to_worker.data, worker->to_worker.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			loop_fd_set(worker->in_watch, POLLOUT);
			return;
		}
		if (n < 0) { // it reads no more: its exit status shows why
			lm_buf_finish(&worker->to_worker);
			break;
		}
		lm_buf_consume(&worker->to_worker, (size_t)n);
	}
	lm_buf_finish(&worker->to_worker); // a document may be large, and a worker lives for long
	loop_fd_set(worker->in_watch, 0);
}

void worker_process_order(struct worker_process *worker, const char *line)
{
	worker->idle = false;
	worker->to_worker.max = ORDER_MAX;
	(void)(lm_buf_puts(&worker->to_worker, line) && lm_buf_putc(&worker->to_worker, '\n'));
	write_more(worker);
}

/// Nothing is awaited any more.
static void enter_stage(struct worker_process *worker)
{
	struct lm_err err = {LM_OK};

	if (worker->events.begin(worker->events.ctx, worker->stage, &err)) {
		kill_worker(worker, &err);
		return;
	}
	lm_auto_free char *line =
		worker->need ? lm_xasprintf("go %" PRIu64, worker->need) : lm_xstrdup("go");
	worker->need = 0;
	worker_process_order(worker, line);
}

void worker_process_note_need(struct worker_process *worker, uint64_t bytes)
{
	worker->need = bytes;
}

static void begin_stage(struct worker_process *worker, const char *stage)
{
	(void)snprintf(worker->stage, sizeof(worker->stage), "%s", stage);
	// A cancelled worker must not begin anything; it notices SIGTERM while it waits.
	if (worker->cancelled)
		return;
	worker->defers = worker->events.defers && worker->events.defers(worker->events.ctx, stage);
	if (worker->defers)
		loop_timer_stop(worker->silence.timer); // it has nothing to say
	else
		enter_stage(worker);
}

/// Whether a stage waits that could begin.
static bool waits(const struct worker_process *worker)
{
	return worker->defers && !worker->reaped && !worker->cancelled && !worker->kill_reason.rc;
}

void worker_process_go(struct worker_process *worker)
{
	if (!waits(worker))
		return;
	worker->defers = false;
	note_life(worker);
	enter_stage(worker);
}

static void terminate_worker(struct worker_process *worker)
{
	(void)kill(worker->pid, SIGTERM);
	time_limit_start(&worker->grace, CANCEL_GRACE_MS);
}

void worker_process_refuse(struct worker_process *worker, const struct lm_err *why)
{
	if (!waits(worker))
		return;
	worker->defers = false;
	worker->refusal = *why;
	terminate_worker(worker);
}

/// Nobody can look into it any more: now it gets what others must not have.
static void worker_process_hand_over_rest(struct worker_process *worker)
{
	const char *const nothing[] = {NULL};
	struct lm_err err = {LM_OK};
	lm_rc rc = handover_send(worker->in_fd, &worker->handover,
		worker->bare ? nothing : (const char *const *)environ, &err);

	handover_finish(&worker->handover);
	worker->is_hardened = true;
	if (rc && rc != LM_E_NETWORK) // else its exit status shows why
		kill_worker(worker, &err);
	else
		write_more(worker);
}

static void reject_line(struct worker_process *worker, struct lm_str line)
{
	char shown[4 * 80 + 32];
	struct lm_err err;

	(void)!lm_fail(&err, LM_E_PROTOCOL, 0,
		"the worker sent an invalid line ('%s') and was killed; are lightermand and "
		"lighterman-worker of the same version?",
		lm_str_shorten(line, 80, shown, sizeof(shown)));
	kill_worker(worker, &err);
}

static bool is_expected(const struct worker_process *worker, enum worker_line_kind kind)
{
	const struct worker_process_events *e = &worker->events;

	if (!worker->is_hardened)
		return kind == WORKER_LINE_HARDENED || kind == WORKER_LINE_RESULT;
	switch (kind) {
	case WORKER_LINE_HARDENED:
		return false;
	case WORKER_LINE_STAGE:
		return e->begin && e->progress;
	case WORKER_LINE_IMAGE:
		return e->image;
	case WORKER_LINE_REMOVED:
		return e->removed;
	case WORKER_LINE_COMPOSE:
		return e->compose;
	case WORKER_LINE_COPY:
		return e->copy;
	case WORKER_LINE_SHIPPED:
		return e->shipped;
	case WORKER_LINE_IDLE:
		return e->idle;
	case WORKER_LINE_PLAN:
		return e->plan;
	case WORKER_LINE_DEVICE:
		return e->device;
	case WORKER_LINE_VERIFY:
		return e->verify;
	case WORKER_LINE_ALIVE:
	case WORKER_LINE_RESULT:
		break;
	}
	return true;
}

/// What is kept of a line is bounded by this: a stage begins once and then finishes once, and an
/// image is one of a service, reported when it was pulled, before `up`, and after it. One that is
/// idle ships nothing.
static bool worker_process_is_due(struct worker_process *worker, const struct worker_line *line)
{
	if (line->kind == WORKER_LINE_IMAGE || line->kind == WORKER_LINE_REMOVED)
		return ++worker->images <= IMAGE_LINES_MAX;
	if (line->kind == WORKER_LINE_DEVICE)
		return ++worker->devices <= DEVICE_LINES_MAX;
	if (line->kind == WORKER_LINE_VERIFY)
		return ++worker->verified <= VERIFY_LINES_MAX;
	if (line->kind == WORKER_LINE_IDLE || line->kind == WORKER_LINE_SHIPPED)
		return !worker->idle;
	if (line->kind != WORKER_LINE_STAGE || !(line->begins || line->ends))
		return true;
	enum stage_state *state = &worker->stages[deploy_stage_from_name(line->stage)];
	if (*state != (line->begins ? STAGE_PENDING : STAGE_STARTED))
		return false;
	*state = line->begins ? STAGE_STARTED : STAGE_FINISHED;
	return true;
}

static void worker_process_hand_over(
	struct worker_process *worker, const json_t *line, const struct worker_line *parsed)
{
	void *ctx = worker->events.ctx;

	if (parsed->kind == WORKER_LINE_HARDENED)
		worker_process_hand_over_rest(worker);
	if (parsed->kind == WORKER_LINE_STAGE)
		worker->events.progress(ctx, line);
	if (parsed->kind == WORKER_LINE_STAGE && parsed->begins)
		begin_stage(worker, parsed->stage);
	else if (parsed->kind == WORKER_LINE_IMAGE)
		worker->events.image(ctx, parsed);
	else if (parsed->kind == WORKER_LINE_REMOVED)
		worker->events.removed(ctx, parsed->id);
	else if (parsed->kind == WORKER_LINE_COMPOSE)
		worker->events.compose(ctx, parsed->first, parsed->second);
	else if (parsed->kind == WORKER_LINE_COPY)
		worker->events.copy(ctx, parsed->first, parsed->second);
	else if (parsed->kind == WORKER_LINE_PLAN)
		worker->events.plan(ctx, line);
	else if (parsed->kind == WORKER_LINE_DEVICE)
		worker->events.device(ctx, line);
	else if (parsed->kind == WORKER_LINE_VERIFY)
		worker->events.verify(ctx, line);
	else if (parsed->kind == WORKER_LINE_SHIPPED)
		worker->events.shipped(ctx, parsed->shipped, parsed->rejected);
	else if (parsed->kind == WORKER_LINE_IDLE) {
		worker->idle = true;
		worker->events.idle(ctx);
	}
}

/// A line of its stdout; `ctx` is the process.
static void worker_process_take_line(void *ctx, struct lm_str text)
{
	struct worker_process *worker = ctx;
	lm_auto_json json_t *line = NULL;
	struct worker_line parsed;

	if (worker->kill_reason.rc != LM_OK || worker->result)
		return;
	if (worker_protocol_parse(text, &line, &parsed) != LM_OK ||
		!is_expected(worker, parsed.kind) || !worker_process_is_due(worker, &parsed)) {
		reject_line(worker, text);
		return;
	}
	note_life(worker);
	if (parsed.kind == WORKER_LINE_RESULT)
		worker->result = json_incref(line);
	else
		worker_process_hand_over(worker, line, &parsed);
}

static void on_in(void *ctx, short events)
{
	(void)events;
	write_more(ctx);
}

static void read_out(struct worker_process *worker)
{
	bool end = false;
	struct lm_err err = {LM_OK};

	if (worker->out_fd < 0)
		return;
	if (line_reader_read(&worker->out, worker_process_take_line, worker, &end, &err)) {
		(void)!lm_wrap(&err, "read what the worker reports");
		kill_worker(worker, &err);
		end = true;
	}
	if (end)
		close_pipe(&worker->out_fd, &worker->out_watch);
}

static void on_silence(void *ctx)
{
	struct worker_process *worker = ctx;
	struct lm_err err;

	read_out(worker); // timers come before what can be read
	if (!time_limit_is_over(&worker->silence))
		return;
	(void)!lm_fail(&err, LM_E_TIMEOUT, 0,
		"the worker produced no output for %u s and was killed; see the connector log for "
		"what it was doing",
		worker->silence_ms / 1000);
	kill_worker(worker, &err);
}

static void on_grace(void *ctx)
{
	struct worker_process *worker = ctx;
	struct lm_err err;

	if (!time_limit_is_over(&worker->grace))
		return;
	(void)!lm_fail(&err, LM_E_CANCELLED, 0, "it did not stop within %d s and was killed",
		CANCEL_GRACE_MS / 1000);
	kill_worker(worker, &err);
}

static void worker_process_take_text(void *ctx, struct lm_str line)
{
	struct worker_process *worker = ctx;

	if (line.n)
		worker->events.text(worker->events.ctx, line);
}

static void read_err(struct worker_process *worker)
{
	bool end = false;
	struct lm_err ignored; // it is text for people; the task continues without

	if (worker->err_fd < 0)
		return;
	if (line_reader_read(&worker->err, worker_process_take_text, worker, &end, &ignored) || end)
		close_pipe(&worker->err_fd, &worker->err_watch);
}

static void worker_process_describe_exit(const struct worker_process *worker, struct lm_err *err)
{
	char how[96];

	(void)!lm_fail(err, LM_E_PROTOCOL, 0,
		"the worker exited without a result (%s)%s%s; see the connector log for its last "
		"lines",
		process_describe_status(worker->wait_status, how, sizeof(how)),
		worker->stage[0] ? ", in stage " : "", worker->stage);
}

/// What it has done until then it has reported itself, unless it was killed.
static struct worker_result make_refusal(const struct worker_process *worker)
{
	struct worker_result result = {.verdict = WORKER_FAIL};

	if (worker->result)
		result = worker_protocol_result(worker->result);
	result.verdict = WORKER_FAIL;
	result.rc = worker->refusal.rc;
	result.stage = worker->stage;
	result.error = "InternalError";
	result.message = worker->refusal.msg;
	return result;
}

static struct worker_result make_result(const struct worker_process *worker, struct lm_err *err)
{
	const char *stage = worker->stage[0] ? worker->stage : NULL;

	if (worker->refusal.rc && !worker->cancelled)
		return make_refusal(worker);
	if (worker->result)
		return worker_protocol_result(worker->result);
	if (worker->kill_reason.rc != LM_OK)
		*err = worker->kill_reason;
	else
		worker_process_describe_exit(worker, err);
	return (struct worker_result){
		.verdict = worker->cancelled ? WORKER_CANCELLED : WORKER_FAIL,
		.rc = err->rc,
		.stage = stage,
		.error = "InternalError",
		.message = err->msg,
	};
}

/// Once it was reaped: whatever it had written is read, then the exit is reported.
static void worker_process_finish(struct worker_process *worker)
{
	struct lm_err err = {LM_OK};

	if (worker->is_finished)
		return;
	worker->is_finished = true;
	read_out(worker);
	read_err(worker);
	loop_timer_stop(worker->silence.timer);
	loop_timer_stop(worker->grace.timer);
	struct worker_result result = make_result(worker, &err);
	worker->events.exited(worker->events.ctx, &result);
}

static void on_out(void *ctx, short events)
{
	(void)events;
	read_out(ctx);
}

static void on_err(void *ctx, short events)
{
	(void)events;
	read_err(ctx);
}

static void on_child(void *ctx, int wait_status)
{
	struct worker_process *worker = ctx;

	// What it started and left (a docker-compose whose worker crashed) goes with it.
	process_kill_session(worker->pid, SIGKILL);
	worker->reaped = true;
	worker->wait_status = wait_status;
	worker_process_finish(worker);
}

/// A pipe that we read.
static lm_rc make_pipe(int *ret_ours, int *ret_theirs, struct lm_err *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return lm_fail(err, LM_E_SYS, errno, "make a pipe: %m");
	*ret_ours = ends[0];
	*ret_theirs = ends[1];
	if (fcntl(*ret_ours, F_SETFL, O_NONBLOCK) < 0)
		return lm_fail(err, LM_E_SYS, errno, "make a pipe: %m");
	return LM_OK;
}

static lm_rc copy_fd(int fd, int *ret, struct lm_err *err)
{
	*ret = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return fd < 0 || *ret >= 0
		       ? LM_OK
		       : lm_fail(err, LM_E_SYS, errno, "duplicate a file descriptor: %m");
}

static lm_rc copy_handover(struct handover *to, const struct handover *from, struct lm_err *err)
{
	lm_rc rc = copy_fd(from->compose_fd, &to->compose_fd, err);

	if (rc == LM_OK)
		rc = copy_fd(from->key_fd, &to->key_fd, err);
	if (rc == LM_OK)
		rc = copy_fd(from->certificate_fd, &to->certificate_fd, err);
	if (rc == LM_OK)
		rc = copy_fd(from->previous_fd, &to->previous_fd, err);
	return rc ? rc : copy_fd(from->devices_fd, &to->devices_fd, err);
}

static lm_rc start_process(
	struct worker_process *worker, const struct worker_process_spec *spec, struct lm_err *err)
{
	lm_auto_close int in = -1;
	lm_auto_close int out = -1;
	lm_auto_close int text = -1;
	lm_auto_free char **first = handover_first_environment((const char *const *)environ);
	lm_rc rc = handover_make_socket(&worker->in_fd, &in, err);

	if (rc == LM_OK)
		rc = make_pipe(&worker->out_fd, &out, err);
	if (rc == LM_OK)
		rc = make_pipe(&worker->err_fd, &text, err);
	if (rc)
		return rc;
	const int fds[] = {in, out, text, spec->lock_fd};
	const struct process_spec process = {
		.argv = (const char *const[]){spec->program, NULL},
		.envp = (const char *const *)first,
		.directory = "/",
		.user = spec->user,
		.fds = fds,
		.fds_n = LM_ARRAY_SIZE(fds),
		.new_session = true,
		.shielded = true,
	};
	return process_start(&process, &worker->pid, err);
}

static lm_rc worker_process_watch(struct worker_process *worker, struct lm_err *err)
{
	lm_rc rc =
		loop_child_create(worker->loop, worker->pid, on_child, worker, &worker->child, err);

	if (rc == LM_OK)
		rc = loop_fd_create(
			worker->loop, worker->in_fd, on_in, worker, &worker->in_watch, err);
	if (rc == LM_OK)
		rc = loop_fd_create(
			worker->loop, worker->out_fd, on_out, worker, &worker->out_watch, err);
	if (rc == LM_OK)
		rc = loop_fd_create(
			worker->loop, worker->err_fd, on_err, worker, &worker->err_watch, err);
	if (rc)
		return rc;
	loop_fd_set(worker->out_watch, POLLIN);
	loop_fd_set(worker->err_watch, POLLIN);
	note_life(worker);
	return LM_OK;
}

lm_rc worker_process_start(struct loop *loop, const struct worker_process_spec *spec,
	const struct worker_process_events *events, struct worker_process **ret, struct lm_err *err)
{
	lm_auto(worker_process_destroy_p) struct worker_process *worker =
		lm_xcalloc(1, sizeof(*worker));

	*worker = (struct worker_process){
		.loop = loop,
		.events = *events,
		.reaped = true,
		.in_fd = -1,
		.out_fd = -1,
		.err_fd = -1,
		.handover = HANDOVER_NONE,
		.silence_ms = spec->silence_ms,
		.bare = spec->bare,
		.to_worker = LM_BUF(OUT_MAX),
		.out = {.pending = LM_BUF(LIMIT_WORKER_LINE)},
		.err = {.pending = LM_BUF(LIMIT_LOG_LINE), .in_pieces = true},
	};
	worker->silence.timer = loop_timer_create(loop, on_silence, worker);
	worker->grace.timer = loop_timer_create(loop, on_grace, worker);
	if (!json_write(spec->document, &worker->to_worker) ||
		!lm_buf_putc(&worker->to_worker, '\n'))
		return lm_fail(err, LM_E_TOO_LARGE, 0, "the definition is too large for a worker");
	lm_rc rc = copy_handover(&worker->handover, &spec->handover, err);
	if (rc == LM_OK)
		rc = start_process(worker, spec, err);
	if (rc)
		return rc;
	worker->reaped = false;
	worker->out.fd = worker->out_fd;
	worker->err.fd = worker->err_fd;
	rc = worker_process_watch(worker, err);
	if (rc)
		return rc;
	*ret = lm_take(worker);
	return LM_OK;
}

void worker_process_cancel(struct worker_process *worker)
{
	if (worker->cancelled || worker->reaped)
		return;
	worker->cancelled = true;
	terminate_worker(worker);
}

void worker_process_kill(struct worker_process *worker)
{
	worker->is_finished = true;
	if (!worker->reaped)
		process_kill_session(worker->pid, SIGKILL);
	read_out(worker);
	read_err(worker);
}

pid_t worker_process_pid(const struct worker_process *worker)
{
	return worker->pid;
}

void worker_process_destroy(struct worker_process *worker)
{
	if (!worker)
		return;
	if (!worker->reaped)
		process_kill_session(worker->pid, SIGKILL);
	loop_child_destroy(worker->child);
	close_pipe(&worker->in_fd, &worker->in_watch);
	close_pipe(&worker->out_fd, &worker->out_watch);
	close_pipe(&worker->err_fd, &worker->err_watch);
	loop_timer_destroy(worker->silence.timer);
	loop_timer_destroy(worker->grace.timer);
	handover_finish(&worker->handover);
	lm_buf_finish(&worker->to_worker);
	line_reader_finish(&worker->out);
	line_reader_finish(&worker->err);
	json_decref(worker->result);
	free(worker);
}
