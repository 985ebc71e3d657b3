// SPDX-License-Identifier: Apache-2.0
#include "docker/engine_facts.h"

#include "base/encoding.h"
#include "base/limits.h"
#include "base/memory.h"
#include "docker/engine_priv.h"
#include "sys/json.h"

enum {
	TARGET_MAX = 4096,
	PLUGINS_MINOR_MIN = 25, ///< The API that has managed plugins.
};

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

static struct engine_names read_names(const json_t *list)
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
			"the Docker daemon's answer about itself is not a JSON object");
	const json_t *plugins = json_object_get(info, "Plugins");
	*ret = (struct engine_facts){.host_name = json_copy_text(info, "Name"),
		.root_directory = json_copy_text(info, "DockerRootDir"),
		.rootless = read_rootless(info),
		.in_swarm = read_in_swarm(info),
		.has_mirrors = json_array_size(json_object_get(
				       json_object_get(info, "RegistryConfig"), "Mirrors")) > 0,
		.volume_drivers = read_names(json_object_get(plugins, "Volume")),
		.network_drivers = read_names(json_object_get(plugins, "Network")),
		.log_drivers = read_names(json_object_get(plugins, "Log")),
		.runtimes = read_keys(json_object_get(info, "Runtimes"))};
	return LM_OK;
}

lm_rc engine_parse_plugins(struct lm_str body, struct engine_facts *to, struct lm_err *err)
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

lm_rc engine_get_facts(const struct engine *e, const struct wait_limit *limit,
	struct engine_facts *ret, struct lm_err *err)
{
	lm_auto(http_unix_destroy_p) struct http_unix *info = NULL;
	lm_auto(http_unix_destroy_p) struct http_unix *plugins = NULL;
	lm_auto(engine_facts_finish) struct engine_facts found = {0};
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);

	(void)lm_buf_printf(&target, "/v1.%u/info", e->version.minor);
	lm_rc rc = engine_get_answer(e->socket_path, lm_buf_cstr(&target), limit, &info, err);
	if (!rc)
		rc = engine_parse_info(http_unix_body(info), &found, err);
	lm_buf_clear(&target);
	(void)lm_buf_printf(&target, "/v1.%u/plugins", e->version.minor);
	if (!rc && e->version.minor >= PLUGINS_MINOR_MIN) {
		rc = engine_get_answer(e->socket_path, lm_buf_cstr(&target), limit, &plugins, err);
		if (!rc)
			rc = engine_parse_plugins(http_unix_body(plugins), &found, err);
	}
	if (rc)
		return lm_wrap(err, "ask the Docker daemon which drivers it knows");
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
	free(volume->driver);
	*volume = (struct engine_volume){0};
}

const char *engine_volume_option(const struct engine_volume *volume, const char *key)
{
	for (size_t i = 0; i < volume->options_n; i++)
		if (strcmp(volume->options[i].key, key) == 0)
			return volume->options[i].value;
	return NULL;
}

lm_rc engine_parse_volume(struct lm_str body, struct engine_volume *ret, struct lm_err *err)
{
	lm_auto_json json_t *volume = NULL;
	const char *key;
	json_t *value;

	if (json_parse(body, &volume, NULL) || !json_is_object(volume))
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the Docker daemon's answer about a volume is not a JSON object");
	json_t *options = json_object_get(volume, "Options");
	*ret = (struct engine_volume){.driver = json_copy_text(volume, "Driver"),
		.options = lm_xcalloc(json_object_size(options) + 1, sizeof(*ret->options))};
	json_object_foreach(options, key, value)
	{
		if (json_is_string(value))
			ret->options[ret->options_n++] = (struct engine_volume_option){
				lm_xstrdup(key), lm_xstrdup(json_string_value(value))};
	}
	return LM_OK;
}

/// GET /<section>/<name>, one object of the engine's.
static lm_rc inspect(const struct engine *e, const char *section, const char *name,
	const struct wait_limit *limit, struct http_unix **ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);

	(void)lm_buf_printf(&target, "/v1.%u/%s/", e->version.minor, section);
	(void)lm_percent_encode(&target, lm_str(name), false);
	if (target.overflow)
		return lm_fail(err, LM_E_INVALID, 0, "a name in the compose file is too long");
	return engine_get_answer(e->socket_path, lm_buf_cstr(&target), limit, ret, err);
}

lm_rc engine_inspect_volume(const struct engine *e, const char *name,
	const struct wait_limit *limit, struct engine_volume *ret, struct lm_err *err)
{
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_rc rc = inspect(e, "volumes", name, limit, &h, err);

	if (!rc)
		rc = engine_parse_volume(http_unix_body(h), ret, err);
	return rc ? lm_wrap(err, "look for volume '%s'", name) : LM_OK;
}

lm_rc engine_find_network(const struct engine *e, const char *name, const struct wait_limit *limit,
	struct lm_err *err)
{
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_rc rc = inspect(e, "networks", name, limit, &h, err);

	return rc ? lm_wrap(err, "look for network '%s'", name) : LM_OK;
}
