// SPDX-License-Identifier: Apache-2.0
#include "daemon/job_priv.h"

#include "base/limits.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

enum {
	CANCEL_GRACE_MS = 30 * 1000, ///< docker-compose gets 10 s of it.
	ORDER_MAX = 4096,
	OUT_MAX = LIMIT_WORKER_JOB + ORDER_MAX,
};

static void close_pipe(int *fd, struct loop_fd **watch)
{
	loop_fd_destroy(lm_take(*watch));
	if (*fd >= 0)
		(void)close(lm_take_fd(*fd));
}

void job_kill_worker(struct job *job, const struct lm_err *why)
{
	if (why && job->fault.rc == LM_OK)
		job->fault = *why;
	if (!job->reaped)
		process_kill_session(job->pid, SIGKILL);
}

static void patience_begin(struct patience *p, unsigned ms)
{
	enum { PARTS = 4 };
	unsigned part_ms = (ms + PARTS - 1) / PARTS;

	p->parts_left = PARTS;
	loop_timer_start(p->timer, part_ms, part_ms);
}

/// A part has passed, or much more than that: libuv calls once for all that was missed.
static bool patience_is_over(struct patience *p)
{
	if (--p->parts_left > 0)
		return false;
	loop_timer_stop(p->timer);
	return true;
}

void job_note_life(struct job *job)
{
	patience_begin(&job->silence, job->silence_ms);
}

static void read_out(struct job *job);

static void on_silence(void *ctx)
{
	struct job *job = ctx;
	struct lm_err err;

	read_out(job); // timers come before what can be read
	if (!patience_is_over(&job->silence))
		return;
	(void)!lm_fail(&err, LM_E_TIMEOUT, 0,
		"the worker has said nothing for %u s and was ended; see the connector log for "
		"what it was doing",
		job->silence_ms / 1000);
	job_kill_worker(job, &err);
}

static void on_grace(void *ctx)
{
	struct job *job = ctx;
	struct lm_err err;

	if (!patience_is_over(&job->grace))
		return;
	(void)!lm_fail(&err, LM_E_CANCELLED, 0, "told to stop, it did not within %d s",
		CANCEL_GRACE_MS / 1000);
	job_kill_worker(job, &err);
}

void job_write_more(struct job *job)
{
	while (job->to_worker.len > 0) {
		ssize_t n = write(job->in_fd, job->to_worker.data, job->to_worker.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			loop_fd_set(job->in_watch, POLLOUT);
			return;
		}
		if (n < 0) { // it reads no more: its end says why
			lm_buf_finish(&job->to_worker);
			break;
		}
		lm_buf_consume(&job->to_worker, (size_t)n);
	}
	lm_buf_finish(&job->to_worker); // a job may be large, and a worker lives for long
	loop_fd_set(job->in_watch, 0);
}

static void on_in(void *ctx, short events)
{
	(void)events;
	job_write_more(ctx);
}

static void read_out(struct job *job)
{
	bool end = false;
	struct lm_err err = {LM_OK};

	if (job->out_fd < 0)
		return;
	if (lines_read(&job->out, job_take_line, job, &end, &err)) {
		(void)!lm_wrap(&err, "read what the worker reports");
		job_kill_worker(job, &err);
		end = true;
	}
	if (end)
		close_pipe(&job->out_fd, &job->out_watch);
}

static void take_text(void *ctx, struct lm_str line)
{
	struct job *job = ctx;

	if (line.n)
		job->events.text(job->events.ctx, line);
}

static void read_err(struct job *job)
{
	bool end = false;
	struct lm_err ignored; // it is text for people; the job goes on without

	if (job->err_fd < 0)
		return;
	if (lines_read(&job->err, take_text, job, &end, &ignored) || end)
		close_pipe(&job->err_fd, &job->err_watch);
}

static void describe_end(const struct job *job, struct lm_err *err)
{
	char how[96];

	(void)!lm_fail(err, LM_E_PROTOCOL, 0,
		"the worker ended without a result (%s)%s%s; see the connector log for its last "
		"words",
		process_describe_status(job->wait_status, how, sizeof(how)),
		job->stage[0] ? ", in stage " : "", job->stage);
}

static struct job_result make_result(const struct job *job, struct lm_err *err)
{
	const char *stage = job->stage[0] ? job->stage : NULL;

	if (job->result)
		return job_line_result(job->result);
	if (job->fault.rc != LM_OK)
		*err = job->fault;
	else
		describe_end(job, err);
	return (struct job_result){
		.verdict = job->cancelled ? JOB_CANCELLED : JOB_FAIL,
		.rc = err->rc,
		.stage = stage,
		.error = "InternalError",
		.message = err->msg,
	};
}

/// Once it was reaped: whatever it had written is read, then the end is told.
static void finish(struct job *job)
{
	struct lm_err err = {LM_OK};

	if (job->ending)
		return;
	job->ending = true;
	read_out(job);
	read_err(job);
	loop_timer_stop(job->silence.timer);
	loop_timer_stop(job->grace.timer);
	struct job_result result = make_result(job, &err);
	job->events.ended(job->events.ctx, &result);
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
	struct job *job = ctx;

	// What it started and left (a docker-compose whose worker crashed) goes with it.
	process_kill_session(job->pid, SIGKILL);
	job->reaped = true;
	job->wait_status = wait_status;
	finish(job);
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
	return fd < 0 || *ret >= 0 ? LM_OK : lm_fail(err, LM_E_SYS, errno, "keep a file open: %m");
}

static lm_rc copy_handover(struct handover *to, const struct handover *from, struct lm_err *err)
{
	lm_rc rc = copy_fd(from->compose_fd, &to->compose_fd, err);

	if (rc == LM_OK)
		rc = copy_fd(from->key_fd, &to->key_fd, err);
	if (rc == LM_OK)
		rc = copy_fd(from->certificate_fd, &to->certificate_fd, err);
	return rc ? rc : copy_fd(from->previous_fd, &to->previous_fd, err);
}

static lm_rc start_process(struct job *job, const struct job_spec *spec, struct lm_err *err)
{
	lm_auto_close int in = -1;
	lm_auto_close int out = -1;
	lm_auto_close int text = -1;
	lm_auto_free char **first = handover_first_environment((const char *const *)environ);
	lm_rc rc = handover_make_socket(&job->in_fd, &in, err);

	if (rc == LM_OK)
		rc = make_pipe(&job->out_fd, &out, err);
	if (rc == LM_OK)
		rc = make_pipe(&job->err_fd, &text, err);
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
	return process_start(&process, &job->pid, err);
}

static lm_rc watch(struct job *job, struct lm_err *err)
{
	lm_rc rc = loop_child_create(job->loop, job->pid, on_child, job, &job->child, err);

	if (rc == LM_OK)
		rc = loop_fd_create(job->loop, job->in_fd, on_in, job, &job->in_watch, err);
	if (rc == LM_OK)
		rc = loop_fd_create(job->loop, job->out_fd, on_out, job, &job->out_watch, err);
	if (rc == LM_OK)
		rc = loop_fd_create(job->loop, job->err_fd, on_err, job, &job->err_watch, err);
	if (rc)
		return rc;
	loop_fd_set(job->out_watch, POLLIN);
	loop_fd_set(job->err_watch, POLLIN);
	job_note_life(job);
	return LM_OK;
}

lm_rc job_start(struct loop *loop, const struct job_spec *spec, const struct job_events *events,
	struct job **ret, struct lm_err *err)
{
	lm_auto(job_destroy_p) struct job *job = lm_xcalloc(1, sizeof(*job));

	*job = (struct job){
		.loop = loop,
		.events = *events,
		.reaped = true,
		.in_fd = -1,
		.out_fd = -1,
		.err_fd = -1,
		.handover = {-1, -1, -1, -1},
		.silence_ms = spec->silence_ms,
		.to_worker = LM_BUF(OUT_MAX),
		.out = {.pending = LM_BUF(LIMIT_WORKER_LINE)},
		.err = {.pending = LM_BUF(LIMIT_LOG_LINE), .in_pieces = true},
	};
	job->silence.timer = loop_timer_create(loop, on_silence, job);
	job->grace.timer = loop_timer_create(loop, on_grace, job);
	if (!json_write(spec->document, &job->to_worker) || !lm_buf_putc(&job->to_worker, '\n'))
		return lm_fail(err, LM_E_TOO_LARGE, 0, "the definition is too large for a worker");
	lm_rc rc = copy_handover(&job->handover, &spec->handover, err);
	if (rc == LM_OK)
		rc = start_process(job, spec, err);
	if (rc)
		return rc;
	job->reaped = false;
	job->out.fd = job->out_fd;
	job->err.fd = job->err_fd;
	rc = watch(job, err);
	if (rc)
		return rc;
	*ret = lm_take(job);
	return LM_OK;
}

void job_order(struct job *job, const char *line)
{
	job->idle = false;
	job->to_worker.max = ORDER_MAX;
	(void)(lm_buf_puts(&job->to_worker, line) && lm_buf_putc(&job->to_worker, '\n'));
	job_write_more(job);
}

void job_cancel(struct job *job)
{
	if (job->cancelled || job->reaped)
		return;
	job->cancelled = true;
	(void)kill(job->pid, SIGTERM);
	patience_begin(&job->grace, CANCEL_GRACE_MS);
}

void job_kill(struct job *job)
{
	job->ending = true;
	if (!job->reaped)
		process_kill_session(job->pid, SIGKILL);
	read_out(job);
	read_err(job);
}

pid_t job_pid(const struct job *job)
{
	return job->pid;
}

void job_destroy(struct job *job)
{
	if (!job)
		return;
	if (!job->reaped)
		process_kill_session(job->pid, SIGKILL);
	loop_child_destroy(job->child);
	close_pipe(&job->in_fd, &job->in_watch);
	close_pipe(&job->out_fd, &job->out_watch);
	close_pipe(&job->err_fd, &job->err_watch);
	loop_timer_destroy(job->silence.timer);
	loop_timer_destroy(job->grace.timer);
	handover_finish(&job->handover);
	lm_buf_finish(&job->to_worker);
	lines_finish(&job->out);
	lines_finish(&job->err);
	json_decref(job->result);
	free(job);
}
