// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What lighterman-discovery answers, and to whom: discovery.json, which the worker writes and
/// lighterman-discovery reads, and the answer itself, as AWS IoT Greengrass spells it
/// (spec/wire-formats.md section 1). Pure: no file and no network.

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum {
	DISCOVERY_ADDRESSES_MAX = 64,
	DISCOVERY_CERTIFICATES_MAX = 8, ///< Of one device.
	DISCOVERY_LISTEN_MAX = 8,
};

struct discovery_device {
	char *name;          ///< The thing's.
	char **certificates; ///< SHA-256 of the DER, lower-case hexadecimal.
	size_t certificates_n;
};

struct discovery_port {
	unsigned port;
	bool optional; ///< lighterman-discovery runs without it while another program has it.
};

struct discovery_document {
	char *group;      ///< The group's ID.
	char *core;       ///< The ARN of the core's thing.
	unsigned port;    ///< The broker's.
	char **addresses; ///< Where clients find the broker: IP addresses or names. At least one.
	size_t addresses_n;
	char *ca; ///< PEM, one certificate or more: whom clients trust for the broker.
	struct discovery_device *devices;
	size_t devices_n;
	struct discovery_port *listen; ///< At least one.
	size_t listen_n;
};

/// Reads discovery.json, at most LIMIT_DISCOVERY_FILE bytes. Keys that are not known are ignored.
/// LM_E_INVALID: what is wrong, and where in the file. LM_E_TOO_LARGE.
lm_rc discovery_document_parse(
	struct lm_str text, struct discovery_document *ret, struct lm_err *err);
/// Appends the document as discovery_document_parse reads it. False over the buffer's ceiling.
bool discovery_document_write(const struct discovery_document *doc, struct lm_buf *out);
/// Frees all that it points to. Takes one that is all zero.
void discovery_document_finish(struct discovery_document *doc);

/// The device of that name, or NULL.
const struct discovery_device *discovery_document_find(
	const struct discovery_document *doc, struct lm_str name);
/// Whether the certificate is one of the device's; `device` NULL: of any device.
bool discovery_document_has_certificate(const struct discovery_document *doc,
	const struct discovery_device *device, struct lm_str fingerprint);

/// Appends the answer to a device of the group: a JSON document, the same for each of them.
/// False over the buffer's ceiling.
bool discovery_document_answer(const struct discovery_document *doc, struct lm_buf *out);
