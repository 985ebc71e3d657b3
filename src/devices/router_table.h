// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the plugin of the local broker routes by: router.json (docs/formats.md), written by the
/// root worker and read by the plugin. Pure: no file.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "config/definition.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stddef.h>

/// Texts are the table's own, freed with free(). A certificate is the SHA-256 of its DER in 64
/// lower-case hexadecimal digits.
struct router_device {
	char *name; ///< Its thing name, which is its client ID.
	char *arn;  ///< Of the thing.
	char **certificates;
	size_t certificates_n;
	bool sync; ///< Its shadow is synchronized with the cloud.
};

struct router_function {
	char *arn; ///< Its client ID, too.
	char **certificates;
	size_t certificates_n;
};

struct router_connector {
	char *arn;             ///< With its version; its client ID and user name. NULL: none.
	char *password_sha256; ///< As a certificate's; of the password's bytes.
};

struct router_subscription {
	char *source, *subject, *target;
};

struct router_table {
	char *core; ///< The core's thing ARN; NULL: none.
	struct router_connector connector;
	struct router_device *devices;
	size_t devices_n;
	struct router_function *functions;
	size_t functions_n;
	struct router_subscription *subscriptions;
	size_t subscriptions_n;
	bool cloud; ///< There is a bridge to it.
};

#define lm_auto_router_table lm_auto(router_table_finish)

/// Reads the text of a router.json. LM_E_INVALID names the member that is wrong; `*ret` is freed
/// with router_table_finish.
lm_rc router_table_read(struct lm_str text, struct router_table *ret, struct lm_err *err);
/// What router_table_read reads back as an equal table. A new reference.
json_t *router_table_to_json(const struct router_table *table);
void router_table_finish(struct router_table *table);
/// Whether a device may have that name: 1 to 128 of A-Z a-z 0-9 : _ -, and not the beginning of an
/// ARN, as functions have those for client IDs.
bool router_table_is_device_name(struct lm_str name);
