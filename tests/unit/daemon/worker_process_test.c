// SPDX-License-Identifier: Apache-2.0
#include "daemon/worker_process.h"

#include "base/memory.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_MS = 20000 };

/// A worker that is a shell script, and the events of it.
#define ID "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct fixture {
	char folder[64];
	char path[96];
	struct loop *loop;
	struct loop_timer *limit;
	struct worker_process *worker;
	unsigned silence_ms;
	int secret_fd; ///< What it is handed.
	lm_rc refuse;  ///< What `begin` answers.
	bool cancel_at_begin;
	struct loop_timer *go; ///< If not NULL, each stage is deferred until it runs out.
	bool cancel_when_deferred;
	bool refuse_when_deferred, cancel_when_refused;
	unsigned stall_ms; ///< For so long `begin` takes, and the loop stands still.
	bool bare;
	bool ships;             ///< It has lines of `ship-logs`, and no others.
	bool kill_when_shipped; ///< Then it has no end.
	char *order;            ///< What it gets when it is idle for the first time.
	struct lm_buf events;
	bool ended;
	enum worker_verdict verdict;
	char stage[64], message[1024], effect[32];
};

static void too_long(void *ctx)
{
	(void)ctx;
	fail_msg("the job did not end");
}

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){.folder = "/tmp/job_test.XXXXXX",
		.silence_ms = PATIENCE_MS,
		.secret_fd = -1,
		.events = LM_BUF(4096)};
	assert_non_null(mkdtemp(f.folder));
	(void)snprintf(f.path, sizeof(f.path), "%s/worker", f.folder);
	assert_int_equal(loop_create(&f.loop, NULL), LM_OK);
	f.limit = loop_timer_create(f.loop, too_long, NULL);
	loop_timer_start(f.limit, 2 * PATIENCE_MS, 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	worker_process_destroy(f->worker);
	loop_timer_destroy(f->limit);
	loop_destroy(f->loop);
	lm_buf_finish(&f->events);
	(void)unlink(f->path);
	assert_int_equal(rmdir(f->folder), 0);
	return 0;
}

static lm_rc on_begin(void *ctx, const char *stage, struct lm_err *err)
{
	struct fixture *f = ctx;

	(void)lm_buf_printf(&f->events, "begin %s;", stage);
	if (f->cancel_at_begin)
		worker_process_cancel(f->worker);
	if (f->stall_ms > 0)
		assert_int_equal(wait_ms(f->stall_ms, &WAIT_FOREVER, NULL), LM_OK);
	return f->refuse ? lm_fail(err, f->refuse, 0, "not now") : LM_OK;
}

static bool on_defer(void *ctx, const char *stage)
{
	struct fixture *f = ctx;

	if (f->go)
		(void)lm_buf_printf(&f->events, "defer %s;", stage);
	if (f->go)
		loop_timer_start(f->go, 300, 0);
	return f->go != NULL;
}

static void on_go(void *ctx)
{
	struct fixture *f = ctx;
	struct lm_err why = {LM_OK};

	(void)lm_buf_puts(&f->events, "go;");
	(void)!lm_fail(&why, LM_E_SYS, 0, "it does not fit");
	if (f->refuse_when_deferred)
		worker_process_refuse(f->worker, &why);
	if (f->cancel_when_refused)
		worker_process_cancel(f->worker);
	if (f->cancel_when_deferred)
		worker_process_cancel(f->worker);
	worker_process_go(f->worker);
	worker_process_go(f->worker); // once is enough
}

static void on_device(void *ctx, const json_t *line)
{
	struct fixture *f = ctx;
	const json_t *device = json_object_get(line, "device");

	(void)lm_buf_printf(&f->events, "device %s;", device ? json_get_text(device, "name") : "s");
}

static void on_progress(void *ctx, const json_t *line)
{
	struct fixture *f = ctx;

	(void)lm_buf_printf(
		&f->events, "%s %s;", json_get_text(line, "stage"), json_get_text(line, "state"));
}

static void on_image(void *ctx, const struct worker_line *image)
{
	struct fixture *f = ctx;

	(void)lm_buf_printf(&f->events, "image %s %s %.9s%s;", image->first, image->second,
		image->id, image->pulled ? " pulled" : "");
}

static void on_compose(void *ctx, const char *stamp, const char *version)
{
	struct fixture *f = ctx;

	(void)lm_buf_printf(&f->events, "compose %s %s;", stamp, version);
}

static void on_shipped(void *ctx, uint64_t n, uint64_t rejected)
{
	struct fixture *f = ctx;

	(void)lm_buf_printf(&f->events, "shipped %d %d;", (int)n, (int)rejected);
	if (f->kill_when_shipped)
		loop_stop(f->loop);
}

static void on_idle(void *ctx)
{
	struct fixture *f = ctx;

	(void)lm_buf_puts(&f->events, "idle;");
	if (f->order)
		worker_process_order(f->worker, lm_take(f->order));
}

static void on_text(void *ctx, struct lm_str line)
{
	struct fixture *f = ctx;

	(void)lm_buf_printf(&f->events, "text %.*s;", LM_STR_ARG(line));
}

static void on_ended(void *ctx, const struct worker_result *result)
{
	struct fixture *f = ctx;

	assert_false(f->ended);
	f->ended = true;
	f->verdict = result->verdict;
	(void)snprintf(f->stage, sizeof(f->stage), "%s", result->stage ? result->stage : "");
	(void)snprintf(
		f->message, sizeof(f->message), "%s", result->message ? result->message : "");
	(void)snprintf(f->effect, sizeof(f->effect), "%s", result->effect ? result->effect : "");
	loop_stop(f->loop);
}

static void write_script(struct fixture *f, const char *script)
{
	lm_auto_fclose FILE *file = fopen(f->path, "w");

	assert_non_null(file);
	assert_true(fprintf(file, "#!/bin/sh\n%s\n", script) > 0);
	assert_int_equal(fchmod(fileno(file), 0700), 0);
}

/// Runs the script as a worker to its end.
static void run_bare(struct fixture *f, const char *script)
{
	lm_auto_json json_t *document = json_pack("{s:s}", "job", "deploy");
	const struct worker_process_spec spec = {.program = f->path,
		.document = document,
		.lock_fd = -1,
		.handover = {f->secret_fd, -1, -1, -1, -1},
		.silence_ms = f->silence_ms,
		.bare = f->bare};
	const struct worker_process_events deploys = {.begin = on_begin,
		.defers = on_defer,
		.device = on_device,
		.progress = on_progress,
		.image = on_image,
		.compose = on_compose,
		.text = on_text,
		.exited = on_ended,
		.ctx = f};
	const struct worker_process_events ships = {.shipped = on_shipped,
		.idle = on_idle,
		.text = on_text,
		.exited = on_ended,
		.ctx = f};
	struct lm_err err = {LM_OK};

	write_script(f, script);
	assert_int_equal(worker_process_start(
				 f->loop, &spec, f->ships ? &ships : &deploys, &f->worker, &err),
		LM_OK);
	loop_run(f->loop);
	assert_int_equal(f->ended, !f->kill_when_shipped);
}

/// One that is hardened, or reports so, and was given the rest.
static void run(struct fixture *f, const char *script)
{
	lm_auto_free char *hardened =
		lm_xasprintf("echo '{\"hardened\":true}'; read -r take; %s", script);

	run_bare(f, hardened);
}

static void a_worker_gets_its_document_and_a_go_for_each_stage(void **state)
{
	struct fixture *f = *state;

	run(f, "read -r job; echo \"$job\" >&2\n"
	       "echo '{\"stage\":\"fetch\",\"state\":\"begin\"}'; read -r go; echo \"$go\" >&2\n"
	       "echo '{\"stage\":\"fetch\",\"state\":\"end\",\"ms\":1}'\n"
	       "echo '{\"image\":\"a:1\",\"digest\":\"sha256:0\",\"id\":\"" ID
	       "\",\"pulled\":true}'\n"
	       "echo '{\"compose\":{\"stamp\":\"s\",\"version\":\"2\"}}'\n"
	       "echo '{\"result\":\"success\",\"stage\":null,\"effect\":\"started\"}'");
	assert_int_equal(f->verdict, WORKER_SUCCESS);
	assert_string_equal(f->effect, "started");
	assert_non_null(strstr(lm_buf_cstr(&f->events), "text {\"job\":\"deploy\"};"));
	assert_non_null(strstr(lm_buf_cstr(&f->events), "text go;"));
	assert_non_null(strstr(lm_buf_cstr(&f->events), "fetch begin;begin fetch;"));
	assert_non_null(strstr(lm_buf_cstr(&f->events),
		"fetch end;image a:1 sha256:0 sha256:01 pulled;compose s 2;"));
}

/// Before it is hardened, a thief can have what it has.
/// Deferred for longer than it may be silent.
static void a_stage_that_is_deferred_waits_and_is_not_silent(void **state)
{
	struct fixture *f = *state;

	f->silence_ms = 200;
	f->go = loop_timer_create(f->loop, on_go, f);
	run(f, "read -r job; echo '{\"stage\":\"up\",\"state\":\"begin\"}'; read -r go; echo "
	       "\"$go\" >&2\n"
	       "echo '{\"result\":\"success\",\"stage\":null,\"effect\":\"started\"}'");
	loop_timer_destroy(f->go);
	assert_string_equal(lm_buf_cstr(&f->events), "up begin;defer up;go;begin up;text go;");
	assert_int_equal(f->verdict, WORKER_SUCCESS);
}

static void one_that_is_cancelled_meanwhile_does_not_begin(void **state)
{
	struct fixture *f = *state;

	f->cancel_when_deferred = true;
	f->go = loop_timer_create(f->loop, on_go, f);
	run(f, "trap 'echo \"{\\\"result\\\":\\\"cancelled\\\"}\"; exit' TERM\n"
	       "read -r job; echo '{\"stage\":\"up\",\"state\":\"begin\"}'; read -r go && echo "
	       "began >&2");
	loop_timer_destroy(f->go);
	assert_null(strstr(lm_buf_cstr(&f->events), "began"));
	assert_int_equal(f->verdict, WORKER_CANCELLED);
}

/// It withdraws what it has prepared, and reports what it has done until then.
static void one_that_is_refused_meanwhile_does_not_begin_and_has_failed(void **state)
{
	struct fixture *f = *state;

	f->refuse_when_deferred = true;
	f->go = loop_timer_create(f->loop, on_go, f);
	run(f, "trap 'echo withdrawn >&2; echo \"{\\\"result\\\":\\\"cancelled\\\","
	       "\\\"stage\\\":\\\"up\\\",\\\"effect\\\":\\\"stopped\\\"}\"; exit 3' TERM\n"
	       "read -r job; echo '{\"stage\":\"up\",\"state\":\"begin\"}'; read -r go && echo "
	       "began >&2");
	loop_timer_destroy(f->go);
	assert_null(strstr(lm_buf_cstr(&f->events), "began"));
	assert_non_null(strstr(lm_buf_cstr(&f->events), "text withdrawn;"));
	assert_int_equal(f->verdict, WORKER_FAIL);
	assert_string_equal(f->stage, "up");
	assert_string_equal(f->message, "it does not fit");
	assert_string_equal(f->effect, "stopped");
}

static void one_that_is_refused_and_dies_has_failed_for_that_reason(void **state)
{
	struct fixture *f = *state;

	f->refuse_when_deferred = true;
	f->go = loop_timer_create(f->loop, on_go, f);
	run(f, "read -r job; echo '{\"stage\":\"up\",\"state\":\"begin\"}'; read -r go; read -r "
	       "go");
	loop_timer_destroy(f->go);
	assert_int_equal(f->verdict, WORKER_FAIL);
	assert_string_equal(f->message, "it does not fit");
	assert_string_equal(f->effect, "");
}

static void one_that_is_refused_can_still_be_cancelled(void **state)
{
	struct fixture *f = *state;

	f->refuse_when_deferred = f->cancel_when_refused = true;
	f->go = loop_timer_create(f->loop, on_go, f);
	run(f, "trap 'echo \"{\\\"result\\\":\\\"cancelled\\\"}\"; exit' TERM\n"
	       "read -r job; echo '{\"stage\":\"up\",\"state\":\"begin\"}'; read -r go");
	loop_timer_destroy(f->go);
	assert_int_equal(f->verdict, WORKER_CANCELLED);
}

static void a_task_of_devices_has_lines_of_them_and_no_environment(void **state)
{
	struct fixture *f = *state;

	f->bare = true;
	run(f, "read -r job; echo '{\"device\":{\"name\":\"A\"}}'; echo '{\"devices\":{}}'\n"
	       "echo '{\"result\":\"success\",\"stage\":null}'");
	assert_string_equal(lm_buf_cstr(&f->events), "device A;device s;");
	assert_int_equal(f->verdict, WORKER_SUCCESS);
}

static void a_worker_that_is_not_hardened_has_nothing(void **state)
{
	struct fixture *f = *state;
	int secret[2];

	assert_int_equal(pipe(secret), 0);
	f->secret_fd = secret[0];
	assert_int_equal(setenv("AWS_SECRET_ACCESS_KEY", "hunter2", 1), 0);
	run_bare(f, "env | grep AWS >&2; ls -l /proc/$$/fd >&2\n"
		    "echo '{\"hardened\":true}'; read -r take; echo \"got $take\" >&2\n"
		    "echo '{\"result\":\"success\"}'");
	assert_int_equal(unsetenv("AWS_SECRET_ACCESS_KEY"), 0);
	assert_int_equal(f->verdict, WORKER_SUCCESS);
	assert_non_null(strstr(lm_buf_cstr(&f->events), "text got take;"));
	assert_null(strstr(lm_buf_cstr(&f->events), "hunter2"));
	// It has four: stdin, stdout, stderr and the lock; the shell's own is the script.
	assert_non_null(strstr(lm_buf_cstr(&f->events), " 3 -> /dev/null"));
	assert_null(strstr(lm_buf_cstr(&f->events), " 4 -> "));
	(void)close(secret[0]);
	(void)close(secret[1]);
}

static void any_line_before_hardened_kills_the_worker(void **state)
{
	static const char *const lines[] = {"{\"stage\":\"pull\",\"state\":\"begin\"}",
		"{\"alive\":true}", "{\"hardened\":false}",
		"{\"hardened\":true}'; echo '{\"hardened\":true}"};
	struct fixture *f = *state;

	for (size_t i = 0; i < LM_ARRAY_SIZE(lines); i++) {
		lm_auto_free char *script = lm_xasprintf("echo '%s'; read -r never", lines[i]);

		f->ended = false;
		run_bare(f, script);
		assert_int_equal(f->verdict, WORKER_FAIL);
		assert_non_null(strstr(f->message, "sent an invalid line"));
		worker_process_destroy(lm_take(f->worker));
	}
}

static void a_worker_that_dies_has_failed(void **state)
{
	struct fixture *f = *state;

	run(f, "read -r job; echo '{\"stage\":\"pull\",\"state\":\"begin\"}'; read -r go\n"
	       "kill -SEGV $$");
	assert_int_equal(f->verdict, WORKER_FAIL);
	assert_string_equal(f->stage, "pull");
	assert_string_equal(f->message,
		"the worker exited without a result (killed by signal 11 (Segmentation fault)), in "
		"stage pull; see the connector log for its last lines");
	assert_string_equal(f->effect, "");
}

static void an_invalid_line_kills_the_worker(void **state)
{
	struct fixture *f = *state;

	run(f, "read -r job; echo 'Segmentation fault'; read -r never");
	assert_int_equal(f->verdict, WORKER_FAIL);
	assert_non_null(strstr(f->message, "sent an invalid line ('Segmentation fault')"));
}

static void an_endless_line_kills_the_worker(void **state)
{
	struct fixture *f = *state;

	run(f, "read -r job; head -c 100000 /dev/zero | tr '\\0' x; read -r never");
	assert_int_equal(f->verdict, WORKER_FAIL);
	assert_non_null(strstr(f->message, "a line is longer than"));
}

static void lines_of_another_task_kill_the_worker(void **state)
{
	struct fixture *f = *state;

	run(f, "read -r job; echo '{\"shipped\":1,\"rejected\":0}'; read -r never");
	assert_int_equal(f->verdict, WORKER_FAIL);
	worker_process_destroy(lm_take(f->worker));
	static const char *const lines[] = {"{\"stage\":\"up\",\"state\":\"begin\"}",
		"{\"image\":\"a:1\",\"digest\":\"sha256:0\",\"id\":\"" ID "\",\"pulled\":true}",
		"{\"compose\":{\"stamp\":\"s\",\"version\":\"2\"}}"};
	f->ships = true;
	for (size_t i = 0; i < LM_ARRAY_SIZE(lines); i++) {
		lm_auto_free char *script =
			lm_xasprintf("read -r job; echo '%s'; read -r never", lines[i]);

		f->ended = false;
		run(f, script);
		assert_int_equal(f->verdict, WORKER_FAIL);
		assert_non_null(strstr(f->message, "sent an invalid line"));
		worker_process_destroy(lm_take(f->worker));
	}
	assert_int_equal(f->events.len, 0);
}

static void a_worker_reports_what_it_has_shipped(void **state)
{
	struct fixture *f = *state;

	f->ships = true;
	run(f, "read -r job; echo '{\"shipped\":100,\"rejected\":2}'\n"
	       "echo '{\"shipped\":150,\"rejected\":0}'; echo '{\"result\":\"success\"}'");
	assert_int_equal(f->verdict, WORKER_SUCCESS);
	assert_string_equal(lm_buf_cstr(&f->events), "shipped 100 2;shipped 150 0;");
}

static void a_worker_that_is_idle_gets_an_order(void **state)
{
	struct fixture *f = *state;

	f->ships = true;
	f->order = (char[]){"more"};
	run(f, "read -r job; echo '{\"shipped\":100,\"rejected\":0}'; echo '{\"idle\":true}'\n"
	       "read -r order; test \"$order\" = more || exit\n"
	       "echo '{\"shipped\":50,\"rejected\":0}'; echo '{\"result\":\"success\"}'");
	assert_int_equal(f->verdict, WORKER_SUCCESS);
	assert_string_equal(lm_buf_cstr(&f->events), "shipped 100 0;idle;shipped 50 0;");
}

static void a_worker_that_is_idle_ships_nothing(void **state)
{
	struct fixture *f = *state;
	static const char *const lines[] = {"{\"shipped\":1,\"rejected\":0}", "{\"idle\":true}"};

	f->ships = true;
	for (size_t i = 0; i < LM_ARRAY_SIZE(lines); i++) {
		lm_auto_free char *script = lm_xasprintf(
			"read -r job; echo '{\"idle\":true}'; echo '%s'; read -r never", lines[i]);

		f->ended = false;
		run(f, script);
		assert_int_equal(f->verdict, WORKER_FAIL);
		assert_non_null(strstr(f->message, "sent an invalid line"));
		worker_process_destroy(lm_take(f->worker));
	}
	assert_string_equal(lm_buf_cstr(&f->events), "idle;idle;");
}

static void lines_of_a_killed_worker_count_and_its_exit_is_not_reported(void **state)
{
	struct fixture *f = *state;

	f->ships = f->kill_when_shipped = true;
	run(f, "trap '' TERM; read -r job; mkfifo $0.fifo; echo "
	       "'{\"shipped\":100,\"rejected\":0}'\n"
	       "echo '{\"shipped\":150,\"rejected\":0}'; echo last text >&2; echo >$0.fifo\n"
	       "read -r never");
	// Everything is in the pipes once the script is past the fifo.
	(void)strcat(f->path, ".fifo");
	lm_auto_close int fd = open(f->path, O_RDONLY);
	char byte;
	assert_int_equal(read(fd, &byte, 1), 1);
	assert_int_equal(unlink(f->path), 0);
	f->path[strlen(f->path) - strlen(".fifo")] = '\0';
	worker_process_kill(f->worker);
	assert_non_null(strstr(lm_buf_cstr(&f->events), "shipped 150 0;"));
	assert_non_null(strstr(lm_buf_cstr(&f->events), "text last text;"));
	assert_false(f->ended);
}

static void silence_kills_the_worker(void **state)
{
	struct fixture *f = *state;

	f->silence_ms = 1000;
	run(f, "trap '' TERM; read -r job; read -r never");
	assert_int_equal(f->verdict, WORKER_FAIL);
	assert_non_null(strstr(f->message, "produced no output for 1 s"));
}

/// A disk that takes its time, or a SIGSTOP: the worker waits for its `go`, and is not to blame.
static void a_stalled_loop_does_not_kill_a_worker_that_waits(void **state)
{
	struct fixture *f = *state;

	f->silence_ms = 1000;
	f->stall_ms = 3000;
	run(f, "read -r job; echo '{\"stage\":\"pull\",\"state\":\"begin\"}'; read -r go\n"
	       "echo '{\"result\":\"success\"}'");
	assert_int_equal(f->verdict, WORKER_SUCCESS);
}

static void output_during_a_stalled_loop_is_read_before_silence_counts(void **state)
{
	struct fixture *f = *state;

	// The timer is due, and the last output of the worker is unread: only that counts.
	f->silence_ms = 400;
	f->stall_ms = 1200;
	run(f, "trap '' TERM; read -r job\n"
	       "(while echo '{\"alive\":true}'; do sleep 0.1; done) &\n"
	       "for s in prepare fetch resolve admit pull; do\n"
	       "echo '{\"stage\":\"'$s'\",\"state\":\"begin\"}'; read -r go; done\n"
	       "kill $!; echo '{\"result\":\"success\"}'");
	assert_int_equal(f->verdict, WORKER_SUCCESS);
}

static void stages_and_images_are_not_repeated(void **state)
{
	static const char *const scripts[] = {
		"read -r job; while :; do echo '{\"stage\":\"pull\",\"state\":\"begin\"}'; read "
		"-r go; done",
		"read -r job; echo '{\"stage\":\"pull\",\"state\":\"begin\"}'; read -r go\n"
		"while echo '{\"stage\":\"pull\",\"state\":\"end\",\"ms\":1}'; do :; done",
		"read -r job; while echo '{\"stage\":\"up\",\"state\":\"fail\",\"ms\":1}'; do :; "
		"done",
		"read -r job; while echo '{\"image\":\"a:1\",\"digest\":\"sha256:0\",\"id\":\"" ID
		"\",\"pulled\":true}'; do :; done",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < LM_ARRAY_SIZE(scripts); i++) {
		f->ended = false;
		run(f, scripts[i]);
		assert_int_equal(f->verdict, WORKER_FAIL);
		assert_non_null(strstr(f->message, "sent an invalid line"));
		worker_process_destroy(lm_take(f->worker));
	}
}

static void children_are_killed_with_the_worker(void **state)
{
	struct fixture *f = *state;
	long pid = 0;

	run(f, "read -r job; sleep 1000 >/dev/null 2>&1 </dev/null & echo $! >&2; kill -KILL $$");
	assert_int_equal(sscanf(strstr(lm_buf_cstr(&f->events), "text "), "text %ld", &pid), 1);
	assert_true(pid > 1);
	// A zombie of another parent counts as gone.
	char path[64];
	char text[256] = "";
	(void)snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	lm_auto_fclose FILE *stat = fopen(path, "r");
	if (stat)
		assert_non_null(fgets(text, sizeof(text), stat));
	assert_true(!stat || strstr(text, ") Z ") != NULL);
}

static void a_stage_that_may_not_begin_kills_the_worker(void **state)
{
	struct fixture *f = *state;

	f->refuse = LM_E_SYS;
	run(f, "read -r job; echo '{\"stage\":\"up\",\"state\":\"begin\"}'; read -r go && exit 9\n"
	       "read -r never");
	assert_int_equal(f->verdict, WORKER_FAIL);
	assert_string_equal(f->message, "not now");
}

static void a_cancelled_worker_exits_by_itself(void **state)
{
	struct fixture *f = *state;

	f->cancel_at_begin = true;
	run(f, "trap 'echo \"{\\\"result\\\":\\\"cancelled\\\",\\\"stage\\\":\\\"up\\\"}\"; exit "
	       "3' TERM\n"
	       "read -r job; echo '{\"stage\":\"up\",\"state\":\"begin\"}'; read -r go; read -r "
	       "go");
	assert_int_equal(f->verdict, WORKER_CANCELLED);
	assert_string_equal(f->stage, "up");
}

static void a_cancelled_worker_that_dies_is_cancelled_too(void **state)
{
	struct fixture *f = *state;

	f->cancel_at_begin = true;
	run(f, "read -r job; echo '{\"stage\":\"up\",\"state\":\"begin\"}'; read -r go");
	assert_int_equal(f->verdict, WORKER_CANCELLED);
}

static void a_program_that_cannot_run_is_an_error(void **state)
{
	struct fixture *f = *state;
	lm_auto_json json_t *document = json_object();
	const struct worker_process_spec spec = {.program = f->path,
		.document = document,
		.lock_fd = -1,
		.handover = HANDOVER_NONE,
		.silence_ms = f->silence_ms};
	const struct worker_process_events events = {.exited = on_ended, .ctx = f};
	struct lm_err err = {LM_OK};

	assert_int_equal(
		worker_process_start(f->loop, &spec, &events, &f->worker, &err), LM_E_NOT_FOUND);
	assert_null(f->worker);
	assert_non_null(strstr(err.msg, "No such file or directory"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_worker_gets_its_document_and_a_go_for_each_stage),
		TEST(a_stage_that_is_deferred_waits_and_is_not_silent),
		TEST(one_that_is_cancelled_meanwhile_does_not_begin),
		TEST(one_that_is_refused_meanwhile_does_not_begin_and_has_failed),
		TEST(one_that_is_refused_and_dies_has_failed_for_that_reason),
		TEST(one_that_is_refused_can_still_be_cancelled),
		TEST(a_task_of_devices_has_lines_of_them_and_no_environment),
		TEST(a_worker_that_is_not_hardened_has_nothing),
		TEST(any_line_before_hardened_kills_the_worker),
		TEST(a_worker_that_dies_has_failed),
		TEST(an_invalid_line_kills_the_worker),
		TEST(an_endless_line_kills_the_worker),
		TEST(lines_of_another_task_kill_the_worker),
		TEST(a_worker_reports_what_it_has_shipped),
		TEST(a_worker_that_is_idle_gets_an_order),
		TEST(a_worker_that_is_idle_ships_nothing),
		TEST(lines_of_a_killed_worker_count_and_its_exit_is_not_reported),
		TEST(silence_kills_the_worker),
		TEST(a_stalled_loop_does_not_kill_a_worker_that_waits),
		TEST(output_during_a_stalled_loop_is_read_before_silence_counts),
		TEST(stages_and_images_are_not_repeated),
		TEST(children_are_killed_with_the_worker),
		TEST(a_stage_that_may_not_begin_kills_the_worker),
		TEST(a_cancelled_worker_exits_by_itself),
		TEST(a_cancelled_worker_that_dies_is_cancelled_too),
		TEST(a_program_that_cannot_run_is_an_error),
	};

	return cmocka_run_group_tests_name("daemon/worker_process", tests, NULL, NULL);
}
