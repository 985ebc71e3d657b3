// SPDX-License-Identifier: Apache-2.0
#include "daemon/daemon.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "config/status_message.h"
#include "daemon/boot_record.h"
#include "daemon/client_devices.h"
#include "daemon/container_status.h"
#include "daemon/generation.h"
#include "daemon/healer.h"
#include "daemon/image_pruner.h"
#include "daemon/image_replacer.h"
#include "daemon/jobs.h"
#include "daemon/log_router.h"
#include "daemon/log_shipper.h"
#include "daemon/metrics_exporter.h"
#include "daemon/mqtt_brokers.h"
#include "daemon/requests.h"
#include "daemon/supervisor.h"
#include "daemon/verification.h"
#include "deploy/state_format.h"
#include "deploy/store.h"
#include "docker/compose.h"
#include "events/monitor.h"
#include "sys/confinement.h"
#include "sys/sd_notify.h"

#include <errno.h>
#include <linux/capability.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	EXIT_HOST_FILE = 2,
	DRAIN_MS = 5 * 1000, ///< At exit, for messages that a connected broker has not taken.
	TIDY_MS = 1000,      ///< After what has changed, for what follows from it.
};

struct daemon {
	const struct daemon_options *options;
	struct host_settings host;
	struct loop *loop;
	struct sd_notify *notify; ///< The service manager (systemd, say); NULL: there is none.
	struct loop_timer *watchdog;
	bool notify_failed; ///< That it cannot be notified was logged.
	struct store *store;
	struct mqtt_brokers *brokers;
	struct client_devices *devices;
	struct monitor *monitor;
	struct supervisor *supervisor;
	struct jobs *jobs; ///< NULL: no broker has any.
	struct log_shipper *log_shipper;
	struct image_pruner *image_pruner;
	struct image_replacer *image_replacer;
	struct verification *verification;
	struct container_status *container_status;
	struct healer *healer;
	struct metrics_exporter *metrics;
	struct requests *requests;
	struct loop_signal *term, *interrupt, *leave, *hangup;
	struct loop_timer *tidy;
	char *status;     ///< The last description of what goes on.
	bool status_sent; ///< The service manager has it.
	bool shuts_down;
	bool leaves_running; ///< The application is not stopped by that.
};

static void daemon_finish(struct daemon *d)
{
	loop_signal_destroy(d->term);
	loop_signal_destroy(d->interrupt);
	loop_signal_destroy(d->leave);
	loop_signal_destroy(d->hangup);
	loop_timer_destroy(lm_take(d->tidy));
	requests_destroy(d->requests);
	container_status_destroy(d->container_status);
	metrics_exporter_destroy(lm_take(d->metrics)); // writes once more, of all below
	healer_destroy(lm_take(d->healer));
	supervisor_destroy(lm_take(d->supervisor)); // the monitor still reports
	jobs_destroy(lm_take(d->jobs));
	log_shipper_destroy(d->log_shipper);
	image_pruner_destroy(d->image_pruner);
	image_replacer_destroy(d->image_replacer);
	verification_destroy(d->verification);
	monitor_destroy(d->monitor);
	client_devices_destroy(d->devices);
	mqtt_brokers_destroy(d->brokers);
	store_close(d->store);
	loop_timer_destroy(d->watchdog);
	sd_notify_close(d->notify);
	loop_destroy(d->loop);
	log_router_close();
	host_finish(&d->host);
	free(d->status);
}

static bool notify_manager(struct daemon *d, enum sd_notify_patience time_limit, const char *lines)
{
	struct lm_err err;

	if (sd_notify_send(d->notify, time_limit, lines, &err) == LM_OK) {
		d->notify_failed = false;
		return true;
	}
	if (!d->notify_failed)
		lm_warn("%s, ignoring", err.msg);
	d->notify_failed = true;
	return false;
}

/// From the loop, so that a loop that hangs is noticed.
static void on_watchdog(void *ctx)
{
	(void)notify_manager(ctx, SD_NOTIFY_AT_ONCE, "WATCHDOG=1");
}

/// Before any child is started: takes the manager's variables out of the environment.
static void open_notify(struct daemon *d)
{
	struct lm_err err;

	if (sd_notify_open(&d->notify, &err))
		lm_warn("%s; the service manager is not notified", err.msg);
	d->watchdog = loop_timer_create(d->loop, on_watchdog, d);
	uint64_t interval_ms = sd_notify_watchdog_ms(d->notify) / 2;
	if (interval_ms > 0)
		loop_timer_start(d->watchdog, interval_ms, interval_ms);
}

static void on_devices_exited(void *ctx)
{
	struct daemon *d = ctx;

	loop_stop(d->loop);
}

/// Last: until now our own messages went to their broker, too.
static void daemon_on_drained(void *ctx)
{
	struct daemon *d = ctx;

	client_devices_exit(d->devices, on_devices_exited, d);
}

static void on_supervisor_exited(void *ctx)
{
	struct daemon *d = ctx;

	mqtt_brokers_drain(d->brokers, DRAIN_MS, daemon_on_drained, d);
}

static void daemon_exit(struct daemon *d, bool leaves_running)
{
	if (d->shuts_down) {
		lm_info("already shutting down");
		return;
	}
	d->shuts_down = true;
	d->leaves_running = leaves_running;
	lm_info("shutting down%s", leaves_running ? "; the application is left as it is" : "");
	(void)notify_manager(d, SD_NOTIFY_PATIENT, "STOPPING=1");
	supervisor_exit(d->supervisor, leaves_running, on_supervisor_exited, d);
}

/// Whether --leave-while names a file that is gone: lightermand was removed, not only stopped. One
/// that cannot be looked at counts as existing.
static bool is_removed(const struct daemon *d)
{
	const char *path = d->options->leave_while;

	return path && access(path, F_OK) && (errno == ENOENT || errno == ENOTDIR);
}

static void on_exit_signal(void *ctx)
{
	struct daemon *d = ctx;

	daemon_exit(d, d->options->leave_while && !is_removed(d));
}

static void on_leave_signal(void *ctx)
{
	daemon_exit(ctx, true);
}

static void on_tidy(void *ctx)
{
	struct daemon *d = ctx;

	metrics_exporter_changed(d->metrics); // by now what followed is known, too
	(void)lm_memory_give_back();
}

/// Containers have changed. The monitor lives before and after what is notified here.
static void on_containers_changed(void *ctx)
{
	struct daemon *d = ctx;

	if (d->tidy)
		loop_timer_start(d->tidy, TIDY_MS, 0);
	metrics_exporter_changed(d->metrics);
	if (d->supervisor)
		supervisor_containers_changed(d->supervisor);
	healer_look(d->healer);
}

static void on_container_event(void *ctx, const struct container_event *event)
{
	struct daemon *d = ctx;
	lm_auto_free char *text = container_event_to_text(event);
	lm_auto_json json_t *message = container_event_to_message(event);
	lm_auto_buf struct lm_buf payload = LM_BUF(LIMIT_MQTT_PAYLOAD);
	struct lm_err err = {LM_OK};

	// The message first: it is waited for.
	bool fits = json_write(message, &payload);
	lm_rc rc = !fits ? lm_fail(&err, LM_E_TOO_LARGE, 0, "it exceeds the limit of %d bytes",
				   LIMIT_MQTT_PAYLOAD)
			 : mqtt_brokers_send(d->brokers, OUTBOX_EVENT, lm_buf_str(&payload), &err);
	lm_log(container_event_is_problem(event) ? LM_WARN : LM_INFO, "%s", text);
	if (rc)
		lm_error("lost the message about this: %s", err.msg);
	on_containers_changed(d);
}

static void on_event_stream_lost(void *ctx, const char *why)
{
	lm_warn("lost the Docker event stream: %s, retrying", why);
	on_containers_changed(ctx);
}

static void on_event_stream_back(void *ctx)
{
	struct daemon *d = ctx;

	lm_info("the Docker event stream is back");
	on_containers_changed(d);
	if (d->supervisor)
		supervisor_engine_back(d->supervisor);
}

/// Its checksum has brought back code that was given back after the events themselves.
static void on_monitor_saved(void *ctx)
{
	(void)ctx;
	(void)lm_memory_give_back();
}

static void on_monitor_trouble(void *ctx, const char *what)
{
	(void)ctx;
	lm_warn("%s, ignoring", what);
}

static lm_rc watch_containers(struct daemon *d, struct lm_err *err)
{
	lm_auto(damage_finish) struct damage damage = {0};
	const struct monitor_settings settings = {
		.engine_socket = d->host.docker_socket,
		.project = COMPOSE_PROJECT,
		.state_directory = d->host.state_directory,
		.damage = &damage,
	};
	const struct monitor_callbacks callbacks = {
		.event = on_container_event,
		.lost = on_event_stream_lost,
		.found = on_event_stream_back,
		.trouble = on_monitor_trouble,
		.changed = on_containers_changed,
		.saved = on_monitor_saved,
		.ctx = d,
	};

	lm_rc rc = monitor_create(d->loop, &settings, &callbacks, &d->monitor, err);
	damage_log(&damage, d->host.state_directory);
	return rc;
}

/// A task begins or is done, and what it needed is soon needed no more.
static void on_changed(void *ctx)
{
	struct daemon *d = ctx;
	const struct status shown = supervisor_status(d->supervisor);
	lm_auto_free char *status = status_describe(&shown);
	bool is_new = !d->status || strcmp(d->status, status) != 0;

	loop_timer_start(d->tidy, TIDY_MS, 0);
	if (is_new)
		lm_debug("%s", status);
	if (is_new || !d->status_sent) {
		lm_auto_free char *lines = lm_xasprintf("STATUS=%s", status);

		d->status_sent = notify_manager(d, SD_NOTIFY_AT_ONCE, lines);
	}
	free(d->status);
	d->status = lm_take(status);
	metrics_exporter_changed(d->metrics);
	healer_look(d->healer);
	jobs_look(d->jobs);
}

static void on_worker_starts(void *ctx, bool acts)
{
	struct daemon *d = ctx;

	if (acts)
		monitor_set_busy(d->monitor, true);
	log_shipper_pause(d->log_shipper);
	image_pruner_pause(d->image_pruner);
	image_replacer_pause(d->image_replacer);
	verification_pause(d->verification);
	container_status_set_frequency(
		d->container_status, supervisor_status_frequency_s(d->supervisor));
}

/// As if there were no deployment: only the pruner would take away what it has pulled.
static void on_worker_waits(void *ctx)
{
	struct daemon *d = ctx;

	monitor_set_busy(d->monitor, false);
	log_shipper_resume_beside(d->log_shipper);
	verification_resume(d->verification);
	container_status_set_frequency(
		d->container_status, supervisor_status_frequency_s(d->supervisor));
}

static bool daemon_may_act(void *ctx)
{
	const struct daemon *d = ctx;

	return !healer_is_busy(d->healer);
}

static void daemon_on_idle(void *ctx)
{
	struct daemon *d = ctx;

	container_status_set_frequency(
		d->container_status, supervisor_status_frequency_s(d->supervisor));
	log_shipper_resume(d->log_shipper);
	image_pruner_resume(d->image_pruner);
	image_replacer_resume(d->image_replacer);
	if (!image_replacer_is_busy(d->image_replacer))
		verification_resume(d->verification);
	monitor_set_busy(d->monitor, false);
}

/// Reads the group file and deploys it; false if it cannot be read.
static bool deploy_file(struct daemon *d, enum supervisor_origin origin)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_GROUP_FILE);
	const struct waiter nobody = {0};
	struct lm_err err = {LM_OK};

	if (lm_file_read(d->options->group, &text, &err)) {
		(void)!lm_wrap(&err, "read the group file");
		supervisor_refuse(d->supervisor, &err);
		return false;
	}
	supervisor_deploy(d->supervisor, lm_buf_str(&text), origin, &nobody);
	return true;
}

static void on_hangup(void *ctx)
{
	struct daemon *d = ctx;

	if (!d->options->group)
		lm_warn("SIGHUP: there is no group file to read again, as none was named with "
			"--group; use 'lighterman deploy FILE'");
	else
		(void)deploy_file(d, ORIGIN_SIGNAL);
}

/// Of what runs, or is to.
static void repair_images(struct daemon *d, bool at_once)
{
	unsigned n = store_state(d->store)->current;
	lm_auto_json json_t *damaged = n ? verification_find_damaged(d->verification, n) : NULL;

	supervisor_repair(d->supervisor, n, damaged, at_once);
}

/// A person who only wanted to know decides what is next.
static void on_images_verified(void *ctx, bool own)
{
	struct daemon *d = ctx;

	repair_images(d, own);
	image_replacer_note_verified(d->image_replacer, own);
}

/// Afterwards an image may be had that could not be had before.
static void on_deployed(void *ctx)
{
	struct daemon *d = ctx;

	image_replacer_want(d->image_replacer);
}

static void on_images_repaired(void *ctx, unsigned generation)
{
	struct daemon *d = ctx;

	verification_note_repair(d->verification, generation);
}

static void resume_devices(struct daemon *d)
{
	const struct store_state *state = store_state(d->store);
	lm_auto(group_destroy_p) struct group *group = NULL;
	struct lm_err ignored; // reported when it is started

	if (!state->current)
		client_devices_resume(d->devices, 0, NULL, false);
	else if (generation_read(d->store, state->current, &group, &ignored) == LM_OK)
		client_devices_resume(
			d->devices, state->current, group, state->wanted.state == WANTED_UP);
}

/// A power cut may have damaged images that were pulled shortly before. Returns the generation that
/// an earlier lightermand has left running.
static unsigned note_boot(struct daemon *d)
{
	enum boot_kind kind = BOOT_FIRST;
	unsigned left_running = 0;
	struct lm_err err = {LM_OK};
	lm_auto(damage_finish) struct damage damage = {0};
	lm_rc rc = boot_record_read(d->host.state_directory, &damage, &kind, &left_running, &err);

	damage_log(&damage, d->host.state_directory);
	if (rc == LM_OK && kind == BOOT_UNCLEAN) {
		lm_warn("this device was not stopped in order (a power cut, say): the images are "
			"verified once the application is up");
		verification_make_due(d->verification);
	}
	if (rc == LM_OK)
		rc = boot_record_write(d->host.state_directory, false, 0, &err);
	if (rc)
		lm_warn("%s; a power cut may go unnoticed", err.msg);
	return left_running;
}

/// Last of all.
static void note_orderly_end(const struct daemon *d)
{
	unsigned left_running = d->leaves_running ? supervisor_left_running(d->supervisor) : 0;
	struct lm_err err = {LM_OK};

	if (boot_record_write(d->host.state_directory, true, left_running, &err))
		lm_warn("%s; the next start of the device verifies the images", err.msg);
}

static void daemon_begin(struct daemon *d)
{
	const struct supervisor_watcher watcher = {.starts = on_worker_starts,
		.may_act = daemon_may_act,
		.waits = on_worker_waits,
		.idle = daemon_on_idle,
		.deployed = on_deployed,
		.repaired = on_images_repaired,
		.changed = on_changed,
		.ctx = d};
	const struct verification_watcher verified = {
		.changed = on_changed, .finished = on_images_verified, .ctx = d};
	bool deploys = d->options->group && !supervisor_is_stopped(d->supervisor);

	verification_watch(d->verification, &verified);
	supervisor_watch(d->supervisor, &watcher);
	if (is_removed(d)) {
		lm_info("'%s' does not exist", d->options->leave_while);
		daemon_exit(d, false);
		return;
	}
	resume_devices(d);
	repair_images(d, true); // what an earlier run could not replace
	if (!deploys || !deploy_file(d, ORIGIN_START))
		supervisor_resume(d->supervisor);
}

static lm_rc watch_signals(struct daemon *d, struct lm_err *err)
{
	lm_rc rc = loop_signal_create(d->loop, SIGTERM, on_exit_signal, d, &d->term, err);

	if (rc == LM_OK)
		rc = loop_signal_create(d->loop, SIGINT, on_exit_signal, d, &d->interrupt, err);
	if (rc == LM_OK)
		rc = loop_signal_create(d->loop, SIGUSR1, on_leave_signal, d, &d->leave, err);
	if (rc == LM_OK)
		rc = loop_signal_create(d->loop, SIGHUP, on_hangup, d, &d->hangup, err);
	return rc;
}

static lm_rc open_store(struct daemon *d, struct lm_err *err)
{
	lm_auto_free char *path = lm_path_join(d->host.state_directory, "application");
	struct lm_err newer = {LM_OK};

	if (state_format_check(d->host.state_directory, &newer) != LM_OK)
		return lm_fail(err, newer.rc, 0, "%s; nothing in it was changed; " STATE_FORMAT_FIX,
			newer.msg);
	lm_rc rc = store_open(path, &d->store, err);
	// By now it is ours alone.
	struct lm_err unmarked = {LM_OK};
	if (rc == LM_OK && state_format_mark(d->host.state_directory, &unmarked) != LM_OK)
		lm_warn("%s, ignoring", unmarked.msg);
	size_t n = 0;
	const char *const *notes = rc == LM_OK ? store_notes(d->store, &n) : NULL;
	for (size_t i = 0; i < n; i++)
		lm_warn("the store '%s': %s", path, notes[i]);
	return rc;
}

static unsigned on_healer_asks(void *ctx)
{
	struct daemon *d = ctx;

	return supervisor_restarts_unhealthy(d->supervisor);
}

static void on_healer_idle(void *ctx)
{
	struct daemon *d = ctx;

	supervisor_continue(d->supervisor);
}

static void on_healer_changed(void *ctx)
{
	struct daemon *d = ctx;

	metrics_exporter_changed(d->metrics);
}

static void on_jobs_changed(void *ctx)
{
	struct daemon *d = ctx;

	if (d->tidy)
		loop_timer_start(d->tidy, TIDY_MS, 0);
	metrics_exporter_changed(d->metrics);
}

static void watch_health(struct daemon *d)
{
	const struct healer_callbacks callbacks = {.generation = on_healer_asks,
		.idle = on_healer_idle,
		.changed = on_healer_changed,
		.ctx = d};

	d->healer = healer_create(
		d->loop, d->host.docker_socket, COMPOSE_PROJECT, d->monitor, &callbacks);
}

static lm_rc daemon_start(struct daemon *d, struct lm_err *err)
{
	// Workers pass through it as the application's user.
	lm_rc rc = lm_dir_make(d->host.runtime_directory, 0755, err);

	if (rc == LM_OK)
		rc = loop_create(&d->loop, err);
	if (rc == LM_OK)
		rc = watch_signals(d, err);
	if (rc == LM_OK)
		open_notify(d);
	if (rc == LM_OK)
		rc = open_store(d, err);
	if (rc == LM_OK)
		rc = mqtt_brokers_create(d->loop, &d->host, &d->brokers, err);
	if (rc == LM_OK)
		rc = watch_containers(d, err);
	if (rc)
		return rc;
	d->log_shipper = log_shipper_create(d->loop, &d->host);
	d->image_pruner = image_pruner_create(d->loop, &d->host, d->store);
	d->verification = verification_create(d->loop, &d->host, d->store);
	d->image_replacer = image_replacer_create(d->loop, &d->host, d->store, d->verification);
	d->container_status = container_status_create(
		d->loop, d->host.docker_socket, COMPOSE_PROJECT, d->monitor);
	d->devices =
		client_devices_create(d->loop, &d->host, d->store, d->brokers, d->notify != NULL);
	d->supervisor = supervisor_create(
		d->loop, &d->host, d->store, d->brokers, d->devices, d->monitor, note_boot(d));
	supervisor_apply_loggers(d->supervisor);
	d->tidy = loop_timer_create(d->loop, on_tidy, d);
	d->jobs = jobs_create(d->loop, &d->host, d->brokers, d->supervisor, on_jobs_changed, d);
	watch_health(d);
	const struct metrics_exporter_sources measured = {.supervisor = d->supervisor,
		.brokers = d->brokers,
		.devices = d->devices,
		.healer = d->healer,
		.jobs = d->jobs,
		.monitor = d->monitor,
		.verification = d->verification};
	d->metrics = metrics_exporter_create(d->loop, &d->host, &measured);
	mqtt_brokers_watch(d->brokers, on_changed, d);
	client_devices_watch(d->devices, on_changed, d);
	on_changed(d);
	const struct requests_sources sources = {.supervisor = d->supervisor,
		.brokers = d->brokers,
		.devices = d->devices,
		.healer = d->healer,
		.jobs = d->jobs,
		.monitor = d->monitor,
		.metrics = d->metrics,
		.verification = d->verification,
		.state_directory = d->host.state_directory,
		.host_file = d->host.file};
	return requests_create(d->loop, &d->host, &sources, &d->requests, err);
}

/// Before anything is read or started. What is left over cannot be regained, not even by a child.
static void confine(void)
{
	// It becomes the application's user, gives folders to users, reads and removes what is
	// theirs, copies volumes with their owners and modes, and ends users' processes; the broker
	// and discovery may have ports below 1024.
	static const uint64_t kept =
		CONFINEMENT_CAPABILITY(CAP_SETUID) | CONFINEMENT_CAPABILITY(CAP_SETGID) |
		CONFINEMENT_CAPABILITY(CAP_CHOWN) | CONFINEMENT_CAPABILITY(CAP_FOWNER) |
		CONFINEMENT_CAPABILITY(CAP_FSETID) | CONFINEMENT_CAPABILITY(CAP_DAC_OVERRIDE) |
		CONFINEMENT_CAPABILITY(CAP_KILL) | CONFINEMENT_CAPABILITY(CAP_NET_BIND_SERVICE);
	struct lm_err err = {LM_OK};

	if (confinement_keep_capabilities(kept, &err) || confinement_forbid_calls(&err))
		lm_warn("%s; running with more rights than needed", err.msg);
}

int daemon_run(const struct daemon_options *options)
{
	lm_auto(daemon_finish) struct daemon d = {.options = options};
	struct lm_err err = {LM_OK};

	// Not the umask of the shell: members of controlGroup, and workers as the application's
	// user, pass through lightermand's directories. Secrets have a mode of their own.
	(void)umask(022);
	// An attempt to connect to a broker has a thread, which must not cost an arena of its own.
	(void)mallopt(M_ARENA_MAX, 1);
	if (host_load(options->config, &d.host, &err)) {
		lm_error("%s", err.msg);
		return EXIT_HOST_FILE;
	}
	log_router_open(&d.host);
	confine();
	if (daemon_start(&d, &err)) {
		lm_error("lightermand cannot start: %s", err.msg);
		return EXIT_FAILURE;
	}
	lm_info("lightermand " LM_VERSION " has started");
	(void)notify_manager(&d, SD_NOTIFY_PATIENT, "READY=1");
	daemon_begin(&d);
	loop_run(d.loop);
	note_orderly_end(&d);
	lm_info("lightermand has exited");
	return EXIT_SUCCESS;
}
