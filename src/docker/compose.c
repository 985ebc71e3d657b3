// SPDX-License-Identifier: Apache-2.0
#include "docker/compose.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/memory.h"
#include "docker/compose_output.h"
#include "sys/process.h"

enum {
	GRACE_MS = 10 * 1000, ///< compose ends what it is doing at SIGTERM.
	ARGS_MAX = 24,        ///< Without services.
};

/// One run and what is collected from its lines.
struct run {
	const struct compose_job *job;
	struct compose_reason reason;
	struct lm_buf clean, shown;
};

static void run_finish(struct run *r)
{
	compose_reason_finish(&r->reason);
	lm_buf_finish(&r->clean);
	lm_buf_finish(&r->shown);
}

/// Copies a line with another name for the compose file, as whoever reads it knows none of a file
/// that is gone by then. Clears `out` first.
static void show_file(const struct compose_job *job, struct lm_str line, struct lm_buf *out)
{
	size_t n = strlen(job->file);

	lm_buf_clear(out);
	while (line.n > 0) {
		const char *found = job->file_shown ? memmem(line.p, line.n, job->file, n) : NULL;
		size_t before = found ? (size_t)(found - line.p) : line.n;
		size_t taken = found ? before + n : before;

		(void)lm_buf_add(out, line.p, before);
		if (found)
			(void)lm_buf_puts(out, job->file_shown);
		line = (struct lm_str){line.p + taken, line.n - taken};
	}
}

static void take_line(void *ctx, enum process_stream stream, struct lm_str line)
{
	(void)stream;
	struct run *r = ctx;
	compose_line_clean(line, &r->clean);
	show_file(r->job, lm_buf_str(&r->clean), &r->shown);
	struct lm_str clean = lm_buf_str(&r->shown);
	if (lm_str_trim(clean).n == 0)
		return;
	compose_reason_add(&r->reason, clean);
	if (r->job->on_line)
		r->job->on_line(r->job->ctx, compose_line_level(clean), lm_str_trim(clean));
}

struct command {
	const char *verb;            ///< "up", for messages too.
	const char *options[4];      ///< NULL-ended.
	const char *const *services; ///< Behind the options.
	size_t services_n;
	struct lm_buf *output;
};

/// NULL-ended; what it points to is borrowed. The caller frees it.
static const char **make_args(const struct compose_job *job, const struct command *command)
{
	const char **args = lm_xcalloc(ARGS_MAX + command->services_n, sizeof(const char *));
	size_t n = 0;
	args[n++] = job->compose->program;
	if (job->compose->plugin)
		args[n++] = "compose";
	args[n++] = "-p";
	args[n++] = job->project;
	args[n++] = "-f";
	args[n++] = job->file;
	args[n++] = "--project-directory";
	args[n++] = job->directory;
	args[n++] = command->verb;
	for (size_t i = 0; i < LM_ARRAY_SIZE(command->options) && command->options[i]; i++)
		args[n++] = command->options[i];
	for (size_t i = 0; i < command->services_n; i++)
		args[n++] = command->services[i];
	return args;
}

static lm_rc run_command(const struct compose_job *job, const struct command *command,
	const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto_free const char **args = make_args(job, command);
	const char *name = job->compose->plugin ? "docker compose" : "docker-compose";
	lm_auto(run_finish) struct run r = {.job = job,
		.clean = LM_BUF(LIMIT_LOG_LINE * 2),
		.shown = LM_BUF(LIMIT_LOG_LINE * 4)};
	compose_reason_init(&r.reason);
	struct process_run run = {
		.spec = {.argv = args,
			.envp = job->env,
			.directory = job->directory,
			.die_with_parent = true},
		.on_line = take_line,
		.ctx = &r,
		.output = command->output,
		.term_grace_ms = GRACE_MS,
	};
	int status = 0;
	lm_rc rc = process_run(&run, limit, &status, err);
	if (rc != LM_OK)
		return lm_wrap(err, "%s %s", name, command->verb);
	if (status == 0)
		return LM_OK;
	const char *reason = compose_reason_text(&r.reason);
	char how[96];
	if (!*reason)
		reason = process_describe_status(status, how, sizeof(how));
	return lm_fail(err, compose_reason_class(reason), 0, "%s %s failed: %s", name,
		command->verb, reason);
}

lm_rc compose_config(const struct compose_job *job, const struct wait_limit *limit,
	struct lm_buf *ret_config, struct lm_err *err)
{
	struct command command = {.verb = "config", .output = ret_config};
	return run_command(job, &command, limit, err);
}

lm_rc compose_hash(const struct compose_job *job, const struct wait_limit *limit,
	struct lm_buf *ret_hashes, struct lm_err *err)
{
	struct command command = {.verb = "config", .options = {"--hash=*"}, .output = ret_hashes};
	return run_command(job, &command, limit, err);
}

lm_rc compose_down(const struct compose_job *job, bool remove_orphans,
	const struct wait_limit *limit, struct lm_err *err)
{
	struct command command = {
		.verb = "down", .options = {remove_orphans ? "--remove-orphans" : NULL}};
	return run_command(job, &command, limit, err);
}

lm_rc compose_build(const struct compose_job *job, const char *const *services, size_t n,
	const struct wait_limit *limit, struct lm_err *err)
{
	struct command command = {.verb = "build", .services = services, .services_n = n};
	return run_command(job, &command, limit, err);
}

/// `up --pull` is of docker-compose 2.15 (in some before, it is taken and has no effect).
static bool knows_pull_option(const struct compose *compose)
{
	char *end = NULL;

	if (compose->generation < 2)
		return false;
	unsigned long major = strtoul(compose->version, &end, 10);
	unsigned long minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
	return major > 2 || (major == 2 && minor >= 15);
}

bool compose_up_pulls_again(const struct compose *compose)
{
	return compose->generation >= 2 && !knows_pull_option(compose);
}

lm_rc compose_up(const struct compose_job *job, bool remove_orphans, const struct wait_limit *limit,
	struct lm_err *err)
{
	struct command command = {.verb = "up", .options = {"-d"}};
	size_t n = 1;

	if (knows_pull_option(job->compose))
		command.options[n++] = "--pull=never";
	if (remove_orphans)
		command.options[n++] = "--remove-orphans";
	return run_command(job, &command, limit, err);
}
