// SPDX-License-Identifier: Apache-2.0
#include "daemon/daemon.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/path.h"
#include "daemon/commands.h"
#include "daemon/daemon_log.h"
#include "daemon/happenings.h"
#include "daemon/outgoing.h"
#include "daemon/service.h"
#include "daemon/shipping.h"
#include "daemon/status_lines.h"
#include "daemon/supervisor.h"
#include "daemon/telemetry.h"
#include "deploy/store.h"
#include "docker/compose.h"
#include "sys/memory.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	EXIT_HOST_FILE = 2,
	DRAIN_MS = 5 * 1000, ///< At the end, for messages that a connected broker has not taken.
	TIDY_MS = 1000,      ///< After what has changed, for what follows from it.
};

struct daemon {
	const struct daemon_options *options;
	struct host_settings host;
	struct loop *loop;
	struct service *service;
	struct store *store;
	struct outgoing *outgoing;
	struct happenings happenings;
	struct monitor *monitor;
	struct supervisor *supervisor;
	struct shipping *shipping;
	struct status_lines *status_lines;
	struct telemetry *telemetry;
	struct commands *commands;
	struct loop_signal *term, *interrupt, *hangup;
	struct loop_timer *tidy;
	char *status; ///< What was said last of what goes on.
	bool ending;
};

static void daemon_finish(struct daemon *d)
{
	loop_signal_destroy(d->term);
	loop_signal_destroy(d->interrupt);
	loop_signal_destroy(d->hangup);
	loop_timer_destroy(lm_take(d->tidy));
	commands_destroy(d->commands);
	status_lines_destroy(d->status_lines);
	telemetry_destroy(lm_take(d->telemetry));
	supervisor_destroy(d->supervisor);
	daemon_log_set_shipping(NULL);
	shipping_destroy(d->shipping);
	monitor_destroy(d->monitor);
	outgoing_destroy(d->outgoing);
	store_close(d->store);
	service_destroy(d->service);
	loop_destroy(d->loop);
	daemon_log_end();
	host_finish(&d->host);
	free(d->status);
}

static void on_drained(void *ctx)
{
	struct daemon *d = ctx;

	loop_stop(d->loop);
}

static void on_ended(void *ctx)
{
	struct daemon *d = ctx;

	outgoing_drain(d->outgoing, DRAIN_MS, on_drained, d);
}

static void on_end_signal(void *ctx)
{
	struct daemon *d = ctx;

	if (d->ending) {
		lm_info("told to end once more; what is being done goes on");
		return;
	}
	d->ending = true;
	lm_info("told to end");
	service_stopping(d->service);
	supervisor_end(d->supervisor, on_ended, d);
}

static void on_tidy(void *ctx)
{
	struct daemon *d = ctx;

	telemetry_changed(d->telemetry); // by now what followed is known, too
	(void)memory_give_back();
}

/// Something happened to containers. The monitor lives before and after what is told here.
static void on_happened(void *ctx)
{
	struct daemon *d = ctx;

	if (d->tidy)
		loop_timer_start(d->tidy, TIDY_MS, 0);
	telemetry_changed(d->telemetry);
}

/// A piece of work begins or has ended, and what it needed is soon needed no more.
static void on_changed(void *ctx)
{
	struct daemon *d = ctx;

	lm_auto_free char *status = supervisor_describe(d->supervisor);

	loop_timer_start(d->tidy, TIDY_MS, 0);
	if (!d->status || strcmp(d->status, status) != 0)
		lm_debug("%s", status);
	service_status(d->service, status);
	free(d->status);
	d->status = lm_take(status);
	telemetry_changed(d->telemetry);
}

static void on_begins(void *ctx, bool acts)
{
	struct daemon *d = ctx;

	if (acts)
		monitor_set_busy(d->monitor, true);
	shipping_pause(d->shipping);
	status_lines_set_frequency(d->status_lines, supervisor_status_frequency_s(d->supervisor));
}

static void on_engine_back(void *ctx)
{
	struct daemon *d = ctx;

	on_happened(ctx);
	if (d->supervisor)
		supervisor_engine_back(d->supervisor);
}

static void on_rests(void *ctx)
{
	struct daemon *d = ctx;

	status_lines_set_frequency(d->status_lines, supervisor_status_frequency_s(d->supervisor));
	shipping_resume(d->shipping);
	monitor_set_busy(d->monitor, false);
}

/// Reads the group file and deploys it; false if it cannot be read.
static bool deploy_file(struct daemon *d, bool reuse)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_GROUP_FILE);
	const struct waiter nobody = {0};
	struct lm_err err = {LM_OK};

	if (lm_file_read(d->options->group, &text, &err)) {
		(void)!lm_wrap(&err, "read the group file");
		supervisor_refuse(d->supervisor, &err);
		return false;
	}
	supervisor_deploy(d->supervisor, lm_buf_str(&text), reuse, &nobody);
	return true;
}

static void on_hangup(void *ctx)
{
	struct daemon *d = ctx;

	if (!d->options->group)
		lm_warn("SIGHUP: there is no group file to read again, as none was named with "
			"--group; use 'lighterman deploy FILE'");
	else
		(void)deploy_file(d, false);
}

static void begin(struct daemon *d)
{
	const struct supervisor_watcher watcher = {
		.begins = on_begins, .rests = on_rests, .changed = on_changed, .ctx = d};
	bool deploys = d->options->group && !supervisor_is_stopped(d->supervisor);

	supervisor_watch(d->supervisor, &watcher);
	if (!deploys || !deploy_file(d, true))
		supervisor_resume(d->supervisor);
}

static lm_rc watch_signals(struct daemon *d, struct lm_err *err)
{
	lm_rc rc = loop_signal_create(d->loop, SIGTERM, on_end_signal, d, &d->term, err);

	if (rc == LM_OK)
		rc = loop_signal_create(d->loop, SIGINT, on_end_signal, d, &d->interrupt, err);
	if (rc == LM_OK)
		rc = loop_signal_create(d->loop, SIGHUP, on_hangup, d, &d->hangup, err);
	return rc;
}

static lm_rc open_store(struct daemon *d, struct lm_err *err)
{
	lm_auto_free char *path = lm_path_join(d->host.state_directory, "application");
	lm_rc rc = store_open(path, &d->store, err);

	if (rc == LM_OK && store_note(d->store))
		lm_warn("the store '%s': %s", path, store_note(d->store));
	return rc;
}

static lm_rc start(struct daemon *d, struct lm_err *err)
{
	// Workers pass through it as the application's user.
	lm_rc rc = lm_dir_make(d->host.runtime_directory, 0755, err);

	if (rc == LM_OK)
		rc = loop_create(&d->loop, err);
	if (rc == LM_OK)
		rc = watch_signals(d, err);
	if (rc == LM_OK)
		d->service = service_create(d->loop);
	if (rc == LM_OK)
		rc = open_store(d, err);
	if (rc == LM_OK)
		rc = outgoing_create(d->loop, &d->host, &d->outgoing, err);
	d->happenings = (struct happenings){
		.outgoing = d->outgoing, .changed = on_happened, .back = on_engine_back, .ctx = d};
	if (rc == LM_OK)
		rc = happenings_watch(d->loop, &d->host, &d->happenings, &d->monitor, err);
	if (rc)
		return rc;
	d->shipping = shipping_create(d->loop, &d->host);
	daemon_log_set_shipping(d->shipping);
	d->status_lines =
		status_lines_create(d->loop, d->host.docker_socket, COMPOSE_PROJECT, d->monitor);
	d->supervisor = supervisor_create(d->loop, &d->host, d->store, d->outgoing);
	supervisor_apply_loggers(d->supervisor);
	const struct telemetry_sources measured = {
		.supervisor = d->supervisor, .outgoing = d->outgoing, .monitor = d->monitor};
	d->telemetry = telemetry_create(d->loop, &d->host, &measured);
	d->tidy = loop_timer_create(d->loop, on_tidy, d);
	outgoing_watch(d->outgoing, on_changed, d);
	on_changed(d);
	const struct commands_sources sources = {.supervisor = d->supervisor,
		.outgoing = d->outgoing,
		.monitor = d->monitor,
		.telemetry = d->telemetry,
		.host_file = d->host.file};
	return commands_create(d->loop, &d->host, &sources, &d->commands, err);
}

int daemon_run(const struct daemon_options *options)
{
	lm_auto(daemon_finish) struct daemon d = {.options = options};
	struct lm_err err = {LM_OK};

	// Of whoever starts it by hand: members of controlGroup, and workers as the application's
	// user, pass through directories of ours. What is secret has a mode of its own.
	(void)umask(022);
	// An attempt to connect to a broker has a thread, which must not cost an arena of its own.
	(void)mallopt(M_ARENA_MAX, 1);
	if (host_load(options->config, &d.host, &err)) {
		lm_error("%s", err.msg);
		return EXIT_HOST_FILE;
	}
	daemon_log_begin(&d.host);
	if (start(&d, &err)) {
		lm_error("lightermand cannot start: %s", err.msg);
		return EXIT_FAILURE;
	}
	lm_info("lightermand " LM_VERSION " has started");
	service_ready(d.service);
	begin(&d);
	loop_run(d.loop);
	lm_info("lightermand has ended");
	return EXIT_SUCCESS;
}
