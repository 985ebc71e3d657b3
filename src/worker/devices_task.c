// SPDX-License-Identifier: Apache-2.0
#include "worker/devices_task.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "config/arn.h"
#include "devices/certificate_store.h"
#include "devices/device_bundle.h"
#include "worker/service_files.h"
#include "worker/service_revocation.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BUNDLE "device-files.json"

enum { MS = 1000 };

struct devices_task {
	const struct task *task;
	struct protocol *protocol;
	struct wait_limit limit;
	int64_t now_s;
	bool is_askers; ///< A failure now is the fault of what was asked for.
};

static const struct group_device *find_group_device(const struct group *group, const char *name)
{
	for (size_t i = 0; group && i < group->devices_n; i++)
		if (strcmp(group->devices[i].thing_name, name) == 0)
			return &group->devices[i];
	return NULL;
}

/// Whether the group has anything for client devices.
static bool has_client_devices(const struct group *group)
{
	return group && (group->devices_n > 0 || group->subscriptions_n > 0);
}

static lm_rc open_device_store(
	struct devices_task *t, struct certificate_store **ret, struct lm_err *err)
{
	return certificate_store_open(t->task->host.state_directory, t->now_s, ret, err);
}

// prepare.

/// Thousands of keys take minutes: the log shows that it goes on.
static void log_progress(const struct devices_task *t, size_t done)
{
	enum { EVERY = 100 };

	if (done > 0 && done % EVERY == 0)
		lm_info("client devices: %zu of %zu have their keys and certificates", done,
			t->task->group->devices_n);
}

static lm_rc fill_bundle(struct devices_task *t, struct certificate_store *store,
	struct device_bundle *bundle, struct lm_err *err)
{
	const struct group *group = t->task->group;

	for (size_t i = 0; i < group->devices_n; i++) {
		lm_auto_identity struct certificate_identity identity = {0};
		const char *name = group->devices[i].thing_name;
		const struct registry_device *known =
			device_registry_find(certificate_store_registry(store), name);

		if (known && known->removed) {
			lm_warn("the device '%s' of the group was removed, so it gets no "
				"certificate: 'lighterman device add %s' takes it back",
				name, name);
			continue;
		}
		log_progress(t, i);
		lm_rc rc = wait_ms(0, &t->limit, err);
		if (!rc)
			rc = certificate_store_equip(store, name, &identity, err);
		if (rc)
			return rc;
		device_bundle_add(bundle, name, lm_secret_str(&identity.key), identity.pem);
	}
	bundle->ca = lm_xstrdup(certificate_store_authority_pem(store));
	return LM_OK;
}

static lm_rc equip_all(struct devices_task *t, struct device_bundle *bundle, struct lm_err *err)
{
	lm_auto(certificate_store_close_p) struct certificate_store *store = NULL;
	struct lm_err second = {LM_OK};
	lm_rc rc = open_device_store(t, &store, err);

	if (rc)
		return rc;
	rc = fill_bundle(t, store, bundle, err);
	// What was made is not made again after a failure.
	lm_rc saved = certificate_store_save(store, rc ? &second : err);
	return rc ? rc : saved;
}

static lm_rc write_bundle(
	const struct devices_task *t, const struct device_bundle *bundle, struct lm_err *err)
{
	const char *run = t->task->host.runtime_directory;
	lm_auto_buf struct lm_buf text = LM_BUF_SECRET(LIMIT_DEVICE_BUNDLE);
	lm_auto_close int dir_fd = open(run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir_fd < 0)
		return lm_fail(err, lm_rc_of_errno(errno), errno, "open '%s': %m", run);
	if (!device_bundle_write(bundle, &text))
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the keys and certificates of %zu devices are over %d bytes", bundle->n,
			LIMIT_DEVICE_BUNDLE);
	return lm_file_replace(dir_fd, BUNDLE, lm_buf_str(&text), 0600, err);
}

/// Keys and certificates for the group's devices, where lightermand takes them from for the worker
/// of the deployment. A group that has none gets an empty list: files of an earlier one are removed
/// by it.
static lm_rc prepare_devices(struct devices_task *t, struct lm_err *err)
{
	lm_auto_bundle struct device_bundle bundle = {0};
	bool has_devices = t->task->group && t->task->group->devices_n > 0;
	lm_rc rc = has_devices ? equip_all(t, &bundle, err) : LM_OK;

	return rc ? rc : write_bundle(t, &bundle, err);
}

// apply.

static json_t *json_from_ms(int64_t s)
{
	return s > 0 ? json_integer((json_int_t)s * MS) : json_null();
}

static lm_rc report_services(
	const struct devices_task *t, const struct service_files_result *result, struct lm_err *err)
{
	const struct group *group = t->task->group;
	json_t *warnings = json_array();

	for (size_t i = 0; i < result->warnings_n; i++)
		json_array_append_new(warnings, json_from_text(result->warnings[i]));
	return protocol_send(t->protocol,
		json_pack("{s:{s:s, s:s, s:I, s:I, s:o, s:o}}", "devices", "broker",
			service_step_name(result->steps.broker), "discovery",
			service_step_name(result->steps.discovery), "devices",
			(json_int_t)(group ? group->devices_n : 0), "subscriptions",
			(json_int_t)(group ? group->subscriptions_n : 0), "server_expires_ms",
			json_from_ms(result->server_expires_s), "warnings", warnings),
		err);
}

static lm_rc apply_files(
	struct devices_task *t, struct service_files_result *result, struct lm_err *err)
{
	lm_auto(certificate_store_close_p) struct certificate_store *store = NULL;
	lm_rc rc = open_device_store(t, &store, err);

	if (!rc)
		rc = service_files_apply(
			store, t->task->group, &t->task->host, t->now_s, result, err);
	return rc ? rc : certificate_store_save(store, err);
}

static lm_rc apply_devices(struct devices_task *t, struct lm_err *err)
{
	lm_auto(service_files_finish) struct service_files_result result = {0};
	lm_rc rc = has_client_devices(t->task->group)
			   ? apply_files(t, &result, err)
			   : service_files_remove(t->task->host.state_directory, &result, err);

	return rc ? rc : report_services(t, &result, err);
}

// add.

static json_t *list_files(void)
{
	return json_pack("[s, s, s, s]", "device.key", "device.pem", "group-ca.pem", "root-ca.pem");
}

/// `pem` is that of a request that was signed; `has_files`: there is a folder for the device.
static lm_rc report_added(const struct devices_task *t, const struct certificate *facts,
	const char *pem, bool has_files, struct lm_err *err)
{
	const char *name = t->task->device.name;
	json_t *device = json_pack("{s:s, s:s, s:o, s:b}", "name", name, "sha256", facts->sha256,
		"expires_ms", json_from_ms(facts->not_after_s), "in_group",
		(int)(find_group_device(t->task->group, name) != NULL));

	if (has_files) {
		lm_auto_free char *directory =
			lm_xasprintf("%s/devices/things/%s", t->task->host.state_directory, name);

		json_object_set_new(device, "directory", json_string(directory));
		json_object_set_new(device, "files", list_files());
	}
	if (pem)
		json_object_set_new(device, "certificate", json_string(pem));
	return protocol_send(t->protocol, json_pack("{s:o}", "device", device), err);
}

static lm_rc add_with_key(
	struct devices_task *t, struct certificate_store *store, struct lm_err *err)
{
	lm_auto_identity struct certificate_identity identity = {0};
	lm_rc rc = certificate_store_add(store, t->task->device.name, &identity, err);

	if (!rc)
		rc = certificate_store_save(store, err);
	return rc ? rc : report_added(t, &identity.facts, NULL, true, err);
}

static lm_rc add_by_request(
	struct devices_task *t, struct certificate_store *store, struct lm_err *err)
{
	lm_auto_free char *pem = NULL;
	lm_auto_certificate struct certificate facts = {0};
	const struct task_device *device = &t->task->device;
	lm_rc rc = certificate_store_sign(store, device->name, lm_str(device->csr), &pem, err);

	if (!rc)
		rc = certificate_read(lm_str(pem), &facts, err);
	return rc ? rc : report_added(t, &facts, pem, false, err);
}

/// What the broker would refuse is not taken.
static lm_rc check_issuer(const struct devices_task *t, struct certificate_store *store,
	const char *pem, struct lm_err *err)
{
	const char *path = t->task->host.devices.ca;
	lm_auto_buf struct lm_buf roots = LM_BUF(1 << 20);

	if (certificate_is_of_authority(lm_str(pem), certificate_store_authority(store)))
		return LM_OK;
	if (!path)
		return lm_fail(err, LM_E_INVALID, 0,
			"the certificate was not issued by the group's CA, and the host file names "
			"no other: set devices.ca to the certificate of its issuer");
	lm_rc rc = lm_file_read(path, &roots, err);
	if (rc)
		return lm_wrap(err, "devices.ca");
	if (certificate_is_trusted(lm_str(pem), lm_buf_str(&roots)))
		return LM_OK;
	return lm_fail(err, LM_E_INVALID, 0,
		"the certificate is that of no client that the CAs in devices.ca ('%s') vouch for: "
		"put its issuer's certificates there, up to the root",
		path);
}

static lm_rc add_by_certificate(
	struct devices_task *t, struct certificate_store *store, struct lm_err *err)
{
	lm_auto_certificate struct certificate facts = {0};
	const struct task_device *device = &t->task->device;
	lm_rc rc = certificate_read(lm_str(device->certificate), &facts, err);

	if (!rc)
		rc = check_issuer(t, store, device->certificate, err);
	if (!rc)
		rc = certificate_store_register(
			store, device->name, lm_str(device->certificate), err);
	return rc ? rc : report_added(t, &facts, NULL, false, err);
}

static lm_rc add_device(struct devices_task *t, struct lm_err *err)
{
	lm_auto(certificate_store_close_p) struct certificate_store *store = NULL;
	const struct task_device *device = &t->task->device;
	lm_rc rc = open_device_store(t, &store, err);

	if (rc)
		return rc;
	t->is_askers = true;
	if (device->csr)
		return add_by_request(t, store, err);
	return device->certificate ? add_by_certificate(t, store, err)
				   : add_with_key(t, store, err);
}

static lm_rc remove_device(struct devices_task *t, struct lm_err *err)
{
	lm_auto(certificate_store_close_p) struct certificate_store *store = NULL;
	const char *name = t->task->device.name;
	const struct group_device *in_group = find_group_device(t->task->group, name);
	lm_rc rc = open_device_store(t, &store, err);

	if (rc)
		return rc;
	t->is_askers = true;
	rc = certificate_store_remove(
		store, name, in_group != NULL, in_group ? in_group->certificate_sha256 : NULL, err);
	t->is_askers = rc != LM_OK;
	if (!rc) // not left to an `apply`, which may fail, or come only with the application
		rc = service_revocation_write(store, name, err);
	if (!rc)
		rc = certificate_store_discard(store, name, err);
	return rc ? rc
		  : protocol_send(t->protocol, json_pack("{s:{s:s}}", "device", "name", name), err);
}

// list.

static json_t *certificate_line(const char *sha256, const char *origin, int64_t expires_s)
{
	return json_pack("{s:s, s:s, s:o}", "sha256", sha256, "origin", origin, "expires_ms",
		json_from_ms(expires_s));
}

/// `device` or `in_group` may be NULL, not both.
static lm_rc report_device(const struct devices_task *t, const struct registry_device *device,
	const struct group_device *in_group, struct lm_err *err)
{
	json_t *certificates = json_array();
	// cppcheck-suppress nullPointer ; not both
	const char *name = device ? device->name : in_group->thing_name;
	const char *named = in_group ? in_group->certificate_sha256 : NULL;
	const char *all[REGISTRY_CERTIFICATES_MAX + 1];
	size_t n = device_registry_list(device, named, all);

	for (size_t i = 0; device && i < device->certificates_n; i++) {
		const struct registry_certificate *c = &device->certificates[i];

		json_array_append_new(certificates,
			certificate_line(
				c->sha256, device_registry_origin_name(c->origin), c->expires_s));
	}
	if (n > 0 && all[n - 1] == named)
		json_array_append_new(certificates, certificate_line(named, "group file", 0));
	return protocol_send(t->protocol,
		json_pack("{s:{s:s, s:b, s:b, s:o}}", "device", "name", name, "in_group",
			(int)(in_group != NULL), "removed", (int)(device && device->removed),
			"certificates", certificates),
		err);
}

static bool has_device_store(const struct devices_task *t)
{
	lm_auto_free char *path =
		lm_path_join(t->task->host.state_directory, "devices/ca/registry.json");

	return access(path, F_OK) == 0;
}

/// A store is not made for a question.
static lm_rc list_devices(struct devices_task *t, struct lm_err *err)
{
	lm_auto(certificate_store_close_p) struct certificate_store *store = NULL;
	static const struct device_registry nothing;
	const struct group *group = t->task->group;
	lm_rc rc = has_device_store(t) ? open_device_store(t, &store, err) : LM_OK;
	const struct device_registry *registry =
		store ? certificate_store_registry(store) : &nothing;

	for (size_t i = 0; !rc && group && i < group->devices_n; i++) {
		const struct group_device *d = &group->devices[i];

		rc = report_device(t, device_registry_find(registry, d->thing_name), d, err);
	}
	for (size_t i = 0; !rc && i < registry->devices_n; i++)
		if (!find_group_device(group, registry->devices[i].name))
			rc = report_device(t, &registry->devices[i], NULL, err);
	return rc ? rc
		  : protocol_send(t->protocol,
			    json_pack("{s:{s:o}}", "devices", "server_expires_ms",
				    json_from_ms(service_files_server_expires(
					    t->task->host.state_directory))),
			    err);
}

static lm_rc run_devices_action(struct devices_task *t, struct lm_err *err)
{
	switch (t->task->device.action) {
	case DEVICES_PREPARE:
		return prepare_devices(t, err);
	case DEVICES_APPLY:
		return apply_devices(t, err);
	case DEVICES_ADD:
		return add_device(t, err);
	case DEVICES_LIST:
		return list_devices(t, err);
	case DEVICES_REMOVE:
		return remove_device(t, err);
	}
	return lm_fail(err, LM_E_PROTOCOL, 0, "unknown action");
}

static bool is_of_asker(const struct devices_task *t, lm_rc rc)
{
	return t->is_askers && (rc == LM_E_INVALID || rc == LM_E_NOT_FOUND || rc == LM_E_CONFLICT ||
				       rc == LM_E_TOO_LARGE);
}

void devices_task_run(const struct task *task, struct protocol *p, struct deploy_outcome *ret)
{
	struct devices_task t = {.task = task,
		.protocol = p,
		.limit = protocol_limit(p, task->host.worker_silence_s),
		.now_s = lm_clock_wall_ms() / MS};

	*ret = (struct deploy_outcome){.failed = DEPLOY_STAGES, .started_ms = lm_clock_mono_ms()};
	ret->rc = run_devices_action(&t, &ret->err);
	ret->error_class =
		is_of_asker(&t, ret->rc) ? DEPLOY_INVALID_PARAMETER : DEPLOY_INTERNAL_ERROR;
	ret->ended_ms = lm_clock_mono_ms();
}
