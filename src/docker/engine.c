// SPDX-License-Identifier: Apache-2.0
#include "docker/engine.h"

#include "base/buf.h"
#include "base/encoding.h"
#include "base/limits.h"
#include "base/memory.h"
#include "docker/engine_request.h"
#include "sys/http_unix.h"
#include "sys/json.h"

#include <stdio.h>

enum {
	STOP_MS = 600 * 1000, ///< A container's own grace is within it.
	REMOVE_MS = 120 * 1000,
	PARALLEL_STOPS = 16,
	PLUGINS_MINOR_MIN = 25, ///< The API that has managed plugins.
	TARGET_MAX = 4096,
};

static bool engine_is_2xx(const struct http_unix *h)
{
	return http_unix_status(h) / 100 == 2;
}

lm_rc engine_open(const char *socket_path, const struct wait_limit *limit, struct engine *ret,
	struct lm_err *err)
{
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_rc rc = engine_fetch(socket_path, "/version", limit, &h, err);
	if (rc != LM_OK)
		return rc;
	struct engine_version version;
	rc = engine_parse_version(http_unix_body(h), &version, err);
	if (rc != LM_OK)
		return rc;
	*ret = (struct engine){.socket_path = lm_xstrdup(socket_path), .version = version};
	return LM_OK;
}

void engine_close(struct engine *e)
{
	free(e->socket_path);
	e->socket_path = NULL;
}

lm_rc engine_root_directory(
	const struct engine *e, const struct wait_limit *limit, char **ret, struct lm_err *err)
{
	char target[32];
	(void)snprintf(target, sizeof(target), "/v1.%u/info", e->version.minor);
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_rc rc = engine_fetch(e->socket_path, target, limit, &h, err);
	if (rc != LM_OK)
		return lm_wrap(err, "find the directory of the Docker daemon's images");
	return engine_parse_root_directory(http_unix_body(h), ret, err);
}

lm_rc engine_list_containers(const struct engine *e, const char *project,
	const struct wait_limit *limit, struct engine_containers *ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);
	if (!engine_containers_target(&target, e->version.minor, project))
		return lm_fail(err, LM_E_INVALID, 0, "the name of the project is too long");
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_rc rc = engine_fetch(e->socket_path, lm_buf_cstr(&target), limit, &h, err);
	if (rc != LM_OK)
		return lm_wrap(err, "list containers");
	return engine_parse_containers(http_unix_body(h), project, ret, err);
}

lm_rc engine_inspect_container(const struct engine *e, const char *id,
	const struct wait_limit *limit, struct engine_container_state *ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);
	if (!engine_container_target(&target, e->version.minor, id))
		return lm_fail(err, LM_E_INVALID, 0, "'%.80s' is not a container ID", id);
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_rc rc = engine_fetch(e->socket_path, lm_buf_cstr(&target), limit, &h, err);
	if (rc != LM_OK)
		return lm_wrap(err, "inspect container %.12s", id);
	return engine_parse_container_state(http_unix_body(h), ret, err);
}

lm_rc engine_list_networks(const struct engine *e, const char *project,
	const struct wait_limit *limit, struct engine_networks *ret, struct lm_err *err)
{
	// Unfiltered: the label filter came with API 1.24, and a device has few networks.
	char target[32];
	(void)snprintf(target, sizeof(target), "/v1.%u/networks", e->version.minor);
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_rc rc = engine_fetch(e->socket_path, target, limit, &h, err);
	if (rc != LM_OK)
		return lm_wrap(err, "list networks");
	return engine_parse_networks(http_unix_body(h), project, ret, err);
}

void engine_inventory_finish(struct engine_inventory *inventory)
{
	engine_containers_finish(&inventory->containers);
	engine_networks_finish(&inventory->networks);
}

lm_rc engine_take_inventory(const struct engine *e, const struct wait_limit *limit,
	struct engine_inventory *ret, struct lm_err *err)
{
	lm_auto(engine_inventory_finish) struct engine_inventory found = {0};
	lm_rc rc = engine_list_containers(e, NULL, limit, &found.containers, err);

	if (rc == LM_OK)
		rc = engine_list_networks(e, NULL, limit, &found.networks, err);
	if (rc != LM_OK)
		return rc;
	*ret = found;
	found = (struct engine_inventory){0};
	return LM_OK;
}

bool engine_names_have(const struct engine_names *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++)
		if (strcmp(names->items[i], name) == 0)
			return true;
	return false;
}

static void finish_names(struct engine_names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->items[i]);
	free(names->items);
}

void engine_facts_finish(struct engine_facts *facts)
{
	free(facts->host_name);
	free(facts->root_directory);
	finish_names(&facts->volume_drivers);
	finish_names(&facts->network_drivers);
	finish_names(&facts->log_drivers);
	finish_names(&facts->runtimes);
	finish_names(&facts->plugins);
	*facts = (struct engine_facts){0};
}

static struct engine_names read_name_list(const json_t *list)
{
	struct engine_names names = {
		.items = lm_xcalloc(json_array_size(list) + 1, sizeof(*names.items))};
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item)
	{
		if (json_is_string(item))
			names.items[names.n++] = lm_xstrdup(json_string_value(item));
	}
	return names;
}

static struct engine_names read_keys(json_t *object)
{
	struct engine_names names = {
		.items = lm_xcalloc(json_object_size(object) + 1, sizeof(*names.items))};
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value) names.items[names.n++] = lm_xstrdup(key);
	return names;
}

/// "name=rootless" is among the security options.
static bool read_rootless(const json_t *info)
{
	const json_t *options = json_object_get(info, "SecurityOptions");
	size_t i;
	json_t *item;

	json_array_foreach(options, i, item)
	{
		if (json_is_string(item) && strstr(json_string_value(item), "name=rootless"))
			return true;
	}
	return false;
}

/// [["driver-type","io.containerd.snapshotter.v1"],…]
static bool read_containerd_store(const json_t *info)
{
	size_t i;
	json_t *pair;

	json_array_foreach(json_object_get(info, "DriverStatus"), i, pair)
	{
		const char *key = json_string_value(json_array_get(pair, 0));
		const char *value = json_string_value(json_array_get(pair, 1));

		if (key && value && strcmp(key, "driver-type") == 0 &&
			strstr(value, "containerd.snapshotter"))
			return true;
	}
	return false;
}

static bool read_in_swarm(const json_t *info)
{
	const char *state = json_get_text(json_object_get(info, "Swarm"), "LocalNodeState");

	return state && *state && strcmp(state, "inactive") != 0;
}

lm_rc engine_parse_info(struct lm_str body, struct engine_facts *ret, struct lm_err *err)
{
	lm_auto_json json_t *info = NULL;

	if (json_parse(body, &info, NULL) || !json_is_object(info))
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the Docker daemon's system information is not a JSON object");
	const json_t *plugins = json_object_get(info, "Plugins");
	*ret = (struct engine_facts){.host_name = json_copy_text(info, "Name"),
		.root_directory = json_copy_text(info, "DockerRootDir"),
		.rootless = read_rootless(info),
		.has_containerd_store = read_containerd_store(info),
		.in_swarm = read_in_swarm(info),
		.has_mirrors = json_array_size(json_object_get(
				       json_object_get(info, "RegistryConfig"), "Mirrors")) > 0,
		.volume_drivers = read_name_list(json_object_get(plugins, "Volume")),
		.network_drivers = read_name_list(json_object_get(plugins, "Network")),
		.log_drivers = read_name_list(json_object_get(plugins, "Log")),
		.runtimes = read_keys(json_object_get(info, "Runtimes"))};
	return LM_OK;
}

static lm_rc parse_plugins(struct lm_str body, struct engine_facts *to, struct lm_err *err)
{
	lm_auto_json json_t *list = NULL;
	size_t i;
	json_t *item;

	if (json_parse(body, &list, NULL) || !(json_is_array(list) || json_is_null(list)))
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the Docker daemon's list of plugins is not a JSON array");
	finish_names(&to->plugins);
	to->plugins = (struct engine_names){
		.items = lm_xcalloc(json_array_size(list) + 1, sizeof(*to->plugins.items))};
	json_array_foreach(list, i, item)
	{
		const char *name = json_get_text(item, "Name");
		if (name && json_get_bool(item, "Enabled", true))
			to->plugins.items[to->plugins.n++] = lm_xstrdup(name);
	}
	to->plugins_known = true;
	return LM_OK;
}

/// An engine without such plugins has no list of them either: they stay unknown.
static lm_rc fetch_plugins(const struct engine *e, const struct wait_limit *limit,
	struct engine_facts *to, struct lm_err *err)
{
	char target[32];
	(void)snprintf(target, sizeof(target), "/v1.%u/plugins", e->version.minor);
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_rc rc = engine_fetch(e->socket_path, target, limit, &h, err);

	if (rc == LM_E_NOT_FOUND)
		return LM_OK;
	return rc ? rc : parse_plugins(http_unix_body(h), to, err);
}

lm_rc engine_get_facts(const struct engine *e, const struct wait_limit *limit,
	struct engine_facts *ret, struct lm_err *err)
{
	lm_auto(http_unix_destroy_p) struct http_unix *info = NULL;
	lm_auto(engine_facts_finish) struct engine_facts found = {0};
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);

	(void)lm_buf_printf(&target, "/v1.%u/info", e->version.minor);
	lm_rc rc = engine_fetch(e->socket_path, lm_buf_cstr(&target), limit, &info, err);
	if (!rc)
		rc = engine_parse_info(http_unix_body(info), &found, err);
	if (!rc && e->version.minor >= PLUGINS_MINOR_MIN)
		rc = fetch_plugins(e, limit, &found, err);
	if (rc)
		return lm_wrap(err, "list the drivers of the Docker daemon");
	*ret = found;
	found = (struct engine_facts){0};
	return LM_OK;
}

void engine_volume_finish(struct engine_volume *volume)
{
	for (size_t i = 0; i < volume->options_n; i++) {
		free(volume->options[i].key);
		free(volume->options[i].value);
	}
	free(volume->options);
	free(volume->name);
	free(volume->driver);
	free(volume->mountpoint);
	*volume = (struct engine_volume){0};
}

const char *engine_volume_option(const struct engine_volume *volume, const char *key)
{
	for (size_t i = 0; i < volume->options_n; i++)
		if (strcmp(volume->options[i].key, key) == 0)
			return volume->options[i].value;
	return NULL;
}

static struct engine_volume read_volume(const json_t *volume)
{
	json_t *options = json_object_get(volume, "Options");
	struct engine_volume v = {.name = json_copy_text(volume, "Name"),
		.driver = json_copy_text(volume, "Driver"),
		.mountpoint = json_copy_text(volume, "Mountpoint"),
		.options = lm_xcalloc(json_object_size(options) + 1, sizeof(*v.options))};
	const char *key;
	json_t *value;

	json_object_foreach(options, key, value)
	{
		if (json_is_string(value))
			v.options[v.options_n++] = (struct engine_volume_option){
				lm_xstrdup(key), lm_xstrdup(json_string_value(value))};
	}
	return v;
}

lm_rc engine_parse_volume(struct lm_str body, struct engine_volume *ret, struct lm_err *err)
{
	lm_auto_json json_t *volume = NULL;

	if (json_parse(body, &volume, NULL) || !json_is_object(volume))
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the Docker daemon's volume details are not a JSON object");
	*ret = read_volume(volume);
	return LM_OK;
}

void engine_volumes_finish(struct engine_volumes *volumes)
{
	for (size_t i = 0; i < volumes->n; i++)
		engine_volume_finish(&volumes->items[i]);
	free(volumes->items);
	*volumes = (struct engine_volumes){0};
}

lm_rc engine_parse_volumes(
	struct lm_str body, const char *project, struct engine_volumes *ret, struct lm_err *err)
{
	lm_auto_json json_t *answer = NULL;
	size_t i;
	json_t *volume;

	if (json_parse(body, &answer, NULL) || !json_is_object(answer))
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the Docker daemon's list of volumes is not a JSON object");
	json_t *list = json_object_get(answer, "Volumes"); // null if there is none
	ret->items = lm_xcalloc(json_array_size(list) + 1, sizeof(*ret->items));
	json_array_foreach(list, i, volume)
	{
		const char *label = json_get_text(
			json_object_get(volume, "Labels"), "com.docker.compose.project");

		if (label && strcmp(label, project) == 0)
			ret->items[ret->n++] = read_volume(volume);
	}
	return LM_OK;
}

lm_rc engine_list_volumes(const struct engine *e, const char *project,
	const struct wait_limit *limit, struct engine_volumes *ret, struct lm_err *err)
{
	// Unfiltered, as networks.
	char target[32];
	(void)snprintf(target, sizeof(target), "/v1.%u/volumes", e->version.minor);
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_rc rc = engine_fetch(e->socket_path, target, limit, &h, err);

	if (!rc)
		rc = engine_parse_volumes(http_unix_body(h), project, ret, err);
	return rc ? lm_wrap(err, "list volumes") : LM_OK;
}

/// GET /<section>/<name>, one object of the engine's.
static lm_rc inspect_named(const struct engine *e, const char *section, const char *name,
	const struct wait_limit *limit, struct http_unix **ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);

	(void)lm_buf_printf(&target, "/v1.%u/%s/", e->version.minor, section);
	(void)lm_percent_encode(&target, lm_str(name), false);
	if (target.overflow)
		return lm_fail(err, LM_E_INVALID, 0, "a name in the compose file is too long");
	return engine_fetch(e->socket_path, lm_buf_cstr(&target), limit, ret, err);
}

lm_rc engine_inspect_volume(const struct engine *e, const char *name,
	const struct wait_limit *limit, struct engine_volume *ret, struct lm_err *err)
{
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_rc rc = inspect_named(e, "volumes", name, limit, &h, err);

	if (!rc)
		rc = engine_parse_volume(http_unix_body(h), ret, err);
	return rc ? lm_wrap(err, "look for volume '%s'", name) : LM_OK;
}

lm_rc engine_find_network(const struct engine *e, const char *name, const struct wait_limit *limit,
	struct lm_err *err)
{
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_rc rc = inspect_named(e, "networks", name, limit, &h, err);

	return rc ? lm_wrap(err, "look for network '%s'", name) : LM_OK;
}

struct stops {
	const struct engine *engine;
	const struct engine_object *items;
};

static lm_rc start_stop(void *ctx, size_t i, struct http_unix **ret, struct lm_err *err)
{
	const struct stops *s = ctx;
	char target[256];

	(void)snprintf(target, sizeof(target), "/v1.%u/containers/%.128s/stop",
		s->engine->version.minor, s->items[i].id);
	const struct http_unix_request request = {.socket_path = s->engine->socket_path,
		.method = "POST",
		.target = target,
		.body_max = LIMIT_HTTP_ERROR_BODY};
	return engine_connect(&request, ret, err);
}

static uint64_t stop_deadline_ms(void *ctx, uint64_t begun_ms)
{
	(void)ctx;
	return begun_ms + STOP_MS;
}

/// The engine answers once the container has stopped.
static lm_rc finish_stop(void *ctx, size_t i, const struct http_unix *http, uint64_t *ret_again_ms,
	struct lm_err *err)
{
	const struct stops *s = ctx;
	int status = http ? http_unix_status(http) : 0;
	(void)ret_again_ms;

	// 304: it does not run; 404: it no longer exists.
	if (err->rc == LM_OK && (status / 100 == 2 || status == 304 || status == 404))
		return LM_OK;
	if (err->rc == LM_OK)
		(void)!engine_answer_error(http, err);
	else if (http)
		(void)!lm_wrap(err, "ask the Docker daemon");
	return lm_wrap(err, "stop container %s", s->items[i].name);
}

static const char *stopped_name(void *ctx, size_t i)
{
	const struct stops *s = ctx;

	return s->items[i].name;
}

lm_rc engine_stop_containers(const struct engine *e, const struct engine_object *items, size_t n,
	const struct wait_limit *limit, struct lm_err *err)
{
	struct stops stops = {e, items};
	struct engine_batch batch = {.what = "stop containers",
		.name = stopped_name,
		.n = n,
		.parallel = PARALLEL_STOPS,
		.start = start_stop,
		.deadline_ms = stop_deadline_ms,
		.finish = finish_stop,
		.ctx = &stops};

	return engine_batch_run(&batch, limit, err);
}

lm_rc engine_stop_project(const struct engine *e, const char *project,
	const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto(engine_containers_finish) struct engine_containers list = {0};
	lm_rc rc = engine_list_containers(e, project, limit, &list, err);
	if (rc != LM_OK)
		return rc;
	lm_auto_free struct engine_object *items = lm_xcalloc(list.n + 1, sizeof(*items));
	for (size_t i = 0; i < list.n; i++)
		items[i] = (struct engine_object){list.items[i].id, list.items[i].name};
	return engine_stop_containers(e, items, list.n, limit, err);
}

static lm_rc delete_object(const struct engine *e, const char *target,
	const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	struct http_unix_request request = {.socket_path = e->socket_path,
		.method = "DELETE",
		.target = target,
		.body_max = LIMIT_HTTP_ERROR_BODY};
	lm_rc rc = engine_exchange(&request, REMOVE_MS, limit, &h, err);
	if (rc != LM_OK)
		return rc;
	if (engine_is_2xx(h) || http_unix_status(h) == 404)
		return LM_OK;
	return engine_answer_error(h, err);
}

static void report_removed(void (*on_removed)(void *ctx, const char *what), void *ctx,
	const char *kind, const char *name)
{
	if (!on_removed)
		return;
	lm_auto_free char *what = lm_xasprintf("%s %s", kind, name);
	on_removed(ctx, what);
}

lm_rc engine_remove_container(const struct engine *e, const struct engine_object *container,
	const struct wait_limit *limit, struct lm_err *err)
{
	char target[256];
	(void)snprintf(target, sizeof(target), "/v1.%u/containers/%.128s?force=1", e->version.minor,
		container->id);
	lm_rc rc = delete_object(e, target, limit, err);
	return rc == LM_OK ? LM_OK : lm_wrap(err, "remove container %s", container->name);
}

static lm_rc remove_project_containers(const struct engine *e, const char *project,
	void (*on_removed)(void *ctx, const char *what), void *ctx, const struct wait_limit *limit,
	struct lm_err *err)
{
	lm_auto(engine_containers_finish) struct engine_containers list = {0};
	lm_rc rc = engine_list_containers(e, project, limit, &list, err);
	for (size_t i = 0; i < list.n && rc == LM_OK; i++) {
		const struct engine_object item = {list.items[i].id, list.items[i].name};
		rc = engine_remove_container(e, &item, limit, err);
		if (rc == LM_OK)
			report_removed(on_removed, ctx, "container", item.name);
	}
	return rc;
}

/// The names of the containers that hold a network, for a message.
static void name_holders(
	const struct engine *e, const char *id, const struct wait_limit *limit, struct lm_buf *out)
{
	char target[256];
	(void)snprintf(target, sizeof(target), "/v1.%u/networks/%.128s", e->version.minor, id);
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	if (engine_fetch(e->socket_path, target, limit, &h, NULL) != LM_OK)
		return;
	lm_auto_json json_t *j = NULL;
	if (json_parse(http_unix_body(h), &j, NULL) != LM_OK)
		return;
	const char *key;
	json_t *holder;
	json_object_foreach(json_object_get(j, "Containers"), key, holder)
	{
		const char *name = json_get_text(holder, "Name");
		(void)lm_buf_printf(out, "%s%s", out->len > 0 ? ", " : "", name ? name : key);
	}
}

lm_rc engine_disconnect(const struct engine *e, const struct engine_object *network,
	const struct engine_object *container, const struct wait_limit *limit, struct lm_err *err)
{
	char target[256], body[256];
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;

	(void)snprintf(target, sizeof(target), "/v1.%u/networks/%.128s/disconnect",
		e->version.minor, network->id);
	(void)snprintf(
		body, sizeof(body), "{\"Container\":\"%.128s\",\"Force\":true}", container->id);
	struct http_unix_request request = {.socket_path = e->socket_path,
		.method = "POST",
		.target = target,
		.body = lm_str(body),
		.content_type = "application/json",
		.body_max = LIMIT_HTTP_ERROR_BODY};
	lm_rc rc = engine_exchange(&request, REMOVE_MS, limit, &h, err);
	// 404: one of them no longer exists.
	if (rc == LM_OK && !engine_is_2xx(h) && http_unix_status(h) != 404)
		rc = engine_answer_error(h, err);
	return rc == LM_OK ? LM_OK
			   : lm_wrap(err, "disconnect container %s from network %s",
				     container->name, network->name);
}

lm_rc engine_remove_network(const struct engine *e, const struct engine_object *network,
	const struct wait_limit *limit, struct lm_err *err)
{
	char target[256];
	(void)snprintf(
		target, sizeof(target), "/v1.%u/networks/%.128s", e->version.minor, network->id);
	lm_rc rc = delete_object(e, target, limit, err);
	if (rc == LM_OK)
		return LM_OK;
	lm_auto_buf struct lm_buf holders = LM_BUF(512);
	if (rc != LM_E_TIMEOUT && rc != LM_E_CANCELLED)
		name_holders(e, network->id, limit, &holders);
	if (holders.len > 0)
		return lm_fail(err, LM_E_CONFLICT, 0,
			"network %s is still used by %s, which does not belong to this application",
			network->name, lm_buf_cstr(&holders));
	return lm_wrap(err, "remove network %s", network->name);
}

static lm_rc remove_project_networks(const struct engine *e, const char *project,
	void (*on_removed)(void *ctx, const char *what), void *ctx, const struct wait_limit *limit,
	struct lm_err *err)
{
	lm_auto(engine_networks_finish) struct engine_networks list = {0};
	lm_rc rc = engine_list_networks(e, project, limit, &list, err);
	for (size_t i = 0; i < list.n && rc == LM_OK; i++) {
		const struct engine_object item = {list.items[i].id, list.items[i].name};
		rc = engine_remove_network(e, &item, limit, err);
		if (rc == LM_OK)
			report_removed(on_removed, ctx, "network", item.name);
	}
	return rc;
}

lm_rc engine_remove_project(const struct engine *e, const char *project,
	void (*on_removed)(void *ctx, const char *what), void *ctx, const struct wait_limit *limit,
	struct lm_err *err)
{
	lm_rc rc = remove_project_containers(e, project, on_removed, ctx, limit, err);
	return rc == LM_OK ? remove_project_networks(e, project, on_removed, ctx, limit, err) : rc;
}
