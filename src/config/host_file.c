// SPDX-License-Identifier: Apache-2.0
#include "config/host_file.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "config/core_config.h"
#include "config/schema.h"
#include "config/status_message.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
	BROKERS_MAX = 8,
	PORT_TLS = 8883,
	PORT_PLAIN = 1883,
	SHIPPING_S = 60,
	SHIPPING_MAX_S = 3600,
	SILENCE_S = 60,
	SILENCE_MAX_S = 3600,
	KEEP_ALIVE_MIN_S = 30, ///< AWS IoT Core's own, as is the other one.
	KEEP_ALIVE_MAX_S = 1200,
	NAMES_MAX = 32,
	NAME_MAX_BYTES = 253, ///< DNS's own.
	PORT_DISCOVERY = 8443,
	PORT_ALPN = 443,
	PORT_MAX = 65535,
};

/// A topic's name, or false for none; true is the default.
static bool read_topic(
	const struct schema_key *key, const json_t *value, void *field, struct lm_buf *why)
{
	struct host_topic *topic = field;
	struct lm_str name;

	(void)key;
	if (json_is_boolean(value)) {
		topic->off = json_is_false(value);
		return true;
	}
	if (!json_is_string(value))
		return schema_refuse(
			why, "must be a topic, true or false, but is %s", json_type_name(value));
	if (!schema_take_text(value, &name, why))
		return false;
	if (strpbrk(name.p, "+#"))
		return schema_refuse(why, "must not have the wildcards + and #");
	if (name.n > LIMIT_MQTT_TOPIC)
		return schema_refuse(why, "must be a topic of at most %d bytes", LIMIT_MQTT_TOPIC);
	if (lm_str_eq(name, LM_STR(STATUS_TOPIC)))
		return schema_refuse(why, "is the topic of status messages; name another");
	schema_put_text(&topic->name, name);
	return true;
}

static json_t *write_topic(const void *field)
{
	const struct host_topic *topic = field;

	return topic->name && !topic->off ? json_string(topic->name) : json_boolean(!topic->off);
}

static void finish_topic(void *field)
{
	free(((struct host_topic *)field)->name);
}

static bool read_textfile(
	const struct schema_key *key, const json_t *value, void *field, struct lm_buf *why)
{
	// node_exporter reads no others, and silently.
	if (json_is_string(value) && !lm_str_ends(json_text(value), LM_STR(".prom")))
		return schema_refuse(why, "must end in .prom");
	return SCHEMA_PATH.read(key, value, field, why);
}

static bool read_port_or_none(
	const struct schema_key *key, const json_t *value, void *field, struct lm_buf *why)
{
	struct host_port *port = field;

	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
		json_integer_value(value) > key->highest)
		return schema_refuse(
			why, "must be a number from 1 to %u, or 0 for none", key->highest);
	*port = (struct host_port){true, (unsigned)json_integer_value(value)};
	return true;
}

static json_t *write_port_or_none(const void *field)
{
	return json_integer(((const struct host_port *)field)->number);
}

static void finish_device_names(void *field)
{
	struct host_names *names = field;

	for (size_t i = 0; i < names->n; i++)
		free(names->items[i]);
	free(names->items);
}

static bool read_device_names(
	const struct schema_key *key, const json_t *value, void *field, struct lm_buf *why)
{
	struct host_names *names = field;
	size_t i;
	json_t *item;

	(void)key;
	if (!json_is_array(value) || json_array_size(value) > NAMES_MAX)
		return schema_refuse(why, "must be an array of at most %d names", NAMES_MAX);
	names->items = lm_xcalloc(NAMES_MAX, sizeof(char *));
	json_array_foreach(value, i, item)
	{
		struct lm_str name;

		if (!schema_take_text(item, &name, why))
			return false;
		if (name.n > NAME_MAX_BYTES || !schema_is_alnum(name, ".:-"))
			return schema_refuse(why,
				"item %zu must be a host name or an address, without a port", i);
		names->items[names->n++] = lm_xmemdup0(name.p, name.n);
	}
	return true;
}

static json_t *write_device_names(const void *field)
{
	const struct host_names *names = field;
	json_t *array = names->n ? json_array() : NULL;

	for (size_t i = 0; i < names->n; i++)
		json_array_append_new(array, json_string(names->items[i]));
	return array;
}

static const struct schema_type PORT_OR_NONE = {read_port_or_none, write_port_or_none, NULL};
static const struct schema_type NAMES = {
	read_device_names, write_device_names, finish_device_names};
static const struct schema_type TOPIC = {read_topic, write_topic, finish_topic};
static const struct schema_type TEXTFILE = {read_textfile, schema_write_text, schema_finish_text};

#define UNKNOWN "is not a key of the host file"
#define KEYS(table)                                                                                \
	{                                                                                          \
		(table), LM_ARRAY_SIZE(table), UNKNOWN, true                                       \
	}
#define AT(member) offsetof(struct host_settings, member)
// clang-format off
static const struct schema_key CREDENTIALS_KEYS[] = {
	{"roleAlias", &SCHEMA_TEXT, AT(credentials.role_alias)},
	{"endpoint", &SCHEMA_TEXT, AT(credentials.endpoint)},
	{"certificate", &SCHEMA_PATH, AT(credentials.certificate)},
	{"privateKey", &SCHEMA_PATH, AT(credentials.private_key)},
	{"ca", &SCHEMA_PATH, AT(credentials.ca)},
};
static const struct schema CREDENTIALS = KEYS(CREDENTIALS_KEYS);

static const struct schema_key IOT_KEYS[] = {
	{"endpoint", &SCHEMA_TEXT, AT(iot.endpoint)},
	{"certificate", &SCHEMA_PATH, AT(iot.certificate)},
	{"privateKey", &SCHEMA_PATH, AT(iot.private_key)},
	{"ca", &SCHEMA_PATH, AT(iot.ca)},
};
static const struct schema IOT = KEYS(IOT_KEYS);

static const struct schema_key OBJECT_STORE_KEYS[] = {
	{"directory", &SCHEMA_PATH, AT(object_store_directory)},
};
static const struct schema OBJECT_STORE = KEYS(OBJECT_STORE_KEYS);

static const struct schema_key SECRET_STORE_KEYS[] = {
	{"directory", &SCHEMA_PATH, AT(secret_store_directory)},
};
static const struct schema SECRET_STORE = KEYS(SECRET_STORE_KEYS);

static const struct schema_key DOCKER_KEYS[] = {
	{"socket", &SCHEMA_PATH, AT(docker_socket)},
	{"compose", &SCHEMA_PATH, AT(docker_compose)},
};
static const struct schema DOCKER = KEYS(DOCKER_KEYS);

static const struct schema_key METRICS_KEYS[] = {
	{"textfile", &TEXTFILE, AT(metrics_textfile)},
};
static const struct schema METRICS = KEYS(METRICS_KEYS);

static const struct schema_key DEVICES_KEYS[] = {
	{"brokerPort", &SCHEMA_NUMBER, AT(devices.broker_port), .lowest = 1, .highest = PORT_MAX},
	{"discoveryPort", &SCHEMA_NUMBER, AT(devices.discovery_port), .lowest = 1, .highest = PORT_MAX},
	{"alpnPort", &PORT_OR_NONE, AT(devices.alpn_port), .highest = PORT_MAX},
	{"cloudPort", &SCHEMA_NUMBER, AT(devices.cloud_port), .lowest = 1, .highest = PORT_MAX},
	{"names", &NAMES, AT(devices.names)},
	{"ca", &SCHEMA_PATH, AT(devices.ca)},
	{"user", &SCHEMA_TEXT, AT(devices.user)},
	{"localGroup", &SCHEMA_TEXT, AT(devices.local_group)},
	{"mosquitto", &SCHEMA_PATH, AT(devices.mosquitto)},
};
static const struct schema DEVICES = KEYS(DEVICES_KEYS);

static const struct schema_key HOST_KEYS[] = {
	{"greengrassRoot", &SCHEMA_PATH, AT(greengrass_root)},
	{"writeDirectory", &SCHEMA_PATH, AT(write_directory)},
	{"stateDirectory", &SCHEMA_PATH, AT(state_directory)},
	{"runtimeDirectory", &SCHEMA_PATH, AT(runtime_directory)},
	{"region", &SCHEMA_TEXT, AT(region)},
	{"thingName", &SCHEMA_TEXT, AT(thing_name)},
	{"defaultUser", &SCHEMA_TEXT, AT(default_user)},
	{"allowRoot", &SCHEMA_BOOL, AT(allow_root)},
	{"controlGroup", &SCHEMA_TEXT, AT(control_group)},
	{"controlReadGroup", &SCHEMA_TEXT, AT(control_read_group)},
	{"logShippingSeconds", &SCHEMA_NUMBER, AT(log_shipping_s), .lowest = 1, .highest = SHIPPING_MAX_S},
	{"workerSilenceSeconds", &SCHEMA_NUMBER, AT(worker_silence_s), .lowest = 1, .highest = SILENCE_MAX_S},
	{"credentials", .members = &CREDENTIALS},
	{"iot", .members = &IOT},
	{"objectStore", .members = &OBJECT_STORE},
	{"secretStore", .members = &SECRET_STORE},
	{"docker", .members = &DOCKER},
	{"devices", .members = &DEVICES},
	{"metrics", .members = &METRICS},
	{"mqtt", &SCHEMA_ANY}, // see read_brokers
};
static const struct schema HOST = KEYS(HOST_KEYS);

#define BROKER(member) offsetof(struct host_broker, member)
static const struct schema_key TOPICS_KEYS[] = {
	{"progress", &TOPIC, BROKER(progress)},
	{"containers", &TOPIC, BROKER(containers)},
	{"connection", &TOPIC, BROKER(connection)},
};
static const struct schema TOPICS = KEYS(TOPICS_KEYS);

static const struct schema_key BROKER_KEYS[] = {
	{"host", &SCHEMA_TEXT, BROKER(host)},
	{"port", &SCHEMA_NUMBER, BROKER(port), .lowest = 1, .highest = PORT_MAX},
	{"socket", &SCHEMA_PATH, BROKER(socket)},
	{"ca", &SCHEMA_PATH, BROKER(ca)},
	{"certificate", &SCHEMA_PATH, BROKER(certificate)},
	{"privateKey", &SCHEMA_PATH, BROKER(private_key)},
	{"username", &SCHEMA_TEXT, BROKER(username)},
	{"passwordFile", &SCHEMA_PATH, BROKER(password_file)},
	{"clientId", &SCHEMA_TEXT, BROKER(client_id)},
	{"topics", .members = &TOPICS},
	{"keepAliveSeconds", &SCHEMA_NUMBER, BROKER(keep_alive_s), .lowest = KEEP_ALIVE_MIN_S, .highest = KEEP_ALIVE_MAX_S},
	{"jobs", &SCHEMA_BOOL, BROKER(jobs)},
};
static const struct schema BROKERS = KEYS(BROKER_KEYS);
// clang-format on

/// Rules across the keys of one broker.
static void check_broker_keys(
	struct host_broker *b, const char *where, struct validation_errors *errors)
{
	lm_auto_free char *port = lm_xasprintf("%s.port", where);
	lm_auto_free char *password = lm_xasprintf("%s.passwordFile", where);

	if (!b->host == !b->socket)
		validation_errors_add(errors, NULL, where, NULL, "needs either host or socket");
	else if (b->socket && b->port)
		validation_errors_add(errors, NULL, port, NULL, "has no meaning with socket");
	if (!b->certificate != !b->private_key)
		validation_errors_add(
			errors, NULL, where, NULL, "certificate and privateKey belong together");
	if (b->password_file && !b->username)
		validation_errors_add(errors, NULL, password, NULL, "needs username");
	if (b->host && !b->port)
		b->port = b->ca || b->certificate ? PORT_TLS : PORT_PLAIN;
}

static bool is_same_text(const char *a, const char *b)
{
	return a && b && strcasecmp(a, b) == 0;
}

/// A broker listed twice would have one outbox, and one name in the metrics, for both.
static void check_distinct(const struct host_settings *host, struct validation_errors *errors)
{
	size_t last = host->brokers_n - 1;
	const struct host_broker *b = &host->brokers[last];

	for (size_t i = 0; i < last; i++) {
		const struct host_broker *other = &host->brokers[i];
		bool same_host = is_same_text(b->host, other->host) && b->port == other->port;
		lm_auto_free char *where = lm_xasprintf("mqtt[%zu]", last);

		if (same_host || (b->socket && other->socket && !strcmp(b->socket, other->socket)))
			validation_errors_add(errors, NULL, where, NULL,
				"is the same broker as mqtt[%zu]; list it once", i);
		if (b->jobs && other->jobs)
			validation_errors_add(errors, NULL, where, NULL,
				"has jobs, as mqtt[%zu] has; only one broker can have them", i);
	}
}

static void read_broker(const json_t *value, const char *where, struct host_settings *host,
	struct validation_errors *errors)
{
	struct host_broker *b = &host->brokers[host->brokers_n++];
	lm_auto_free char *prefix = lm_xasprintf("%s.", where);
	size_t before = errors->n;

	if (!json_is_object(value)) {
		// Without the value: a URL may have a password in it.
		validation_errors_add(errors, NULL, where, NULL, "must be an object, but is %s",
			json_type_name(value));
		return;
	}
	schema_read(&BROKERS, value, &(struct schema_place){.prefix = prefix}, b, errors);
	if (errors->n > before)
		return;
	check_broker_keys(b, where, errors);
	check_distinct(host, errors);
}

/// One broker, or an array of them.
static void read_brokers(
	const json_t *value, struct host_settings *host, struct validation_errors *errors)
{
	size_t i;
	json_t *item;

	host->brokers = lm_xcalloc(BROKERS_MAX, sizeof(*host->brokers));
	if (!json_is_array(value)) {
		read_broker(value, "mqtt", host, errors);
		return;
	}
	if (json_array_size(value) > BROKERS_MAX) {
		validation_errors_add(errors, NULL, "mqtt", NULL,
			"at most %d brokers can be listed", BROKERS_MAX);
		return;
	}
	json_array_foreach(value, i, item)
	{
		lm_auto_free char *where = lm_xasprintf("mqtt[%zu]", i);
		read_broker(item, where, host, errors);
	}
}

/// The ports that the host file itself gives. One of them that is another's default, or what the
/// configuration of a core says, shows when they are listened on: a device without client devices
/// is not to stop for it.
static void check_ports(const struct host_devices *devices, struct validation_errors *errors)
{
	const struct {
		const char *key;
		unsigned port;
	} ports[] = {{"brokerPort", devices->broker_port},
		{"discoveryPort", devices->discovery_port},
		{"alpnPort", devices->alpn_port.number}};

	for (size_t i = 0; i < LM_ARRAY_SIZE(ports); i++) {
		for (size_t k = 0; k < i; k++) {
			lm_auto_free char *key = lm_xasprintf("devices.%s", ports[i].key);

			if (ports[i].port && ports[k].port == ports[i].port)
				validation_errors_add(errors, NULL, key, NULL,
					"must not be %s, too (%u)", ports[k].key, ports[i].port);
		}
	}
}

/// The document alone, without defaults; absent members stay NULL or zero.
static lm_rc read_document(const json_t *document, struct host_settings *host, struct lm_err *err)
{
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};
	const json_t *brokers = json_object_get(document, "mqtt");

	if (!json_is_object(document))
		validation_errors_add(&errors, NULL, NULL, NULL, "must be an object, but is %s",
			json_type_name(document));
	schema_read(&HOST, document, &(struct schema_place){.prefix = ""}, host, &errors);
	if (brokers)
		read_brokers(brokers, host, &errors);
	check_ports(&host->devices, &errors);
	return validation_errors_fail(&errors, "it", err);
}

static void default_text(char **field, const char *value)
{
	if (!*field && value && value[0])
		*field = lm_xstrdup(value);
}

static void add_defaults(struct host_settings *host)
{
	default_text(&host->greengrass_root, "/greengrass");
	default_text(&host->state_directory, "/var/lib/lighterman");
	default_text(&host->runtime_directory, "/run/lighterman");
	default_text(&host->docker_socket, "/var/run/docker.sock");
	if (geteuid() == 0)
		default_text(&host->default_user, "ggc_user");
	if (!host->log_shipping_s)
		host->log_shipping_s = SHIPPING_S;
	if (!host->worker_silence_s)
		host->worker_silence_s = SILENCE_S;
	default_text(&host->devices.user, "mosquitto");
	default_text(&host->devices.mosquitto, "/usr/sbin/mosquitto");
}

static void default_port(unsigned *field, unsigned value)
{
	if (!*field)
		*field = value;
}

/// Of what the configuration of a core may have, too.
static void add_port_defaults(struct host_devices *devices)
{
	default_port(&devices->broker_port, PORT_TLS);
	default_port(&devices->discovery_port, PORT_DISCOVERY);
	default_port(&devices->cloud_port, PORT_TLS);
	if (!devices->alpn_port.given)
		devices->alpn_port = (struct host_port){true, PORT_ALPN};
}

lm_rc host_from_json(const json_t *document, struct host_settings *ret, struct lm_err *err)
{
	lm_auto_host struct host_settings host = {0};
	lm_rc rc = read_document(document, &host, err);

	if (rc)
		return rc;
	add_defaults(&host);
	add_port_defaults(&host.devices);
	*ret = host;
	host = (struct host_settings){0};
	return LM_OK;
}

/// Blanks lines that are comments: no string of JSON reaches over the end of a line, so that a line
/// that begins with "//" is nothing else. Places in messages stay right.
static void blank_comments(struct lm_buf *text)
{
	struct lm_str rest = lm_buf_str(text);

	while (rest.n > 0) {
		struct lm_str line = lm_str_cut(&rest, '\n');
		size_t indent = 0;

		while (indent < line.n && strchr(" \t", line.p[indent]))
			indent++;
		if (line.n - indent < 2 || memcmp(line.p + indent, "//", 2) != 0)
			continue;
		memset(text->data + (line.p - text->data), ' ', line.n);
	}
}

lm_rc host_parse(struct lm_buf *text, json_t **ret, struct lm_err *err)
{
	blank_comments(text);
	return json_parse(lm_buf_str(text), ret, err);
}

lm_rc host_read(const char *path, json_t **ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_HOST_FILE);
	lm_rc rc = lm_file_read(path, &text, err);

	if (rc)
		return rc;
	rc = host_parse(&text, ret, err);
	return rc ? lm_wrap(err, "'%s' is not valid JSON", path) : LM_OK;
}

/// Hands over what `host` leaves open.
static void fill_text(char **field, char **value)
{
	if (!*field)
		*field = lm_take(*value);
}

/// Fills what `host` leaves open from `<greengrassRoot>/config/config.json`; a missing file changes
/// nothing. `has_allow_root`: the host file has decided on `allow_root`. LM_E_INVALID: it is not
/// JSON; LM_E_DENIED.
static lm_rc merge_greengrass(struct host_settings *host, bool has_allow_root, struct lm_err *err)
{
	lm_auto_free char *path = lm_path_join(host->greengrass_root, "config/config.json");
	lm_auto_core_config struct core_config core = {0};
	lm_auto_json json_t *config = NULL;
	lm_rc rc = json_read_file(path, LIMIT_HOST_FILE, &config, err);

	if (rc == LM_E_NOT_FOUND)
		return LM_OK;
	if (rc)
		return rc;
	core_config_read(config, host->greengrass_root, &core);
	fill_text(&host->region, &core.region);
	fill_text(&host->thing_name, &core.thing_name);
	fill_text(&host->iot.endpoint, &core.iot_endpoint);
	fill_text(&host->iot.certificate, &core.certificate.path);
	fill_text(&host->iot.private_key, &core.private_key.path);
	fill_text(&host->iot.ca, &core.ca.path);
	fill_text(&host->write_directory, &core.write_directory);
	default_port(&host->devices.broker_port, core.broker_port);
	default_port(&host->devices.cloud_port, core.cloud_port);
	if (!has_allow_root)
		host->allow_root = core.allows_root;
	return LM_OK;
}

/// A process in another directory finds the file by this, too.
static char *absolute_path(const char *path)
{
	lm_auto_free char *directory = NULL;

	if (lm_path_is_absolute(lm_str(path)))
		return lm_xstrdup(path);
	directory = getcwd(NULL, 0);
	return directory ? lm_path_join(directory, path) : lm_xstrdup(path);
}

/// The host file's document and path; an empty object and NULL for a missing default file.
static lm_rc read_file(const char *path, json_t **ret, char **ret_path, struct lm_err *err)
{
	const char *name = path ? path : HOST_FILE_DEFAULT;
	lm_rc rc = host_read(name, ret, err);

	if (rc == LM_E_NOT_FOUND && !path) {
		*ret = json_object();
		return LM_OK;
	}
	if (!rc)
		*ret_path = absolute_path(name);
	return rc;
}

lm_rc host_load(const char *path, struct host_settings *ret, struct lm_err *err)
{
	lm_auto_host struct host_settings host = {0};
	lm_auto_json json_t *document = NULL;
	lm_rc rc = read_file(path, &document, &host.file, err);

	if (rc)
		return rc;
	if (read_document(document, &host, err))
		return lm_wrap(err, "host file '%s'", path ? path : HOST_FILE_DEFAULT);
	add_defaults(&host);
	bool has_allow_root = json_object_get(document, "allowRoot") != NULL;
	rc = merge_greengrass(&host, has_allow_root, err);
	if (rc)
		return rc;
	add_port_defaults(&host.devices);
	default_text(&host.region, getenv("AWS_REGION"));
	default_text(&host.region, getenv("AWS_DEFAULT_REGION"));
	*ret = host;
	host = (struct host_settings){0};
	return LM_OK;
}

json_t *host_to_json(const struct host_settings *host)
{
	json_t *document = json_object();

	schema_write(&HOST, host, document);
	if (!host->brokers_n)
		return document;
	json_t *brokers = json_array();
	for (size_t i = 0; i < host->brokers_n; i++) {
		json_t *broker = json_object();
		schema_write(&BROKERS, &host->brokers[i], broker);
		json_array_append_new(brokers, broker);
	}
	json_object_set_new(document, "mqtt", brokers);
	return document;
}

void host_finish(struct host_settings *host)
{
	for (size_t i = 0; i < host->brokers_n; i++)
		schema_finish(&BROKERS, &host->brokers[i]);
	free(host->brokers);
	schema_finish(&HOST, host);
	free(host->file);
	*host = (struct host_settings){0};
}
