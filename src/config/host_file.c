// SPDX-License-Identifier: Apache-2.0
#include "config/host_file.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "config/greengrass_priv.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

/// The connector's own, whose topic is fixed.
#define STATUS_TOPIC "dockerapplicationdeploymentconnector/message/status"

enum {
	BROKERS_MAX = 8,
	PORT_TLS = 8883,
	PORT_PLAIN = 1883,
	SHIPPING_S = 60,
	SHIPPING_MAX_S = 3600,
	SILENCE_S = 60,
	SILENCE_MAX_S = 3600,
};

enum kind { TEXT, PATH, BOOL, NUMBER, TOPIC };

/// A key of the host file; `section` NULL: at the top.
struct key {
	const char *section, *name;
	enum kind kind;
	size_t field;
	unsigned lowest, highest;
};

#define AT(member) offsetof(struct host_settings, member)
// clang-format off
static const struct key KEYS[] = {
	{NULL, "greengrassRoot", PATH, AT(greengrass_root), 0, 0},
	{NULL, "writeDirectory", PATH, AT(write_directory), 0, 0},
	{NULL, "stateDirectory", PATH, AT(state_directory), 0, 0},
	{NULL, "runtimeDirectory", PATH, AT(runtime_directory), 0, 0},
	{NULL, "region", TEXT, AT(region), 0, 0},
	{NULL, "thingName", TEXT, AT(thing_name), 0, 0},
	{NULL, "defaultUser", TEXT, AT(default_user), 0, 0},
	{NULL, "allowRoot", BOOL, AT(allow_root), 0, 0},
	{NULL, "controlGroup", TEXT, AT(control_group), 0, 0},
	{NULL, "controlReadGroup", TEXT, AT(control_read_group), 0, 0},
	{NULL, "logShippingSeconds", NUMBER, AT(log_shipping_s), 1, SHIPPING_MAX_S},
	{NULL, "workerSilenceSeconds", NUMBER, AT(worker_silence_s), 1, SILENCE_MAX_S},
	{"credentials", "roleAlias", TEXT, AT(credentials.role_alias), 0, 0},
	{"credentials", "endpoint", TEXT, AT(credentials.endpoint), 0, 0},
	{"credentials", "certificate", PATH, AT(credentials.certificate), 0, 0},
	{"credentials", "privateKey", PATH, AT(credentials.private_key), 0, 0},
	{"credentials", "ca", PATH, AT(credentials.ca), 0, 0},
	{"iot", "endpoint", TEXT, AT(iot.endpoint), 0, 0},
	{"iot", "certificate", PATH, AT(iot.certificate), 0, 0},
	{"iot", "privateKey", PATH, AT(iot.private_key), 0, 0},
	{"iot", "ca", PATH, AT(iot.ca), 0, 0},
	{"objectStore", "directory", PATH, AT(object_store_directory), 0, 0},
	{"secretStore", "directory", PATH, AT(secret_store_directory), 0, 0},
	{"docker", "socket", PATH, AT(docker_socket), 0, 0},
	{"docker", "compose", PATH, AT(docker_compose), 0, 0},
	{"metrics", "textfile", PATH, AT(metrics_textfile), 0, 0},
};

#define BROKER(member) offsetof(struct host_broker, member)
static const struct key BROKER_KEYS[] = {
	{NULL, "host", TEXT, BROKER(host), 0, 0},
	{NULL, "port", NUMBER, BROKER(port), 1, 65535},
	{NULL, "socket", PATH, BROKER(socket), 0, 0},
	{NULL, "ca", PATH, BROKER(ca), 0, 0},
	{NULL, "certificate", PATH, BROKER(certificate), 0, 0},
	{NULL, "privateKey", PATH, BROKER(private_key), 0, 0},
	{NULL, "username", TEXT, BROKER(username), 0, 0},
	{NULL, "passwordFile", PATH, BROKER(password_file), 0, 0},
	{NULL, "clientId", TEXT, BROKER(client_id), 0, 0},
};

/// Of a broker's "topics".
static const struct key TOPIC_KEYS[] = {
	{NULL, "progress", TOPIC, BROKER(progress), 0, 0},
	{NULL, "containers", TOPIC, BROKER(containers), 0, 0},
	{NULL, "connection", TOPIC, BROKER(connection), 0, 0},
};
// clang-format on

static lm_rc read_text(const struct key *key, const char *path, const json_t *value, char **field,
	struct lm_err *err)
{
	if (!json_is_string(value))
		return lm_fail(err, LM_E_INVALID, 0, "%s: must be a string, but is %s", path,
			json_type_name(value));
	struct lm_str text = json_text(value);
	if (text.n == 0)
		return lm_fail(err, LM_E_INVALID, 0, "%s: must not be empty", path);
	for (size_t i = 0; i < text.n; i++) {
		if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
			return lm_fail(
				err, LM_E_INVALID, 0, "%s: must not hold control characters", path);
	}
	if (key->kind == PATH && text.p[0] != '/') {
		char shown[4 * 60 + 32];
		return lm_fail(err, LM_E_INVALID, 0, "%s: \"%s\": must be an absolute path", path,
			lm_str_shorten(text, 60, shown, sizeof(shown)));
	}
	free(*field);
	*field = lm_xstrdup(text.p);
	return LM_OK;
}

/// A topic's name, or false for none; true is the default.
static lm_rc read_topic(const struct key *key, const char *path, const json_t *value,
	struct host_topic *topic, struct lm_err *err)
{
	char shown[4 * 60 + 32];

	if (json_is_boolean(value)) {
		topic->off = json_is_false(value);
		return LM_OK;
	}
	if (!json_is_string(value))
		return lm_fail(err, LM_E_INVALID, 0,
			"%s: must be a topic, true or false, but is %s", path,
			json_type_name(value));
	lm_rc rc = read_text(key, path, value, &topic->name, err);
	if (rc)
		return rc;
	if (strpbrk(topic->name, "+#"))
		return lm_fail(err, LM_E_INVALID, 0,
			"%s: \"%s\": must not have the wildcards + and #", path,
			lm_str_shorten(lm_str(topic->name), 60, shown, sizeof(shown)));
	if (strlen(topic->name) > LIMIT_MQTT_TOPIC)
		return lm_fail(err, LM_E_INVALID, 0, "%s: must be a topic of at most %d bytes",
			path, LIMIT_MQTT_TOPIC);
	if (strcmp(topic->name, STATUS_TOPIC) == 0)
		return lm_fail(err, LM_E_INVALID, 0,
			"%s: is the topic of status messages; name another", path);
	return LM_OK;
}

static lm_rc read_value(const struct key *key, const char *path, const json_t *value, void *field,
	struct lm_err *err)
{
	if (key->kind == TEXT || key->kind == PATH)
		return read_text(key, path, value, field, err);
	if (key->kind == TOPIC)
		return read_topic(key, path, value, field, err);
	if (key->kind == BOOL) {
		if (!json_is_boolean(value))
			return lm_fail(err, LM_E_INVALID, 0, "%s: must be true or false, but is %s",
				path, json_type_name(value));
		*(bool *)field = json_is_true(value);
		return LM_OK;
	}
	if (!json_is_integer(value) || json_integer_value(value) < key->lowest ||
		json_integer_value(value) > key->highest)
		return lm_fail(err, LM_E_INVALID, 0, "%s: must be a number from %u to %u", path,
			key->lowest, key->highest);
	*(unsigned *)field = (unsigned)json_integer_value(value);
	return LM_OK;
}

static bool same_section(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static const struct key *find_key(
	const struct key *keys, size_t n, const char *section, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (same_section(keys[i].section, section) && strcmp(keys[i].name, name) == 0)
			return &keys[i];
	}
	return NULL;
}

static bool is_section(const char *name)
{
	for (size_t i = 0; i < LM_ARRAY_SIZE(KEYS); i++) {
		if (same_section(KEYS[i].section, name))
			return true;
	}
	return false;
}

static lm_rc fail_unknown(const char *path, struct lm_err *err)
{
	char shown[4 * 80 + 32];

	return lm_fail(err, LM_E_INVALID, 0, "%s: is not a key of the host file",
		lm_str_shorten(lm_str(path), 80, shown, sizeof(shown)));
}

/// Reads the members of one object of plain values. `where` stands in front of the keys' names.
static lm_rc read_members(const struct key *keys, size_t n, const char *section, const char *where,
	const json_t *object, void *base_of_fields, struct lm_err *err)
{
	const char *name;
	json_t *value;

	if (!json_is_object(object))
		return lm_fail(err, LM_E_INVALID, 0, "%s: must be an object, but is %s", where,
			json_type_name(object));
	json_object_foreach((json_t *)object, name, value)
	{
		lm_auto_free char *path = lm_xasprintf("%s.%s", where, name);
		const struct key *key = find_key(keys, n, section, name);
		if (!key)
			return fail_unknown(path, err);
		lm_rc rc = read_value(key, path, value, (char *)base_of_fields + key->field, err);
		if (rc)
			return rc;
	}
	return LM_OK;
}

static lm_rc check_broker(struct host_broker *b, const char *where, struct lm_err *err)
{
	if (!b->host == !b->socket)
		return lm_fail(err, LM_E_INVALID, 0, "%s: needs either host or socket", where);
	if (b->socket && b->port)
		return lm_fail(err, LM_E_INVALID, 0, "%s.port: has no meaning with socket", where);
	if (!b->certificate != !b->private_key)
		return lm_fail(err, LM_E_INVALID, 0,
			"%s: certificate and privateKey belong together", where);
	if (b->password_file && !b->username)
		return lm_fail(err, LM_E_INVALID, 0, "%s.passwordFile: needs username", where);
	if (b->host && !b->port)
		b->port = b->ca || b->certificate ? PORT_TLS : PORT_PLAIN;
	return LM_OK;
}

static lm_rc read_broker(
	const json_t *value, const char *where, struct host_settings *host, struct lm_err *err)
{
	struct host_broker *b = &host->brokers[host->brokers_n++]; // freed with host on failure
	const json_t *topics = json_object_get(value, "topics");
	lm_auto_free char *within = lm_xasprintf("%s.topics", where);
	lm_auto_json json_t *rest =
		topics ? json_copy((json_t *)value) : json_incref((json_t *)value);

	if (topics)
		json_object_del(rest, "topics");
	lm_rc rc = read_members(BROKER_KEYS, LM_ARRAY_SIZE(BROKER_KEYS), NULL, where, rest, b, err);
	if (!rc && topics)
		rc = read_members(
			TOPIC_KEYS, LM_ARRAY_SIZE(TOPIC_KEYS), NULL, within, topics, b, err);
	return rc ? rc : check_broker(b, where, err);
}

static bool is_same(const char *a, const char *b)
{
	return a && b && strcasecmp(a, b) == 0;
}

/// A broker listed twice would have one outbox, and one name in the metrics, for both.
static lm_rc check_distinct(const struct host_settings *host, struct lm_err *err)
{
	size_t last = host->brokers_n - 1;
	const struct host_broker *b = &host->brokers[last];

	for (size_t i = 0; i < last; i++) {
		const struct host_broker *other = &host->brokers[i];
		bool same_host = is_same(b->host, other->host) && b->port == other->port;

		if (same_host || (b->socket && other->socket && !strcmp(b->socket, other->socket)))
			return lm_fail(err, LM_E_INVALID, 0,
				"mqtt[%zu]: is the same broker as mqtt[%zu]; list it once", last,
				i);
	}
	return LM_OK;
}

static lm_rc read_brokers(const json_t *value, struct host_settings *host, struct lm_err *err)
{
	size_t i;
	json_t *item;

	host->brokers = lm_xcalloc(BROKERS_MAX, sizeof(*host->brokers));
	if (!json_is_array(value))
		return read_broker(value, "mqtt", host, err);
	if (json_array_size(value) > BROKERS_MAX)
		return lm_fail(err, LM_E_INVALID, 0, "mqtt: at most %d brokers can be listed",
			BROKERS_MAX);
	json_array_foreach(value, i, item)
	{
		lm_auto_free char *where = lm_xasprintf("mqtt[%zu]", i);
		lm_rc rc = read_broker(item, where, host, err);
		if (!rc)
			rc = check_distinct(host, err);
		if (rc)
			return rc;
	}
	return LM_OK;
}

static lm_rc read_top(
	const char *name, const json_t *value, struct host_settings *host, struct lm_err *err)
{
	const struct key *key = find_key(KEYS, LM_ARRAY_SIZE(KEYS), NULL, name);

	if (key)
		return read_value(key, name, value, (char *)host + key->field, err);
	if (is_section(name))
		return read_members(KEYS, LM_ARRAY_SIZE(KEYS), name, name, value, host, err);
	if (strcmp(name, "mqtt") == 0)
		return read_brokers(value, host, err);
	return fail_unknown(name, err);
}

/// node_exporter reads no others, and silently.
static lm_rc check_textfile(const char *path, struct lm_err *err)
{
	char shown[4 * 60 + 32];

	if (!path || lm_str_ends(lm_str(path), LM_STR(".prom")))
		return LM_OK;
	return lm_fail(err, LM_E_INVALID, 0, "metrics.textfile: \"%s\": must end in .prom",
		lm_str_shorten(lm_str(path), 60, shown, sizeof(shown)));
}

/// What the document says and nothing else; absent members stay NULL or zero.
static lm_rc read_document(const json_t *document, struct host_settings *host, struct lm_err *err)
{
	const char *name;
	json_t *value;

	if (!json_is_object(document))
		return lm_fail(err, LM_E_INVALID, 0, "it must be an object, but is %s",
			json_type_name(document));
	json_object_foreach((json_t *)document, name, value)
	{
		lm_rc rc = read_top(name, value, host, err);
		if (rc)
			return rc;
	}
	return check_textfile(host->metrics_textfile, err);
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
}

lm_rc host_from_json(const json_t *document, struct host_settings *ret, struct lm_err *err)
{
	lm_auto_host struct host_settings host = {0};
	lm_rc rc = read_document(document, &host, err);

	if (rc)
		return rc;
	add_defaults(&host);
	*ret = host;
	host = (struct host_settings){0};
	return LM_OK;
}

/// Whoever is in another directory finds the file by this, too.
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
	lm_rc rc = json_read_file(name, LIMIT_HOST_FILE, ret, err);

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
	bool says_root = json_object_get(document, "allowRoot") != NULL;
	rc = greengrass_merge(&host, says_root, err);
	if (rc)
		return rc;
	default_text(&host.region, getenv("AWS_REGION"));
	default_text(&host.region, getenv("AWS_DEFAULT_REGION"));
	*ret = host;
	host = (struct host_settings){0};
	return LM_OK;
}

static void write_value(json_t *object, const struct key *key, const void *field)
{
	char *const *text = field;
	const struct host_topic *topic = field;

	if (key->kind == TOPIC)
		json_object_set_new(object, key->name,
			topic->name && !topic->off ? json_string(topic->name)
						   : json_boolean(!topic->off));
	else if (key->kind == BOOL)
		json_object_set_new(object, key->name, json_boolean(*(const bool *)field));
	else if (key->kind == NUMBER && *(const unsigned *)field)
		json_object_set_new(object, key->name, json_integer(*(const unsigned *)field));
	else if (key->kind != NUMBER && *text)
		json_object_set_new(object, key->name, json_string(*text));
}

static json_t *section_of(json_t *document, const char *section)
{
	if (!section)
		return document;
	if (!json_object_get(document, section))
		json_object_set_new(document, section, json_object());
	return json_object_get(document, section);
}

json_t *host_to_json(const struct host_settings *host)
{
	json_t *document = json_object();

	for (size_t i = 0; i < LM_ARRAY_SIZE(KEYS); i++)
		write_value(section_of(document, KEYS[i].section), &KEYS[i],
			(const char *)host + KEYS[i].field);
	if (!host->brokers_n)
		return document;
	json_t *brokers = json_array();
	for (size_t i = 0; i < host->brokers_n; i++) {
		json_t *broker = json_object();
		for (size_t k = 0; k < LM_ARRAY_SIZE(BROKER_KEYS); k++)
			write_value(broker, &BROKER_KEYS[k],
				(const char *)&host->brokers[i] + BROKER_KEYS[k].field);
		json_t *topics = json_object();
		for (size_t k = 0; k < LM_ARRAY_SIZE(TOPIC_KEYS); k++)
			write_value(topics, &TOPIC_KEYS[k],
				(const char *)&host->brokers[i] + TOPIC_KEYS[k].field);
		json_object_set_new(broker, "topics", topics);
		json_array_append_new(brokers, broker);
	}
	json_object_set_new(document, "mqtt", brokers);
	return document;
}

static void free_texts(const struct key *keys, size_t n, void *base_of_fields)
{
	for (size_t i = 0; i < n; i++) {
		if (keys[i].kind == TEXT || keys[i].kind == PATH)
			free(*(char **)((char *)base_of_fields + keys[i].field));
		else if (keys[i].kind == TOPIC)
			free(((struct host_topic *)((char *)base_of_fields + keys[i].field))->name);
	}
}

void host_finish(struct host_settings *host)
{
	for (size_t i = 0; i < host->brokers_n; i++) {
		free_texts(BROKER_KEYS, LM_ARRAY_SIZE(BROKER_KEYS), &host->brokers[i]);
		free_texts(TOPIC_KEYS, LM_ARRAY_SIZE(TOPIC_KEYS), &host->brokers[i]);
	}
	free(host->brokers);
	free_texts(KEYS, LM_ARRAY_SIZE(KEYS), host);
	free(host->file);
	*host = (struct host_settings){0};
}
