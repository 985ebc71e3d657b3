// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Which certificates a client device may connect with, as `registry.json` keeps it: those that the
/// group's CA issued or signed for it, those of other CAs that were registered, and those that were
/// revoked. Pure: no file.
///
/// A device that was removed has no certificate until it is added again. What was revoked then
/// stays so, the certificate that the group file names included, until it is registered anew.

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "devices/certificates.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	REGISTRY_CERTIFICATES_MAX = 7, ///< Of a device; the group file may name one more.
	REGISTRY_REVOKED_MAX = 512,    ///< Of a device.
	/// With more a device that is removed stays so: its next removal may revoke all its
	/// certificates, one that was made and not registered, and the one in the group file.
	REGISTRY_REVOKED_FULL = 500,
	REGISTRY_GROUP_SIZE = 37, ///< A UUID as text.
};

enum registry_origin {
	REGISTRY_ISSUED,     ///< By the group's CA, with its key.
	REGISTRY_SIGNED,     ///< By the group's CA, for a request of the device.
	REGISTRY_REGISTERED, ///< By another CA.
};

struct registry_certificate {
	char sha256[CERTIFICATE_SHA256_SIZE];
	enum registry_origin origin;
	int64_t expires_s; ///< Seconds since 1970.
};

struct registry_device {
	char *name; ///< A thing's, or the ARN of a Lambda function.
	bool removed;
	struct registry_certificate certificates[REGISTRY_CERTIFICATES_MAX]; ///< The oldest first.
	size_t certificates_n;
	char (*revoked)[CERTIFICATE_SHA256_SIZE]; ///< The oldest first.
	size_t revoked_n;
};

struct device_registry {
	char group[REGISTRY_GROUP_SIZE]; ///< The group's ID, which discovery tells.
	struct registry_device *devices; ///< Sorted by name.
	size_t devices_n;
};

#define lm_auto_registry lm_auto(device_registry_finish)

/// "issued", "signed", "registered".
const char *device_registry_origin_name(enum registry_origin origin);

/// LM_E_INVALID: the text is not what device_registry_write wrote; the message says where.
lm_rc device_registry_read(struct lm_str text, struct device_registry *ret, struct lm_err *err);
/// False over the buffer's ceiling.
bool device_registry_write(const struct device_registry *registry, struct lm_buf *out);
void device_registry_finish(struct device_registry *registry);

/// NULL: there is none of that name. Borrowed until the next device_registry_take.
struct registry_device *device_registry_find(
	const struct device_registry *registry, const char *name);
/// The same; one that is missing is made. LM_E_INVALID: that can be no name. LM_E_TOO_LARGE: there
/// are LIMIT_REGISTRY_DEVICES.
lm_rc device_registry_take(struct device_registry *registry, const char *name,
	struct registry_device **ret, struct lm_err *err);

/// Accepts a certificate for the device, which is not removed any more. One that has expired makes
/// room for it, or the oldest that the CA issued. LM_E_CONFLICT: another device has it; or there
/// is no room.
lm_rc device_registry_accept(struct device_registry *registry, struct registry_device *device,
	const struct registry_certificate *certificate, int64_t now_s, struct lm_err *err);
/// Makes a device that was removed one that may have certificates. LM_E_CONFLICT: so many were
/// revoked that, of those of its next removal, some would be forgotten.
lm_rc device_registry_take_back(struct registry_device *device, struct lm_err *err);
/// Removes the device with all its certificates, which are revoked.
void device_registry_remove(struct registry_device *device);
/// Revokes one certificate, which the device need not have. Of more than REGISTRY_REVOKED_MAX the
/// oldest is forgotten, which happens only to a device that cannot be taken back.
void device_registry_revoke(struct registry_device *device, const char *sha256);
bool device_registry_has(const struct registry_device *device, const char *sha256);
bool device_registry_is_revoked(const struct registry_device *device, const char *sha256);

/// What the device may connect with: at most REGISTRY_CERTIFICATES_MAX + 1, with `named`, which the
/// group file names (NULL: none). `device` may be NULL. Borrowed.
size_t device_registry_list(const struct registry_device *device, const char *named,
	const char *ret[REGISTRY_CERTIFICATES_MAX + 1]);
