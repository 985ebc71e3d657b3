// SPDX-License-Identifier: Apache-2.0

/// lighterman_router.so: what mosquitto calls. Everything is decided elsewhere; this translates.
///
/// Options: plugin_opt_table (router.json; needed), plugin_opt_status (status.json),
/// plugin_opt_shadows (the shadows' database; without it there is no GGShadowService),
/// plugin_opt_socket (mosquitto's unix socket). All calls come on mosquitto's one thread.

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "broker/cloud.h"
#include "broker/delivery.h"
#include "broker/identity.h"
#include "broker/local_clients.h"
#include "broker/publish.h"
#include "broker/report.h"
#include "broker/shadow_service.h"
#include "broker/status_file.h"
#include "config/topic.h"
#include "devices/certificates.h"

#include <errno.h>
#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

struct plugin {
	mosquitto_plugin_id_t *id;
	char *table_path;
	struct routes *routes;
	const struct router_endpoint *cloud_endpoint, *shadow_endpoint; ///< Of `routes`.
	struct local_clients *clients;
	struct delivery delivery;
	struct report report;
	struct status_file *status_file;
	struct shadow_service *shadows; ///< NULL: none.
	pthread_t loop;                 ///< The thread of mosquitto, and of all here.
	struct cloud *cloud;
	uint64_t watched_ms; ///< When watch_spin began anew.
	struct router_counts counts;
	int64_t started_ms, table_loaded_ms;
	char *table_error;
	char *socket_path;  ///< NULL: none, or it is open to all.
	bool status_failed; ///< And that was reported.
	bool reloading;     ///< Until the end of the turn.
	bool stuck;         ///< A client is.
};

// The table.

static lm_rc read_router_table(const char *path, struct router_table *ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_ROUTER_TABLE);
	lm_rc rc = lm_file_read(path, &text, err);

	if (rc != LM_OK)
		return rc;
	rc = router_table_read(lm_buf_str(&text), ret, err);
	return rc == LM_OK ? rc : lm_wrap(err, "'%s'", path);
}

/// With `routes`, and whenever there are others.
static void take_routes(struct plugin *p)
{
	delivery_finish(&p->delivery);
	delivery_init(&p->delivery, p->routes);
	p->cloud_endpoint = routes_endpoint(p->routes, LM_STR(ENDPOINT_CLOUD));
	p->shadow_endpoint = routes_endpoint(p->routes, LM_STR(ENDPOINT_SHADOWS));
}

/// The shadows are of the devices in the table.
static void name_shadows(struct plugin *p)
{
	const struct router_table *table = routes_table(p->routes);
	lm_auto_free const char **names = lm_xcalloc(table->devices_n + 1, sizeof(*names));
	size_t synchronized = 0;

	for (size_t i = 0; i < table->devices_n; i++)
		names[i] = table->devices[i].name;
	if (p->shadows)
		shadow_service_set_things(p->shadows, names, table->devices_n);
	for (size_t i = 0; i < table->devices_n; i++) {
		if (table->devices[i].sync)
			names[synchronized++] = table->devices[i].name;
	}
	cloud_set(p->cloud, table->cloud, names, synchronized);
}

static lm_rc load_table(struct plugin *p, struct routes **ret, struct lm_err *err)
{
	struct router_table table = {0};
	lm_rc rc = read_router_table(p->table_path, &table, err);

	free(p->table_error);
	p->table_error = rc == LM_OK ? NULL : lm_xstrdup(err->msg);
	if (rc != LM_OK)
		return rc;
	p->table_loaded_ms = lm_clock_wall_ms();
	report_notice("'%s': %zu devices, %zu subscriptions", p->table_path, table.devices_n,
		table.subscriptions_n);
	*ret = routes_create(&table);
	return LM_OK;
}

static void kick(void *ctx, const char *client_id, const char *why)
{
	(void)ctx;
	report_notice("disconnecting '%s': %s", client_id, why);
	(void)mosquitto_kick_client_by_clientid(client_id, false);
}

/// A table that cannot be read leaves the old one.
static int on_reload(int event, void *data, void *userdata)
{
	struct plugin *p = userdata;
	struct routes *old = p->routes;
	struct lm_err err = {0};

	(void)event;
	(void)data;
	p->reloading = true;
	delivery_end(&p->delivery);
	status_file_touch(p->status_file);
	if (load_table(p, &p->routes, &err) != LM_OK) {
		report_error("%s; routing as before", err.msg);
		return MOSQ_ERR_SUCCESS;
	}
	take_routes(p);
	local_clients_set_routes(p->clients, p->routes, kick, p);
	name_shadows(p);
	routes_destroy(old);
	return MOSQ_ERR_SUCCESS;
}

// Connections.

/// Over the unix socket the address is the socket's path. A client with websockets, of which our
/// configuration has none, can tell any address.
static bool is_local_client(const struct mosquitto *client)
{
	const char *address = mosquitto_client_address(client);

	return address && mosquitto_client_protocol(client) == mp_mqtt &&
	       (address[0] == '/' || strcmp(address, "unix-socket") == 0);
}

static int check_connection(struct plugin *p, const struct mosquitto_evt_basic_auth *e)
{
	char fingerprint[CERTIFICATE_SHA256_SIZE];
	X509 *certificate = mosquitto_client_certificate(e->client);
	struct identity shown = {
		.client_id = mosquitto_client_id(e->client),
		.certificate = certificate && certificate_fingerprint(certificate, fingerprint)
				       ? fingerprint
				       : NULL,
		.user = e->username,
		.password = e->password,
		.local = is_local_client(e->client),
	};
	const char *why = NULL;
	bool keep = false;
	const struct router_endpoint *endpoint = identity_check(p->routes, &shown, &why);

	X509_free(certificate);
	status_file_touch(p->status_file);
	delivery_end(&p->delivery);
	if (!endpoint) {
		p->counts.refused_connections++;
		report_refusal(&p->report, "connection", lm_str(shown.client_id), LM_STR(""), why);
		return MOSQ_ERR_AUTH;
	}
	// With a reload mosquitto disconnects clients without a user name, if it is told to allow
	// none.
	if (!shown.user && mosquitto_set_username(e->client, shown.client_id) != MOSQ_ERR_SUCCESS)
		return MOSQ_ERR_AUTH;
	(void)local_clients_connect(
		p->clients, endpoint, e->client, &shown, lm_clock_wall_ms(), &keep);
	delivery_connect(&p->delivery, e->client, keep);
	return MOSQ_ERR_SUCCESS;
}

static int on_basic_auth(int event, void *data, void *userdata)
{
	struct plugin *p = userdata;

	(void)event;
	// Behind a reload mosquitto asks again, also about sessions whose client is away: who may
	// not stay was disconnected by on_reload.
	return p->reloading ? MOSQ_ERR_SUCCESS : check_connection(p, data);
}

/// Authentication that would go around on_basic_auth.
static int on_extended_auth(int event, void *data, void *userdata)
{
	const struct mosquitto_evt_extended_auth *e = data;
	struct plugin *p = userdata;

	(void)event;
	p->counts.refused_connections++;
	status_file_touch(p->status_file);
	report_refusal(&p->report, "connection", lm_str(mosquitto_client_id(e->client)), LM_STR(""),
		"it asks for extended authentication, of which there is none");
	return MOSQ_ERR_NOT_SUPPORTED;
}

static int on_disconnect(int event, void *data, void *userdata)
{
	const struct mosquitto_evt_disconnect *e = data;
	struct plugin *p = userdata;

	(void)event;
	delivery_disconnect(&p->delivery);
	cloud_disconnected(p->cloud, mosquitto_client_id(e->client));
	if (local_clients_disconnect(
		    p->clients, e->client, mosquitto_client_id(e->client), lm_clock_wall_ms()))
		status_file_touch(p->status_file);
	return MOSQ_ERR_SUCCESS;
}

// Messages.

/// What is being delivered, to those of its targets that are no clients of the broker. `client_id`:
/// who published it; NULL: the cloud, to which nothing of its own goes back.
static void hand_on(
	struct plugin *p, const char *client_id, const char *topic, struct lm_str payload)
{
	if (client_id && route_match_has(p->delivery.match, p->cloud_endpoint))
		(void)cloud_forward(p->cloud, topic, payload);
	if (p->shadows && route_match_has(p->delivery.match, p->shadow_endpoint))
		shadow_service_request(p->shadows, client_id, lm_str(topic), payload);
}

static int allow_read(struct plugin *p, const struct mosquitto_evt_acl_check *e)
{
	const struct router_endpoint *target =
		local_clients_identify(p->clients, e->client, mosquitto_client_id(e->client));

	bool waited = delivery_is_waiting(&p->delivery, e->client, e->topic);

	// Nothing is kept for a client that is away, as Greengrass V1 kept nothing.
	if (!target || !local_clients_is_connected(p->clients, target, e->client))
		return MOSQ_ERR_ACL_DENIED;
	if (delivery_allows(&p->delivery, e->client, target, e->topic)) {
		p->counts.delivered++;
		return MOSQ_ERR_SUCCESS;
	}
	if (waited)
		p->stuck = local_clients_of(p->clients, target)->stuck = true;
	return MOSQ_ERR_ACL_DENIED;
}

/// Why a message of `source` goes nowhere, or NULL; then it is being delivered.
static const char *why_not_routed(struct plugin *p, const struct mosquitto_evt_acl_check *e,
	const struct router_endpoint *source, const struct local_client *client)
{
	bool will = client && client->token != e->client;

	if (!source || !client || client->barred)
		return "it is no client of the group any more";
	// mosquitto has checked that it is a name, in UTF-8.
	if (delivery_is_reserved(lm_str(e->topic)))
		return "nobody publishes on such a topic";
	if (e->payloadlen > LIMIT_MQTT_PAYLOAD)
		return "it is longer than 128 KiB";
	// A message that is no will loses the flag in on_message.
	if (will && e->retain)
		return "a will cannot be retained";
	if (!delivery_publish(&p->delivery, e->client, source, e->topic))
		return "no subscription has that source and subject";
	return NULL;
}

static int allow_write(struct plugin *p, const struct mosquitto_evt_acl_check *e)
{
	const char *id = mosquitto_client_id(e->client);
	const struct router_endpoint *source = local_clients_identify(p->clients, e->client, id);
	struct local_client *client = source ? local_clients_of(p->clients, source) : NULL;
	const char *why = why_not_routed(p, e, source, client);

	status_file_touch(p->status_file);
	if (!why) {
		p->counts.routed++;
		client->routed++;
		hand_on(p, id, e->topic, (struct lm_str){e->payload, e->payloadlen});
		return MOSQ_ERR_SUCCESS;
	}
	delivery_disconnect(&p->delivery);
	p->counts.refused++;
	if (client)
		client->refused++;
	report_refusal(&p->report, "message", lm_str(id), lm_str(e->topic), why);
	return MOSQ_ERR_ACL_DENIED;
}

/// Who may subscribe to what is no question: what is delivered is decided for each message.
static int allow_subscribe(struct plugin *p, const struct mosquitto_evt_acl_check *e)
{
	const char *id = mosquitto_client_id(e->client);
	const char *why = "the filter is invalid";

	delivery_end(&p->delivery);
	if (!local_clients_identify(p->clients, e->client, id))
		why = "it is no client of the group any more";
	else if (delivery_is_reserved(lm_str(e->topic)))
		why = "nobody subscribes to such topics";
	else if (mosquitto_client_sub_count(e->client) >= LIMIT_CLIENT_FILTERS)
		why = "it has 500 subscriptions, the maximum";
	else if (topic_is_filter(lm_str(e->topic), &why))
		return MOSQ_ERR_SUCCESS;
	report_refusal(&p->report, "subscription", lm_str(id), lm_str(e->topic), why);
	return MOSQ_ERR_ACL_DENIED;
}

static int on_acl_check(int event, void *data, void *userdata)
{
	const struct mosquitto_evt_acl_check *e = data;
	struct plugin *p = userdata;

	(void)event;
	switch (e->access) {
	case MOSQ_ACL_READ:
		return allow_read(p, e);
	case MOSQ_ACL_WRITE:
		return allow_write(p, e);
	case MOSQ_ACL_SUBSCRIBE:
		return allow_subscribe(p, e);
	case MOSQ_ACL_UNSUBSCRIBE:
		delivery_end(&p->delivery);
		return MOSQ_ERR_SUCCESS;
	default:
		return MOSQ_ERR_ACL_DENIED;
	}
}

/// What a bridge received was not checked before.
static int route_from_cloud(struct plugin *p, const struct mosquitto_evt_message *e)
{
	struct lm_str payload = {e->payload, e->payloadlen};

	status_file_touch(p->status_file);
	if (cloud_receive(p->cloud, e->topic, payload) == CLOUD_ROUTE &&
		delivery_publish(&p->delivery, e->client, p->cloud_endpoint, e->topic)) {
		p->counts.routed++;
		hand_on(p, NULL, e->topic, payload);
		return MOSQ_ERR_SUCCESS;
	}
	delivery_end(&p->delivery);
	return MOSQ_ERR_ACL_DENIED;
}

static int on_message(int event, void *data, void *userdata)
{
	struct mosquitto_evt_message *e = data;
	struct plugin *p = userdata;
	const char *id = mosquitto_client_id(e->client);

	(void)event;
	e->retain = false;
	p->delivery.connecting = NULL;
	if (delivery_is_of(&p->delivery, e->client, e->topic))
		return MOSQ_ERR_SUCCESS;
	if (cloud_is_bridge(id))
		return route_from_cloud(p, e);
	delivery_end(&p->delivery);
	return MOSQ_ERR_ACL_DENIED;
}

// The loop.

enum { SPIN_MAX_S = 20, SPIN_WATCH_MS = 1000 };

static void end_spin(int number)
{
	static const char line[] =
		"lighterman_router: mosquitto's loop does not come back; ending it\n";

	(void)number;
	if (write(STDERR_FILENO, line, sizeof(line) - 1) < 0)
		_exit(2);
	_exit(1);
}

/// mosquitto 2.0.11 forgets to take a bridge whose TLS handshake failed (the cloud's certificate is
/// not valid yet by a clock that is wrong) out of its table of sockets; after a few more the table
/// is a circle, and its loop runs in it for ever. A turn that takes SPIN_MAX_S of processor time is
/// ended: whoever supervises the broker starts it again.
static void watch_spin(struct plugin *p, uint64_t now_mono_ms)
{
	struct itimerval limit = {.it_value = {.tv_sec = SPIN_MAX_S}};

	if (now_mono_ms < p->watched_ms + SPIN_WATCH_MS)
		return;
	p->watched_ms = now_mono_ms;
	(void)setitimer(ITIMER_PROF, &limit, NULL);
}

/// Called by shadow_service_commit; mosquitto hands it out as the plugin's own.
static void publish_shadow_reply(void *ctx, const char *topic, struct lm_str payload)
{
	struct plugin *p = ctx;

	status_file_touch(p->status_file);
	if (!broker_publish(topic, payload, 0))
		report_refusal(&p->report, "shadow reply", LM_STR(ENDPOINT_SHADOWS), lm_str(topic),
			"it is too large or memory is out");

	struct route_match match;
	routes_match(p->routes, p->shadow_endpoint, lm_str(topic), &match);
	if (route_match_has(&match, p->cloud_endpoint))
		(void)cloud_forward(p->cloud, topic, payload);
}

static bool publish_to_bridge(void *ctx, const char *topic, struct lm_str payload)
{
	(void)ctx;
	return broker_publish(topic, payload, 1);
}

/// mosquitto writes its database when it gets this signal, in its next turn.
static void save_queues(void *ctx)
{
	(void)ctx;
	(void)raise(SIGUSR1);
}

static void report_cloud(
	void *ctx, const char *kind, struct lm_str who, struct lm_str what, const char *why)
{
	struct plugin *p = ctx;

	report_refusal(&p->report, kind, who, what, why);
}

static json_t *shadow_status(const struct plugin *p)
{
	struct shadow_counts counts = {0};

	if (p->shadows)
		counts = shadow_service_counts(p->shadows);
	return json_pack("{s:I,s:I,s:o}", "updates", (json_int_t)counts.updates, "rejected",
		(json_int_t)counts.rejected, "error", json_from_text(counts.error));
}

static void write_status(struct plugin *p, uint64_t now_mono_ms)
{
	lm_auto_json json_t *shadows = shadow_status(p);
	lm_auto_json json_t *cloud = cloud_status(p->cloud);
	struct router_status status = {
		.started_ms = p->started_ms,
		.table_loaded_ms = p->table_loaded_ms,
		.table_error = p->table_error,
		.counts = p->counts,
		.clients = p->clients,
		.shadows = shadows,
		.cloud = cloud,
	};
	struct lm_err err = {0};

	bool failed = status_file_write(p->status_file, now_mono_ms, &status, &err) != LM_OK;

	if (failed && !p->status_failed)
		report_error("the status is not written: %s", err.msg);
	p->status_failed = failed;
}

/// mosquitto 2.0.11 drops what may not be delivered behind a connect, but goes on counting it as
/// not acknowledged, and so sends less and less, or nothing. With the next connect it counts anew.
static void free_stuck_clients(struct plugin *p)
{
	const struct local_client *client = NULL;

	p->stuck = false;
	while ((client = local_clients_take_stuck(p->clients)))
		kick(p, client->id,
			"messages that waited for it are dropped; it may connect again");
}

/// mosquitto makes its socket for its own group. Who may use it is said by the folder that it is
/// in.
static void open_socket_to_all(struct plugin *p)
{
	if (chmod(p->socket_path, 0777) != 0)
		report_error("'%s' cannot be opened to the group of its folder: %s", p->socket_path,
			strerror(errno));
	free(lm_take(p->socket_path));
}

static int on_turn(int event, void *data, void *userdata)
{
	struct plugin *p = userdata;
	uint64_t now_mono_ms = lm_clock_mono_ms();

	(void)event;
	(void)data;
	p->reloading = false;
	if (p->socket_path)
		open_socket_to_all(p);
	if (p->stuck)
		free_stuck_clients(p);
	watch_spin(p, now_mono_ms);
	cloud_tick(p->cloud, now_mono_ms);
	if (p->shadows)
		shadow_service_commit(p->shadows);
	if (cloud_changed(p->cloud))
		status_file_touch(p->status_file);
	delivery_tick(&p->delivery);
	report_tick(&p->report, now_mono_ms);
	if (status_file_is_due(p->status_file, now_mono_ms))
		write_status(p, now_mono_ms);
	return MOSQ_ERR_SUCCESS;
}

// Start and end.

static const struct {
	int event;
	MOSQ_FUNC_generic_callback function;
} plugin_events[] = {
	{MOSQ_EVT_RELOAD, on_reload},
	{MOSQ_EVT_BASIC_AUTH, on_basic_auth},
	{MOSQ_EVT_EXT_AUTH_START, on_extended_auth},
	{MOSQ_EVT_EXT_AUTH_CONTINUE, on_extended_auth},
	{MOSQ_EVT_ACL_CHECK, on_acl_check},
	{MOSQ_EVT_MESSAGE, on_message},
	{MOSQ_EVT_DISCONNECT, on_disconnect},
	{MOSQ_EVT_TICK, on_turn},
};

static const char *plugin_option(const struct mosquitto_opt *options, int n, const char *key)
{
	for (int i = 0; i < n; i++)
		if (strcmp(options[i].key, key) == 0)
			return options[i].value;
	return NULL;
}

static void plugin_destroy(struct plugin *p)
{
	cloud_destroy(p->cloud);
	shadow_service_close(p->shadows);
	(void)signal(SIGURG, SIG_DFL);
	(void)signal(SIGPROF, SIG_DFL);
	local_clients_destroy(p->clients);
	delivery_finish(&p->delivery);
	routes_destroy(p->routes);
	status_file_close(p->status_file);
	free(p->table_path);
	free(p->table_error);
	free(p->socket_path);
	free(p);
}

static void take_wake(int number)
{
	(void)number;
}

/// From another thread: the loop does not wait for sockets any longer.
static void wake_loop(void *ctx)
{
	struct plugin *p = ctx;

	(void)pthread_kill(p->loop, SIGURG);
}

/// Mosquitto has no way to end its waiting but a signal. Nobody else uses this one, and without a
/// handler it does nothing.
static void prepare_wake(struct plugin *p)
{
	struct sigaction action = {.sa_handler = take_wake, .sa_flags = SA_RESTART};
	sigset_t wake;

	p->loop = pthread_self();
	(void)sigaction(SIGURG, &action, NULL);
	(void)sigemptyset(&wake);
	(void)sigaddset(&wake, SIGURG);
	(void)pthread_sigmask(SIG_UNBLOCK, &wake, NULL);
	shadow_service_commit_beside(p->shadows, wake_loop, p);
}

/// What keeps shadows from being used keeps nothing else from it.
static void open_shadows(struct plugin *p, const char *database)
{
	struct lm_err err = {0};

	if (!database)
		return;
	p->shadows = shadow_service_open(database, publish_shadow_reply, p, &err);
	prepare_wake(p);
	if (err.rc)
		report_error("shadows cannot be used: %s", err.msg);
}

/// mosquitto keeps its own database in the same folder.
static void open_cloud(struct plugin *p, const char *shadows)
{
	lm_auto_free char *queues =
		shadows ? lm_xasprintf("%.*smosquitto.db", (int)(lm_path_base(shadows) - shadows),
				  shadows)
			: NULL;

	p->cloud = cloud_create(&(struct cloud_setup){.shadows = p->shadows,
		.publish = publish_to_bridge,
		.save = save_queues,
		.report = report_cloud,
		.ctx = p,
		.database = queues});
}

static lm_rc plugin_open(
	struct plugin *p, const struct mosquitto_opt *options, int n, struct lm_err *err)
{
	const char *table = plugin_option(options, n, "table");
	const char *socket = plugin_option(options, n, "socket");
	lm_rc rc = LM_OK;

	if (!table)
		return lm_fail(err, LM_E_INVALID, 0,
			"the configuration has no plugin_opt_table, the path of router.json");
	p->table_path = lm_xstrdup(table);
	p->socket_path = socket ? lm_xstrdup(socket) : NULL;
	p->started_ms = lm_clock_wall_ms();
	rc = status_file_open(plugin_option(options, n, "status"), &p->status_file, err);
	if (rc == LM_OK)
		rc = load_table(p, &p->routes, err);
	if (rc != LM_OK)
		return rc;
	p->clients = local_clients_create(p->routes);
	take_routes(p);
	open_shadows(p, plugin_option(options, n, "shadows"));
	open_cloud(p, plugin_option(options, n, "shadows"));
	name_shadows(p);
	return LM_OK;
}

static bool plugin_register(struct plugin *p)
{
	(void)signal(SIGPROF, end_spin);
	for (size_t i = 0; i < LM_ARRAY_SIZE(plugin_events); i++)
		if (mosquitto_callback_register(p->id, plugin_events[i].event,
			    plugin_events[i].function, NULL, p) != MOSQ_ERR_SUCCESS)
			return false;
	return true;
}

int mosquitto_plugin_version(int supported_version_count, const int *supported_versions)
{
	for (int i = 0; i < supported_version_count; i++)
		if (supported_versions[i] == MOSQ_PLUGIN_VERSION)
			return MOSQ_PLUGIN_VERSION;
	return -1;
}

int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **userdata,
	struct mosquitto_opt *options, int option_count)
{
	struct plugin *p = lm_xcalloc(1, sizeof(*p));
	struct lm_err err = {0};

	p->id = identifier;
	if (plugin_open(p, options, option_count, &err) != LM_OK) {
		report_error("%s", err.msg);
		plugin_destroy(p);
		return MOSQ_ERR_INVAL;
	}
	if (!plugin_register(p)) {
		report_error("mosquitto takes no callback");
		plugin_destroy(p);
		return MOSQ_ERR_NOT_SUPPORTED;
	}
	*userdata = p;
	return MOSQ_ERR_SUCCESS;
}

/// At its end mosquitto has said goodbye to all clients.
int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options, int option_count)
{
	struct plugin *p = userdata;

	(void)options;
	(void)option_count;
	if (!p)
		return MOSQ_ERR_SUCCESS;
	for (size_t i = 0; i < LM_ARRAY_SIZE(plugin_events); i++)
		(void)mosquitto_callback_unregister(
			p->id, plugin_events[i].event, plugin_events[i].function, NULL);
	plugin_destroy(p);
	return MOSQ_ERR_SUCCESS;
}
