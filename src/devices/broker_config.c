// SPDX-License-Identifier: Apache-2.0
#include "devices/broker_config.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/memory.h"
#include "config/arn.h"
#include "config/schema.h"
#include "config/topic.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

enum {
	/// mosquitto counts payloads only, and of QoS 0 messages that a client does not read none:
	/// the second limit, for messages of 1 KB the same, bounds those and what small ones cost.
	QUEUED_BYTES_MAX = LIMIT_OUTBOX_BYTES,
	QUEUED_MESSAGES_MAX = 2500,
	/// A payload, a topic, and MQTT 5's properties: mosquitto ends a connection before it takes
	/// memory for more. Longer payloads below that are the plugin's to refuse: mosquitto drops
	/// what is over its message_size_limit without a line.
	PACKET_MAX = LIMIT_MQTT_PAYLOAD + (16 << 10),
	/// Things of a group, functions, and as many again that are being refused.
	CONNECTIONS_MAX = 5000,
	/// A backstop: cloud.c has the database saved as messages for the cloud arrive. This is for
	/// those that the cloud has taken, which would be sent again after a crash.
	SAVE_AFTER_CHANGES = 1000,
	CLIENT_ID_MAX = 128, ///< AWS IoT's.
	SLASHES_MAX = 7,     ///< AWS IoT's, of a topic.
	HOST_MAX = 253,
};

// How a value is said: the rest of a line, or a word in it.

static bool conf_has_control(struct lm_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
			return true;
	}
	return false;
}

static lm_rc conf_check_line(const char *what, const char *value, struct lm_err *err)
{
	struct lm_str text = lm_str(value);

	if (text.n == 0)
		return lm_fail(err, LM_E_INVALID, 0, "%s is not set", what);
	if (text.n > UINT16_MAX || conf_has_control(text) || !lm_str_is_utf8(text) ||
		text.p[0] == ' ' || text.p[text.n - 1] == ' ')
		return lm_fail(err, LM_E_INVALID, 0,
			"%s '%.200s' cannot be written in mosquitto.conf: it is not UTF-8, has a "
			"control character, or begins or ends with a space",
			what, value);
	return LM_OK;
}

static lm_rc conf_check_path(const char *what, const char *path, struct lm_err *err)
{
	lm_rc rc = conf_check_line(what, path, err);

	if (rc)
		return rc;
	if (path[0] != '/')
		return lm_fail(
			err, LM_E_INVALID, 0, "%s '%.200s' is not an absolute path", what, path);
	return LM_OK;
}

static lm_rc conf_check_port(const char *what, unsigned port, struct lm_err *err)
{
	if (port < 1 || port > UINT16_MAX)
		return lm_fail(
			err, LM_E_INVALID, 0, "%s %u is not between 1 and 65535", what, port);
	return LM_OK;
}

/// Its own path must fit into a sockaddr, and mosquitto ends it at a space.
static lm_rc conf_check_socket(const char *path, struct lm_err *err)
{
	lm_rc rc = conf_check_path("the path of the broker's socket", path, err);

	if (rc)
		return rc;
	if (strchr(path, ' '))
		return lm_fail(err, LM_E_INVALID, 0,
			"the path of the broker's socket '%.200s' has a space, which cannot be "
			"written in mosquitto.conf",
			path);
	if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return lm_fail(err, LM_E_INVALID, 0,
			"the path of the broker's socket '%.200s' is longer than 107 bytes", path);
	return LM_OK;
}

static lm_rc conf_check_broker(const struct broker_settings *s, struct lm_err *err)
{
	const struct {
		const char *what, *path;
	} paths[] = {
		{"the path of the broker's plugin", s->plugin},
		{"the path of the routing table", s->table},
		{"the path of the broker's status", s->status},
		{"the broker's data folder", s->data},
		{"the path of the broker's certificate", s->certificate},
		{"the path of the broker's key", s->key},
		{"the path of the client devices' CA", s->client_ca},
	};
	lm_rc rc = conf_check_port("the broker's port", s->port, err);

	if (rc)
		return rc;
	rc = conf_check_line("the broker's user", s->user, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < LM_ARRAY_SIZE(paths); i++) {
		rc = conf_check_path(paths[i].what, paths[i].path, err);
		if (rc)
			return rc;
	}
	return conf_check_socket(s->socket, err);
}

static bool conf_is_name(const char *text, size_t max, const char *more)
{
	size_t n = strlen(text);

	return n > 0 && n <= max && schema_is_alnum((struct lm_str){text, n}, more);
}

static lm_rc conf_check_bridge(const struct broker_bridge *b, struct lm_err *err)
{
	lm_rc rc = conf_check_port("the port of AWS IoT's endpoint", b->port, err);

	if (rc)
		return rc;
	if (!b->endpoint || !conf_is_name(b->endpoint, HOST_MAX, "-."))
		return lm_fail(err, LM_E_INVALID, 0,
			"AWS IoT's endpoint '%.200s' is not a host name",
			b->endpoint ? b->endpoint : "");
	if (!b->core || !conf_is_name(b->core, CLIENT_ID_MAX - strlen("-c000"), ":_-"))
		return lm_fail(err, LM_E_INVALID, 0,
			"the core's thing name '%.200s' makes no client ID: it is longer than 123 "
			"bytes, or has other characters than letters, digits, ':', '_' and '-'",
			b->core ? b->core : "");
	rc = conf_check_path("the path of the core's certificate", b->certificate, err);
	if (rc)
		return rc;
	rc = conf_check_path("the path of the core's key", b->key, err);
	if (rc)
		return rc;
	return conf_check_path("the path of AWS IoT's CA", b->ca, err);
}

// The filters that the bridge subscribes to in the cloud.

struct filters {
	char **texts;
	size_t n;
	size_t size;
};

static void filters_finish(struct filters *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->texts[i]);
	free(f->texts);
	*f = (struct filters){0};
}

static void filters_add(struct filters *f, char *text)
{
	if (f->n == f->size) {
		f->size = f->size ? 2 * f->size : 64;
		f->texts = lm_xrealloc(f->texts, f->size * sizeof(*f->texts));
	}
	f->texts[f->n++] = text;
}

static lm_rc conf_check_subject(const char *subject, struct lm_err *err)
{
	struct lm_str text = lm_str(subject);
	const char *why = NULL;
	size_t slashes = 0;

	if (!topic_is_filter(text, &why))
		return lm_fail(err, LM_E_INVALID, 0,
			"the subject '%.256s' of a subscription whose Source is 'cloud' %s",
			subject, why);
	for (size_t i = 0; i < text.n; i++)
		slashes += text.p[i] == '/';
	if (slashes > SLASHES_MAX)
		return lm_fail(err, LM_E_INVALID, 0,
			"the subject '%s' of a subscription whose Source is 'cloud' has more than "
			"the 7 slashes that AWS IoT allows",
			subject);
	if (text.p[0] == '$' && !lm_str_starts(text, LM_STR("$aws/")))
		return lm_fail(err, LM_E_INVALID, 0,
			"the subject '%s' of a subscription whose Source is 'cloud' begins with "
			"'$': AWS IoT has only '$aws/' there",
			subject);
	if (strchr(subject, ' ') || strcmp(subject, "\"\"") == 0)
		return lm_fail(err, LM_E_INVALID, 0,
			"the subject '%s' of a subscription whose Source is 'cloud' cannot be "
			"written in mosquitto.conf, which knows no quotes for spaces; put '+' for "
			"that level",
			subject);
	return LM_OK;
}

/// Whether all that matches `inner` matches `outer`, too. `a/#` does not cover `a`.
static bool filter_covers(struct lm_str outer, struct lm_str inner)
{
	if (inner.p[0] == '$' && outer.p[0] != '$')
		return false;
	for (;;) {
		bool outer_last = lm_str_find(outer, '/') == outer.n;
		bool inner_last = lm_str_find(inner, '/') == inner.n;
		struct lm_str wide = lm_str_cut(&outer, '/');
		struct lm_str narrow = lm_str_cut(&inner, '/');

		if (lm_str_eq(wide, LM_STR("#")))
			return true;
		if (lm_str_eq(narrow, LM_STR("#")))
			return false;
		if (!lm_str_eq(wide, LM_STR("+")) && !lm_str_eq(wide, narrow))
			return false;
		if (outer_last || inner_last)
			return outer_last && inner_last;
	}
}

static int filters_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/// The first filter that is not below the first `n` bytes of `prefix`.
static size_t filters_find(const struct filters *f, const char *prefix, size_t n)
{
	size_t low = 0;
	size_t high = f->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (strncmp(f->texts[middle], prefix, n) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/// Marks those that `wide` covers: they stand together, as they begin with the same levels.
static void filters_mark(const struct filters *f, const char *wide, bool *covered)
{
	size_t n = strcspn(wide, "+#");

	for (size_t i = filters_find(f, wide, n); i < f->n; i++) {
		if (strncmp(f->texts[i], wide, n) != 0)
			return;
		if (f->texts[i] != wide && filter_covers(lm_str(wide), lm_str(f->texts[i])))
			covered[i] = true;
	}
}

/// Sorts, and drops what another filter brings anyway: on another connection it would come twice.
static void filters_reduce(struct filters *f)
{
	size_t kept = 1;

	if (f->n == 0)
		return;
	qsort(f->texts, f->n, sizeof(*f->texts), filters_compare);
	for (size_t i = 1; i < f->n; i++) {
		if (strcmp(f->texts[kept - 1], f->texts[i]) == 0)
			free(f->texts[i]);
		else
			f->texts[kept++] = f->texts[i];
	}
	f->n = kept;

	// Two filters that cover each other are the same one: of any set, one is left.
	lm_auto_free bool *covered = lm_xcalloc(f->n, sizeof(*covered));
	for (size_t i = 0; i < f->n; i++) {
		if (topic_has_wildcard(lm_str(f->texts[i])))
			filters_mark(f, f->texts[i], covered);
	}
	kept = 0;
	for (size_t i = 0; i < f->n; i++) {
		if (covered[i])
			free(f->texts[i]);
		else
			f->texts[kept++] = f->texts[i];
	}
	f->n = kept;
}

static lm_rc filters_collect(struct filters *f, const struct broker_bridge *b, struct lm_err *err)
{
	for (size_t i = 0; i < b->subjects_n; i++) {
		lm_rc rc = conf_check_subject(b->subjects[i], err);

		if (rc)
			return rc;
		filters_add(f, lm_xstrdup(b->subjects[i]));
	}
	for (size_t i = 0; i < b->sync_things_n; i++) {
		if (!arn_is_thing_name(lm_str(b->sync_things[i])))
			return lm_fail(err, LM_E_INVALID, 0, "'%.200s' is not a thing's name",
				b->sync_things[i]);
		filters_add(f, lm_xasprintf("$aws/things/%s/shadow/+/accepted", b->sync_things[i]));
		filters_add(f, lm_xasprintf("$aws/things/%s/shadow/+/rejected", b->sync_things[i]));
	}
	filters_reduce(f);
	return LM_OK;
}

// The text.

static void conf_write_broker(const struct broker_settings *s, struct lm_buf *out)
{
	lm_buf_puts(out, "# Written by Lighterman from the group file; changes are overwritten.\n");
	lm_buf_printf(out, "user %s\n", s->user);
	lm_buf_puts(out, "log_dest stderr\nlog_timestamp false\n");
	lm_buf_puts(out, "log_type error\nlog_type warning\nlog_type notice\n");
	lm_buf_puts(out, "sys_interval 0\nset_tcp_nodelay true\n");

	lm_buf_printf(out, "persistence true\npersistence_location %s\n", s->data);
	lm_buf_printf(out, "autosave_on_changes true\nautosave_interval %d\n", SAVE_AFTER_CHANGES);
	lm_buf_printf(out, "max_queued_bytes %d\nmax_queued_messages %d\n", QUEUED_BYTES_MAX,
		QUEUED_MESSAGES_MAX);
	lm_buf_printf(out, "max_packet_size %d\n", PACKET_MAX);
	// Of a client that is away, with what waits for it.
	lm_buf_puts(out, "persistent_client_expiration 7d\n");

	// The plugin decides who connects. Without allow_anonymous, mosquitto 2.0 ends at each
	// SIGHUP the connections of all that have no user name.
	lm_buf_puts(out, "per_listener_settings false\nallow_anonymous true\n");
	lm_buf_puts(out, "allow_zero_length_clientid false\ncheck_retain_source false\n");
	lm_buf_printf(out, "plugin %s\n", s->plugin);
	lm_buf_printf(out, "plugin_opt_table %s\n", s->table);
	lm_buf_printf(out, "plugin_opt_status %s\n", s->status);
	lm_buf_printf(out, "plugin_opt_shadows %s/shadows.db\n", s->data);
	lm_buf_printf(out, "plugin_opt_socket %s\n", s->socket);

	lm_buf_printf(
		out, "listener 0 %s\nmax_qos 1\nmax_connections %d\n", s->socket, CONNECTIONS_MAX);
	// No use_identity_as_username: with it, mosquitto asks no plugin who may connect.
	lm_buf_printf(
		out, "listener %u\nmax_qos 1\nmax_connections %d\n", s->port, CONNECTIONS_MAX);
	lm_buf_printf(
		out, "cafile %s\ncertfile %s\nkeyfile %s\n", s->client_ca, s->certificate, s->key);
	lm_buf_puts(out, "require_certificate true\ntls_version tlsv1.2\n");
}

static unsigned conf_within(unsigned value, unsigned fallback, unsigned min, unsigned max)
{
	if (value == 0)
		return fallback;
	return value < min ? min : value > max ? max : value;
}

static void conf_write_connection(
	const struct broker_bridge *b, unsigned number, struct lm_buf *out)
{
	unsigned retry_max =
		conf_within(b->retry_max_s, BROKER_RETRY_MAX_S, BROKER_RETRY_MIN_S, 3600);

	lm_buf_printf(out, "\nconnection cloud-%u\naddress %s:%u\n", number, b->endpoint, b->port);
	lm_buf_printf(out, "local_clientid " BROKER_BRIDGE_ID "%u\n", number);
	lm_buf_printf(out, "remote_clientid %s-c%02u\n", b->core, number);
	lm_buf_printf(out, "bridge_cafile %s\nbridge_certfile %s\nbridge_keyfile %s\n", b->ca,
		b->certificate, b->key);
	if (b->port == 443)
		lm_buf_puts(out, "bridge_alpn x-amzn-mqtt-ca\n");
	lm_buf_puts(out, "bridge_insecure false\nbridge_protocol_version mqttv311\n");
	// AWS IoT ends a connection on what it does not know or allow: the private bit of
	// mosquitto's protocol number, state messages under $SYS, retained ones under $aws.
	lm_buf_puts(out, "try_private false\nnotifications false\nbridge_outgoing_retain false\n");
	lm_buf_puts(out, "bridge_attempt_unsubscribe false\ncleansession false\n");
	lm_buf_printf(out, "keepalive_interval %u\n",
		conf_within(b->keepalive_s, BROKER_KEEPALIVE_S, BROKER_KEEPALIVE_MIN_S,
			BROKER_KEEPALIVE_MAX_S));
	lm_buf_printf(out, "start_type automatic\nrestart_timeout %d %u\n", BROKER_RETRY_MIN_S,
		retry_max);
}

/// FNV-1a over the texts with their NULs.
static uint32_t filters_hash(char *const *texts, size_t n)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < n; i++) {
		const char *p = texts[i];

		do {
			hash = (hash ^ (unsigned char)*p) * 16777619u;
		} while (*p++);
	}
	return hash;
}

/// A session in the cloud outlives the connection for an hour, and keeps subscriptions that we no
/// longer have: they would count against the limit of 50. So the number of a connection, and with
/// it its session, comes from its filters; a session that nobody comes back to expires.
static void conf_write_inward(
	const struct broker_bridge *b, const struct filters *f, struct lm_buf *out)
{
	size_t connections = (f->n + BROKER_CLOUD_FILTERS - 1) / BROKER_CLOUD_FILTERS;
	unsigned numbers = connections <= 50 ? 99 : 999;
	lm_auto_free bool *taken = lm_xcalloc(numbers + 1, sizeof(*taken));

	for (size_t at = 0; at < f->n; at += BROKER_CLOUD_FILTERS) {
		size_t n = f->n - at < BROKER_CLOUD_FILTERS ? f->n - at : BROKER_CLOUD_FILTERS;
		unsigned number = 1 + filters_hash(f->texts + at, n) % numbers;

		while (taken[number])
			number = number % numbers + 1;
		taken[number] = true;
		conf_write_connection(b, number, out);
		for (size_t i = 0; i < n; i++)
			lm_buf_printf(out, "topic %s in 1 \"\" \"\"\n", f->texts[at + i]);
	}
}

lm_rc broker_config_write(
	const struct broker_settings *settings, struct lm_buf *out, struct lm_err *err)
{
	const struct broker_bridge *cloud = settings->cloud;
	lm_auto(filters_finish) struct filters filters = {0};
	lm_rc rc = conf_check_broker(settings, err);

	if (rc)
		return rc;
	if (cloud) {
		rc = conf_check_bridge(cloud, err);
		if (rc)
			return rc;
		rc = filters_collect(&filters, cloud, err);
		if (rc)
			return rc;
	}
	if (cloud && filters.n > (size_t)999 * BROKER_CLOUD_FILTERS)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the subscriptions to the cloud need more than 999 connections");

	conf_write_broker(settings, out);
	if (cloud) {
		// Outwards on a connection of its own: one that AWS IoT ends because the core's
		// policy does not allow a filter takes no message for the cloud with it.
		conf_write_connection(cloud, 0, out);
		lm_buf_puts(out, "topic # out 1 " BROKER_CLOUD_PREFIX " \"\"\n");
		conf_write_inward(cloud, &filters, out);
	}
	if (out->overflow)
		return lm_fail(
			err, LM_E_TOO_LARGE, 0, "mosquitto.conf is over %zu bytes", out->max);
	return LM_OK;
}
