// SPDX-License-Identifier: Apache-2.0
#include "cli/device_checks.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "deploy/launch.h"
#include "sys/listeners.h"
#include "sys/process.h"
#include "sys/wait.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
	MOSQUITTO_MAJOR = 2,
	MOSQUITTO_MAX = 32 << 20, ///< Its program.
	VERSION_MS = 10 * 1000,
	DAY_S = 24 * 60 * 60,
	EXPIRES_SOON_DAYS = 7, ///< Renewed long before: then something prevents it.
};
/// 2026-01-01, in milliseconds since 1970: before, the clock is not set.
static const int64_t CLOCK_PLAUSIBLE_MS = INT64_C(1767225600000);
/// The function of mosquitto's plugin interface, version 5, without which no plugin loads.
static const char PLUGIN_SYMBOL[] = "mosquitto_callback_register";

bool device_checks_apply(const struct group *group)
{
	return group && group->devices_n > 0;
}

int device_checks_parse_version(struct lm_str line)
{
	static const char mark[] = "mosquitto version ";
	uint64_t major = 0;

	if (!lm_str_starts(line, lm_str(mark)))
		return -1;
	struct lm_str rest = {line.p + strlen(mark), line.n - strlen(mark)};
	if (!lm_str_to_u64(lm_str_cut(&rest, '.'), 1000, &major))
		return -1;
	return (int)major;
}

struct version_line {
	char text[64];
	int major;
};

static void on_version_line(void *ctx, enum process_stream stream, struct lm_str line)
{
	struct version_line *v = ctx;
	int major = device_checks_parse_version(line);

	(void)stream;
	if (v->major < 0 && major >= 0) {
		v->major = major;
		(void)snprintf(v->text, sizeof(v->text), "%.*s", (int)line.n, line.p);
	}
}

/// -1 in `ret->major`: it did not print its version.
static lm_rc ask_mosquitto_version(const char *path, struct version_line *ret, struct lm_err *err)
{
	const struct wait_limit limit = wait_limit_within(&WAIT_FOREVER, VERSION_MS);
	const struct process_run process = {
		.spec = {.argv = (const char *const[]){path, "-h", NULL},
			.envp = (const char *const[]){"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL},
			.directory = "/",
			.die_with_parent = true},
		.on_line = on_version_line,
		.ctx = ret,
	};
	int status;

	*ret = (struct version_line){.major = -1};
	return process_run(&process, &limit, &status, err);
}

/// A program that cannot be read, or a script that starts it, is not looked into.
static bool takes_plugins(const char *path)
{
	lm_auto_buf struct lm_buf program = LM_BUF(MOSQUITTO_MAX);
	struct lm_err ignored;

	return lm_file_read(path, &program, &ignored) ||
	       !lm_str_starts(lm_buf_str(&program), LM_STR("\177ELF")) ||
	       memmem(program.data, program.len, PLUGIN_SYMBOL, sizeof(PLUGIN_SYMBOL));
}

static void check_mosquitto(const char *path, struct check_report *r)
{
	static const char install[] = "install mosquitto 2.0 or later (Debian 12: apt-get install "
				      "mosquitto), or name it with "
				      "devices.mosquitto in the host file";
	struct version_line version;
	struct lm_err err = {0};

	if (access(path, X_OK) < 0) {
		(void)!lm_fail(&err, LM_E_NOT_FOUND, errno, "cannot run '%s': %m", path);
		check_problem(r, err.msg, install);
		return;
	}
	if (ask_mosquitto_version(path, &version, &err)) {
		check_problem(r, err.msg, install);
		return;
	}
	err = (struct lm_err){0}; // what was waited for in between has left its traces
	if (version.major < 0)
		(void)!lm_fail(&err, LM_E_PROTOCOL, 0, "'%s' does not print its version", path);
	else if (version.major < MOSQUITTO_MAJOR)
		(void)!lm_fail(
			&err, LM_E_INVALID, 0, "'%s' is %s, which is too old", path, version.text);
	else if (!takes_plugins(path))
		(void)!lm_fail(&err, LM_E_INVALID, 0, "'%s' (%s) is built without plugins", path,
			version.text);
	if (err.rc)
		check_problem(r, err.msg, install);
	else
		check_ok(r, "%s, '%s'", version.text, path);
}

void device_checks_broker(const struct device_checks *c, struct check_report *r)
{
	static const char *const names[] = {"lighterman_router.so", "lighterman-discovery"};

	check_mosquitto(c->host->devices.mosquitto, r);
	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++) {
		lm_auto_free char *path = NULL;
		struct lm_err err = {0};

		if (launch_find_library(names[i], &path, &err))
			check_problem(r, err.msg, NULL);
		else
			check_ok(r, "%s", path);
	}
}

/// Whether lightermand runs this service, and the process that listens is it: by its ID, or, if
/// one of the two is not known, by the program's name.
static bool is_ours(
	const struct device_checks *c, const char *service, const struct listener_process *process)
{
	const json_t *found = json_object_get(c->status, service);
	const char *state = json_get_text(found, "state");
	int64_t pid = json_get_int(found, "pid", 0);
	bool is_broker = strcmp(service, "broker") == 0;

	if (!state || strcmp(state, "running") != 0)
		return false;
	if (pid > 0 && process->pid > 0)
		return pid == process->pid;
	return process->pid == 0 ||
	       lm_str_starts(lm_str(is_broker ? "mosquitto" : "lighterman-discovery"),
		       lm_str(process->name));
}

/// Who listens on that TCP port; NULL: nobody.
static const struct listener *find_listener(const struct listeners *list, unsigned port)
{
	for (size_t i = 0; i < list->n; i++) {
		if (!list->items[i].udp && list->items[i].port == port)
			return &list->items[i];
	}
	return NULL;
}

struct device_port {
	const char *service, *key, *purpose;
	unsigned port;
	bool optional; ///< Discovery goes on without it.
};

static void check_port(const struct device_checks *c, const struct listeners *list,
	const struct device_port *p, struct check_report *r)
{
	const struct listener *listener = find_listener(list, p->port);

	if (!listener) {
		check_ok(r, "port %u: free for %s", p->port, p->purpose);
		return;
	}
	struct listener_process process = listener_find_process(listener);
	if (is_ours(c, p->service, &process)) {
		check_ok(r, "port %u: %s, running", p->port, p->purpose);
		return;
	}
	lm_auto_free char *holder =
		process.pid ? lm_xasprintf("%s, PID %d", process.name, (int)process.pid)
			    : lm_xstrdup("another program");
	lm_auto_free char *message =
		lm_xasprintf("port %u, for %s, is in use (%s)", p->port, p->purpose, holder);
	lm_auto_free char *fix = lm_xasprintf(
		"stop that program, or set devices.%s in the host file to %s", p->key,
		p->optional ? "another port, or to 0 if no device needs it" : "another port");
	(p->optional ? check_warning : check_problem)(r, message, fix);
}

void device_checks_ports(const struct device_checks *c, struct check_report *r)
{
	const struct host_devices *devices = &c->host->devices;
	const struct device_port ports[] = {
		{"broker", "brokerPort", "the local broker", devices->broker_port, false},
		{"discovery", "discoveryPort", "discovery", devices->discovery_port, false},
		{"discovery", "alpnPort", "discovery with ALPN", devices->alpn_port.number, true},
	};
	lm_auto(listeners_finish) struct listeners list = {0};
	struct lm_err err = {0};

	if (listeners_read(&list, &err)) {
		check_skip(r, "not checked: %s", err.msg);
		return;
	}
	for (size_t i = 0; i < LM_ARRAY_SIZE(ports); i++) {
		if (ports[i].port)
			check_port(c, &list, &ports[i], r);
	}
}

void device_checks_user(const struct device_checks *c, struct check_report *r)
{
	lm_auto(process_user_finish) struct process_user user = {0};
	const char *name = c->host->devices.user;
	struct lm_err err = {0};

	if (c->daemon_uid != 0) {
		check_skip(r, "not needed: lightermand does not run as root");
		return;
	}
	if (process_user_by_name(name, &user, &err)) {
		check_problem(r, err.msg,
			"install mosquitto, whose package creates the user 'mosquitto', or set "
			"devices.user in the host file to another");
		return;
	}
	if (user.uid == 0)
		check_warning(r, "the local broker and discovery run as root",
			"set devices.user in the host file to a user without other rights");
	else
		check_ok(r, "the local broker and discovery run as '%s'", name);
}

/// Why the group needs the core's identity at AWS IoT; NULL: it does not. The caller frees.
static char *need_of_cloud(const struct group *group)
{
	for (size_t i = 0; i < group->subscriptions_n; i++) {
		const struct group_subscription *s = &group->subscriptions[i];

		if (strcmp(s->source, ENDPOINT_CLOUD) == 0 ||
			strcmp(s->target, ENDPOINT_CLOUD) == 0)
			return lm_xasprintf("subscription %s has the cloud as %s", s->id,
				strcmp(s->source, ENDPOINT_CLOUD) == 0 ? "source" : "target");
	}
	for (size_t i = 0; i < group->devices_n; i++) {
		if (group->devices[i].sync_shadow)
			return lm_xasprintf(
				"device %s has SyncShadow", group->devices[i].thing_name);
	}
	return NULL;
}

/// True: it is there. False: reported.
static bool check_identity_file(
	const struct device_checks *c, const char *path, const char *key, struct check_report *r)
{
	struct lm_err err = {0};

	if (access(path, geteuid() == c->daemon_uid ? R_OK : F_OK) == 0)
		return true;
	(void)!lm_fail(&err, LM_E_NOT_FOUND, errno, "cannot read '%s': %m", path);
	lm_auto_free char *fix =
		lm_xasprintf("put the core's file there, or correct iot.%s in the host file", key);
	check_problem(r, err.msg, fix);
	return false;
}

void device_checks_cloud(const struct device_checks *c, struct check_report *r)
{
	lm_auto_free char *need = need_of_cloud(c->group);
	const struct host_iot *iot = &c->host->iot;
	const json_t *connected = json_object_get(json_object_get(c->status, "cloud"), "connected");

	if (!need) {
		check_skip(r, "not needed: no subscription names the cloud, and no device has "
			      "SyncShadow");
		return;
	}
	if (!iot->endpoint || !iot->certificate || !iot->private_key) {
		lm_auto_free char *message =
			lm_xasprintf("%s, but this device has no %s for AWS IoT", need,
				!iot->endpoint      ? "endpoint"
				: !iot->certificate ? "certificate"
						    : "private key");
		check_problem(r, message,
			"set iot (endpoint, certificate, privateKey, ca) in the host file, or "
			"greengrassRoot to the directory whose config/config.json has them");
		return;
	}
	bool is_there = check_identity_file(c, iot->certificate, "certificate", r);
	is_there &= check_identity_file(c, iot->private_key, "privateKey", r);
	if (iot->ca)
		is_there &= check_identity_file(c, iot->ca, "ca", r);
	if (!is_there)
		return;
	if (json_is_false(connected))
		check_warning(r, "not connected to AWS IoT; messages wait on this device",
			"see the log of the local broker; check the network and the core's "
			"certificate");
	else
		check_ok(r, "%s:%u%s", iot->endpoint, c->host->devices.cloud_port,
			json_is_true(connected) ? ", connected" : "");
}

void device_checks_certificates(const struct device_checks *c, struct check_report *r)
{
	const json_t *expires = json_object_get(c->status, "server_expires_ms");
	const json_t *warnings = json_object_get(c->status, "warnings");
	int64_t now_ms = lm_clock_wall_ms();
	char time[LM_TIME_SIZE];
	size_t i;
	json_t *warning;

	if (now_ms < CLOCK_PLAUSIBLE_MS) {
		lm_auto_free char *message = lm_xasprintf(
			"the clock is not set (%s): certificates cannot be made or checked",
			lm_time_format_iso(now_ms, time));
		check_problem(r, message,
			"set the clock, and enable time synchronization (systemd-timesyncd, "
			"chrony)");
		return;
	}
	if (c->store_fault)
		check_problem(r, c->store_fault, NULL);
	json_array_foreach(warnings, i, warning)
	{
		const char *text = json_string_value(warning);

		if (text && (!c->store_fault || strcmp(text, c->store_fault) != 0))
			check_warning(r, text, NULL);
	}
	if (!json_is_integer(expires)) {
		check_skip(r, "not checked: %s",
			c->status ? "lightermand does not report them"
				  : "the deployed group has no client devices");
		return;
	}
	int64_t left_s = json_integer_value(expires) / 1000 - now_ms / 1000;
	lm_auto_free char *message = lm_xasprintf("the server certificate %s %.10s",
		left_s > 0 ? "is valid until" : "expired on",
		lm_time_format_iso(json_integer_value(expires), time));
	static const char fix[] =
		"lightermand renews it: see its log, and check that the clock is right";
	if (left_s <= 0)
		check_problem(r, message, fix);
	else if (left_s < EXPIRES_SOON_DAYS * DAY_S)
		check_warning(r, message, fix);
	else
		check_ok(r, "%s", message);
}
