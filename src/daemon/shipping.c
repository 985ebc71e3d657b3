// SPDX-License-Identifier: Apache-2.0
#include "daemon/shipping.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "daemon/daemon_log.h"
#include "daemon/job.h"
#include "daemon/spool.h"
#include "daemon/start.h"
#include "deploy/launch.h"

#include <inttypes.h>

enum {
	ERROR_MS = 5 * 1000, ///< How long an error waits for company, if the others wait longer.
	LOCK_AGAIN_MS = 5 * 1000, ///< A worker of an earlier lightermand ends by itself.
	BACKOFF_MAX_MS = 15 * 60 * 1000,
	SAID_MAX = 16 << 10, ///< Of a worker's own words.
	// A worker that has shipped costs memory, and one that is started costs credentials:
	OFTEN_MS = 30 * 1000,         ///< It stays if batches come at least so often,
	STAY_MS = 60 * 1000,          ///< for so long without any,
	TASK_MAX_MS = 15 * 60 * 1000, ///< unless it is as old as this.
};

enum worker_phase {
	WORKER_NONE,
	WORKER_BUSY,    ///< It has a batch.
	WORKER_IDLE,    ///< It waits for the next one.
	WORKER_EXITING, ///< By our order, with nothing left to ship.
};

struct shipping {
	struct loop *loop;
	const struct host_settings *host;
	char *worker; ///< Path of lighterman-worker.
	struct spool *spool;
	struct loop_timer *timer;
	uint64_t due_ms; ///< When the timer is, on lm_clock_mono_ms(); 0: it does not run.
	bool paused;
	bool overdue; ///< The time came while we were paused, or a worker ran.
	bool quiet;   ///< What is logged is about shipping.

	// By the group:
	bool on;
	enum lm_level level;
	json_t *group;
	struct connector_definition user; ///< Of it only the user.

	// Of the worker that runs, or ran last:
	struct job *job;
	enum worker_phase phase;
	uint64_t began_ms;       ///< On lm_clock_mono_ms(), as what follows.
	uint64_t before_ms;      ///< When the last batch of the one before it was shipped; 0: none.
	uint64_t shipped_ms;     ///< When the last batch was; 0: none yet.
	bool outdated;           ///< It goes by what was set before; this batch is its last.
	struct loop_timer *stay; ///< Runs while it is WORKER_IDLE.
	// Of its batch:
	size_t taken;
	uint64_t shipped, rejected;
	struct lm_buf said, said_before;

	unsigned tries;     ///< Failures in a row.
	bool told_rejected; ///< The last worker had lines rejected, too.
};

#define SAY(s, level, ...)                                                                         \
	do {                                                                                       \
		(s)->quiet = true;                                                                 \
		lm_log(level, __VA_ARGS__);                                                        \
		(s)->quiet = false;                                                                \
	} while (0)

static void begin(struct shipping *s);

static void on_time(void *ctx)
{
	struct shipping *s = ctx;

	s->due_ms = 0;
	begin(s);
}

static void release_worker(struct shipping *s)
{
	loop_timer_stop(s->stay);
	s->phase = WORKER_EXITING;
	job_order(s->job, "end");
}

static void on_idle_too_long(void *ctx)
{
	release_worker(ctx);
}

struct shipping *shipping_create(struct loop *loop, const struct host_settings *host)
{
	struct shipping *s = lm_xcalloc(1, sizeof(*s));

	*s = (struct shipping){.loop = loop,
		.host = host,
		.paused = true,
		.said = LM_BUF(SAID_MAX),
		.said_before = LM_BUF(SAID_MAX)};
	s->timer = loop_timer_create(loop, on_time, s);
	s->stay = loop_timer_create(loop, on_idle_too_long, s);
	return s;
}

static void put_back(struct shipping *s)
{
	if (s->spool) // else it could not be opened anew
		spool_put_back(s->spool);
}

static void stop_worker(struct shipping *s)
{
	if (!s->job)
		return;
	job_kill(s->job);
	job_destroy(lm_take(s->job));
	loop_timer_stop(s->stay);
	s->phase = WORKER_NONE;
	put_back(s);
	s->overdue = true;
}

void shipping_destroy(struct shipping *s)
{
	if (!s)
		return;
	stop_worker(s);
	loop_timer_destroy(s->timer);
	loop_timer_destroy(s->stay);
	spool_close(s->spool);
	json_decref(s->group);
	lm_buf_finish(&s->said);
	lm_buf_finish(&s->said_before);
	free(s->worker);
	free(s);
}

static void start_timer(struct shipping *s, uint64_t delay_ms)
{
	s->due_ms = lm_clock_mono_ms() + delay_ms;
	loop_timer_start(s->timer, delay_ms, 0);
}

static uint64_t delay_ms(const struct shipping *s, enum lm_level level)
{
	uint64_t usual_ms = (uint64_t)s->host->log_shipping_s * 1000;

	return level >= LM_ERROR && usual_ms > ERROR_MS ? ERROR_MS : usual_ms;
}

/// A line has come. While failures are waited out, it waits with the others.
static void expect(struct shipping *s, enum lm_level level)
{
	uint64_t due_ms = lm_clock_mono_ms() + delay_ms(s, level);

	if (s->due_ms == 0 || (s->tries == 0 && due_ms < s->due_ms))
		start_timer(s, delay_ms(s, level));
}

static void open_spool(struct shipping *s, unsigned space_kb)
{
	lm_auto_free char *path = lm_path_join(s->host->state_directory, "cloudwatch");
	struct lm_err err = {LM_OK};

	if (spool_open(path, space_kb, &s->spool, &err))
		SAY(s, LM_ERROR, "no log can be shipped to CloudWatch Logs: %s", err.msg);
}

void shipping_apply(struct shipping *s, const struct group *group, const struct logger *logger)
{
	s->on = logger->on;
	s->outdated = true;
	if (s->phase == WORKER_IDLE)
		release_worker(s);
	if (!s->on) {
		loop_timer_stop(s->timer);
		s->due_ms = 0;
		return;
	}
	json_decref(s->group);
	s->group = group_to_json(group);
	s->user = (struct connector_definition){
		.has_user = group->connector.has_user, .uid = group->connector.uid};
	s->level = logger->level;
	if (s->spool)
		spool_set_space(s->spool, logger->space_kb);
	else
		open_spool(s, logger->space_kb);
	if (s->spool && spool_waits(s->spool))
		expect(s, LM_INFO);
}

void shipping_add(struct shipping *s, enum lm_level level, struct lm_str line)
{
	if (!s->spool || !s->on || s->quiet)
		return;
	spool_add(s->spool, line);
	expect(s, level);
}

static void tell_lost(struct shipping *s)
{
	uint64_t lost = spool_lost(s->spool);

	if (lost == 0)
		return;
	spool_clear_lost(s->spool);
	// Whoever reads there must know, whatever level is asked for.
	lm_log(s->level > LM_WARN ? s->level : LM_WARN,
		"%" PRIu64 " line%s %s not shipped: the %u KB in which lines wait for CloudWatch "
		"Logs were full, or the disk was",
		lost, lost == 1 ? "" : "s", lost == 1 ? "was" : "were", spool_space_kb(s->spool));
}

static void tell_rejected(struct shipping *s)
{
	if (s->rejected > 0 && !s->told_rejected)
		SAY(s, LM_WARN,
			"CloudWatch Logs does not keep %" PRIu64
			" of the lines that were shipped: it "
			"takes none from more than 2 hours ahead, from more than 14 days ago, or "
			"from "
			"before what the log group keeps",
			s->rejected);
	s->told_rejected = s->rejected > 0;
}

static void fail(struct shipping *s, const char *why)
{
	uint64_t pause_ms = delay_ms(s, LM_INFO);

	if (s->tries == 0)
		SAY(s, LM_WARN,
			"ship the log to CloudWatch Logs: %s; it is tried again at least every %d "
			"minutes",
			why, BACKOFF_MAX_MS / 60000);
	pause_ms += lm_backoff_ms(s->tries++, pause_ms, BACKOFF_MAX_MS);
	start_timer(s, pause_ms < BACKOFF_MAX_MS ? pause_ms : BACKOFF_MAX_MS);
}

static void succeed(struct shipping *s)
{
	if (s->tries > 0)
		SAY(s, LM_INFO, "the log is shipped to CloudWatch Logs again");
	s->tries = 0;
	tell_lost(s);
	if (!spool_waits(s->spool))
		return;
	// More was there than one batch takes, or what came meanwhile has waited.
	if (s->taken >= LIMIT_LOG_CHUNK - LIMIT_LOG_LINE || s->overdue)
		start_timer(s, 0);
	else
		expect(s, LM_INFO);
}

static void on_shipped(void *ctx, uint64_t n, uint64_t rejected)
{
	struct shipping *s = ctx;
	struct lm_err err = {LM_OK};

	s->shipped = n;
	s->rejected += rejected;
	if (spool_shipped(s->spool, n, &err) && s->tries == 0)
		SAY(s, LM_WARN,
			"note how far the log is shipped: %s; some of it may be shipped again",
			err.msg);
}

/// The words of one worker after the other are the same while nothing changes: once is enough.
static void on_text(void *ctx, struct lm_str line)
{
	struct shipping *s = ctx;
	struct lm_str words = line;
	int64_t ignored_ms = 0;
	enum lm_level ignored_level;

	if (lm_log_parse(line, &ignored_ms, &ignored_level))
		(void)lm_str_cut(&words, ']'); // the time
	(void)(lm_buf_add_str(&s->said, words) && lm_buf_putc(&s->said, '\n'));
	if (memmem(lm_buf_cstr(&s->said_before), s->said_before.len, words.p, words.n))
		return;
	s->quiet = true;
	daemon_log_forward(line);
	s->quiet = false;
}

/// Whether the next batch comes soon: as lines are shipped, as they came, or as they wait.
static bool is_often(const struct shipping *s)
{
	if (delay_ms(s, LM_INFO) <= OFTEN_MS)
		return true;
	if (s->before_ms && s->began_ms - s->before_ms <= OFTEN_MS)
		return true;
	return s->due_ms && s->due_ms <= s->shipped_ms + OFTEN_MS;
}

static bool stays(const struct shipping *s)
{
	return !s->outdated && is_often(s) && s->shipped_ms - s->began_ms < TASK_MAX_MS;
}

static void on_idle(void *ctx)
{
	struct shipping *s = ctx;

	if (!s->on || s->shipped != s->taken) { // on_ended says what is wrong
		job_order(s->job, "end");
		return;
	}
	s->shipped_ms = lm_clock_mono_ms();
	spool_empty(s->spool);
	tell_rejected(s);
	succeed(s);
	if (stays(s)) {
		s->phase = WORKER_IDLE;
		loop_timer_start(s->stay, STAY_MS, 0);
	} else
		release_worker(s);
}

/// Nothing was in the hands of a worker that was idle: however it ended, nothing has failed.
static void finish_idle_worker(struct shipping *s)
{
	if (s->overdue)
		start_timer(s, 0);
}

static void on_ended(void *ctx, const struct job_result *result)
{
	struct shipping *s = ctx;
	lm_auto(job_destroy_p) struct job *job = lm_take(s->job); // has `result`
	enum worker_phase phase = s->phase;

	(void)job;
	loop_timer_stop(s->stay);
	s->phase = WORKER_NONE;
	put_back(s);
	if (phase != WORKER_BUSY) {
		finish_idle_worker(s);
		return;
	}
	tell_rejected(s);
	if (s->on && result->verdict == JOB_SUCCESS && s->shipped == s->taken)
		succeed(s);
	else if (s->on && result->verdict == JOB_SUCCESS)
		fail(s, "the worker reported success without having shipped all; are lightermand "
			"and lighterman-worker of the same version?");
	else if (s->on)
		fail(s, result->message ? result->message : "the worker was told to stop");
}

static lm_rc start_shipping(struct shipping *s, int log_fd, int lock_fd, struct lm_err *err)
{
	lm_auto(process_user_finish) struct process_user user = {0};
	lm_auto_json json_t *document = json_pack("{s:s, s:O, s:o}", "job", "ship-logs", "group",
		s->group, "host", host_to_json(s->host));
	const struct job_events events = {.shipped = on_shipped,
		.idle = on_idle,
		.text = on_text,
		.ended = on_ended,
		.ctx = s};
	lm_rc rc = launch_find_user(s->host, &s->user, &user, err);

	if (rc == LM_OK && !s->worker)
		rc = launch_find_worker(&s->worker, err);
	if (rc)
		return rc;
	const struct start start = {
		.program = s->worker,
		.user = &user,
		.document = document,
		.compose_fd = log_fd,
		.lock_fd = lock_fd,
		.previous_fd = -1,
		.needs_aws = true,
	};
	return start_worker(s->loop, s->host, &start, &events, &s->job, err);
}

/// What somebody has done to the spool's files is forgotten by opening it anew.
static lm_rc take(struct shipping *s, int *ret_fd, struct lm_err *err)
{
	lm_rc rc = spool_take(s->spool, ret_fd, &s->taken, err);

	if (rc == LM_OK)
		return rc;
	unsigned space_kb = spool_space_kb(s->spool);
	spool_close(lm_take(s->spool));
	open_spool(s, space_kb);
	return rc;
}

/// The next batch, in `*ret_fd`.
static lm_rc begin_batch(struct shipping *s, int *ret_fd, struct lm_err *err)
{
	struct lm_buf before = s->said_before;

	s->said_before = s->said;
	s->said = before;
	lm_buf_clear(&s->said);
	s->shipped = s->rejected = 0;
	return take(s, ret_fd, err);
}

static void continue_worker(struct shipping *s)
{
	struct lm_err err = {LM_OK};
	int fd = -1; // it has that already

	loop_timer_stop(s->stay);
	if (begin_batch(s, &fd, &err)) {
		stop_worker(s);
		fail(s, err.msg);
		return;
	}
	s->phase = WORKER_BUSY;
	job_order(s->job, "more");
}

static void begin_worker(struct shipping *s, int lock_fd)
{
	struct lm_err err = {LM_OK};
	int fd = -1;

	s->outdated = false;
	s->began_ms = lm_clock_mono_ms();
	s->before_ms = s->shipped_ms;
	lm_rc rc = begin_batch(s, &fd, &err);
	if (rc == LM_OK)
		rc = start_shipping(s, fd, lock_fd, &err);
	if (rc == LM_OK) {
		s->phase = WORKER_BUSY;
		return;
	}
	job_destroy(lm_take(s->job));
	put_back(s);
	fail(s, err.msg);
}

static void begin(struct shipping *s)
{
	lm_auto_close int lock = -1;
	pid_t holder = 0;
	struct lm_err err = {LM_OK};

	s->overdue = s->paused || (s->job && s->phase != WORKER_IDLE);
	if (s->overdue || !s->on || !s->spool || !spool_waits(s->spool))
		return;
	if (s->phase == WORKER_IDLE) {
		continue_worker(s);
		return;
	}
	lm_rc rc = launch_lock(s->host, &lock, &holder, &err);
	if (rc == LM_E_CONFLICT)
		start_timer(s, LOCK_AGAIN_MS);
	else if (rc)
		fail(s, err.msg);
	else
		begin_worker(s, lock);
}

void shipping_pause(struct shipping *s)
{
	s->paused = true;
	stop_worker(s);
}

void shipping_resume(struct shipping *s)
{
	if (!s->paused)
		return;
	s->paused = false;
	if (s->overdue)
		start_timer(s, 0);
}
