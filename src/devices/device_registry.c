// SPDX-License-Identifier: Apache-2.0
#include "devices/device_registry.h"

#include "base/encoding.h"
#include "base/limits.h"
#include "base/memory.h"
#include "config/arn.h"
#include "sys/json.h"

#include <stdlib.h>
#include <string.h>

enum { REGISTRY_FORMAT = 1 };

static const char *const origins[] = {[REGISTRY_ISSUED] = "issued",
	[REGISTRY_SIGNED] = "signed",
	[REGISTRY_REGISTERED] = "registered"};

const char *device_registry_origin_name(enum registry_origin origin)
{
	return origins[origin];
}

static bool is_sha256(const char *text)
{
	return text && lm_hex_is_sha256(lm_str(text));
}

static bool is_group_id(const char *text)
{
	return text && strlen(text) == REGISTRY_GROUP_SIZE - 1 &&
	       strspn(text, "0123456789abcdef-") == REGISTRY_GROUP_SIZE - 1;
}

static void copy_sha256(char to[CERTIFICATE_SHA256_SIZE], const char *from)
{
	memcpy(to, from, CERTIFICATE_SHA256_SIZE);
}

// Devices.

/// Where the name is, or belongs.
static size_t find_device_place(
	const struct device_registry *registry, const char *name, bool *ret_is_there)
{
	size_t low = 0, high = registry->devices_n;

	*ret_is_there = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(name, registry->devices[middle].name);

		if (order == 0) {
			*ret_is_there = true;
			return middle;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

struct registry_device *device_registry_find(
	const struct device_registry *registry, const char *name)
{
	bool is_there = false;
	size_t at = find_device_place(registry, name, &is_there);

	return is_there ? &registry->devices[at] : NULL;
}

lm_rc device_registry_take(struct device_registry *registry, const char *name,
	struct registry_device **ret, struct lm_err *err)
{
	bool is_there = false;
	size_t at = find_device_place(registry, name, &is_there), n = registry->devices_n;

	if (is_there) {
		*ret = &registry->devices[at];
		return LM_OK;
	}
	if (!arn_is_thing_name(lm_str(name))) {
		char shown[4 * ARN_THING_NAME_MAX + 32];

		return lm_fail(err, LM_E_INVALID, 0,
			"'%s' cannot be the name of a device: 1 to %d letters, digits, ':', '_' or "
			"'-'",
			lm_str_shorten(lm_str(name), ARN_THING_NAME_MAX, shown, sizeof(shown)),
			ARN_THING_NAME_MAX);
	}
	if (n >= LIMIT_REGISTRY_DEVICES)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"there are certificates of %d devices, the most that are kept",
			LIMIT_REGISTRY_DEVICES);
	registry->devices = lm_xrealloc(registry->devices, (n + 1) * sizeof(*registry->devices));
	memmove(&registry->devices[at + 1], &registry->devices[at],
		(n - at) * sizeof(*registry->devices));
	registry->devices[at] = (struct registry_device){.name = lm_xstrdup(name)};
	registry->devices_n++;
	*ret = &registry->devices[at];
	return LM_OK;
}

void device_registry_finish(struct device_registry *registry)
{
	for (size_t i = 0; i < registry->devices_n; i++) {
		free(registry->devices[i].name);
		free(registry->devices[i].revoked);
	}
	free(registry->devices);
	*registry = (struct device_registry){0};
}

// Certificates.

static size_t find_certificate(const struct registry_device *device, const char *sha256)
{
	size_t i = 0;

	while (i < device->certificates_n && strcmp(device->certificates[i].sha256, sha256) != 0)
		i++;
	return i;
}

bool device_registry_has(const struct registry_device *device, const char *sha256)
{
	return find_certificate(device, sha256) < device->certificates_n;
}

static size_t find_revoked(const struct registry_device *device, const char *sha256)
{
	size_t i = 0;

	while (i < device->revoked_n && strcmp(device->revoked[i], sha256) != 0)
		i++;
	return i;
}

bool device_registry_is_revoked(const struct registry_device *device, const char *sha256)
{
	return find_revoked(device, sha256) < device->revoked_n;
}

static void drop_certificate(struct registry_device *device, size_t at)
{
	if (at >= device->certificates_n)
		return;
	device->certificates_n--;
	memmove(&device->certificates[at], &device->certificates[at + 1],
		(device->certificates_n - at) * sizeof(*device->certificates));
}

static void drop_revoked(struct registry_device *device, size_t at)
{
	if (at >= device->revoked_n)
		return;
	device->revoked_n--;
	memmove(&device->revoked[at], &device->revoked[at + 1],
		(device->revoked_n - at) * sizeof(*device->revoked));
}

void device_registry_revoke(struct registry_device *device, const char *sha256)
{
	drop_certificate(device, find_certificate(device, sha256));
	drop_revoked(device, find_revoked(device, sha256)); // it becomes the last one
	if (device->revoked_n == REGISTRY_REVOKED_MAX)
		drop_revoked(device, 0);
	device->revoked =
		lm_xrealloc(device->revoked, (device->revoked_n + 1) * sizeof(*device->revoked));
	copy_sha256(device->revoked[device->revoked_n++], sha256);
}

lm_rc device_registry_take_back(struct registry_device *device, struct lm_err *err)
{
	if (device->removed && device->revoked_n > REGISTRY_REVOKED_FULL)
		return lm_fail(err, LM_E_CONFLICT, 0,
			"the device '%s' was removed, and %zu of its certificates have been "
			"revoked, which is more than can be kept if it is taken back: give the "
			"device another name",
			device->name, device->revoked_n);
	device->removed = false;
	return LM_OK;
}

void device_registry_remove(struct registry_device *device)
{
	while (device->certificates_n > 0) {
		char sha256[CERTIFICATE_SHA256_SIZE];

		copy_sha256(sha256, device->certificates[0].sha256);
		device_registry_revoke(device, sha256);
	}
	device->removed = true;
}

static void make_room(struct registry_device *device, int64_t now_s)
{
	for (size_t i = 0; i < device->certificates_n;) {
		int64_t expires_s = device->certificates[i].expires_s;

		if (now_s >= CERTIFICATE_CLOCK_FLOOR && expires_s < now_s)
			drop_certificate(device, i);
		else
			i++;
	}
	for (size_t i = 0; device->certificates_n == REGISTRY_CERTIFICATES_MAX &&
			   i < REGISTRY_CERTIFICATES_MAX;
		i++)
		if (device->certificates[i].origin == REGISTRY_ISSUED)
			drop_certificate(device, i);
}

static const struct registry_device *find_owner(
	const struct device_registry *registry, const char *sha256)
{
	for (size_t i = 0; i < registry->devices_n; i++)
		if (device_registry_has(&registry->devices[i], sha256))
			return &registry->devices[i];
	return NULL;
}

lm_rc device_registry_accept(struct device_registry *registry, struct registry_device *device,
	const struct registry_certificate *certificate, int64_t now_s, struct lm_err *err)
{
	// The CA's own are new, and of one device.
	const struct registry_device *owner = certificate->origin == REGISTRY_REGISTERED
						      ? find_owner(registry, certificate->sha256)
						      : NULL;

	if (owner && owner != device)
		return lm_fail(err, LM_E_CONFLICT, 0,
			"the certificate is that of the device '%s' already, and one certificate "
			"is of one device: remove that one first",
			owner->name);
	drop_certificate(device, find_certificate(device, certificate->sha256));
	make_room(device, now_s);
	if (device->certificates_n == REGISTRY_CERTIFICATES_MAX)
		return lm_fail(err, LM_E_CONFLICT, 0,
			"the device '%s' has %d certificates already, the most that it can have: "
			"remove it and add it again, which revokes them",
			device->name, REGISTRY_CERTIFICATES_MAX);
	drop_revoked(device, find_revoked(device, certificate->sha256));
	device->certificates[device->certificates_n++] = *certificate;
	device->removed = false;
	return LM_OK;
}

size_t device_registry_list(const struct registry_device *device, const char *named,
	const char *ret[REGISTRY_CERTIFICATES_MAX + 1])
{
	size_t n = 0;

	if (device && device->removed)
		return 0;
	for (size_t i = 0; device && i < device->certificates_n; i++)
		ret[n++] = device->certificates[i].sha256;
	if (named && !(device && (device_registry_has(device, named) ||
					 device_registry_is_revoked(device, named))))
		ret[n++] = named;
	return n;
}

// JSON.

static bool find_origin(const char *name, enum registry_origin *ret)
{
	for (unsigned i = 0; name && i < LM_ARRAY_SIZE(origins); i++)
		if (strcmp(name, origins[i]) == 0) {
			*ret = (enum registry_origin)i;
			return true;
		}
	return false;
}

static lm_rc read_registered(const json_t *list, struct registry_device *device, struct lm_err *err)
{
	size_t i;
	json_t *item;

	if (!json_is_array(list) || json_array_size(list) > REGISTRY_CERTIFICATES_MAX)
		return lm_fail(err, LM_E_INVALID, 0,
			"devices.%s.certificates must be an array of at most %d", device->name,
			REGISTRY_CERTIFICATES_MAX);
	json_array_foreach(list, i, item)
	{
		struct registry_certificate *c = &device->certificates[i];
		const char *sha256 = json_get_text(item, "sha256");

		if (!is_sha256(sha256) || !find_origin(json_get_text(item, "origin"), &c->origin) ||
			!json_is_integer(json_object_get(item, "expires_s")))
			return lm_fail(err, LM_E_INVALID, 0,
				"devices.%s.certificates[%zu] must have sha256, origin and "
				"expires_s",
				device->name, i);
		copy_sha256(c->sha256, sha256);
		c->expires_s = json_get_int(item, "expires_s", 0);
		device->certificates_n++;
	}
	return LM_OK;
}

static lm_rc read_revoked(const json_t *list, struct registry_device *device, struct lm_err *err)
{
	size_t i;
	json_t *item;

	if (!json_is_array(list) || json_array_size(list) > REGISTRY_REVOKED_MAX)
		return lm_fail(err, LM_E_INVALID, 0,
			"devices.%s.revoked must be an array of at most %d", device->name,
			REGISTRY_REVOKED_MAX);
	json_array_foreach(list, i, item)
	{
		if (!is_sha256(json_string_value(item)))
			return lm_fail(err, LM_E_INVALID, 0,
				"devices.%s.revoked[%zu] must be a SHA-256", device->name, i);
		device_registry_revoke(device, json_string_value(item));
	}
	return LM_OK;
}

static lm_rc read_device(
	const char *name, const json_t *document, struct device_registry *ret, struct lm_err *err)
{
	struct registry_device *device = NULL;
	lm_rc rc = device_registry_take(ret, name, &device, err);

	if (rc)
		return lm_fail(err, LM_E_INVALID, 0, "devices: %s", err ? err->msg : "");
	if (!json_is_boolean(json_object_get(document, "removed")))
		return lm_fail(err, LM_E_INVALID, 0, "devices.%s.removed must be true or false",
			device->name);
	device->removed = json_get_bool(document, "removed", false);
	rc = read_registered(json_object_get(document, "certificates"), device, err);
	if (!rc && device->removed && device->certificates_n > 0)
		rc = lm_fail(err, LM_E_INVALID, 0, "devices.%s is removed and has certificates",
			device->name);
	return rc ? rc : read_revoked(json_object_get(document, "revoked"), device, err);
}

lm_rc device_registry_read(struct lm_str text, struct device_registry *ret, struct lm_err *err)
{
	lm_auto_json json_t *document = NULL;
	lm_auto_registry struct device_registry registry = {0};
	lm_rc rc = json_parse(text, &document, err);

	if (rc)
		return rc;
	const char *group = json_get_text(document, "group");
	json_t *devices = json_object_get(document, "devices"), *device;
	const char *name;
	if (json_get_int(document, "format", 0) != REGISTRY_FORMAT)
		return lm_fail(err, LM_E_INVALID, 0,
			"its format is not %d: it is of another version of Lighterman",
			REGISTRY_FORMAT);
	if (!is_group_id(group))
		return lm_fail(err, LM_E_INVALID, 0, "group must be a UUID in lower case");
	if (!json_is_object(devices))
		return lm_fail(err, LM_E_INVALID, 0, "devices must be an object");
	memcpy(registry.group, group, REGISTRY_GROUP_SIZE);
	json_object_foreach(devices, name, device)
	{
		rc = read_device(name, device, &registry, err);
		if (rc)
			return rc;
	}
	*ret = registry;
	registry = (struct device_registry){0};
	return LM_OK;
}

static json_t *device_to_json(const struct registry_device *device)
{
	json_t *certificates = json_array(), *revoked = json_array();

	for (size_t i = 0; i < device->certificates_n; i++) {
		const struct registry_certificate *c = &device->certificates[i];

		json_array_append_new(certificates,
			json_pack("{s:s, s:s, s:I}", "sha256", c->sha256, "origin",
				origins[c->origin], "expires_s", (json_int_t)c->expires_s));
	}
	for (size_t i = 0; i < device->revoked_n; i++)
		json_array_append_new(revoked, json_string(device->revoked[i]));
	return json_pack("{s:b, s:o, s:o}", "removed", (int)device->removed, "certificates",
		certificates, "revoked", revoked);
}

bool device_registry_write(const struct device_registry *registry, struct lm_buf *out)
{
	json_t *devices = json_object();

	for (size_t i = 0; i < registry->devices_n; i++)
		json_object_set_new(
			devices, registry->devices[i].name, device_to_json(&registry->devices[i]));
	lm_auto_json json_t *document = json_pack("{s:i, s:s, s:o}", "format", REGISTRY_FORMAT,
		"group", registry->group, "devices", devices);
	return json_write(document, out);
}
