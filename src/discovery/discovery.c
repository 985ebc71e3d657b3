// SPDX-License-Identifier: Apache-2.0
#include "discovery/discovery.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "discovery/privileges.h"
#include "discovery/server.h"
#include "sys/sd_notify.h"

#include <inttypes.h>
#include <signal.h>
#include <time.h>

struct discovery {
	const struct discovery_options *options;
	struct loop *loop;
	struct sd_notify *notify; ///< NULL: there is no service manager.
	struct loop_timer *watchdog;
	struct loop_signal *term, *interrupt, *hangup;
	struct server *server;
};

static void discovery_finish(struct discovery *d)
{
	server_destroy(d->server);
	loop_signal_destroy(d->term);
	loop_signal_destroy(d->interrupt);
	loop_signal_destroy(d->hangup);
	loop_timer_destroy(d->watchdog);
	sd_notify_close(d->notify);
	loop_destroy(d->loop);
}

static void notify_lines(
	const struct discovery *d, enum sd_notify_patience patience, const char *lines)
{
	struct lm_err err;

	if (sd_notify_send(d->notify, patience, lines, &err))
		lm_warn("%s, ignoring", err.msg);
}

static void notify_ready(const struct discovery *d)
{
	lm_auto_free char *status = server_describe(d->server);
	lm_auto_free char *lines = lm_xasprintf("READY=1\nSTATUS=%s", status);

	lm_info("%s", status);
	notify_lines(d, SD_NOTIFY_PATIENT, lines);
}

static void on_stop_signal(void *ctx)
{
	struct discovery *d = ctx;

	notify_lines(d, SD_NOTIFY_AT_ONCE, "STOPPING=1");
	loop_stop(d->loop);
}

static void on_reload_signal(void *ctx)
{
	struct discovery *d = ctx;
	struct lm_err err = {LM_OK};
	struct timespec now = {0};

	(void)clock_gettime(CLOCK_MONOTONIC, &now); // the clock that systemd compares with
	lm_auto_free char *lines = lm_xasprintf("RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		(uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
	notify_lines(d, SD_NOTIFY_AT_ONCE, lines);
	if (server_reload(d->server, &err))
		lm_error("cannot reload, and goes on with what was read before: %s", err.msg);
	notify_ready(d);
	(void)lm_memory_give_back();
}

static void on_discovery_watchdog(void *ctx)
{
	notify_lines(ctx, SD_NOTIFY_AT_ONCE, "WATCHDOG=1");
}

static void open_manager(struct discovery *d)
{
	struct lm_err err;

	if (sd_notify_open(&d->notify, &err))
		lm_warn("%s; the service manager is not notified", err.msg);
	d->watchdog = loop_timer_create(d->loop, on_discovery_watchdog, d);
	uint64_t interval_ms = sd_notify_watchdog_ms(d->notify) / 2;
	if (interval_ms > 0)
		loop_timer_start(d->watchdog, interval_ms, interval_ms);
}

static lm_rc discovery_start(struct discovery *d, struct lm_err *err)
{
	lm_rc rc = loop_create(&d->loop, err);

	if (rc)
		return rc;
	open_manager(d);
	if ((rc = loop_signal_create(d->loop, SIGTERM, on_stop_signal, d, &d->term, err)) ||
		(rc = loop_signal_create(d->loop, SIGINT, on_stop_signal, d, &d->interrupt, err)) ||
		(rc = loop_signal_create(d->loop, SIGHUP, on_reload_signal, d, &d->hangup, err)))
		return rc;
	// First of all: as root nothing is read, and a file that the user may not read is found
	// now, not at a reload.
	if (d->options->user && (rc = privileges_become(d->options->user, err)))
		return rc;
	return server_create(d->loop, d->options->folder, &d->server, err);
}

int discovery_run(const struct discovery_options *options)
{
	lm_auto(discovery_finish) struct discovery d = {.options = options};
	struct lm_err err = {LM_OK};

	if (discovery_start(&d, &err)) {
		lm_error("lighterman-discovery cannot start: %s", err.msg);
		return EXIT_FAILURE;
	}
	notify_ready(&d);
	(void)lm_memory_give_back();
	loop_run(d.loop);
	lm_info("lighterman-discovery has exited");
	return EXIT_SUCCESS;
}
