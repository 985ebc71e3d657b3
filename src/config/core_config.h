// SPDX-License-Identifier: Apache-2.0
#pragma once

/// config.json of a Greengrass V1 core, as far as Lighterman can use it. The file belongs to
/// another program: unknown keys and types are left alone. Holds paths of keys, never a key, a PIN
/// or a password. Pure.

#include "base/cleanup.h"
#include "sys/json.h"

#include <stdbool.h>

/// What a URI of config.json names.
struct core_file {
	char *path;     ///< Absolute; NULL: none is named, or it is in no file.
	bool is_pkcs11; ///< It is an object in a hardware security module.
	bool is_other;  ///< It is something else that was not understood.
};

/// Absent texts are NULL, absent ports 0.
struct core_config {
	char *region, *thing_name, *account, *partition; ///< Of `coreThing.thingArn`.
	char *iot_endpoint;
	struct core_file certificate, private_key, ca;
	struct core_file server_key; ///< Of the local MQTT server.
	unsigned broker_port;        ///< Of the local MQTT server.
	unsigned cloud_port;         ///< Of AWS IoT, for MQTT.
	char *write_directory;
	bool allows_root;
	bool has_proxy;
};

/// `root` is the folder that has config/config.json: paths of the form before 1.7 are relative to
/// `<root>/certs`. Free with core_config_finish.
void core_config_read(const json_t *document, const char *root, struct core_config *ret);
void core_config_finish(struct core_config *config);
#define lm_auto_core_config lm_auto(core_config_finish)
