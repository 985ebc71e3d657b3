// SPDX-License-Identifier: Apache-2.0
#pragma once

/// How a broker is reached.

#include "base/cleanup.h"
#include "base/error.h"

#include <stdbool.h>

/// Absent members are NULL or 0. Holds paths of keys and passwords, never their contents.
struct mqtt_settings {
	const char *host; ///< NULL: `socket`.
	unsigned port;
	const char *socket; ///< Path of a unix socket.
	/// PEM files. `ca` or `certificate` asks for TLS; without `ca` the system's CAs count.
	const char *ca, *certificate, *private_key;
	const char *username, *password_file; ///< The file is read at each connection.
	const char *client_id;                ///< NULL: one is made up.
	unsigned keep_alive_s;                ///< 0: the publisher's default.
};

#define lm_auto_mqtt_settings lm_auto(mqtt_settings_finish)

/// LM_E_INVALID: these settings cannot work; the message names the key of the host file.
lm_rc mqtt_settings_check(const struct mqtt_settings *s, struct lm_err *err);
/// A copy that owns its strings, for mqtt_settings_finish. An absent client_id is made up.
struct mqtt_settings mqtt_settings_copy(const struct mqtt_settings *s);
/// Only for what mqtt_settings_copy made.
void mqtt_settings_finish(struct mqtt_settings *s);
bool mqtt_settings_want_tls(const struct mqtt_settings *s);
/// "127.0.0.1:1883", "[::1]:1883" or the socket's path; the caller frees it.
char *mqtt_settings_name(const struct mqtt_settings *s);
