// SPDX-License-Identifier: Apache-2.0
#include "cli/cmd_doctor.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "cli/client.h"
#include "cli/device_checks.h"
#include "cli/doctor_report.h"
#include "cli/group_file.h"
#include "cli/output.h"
#include "cli/render.h"
#include "cli/terminal.h"
#include "config/arn.h"
#include "config/definition.h"
#include "config/host_file.h"
#include "deploy/destination.h"
#include "deploy/handover.h"
#include "deploy/launch.h"
#include "deploy/state_format.h"
#include "sys/process.h"
#include "sys/record.h"
#include "sys/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/vfs.h>

enum {
	LIMIT_MS = 15 * 60 * 1000,
	WORKER_GRACE_MS = 15 * 1000, ///< docker-compose gets 10 s of it.

	MIB = 1 << 20,
	STATE_WRONG_MB = 8, ///< The outbox and a few definitions.
	STATE_WARNING_MB = 64,
	MEMORY_MB = 36, ///< The connector's documentation asks for so much.
	PROC_MAX = 16 << 10,
};

struct doctor {
	const struct call *call;
	struct wait_limit limit;
	struct doctor_report report;
	size_t at;      ///< Place in ORDER.
	size_t at_line; ///< Lines in the report when that check began.
	bool invalid;   ///< Host file or group file.
	bool cancelled; ///< A signal came during a check; there are no more.

	struct lm_buf
		input; ///< The group file that was named, unless `input_rc` says it cannot be read.
	lm_rc input_rc;
	struct lm_err input_err;

	bool has_host;
	struct host_settings host;
	struct group *group;   ///< NULL: none, or it is invalid.
	bool group_is_invalid; ///< Then the application's user is unknown, too.
	char *socket_path;     ///< Of lightermand.
	lm_rc ask_rc;          ///< It does not answer, for that reason.
	struct lm_err ask_err;
	json_t *status;   ///< Its; NULL: it does not answer.
	uid_t daemon_uid; ///< Of lightermand, or of who would start it.
	bool has_user;    ///< There is such a user.
	bool as_user;     ///< The worker runs as the application's user, or as who asks.
	struct process_user user;

	/// It may be given secrets; it has sent a line; it has sent its result.
	bool worker_hardened, worker_lives, worker_done;
};

static const char no_host[] = "not checked: the host file is invalid";

/// First, as lightermand knows which host file it uses.
static void ask_status(struct doctor *d)
{
	lm_auto_json json_t *request = json_pack("{s:s}", "command", "status");
	lm_auto_json json_t *last = NULL;
	int ignored;

	d->socket_path = d->call->config && !d->call->socket_path
				 ? client_socket_path_of(d->call->config)
				 : client_socket_path(d->call);
	d->ask_rc = client_ask(d->socket_path, request, &d->limit, &last, &ignored, &d->ask_err);
	d->cancelled = d->ask_rc == LM_E_CANCELLED;
	d->status = json_incref(json_object_get(last, "status"));
}

static void report_host_file(struct doctor *d, const char *of_lightermand)
{
	if (of_lightermand && d->host.file)
		check_ok(&d->report.found, "%s, used by the running lightermand", d->host.file);
	else if (json_is_null(json_object_get(d->status, "host_file")) && !d->host.file)
		check_ok(&d->report.found,
			"none, as for the running lightermand: using the defaults");
	else if (d->host.file)
		check_ok(&d->report.found, "%s", d->host.file);
	else
		check_ok(&d->report.found,
			"no file " HOST_FILE_DEFAULT ": using the defaults; if lightermand uses "
			"another file, name it with --config");
}

static void check_host_file(struct doctor *d)
{
	const char *path = d->call->config, *of_lightermand = NULL;
	struct lm_err err = {0};

	d->daemon_uid = geteuid();
	ask_status(d);
	if (d->cancelled)
		return;
	if (!path)
		path = of_lightermand = json_get_text(d->status, "host_file");
	if (host_load(path, &d->host, &err)) {
		d->invalid = true;
		check_problem(&d->report.found, err.msg, NULL);
		return;
	}
	d->has_host = true;
	report_host_file(d, of_lightermand);
}

static bool is_same_file(const char *a, const char *b)
{
	struct stat one, other;

	return strcmp(a, b) == 0 ||
	       (stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev &&
		       one.st_ino == other.st_ino);
}

/// What is checked is perhaps not what lightermand goes by.
static void compare_host_files(struct doctor *d)
{
	const json_t *member = json_object_get(d->status, "host_file");
	const char *used = json_string_value(member);

	if (!d->has_host || !member || (!used && !d->host.file) ||
		(used && d->host.file && is_same_file(used, d->host.file)))
		return;
	lm_auto_free char *message = lm_xasprintf("lightermand uses %s, but doctor checks %s",
		used ? used : "no host file", d->host.file ? d->host.file : "the defaults");
	check_warning(&d->report.found, message,
		d->call->config ? "omit --config, or restart lightermand with that file"
				: "restart lightermand: it started before that file was written");
}

static void report_group(struct doctor *d, const char *path)
{
	const struct connector_definition *def = &d->group->connector;

	check_ok(&d->report.found, "%s: id %s, version %u of the connector", path, def->id,
		def->version);
	for (size_t i = 0; i < d->group->warnings_n; i++)
		check_warning(&d->report.found, d->group->warnings[i], NULL);
}

/// Each fault is a line.
static void report_faults(struct doctor *d, const struct validation_errors *errors)
{
	d->group_is_invalid = true;
	for (size_t i = 0; i < errors->n; i++) {
		lm_auto_free char *line = validation_error_text(&errors->items[i]);
		check_problem(&d->report.found, line, NULL);
	}
}

static void doctor_check_text(struct doctor *d, struct lm_str text, const char *path)
{
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};
	struct lm_err ignored; // the errors say why

	if (definition_parse(text, &errors, &d->group, &ignored))
		report_faults(d, &errors);
	else
		report_group(d, path);
}

static void check_deployed(struct doctor *d)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_GROUP_FILE);
	lm_auto_free char *path = NULL;
	struct lm_err err = {0};

	if (!d->has_host) {
		check_skip(&d->report.found, no_host);
		return;
	}
	path = lm_path_join(d->host.state_directory, "application/current");
	lm_auto_close int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lm_rc rc = folder < 0 ? lm_fail(&err, lm_rc_of_errno(errno), errno, "open '%s': %m", path)
			      : record_read(folder, "definition.json", &text, &err);
	if (rc == LM_E_NOT_FOUND)
		check_skip(&d->report.found, "no group file given, and nothing deployed");
	else if (rc)
		check_skip(&d->report.found,
			"no group file given, and cannot read the current deployment: %s", err.msg);
	else
		doctor_check_text(d, lm_buf_str(&text), "the current deployment");
}

static void check_group_file(struct doctor *d)
{
	const char *path = d->call->argument;

	if (!path) {
		check_deployed(d);
		return;
	}
	if (!d->input_rc)
		d->input_rc = group_file_complete(d->call,
			d->has_host ? d->host.state_directory : NULL, &d->input, &d->input_err);
	if (d->input_rc) {
		d->group_is_invalid = true;
		check_problem(&d->report.found, d->input_err.msg, NULL);
	} else {
		doctor_check_text(d, lm_buf_str(&d->input), group_file_name(path));
	}
	d->invalid |= d->group_is_invalid;
}

static void report_lightermand(struct doctor *d)
{
	const char *version = json_get_text(d->status, "version");
	const char *description = json_get_text(d->status, "description");
	const char *state = json_get_text(d->status, "state");
	bool is_held = json_is_object(json_object_get(d->status, "activation")); // as it should
	bool is_odd = state && !is_held &&
		      (strcmp(state, "waiting") == 0 || strcmp(state, "failed") == 0 ||
			      json_is_integer(json_object_get(d->status, "retry_ms")));
	struct stat st;

	if (stat(d->socket_path, &st) == 0)
		d->daemon_uid = st.st_uid;
	check_ok(&d->report.found, "answers at '%s', version %s%s%s", d->socket_path,
		version ? version : "unknown", description && !is_odd ? ": " : "",
		description && !is_odd ? description : "");
	if (is_odd)
		check_warning(&d->report.found, description ? description : state,
			"see the last deployment in 'lighterman status'");
	if (version && strcmp(version, LM_VERSION) != 0)
		check_warning(&d->report.found,
			"lightermand is not the same version as lighterman, " LM_VERSION,
			"restart it after an update (systemctl restart lightermand)");
}

static void check_lightermand(struct doctor *d)
{
	if (d->ask_rc) {
		check_problem(&d->report.found, d->ask_err.msg, NULL);
		return;
	}
	report_lightermand(d);
	compare_host_files(d);
}

static const struct connector_definition *definition_of(const struct doctor *d)
{
	static const struct connector_definition none;

	return d->group ? &d->group->connector : &none;
}

/// An ordinary user can only check for itself.
static void report_other_user(struct doctor *d, const struct process_user *user)
{
	lm_auto(process_user_finish) struct process_user own = {0};
	struct lm_err err = {0};

	if (process_user_by_uid(geteuid(), &own, NULL)) {
		(void)!lm_fail(&err, LM_E_DENIED, 0,
			"the application runs as '%s'; the following checks run as you instead, "
			"user %u",
			user->name, (unsigned)geteuid());
	} else {
		(void)!lm_fail(&err, LM_E_DENIED, 0,
			"the application runs as '%s'; the following checks run as you instead, "
			"'%s'",
			user->name, own.name);
	}
	check_warning(&d->report.found, err.msg, "run lighterman as root");
}

static void check_user(struct doctor *d)
{
	struct lm_err err = {0};

	if (!d->has_host) {
		check_skip(&d->report.found, no_host);
		return;
	}
	if (d->group_is_invalid) {
		check_skip(&d->report.found, "not checked: the definition is invalid");
		return;
	}
	if (launch_look_up_user(&d->host, definition_of(d), &d->user, &err)) {
		check_problem(&d->report.found, err.msg, NULL);
		return;
	}
	d->has_user = d->as_user = true;
	if (geteuid() != 0 && d->user.uid != geteuid())
		report_other_user(d, &d->user);
	else
		check_ok(&d->report.found, "'%s', UID %u", d->user.name, (unsigned)d->user.uid);
}

static void check_root(struct doctor *d)
{
	struct lm_err err = {0};

	if (!d->has_user)
		check_skip(&d->report.found, "not checked: the application's user is unknown");
	else if (d->user.uid != 0)
		check_skip(&d->report.found, "not needed: the application's user is not root");
	else if (d->daemon_uid != 0 || geteuid() != 0)
		check_skip(&d->report.found,
			"not checked: lightermand or lighterman does not run as root");
	else if (launch_check_user(&d->host, definition_of(d), &d->user, &err))
		check_problem(&d->report.found, err.msg, NULL);
	else
		check_ok(&d->report.found, "the host file allows root");
}

static void check_broker(struct doctor *d, const json_t *broker)
{
	const char *name = json_get_text(broker, "name");
	const char *error = json_get_text(broker, "error");
	long long waiting = json_get_int(broker, "waiting", 0);

	if (!name)
		name = "a broker";
	const json_t *refused = json_object_get(broker, "refused_topics");
	for (size_t i = 0; i < json_array_size(refused); i++) {
		const char *topic = json_string_value(json_array_get(refused, i));
		lm_auto_free char *message =
			lm_xasprintf("%s: rejects topic %s", name, topic ? topic : "?");
		check_warning(&d->report.found, message,
			"allow it in the broker's policy, or disable it with mqtt.topics (jobs: "
			"mqtt.jobs) in the host file");
	}
	if (json_get_bool(broker, "connected", false)) {
		check_ok(&d->report.found, "%s: connected", name);
		return;
	}
	lm_auto_free char *message = lm_xasprintf("%s: not connected%s%s, %lld messages waiting",
		name, error ? ": " : "", error ? error : "", waiting);
	check_problem(&d->report.found, message, "start the broker, or fix mqtt in the host file");
}

static void check_brokers(struct doctor *d)
{
	const json_t *brokers = json_object_get(d->status, "brokers");

	if (d->has_host && d->host.brokers_n == 0) {
		check_warning(&d->report.found, "none configured: status messages are not sent",
			"set mqtt in the host file to publish deployment status");
		return;
	}
	if (!d->status) {
		check_skip(&d->report.found, "not checked: cannot reach lightermand");
		return;
	}
	if (json_array_size(brokers) == 0)
		check_warning(&d->report.found,
			"the host file configures a broker, but lightermand has none",
			"restart lightermand: it read an older host file");
	for (size_t i = 0; i < json_array_size(brokers); i++)
		check_broker(d, json_array_get(brokers, i));
}

static const struct host_broker *find_job_broker(const struct host_settings *host)
{
	for (size_t i = 0; i < host->brokers_n; i++) {
		if (host->brokers[i].jobs)
			return &host->brokers[i];
	}
	return NULL;
}

/// Says nothing where no broker has jobs.
static void check_jobs(struct doctor *d)
{
	const json_t *jobs = json_object_get(d->status, "jobs");
	const char *thing = d->has_host ? d->host.thing_name : NULL;
	const char *broker = json_get_text(jobs, "broker");

	if (!d->has_host || !find_job_broker(&d->host))
		return;
	if (!thing || !arn_is_thing_name(lm_str(thing)))
		check_problem(&d->report.found,
			thing ? "the name of this thing is not valid: no jobs are taken"
			      : "the name of this thing is unknown: no jobs are taken",
			"set thingName in the host file");
	else if (!d->status)
		check_skip(&d->report.found, "not checked: cannot reach lightermand");
	else if (!broker)
		check_warning(&d->report.found,
			"the host file has jobs, but lightermand takes none",
			"restart lightermand: it read an older host file");
	else if (json_get_bool(jobs, "connected", false))
		check_ok(&d->report.found, "of '%s', from %s", thing, broker);
	else
		check_problem(&d->report.found,
			"the topics of the job service are not subscribed to",
			"see the check of the broker; allow the topics in its policy "
			"(docs/fleet.md)");
}

/// The part of a path that is there. The caller frees.
static char *existing_part(const char *path)
{
	char *part = lm_xstrdup(path);
	struct stat st;

	while (stat(part, &st) < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		char *slash = strrchr(part, '/');

		if (!slash || slash == part) {
			free(part);
			return lm_xstrdup("/");
		}
		*slash = '\0';
	}
	return part;
}

/// Whether lightermand can write in a directory, or create it. False: reported why not.
static bool check_writable(struct doctor *d, const char *path, const char *fix)
{
	lm_auto_free char *part = existing_part(path);
	struct lm_err err = {0};
	struct stat st;

	if (d->daemon_uid != geteuid()) {
		check_skip(&d->report.found, "not checked: lightermand runs as user %u, not as you",
			(unsigned)d->daemon_uid);
		return false;
	}
	if (stat(part, &st) == 0 && !S_ISDIR(st.st_mode))
		(void)!lm_fail(&err, LM_E_INVALID, 0, "'%s' is not a directory", part);
	else if (faccessat(AT_FDCWD, part, W_OK | X_OK, AT_EACCESS) < 0)
		(void)!lm_fail(
			&err, LM_E_DENIED, errno, "lightermand cannot write to '%s': %m", part);
	else
		return true;
	check_problem(&d->report.found, err.msg, fix);
	return false;
}

static void check_log(struct doctor *d)
{
	const char *region = d->host.region;
	const char *root =
		d->host.write_directory ? d->host.write_directory : d->host.greengrass_root;

	if (!region && d->group)
		region = d->group->connector.region;
	if (!d->has_host || !region) {
		check_skip(&d->report.found, "not checked: %s",
			d->has_host ? "no region, so no log file" : "the host file is invalid");
		return;
	}
	lm_auto_free char *path = lm_xasprintf("%s/ggc/var/log/user/%s/aws", root, region);
	if (check_writable(
		    d, path, "let lightermand write there, or set greengrassRoot in the host file"))
		check_ok(&d->report.found, "lightermand can write to '%s'", path);
}

static void check_state(struct doctor *d)
{
	const char *path = d->host.state_directory;
	static const char fix[] = "free up space there, or set stateDirectory in the host file";
	struct lm_err err = {LM_OK};
	struct statvfs fs;

	if (!d->has_host) {
		check_skip(&d->report.found, "not checked: the host file is invalid");
		return;
	}
	if (state_format_check(path, &err) != LM_OK) {
		check_problem(&d->report.found, err.msg, STATE_FORMAT_FIX);
		return;
	}
	if (!check_writable(d, path, fix))
		return;
	lm_auto_free char *part = existing_part(path);
	if (statvfs(part, &fs) < 0) {
		check_skip(&d->report.found, "not checked: cannot get the free space of '%s': %m",
			part);
		return;
	}
	uint64_t mb = (uint64_t)fs.f_bavail * fs.f_frsize / MIB;
	lm_auto_free char *message = lm_xasprintf("'%s' has %" PRIu64 " MB free", path, mb);
	if (mb < STATE_WRONG_MB)
		check_problem(&d->report.found, message, fix);
	else if (mb < STATE_WARNING_MB)
		check_warning(&d->report.found, message, fix);
	else
		check_ok(&d->report.found, "%s", message);
}

static void check_runtime(struct doctor *d)
{
	const char *path = d->host.runtime_directory;
	const size_t longest =
		sizeof(((struct sockaddr_un *)0)->sun_path) - sizeof("/control.sock");
	static const char fix[] =
		"set runtimeDirectory in the host file, to a directory below /run";
	struct statfs fs;

	if (!d->has_host) {
		check_skip(&d->report.found, "not checked: the host file is invalid");
		return;
	}
	lm_auto_free char *part = existing_part(path);
	if (strlen(path) > longest) {
		lm_auto_free char *message =
			lm_xasprintf("'%.300s' is too long for a socket path (at most %zu bytes)",
				path, longest);
		check_problem(&d->report.found, message, fix);
	} else if (!check_writable(d, path, fix)) {
		return;
	} else if (statfs(part, &fs) == 0 &&
		   (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC)) {
		check_ok(&d->report.found, "'%s' is in memory", path);
	} else {
		lm_auto_free char *message = lm_xasprintf(
			"'%s' is not in memory: credentials for builds would be written to disk",
			path);
		check_warning(&d->report.found, message, fix);
	}
}

/// MB that a program could still get; false: unknown.
static bool read_available(uint64_t *ret_mb)
{
	lm_auto_buf struct lm_buf text = LM_BUF(PROC_MAX);

	if (lm_file_read("/proc/meminfo", &text, NULL))
		return false;
	struct lm_str rest = lm_buf_str(&text);
	while (rest.n > 0) {
		struct lm_str value = lm_str_cut(&rest, '\n');
		struct lm_str key = lm_str_cut(&value, ':');
		uint64_t kb;

		if (!lm_str_eq(key, LM_STR("MemAvailable")))
			continue;
		value = lm_str_trim(value);
		if (!lm_str_to_u64(lm_str_cut(&value, ' '), UINT64_MAX, &kb))
			return false;
		*ret_mb = kb / 1024;
		return true;
	}
	return false;
}

static void check_memory(struct doctor *d)
{
	uint64_t mb = 0;

	if (!read_available(&mb)) {
		check_skip(&d->report.found, "not checked: cannot read /proc/meminfo");
		return;
	}
	if (mb >= MEMORY_MB) {
		check_ok(&d->report.found, "%" PRIu64 " MB available", mb);
		return;
	}
	lm_auto_free char *message = lm_xasprintf("%" PRIu64 " MB available", mb);
	check_warning(&d->report.found, message,
		"a deployment needs 36 MB in addition to the containers");
}

/// All checks in their order; those without a function are made by a worker, or, with `devices`,
/// only for a group with client devices.
static const struct {
	const char *name;
	void (*run)(struct doctor *d);
	void (*devices)(const struct device_checks *c, struct check_report *r);
} ORDER[] = {
	{"host file", check_host_file},
	{"group file", check_group_file},
	{"lightermand", check_lightermand},
	{"user", check_user},
	{"root", check_root},
	{"worker", NULL},
	{"docker command", NULL},
	{"engine", NULL},
	{"engine version", NULL},
	{"docker-compose", NULL},
	{"compose and engine", NULL},
	{"destination", NULL},
	{"free space", NULL},
	{"region", NULL},
	{"AWS credentials", NULL},
	{"compose file", NULL},
	{"compose syntax", NULL},
	{"compose requirements", NULL},
	{"policies", NULL},
	{"secrets", NULL},
	{"registries", NULL},
	{"broker", check_brokers},
	{"jobs", check_jobs},
	{"local broker", NULL, device_checks_broker},
	{"device ports", NULL, device_checks_ports},
	{"device user", NULL, device_checks_user},
	{"cloud bridge", NULL, device_checks_cloud},
	{"device certificates", NULL, device_checks_certificates},
	{"clock", NULL},
	{"log directory", check_log},
	{"state directory", check_state},
	{"runtime directory", check_runtime},
	{"memory", check_memory},
};

/// What lightermand cannot read of the certificates; NULL: nothing, or it is not asked. The caller
/// frees.
static char *ask_store_fault(const struct doctor *d)
{
	lm_auto_json json_t *request =
		json_pack("{s:s, s:s}", "command", "device", "action", "list");
	lm_auto_json json_t *last = NULL;
	struct lm_err unreachable; // another check tells
	int ignored;

	if (!d->status ||
		client_ask(d->socket_path, request, &d->limit, &last, &ignored, &unreachable) ||
		json_get_int(last, "exit", 0) == 0)
		return NULL;
	return json_copy_text(last, "message");
}

static void doctor_check_devices(
	struct doctor *d, void (*check)(const struct device_checks *c, struct check_report *r))
{
	const json_t *status = json_object_get(d->status, "devices");
	struct device_checks checks = {.group = d->group,
		.host = &d->host,
		.status = json_is_object(status) ? status : NULL,
		.daemon_uid = d->daemon_uid};

	if (!device_checks_apply(d->group))
		return;
	if (!d->has_host) {
		check_skip(&d->report.found, no_host);
		return;
	}
	lm_auto_free char *fault = check == device_checks_certificates ? ask_store_fault(d) : NULL;
	checks.store_fault = fault;
	check(&checks, &d->report.found);
}

/// Makes the checks from where it is up to (and without) number `to`.
static void advance(struct doctor *d, size_t to)
{
	for (; d->at < to && !d->cancelled;
		d->at++, d->at_line = json_array_size(d->report.checks)) {
		d->report.found.name = ORDER[d->at].name;
		if (ORDER[d->at].run)
			ORDER[d->at].run(d);
		else if (ORDER[d->at].devices)
			doctor_check_devices(d, ORDER[d->at].devices);
		else if (json_array_size(d->report.checks) == d->at_line)
			check_skip(&d->report.found, "not checked: %s",
				d->worker_lives ? "the worker did not reach it" : "no worker");
	}
	d->report.found.name = to < LM_ARRAY_SIZE(ORDER) ? ORDER[to].name : "";
}

/// The place of a check; of an unknown one, where we are.
static size_t place_of(const struct doctor *d, const char *name)
{
	for (size_t i = d->at; name && i < LM_ARRAY_SIZE(ORDER); i++) {
		if (strcmp(ORDER[i].name, name) == 0)
			return i;
	}
	return d->at;
}

static void take_check(struct doctor *d, const json_t *check)
{
	advance(d, place_of(d, json_get_text(check, "check")));
	check_forward(&d->report.found, json_deep_copy(check));
}

/// Prints what the worker writes to stderr, which is unexpected.
static void print_stderr(const struct doctor *d, struct lm_str line)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_LOG_LINE);

	if (!lm_buf_add_str(&text, line) || line.n == 0)
		return;
	lm_auto_free char *plain = sanitize_text(lm_buf_cstr(&text));
	(void)fprintf(d->call->err, "lighterman-worker: %s\n", plain);
}

static void doctor_take_line(void *ctx, enum process_stream stream, struct lm_str text)
{
	struct doctor *d = ctx;
	lm_auto_json json_t *line = NULL;
	struct lm_err ignored;

	if (stream != PROCESS_STDOUT) {
		print_stderr(d, text);
		return;
	}
	if (json_parse(text, &line, &ignored))
		return; // a missing result is reported
	d->worker_done |= json_object_get(line, "result") != NULL;
	d->worker_hardened |= json_get_bool(line, "hardened", false);
	if (!json_get_text(line, "check"))
		return;
	if (!d->worker_lives)
		check_ok(&d->report.found, "lighterman-worker runs as %s",
			d->user.name ? d->user.name : "you");
	d->worker_lives = true;
	take_check(d, line);
}

static void make_job(const struct doctor *d, struct lm_buf *out)
{
	lm_auto_json json_t *job = json_pack("{s:s, s:o, s:o, s:b}", "job", "check", "group",
		d->group ? group_to_json(d->group) : json_null(), "host", host_to_json(&d->host),
		"as_user", (int)d->as_user);

	(void)(json_write(job, out) && lm_buf_putc(out, '\n'));
}

/// Once nobody else can look into it, it gets what it needs for AWS.
static bool doctor_hand_over(void *ctx, int socket)
{
	struct doctor *d = ctx;
	struct lm_err ignored; // without it the worker exits, which is reported

	if (!d->worker_hardened)
		return false;
	lm_auto(launch_identity_finish) struct launch_identity identity =
		launch_open_identity(&d->host);
	const struct handover rest = {-1, identity.key_fd, identity.certificate_fd, -1};

	(void)!handover_send(socket, &rest, (const char *const *)environ, &ignored);
	return true;
}

/// Whom the worker becomes; NULL: nobody else.
static const struct process_user *worker_user(const struct doctor *d)
{
	return d->has_user && geteuid() == 0 ? &d->user : NULL;
}

static lm_rc run_worker(struct doctor *d, const char *program, int *ret_status, struct lm_err *err)
{
	lm_auto_buf struct lm_buf job = LM_BUF(LIMIT_WORKER_JOB);

	make_job(d, &job);
	if (job.overflow)
		return lm_fail(err, LM_E_TOO_LARGE, 0, "the definition is too large for a worker");
	lm_auto_free char **first = handover_first_environment((const char *const *)environ);
	const int lock = -1;
	const struct process_run process = {
		.spec = {.argv = (const char *const[]){program, NULL},
			.envp = (const char *const *)first,
			.directory = "/",
			.user = worker_user(d),
			.die_with_parent = true,
			.shielded = true},
		.input = lm_buf_str(&job),
		.keeps_stdin = true,
		.on_stdin = doctor_hand_over,
		.more_fds = &lock,
		.more_fds_n = 1,
		.on_line = doctor_take_line,
		.ctx = d,
		.term_grace_ms = WORKER_GRACE_MS,
	};
	return process_run(&process, &d->limit, ret_status, err);
}

static void report_end(struct doctor *d, lm_rc rc, int status, struct lm_err *err)
{
	char how[96];

	if (rc == LM_OK && d->worker_done)
		return;
	if (rc == LM_OK)
		(void)!lm_fail(err, LM_E_PROTOCOL, 0,
			"lighterman-worker exited before its checks were complete (%s)",
			process_describe_status(status, how, sizeof(how)));
	d->report.found.name = "worker";
	check_problem(&d->report.found, err->msg,
		"reinstall Lighterman; lighterman and lighterman-worker must be the same version, "
		"and executable by everyone");
}

/// The destination of a compose file that has none of its own is made by its first deployment, and
/// without it most cannot be checked. If that fails, the check of the destination says so.
static void make_destination(const struct doctor *d)
{
	struct lm_err ignored;

	if (d->group && d->has_user && geteuid() == 0)
		(void)!destination_make(
			&d->host, d->group->connector.destination, &d->user, &ignored);
}

static lm_rc check_with_worker(struct doctor *d, struct lm_err *err)
{
	lm_auto_free char *program = NULL;
	int status = 0;

	if (!d->has_host)
		return LM_OK; // there is nothing to check
	(void)signal(SIGPIPE, SIG_IGN);
	make_destination(d);
	lm_rc rc = launch_find_worker(&program, err);
	if (!rc)
		rc = run_worker(d, program, &status, err);
	if (rc == LM_E_CANCELLED)
		return rc;
	report_end(d, rc, status, err);
	return LM_OK;
}

static int doctor_exit_status(const struct doctor *d)
{
	if (d->invalid)
		return EXIT_INVALID;
	return d->report.found.problems > 0 ? EXIT_FAILED : EXIT_DONE;
}

static void doctor_finish(struct doctor *d)
{
	doctor_report_finish(&d->report);
	json_decref(d->status);
	free(d->socket_path);
	host_finish(&d->host);
	group_destroy(d->group);
	process_user_finish(&d->user);
	lm_buf_finish(&d->input);
}

/// All checks. LM_E_CANCELLED: interrupted.
static lm_rc doctor_run(struct doctor *d, struct lm_err *err)
{
	for (size_t i = 0; ORDER[i].run; i++)
		advance(d, i + 1);
	if (d->cancelled)
		return lm_fail(err, LM_E_CANCELLED, 0, "interrupted");
	lm_rc rc = check_with_worker(d, err);
	if (rc)
		return rc;
	advance(d, LM_ARRAY_SIZE(ORDER));
	return LM_OK;
}

int cmd_doctor(const struct call *call)
{
	lm_auto(interrupt_finish) struct interrupt interrupt = {.fd = -1};
	lm_auto(doctor_finish) struct doctor d = {.call = call, .input = LM_BUF(LIMIT_GROUP_FILE)};
	struct lm_err why = {0};

	doctor_report_init(&d.report, call);
	// First, so that Ctrl-C still works while standard input is read.
	if (call->argument)
		d.input_rc = group_file_read(call->argument, &d.input, &d.input_err);
	lm_rc rc = interrupt_init(&interrupt, &why);

	d.limit = (struct wait_limit){.cancel_fd = interrupt.fd};
	d.limit = wait_limit_within(&d.limit, LIMIT_MS);
	if (!rc)
		rc = doctor_run(&d, &why);
	if (rc)
		return output_fail(call, EXIT_FAILED, why.msg);
	doctor_report_end(&d.report);
	return doctor_exit_status(&d);
}
