// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "base/limits.h"
#include "base/path.h"
#include "cli/ask.h"
#include "cli/doctor_priv.h"
#include "cli/input.h"
#include "deploy/launch.h"

#include <string.h>
#include <sys/stat.h>

static const char no_host[] = "not checked: the host file is invalid";

void doctor_check_host_file(struct doctor *d)
{
	const char *path = d->call->config;
	struct lm_err err = {0};

	d->daemon_uid = geteuid();
	if (host_load(path, &d->host, &err)) {
		d->invalid = true;
		doctor_wrong(d, err.msg, NULL);
		return;
	}
	d->has_host = true;
	if (!path && access(HOST_FILE_DEFAULT, F_OK) < 0)
		doctor_ok(d, "there is none at " HOST_FILE_DEFAULT ": the defaults count");
	else
		doctor_ok(d, "%s", path ? path : HOST_FILE_DEFAULT);
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

static void tell_lightermand(struct doctor *d, const char *path)
{
	const char *version = json_get_text(d->status, "version");
	struct stat st;

	if (stat(path, &st) == 0)
		d->daemon_uid = st.st_uid;
	doctor_ok(d, "answers at '%s', version %s", path, version ? version : "unknown");
	if (version && strcmp(version, LM_VERSION) != 0)
		doctor_warn(d, "lightermand is not of the same version as lighterman, " LM_VERSION,
			"restart it after an update (systemctl restart lightermand)");
}

void doctor_check_lightermand(struct doctor *d)
{
	lm_auto_free char *path = doctor_socket_path(d);
	lm_auto_json json_t *last = NULL;
	struct lm_err err = {0};
	int ignored;

	lm_rc rc = ask_lightermand(path, "status", &d->limit, &last, &ignored, &err);
	d->cancelled = rc == LM_E_CANCELLED;
	if (d->cancelled)
		return;
	if (rc) {
		doctor_wrong(d, err.msg, NULL);
		return;
	}
	d->status = json_incref(json_object_get(last, "status"));
	tell_lightermand(d, path);
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
