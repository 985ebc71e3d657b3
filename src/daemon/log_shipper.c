// SPDX-License-Identifier: Apache-2.0
#include "daemon/log_shipper.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "daemon/log_router.h"
#include "daemon/log_spool.h"
#include "daemon/worker_launcher.h"
#include "daemon/worker_process.h"
#include "deploy/launch.h"

#include <inttypes.h>

enum {
	ERROR_MS = 5 * 1000, ///< How long an error waits for company, if the others wait longer.
	LOCK_AGAIN_MS = 5 * 1000, ///< A worker of an earlier lightermand exits by itself.
	BACKOFF_MAX_MS = 15 * 60 * 1000,
	TEXTS_MAX = 16 << 10, ///< Of a worker's own lines.
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

struct log_shipper {
	struct loop *loop;
	const struct host_settings *host;
	struct log_router_shipper router;
	char *program; ///< Path of lighterman-worker.
	struct log_spool *spool;
	struct loop_timer *timer;
	uint64_t due_ms; ///< When the timer is, on lm_clock_mono_ms(); 0: it does not run.
	bool paused;
	bool beside;  ///< Another task has the lock of the workers.
	bool overdue; ///< The time came while we were paused, or a worker ran.
	bool quiet;   ///< What is logged is about shipping.

	// By the group:
	bool on;
	enum lm_level level;
	json_t *group;
	struct connector_definition user; ///< Of it only the user.

	// Of the worker that runs, or ran last:
	struct worker_process *worker;
	enum worker_phase phase;
	uint64_t began_ms;       ///< On lm_clock_mono_ms(), as what follows.
	uint64_t before_ms;      ///< When the last batch of the one before it was shipped; 0: none.
	uint64_t shipped_ms;     ///< When the last batch was; 0: none yet.
	bool outdated;           ///< It goes by what was set before; this batch is its last.
	struct loop_timer *stay; ///< Runs while it is WORKER_IDLE.
	// Of its batch:
	size_t taken;
	uint64_t shipped, rejected;
	struct lm_buf texts, texts_before;

	unsigned tries;       ///< Failures in a row.
	bool rejected_logged; ///< The last worker had lines rejected, too.
};

#define LOG_UNSHIPPED(s, level, ...)                                                               \
	do {                                                                                       \
		(s)->quiet = true;                                                                 \
		lm_log(level, __VA_ARGS__);                                                        \
		(s)->quiet = false;                                                                \
	} while (0)

static void log_shipper_begin(struct log_shipper *s);

static void log_shipper_on_time(void *ctx)
{
	struct log_shipper *s = ctx;

	s->due_ms = 0;
	log_shipper_begin(s);
}

static void release_worker(struct log_shipper *s)
{
	loop_timer_stop(s->stay);
	s->phase = WORKER_EXITING;
	worker_process_order(s->worker, "end");
}

static void on_idle_too_long(void *ctx)
{
	release_worker(ctx);
}

static void put_back(struct log_shipper *s)
{
	if (s->spool) // else it could not be opened anew
		log_spool_put_back(s->spool);
}

static void stop_worker(struct log_shipper *s)
{
	if (!s->worker)
		return;
	worker_process_kill(s->worker);
	worker_process_destroy(lm_take(s->worker));
	loop_timer_stop(s->stay);
	s->phase = WORKER_NONE;
	put_back(s);
	s->overdue = true;
}

static void start_timer(struct log_shipper *s, uint64_t delay_ms)
{
	s->due_ms = lm_clock_mono_ms() + delay_ms;
	loop_timer_start(s->timer, delay_ms, 0);
}

static uint64_t delay_ms(const struct log_shipper *s, enum lm_level level)
{
	uint64_t usual_ms = (uint64_t)s->host->log_shipping_s * 1000;

	return level >= LM_ERROR && usual_ms > ERROR_MS ? ERROR_MS : usual_ms;
}

/// A line has come. While failures are waited out, it waits with the others.
static void expect(struct log_shipper *s, enum lm_level level)
{
	uint64_t due_ms = lm_clock_mono_ms() + delay_ms(s, level);

	if (s->due_ms == 0 || (s->tries == 0 && due_ms < s->due_ms))
		start_timer(s, delay_ms(s, level));
}

static void open_spool(struct log_shipper *s, unsigned space_kb)
{
	lm_auto_free char *path = lm_path_join(s->host->state_directory, "cloudwatch");
	lm_auto(damage_finish) struct damage damage = {0};
	struct lm_err err = {LM_OK};

	if (log_spool_open(path, space_kb, &damage, &s->spool, &err))
		LOG_UNSHIPPED(s, LM_ERROR, "cannot ship the log to CloudWatch Logs: %s", err.msg);
	for (size_t i = 0; i < damage.n; i++)
		LOG_UNSHIPPED(s, LM_WARN, "in '%s': %s", path, damage.notes[i]);
}

/// Goes by a group's logger: its space, the group's user and core.
static void log_shipper_apply(void *ctx, const struct group *group, const struct logger *logger)
{
	struct log_shipper *s = ctx;

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
		log_spool_set_space(s->spool, logger->space_kb);
	else
		open_spool(s, logger->space_kb);
	if (s->spool && log_spool_waits(s->spool))
		expect(s, LM_INFO);
}

static void log_shipper_add_line(void *ctx, enum lm_level level, struct lm_str line)
{
	struct log_shipper *s = ctx;

	if (!s->spool || !s->on || s->quiet)
		return;
	log_spool_add(s->spool, line);
	expect(s, level);
}

static void log_shipper_report_lost(struct log_shipper *s)
{
	uint64_t lost = log_spool_lost(s->spool);

	if (lost == 0)
		return;
	log_spool_clear_lost(s->spool);
	// Readers there have to see this, whatever the level is.
	lm_log(s->level > LM_WARN ? s->level : LM_WARN,
		"%" PRIu64 " line%s %s not shipped: the %u KB in which lines wait for CloudWatch "
		"Logs were full, or the disk was",
		lost, lost == 1 ? "" : "s", lost == 1 ? "was" : "were",
		log_spool_space_kb(s->spool));
}

static void report_rejected(struct log_shipper *s)
{
	if (s->rejected > 0 && !s->rejected_logged)
		LOG_UNSHIPPED(s, LM_WARN,
			"CloudWatch Logs does not keep %" PRIu64
			" of the lines that were shipped: it takes none from more than 2 hours "
			"ahead, from more than 14 days ago, or from before what the log group "
			"keeps",
			s->rejected);
	s->rejected_logged = s->rejected > 0;
}

static void log_shipper_fail(struct log_shipper *s, const char *why)
{
	uint64_t pause_ms = delay_ms(s, LM_INFO);

	if (s->tries == 0)
		LOG_UNSHIPPED(s, LM_WARN,
			"ship the log to CloudWatch Logs: %s; retrying at least every %d minutes",
			why, BACKOFF_MAX_MS / 60000);
	pause_ms += lm_backoff_ms(s->tries++, pause_ms, BACKOFF_MAX_MS);
	start_timer(s, pause_ms < BACKOFF_MAX_MS ? pause_ms : BACKOFF_MAX_MS);
}

static void succeed(struct log_shipper *s)
{
	if (s->tries > 0)
		LOG_UNSHIPPED(s, LM_INFO, "the log is shipped to CloudWatch Logs again");
	s->tries = 0;
	log_shipper_report_lost(s);
	if (!log_spool_waits(s->spool))
		return;
	// More was there than one batch takes, or what came meanwhile has waited.
	if (s->taken >= LIMIT_LOG_CHUNK - LIMIT_LOG_LINE || s->overdue)
		start_timer(s, 0);
	else
		expect(s, LM_INFO);
}

static void on_shipped(void *ctx, uint64_t n, uint64_t rejected)
{
	struct log_shipper *s = ctx;
	struct lm_err err = {LM_OK};

	s->shipped = n;
	s->rejected += rejected;
	if (log_spool_shipped(s->spool, n, &err) && s->tries == 0)
		LOG_UNSHIPPED(s, LM_WARN,
			"record how far the log is shipped: %s; some of it may be shipped again",
			err.msg);
}

/// One worker after the other logs the same while nothing changes: once is enough.
static void on_text(void *ctx, struct lm_str line)
{
	struct log_shipper *s = ctx;
	struct lm_str text = line;
	int64_t ignored_ms = 0;
	enum lm_level ignored_level;

	if (lm_log_parse(line, &ignored_ms, &ignored_level))
		(void)lm_str_cut(&text, ']'); // the time
	(void)(lm_buf_add_str(&s->texts, text) && lm_buf_putc(&s->texts, '\n'));
	if (memmem(lm_buf_cstr(&s->texts_before), s->texts_before.len, text.p, text.n))
		return;
	s->quiet = true;
	log_router_forward(NULL, line);
	s->quiet = false;
}

/// Whether the next batch comes soon: as lines are shipped, as they came, or as they wait.
static bool is_often(const struct log_shipper *s)
{
	if (delay_ms(s, LM_INFO) <= OFTEN_MS)
		return true;
	if (s->before_ms && s->began_ms - s->before_ms <= OFTEN_MS)
		return true;
	return s->due_ms && s->due_ms <= s->shipped_ms + OFTEN_MS;
}

static bool stays(const struct log_shipper *s)
{
	return !s->outdated && is_often(s) && s->shipped_ms - s->began_ms < TASK_MAX_MS;
}

static void log_shipper_on_idle(void *ctx)
{
	struct log_shipper *s = ctx;

	if (!s->on || s->shipped != s->taken) { // on_worker_exited reports it
		worker_process_order(s->worker, "end");
		return;
	}
	s->shipped_ms = lm_clock_mono_ms();
	log_spool_empty(s->spool);
	report_rejected(s);
	succeed(s);
	if (stays(s)) {
		s->phase = WORKER_IDLE;
		loop_timer_start(s->stay, STAY_MS, 0);
	} else
		release_worker(s);
}

/// An idle worker has no batch: however it exited, nothing has failed.
static void finish_idle_worker(struct log_shipper *s)
{
	if (s->overdue)
		start_timer(s, 0);
}

static void log_shipper_on_worker_exited(void *ctx, const struct worker_result *result)
{
	struct log_shipper *s = ctx;
	lm_auto(worker_process_destroy_p) struct worker_process *worker =
		lm_take(s->worker); // has `result`
	enum worker_phase phase = s->phase;

	(void)worker;
	loop_timer_stop(s->stay);
	s->phase = WORKER_NONE;
	put_back(s);
	if (phase != WORKER_BUSY) {
		finish_idle_worker(s);
		return;
	}
	report_rejected(s);
	if (s->on && result->verdict == WORKER_SUCCESS && s->shipped == s->taken)
		succeed(s);
	else if (s->on && result->verdict == WORKER_SUCCESS)
		log_shipper_fail(s,
			"the worker reported success without having shipped all; are lightermand "
			"and lighterman-worker of the same version?");
	else if (s->on)
		log_shipper_fail(s, result->message ? result->message : "the worker was stopped");
}

static lm_rc start_shipping(struct log_shipper *s, int log_fd, int lock_fd, struct lm_err *err)
{
	lm_auto(process_user_finish) struct process_user user = {0};
	lm_auto_json json_t *document = json_pack("{s:s, s:O, s:o}", "job", "ship-logs", "group",
		s->group, "host", host_to_json(s->host));
	const struct worker_process_events events = {.shipped = on_shipped,
		.idle = log_shipper_on_idle,
		.text = on_text,
		.exited = log_shipper_on_worker_exited,
		.ctx = s};
	lm_rc rc = launch_find_user(s->host, &s->user, &user, err);

	if (rc == LM_OK && !s->program)
		rc = launch_find_worker(&s->program, err);
	if (rc)
		return rc;
	const struct worker_launch_spec start = {
		.program = s->program,
		.user = &user,
		.document = document,
		.compose_fd = log_fd,
		.lock_fd = lock_fd,
		.previous_fd = -1,
		.devices_fd = -1,
		.needs_aws = true,
	};
	return worker_launch(s->loop, s->host, &start, &events, &s->worker, err);
}

/// Opens the spool anew if its files are not as it left them.
static lm_rc log_shipper_take(struct log_shipper *s, int *ret_fd, struct lm_err *err)
{
	lm_rc rc = log_spool_take(s->spool, ret_fd, &s->taken, err);

	if (rc == LM_OK)
		return rc;
	unsigned space_kb = log_spool_space_kb(s->spool);
	log_spool_close(lm_take(s->spool));
	open_spool(s, space_kb);
	return rc;
}

/// The next batch, in `*ret_fd`.
static lm_rc begin_batch(struct log_shipper *s, int *ret_fd, struct lm_err *err)
{
	struct lm_buf before = s->texts_before;

	s->texts_before = s->texts;
	s->texts = before;
	lm_buf_clear(&s->texts);
	s->shipped = s->rejected = 0;
	return log_shipper_take(s, ret_fd, err);
}

static void continue_worker(struct log_shipper *s)
{
	struct lm_err err = {LM_OK};
	int fd = -1; // it has that already

	loop_timer_stop(s->stay);
	if (begin_batch(s, &fd, &err)) {
		stop_worker(s);
		log_shipper_fail(s, err.msg);
		return;
	}
	s->phase = WORKER_BUSY;
	worker_process_order(s->worker, "more");
}

static void begin_worker(struct log_shipper *s, int lock_fd)
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
	worker_process_destroy(lm_take(s->worker));
	put_back(s);
	log_shipper_fail(s, err.msg);
}

static void log_shipper_begin(struct log_shipper *s)
{
	lm_auto_close int lock = -1;
	pid_t holder = 0;
	struct lm_err err = {LM_OK};

	s->overdue = s->paused || (s->worker && s->phase != WORKER_IDLE);
	if (s->overdue || !s->on || !s->spool || !log_spool_waits(s->spool))
		return;
	if (s->phase == WORKER_IDLE) {
		continue_worker(s);
		return;
	}
	lm_rc rc = s->beside ? LM_OK : launch_lock(s->host, &lock, &holder, &err);
	if (rc == LM_E_CONFLICT)
		start_timer(s, LOCK_AGAIN_MS);
	else if (rc)
		log_shipper_fail(s, err.msg);
	else
		begin_worker(s, lock);
}

struct log_shipper *log_shipper_create(struct loop *loop, const struct host_settings *host)
{
	struct log_shipper *s = lm_xcalloc(1, sizeof(*s));

	*s = (struct log_shipper){.loop = loop,
		.host = host,
		.paused = true,
		.texts = LM_BUF(TEXTS_MAX),
		.texts_before = LM_BUF(TEXTS_MAX)};
	s->timer = loop_timer_create(loop, log_shipper_on_time, s);
	s->stay = loop_timer_create(loop, on_idle_too_long, s);
	s->router = (struct log_router_shipper){
		.add = log_shipper_add_line, .apply = log_shipper_apply, .ctx = s};
	log_router_set_shipper(&s->router);
	return s;
}

void log_shipper_destroy(struct log_shipper *s)
{
	if (!s)
		return;
	log_router_set_shipper(NULL);
	stop_worker(s);
	loop_timer_destroy(s->timer);
	loop_timer_destroy(s->stay);
	log_spool_close(s->spool);
	json_decref(s->group);
	lm_buf_finish(&s->texts);
	lm_buf_finish(&s->texts_before);
	free(s->program);
	free(s);
}

void log_shipper_pause(struct log_shipper *s)
{
	s->paused = true;
	s->beside = false;
	stop_worker(s);
}

static void resume_shipping(struct log_shipper *s, bool beside)
{
	s->beside = beside;
	if (!s->paused)
		return;
	s->paused = false;
	if (s->overdue)
		start_timer(s, 0);
}

void log_shipper_resume(struct log_shipper *s)
{
	resume_shipping(s, false);
}

void log_shipper_resume_beside(struct log_shipper *s)
{
	resume_shipping(s, true);
}
