// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The text of mosquitto.conf for the broker of the client devices, and its bridge to the cloud.
///
/// A text that mosquitto would read as something else is refused, never changed: its configuration
/// knows no quoting, splits at spaces, and ends a value at the end of the line. The same settings
/// give the same text, whatever the order of their lists, so that comparing it with the file on
/// disk tells whether the broker needs a restart.

#include "base/buf.h"
#include "base/error.h"

#include <stddef.h>

/// The client ID of the n-th bridge in our broker: this and a number. No client may take one.
#define BROKER_BRIDGE_ID "local.lighterman-cloud-"
/// What is published under it goes to the cloud, without it.
#define BROKER_CLOUD_PREFIX "$lighterman/cloud/"

enum {
	BROKER_KEEPALIVE_MIN_S = 30, ///< AWS IoT's own; a smaller one is treated as this.
	BROKER_KEEPALIVE_MAX_S = 1200,
	/// Half of what NAT gateways keep an idle connection for, so that none is cut, and a dead
	/// one is found in two minutes (V1's 600 s took fifteen).
	BROKER_KEEPALIVE_S = 75,
	BROKER_RETRY_MIN_S = 5,
	BROKER_RETRY_MAX_S = 60,   ///< V1's mqttMaxConnectionRetryInterval.
	BROKER_CLOUD_FILTERS = 50, ///< AWS IoT's: subscriptions of one connection.
};

struct broker_bridge {
	const char *endpoint;    ///< Host name; sent as SNI and checked in the certificate.
	unsigned port;           ///< On 443, ALPN `x-amzn-mqtt-ca` is sent.
	const char *core;        ///< The core's thing name: client IDs `<core>-c00`, `-c01`, ….
	const char *certificate; ///< Absolute paths of PEM files.
	const char *key;
	const char *ca;
	unsigned keepalive_s; ///< 0: BROKER_KEEPALIVE_S. Others are brought within AWS's limits.
	unsigned retry_max_s; ///< Between attempts to connect; 0: BROKER_RETRY_MAX_S.
	/// Of the subscriptions whose source is the cloud. Duplicates do no harm.
	const char *const *subjects;
	size_t subjects_n;
	/// Names of the things whose shadows are synchronized with the cloud.
	const char *const *sync_things;
	size_t sync_things_n;
};

/// All are borrowed; paths are absolute.
struct broker_settings {
	unsigned port;
	const char *user;
	const char *plugin; ///< lighterman_router.so.
	const char *table;  ///< router.json.
	const char *status; ///< status.json, which the plugin writes.
	const char *data;   ///< Folder of mosquitto.db and shadows.db.
	const char *socket; ///< Without spaces: mosquitto has no way to say it.
	const char *certificate;
	const char *key;
	const char *client_ca;
	const struct broker_bridge *cloud; ///< NULL: no bridge.
};

/// Appends the text to `out`. LM_E_INVALID: a setting that cannot be said in mosquitto.conf, or
/// that AWS IoT would answer with an end of the connection. LM_E_TOO_LARGE: over `out`'s ceiling;
/// LIMIT_BROKER_CONFIG holds what fits into a group.
lm_rc broker_config_write(
	const struct broker_settings *settings, struct lm_buf *out, struct lm_err *err);
