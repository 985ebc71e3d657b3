// SPDX-License-Identifier: Apache-2.0
#include "worker/service_files.h"

#include "base/digest.h"
#include "base/encoding.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "config/arn.h"
#include "deploy/launch.h"
#include "devices/broker_config.h"
#include "devices/discovery_document.h"
#include "devices/router_table.h"
#include "sys/interfaces.h"
#include "sys/process.h"
#include "worker/service_folder.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define PENDING "pending.json"
#define BROKER "broker"
#define DISCOVERY "discovery"
#define SERVER_KEY "server.key"
#define SERVER_PEM "server.pem"
#define CLIENT_CA "client-ca.pem"
#define BROKER_CONFIG "mosquitto.conf"
#define ROUTER_TABLE "router.json"
#define DISCOVERY_DOCUMENT "discovery.json"
#define PASSWORD "connector.password"
#define CLOUD_KEY "cloud.key"
#define CLOUD_PEM "cloud.pem"
#define CLOUD_CA "cloud-ca.pem"

enum {
	PASSWORD_BYTES = 32,
	PASSWORD_DIGITS = 2 * PASSWORD_BYTES,
	CA_FILE_MAX = 1 << 20,
};

void service_files_finish(struct service_files_result *result)
{
	for (size_t i = 0; i < result->warnings_n; i++)
		free(result->warnings[i]);
	*result = (struct service_files_result){0};
}

static void add_service_warning(struct service_files_result *result, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void add_service_warning(struct service_files_result *result, const char *format, ...)
{
	va_list ap;

	if (result->warnings_n == SERVICE_WARNINGS_MAX)
		return;
	va_start(ap, format);
	result->warnings[result->warnings_n++] = lm_xvasprintf(format, ap);
	va_end(ap);
}

/// Everything that the files are made from.
struct service_plan {
	struct certificate_store *store;
	const struct group *group;
	const struct host_settings *host;
	int64_t now_s;
	struct service_files_result *result;
	struct process_user user;
	bool is_root;
	char *path, *broker_path; ///< `<state>/devices` and its `broker`.
	struct address_list addresses;
	char **names; ///< Addresses, then names of the host file; borrowed from both.
	size_t names_n;
	char *core_arn, *core_name;
	struct service_folder broker, discovery;
	struct lm_buf client_ca, config, table, document;
	struct lm_secret broker_key, discovery_key, password, cloud_key;
	char *broker_pem, *discovery_pem;
	struct lm_buf cloud_pem, cloud_ca;
	bool has_cloud;
};

#define lm_auto_service_plan lm_auto(service_plan_finish)

static void service_plan_finish(struct service_plan *p)
{
	process_user_finish(&p->user);
	free(p->path);
	free(p->broker_path);
	address_list_finish(&p->addresses);
	free(p->names);
	free(p->core_arn);
	free(p->core_name);
	lm_cleanup_close(&p->broker.fd);
	lm_cleanup_close(&p->discovery.fd);
	lm_buf_finish(&p->client_ca);
	lm_buf_finish(&p->config);
	lm_buf_finish(&p->table);
	lm_buf_finish(&p->document);
	lm_buf_finish(&p->cloud_pem);
	lm_buf_finish(&p->cloud_ca);
	lm_secret_finish(&p->broker_key);
	lm_secret_finish(&p->discovery_key);
	lm_secret_finish(&p->password);
	lm_secret_finish(&p->cloud_key);
	free(p->broker_pem);
	free(p->discovery_pem);
}

static lm_rc open_service_folder(
	const struct service_plan *p, const char *name, int *ret_fd, struct lm_err *err)
{
	return lm_dir_open_own(certificate_store_folder(p->store), name, 0750, (uid_t)-1,
		p->is_root ? p->user.gid : (gid_t)-1, ret_fd, err);
}

// Names of this device.

static bool plan_knows(const struct service_plan *p, const char *name)
{
	for (size_t i = 0; i < p->names_n; i++)
		if (strcmp(p->names[i], name) == 0)
			return true;
	return false;
}

static lm_rc collect_names(struct service_plan *p, struct lm_err *err)
{
	const struct host_names *more = &p->host->devices.names;
	lm_rc rc = interfaces_list_addresses(&p->addresses, err);

	if (rc)
		return rc;
	p->names = lm_xcalloc(p->addresses.n + more->n + 1, sizeof(*p->names));
	for (size_t i = 0; i < p->addresses.n; i++)
		p->names[p->names_n++] = p->addresses.texts[i];
	for (size_t i = 0; i < more->n && p->names_n < LIMIT_SERVER_NAMES; i++) {
		if (!certificate_is_name(lm_str(more->items[i])))
			add_service_warning(p->result,
				"devices.names has '%.100s', which is neither a host name nor an "
				"address, so the certificate is without it",
				more->items[i]);
		else if (!plan_knows(p, more->items[i]))
			p->names[p->names_n++] = more->items[i];
	}
	if (p->names_n == 0)
		return lm_fail(err, LM_E_NOT_FOUND, 0,
			"this device has no address that client devices could use: check 'ip "
			"address'");
	return LM_OK;
}

/// The core's ARN is the group's, else made from the core's name and a device's ARN.
static void find_core(struct service_plan *p)
{
	const struct group *g = p->group;
	const char *name = p->host->thing_name;
	struct lm_str thing = {0};

	if (g->cores_n > 0 && g->cores[0].thing_arn) {
		p->core_arn = lm_xstrdup(g->cores[0].thing_arn);
		if (!name && arn_is_thing(lm_str(p->core_arn), &thing))
			p->core_name = lm_xmemdup0(thing.p, thing.n);
	}
	if (!p->core_name)
		p->core_name = lm_xstrdup(name ? name : "lighterman");
	if (p->core_arn)
		return;
	const char *arn = g->devices_n > 0 ? g->devices[0].thing_arn : "";
	size_t n = arn_is_thing(lm_str(arn), &thing) ? (size_t)(thing.p - arn) : 0;
	p->core_arn =
		n ? lm_xasprintf("%.*s%s", (int)n, arn, p->core_name)
		  : lm_xasprintf("arn:aws:iot:%s:000000000000:thing/%s",
			    g->connector.region ? g->connector.region : "us-east-1", p->core_name);
}

// Certificates of servers and issuers.

/// The key and certificate of a server: those that are there, or other ones.
static lm_rc keep_server(struct service_plan *p, int dir_fd, struct lm_secret *ret_key,
	char **ret_pem, int64_t *ret_expires_s, struct lm_err *err)
{
	lm_auto_buf struct lm_buf key = LM_BUF_SECRET(LIMIT_PEM_FILE), pem = LM_BUF(LIMIT_PEM_FILE);
	lm_auto_certificate struct certificate c = {0};
	const char *const *names = (const char *const *)p->names;
	const struct certificate_authority *ca = certificate_store_authority(p->store);
	lm_rc rc = LM_OK;

	if (service_file_read(dir_fd, SERVER_KEY, &key, NULL) == LM_OK &&
		certificate_is_key(lm_buf_str(&key)))
		lm_secret_set(ret_key, lm_buf_str(&key));
	else
		rc = certificate_make_key(ret_key, err);
	if (rc)
		return rc;
	struct lm_str text = lm_buf_str(&pem);
	if (service_file_read(dir_fd, SERVER_PEM, &pem, NULL) == LM_OK)
		text = lm_buf_str(&pem);
	if (certificate_read(text, &c, NULL) == LM_OK &&
		!certificate_is_due(&c, CERTIFICATE_SERVER, p->now_s) &&
		certificate_has_names(&c, names, p->names_n) &&
		certificate_is_of_key(text, lm_secret_str(ret_key)) &&
		certificate_is_of_authority(text, ca)) {
		*ret_expires_s = c.not_after_s;
		*ret_pem = lm_buf_take(&pem);
		return LM_OK;
	}
	certificate_finish(&c);
	rc = certificate_issue_server(ca, lm_secret_str(ret_key), p->core_name, names, p->names_n,
		p->now_s, ret_pem, err);
	if (!rc)
		rc = certificate_read(lm_str(*ret_pem), &c, err);
	*ret_expires_s = c.not_after_s;
	return rc ? lm_wrap(err, "make the certificate of a server") : LM_OK;
}

/// The group's CA, and those of the host file.
static lm_rc collect_client_ca(struct service_plan *p, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(CA_FILE_MAX), more = LM_BUF(CA_FILE_MAX);
	const char *path = p->host->devices.ca;
	struct lm_err why = {LM_OK};
	lm_rc rc = certificate_copy_all(
		lm_str(certificate_store_authority_pem(p->store)), &p->client_ca, err);

	if (rc || !path)
		return rc;
	if (lm_file_read(path, &text, &why) ||
		certificate_copy_all(lm_buf_str(&text), &more, &why)) {
		add_service_warning(p->result,
			"devices.ca '%s' cannot be used: %s; certificates of its CAs are refused",
			path, why.msg);
		return LM_OK;
	}
	if (!lm_buf_add_str(&p->client_ca, lm_buf_str(&more)))
		return lm_fail(err, LM_E_TOO_LARGE, 0, "devices.ca '%s' is too large", path);
	return LM_OK;
}

// The connector's password.

static lm_rc keep_password(struct service_plan *p, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF_SECRET(256);
	unsigned char bytes[PASSWORD_BYTES];

	if (service_file_read(p->broker.fd, PASSWORD, &text, NULL) == LM_OK &&
		text.len == PASSWORD_DIGITS + 1 && text.data[PASSWORD_DIGITS] == '\n') {
		lm_secret_set(&p->password, lm_buf_str(&text));
		return LM_OK;
	}
	lm_buf_clear(&text);
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return lm_fail(err, LM_E_SYS, errno, "get random bytes: %m");
	(void)lm_hex_encode(&text, (struct lm_str){(const char *)bytes, sizeof(bytes)});
	lm_wipe(bytes, sizeof(bytes));
	(void)lm_buf_putc(&text, '\n');
	lm_secret_set(&p->password, lm_buf_str(&text));
	return LM_OK;
}

// The cloud.

static bool needs_cloud(const struct group *g)
{
	for (size_t i = 0; i < g->subscriptions_n; i++)
		if (strcmp(g->subscriptions[i].source, ENDPOINT_CLOUD) == 0 ||
			strcmp(g->subscriptions[i].target, ENDPOINT_CLOUD) == 0)
			return true;
	for (size_t i = 0; i < g->devices_n; i++)
		if (g->devices[i].sync_shadow)
			return true;
	return false;
}

static lm_rc read_cloud_files(struct service_plan *p, struct lm_err *err)
{
	const struct host_iot *iot = &p->host->iot;
	lm_auto_buf struct lm_buf key = LM_BUF_SECRET(LIMIT_PEM_FILE), pem = LM_BUF(LIMIT_PEM_FILE),
				  ca = LM_BUF(CA_FILE_MAX);

	if (!iot->endpoint || !iot->certificate || !iot->private_key || !iot->ca)
		return lm_fail(err, LM_E_NOT_FOUND, 0,
			"the host file's iot needs endpoint, certificate, privateKey and ca");
	lm_rc rc = lm_file_read(iot->private_key, &key, err);
	if (!rc)
		rc = lm_file_read(iot->certificate, &pem, err);
	if (!rc)
		rc = lm_file_read(iot->ca, &ca, err);
	if (!rc && !certificate_is_of_key(lm_buf_str(&pem), lm_buf_str(&key)))
		rc = lm_fail(err, LM_E_INVALID, 0,
			"'%s' is no certificate for the key '%s', or the key is encrypted",
			iot->certificate, iot->private_key);
	if (!rc && certificate_copy_all(lm_buf_str(&pem), &p->cloud_pem, err))
		rc = lm_wrap(err, "'%s'", iot->certificate);
	if (!rc && certificate_copy_all(lm_buf_str(&ca), &p->cloud_ca, err))
		rc = lm_wrap(err, "'%s'", iot->ca);
	if (!rc)
		lm_secret_set(&p->cloud_key, lm_buf_str(&key));
	return rc;
}

static void prepare_cloud(struct service_plan *p)
{
	struct lm_err why = {LM_OK};

	if (!needs_cloud(p->group))
		return;
	p->has_cloud = read_cloud_files(p, &why) == LM_OK;
	if (!p->has_cloud)
		add_service_warning(p->result,
			"subscriptions with the cloud and shadow synchronization do not work: %s",
			why.msg);
}

// mosquitto.conf.

struct cloud_lists {
	const char **subjects, **things;
	size_t subjects_n, things_n;
};

static void cloud_lists_finish(struct cloud_lists *l)
{
	free(l->subjects);
	free(l->things);
}

static struct cloud_lists collect_cloud_lists(const struct group *g)
{
	struct cloud_lists l = {.subjects = lm_xcalloc(g->subscriptions_n + 1, sizeof(char *)),
		.things = lm_xcalloc(g->devices_n + 1, sizeof(char *))};

	for (size_t i = 0; i < g->subscriptions_n; i++)
		if (strcmp(g->subscriptions[i].source, ENDPOINT_CLOUD) == 0)
			l.subjects[l.subjects_n++] = g->subscriptions[i].subject;
	for (size_t i = 0; i < g->devices_n; i++)
		if (g->devices[i].sync_shadow)
			l.things[l.things_n++] = g->devices[i].thing_name;
	return l;
}

static bool can_be_written(const struct broker_settings *settings, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_BROKER_CONFIG);

	return broker_config_write(settings, &text, err) == LM_OK;
}

/// Keeps the subjects that mosquitto.conf can say, and warns of the others.
static void drop_bad_subjects(
	struct service_plan *p, const struct broker_settings *settings, struct cloud_lists *l)
{
	struct broker_bridge bridge = *settings->cloud;
	struct broker_settings single = *settings;
	size_t kept = 0;

	single.cloud = &bridge;
	bridge.sync_things_n = bridge.subjects_n = 0;
	if (!can_be_written(&single, NULL)) // then it is no subject's fault
		return;
	bridge.subjects_n = 1;
	for (size_t i = 0; i < l->subjects_n; i++) {
		struct lm_err why = {LM_OK};

		bridge.subjects = &l->subjects[i];
		if (can_be_written(&single, &why))
			l->subjects[kept++] = l->subjects[i];
		else
			add_service_warning(p->result, "a subscription does not work: %s", why.msg);
	}
	l->subjects_n = kept;
}

static lm_rc write_with_cloud(
	struct service_plan *p, struct broker_settings *settings, struct lm_err *err)
{
	lm_auto_free char *pem = lm_path_join(p->broker_path, CLOUD_PEM);
	lm_auto_free char *key = lm_path_join(p->broker_path, CLOUD_KEY);
	lm_auto_free char *ca = lm_path_join(p->broker_path, CLOUD_CA);
	lm_auto(cloud_lists_finish) struct cloud_lists lists = collect_cloud_lists(p->group);
	struct broker_bridge bridge = {.endpoint = p->host->iot.endpoint,
		.port = p->host->devices.cloud_port,
		.core = p->core_name,
		.certificate = pem,
		.key = key,
		.ca = ca,
		.subjects = lists.subjects,
		.subjects_n = lists.subjects_n,
		.sync_things = lists.things,
		.sync_things_n = lists.things_n};
	settings->cloud = &bridge;
	lm_rc rc = broker_config_write(settings, &p->config, err);
	if (rc == LM_E_INVALID) {
		lm_buf_clear(&p->config);
		drop_bad_subjects(p, settings, &lists);
		bridge.subjects_n = lists.subjects_n;
		rc = broker_config_write(settings, &p->config, err);
	}
	settings->cloud = NULL;
	return rc;
}

static lm_rc write_broker_config(struct service_plan *p, struct lm_err *err)
{
	const char *run = p->host->runtime_directory;
	lm_auto_free char *plugin = NULL;
	lm_auto_free char *table = lm_path_join(p->broker_path, ROUTER_TABLE);
	lm_auto_free char *status = lm_path_join(run, "devices/status.json");
	lm_auto_free char *socket = lm_path_join(run, "devices/broker.sock");
	lm_auto_free char *data = lm_path_join(p->broker_path, "data");
	lm_auto_free char *pem = lm_path_join(p->broker_path, SERVER_PEM);
	lm_auto_free char *key = lm_path_join(p->broker_path, SERVER_KEY);
	lm_auto_free char *ca = lm_path_join(p->broker_path, CLIENT_CA);
	struct broker_settings settings = {.port = p->host->devices.broker_port,
		.user = p->user.name,
		.table = table,
		.status = status,
		.data = data,
		.socket = socket,
		.certificate = pem,
		.key = key,
		.client_ca = ca};
	struct lm_err why = {LM_OK};
	lm_rc rc = launch_find_library("lighterman_router.so", &plugin, err);

	if (rc)
		return rc;
	settings.plugin = plugin;
	if (p->has_cloud && write_with_cloud(p, &settings, &why)) {
		add_service_warning(p->result,
			"subscriptions with the cloud and shadow synchronization do not work: %s",
			why.msg);
		p->has_cloud = false;
		lm_buf_clear(&p->config);
	}
	return p->has_cloud ? LM_OK : broker_config_write(&settings, &p->config, err);
}

// router.json and discovery.json.

static char **copy_certificates(
	const struct registry_device *device, const char *named, size_t *ret_n)
{
	const char *list[REGISTRY_CERTIFICATES_MAX + 1];
	size_t n = device_registry_list(device, named, list);
	char **copies = lm_xcalloc(n + 1, sizeof(*copies));

	for (size_t i = 0; i < n; i++)
		copies[i] = lm_xstrdup(list[i]);
	*ret_n = n;
	return copies;
}

static char **copy_device_certificates(
	const struct service_plan *p, const struct group_device *d, size_t *ret_n)
{
	return copy_certificates(
		device_registry_find(certificate_store_registry(p->store), d->thing_name),
		d->certificate_sha256, ret_n);
}

static void add_router_devices(struct service_plan *p, struct router_table *table)
{
	table->devices = lm_xcalloc(p->group->devices_n + 1, sizeof(*table->devices));
	for (size_t i = 0; i < p->group->devices_n; i++) {
		const struct group_device *d = &p->group->devices[i];
		struct router_device *to = &table->devices[table->devices_n];

		if (!router_table_is_device_name(lm_str(d->thing_name))) {
			add_service_warning(p->result,
				"the device '%.128s' cannot connect, as its name begins like an "
				"ARN",
				d->thing_name);
			continue;
		}
		*to = (struct router_device){.name = lm_xstrdup(d->thing_name),
			.arn = lm_xstrdup(d->thing_arn),
			.sync = d->sync_shadow && p->has_cloud};
		to->certificates = copy_device_certificates(p, d, &to->certificates_n);
		table->devices_n++;
	}
}

/// Functions that have certificates; one that is on this device needs none.
static void add_router_functions(const struct service_plan *p, struct router_table *table)
{
	const struct device_registry *registry = certificate_store_registry(p->store);

	table->functions = lm_xcalloc(registry->devices_n + 1, sizeof(*table->functions));
	for (size_t i = 0; i < registry->devices_n; i++) {
		const struct registry_device *device = &registry->devices[i];
		struct router_function *to = &table->functions[table->functions_n];

		if (!arn_is_function(lm_str(device->name)) || device->removed)
			continue;
		to->arn = lm_xstrdup(device->name);
		to->certificates = copy_certificates(device, NULL, &to->certificates_n);
		table->functions_n++;
	}
}

static void add_router_subscriptions(const struct group *g, struct router_table *table)
{
	table->subscriptions = lm_xcalloc(g->subscriptions_n + 1, sizeof(*table->subscriptions));
	for (size_t i = 0; i < g->subscriptions_n; i++) {
		const struct group_subscription *s = &g->subscriptions[i];

		table->subscriptions[table->subscriptions_n++] = (struct router_subscription){
			lm_xstrdup(s->source), lm_xstrdup(s->subject), lm_xstrdup(s->target)};
	}
}

static lm_rc write_router_table(struct service_plan *p, struct lm_err *err)
{
	lm_auto_router_table struct router_table table = {.cloud = p->has_cloud};
	struct lm_str password = lm_str_trim(lm_secret_str(&p->password));
	char sha256[LM_SHA256_HEX + 1];

	lm_sha256_hex(password, sha256);
	table.core = lm_xstrdup(p->core_arn);
	table.connector =
		(struct router_connector){lm_xstrdup(p->group->connector.arn), lm_xstrdup(sha256)};
	add_router_devices(p, &table);
	add_router_functions(p, &table);
	add_router_subscriptions(p->group, &table);
	lm_auto_json json_t *document = router_table_to_json(&table);
	if (!json_write(document, &p->table))
		return lm_fail(err, LM_E_TOO_LARGE, 0, "'" ROUTER_TABLE "' would be over %zu bytes",
			p->table.max);
	return LM_OK;
}

static bool is_address(const char *text)
{
	struct in6_addr address;

	return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}

static void add_discovery_addresses(const struct service_plan *p, struct discovery_document *doc)
{
	doc->addresses = lm_xcalloc(p->names_n + 1, sizeof(*doc->addresses));
	for (size_t i = 0; i < p->names_n && doc->addresses_n < DISCOVERY_ADDRESSES_MAX; i++)
		if (is_address(p->names[i]))
			doc->addresses[doc->addresses_n++] = lm_xstrdup(p->names[i]);
}

static void add_discovery_ports(const struct host_devices *d, struct discovery_document *doc)
{
	doc->listen = lm_xcalloc(2, sizeof(*doc->listen));
	doc->listen[doc->listen_n++] = (struct discovery_port){.port = d->discovery_port};
	if (d->alpn_port.number && d->alpn_port.number != d->discovery_port)
		doc->listen[doc->listen_n++] = (struct discovery_port){
			.port = d->alpn_port.number, .optional = !d->alpn_port.given};
}

static void add_discovery_devices(const struct service_plan *p, struct discovery_document *doc)
{
	doc->devices = lm_xcalloc(p->group->devices_n + 1, sizeof(*doc->devices));
	for (size_t i = 0; i < p->group->devices_n; i++) {
		const struct group_device *d = &p->group->devices[i];
		struct discovery_device *to = &doc->devices[doc->devices_n];

		if (!router_table_is_device_name(lm_str(d->thing_name)))
			continue;
		to->name = lm_xstrdup(d->thing_name);
		to->certificates = copy_device_certificates(p, d, &to->certificates_n);
		doc->devices_n++;
	}
}

static lm_rc write_discovery_document(struct service_plan *p, struct lm_err *err)
{
	lm_auto(discovery_document_finish) struct discovery_document doc = {
		.group = lm_xstrdup(certificate_store_registry(p->store)->group),
		.core = lm_xstrdup(p->core_arn),
		.port = p->host->devices.broker_port,
		.ca = lm_xstrdup(certificate_store_authority_pem(p->store))};

	add_discovery_addresses(p, &doc);
	add_discovery_ports(&p->host->devices, &doc);
	add_discovery_devices(p, &doc);
	if (!discovery_document_write(&doc, &p->document))
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"'" DISCOVERY_DOCUMENT "' would be over %zu bytes", p->document.max);
	return LM_OK;
}

static bool has_other_ports(const struct discovery_document *a, const struct discovery_document *b)
{
	bool differ = a->listen_n != b->listen_n;

	for (size_t i = 0; !differ && i < a->listen_n; i++)
		differ = a->listen[i].port != b->listen[i].port ||
			 a->listen[i].optional != b->listen[i].optional;
	return differ;
}

/// A reload is enough, except for other ports, and for what has not been started yet.
static enum service_step find_discovery_step(const struct service_plan *p)
{
	lm_auto(discovery_document_finish) struct discovery_document old = {0}, new = {0};
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_DISCOVERY_FILE);

	return service_file_read(p->discovery.fd, DISCOVERY_DOCUMENT, &text, NULL) ||
			       discovery_document_parse(lm_buf_str(&text), &old, NULL) ||
			       discovery_document_parse(lm_buf_str(&p->document), &new, NULL) ||
			       has_other_ports(&old, &new)
		       ? SERVICE_RESTART
		       : SERVICE_RELOAD;
}

// All of it.

/// The user that the services run as: ours, if we cannot become another.
static lm_rc find_service_user(struct service_plan *p, struct lm_err *err)
{
	const char *name = p->host->devices.user;

	p->is_root = geteuid() == 0;
	p->broker.user = p->discovery.user = p->is_root ? &p->user : NULL;
	if (!p->is_root) {
		if (process_user_by_uid(geteuid(), &p->user, NULL))
			p->user.name = lm_xasprintf("%u", (unsigned)geteuid());
		return LM_OK;
	}
	lm_rc rc = process_user_by_name(name, &p->user, err);
	if (rc == LM_E_NOT_FOUND)
		return lm_fail(err, rc, 0,
			"the user '%s', as whom the broker for client devices runs, does not "
			"exist: "
			"install the package mosquitto, or set devices.user in the host file",
			name);
	return rc;
}

static lm_rc make_broker_folder(struct service_plan *p, struct lm_err *err)
{
	lm_auto_close int data_fd = -1;
	lm_rc rc = open_service_folder(p, BROKER, &p->broker.fd, err);

	if (!rc)
		rc = lm_dir_open_own(p->broker.fd, "data", 0700,
			p->is_root ? p->user.uid : (uid_t)-1, p->is_root ? p->user.gid : (gid_t)-1,
			&data_fd, err);
	if (!rc)
		rc = keep_server(p, p->broker.fd, &p->broker_key, &p->broker_pem,
			&p->result->server_expires_s, err);
	if (!rc)
		rc = keep_password(p, err);
	if (rc)
		return rc;
	prepare_cloud(p);
	rc = write_broker_config(p, err);
	return rc ? rc : write_router_table(p, err);
}

static void want(struct service_folder *folder, const char *name, struct lm_str text, mode_t mode,
	bool is_users, enum service_step step)
{
	service_folder_add(folder, &(struct service_file){name, text, mode, is_users, step});
}

static void want_broker_files(struct service_plan *p)
{
	struct service_folder *f = &p->broker;

	want(f, PASSWORD, lm_secret_str(&p->password), 0600, false, SERVICE_NONE);
	want(f, SERVER_KEY, lm_secret_str(&p->broker_key), 0600, true, SERVICE_RELOAD);
	want(f, SERVER_PEM, lm_str(p->broker_pem), 0640, false, SERVICE_RELOAD);
	want(f, CLIENT_CA, lm_buf_str(&p->client_ca), 0640, false, SERVICE_RESTART);
	if (p->has_cloud) {
		want(f, CLOUD_KEY, lm_secret_str(&p->cloud_key), 0600, true, SERVICE_RESTART);
		want(f, CLOUD_PEM, lm_buf_str(&p->cloud_pem), 0640, false, SERVICE_RESTART);
		want(f, CLOUD_CA, lm_buf_str(&p->cloud_ca), 0640, false, SERVICE_RESTART);
	}
	want(f, ROUTER_TABLE, lm_buf_str(&p->table), 0640, false, SERVICE_RELOAD);
	want(f, BROKER_CONFIG, lm_buf_str(&p->config), 0640, false, SERVICE_RESTART);
	service_folder_compare(f);
}

static lm_rc make_discovery_folder(struct service_plan *p, struct lm_err *err)
{
	struct service_folder *f = &p->discovery;
	int64_t expires_s;
	lm_rc rc = open_service_folder(p, DISCOVERY, &f->fd, err);

	if (!rc)
		rc = keep_server(p, f->fd, &p->discovery_key, &p->discovery_pem, &expires_s, err);
	if (!rc)
		rc = write_discovery_document(p, err);
	if (rc)
		return rc;
	want(f, SERVER_KEY, lm_secret_str(&p->discovery_key), 0600, true, SERVICE_RELOAD);
	want(f, SERVER_PEM, lm_str(p->discovery_pem), 0640, false, SERVICE_RELOAD);
	want(f, CLIENT_CA, lm_buf_str(&p->client_ca), 0640, false, SERVICE_RELOAD);
	want(f, DISCOVERY_DOCUMENT, lm_buf_str(&p->document), 0640, false, find_discovery_step(p));
	service_folder_compare(f);
	return LM_OK;
}

static lm_rc make_all_files(struct service_plan *p, struct lm_err *err)
{
	lm_rc rc = find_service_user(p, err);

	if (!rc)
		rc = collect_names(p, err);
	if (rc)
		return rc;
	find_core(p);
	rc = collect_client_ca(p, err);
	if (!rc)
		rc = make_broker_folder(p, err);
	if (rc)
		return rc;
	want_broker_files(p);
	return p->group->devices_n > 0 ? make_discovery_folder(p, err) : LM_OK;
}

static lm_rc place_all_files(struct service_plan *p, struct lm_err *err)
{
	static const char *const of_cloud[] = {CLOUD_KEY, CLOUD_PEM, CLOUD_CA};
	struct service_files_result *result = p->result;
	int folder_fd = certificate_store_folder(p->store);
	bool has_discovery = p->group->devices_n > 0;
	lm_rc rc = LM_OK;

	result->steps = service_steps_read(folder_fd);
	result->steps.broker = service_step_max(result->steps.broker, p->broker.step);
	result->steps.discovery =
		has_discovery ? service_step_max(result->steps.discovery, p->discovery.step)
			      : SERVICE_STOP;
	if (p->broker.step || p->discovery.step)
		rc = service_steps_write(folder_fd, result->steps, err);
	if (!rc)
		rc = service_folder_place(&p->broker, err);
	if (!rc && !p->has_cloud)
		rc = service_file_remove_all(p->broker.fd, of_cloud, LM_ARRAY_SIZE(of_cloud), err);
	if (!rc && has_discovery)
		rc = service_folder_place(&p->discovery, err);
	return !rc && !has_discovery ? lm_tree_remove(folder_fd, DISCOVERY, err) : rc;
}

lm_rc service_files_apply(struct certificate_store *store, const struct group *group,
	const struct host_settings *host, int64_t now_s, struct service_files_result *ret,
	struct lm_err *err)
{
	lm_auto_service_plan struct service_plan p = {.store = store,
		.group = group,
		.host = host,
		.now_s = now_s,
		.result = ret,
		.path = lm_path_join(host->state_directory, "devices"),
		.broker = {.fd = -1},
		.discovery = {.fd = -1},
		.client_ca = LM_BUF(CA_FILE_MAX + LIMIT_PEM_FILE),
		.config = LM_BUF(LIMIT_BROKER_CONFIG),
		.table = LM_BUF(LIMIT_ROUTER_TABLE),
		.document = LM_BUF(LIMIT_DISCOVERY_FILE),
		.cloud_pem = LM_BUF(LIMIT_PEM_FILE),
		.cloud_ca = LM_BUF(CA_FILE_MAX)};

	p.broker_path = lm_path_join(p.path, BROKER);
	lm_rc rc = make_all_files(&p, err);
	if (!rc)
		rc = place_all_files(&p, err);
	return rc ? lm_wrap(err, "prepare the broker and discovery for client devices") : LM_OK;
}

lm_rc service_files_remove(
	const char *state_directory, struct service_files_result *ret, struct lm_err *err)
{
	// The configuration last: by it lightermand sees that there is something to be removed.
	static const char *const of_broker[] = {ROUTER_TABLE, SERVER_KEY, SERVER_PEM, CLIENT_CA,
		PASSWORD, CLOUD_KEY, CLOUD_PEM, CLOUD_CA, BROKER_CONFIG};
	static const char *const of_both[] = {PENDING};
	lm_auto_free char *path = lm_path_join(state_directory, "devices");
	lm_auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	ret->steps = (struct service_steps){SERVICE_STOP, SERVICE_STOP};
	if (fd < 0)
		return errno == ENOENT
			       ? LM_OK
			       : lm_fail(err, lm_rc_of_errno(errno), errno, "open '%s': %m", path);
	lm_auto_close int broker_fd =
		openat(fd, BROKER, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	lm_rc rc = lm_tree_remove(fd, DISCOVERY, err);
	if (!rc)
		rc = service_file_remove_all(fd, of_both, LM_ARRAY_SIZE(of_both), err);
	return rc || broker_fd < 0 ? rc
				   : service_file_remove_all(
					     broker_fd, of_broker, LM_ARRAY_SIZE(of_broker), err);
}

int64_t service_files_server_expires(const char *state_directory)
{
	lm_auto_free char *path = lm_path_join(state_directory, "devices/" BROKER "/" SERVER_PEM);
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_PEM_FILE);
	lm_auto_certificate struct certificate c = {0};

	if (lm_file_read(path, &text, NULL) || certificate_read(lm_buf_str(&text), &c, NULL))
		return 0;
	return c.not_after_s;
}
