// SPDX-License-Identifier: Apache-2.0
#include "daemon/daemon.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/path.h"
#include "daemon/commands.h"
#include "daemon/daemon_log.h"
#include "daemon/outgoing.h"
#include "daemon/service.h"
#include "daemon/supervisor.h"
#include "daemon/telemetry.h"
#include "deploy/store.h"
#include "sys/memory.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>

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
	struct supervisor *supervisor;
	struct telemetry *telemetry;
	struct commands *commands;
	struct loop_signal *term, *interrupt, *hangup;
	struct loop_timer *tidy;
	bool ending;
};

static void daemon_finish(struct daemon *d)
{
	loop_signal_destroy(d->term);
	loop_signal_destroy(d->interrupt);
	loop_signal_destroy(d->hangup);
	loop_timer_destroy(d->tidy);
	commands_destroy(d->commands);
	telemetry_destroy(d->telemetry);
	supervisor_destroy(d->supervisor);
	outgoing_destroy(d->outgoing);
	store_close(d->store);
	service_destroy(d->service);
	loop_destroy(d->loop);
	daemon_log_end();
	host_finish(&d->host);
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
		lm_info("told to end once more; taking the application down goes on");
		return;
	}
	d->ending = true;
	lm_info("told to end");
	service_stopping(d->service);
	supervisor_end(d->supervisor, on_ended, d);
}

/// Reads the group file and deploys it; false if it cannot be read.
static bool deploy_file(struct daemon *d, bool reuse)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_GROUP_FILE);
	const struct supervisor_waiter nobody = {0};
	struct lm_err err = {LM_OK};

	if (lm_file_read(d->options->group, &text, &err)) {
		lm_error("read the group file: %s", err.msg);
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
	bool deploys = d->options->group && !supervisor_is_stopped(d->supervisor);

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

static void on_tidy(void *ctx)
{
	(void)ctx;
	(void)memory_give_back();
}

/// A piece of work begins or has ended, and what it needed is soon needed no more.
static void on_changed(void *ctx)
{
	struct daemon *d = ctx;

	lm_auto_free char *status = supervisor_describe(d->supervisor);

	loop_timer_start(d->tidy, TIDY_MS, 0);
	service_status(d->service, status);
	telemetry_changed(d->telemetry);
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
	if (rc)
		return rc;
	d->supervisor = supervisor_create(d->loop, &d->host, d->store, d->outgoing);
	d->telemetry = telemetry_create(d->loop, &d->host, d->supervisor, d->outgoing);
	d->tidy = loop_timer_create(d->loop, on_tidy, d);
	supervisor_watch(d->supervisor, on_changed, d);
	outgoing_watch(d->outgoing, on_changed, d);
	on_changed(d);
	return commands_create(
		d->loop, &d->host, d->supervisor, d->outgoing, d->telemetry, &d->commands, err);
}

int daemon_run(const struct daemon_options *options)
{
	lm_auto(daemon_finish) struct daemon d = {.options = options};
	struct lm_err err = {LM_OK};

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
