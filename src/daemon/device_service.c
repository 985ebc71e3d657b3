// SPDX-License-Identifier: Apache-2.0
#include "daemon/device_service.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "daemon/log_router.h"
#include "daemon/worker_protocol.h"
#include "deploy/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	AGAIN_MS = 1000,
	AGAIN_MAX_MS = 60 * 1000,
	STABLE_MS = 60 * 1000, ///< After so long, failures are counted anew.
	GRACE_MS = 10 * 1000,  ///< From SIGTERM to SIGKILL.
	LEFT_MS = 200,         ///< How often one that was left is looked for.
	/// By then it takes the signal of a reload; before it would maybe end at it.
	SETTLES_MS = 2000,
	HANGUP_MS = 50, ///< How often that is looked at.
	LINES_MAX_AT_A_TIME = 20,
	LINES_EVERY_MS = 30 * 1000,
	LOGGED_FAILURES = 5, ///< In a row; of more, one an hour is logged.
	CALL_MAX_MS = 60 * 1000,
	COMPLAINT_MAX = 200,
	/// As the units': a connection for each of the most devices of a group, and as many again
	/// while they reconnect. Most systems give a process 1,024.
	DESCRIPTORS_MAX = 8192,
};

/// What systemctl is to do; a later one replaces an earlier one, but for a reload after a start.
enum unit_call {
	CALL_NONE,
	CALL_START,
	CALL_RELOAD,
	CALL_RESTART,
	CALL_STOP,
	CALL_SHOW,
	CALL_JOURNAL, ///< Journalctl says why it failed.
};

struct device_service {
	struct loop *loop;
	char *name, *lock, *unit, *rival, *systemctl, *journalctl, *user, *owner;
	char **argv;
	bool logs_as_we_do;
	loop_cb *changed;
	void *ctx;

	enum device_service_state state;
	bool wanted;
	struct loop_timer *timer; ///< Until it is started again, or killed.
	struct lm_err fault;      ///< rc is LM_OK: there is none.
	unsigned failures, failures_in_a_row;

	pid_t pid; ///< 0: it does not run.
	uint64_t since_ms;
	struct loop_child *child;
	struct loop_timer *hangup; ///< Until it takes SIGHUP.
	pid_t left;                ///< One of an earlier lightermand that is being ended; 0: none.
	uint64_t left_since_ms;

	int out_fd;
	struct loop_fd *out_watch;
	struct line_reader out;
	uint64_t window_ms; ///< When counting lines began.
	unsigned lines;
	uint64_t left_out;
	char complaint[4 * COMPLAINT_MAX +
		       32]; ///< Its last line that is an error, since its start.

	enum unit_call call, next_call; ///< What systemctl does, and will do then.
	enum unit_call owed;            ///< The strongest start that has not ended well.
	bool unit_left;                 ///< An earlier lightermand may have left it running.
	const char *verb;               ///< How it failed, while journalctl says why.
	struct loop_timer *call_limit;
	int pid_fd; ///< Of a unit's process; -1: none, or the kernel has no such thing.
	struct loop_fd *pid_watch;
};

const char *device_service_state_name(enum device_service_state state)
{
	static const char *const names[] = {
		[DEVICE_SERVICE_STOPPED] = "stopped",
		[DEVICE_SERVICE_STARTING] = "starting",
		[DEVICE_SERVICE_RUNNING] = "running",
		[DEVICE_SERVICE_FAILED] = "failed",
		[DEVICE_SERVICE_STOPPING] = "stopping",
	};

	return names[state];
}

static void set_state(struct device_service *s, enum device_service_state state)
{
	bool is_new = s->state != state;

	s->state = state;
	if (state != DEVICE_SERVICE_FAILED)
		s->fault.rc = LM_OK;
	if (is_new && s->changed)
		s->changed(s->ctx);
}

// Its lines ---------------------------------------------------------------------------------------

static void log_left_out(struct device_service *s)
{
	if (s->left_out > 0)
		lm_warn("%s: %llu more lines in %u s are left out", s->name,
			(unsigned long long)s->left_out, LINES_EVERY_MS / 1000);
	s->left_out = 0;
}

/// What it says is an error may be why it ends.
static void note_complaint(struct device_service *s, struct lm_str line)
{
	(void)lm_str_shorten(line, COMPLAINT_MAX, s->complaint, sizeof(s->complaint));
}

static void log_service_line(struct device_service *s, struct lm_str line)
{
	bool is_error = lm_str_starts(line, LM_STR("Error")); // as mosquitto writes them
	bool is_warning = lm_str_starts(line, LM_STR("Warning"));

	if (is_error)
		note_complaint(s, line);
	if (s->lines++ >= LINES_MAX_AT_A_TIME)
		s->left_out++;
	else
		lm_log(is_error || is_warning ? LM_WARN : LM_INFO, "%s: %.*s", s->name,
			LM_STR_ARG(line));
}

/// A line that has the form of our log.
static void forward_service_line(struct device_service *s, struct lm_str line, enum lm_level level)
{
	struct lm_str message = line;

	(void)lm_str_cut(&message, ','); // time, level and place
	if (level >= LM_ERROR)
		note_complaint(s, message);
	if (s->lines++ >= LINES_MAX_AT_A_TIME)
		s->left_out++;
	else
		log_router_forward(NULL, line);
}

static void on_service_line(void *ctx, struct lm_str line)
{
	struct device_service *s = ctx;
	uint64_t now_ms = lm_clock_mono_ms();
	int64_t ignored;
	enum lm_level level;

	if (now_ms - s->window_ms >= LINES_EVERY_MS) {
		log_left_out(s);
		s->window_ms = now_ms;
		s->lines = 0;
	}
	line = lm_str_trim(line);
	if (line.n == 0)
		return;
	if (s->logs_as_we_do && lm_log_parse(line, &ignored, &level))
		forward_service_line(s, line, level);
	else
		log_service_line(s, line);
}

static void close_out(struct device_service *s)
{
	loop_fd_destroy(lm_take(s->out_watch));
	lm_cleanup_close(&s->out_fd);
	s->out_fd = -1;
	line_reader_finish(&s->out);
}

static void read_service_lines(struct device_service *s)
{
	bool end = false;
	struct lm_err ignored; // they are for people; it runs on without

	if (s->out_fd >= 0 &&
		(line_reader_read(&s->out, on_service_line, s, &end, &ignored) || end))
		close_out(s);
}

static void on_out_readable(void *ctx, short events)
{
	(void)events;
	read_service_lines(ctx);
}

// A child -----------------------------------------------------------------------------------------

static void begin_child(struct device_service *s);

/// The n-th failure in a row is logged only now and then: one that lasts comes every minute.
static void note_service_failure(struct device_service *s, const char *verb)
{
	unsigned n = s->failures_in_a_row++;
	unsigned delay_ms =
		AGAIN_MS + (unsigned)lm_backoff_ms(n, AGAIN_MS, AGAIN_MAX_MS - AGAIN_MS);

	lm_log(n < LOGGED_FAILURES || n % LOGGED_FAILURES == 0 ? LM_WARN : LM_DEBUG,
		"%s %s: %s, starting it again in %u s", s->name, verb, s->fault.msg,
		(delay_ms + 999) / 1000);
	loop_timer_start(s->timer, delay_ms, 0);
	set_state(s, DEVICE_SERVICE_FAILED);
}

static void on_service_ended(struct device_service *s, int wait_status)
{
	char how[96];
	bool was_stable = lm_clock_mono_ms() - s->since_ms >= STABLE_MS;

	s->pid = 0;
	if (s->state == DEVICE_SERVICE_STOPPING) {
		loop_timer_stop(s->timer);
		lm_info("%s has stopped", s->name);
		set_state(s, DEVICE_SERVICE_STOPPED);
		if (s->wanted)
			begin_child(s);
		return;
	}
	s->failures++;
	if (was_stable)
		s->failures_in_a_row = 0;
	(void)!lm_fail(&s->fault, LM_E_SYS, 0, "%s%s%s%s",
		process_describe_status(wait_status, how, sizeof(how)), s->complaint[0] ? " (" : "",
		s->complaint, s->complaint[0] ? ")" : "");
	note_service_failure(s, "has ended");
}

static void on_service_child(void *ctx, int wait_status)
{
	struct device_service *s = ctx;

	process_kill_session(s->pid, SIGKILL);
	loop_timer_stop(s->hangup);
	loop_child_destroy(lm_take(s->child));
	read_service_lines(s);
	if (s->out_fd >= 0)
		close_out(s);
	on_service_ended(s, wait_status);
}

/// Takes the lock, or finds out who has it. LM_E_CONFLICT. The child gets a descriptor that it
/// cannot write with: what it could write there, the next lightermand would end.
static lm_rc take_service_lock(
	const struct device_service *s, int *ret_fd, pid_t *ret_holder, struct lm_err *err)
{
	lm_auto_close int fd = open(s->lock, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	char text[32];
	uint64_t pid = 0;

	if (fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "open '%s': %m", s->lock);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
		ssize_t n = pread(fd, text, sizeof(text), 0);

		if (n > 0)
			(void)lm_str_to_u64(
				lm_str_trim((struct lm_str){text, (size_t)n}), INT32_MAX, &pid);
		*ret_holder = (pid_t)pid;
		return LM_E_CONFLICT;
	}
	*ret_fd = lm_take_fd(fd);
	return LM_OK;
}

static lm_rc note_holder(const char *path, pid_t pid, struct lm_err *err)
{
	lm_auto_close int fd = open(path, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
	char text[32];

	if (fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "write '%s': %m", path);
	(void)snprintf(text, sizeof(text), "%ld\n", (long)pid);
	return lm_fd_write_all(fd, path, lm_str(text), err);
}

static lm_rc read_process_status(pid_t pid, struct lm_buf *out)
{
	lm_auto_free char *path = lm_xasprintf("/proc/%ld/status", (long)pid);
	struct lm_err ignored;

	return lm_file_read(path, out, &ignored);
}

/// Whether a process leads a session, as each service does, and is its owner's: the number of one
/// that has ended may be another program's by now.
static bool may_be_service(const struct device_service *s, pid_t pid)
{
	lm_auto(process_user_finish) struct process_user owner = {.uid = geteuid()};
	lm_auto_buf struct lm_buf text = LM_BUF(64 << 10);
	lm_auto_free char *line = NULL;
	struct lm_err ignored;

	if (pid <= 0 || getsid(pid) != pid || read_process_status(pid, &text) != LM_OK ||
		(s->owner && process_user_by_name(s->owner, &owner, &ignored) != LM_OK))
		return false;
	line = lm_xasprintf("\nUid:\t%u\t", (unsigned)owner.uid);
	return strstr(lm_buf_cstr(&text), line) != NULL;
}

/// Whether a process has a handler for SIGHUP, by which it does not end.
static bool takes_hangup(pid_t pid)
{
	lm_auto_buf struct lm_buf text = LM_BUF(64 << 10);
	const char *caught = NULL;

	if (read_process_status(pid, &text) == LM_OK)
		caught = strstr(lm_buf_cstr(&text), "\nSigCgt:\t");
	return caught && strtoull(caught + strlen("\nSigCgt:\t"), NULL, 16) & 1ull << (SIGHUP - 1);
}

static void hang_up(struct device_service *s)
{
	if (lm_clock_mono_ms() - s->since_ms >= SETTLES_MS || takes_hangup(s->pid))
		(void)kill(s->pid, SIGHUP);
	else
		loop_timer_start(s->hangup, HANGUP_MS, 0);
}

static void on_hangup_due(void *ctx)
{
	hang_up(ctx);
}

static lm_rc make_out_pipe(struct device_service *s, int *ret_theirs, struct lm_err *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return lm_fail(err, LM_E_SYS, errno, "make a pipe: %m");
	s->out_fd = ends[0];
	*ret_theirs = ends[1];
	if (fcntl(s->out_fd, F_SETFL, O_NONBLOCK) < 0)
		return lm_fail(err, LM_E_SYS, errno, "make a pipe: %m");
	s->out = (struct line_reader){
		.fd = s->out_fd, .pending = LM_BUF(LIMIT_LOG_LINE), .in_pieces = true};
	return loop_fd_create(s->loop, s->out_fd, on_out_readable, s, &s->out_watch, err);
}

/// What the loader and the C library read, and how long a name that is not answered is waited for:
/// mosquitto looks up its bridges one after the other before it serves anybody.
static char **make_environment(void)
{
	char **first = handover_first_environment((const char *const *)environ);
	size_t n = 0;

	while (first[n])
		n++;
	first = lm_xrealloc(first, (n + 2) * sizeof(*first));
	first[n] = (char *)"RES_OPTIONS=timeout:1 attempts:1";
	first[n + 1] = NULL;
	return first;
}

static lm_rc start_child(struct device_service *s, int lock_fd, struct lm_err *err)
{
	lm_auto(process_user_finish) struct process_user user = {0};
	lm_auto_free char **environment = make_environment();
	lm_auto_close int out = -1;
	lm_rc rc = s->user ? process_user_by_name(s->user, &user, err) : LM_OK;

	if (rc == LM_OK)
		rc = make_out_pipe(s, &out, err);
	if (rc)
		return rc;
	const int fds[] = {-1, out, out, lock_fd};
	const struct process_spec process = {
		.argv = (const char *const *)s->argv,
		.envp = (const char *const *)environment,
		.directory = "/",
		.user = s->user ? &user : NULL,
		.fds = fds,
		.fds_n = LM_ARRAY_SIZE(fds),
		.new_session = true,
		.die_with_parent = true,
		.descriptors_max = DESCRIPTORS_MAX,
	};
	rc = process_start(&process, &s->pid, err);
	if (rc)
		return rc;
	s->since_ms = lm_clock_mono_ms();
	s->complaint[0] = '\0';
	loop_fd_set(s->out_watch, POLLIN);
	rc = loop_child_create(s->loop, s->pid, on_service_child, s, &s->child, err);
	return rc ? rc : note_holder(s->lock, s->pid, err);
}

static void kill_child(struct device_service *s)
{
	if (s->pid > 0 && !s->unit)
		process_kill_session(s->pid, SIGKILL);
	loop_child_destroy(lm_take(s->child));
	if (s->out_fd >= 0)
		close_out(s);
	s->pid = 0;
}

/// One that an earlier lightermand left gets as long to end as ours.
static void end_left(struct device_service *s, pid_t holder)
{
	uint64_t now_ms = lm_clock_mono_ms();

	if (s->left != holder || s->left_since_ms == 0) {
		s->left = holder;
		s->left_since_ms = now_ms;
		lm_warn("%s of an earlier lightermand is still running, ending it", s->name);
		if (may_be_service(s, holder))
			(void)kill(holder, SIGTERM);
	} else if (may_be_service(s, holder) && now_ms - s->left_since_ms > GRACE_MS) {
		process_kill_session(holder, SIGKILL);
		s->left_since_ms = now_ms;
	}
	loop_timer_start(s->timer, LEFT_MS, 0);
	set_state(s, DEVICE_SERVICE_STARTING);
}

static void call_systemctl(struct device_service *s, enum unit_call call);

static void begin_child(struct device_service *s)
{
	if (s->unit_left) {
		call_systemctl(s, CALL_STOP);
		return;
	}
	lm_auto_close int lock = -1;
	pid_t holder = 0;
	lm_rc rc = take_service_lock(s, &lock, &holder, &s->fault);

	loop_timer_stop(s->timer);
	if (rc == LM_E_CONFLICT) {
		end_left(s, holder);
		return;
	}
	s->left_since_ms = 0;
	if (rc == LM_OK)
		rc = start_child(s, lock, &s->fault);
	if (rc) {
		kill_child(s);
		note_service_failure(s, "cannot be started");
		return;
	}
	lm_info("%s has started (process %ld)", s->name, (long)s->pid);
	set_state(s, DEVICE_SERVICE_RUNNING);
}

static void stop_child(struct device_service *s)
{
	loop_timer_stop(s->hangup);
	if (s->state == DEVICE_SERVICE_RUNNING) {
		(void)kill(s->pid, SIGTERM);
		loop_timer_start(s->timer, GRACE_MS, 0);
		set_state(s, DEVICE_SERVICE_STOPPING);
	} else if (s->state != DEVICE_SERVICE_STOPPING) {
		loop_timer_stop(s->timer);
		set_state(s, DEVICE_SERVICE_STOPPED);
	}
}

// A unit ------------------------------------------------------------------------------------------

static void unwatch_process(struct device_service *s)
{
	loop_fd_destroy(lm_take(s->pid_watch));
	lm_cleanup_close(&s->pid_fd);
	s->pid_fd = -1;
	s->pid = 0;
}

/// Systemd starts it again, which takes a moment.
static void on_unit_process_ended(void *ctx, short events)
{
	struct device_service *s = ctx;

	(void)events;
	unwatch_process(s);
	if (s->state != DEVICE_SERVICE_RUNNING || s->call != CALL_NONE)
		return; // it was told to
	s->failures++;
	(void)!lm_fail(&s->fault, LM_E_SYS, 0, "see 'journalctl -u %s'", s->unit);
	note_service_failure(s, "has ended");
}

static void watch_process(struct device_service *s, pid_t pid)
{
	struct lm_err ignored; // then its end is not seen

	unwatch_process(s);
	s->pid = pid;
	s->pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (s->pid_fd >= 0 && loop_fd_create(s->loop, s->pid_fd, on_unit_process_ended, s,
				      &s->pid_watch, &ignored) == LM_OK)
		loop_fd_set(s->pid_watch, POLLIN);
}

/// What its process has said is in the journal only.
static void take_journal_line(struct device_service *s, struct lm_str line)
{
	int64_t ignored;
	enum lm_level level;

	if (s->logs_as_we_do && lm_log_parse(line, &ignored, &level)) {
		(void)lm_str_cut(&line, ',');
		if (level >= LM_ERROR)
			note_complaint(s, line);
	} else if (lm_str_starts(line, LM_STR("Error"))) {
		note_complaint(s, line);
	}
}

static void on_journal_read(struct device_service *s)
{
	struct lm_err fault = s->fault;

	if (s->complaint[0])
		(void)!lm_fail(&s->fault, LM_E_SYS, 0, "%s (%s)", fault.msg, s->complaint);
	note_service_failure(s, s->verb);
}

/// Its fault is complete once the journal was asked.
static void note_unit_failure(struct device_service *s, const char *verb)
{
	s->verb = verb;
	s->complaint[0] = '\0';
	if (s->journalctl)
		call_systemctl(s, CALL_JOURNAL);
	else
		on_journal_read(s);
}

static void on_unit_line(void *ctx, struct lm_str line)
{
	struct device_service *s = ctx;
	uint64_t pid = 0;

	if (s->call == CALL_JOURNAL)
		take_journal_line(s, lm_str_trim(line));
	else if (s->call != CALL_SHOW)
		lm_warn("%s: systemctl: %.*s", s->name, LM_STR_ARG(line));
	else if (lm_str_to_u64(lm_str_trim(line), INT32_MAX, &pid) && pid > 0)
		watch_process(s, (pid_t)pid);
}

static void on_unit_shown(struct device_service *s)
{
	if (s->pid > 0) {
		s->failures_in_a_row = 0;
		set_state(s, DEVICE_SERVICE_RUNNING);
		return;
	}
	(void)!lm_fail(&s->fault, LM_E_SYS, 0, "see 'journalctl -u %s'", s->unit);
	note_unit_failure(s, "does not run");
}

/// The unit that an earlier lightermand left has ended, or cannot be: a child that it keeps from
/// starting says so, and is started again.
static void on_rival_ended(struct device_service *s)
{
	set_state(s, DEVICE_SERVICE_STOPPED);
	if (s->wanted)
		begin_child(s);
}

/// What is owed is over once something as strong has ended well.
static void note_call_done(struct device_service *s, enum unit_call call)
{
	bool is_done = call == CALL_STOP || call >= s->owed;

	if (!is_done || s->owed == CALL_NONE)
		return;
	s->owed = CALL_NONE;
	if (s->changed)
		s->changed(s->ctx);
}

static void on_systemctl_ended(void *ctx, int wait_status)
{
	struct device_service *s = ctx;
	enum unit_call call = s->call;
	char how[96];
	bool end = false;
	struct lm_err ignored;

	loop_child_destroy(lm_take(s->child));
	loop_timer_stop(s->call_limit);
	if (s->out_fd >= 0)
		(void)!line_reader_read(&s->out, on_unit_line, s, &end, &ignored);
	if (s->out_fd >= 0)
		close_out(s);
	s->call = CALL_NONE;
	if (wait_status == 0 && call < CALL_SHOW && s->next_call == CALL_NONE)
		note_call_done(s, call);
	if (!s->unit) {
		on_rival_ended(s);
	} else if (s->next_call != CALL_NONE) {
		enum unit_call next = s->next_call;

		s->next_call = CALL_NONE;
		call_systemctl(s, next);
	} else if (call == CALL_JOURNAL) {
		on_journal_read(s);
	} else if (wait_status != 0) {
		(void)!lm_fail(&s->fault, LM_E_SYS, 0, "systemctl: %s; see 'journalctl -u %s'",
			process_describe_status(wait_status, how, sizeof(how)), s->unit);
		if (call == CALL_STOP)
			note_service_failure(s, "cannot be stopped");
		else
			note_unit_failure(s, "cannot be started");
	} else if (call == CALL_STOP) {
		unwatch_process(s);
		set_state(s, DEVICE_SERVICE_STOPPED);
	} else if (call == CALL_SHOW) {
		on_unit_shown(s);
	} else {
		call_systemctl(s, CALL_SHOW);
	}
}

static lm_rc start_systemctl(struct device_service *s, enum unit_call call, struct lm_err *err)
{
	static const char *const verbs[] = {[CALL_START] = "start",
		[CALL_RELOAD] = "reload-or-restart",
		[CALL_RESTART] = "restart",
		[CALL_STOP] = "stop",
		[CALL_SHOW] = "show"};
	const char *unit = s->unit ? s->unit : s->rival;
	lm_auto_free char *lines_of = lm_xasprintf("_SYSTEMD_UNIT=%s", unit);
	const char *const show[] = {
		s->systemctl, "show", "--property=MainPID", "--value", unit, NULL};
	// Not what it said in vain before it ran well: that is older.
	const char *const journal[] = {s->journalctl, "--quiet", "--no-pager", "--output=cat",
		"--lines=5", "--since=-30s", lines_of, NULL};
	const char *const act[] = {s->systemctl, "--no-ask-password",
		verbs[call < CALL_SHOW ? call : CALL_STOP], unit, NULL};
	lm_auto_close int out = -1;
	pid_t pid = 0;
	lm_rc rc = make_out_pipe(s, &out, err);

	if (rc)
		return rc;
	const int fds[] = {-1, out, out};
	const struct process_spec process = {
		.argv = call == CALL_JOURNAL ? journal : (call == CALL_SHOW ? show : act),
		.directory = "/",
		.fds = fds,
		.fds_n = LM_ARRAY_SIZE(fds),
		.new_session = true,
		.die_with_parent = true};
	rc = process_start(&process, &pid, err);
	if (rc)
		return rc;
	return loop_child_create(s->loop, pid, on_systemctl_ended, s, &s->child, err);
}

static void on_call_limit(void *ctx)
{
	struct device_service *s = ctx;
	enum unit_call call = s->call;

	loop_child_destroy(lm_take(s->child));
	if (s->out_fd >= 0)
		close_out(s);
	s->call = CALL_NONE;
	// systemd goes on with it: what has become of it is looked up later.
	lm_warn("%s: %s has not answered for %d s", s->name,
		call == CALL_JOURNAL ? "journalctl" : "systemctl", CALL_MAX_MS / 1000);
	if (!s->unit) {
		on_rival_ended(s);
	} else if (call == CALL_JOURNAL) {
		on_journal_read(s);
	} else {
		(void)!lm_fail(&s->fault, LM_E_TIMEOUT, 0, "systemctl does not answer");
		note_service_failure(s, "is not known to run");
	}
}

static void on_no_systemctl(struct device_service *s, enum unit_call call, const struct lm_err *err)
{
	loop_child_destroy(lm_take(s->child));
	if (s->out_fd >= 0)
		close_out(s);
	if (!s->unit) {
		lm_warn("stop '%s': %s", s->rival, err->msg);
		on_rival_ended(s);
	} else if (call == CALL_JOURNAL) {
		on_journal_read(s);
	} else {
		s->fault = *err;
		note_service_failure(s, "cannot be handled");
	}
}

static void call_systemctl(struct device_service *s, enum unit_call call)
{
	struct lm_err err = {LM_OK};

	s->unit_left = false;
	if (call == CALL_STOP)
		s->owed = CALL_NONE;
	else if (call < CALL_STOP && call > s->owed)
		s->owed = call;
	if (s->call != CALL_NONE) {
		if (call == CALL_STOP || call > s->next_call || s->next_call == CALL_STOP)
			s->next_call = call;
		return;
	}
	if (call < CALL_STOP)
		call = s->owed;
	loop_timer_stop(s->timer);
	if (start_systemctl(s, call, &err)) {
		on_no_systemctl(s, call, &err);
		return;
	}
	s->call = call;
	loop_timer_start(s->call_limit, CALL_MAX_MS, 0);
	if (call == CALL_STOP)
		set_state(s, DEVICE_SERVICE_STOPPING);
	else if (s->state != DEVICE_SERVICE_RUNNING)
		set_state(s, DEVICE_SERVICE_STARTING);
}

// Both --------------------------------------------------------------------------------------------

static void on_service_timer(void *ctx)
{
	struct device_service *s = ctx;

	if (s->unit)
		call_systemctl(s, s->wanted ? CALL_START : CALL_STOP);
	else if (s->state != DEVICE_SERVICE_STOPPING)
		begin_child(s);
	else {
		lm_warn("%s did not stop within %d s and is killed", s->name, GRACE_MS / 1000);
		process_kill_session(s->pid, SIGKILL);
	}
}

void device_service_start(struct device_service *s)
{
	bool was_wanted = s->wanted;

	s->wanted = true;
	if (s->unit) {
		if (!was_wanted || s->state == DEVICE_SERVICE_FAILED)
			call_systemctl(s, CALL_START);
	} else if (s->state == DEVICE_SERVICE_STOPPED) {
		s->failures_in_a_row = 0;
		begin_child(s);
	}
}

void device_service_reload(struct device_service *s)
{
	if (s->unit) {
		s->wanted = true;
		call_systemctl(s, CALL_RELOAD);
	} else if (s->state == DEVICE_SERVICE_RUNNING) {
		hang_up(s);
	} else {
		device_service_restart(s);
	}
}

void device_service_restart(struct device_service *s)
{
	s->wanted = true;
	if (s->unit)
		call_systemctl(s, CALL_RESTART);
	else if (s->state == DEVICE_SERVICE_RUNNING)
		stop_child(s);
	else if (s->state == DEVICE_SERVICE_STOPPED || s->state == DEVICE_SERVICE_FAILED)
		begin_child(s);
}

void device_service_stop(struct device_service *s)
{
	bool was_wanted = s->wanted;

	s->wanted = false;
	if (!s->unit)
		stop_child(s);
	else if (was_wanted || s->state != DEVICE_SERVICE_STOPPED)
		call_systemctl(s, CALL_STOP);
}

void device_service_stop_left(struct device_service *s)
{
	if (s->unit_left && !s->wanted)
		call_systemctl(s, CALL_STOP);
}

bool device_service_owes(const struct device_service *s)
{
	return s->owed != CALL_NONE;
}

bool device_service_is_unit(const struct device_service *s)
{
	return s->unit != NULL;
}

enum device_service_state device_service_state(const struct device_service *s)
{
	return s->state;
}

pid_t device_service_pid(const struct device_service *s)
{
	return s->pid;
}

unsigned device_service_failures(const struct device_service *s)
{
	return s->failures;
}

const char *device_service_fault(const struct device_service *s)
{
	return s->state == DEVICE_SERVICE_FAILED ? s->fault.msg : "";
}

static void free_argv(char **argv)
{
	for (size_t i = 0; argv && argv[i]; i++)
		free(argv[i]);
	free(argv);
}

void device_service_set(
	struct device_service *s, const char *const *argv, const char *user, const char *owner)
{
	size_t n = 0;

	while (argv[n])
		n++;
	free_argv(s->argv);
	s->argv = lm_xcalloc(n + 1, sizeof(*s->argv));
	for (size_t i = 0; i < n; i++)
		s->argv[i] = lm_xstrdup(argv[i]);
	free(s->user);
	s->user = user ? lm_xstrdup(user) : NULL;
	free(s->owner);
	s->owner = owner ? lm_xstrdup(owner) : NULL;
}

struct device_service *device_service_create(
	struct loop *loop, const struct device_service_settings *settings)
{
	struct device_service *s = lm_xcalloc(1, sizeof(*s));

	*s = (struct device_service){.loop = loop,
		.name = lm_xstrdup(settings->name),
		.lock = lm_xstrdup(settings->lock),
		.unit = settings->unit ? lm_xstrdup(settings->unit) : NULL,
		.rival = settings->rival ? lm_xstrdup(settings->rival) : NULL,
		.systemctl = settings->systemctl ? lm_xstrdup(settings->systemctl) : NULL,
		.journalctl = settings->journalctl ? lm_xstrdup(settings->journalctl) : NULL,
		.unit_left = settings->unit || settings->rival,
		.logs_as_we_do = settings->logs_as_we_do,
		.changed = settings->changed,
		.ctx = settings->ctx,
		.out_fd = -1,
		.pid_fd = -1};
	device_service_set(s, settings->argv, settings->user, settings->owner);
	s->timer = loop_timer_create(loop, on_service_timer, s);
	s->hangup = loop_timer_create(loop, on_hangup_due, s);
	s->call_limit = loop_timer_create(loop, on_call_limit, s);
	return s;
}

void device_service_destroy(struct device_service *s)
{
	if (!s)
		return;
	kill_child(s);
	unwatch_process(s);
	loop_timer_destroy(s->timer);
	loop_timer_destroy(s->hangup);
	loop_timer_destroy(s->call_limit);
	free_argv(s->argv);
	free(s->name);
	free(s->lock);
	free(s->unit);
	free(s->rival);
	free(s->systemctl);
	free(s->journalctl);
	free(s->user);
	free(s->owner);
	free(s);
}
