// SPDX-License-Identifier: Apache-2.0
#include "mqtt/settings.h"

#include "base/clock.h"
#include "base/memory.h"

#include <mosquitto.h>
#include <stdint.h>
#include <string.h>
#include <sys/un.h>

enum {
	/// The longest text of MQTT.
	TEXT_MAX = 65535,
	/// Every broker takes identifiers of 23 letters and digits.
	ID_SIZE = 24,
};

static lm_rc settings_check_text(const char *text, const char *key, struct lm_err *err)
{
	size_t n = text ? strlen(text) : 0;

	if (!text)
		return LM_OK;
	if (n == 0 || n > TEXT_MAX || mosquitto_validate_utf8(text, (int)n) != MOSQ_ERR_SUCCESS)
		return lm_fail(err, LM_E_INVALID, 0,
			"mqtt: %s must be 1 to %d bytes of UTF-8 without control characters", key,
			TEXT_MAX);
	return LM_OK;
}

static lm_rc settings_check_address(const struct mqtt_settings *s, struct lm_err *err)
{
	const struct sockaddr_un *unix_address = NULL;

	if (!s->host == !s->socket)
		return lm_fail(err, LM_E_INVALID, 0, "mqtt: needs either host or socket");
	if (s->host && (s->host[0] == '\0' || s->port == 0 || s->port > UINT16_MAX))
		return lm_fail(err, LM_E_INVALID, 0,
			"mqtt: host must not be empty, and port is a number from 1 to 65535");
	if (s->socket && strlen(s->socket) >= sizeof(unix_address->sun_path))
		return lm_fail(err, LM_E_INVALID, 0,
			"mqtt: socket: '%s' is longer than %zu bytes, the maximum for the path of "
			"a socket",
			s->socket, sizeof(unix_address->sun_path) - 1);
	if (s->socket && mqtt_settings_want_tls(s))
		return lm_fail(err, LM_E_INVALID, 0,
			"mqtt: ca and certificate are for TLS and cannot be used with socket");
	return LM_OK;
}

lm_rc mqtt_settings_check(const struct mqtt_settings *s, struct lm_err *err)
{
	lm_rc rc = settings_check_address(s, err);

	if (rc != LM_OK)
		return rc;
	if (!s->certificate != !s->private_key)
		return lm_fail(
			err, LM_E_INVALID, 0, "mqtt: certificate and privateKey belong together");
	if (s->password_file && !s->username)
		return lm_fail(err, LM_E_INVALID, 0, "mqtt: passwordFile needs username");
	rc = settings_check_text(s->username, "username", err);
	return rc != LM_OK ? rc : settings_check_text(s->client_id, "clientId", err);
}

static const char *settings_copy(const char *s)
{
	return s ? lm_xstrdup(s) : NULL;
}

static char *make_up_id(void)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	char id[ID_SIZE] = "lighterman";

	for (size_t n = strlen(id); n < ID_SIZE - 1; n++)
		id[n] = letters[lm_random_below(sizeof(letters) - 1)];
	return lm_xstrdup(id);
}

struct mqtt_settings mqtt_settings_copy(const struct mqtt_settings *s)
{
	return (struct mqtt_settings){
		.host = settings_copy(s->host),
		.port = s->port,
		.socket = settings_copy(s->socket),
		.ca = settings_copy(s->ca),
		.certificate = settings_copy(s->certificate),
		.private_key = settings_copy(s->private_key),
		.username = settings_copy(s->username),
		.password_file = settings_copy(s->password_file),
		.client_id = s->client_id ? lm_xstrdup(s->client_id) : make_up_id(),
		.keep_alive_s = s->keep_alive_s,
	};
}

void mqtt_settings_finish(struct mqtt_settings *s)
{
	const char *const owned[] = {s->host, s->socket, s->ca, s->certificate, s->private_key,
		s->username, s->password_file, s->client_id};

	for (size_t i = 0; i < LM_ARRAY_SIZE(owned); i++)
		free((char *)owned[i]);
	*s = (struct mqtt_settings){0};
}

bool mqtt_settings_want_tls(const struct mqtt_settings *s)
{
	return s->ca || s->certificate;
}

char *mqtt_settings_name(const struct mqtt_settings *s)
{
	if (s->socket)
		return lm_xstrdup(s->socket);
	return strchr(s->host, ':') ? lm_xasprintf("[%s]:%u", s->host, s->port)
				    : lm_xasprintf("%s:%u", s->host, s->port);
}
