// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "cli/ask.h"
#include "cli/doctor_priv.h"
#include "cli/input.h"
#include "cli/socket_path.h"
#include "deploy/launch.h"

#include <string.h>
#include <sys/stat.h>

static const char no_host[] = "not checked: the host file is invalid";

/// First, as lightermand knows which host file it uses.
static void ask_status(struct doctor *d)
{
	lm_auto_json json_t *last = NULL;
	int ignored;

	d->socket_path = d->call->config && !d->call->socket_path
				 ? socket_path_by_host_file(d->call->config)
				 : socket_path_of(d->call);
	d->ask_rc =
		ask_lightermand(d->socket_path, "status", &d->limit, &last, &ignored, &d->ask_err);
	d->cancelled = d->ask_rc == LM_E_CANCELLED;
	d->status = json_incref(json_object_get(last, "status"));
}

static void tell_host_file(struct doctor *d, const char *of_lightermand)
{
	if (of_lightermand && d->host.file)
		doctor_ok(d, "%s, which the running lightermand uses", d->host.file);
	else if (json_is_null(json_object_get(d->status, "host_file")) && !d->host.file)
		doctor_ok(d, "none, as the running lightermand: the defaults count");
	else if (d->host.file)
		doctor_ok(d, "%s", d->host.file);
	else
		doctor_ok(d,
			"there is none at " HOST_FILE_DEFAULT
			": the defaults count; if lightermand is started with another, name it "
			"with --config");
}

void doctor_check_host_file(struct doctor *d)
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
		doctor_wrong(d, err.msg, NULL);
		return;
	}
	d->has_host = true;
	tell_host_file(d, of_lightermand);
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
	lm_auto_free char *message = lm_xasprintf("it uses %s, and what is checked here is %s",
		used ? used : "no host file", d->host.file ? d->host.file : "the defaults");
	doctor_warn(d, message,
		d->call->config
			? "leave out --config, or restart lightermand with that file"
			: "restart lightermand: it was started before that file was written");
}

static void tell_group(struct doctor *d, const char *path)
{
	const struct connector_definition *def = &d->group->connector;

	doctor_ok(d, "%s: id %s, version %u of the connector", path, def->id, def->version);
	for (size_t i = 0; i < d->group->warnings_n; i++)
		doctor_warn(d, d->group->warnings[i], NULL);
}

/// Each fault is a line.
static void tell_faults(struct doctor *d, const struct definition_faults *faults)
{
	d->group_is_invalid = true;
	for (size_t i = 0; i < faults->n; i++) {
		lm_auto_free char *line = fault_text(&faults->items[i]);
		doctor_wrong(d, line, NULL);
	}
}

static void check_text(struct doctor *d, struct lm_str text, const char *path)
{
	lm_auto(faults_finish) struct definition_faults faults = {0};
	struct lm_err ignored; // told by the faults

	if (definition_parse(text, &faults, &d->group, &ignored))
		tell_faults(d, &faults);
	else
		tell_group(d, path);
}

static void check_deployed(struct doctor *d)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_GROUP_FILE);
	lm_auto_free char *path = NULL;
	struct lm_err err = {0};

	if (!d->has_host) {
		doctor_skip(d, no_host);
		return;
	}
	path = lm_path_join(d->host.state_directory, "application/current/definition.json");
	lm_rc rc = lm_file_read(path, &text, &err);
	if (rc == LM_E_NOT_FOUND)
		doctor_skip(d, "none was named, and nothing is deployed");
	else if (rc)
		doctor_skip(d, "none was named, and what is deployed cannot be read: %s", err.msg);
	else
		check_text(d, lm_buf_str(&text), "what is deployed");
}

void doctor_check_group_file(struct doctor *d)
{
	const char *path = d->call->argument;

	if (!path) {
		check_deployed(d);
		return;
	}
	if (d->input_rc) {
		d->group_is_invalid = true;
		doctor_wrong(d, d->input_err.msg, NULL);
	} else {
		check_text(d, lm_buf_str(&d->input), input_name(path));
	}
	d->invalid |= d->group_is_invalid;
}

static void tell_lightermand(struct doctor *d)
{
	const char *version = json_get_text(d->status, "version");
	const char *description = json_get_text(d->status, "description");
	const char *state = json_get_text(d->status, "state");
	bool is_odd = state && (strcmp(state, "waiting") == 0 || strcmp(state, "failed") == 0 ||
				       json_is_integer(json_object_get(d->status, "retry_ms")));
	struct stat st;

	if (stat(d->socket_path, &st) == 0)
		d->daemon_uid = st.st_uid;
	doctor_ok(d, "answers at '%s', version %s%s%s", d->socket_path,
		version ? version : "unknown", description && !is_odd ? ": " : "",
		description && !is_odd ? description : "");
	if (is_odd)
		doctor_warn(d, description ? description : state,
			"see the last deployment in 'lighterman status'");
	if (version && strcmp(version, LM_VERSION) != 0)
		doctor_warn(d, "lightermand is not of the same version as lighterman, " LM_VERSION,
			"restart it after an update (systemctl restart lightermand)");
}

void doctor_check_lightermand(struct doctor *d)
{
	if (d->ask_rc) {
		doctor_wrong(d, d->ask_err.msg, NULL);
		return;
	}
	tell_lightermand(d);
	compare_host_files(d);
}

static const struct connector_definition *definition_of(const struct doctor *d)
{
	static const struct connector_definition none;

	return d->group ? &d->group->connector : &none;
}

/// An ordinary user can only check for itself.
static void tell_other_user(struct doctor *d, const struct process_user *user)
{
	lm_auto(process_user_finish) struct process_user own = {0};
	struct lm_err err = {0};

	if (process_user_by_uid(geteuid(), &own, NULL)) {
		(void)!lm_fail(&err, LM_E_DENIED, 0,
			"the application's user is '%s'; what follows is checked for you instead, "
			"user %u",
			user->name, (unsigned)geteuid());
	} else {
		(void)!lm_fail(&err, LM_E_DENIED, 0,
			"the application's user is '%s'; what follows is checked for you instead, "
			"'%s'",
			user->name, own.name);
	}
	doctor_warn(d, err.msg, "run it as root");
}

void doctor_check_user(struct doctor *d)
{
	struct lm_err err = {0};

	if (!d->has_host) {
		doctor_skip(d, no_host);
		return;
	}
	if (d->group_is_invalid) {
		doctor_skip(d, "not checked: the definition is invalid");
		return;
	}
	if (launch_look_up_user(&d->host, definition_of(d), &d->user, &err)) {
		doctor_wrong(d, err.msg, NULL);
		return;
	}
	d->has_user = d->as_user = true;
	if (geteuid() != 0 && d->user.uid != geteuid())
		tell_other_user(d, &d->user);
	else
		doctor_ok(d, "'%s', number %u", d->user.name, (unsigned)d->user.uid);
}

void doctor_check_root(struct doctor *d)
{
	struct lm_err err = {0};

	if (!d->has_user)
		doctor_skip(d, "not checked: the application's user is not known");
	else if (d->user.uid != 0)
		doctor_skip(d, "not needed: the application's user is not root");
	else if (d->daemon_uid != 0 || geteuid() != 0)
		doctor_skip(d, "not checked: lightermand does not run as root, or you do not");
	else if (launch_check_user(&d->host, definition_of(d), &d->user, &err))
		doctor_wrong(d, err.msg, NULL);
	else
		doctor_ok(d, "the host file allows it to be root");
}
