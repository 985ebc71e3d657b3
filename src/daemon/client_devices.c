// SPDX-License-Identifier: Apache-2.0
#include "daemon/client_devices.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "daemon/device_requests.h"
#include "daemon/device_service.h"
#include "daemon/device_status.h"
#include "daemon/device_task.h"
#include "daemon/generation.h"
#include "daemon/local_connection.h"
#include "deploy/launch.h"
#include "sys/interfaces.h"
#include "sys/notice.h"
#include "sys/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BROKER_UNIT "lighterman-broker.service"
#define DISCOVERY_UNIT "lighterman-discovery.service"
#define SYSTEMCTL "/usr/bin/systemctl"
#define JOURNALCTL "/usr/bin/journalctl"

enum {
	APPLY_EVERY_MS = 12 * 3600 * 1000,
	SETTLE_MS = 2000, ///< Addresses change several at a time.
	RETRY_MS = 15 * 1000,
	RETRY_MAX_MS = 10 * 60 * 1000,
	WAIT_MAX_MS = 30 * 1000, ///< How long a deployment waits.
	PORT_PRIVILEGED = 1024,  ///< Below, only root listens.
};

enum action { DO_NOTHING, DO_RELOAD, DO_RESTART, DO_STOP };

struct client_devices {
	struct loop *loop;
	const struct host_settings *host;
	struct store *store;
	loop_cb *changed;
	void *changed_ctx;
	char *folder;     ///< `<stateDirectory>/devices`.
	char *run_folder; ///< `<runtimeDirectory>/devices`.
	char *status_path;
	bool is_root;
	struct own_tasks *tasks;
	struct device_service *broker, *discovery;

	// The group that is served, or was until it was stopped:
	unsigned generation; ///< 0: none with devices.
	bool active;         ///< It is served.
	bool files_due;      ///< To be removed, once nothing runs that reads them.
	size_t devices, subscriptions;
	struct local_connection *local;

	// How its files are kept up to date:
	bool applies, applies_again;
	unsigned tries;  ///< Failures in a row.
	bool unsaid;     ///< What the last one changed is not known to the services yet.
	char *fault;     ///< Why it failed last; NULL: it did not.
	json_t *applied; ///< What the last one reported; NULL: nothing yet.
	char *addresses; ///< Of this device, at that time.
	struct loop_timer *due;
	uint64_t due_ms;        ///< When that is, on lm_clock_mono_ms().
	bool due_for_addresses; ///< It is only to see whether they have changed.
	int address_fd, clock_fd;
	struct loop_fd *address_watch, *clock_watch;

	struct device_preparation *preparation;
	loop_cb *applied_cb; ///< Of a deployment that waits; NULL: none does.
	void *applied_ctx;
	struct loop_timer *wait_limit;
	struct device_requests *requests;
	loop_cb *exited_cb;
	void *exited_ctx;
	struct loop_timer *exit_timer;
};

static void note_change(const struct client_devices *c)
{
	if (c->changed)
		c->changed(c->changed_ctx);
}

/// The addresses of this device, as one text to be compared; NULL: they are not known. The caller
/// frees.
static char *describe_addresses(void)
{
	lm_auto_addresses struct address_list list = {0};
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_GROUP_FILE);
	struct lm_err ignored; // the worker reports it, whose list it is

	if (interfaces_list_addresses(&list, &ignored))
		return NULL;
	for (size_t i = 0; i < list.n; i++)
		(void)lm_buf_printf(&text, "%s\n", list.texts[i]);
	return lm_buf_take(&text);
}

static bool has_same_addresses(const struct client_devices *c)
{
	lm_auto_free char *addresses = describe_addresses();

	return !addresses || (c->addresses && strcmp(addresses, c->addresses) == 0);
}

// Timers and notices ------------------------------------------------------------------------------

static void set_due(struct client_devices *c, uint64_t delay_ms)
{
	c->due_ms = lm_clock_mono_ms() + delay_ms;
	loop_timer_start(c->due, delay_ms, 0);
}

/// Not later than `delay_ms` from now.
static void hasten(struct client_devices *c, uint64_t delay_ms)
{
	if (!loop_timer_active(c->due) || c->due_ms > lm_clock_mono_ms() + delay_ms)
		set_due(c, delay_ms);
}

static void begin_apply(struct client_devices *c);

static void on_apply_due(void *ctx)
{
	struct client_devices *c = ctx;

	if (c->due_for_addresses && has_same_addresses(c)) {
		c->due_for_addresses = false;
		set_due(c, APPLY_EVERY_MS);
		return;
	}
	if (c->due_for_addresses)
		lm_info("the addresses of this device have changed");
	begin_apply(c);
}

static void on_addresses(void *ctx, short events)
{
	struct client_devices *c = ctx;

	(void)events;
	notice_take_addresses(c->address_fd);
	if (c->tries > 0 || c->applies)
		return; // it is looked at soon anyway, or see on_applied
	if (!loop_timer_active(c->due) || c->due_ms > lm_clock_mono_ms() + SETTLE_MS)
		c->due_for_addresses = true;
	hasten(c, SETTLE_MS);
}

static void on_clock_set(void *ctx, short events)
{
	struct client_devices *c = ctx;

	(void)events;
	notice_take_clock(c->clock_fd);
	c->due_for_addresses = false;
	hasten(c, SETTLE_MS);
}

static void watch_notice(struct client_devices *c, lm_rc (*open_notice)(int *, struct lm_err *),
	loop_fd_cb *cb, int *fd, struct loop_fd **watch)
{
	struct lm_err err = {LM_OK};

	if (*watch)
		return;
	lm_rc rc = open_notice(fd, &err);
	if (rc == LM_OK)
		rc = loop_fd_create(c->loop, *fd, cb, c, watch, &err);
	if (rc == LM_OK) {
		loop_fd_set(*watch, POLLIN);
		return;
	}
	lm_warn("%s; a change is seen twice a day only", err.msg);
	lm_cleanup_close(fd);
	*fd = -1;
}

static void watch_notices(struct client_devices *c)
{
	watch_notice(c, notice_of_addresses, on_addresses, &c->address_fd, &c->address_watch);
	watch_notice(c, notice_of_clock, on_clock_set, &c->clock_fd, &c->clock_watch);
}

static void unwatch_notices(struct client_devices *c)
{
	loop_fd_destroy(lm_take(c->address_watch));
	loop_fd_destroy(lm_take(c->clock_watch));
	lm_cleanup_close(&c->address_fd);
	lm_cleanup_close(&c->clock_fd);
	c->address_fd = c->clock_fd = -1;
}

// The group ---------------------------------------------------------------------------------------

/// Only what is asked for often is kept: a group of ten thousand subscriptions takes megabytes.
static void take_group(struct client_devices *c, unsigned generation, const struct group *group)
{
	c->generation = group->devices_n > 0 ? generation : 0;
	c->devices = group->devices_n;
	c->subscriptions = group->subscriptions_n;
	local_connection_set_group(c->local, group);
}

static void update_local(struct client_devices *c)
{
	local_connection_update(
		c->local, c->active, device_service_state(c->broker) == DEVICE_SERVICE_RUNNING);
}

/// What a broker that was killed has left; another one makes its own.
static void remove_broker_socket(const struct client_devices *c)
{
	lm_auto_free char *path = lm_path_join(c->run_folder, "broker.sock");

	if (!device_service_is_unit(c->broker) && device_service_pid(c->broker) == 0)
		(void)unlink(path);
}

// Services ----------------------------------------------------------------------------------------

static void check_exited(struct client_devices *c);
static void check_files_due(struct client_devices *c);

/// mosquitto does not start with a file that it cannot read, and would not tomorrow: its messages
/// are lost either way. The folder is its user's; a link in it is renamed, not followed.
static void set_aside_messages(const struct client_devices *c)
{
	lm_auto_free char *folder = lm_path_join(c->folder, "broker/data");
	lm_auto_close int fd = open(folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	bool is_done = fd >= 0 && renameat(fd, "mosquitto.db", fd, "mosquitto.db.bad") == 0;
	if (!is_done && errno != ENOENT) // else it was already, and the fault is of before
		lm_warn("set aside '%s/mosquitto.db', which the broker cannot read: %m", folder);
	else if (is_done)
		lm_warn("the broker cannot read '%s/mosquitto.db': it is set aside as "
			"mosquitto.db.bad; messages for the cloud that waited in it are not sent",
			folder);
}

static bool cannot_read_messages(const struct client_devices *c)
{
	return device_service_state(c->broker) == DEVICE_SERVICE_FAILED &&
	       strstr(device_service_fault(c->broker), "Couldn't open database");
}

static void forget_pending(struct client_devices *c);

static void on_broker_changed(void *ctx)
{
	struct client_devices *c = ctx;

	if (cannot_read_messages(c))
		set_aside_messages(c);
	remove_broker_socket(c);
	update_local(c);
	check_files_due(c);
	forget_pending(c);
	check_exited(c);
	note_change(c);
}

static void on_discovery_changed(void *ctx)
{
	struct client_devices *c = ctx;

	check_files_due(c);
	forget_pending(c);
	check_exited(c);
	note_change(c);
}

/// `<runtimeDirectory>/devices`, where the broker's user makes its socket, and others pass through.
static lm_rc make_run_folder(const struct client_devices *c, struct lm_err *err)
{
	enum { MODE = 0750 };
	const struct host_devices *devices = &c->host->devices;
	lm_auto(process_user_finish) struct process_user user = {0};
	gid_t group = 0;
	struct stat st;
	lm_rc rc = c->is_root ? process_user_by_name(devices->user, &user, err) : LM_OK;

	if (rc)
		return lm_wrap(err, "the broker of the client devices (devices.user)");
	if (c->is_root && devices->local_group)
		rc = process_group_by_name(devices->local_group, &group, err);
	if (rc)
		return lm_wrap(err, "devices.localGroup");
	if (mkdir(c->run_folder, MODE) < 0 && errno != EEXIST)
		return lm_fail(err, LM_E_SYS, errno, "create '%s': %m", c->run_folder);
	lm_auto_close int fd = open(c->run_folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	// What is right already is left alone: without CAP_FOWNER another's mode cannot be set.
	if (fd < 0 || fstat(fd, &st) < 0 ||
		((st.st_mode & 07777) != MODE && fchmod(fd, MODE) < 0) ||
		(c->is_root && (st.st_uid != user.uid || st.st_gid != group) &&
			fchown(fd, user.uid, group) < 0))
		return lm_fail(err, LM_E_SYS, errno, "prepare '%s': %m", c->run_folder);
	return LM_OK;
}

/// The programs, and as whom they run.
static lm_rc set_programs(const struct client_devices *c, struct lm_err *err)
{
	const struct host_devices *devices = &c->host->devices;
	lm_auto_free char *program = NULL;
	lm_auto_free char *config = lm_path_join(c->folder, "broker/mosquitto.conf");
	lm_auto_free char *folder = lm_path_join(c->folder, "discovery");
	// As the user from the start, the broker ends with us: mosquitto's own change of user would
	// undo that.
	bool becomes = c->is_root && devices->broker_port >= PORT_PRIVILEGED;
	lm_rc rc = launch_find_library("lighterman-discovery", &program, err);

	if (rc)
		return rc;
	const char *const broker[] = {devices->mosquitto, "-c", config, NULL};
	const char *const discovery[] = {
		program, "--folder", folder, c->is_root ? "--user" : NULL, devices->user, NULL};
	const char *owner = c->is_root ? devices->user : NULL;

	device_service_set(c->broker, broker, becomes ? devices->user : NULL, owner);
	device_service_set(c->discovery, discovery, NULL, owner);
	return LM_OK;
}

static void act_on(struct device_service *service, enum action action)
{
	if (action == DO_STOP)
		device_service_stop(service);
	else if (action == DO_RESTART)
		device_service_restart(service);
	else if (action == DO_RELOAD)
		device_service_reload(service);
	else
		device_service_start(service);
}

/// Starts both, if they do not run, and lets them take what is new.
static lm_rc run_services(
	struct client_devices *c, enum action broker, enum action discovery, struct lm_err *err)
{
	lm_rc rc = make_run_folder(c, err);

	if (rc == LM_OK)
		rc = set_programs(c, err);
	if (rc)
		return rc;
	remove_broker_socket(c);
	act_on(c->broker, broker);
	act_on(c->discovery, discovery);
	return LM_OK;
}

static bool has_files(const struct client_devices *c)
{
	lm_auto_free char *config = lm_path_join(c->folder, "broker/mosquitto.conf");

	return access(config, F_OK) == 0;
}

// Keeping the files up to date --------------------------------------------------------------------

static void end_wait(struct client_devices *c)
{
	loop_cb *done = lm_take(c->applied_cb);

	loop_timer_stop(c->wait_limit);
	if (done)
		done(c->applied_ctx);
}

static void on_wait_limit(void *ctx)
{
	struct client_devices *c = ctx;

	lm_warn("the client devices are not served yet after %d s; the application starts without "
		"waiting any longer",
		WAIT_MAX_MS / 1000);
	end_wait(c);
}

static void note_apply_fault(struct client_devices *c, const char *message)
{
	bool is_new = !c->fault || strcmp(c->fault, message) != 0;
	uint64_t delay_ms = RETRY_MS + lm_backoff_ms(c->tries++, RETRY_MS, RETRY_MAX_MS);

	lm_log(is_new ? LM_ERROR : LM_DEBUG, "serve the client devices: %s, retrying in %u s",
		message, (unsigned)(delay_ms / 1000));
	if (is_new) {
		free(c->fault);
		c->fault = lm_xstrdup(message);
	}
	c->due_for_addresses = false;
	set_due(c, delay_ms);
}

static enum action read_service_action(const json_t *report, const char *key)
{
	static const struct {
		const char *word;
		enum action action;
	} words[] = {{"reload", DO_RELOAD}, {"restart", DO_RESTART}, {"stop", DO_STOP}};
	const char *word = json_get_text(report, key);

	for (size_t i = 0; word && i < LM_ARRAY_SIZE(words); i++) {
		if (strcmp(words[i].word, word) == 0)
			return words[i].action;
	}
	return DO_NOTHING;
}

/// Each time they are others than before.
static void log_warnings(const json_t *report, const json_t *before)
{
	const json_t *warnings = json_object_get(report, "warnings");
	size_t i;
	json_t *text;

	if (json_equal(warnings, json_object_get(before, "warnings")))
		return;
	json_array_foreach(warnings, i, text)
	{
		if (json_is_string(text))
			lm_warn("client devices: %s", json_string_value(text));
	}
}

/// Once what the task has changed is known to the services, it need not be said again.
static void forget_pending(struct client_devices *c)
{
	lm_auto_free char *path = lm_path_join(c->folder, "pending.json");

	if (!c->unsaid || !c->active || device_service_owes(c->broker) ||
		device_service_owes(c->discovery))
		return;
	c->unsaid = false;
	if (unlink(path) < 0 && errno != ENOENT)
		lm_warn("remove '%s': %s, ignoring", path, strerror(errno));
}

static void take_report(struct client_devices *c, json_t *report)
{
	struct lm_err err = {LM_OK};

	log_warnings(report, c->applied);
	json_decref(c->applied);
	c->applied = json_incref(report);
	lm_rc rc = run_services(c, read_service_action(report, "broker"),
		read_service_action(report, "discovery"), &err);
	if (rc) {
		note_apply_fault(c, err.msg);
		return;
	}
	c->unsaid = true;
	forget_pending(c);
	if (c->fault)
		lm_info("the client devices are served again");
	free(lm_take(c->fault));
	c->tries = 0;
	// One that has changed meanwhile was noticed and not acted on.
	bool is_same = has_same_addresses(c);
	c->due_for_addresses = !is_same;
	set_due(c, is_same ? APPLY_EVERY_MS : SETTLE_MS);
}

static void on_applied(void *ctx, const struct own_task_result *result)
{
	struct client_devices *c = ctx;
	json_t *report = own_tasks_find(result->lines, "devices");
	struct lm_err err = {LM_OK};

	c->applies = false;
	if (!c->active)
		return; // stopped meanwhile
	if (c->applies_again) {
		begin_apply(c);
		return;
	}
	if (result->rc == LM_OK && report) {
		take_report(c, report);
	} else {
		note_apply_fault(c,
			result->rc ? result->message : "the worker did not say what it has done");
		// Rather what was valid until now than nothing.
		if (has_files(c) && c->tries == 1)
			(void)!run_services(c, DO_NOTHING, DO_NOTHING, &err);
	}
	update_local(c);
	end_wait(c);
	note_change(c);
}

static void begin_apply(struct client_devices *c)
{
	lm_auto(group_destroy_p) struct group *group = NULL;
	struct lm_err err = {LM_OK};

	c->applies_again = c->applies;
	if (c->applies || !c->active)
		return;
	loop_timer_stop(c->due);
	c->due_for_addresses = false;
	if (generation_read(c->store, c->generation, &group, &err)) {
		note_apply_fault(c, err.msg);
		end_wait(c);
		return;
	}
	c->applies = true;
	c->unsaid = false; // what was not is reported again
	free(c->addresses);
	c->addresses = describe_addresses(); // before the worker looks
	const struct own_task_spec task = device_task("apply", group);
	own_tasks_add(c->tasks, &task, on_applied, c);
}

static void activate(struct client_devices *c)
{
	c->active = true;
	c->files_due = false;
	c->tries = 0;
	update_local(c);
	watch_notices(c);
	begin_apply(c);
}

static void deactivate(struct client_devices *c)
{
	c->active = c->applies_again = false;
	loop_timer_stop(c->due);
	unwatch_notices(c);
	update_local(c);
	device_service_stop(c->broker);
	device_service_stop(c->discovery);
	free(lm_take(c->fault));
	c->tries = 0;
	json_decref(lm_take(c->applied));
	note_change(c);
}

/// Not one of systemd that has failed, or whose state is not known.
static bool may_use_files(const struct device_service *service)
{
	enum device_service_state state = device_service_state(service);

	return state != DEVICE_SERVICE_STOPPED &&
	       !(state == DEVICE_SERVICE_FAILED && device_service_is_unit(service));
}

static void on_files_removed(void *ctx, const struct own_task_result *result)
{
	(void)ctx;
	if (result->rc)
		lm_warn("remove the files of the services for client devices: %s; they are removed "
			"at the next deployment",
			result->message);
}

static void check_files_due(struct client_devices *c)
{
	if (!c->files_due || may_use_files(c->broker) || may_use_files(c->discovery))
		return;
	c->files_due = false;
	const struct own_task_spec task = device_task("apply", NULL);
	own_tasks_add(c->tasks, &task, on_files_removed, c);
}

/// A group without devices has no use for keys, of which one is the core's.
static void remove_service_files(struct client_devices *c)
{
	c->files_due = has_files(c);
	check_files_due(c);
}

/// Units that are not to run, of an earlier lightermand.
static void stop_left(struct client_devices *c)
{
	device_service_stop_left(c->broker);
	device_service_stop_left(c->discovery);
}

// What the application does -----------------------------------------------------------------------

bool client_devices_apply(struct client_devices *c, unsigned generation, const struct group *group,
	loop_cb *done, void *ctx)
{
	take_group(c, generation, group);
	if (!c->generation) {
		if (c->active)
			deactivate(c);
		stop_left(c);
		remove_service_files(c);
		return false;
	}
	c->applied_cb = done;
	c->applied_ctx = ctx;
	loop_timer_start(c->wait_limit, WAIT_MAX_MS, 0);
	activate(c);
	return true;
}

void client_devices_resume(
	struct client_devices *c, unsigned generation, const struct group *group, bool runs)
{
	if (group)
		take_group(c, generation, group);
	// Else there is nothing that is to run: the start of the application begins it.
	if (c->generation && runs && has_files(c)) {
		activate(c);
	} else {
		stop_left(c);
		if (group && !c->generation) // a lightermand was killed before it had them removed
			remove_service_files(c);
	}
}

void client_devices_stop(struct client_devices *c)
{
	if (c->active)
		deactivate(c);
}

void client_devices_forget(struct client_devices *c)
{
	device_preparation_forget(c->preparation);
	c->applied_cb = NULL;
	loop_timer_stop(c->wait_limit);
}

// Preparing a deployment --------------------------------------------------------------------------

bool client_devices_prepare(struct client_devices *c, const struct group *group,
	device_preparation_done *done, void *ctx)
{
	if (group->devices_n == 0)
		return false;
	device_preparation_begin(c->preparation, group, done, ctx);
	return true;
}

int client_devices_prepare_nothing(const struct client_devices *c)
{
	return access(c->folder, F_OK) < 0 ? -1 : device_preparation_make_nothing();
}

void client_devices_cancel(struct client_devices *c)
{
	device_preparation_cancel(c->preparation);
}

// Our end -----------------------------------------------------------------------------------------

static bool service_has_ended(const struct device_service *service)
{
	enum device_service_state state = device_service_state(service);

	return device_service_is_unit(service) ? state != DEVICE_SERVICE_STOPPING
					       : state == DEVICE_SERVICE_STOPPED;
}

static void on_exit_timer(void *ctx)
{
	struct client_devices *c = ctx;
	loop_cb *done = lm_take(c->exited_cb);

	if (done)
		done(c->exited_ctx);
}

/// Not from within a service's callback: what is called may destroy all of this.
static void check_exited(struct client_devices *c)
{
	if (c->exited_cb && service_has_ended(c->broker) && service_has_ended(c->discovery))
		loop_timer_start(c->exit_timer, 0, 0);
}

void client_devices_exit(struct client_devices *c, loop_cb *done, void *ctx)
{
	c->exited_cb = done;
	c->exited_ctx = ctx;
	loop_timer_stop(c->due);
	unwatch_notices(c);
	c->active = false;
	update_local(c);
	if (!device_service_is_unit(c->broker))
		device_service_stop(c->broker);
	if (!device_service_is_unit(c->discovery))
		device_service_stop(c->discovery);
	check_exited(c);
}

// Requests ----------------------------------------------------------------------------------------

static void reload_running(struct device_service *service)
{
	if (device_service_state(service) == DEVICE_SERVICE_RUNNING)
		device_service_reload(service);
}

/// What was asked for is also said to the services; one that was removed is not to wait for an
/// `apply`, which may fail.
static void on_devices_changed(void *ctx, bool is_removed)
{
	struct client_devices *c = ctx;

	if (!c->active)
		return;
	if (is_removed) {
		reload_running(c->broker);
		reload_running(c->discovery);
	}
	begin_apply(c);
}

static json_t *read_broker_status(void *ctx)
{
	const struct client_devices *c = ctx;

	return device_status_read(c->status_path, device_service_pid(c->broker));
}

void client_devices_ask(
	struct client_devices *c, const json_t *request, device_requests_answer *done, void *ctx)
{
	unsigned generation = c->generation ? c->generation : store_state(c->store)->current;

	device_requests_ask(c->requests, generation, request, done, ctx);
}

void client_devices_forget_request(struct client_devices *c, const void *ctx)
{
	device_requests_forget(c->requests, ctx);
}

// What is shown -----------------------------------------------------------------------------------

static json_t *show_service(
	const struct client_devices *c, const struct device_service *service, unsigned port)
{
	enum device_service_state state = device_service_state(service);
	const char *fault = device_service_fault(service);
	pid_t pid = device_service_pid(service);

	// One that is not there yet for want of files has no fault of its own.
	if (!fault[0] && c->fault && state == DEVICE_SERVICE_STOPPED)
		fault = c->fault;
	return json_pack("{s:s, s:o, s:i, s:o, s:i}", "state",
		c->fault && state == DEVICE_SERVICE_STOPPED && c->active
			? device_service_state_name(DEVICE_SERVICE_FAILED)
			: device_service_state_name(state),
		"pid", pid > 0 ? json_integer(pid) : json_null(), "port", (int)port, "error",
		fault[0] ? json_string(fault) : json_null(), "failures",
		(int)device_service_failures(service));
}

static json_t *show_warnings(const struct client_devices *c)
{
	const json_t *warnings = json_object_get(c->applied, "warnings");
	json_t *shown = json_is_array(warnings) ? json_deep_copy(warnings) : json_array();

	if (c->fault)
		json_array_append_new(shown, json_string(c->fault));
	return shown;
}

json_t *client_devices_show(const struct client_devices *c)
{
	const struct host_devices *devices = &c->host->devices;
	const json_t *expires = json_object_get(c->applied, "server_expires_ms");

	if (!c->generation)
		return json_null();
	lm_auto_json json_t *status =
		device_status_read(c->status_path, device_service_pid(c->broker));
	json_t *answer = json_object();
	json_object_set_new(answer, "broker", show_service(c, c->broker, devices->broker_port));
	json_object_set_new(
		answer, "discovery", show_service(c, c->discovery, devices->discovery_port));
	json_object_set_new(answer, "devices", json_integer((json_int_t)c->devices));
	json_object_set_new(answer, "subscriptions", json_integer((json_int_t)c->subscriptions));
	json_object_set_new(answer, "server_expires_ms",
		json_is_integer(expires) ? json_deep_copy(expires) : json_null());
	json_object_set_new(answer, "warnings", show_warnings(c));
	device_status_show(status, answer);
	return answer;
}

struct metrics_devices client_devices_measure(const struct client_devices *c)
{
	if (!c->generation)
		return (struct metrics_devices){.known = false};
	lm_auto_json json_t *status =
		device_status_read(c->status_path, device_service_pid(c->broker));
	return (struct metrics_devices){
		.known = true,
		.broker_up = device_service_state(c->broker) == DEVICE_SERVICE_RUNNING,
		.discovery_up = device_service_state(c->discovery) == DEVICE_SERVICE_RUNNING,
		.broker_failures = device_service_failures(c->broker),
		.discovery_failures = device_service_failures(c->discovery),
		.fault = c->fault != NULL,
		.devices = c->devices,
		.connected = device_status_connected(status),
		.routed = device_status_count(status, NULL, "routed"),
		.delivered = device_status_count(status, NULL, "delivered"),
		.refused = device_status_count(status, NULL, "refused"),
		.refused_connections = device_status_count(status, NULL, "refused_connections"),
		.shadow_updates = device_status_count(status, "shadows", "updates"),
		.shadow_rejected = device_status_count(status, "shadows", "rejected"),
		.cloud = device_status_cloud(status),
		.cloud_sent = device_status_count(status, "cloud", "sent"),
		.cloud_received = device_status_count(status, "cloud", "received"),
	};
}

// Making and destroying ---------------------------------------------------------------------------

/// Where systemd looks for units, and for whether it runs the system at all.
static bool has_unit(const char *name)
{
	static const char *const folders[] = {"/etc/systemd/system", "/run/systemd/system",
		"/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"};

	for (size_t i = 0; i < LM_ARRAY_SIZE(folders); i++) {
		lm_auto_free char *path = lm_path_join(folders[i], name);

		if (access(path, F_OK) == 0)
			return true;
	}
	return false;
}

static bool may_call_systemctl(bool by_systemd)
{
	return by_systemd && geteuid() == 0 && access("/run/systemd/system", F_OK) == 0 &&
	       access(SYSTEMCTL, X_OK) == 0;
}

/// The units are written for where things are by default.
static bool may_use_units(const struct host_settings *host)
{
	return has_unit(BROKER_UNIT) && has_unit(DISCOVERY_UNIT) &&
	       strcmp(host->state_directory, "/var/lib/lighterman") == 0 &&
	       strcmp(host->runtime_directory, "/run/lighterman") == 0 &&
	       strcmp(host->devices.mosquitto, "/usr/sbin/mosquitto") == 0 &&
	       strcmp(host->devices.user, "mosquitto") == 0 &&
	       host->devices.broker_port >= PORT_PRIVILEGED;
}

enum unit_use { UNITS_UNKNOWN, UNITS_IN_THE_WAY, UNITS_USED };

static struct device_service *make_service(struct client_devices *c, const char *name,
	const char *lock, const char *unit, enum unit_use use, loop_cb *changed)
{
	static const char *const nothing[] = {NULL};
	lm_auto_free char *path = lm_path_join(c->host->runtime_directory, lock);
	const struct device_service_settings settings = {.name = name,
		.argv = nothing,
		.lock = path,
		.logs_as_we_do = strcmp(unit, DISCOVERY_UNIT) == 0,
		.unit = use == UNITS_USED ? unit : NULL,
		.rival = use == UNITS_IN_THE_WAY && has_unit(unit) ? unit : NULL,
		.systemctl = SYSTEMCTL,
		.journalctl = access(JOURNALCTL, X_OK) == 0 ? JOURNALCTL : NULL,
		.changed = changed,
		.ctx = c};

	return device_service_create(c->loop, &settings);
}

struct client_devices *client_devices_create(struct loop *loop, const struct host_settings *host,
	struct store *store, struct mqtt_brokers *brokers, bool by_systemd)
{
	struct client_devices *c = lm_xcalloc(1, sizeof(*c));
	enum unit_use units = may_call_systemctl(by_systemd)
				      ? (may_use_units(host) ? UNITS_USED : UNITS_IN_THE_WAY)
				      : UNITS_UNKNOWN;

	*c = (struct client_devices){.loop = loop,
		.host = host,
		.store = store,
		.folder = lm_path_join(host->state_directory, "devices"),
		.run_folder = lm_path_join(host->runtime_directory, "devices"),
		.is_root = geteuid() == 0,
		.address_fd = -1,
		.clock_fd = -1};
	c->status_path = lm_path_join(c->run_folder, "status.json");
	c->tasks = own_tasks_create(loop, host);
	const struct device_requests_sources sources = {.tasks = c->tasks,
		.store = store,
		.changed = on_devices_changed,
		.status = read_broker_status,
		.ctx = c};
	c->requests = device_requests_create(&sources);
	c->broker = make_service(c, "the broker of the client devices", "broker.lock", BROKER_UNIT,
		units, on_broker_changed);
	c->discovery = make_service(c, "the discovery of the client devices", "discovery.lock",
		DISCOVERY_UNIT, units, on_discovery_changed);
	c->due = loop_timer_create(loop, on_apply_due, c);
	c->wait_limit = loop_timer_create(loop, on_wait_limit, c);
	c->exit_timer = loop_timer_create(loop, on_exit_timer, c);
	c->local = local_connection_create(loop, host, brokers);
	c->preparation = device_preparation_create(host, c->tasks);
	return c;
}

void client_devices_watch(struct client_devices *c, loop_cb *changed, void *ctx)
{
	c->changed = changed;
	c->changed_ctx = ctx;
}

void client_devices_destroy(struct client_devices *c)
{
	if (!c)
		return;
	device_requests_destroy(c->requests);
	device_preparation_destroy(c->preparation);
	own_tasks_destroy(c->tasks);
	local_connection_destroy(c->local);
	device_service_destroy(c->broker);
	device_service_destroy(c->discovery);
	unwatch_notices(c);
	loop_timer_destroy(c->due);
	loop_timer_destroy(c->wait_limit);
	loop_timer_destroy(c->exit_timer);
	json_decref(c->applied);
	free(c->addresses);
	free(c->fault);
	free(c->folder);
	free(c->run_folder);
	free(c->status_path);
	free(c);
}
