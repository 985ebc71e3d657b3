// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/secret.h"
#include "sys/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { MORE_FDS_MAX = 5 };

/// A child at work: our ends of its three pipes, and what was read of an unfinished line.
struct run {
	const struct process_run *spec;
	pid_t pid;
	int in;
	int out[2]; ///< By enum process_stream; -1 once at its end.
	struct lm_str input;
	struct lm_buf line[2];
	bool writes; ///< `input` may go into stdin.
	bool reaped;
	int status;
};

static void run_finish(struct run *r)
{
	lm_cleanup_close(&r->in);
	for (unsigned i = 0; i < 2; i++) {
		lm_cleanup_close(&r->out[i]);
		lm_buf_finish(&r->line[i]);
	}
}

static lm_rc make_pipe(int *ret_read, int *ret_write, int ours_flag_end, struct lm_err *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return lm_fail(err, LM_E_SYS, errno, "make a pipe: %m");
	(void)fcntl(ends[ours_flag_end], F_SETFL, O_NONBLOCK);
	*ret_read = ends[0];
	*ret_write = ends[1];
	return LM_OK;
}

static lm_rc make_stdin(struct run *r, int *ret_child, struct lm_err *err)
{
	int ends[2];

	r->writes = !r->spec->on_stdin;
	if (r->writes)
		return make_pipe(ret_child, &r->in, 1, err);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return lm_fail(err, LM_E_SYS, errno, "make a socket: %m");
	(void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
	r->in = ends[0];
	*ret_child = ends[1];
	return LM_OK;
}

static lm_rc start(struct run *r, struct lm_err *err)
{
	lm_auto_close int child_in = -1;
	lm_auto_close int child_out = -1;
	lm_auto_close int child_err = -1;
	lm_rc rc = make_stdin(r, &child_in, err);

	if (!rc)
		rc = make_pipe(&r->out[PROCESS_STDOUT], &child_out, 0, err);
	if (!rc)
		rc = make_pipe(&r->out[PROCESS_STDERR], &child_err, 0, err);
	if (rc)
		return rc;
	struct process_spec spec = r->spec->spec;
	int fds[3 + MORE_FDS_MAX] = {child_in, child_out, child_err};
	for (unsigned i = 0; i < r->spec->more_fds_n && i < MORE_FDS_MAX; i++)
		fds[3 + i] = r->spec->more_fds[i];
	spec.fds = fds;
	spec.fds_n = 3 + r->spec->more_fds_n;
	return process_start(&spec, &r->pid, err);
}

static void emit(struct run *r, enum process_stream stream, struct lm_str line)
{
	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	if (r->spec->on_line)
		r->spec->on_line(r->spec->ctx, stream, line);
	if (!r->writes && r->in >= 0)
		r->writes = r->spec->on_stdin(r->spec->ctx, r->in);
}

static void emit_lines(struct run *r, enum process_stream stream, struct lm_str piece)
{
	struct lm_buf *line = &r->line[stream];

	while (piece.n) {
		size_t n = lm_str_find(piece, '\n');
		bool ends = n < piece.n;
		size_t room = line->max - line->len;

		if (n > room) {
			n = room;
			ends = false;
		}
		(void)lm_buf_add(line, piece.p, n);
		piece.p += n + ends;
		piece.n -= n + ends;
		if (ends || line->len == line->max) {
			emit(r, stream, lm_buf_str(line));
			lm_buf_clear(line);
		}
	}
}

static lm_rc read_some(struct run *r, enum process_stream stream, struct lm_err *err)
{
	char piece[8192];
	ssize_t n = read(r->out[stream], piece, sizeof(piece));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return LM_OK;
	if (n <= 0) {
		(void)close(lm_take_fd(r->out[stream]));
		if (r->line[stream].len) {
			emit(r, stream, lm_buf_str(&r->line[stream]));
			lm_buf_clear(&r->line[stream]);
		}
		return LM_OK;
	}
	if (stream == PROCESS_STDOUT && r->spec->output) {
		bool fits = lm_buf_add(r->spec->output, piece, (size_t)n);
		if (r->spec->output->wipe)
			lm_wipe(piece, (size_t)n);
		if (!fits)
			return lm_fail(err, LM_E_TOO_LARGE, 0,
				"'%s' printed more than %zu bytes, the most that is read",
				r->spec->spec.argv[0], r->spec->output->max);
		return LM_OK;
	}
	emit_lines(r, stream, (struct lm_str){piece, (size_t)n});
	return LM_OK;
}

static void write_some(struct run *r)
{
	ssize_t n = r->input.n ? write(r->in, r->input.p, r->input.n) : 0;

	if (n > 0) {
		r->input.p += n;
		r->input.n -= (size_t)n;
	}
	// A child that closes its stdin early has read enough.
	bool gone = n < 0 && errno != EAGAIN && errno != EINTR;
	if (gone || (r->input.n == 0 && !r->spec->keeps_stdin))
		(void)close(lm_take_fd(r->in));
}

static void try_reap(struct run *r)
{
	if (!r->reaped && waitpid(r->pid, &r->status, WNOHANG) == r->pid)
		r->reaped = true;
}

/// Waits at most `slice_ms` and moves what can be moved. `*ret_idle`: nothing came.
static lm_rc pump(
	struct run *r, const struct wait_limit *limit, unsigned slice_ms, struct lm_err *err)
{
	bool idle_in = !r->writes || (r->input.n == 0 && r->spec->keeps_stdin);
	struct pollfd fds[3] = {{.fd = idle_in ? -1 : r->in, .events = POLLOUT},
		{.fd = r->out[PROCESS_STDOUT], .events = POLLIN},
		{.fd = r->out[PROCESS_STDERR], .events = POLLIN}};
	struct wait_limit slice = wait_limit_within(limit, slice_ms);
	lm_rc rc = wait_for(fds, 3, &slice, err);

	if (rc == LM_E_TIMEOUT && slice.deadline_ms != limit->deadline_ms)
		return LM_OK;
	if (rc)
		return rc;
	if (fds[0].revents)
		write_some(r);
	for (unsigned i = 0; i < 2; i++) {
		if (!fds[i + 1].revents)
			continue;
		rc = read_some(r, (enum process_stream)i, err);
		if (rc)
			return rc;
	}
	return LM_OK;
}

/// To the end of the child and of its output; for what a grandchild holds open, a second more.
static lm_rc pump_to_end(struct run *r, const struct wait_limit *limit, struct lm_err *err)
{
	enum { SLICE_MS = 20, AFTER_END_MS = 1000 };
	uint64_t ended_ms = 0;

	for (;;) {
		bool open = r->out[0] >= 0 || r->out[1] >= 0;

		try_reap(r);
		if (r->reaped && ended_ms == 0)
			ended_ms = lm_clock_mono_ms();
		if (r->reaped && (!open || lm_clock_mono_ms() - ended_ms > AFTER_END_MS))
			return LM_OK;
		// While output is open its end wakes us; the slices are for a child that closed it.
		lm_rc rc = pump(r, limit, open && !r->reaped ? 1000 : SLICE_MS, err);
		if (rc)
			return rc;
	}
}

/// Ends the group: SIGTERM, after the grace SIGKILL, and reaps. Output in between is still read.
static void end_group(struct run *r)
{
	struct lm_err ignored;

	(void)kill(-r->pid, SIGTERM);
	struct wait_limit grace = wait_limit_within(&WAIT_FOREVER, r->spec->term_grace_ms);
	if (pump_to_end(r, &grace, &ignored) && !r->reaped) {
		(void)kill(-r->pid, SIGKILL);
		while (waitpid(r->pid, &r->status, 0) < 0 && errno == EINTR)
			continue;
		r->reaped = true;
	}
	(void)kill(-r->pid, SIGKILL); // grandchildren that ignored SIGTERM
}

lm_rc process_run(const struct process_run *run, const struct wait_limit *limit, int *ret_status,
	struct lm_err *err)
{
	lm_auto(run_finish) struct run r = {.spec = run,
		.in = -1,
		.out = {-1, -1},
		.input = run->input,
		.line = {LM_BUF(LIMIT_LOG_LINE), LM_BUF(LIMIT_LOG_LINE)}};
	lm_rc rc = start(&r, err);

	if (rc)
		return rc;
	rc = pump_to_end(&r, limit, err);
	if (rc) {
		end_group(&r);
		return lm_wrap(err, "'%s' was ended", run->spec.argv[0]);
	}
	*ret_status = r.status;
	return LM_OK;
}
