// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Keys and certificates of a group's devices as one JSON document: `device-files.json`, which the
/// worker that is root writes and the worker of the deployment gets by descriptor. Pure.

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/secret.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct device_bundle_item {
	char *name;
	struct lm_secret key;
	char *certificate;
};

struct device_bundle {
	char *ca; ///< Of the group; PEM.
	struct device_bundle_item *items;
	size_t n;
};

#define lm_auto_bundle lm_auto(device_bundle_finish)

/// Adds a device; copies all. At most LIMIT_DEVICES, in any order.
void device_bundle_add(
	struct device_bundle *bundle, const char *name, struct lm_str key, const char *certificate);
/// Appends the document, which is a secret. False over the buffer's ceiling.
bool device_bundle_write(const struct device_bundle *bundle, struct lm_buf *out);
/// LM_E_INVALID: the text is not what device_bundle_write wrote. The message repeats nothing of it.
lm_rc device_bundle_read(struct lm_str text, struct device_bundle *ret, struct lm_err *err);
void device_bundle_finish(struct device_bundle *bundle);
