// SPDX-License-Identifier: Apache-2.0
#include "docker/engine_json.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/encoding.h"
#include "base/limits.h"
#include "base/memory.h"
#include "sys/json.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define LABEL_PROJECT "com.docker.compose.project"

/// "1.<minor>". False if it is none.
static bool read_api_minor(const char *text, unsigned *ret)
{
	uint64_t minor = 0;
	struct lm_str s = lm_str(text);
	if (!lm_str_starts(s, LM_STR("1.")) ||
		!lm_str_to_u64((struct lm_str){s.p + 2, s.n - 2}, 1000, &minor))
		return false;
	*ret = (unsigned)minor;
	return true;
}

/// Whether a version ("1.9.0", "20.10.24+dfsg1") is below 1.9.1. What is no number is not: local
/// builds are called "dev", and the API version decides.
static bool is_older_than_1_9_1(const char *version)
{
	static const uint64_t oldest[] = {1, 9, 1};
	for (size_t i = 0; i < LM_ARRAY_SIZE(oldest); i++) {
		size_t digits = strspn(version, "0123456789");
		uint64_t number = 0;
		if (digits == 0 ||
			!lm_str_to_u64((struct lm_str){version, digits}, UINT32_MAX, &number))
			return false;
		if (number != oldest[i])
			return number < oldest[i];
		version += digits;
		if (*version == '.')
			version++;
	}
	return false;
}

lm_rc engine_parse_version(struct lm_str body, struct engine_version *ret, struct lm_err *err)
{
	lm_auto_json json_t *j = NULL;
	if (json_parse(body, &j, err) != LM_OK)
		return lm_fail(err, LM_E_PROTOCOL, 0, "the Docker daemon's version is not JSON");
	const char *engine = json_get_text(j, "Version");
	const char *api = json_get_text(j, "ApiVersion");
	const char *api_min = json_get_text(j, "MinAPIVersion");
	unsigned offered = 0;
	if (!engine || !api || !read_api_minor(api, &offered))
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the Docker daemon does not report its version and API version");
	char shown[160];
	(void)lm_str_shorten(lm_str(engine), 32, shown, sizeof(shown));
	if (is_older_than_1_9_1(engine) || offered < ENGINE_API_MINOR_MIN)
		return lm_fail(err, LM_E_REFUSED, 0,
			"Docker Engine %s is too old: 1.9.1 or later is required", shown);
	unsigned least = 0;
	if (api_min && read_api_minor(api_min, &least) && least > ENGINE_API_MINOR_MAX)
		return lm_fail(err, LM_E_REFUSED, 0,
			"Docker Engine %s requires API 1.%u or later, Lighterman supports up to "
			"1.%d",
			shown, least, ENGINE_API_MINOR_MAX);
	const char *os = json_get_text(j, "Os"), *arch = json_get_text(j, "Arch");
	(void)snprintf(ret->platform, sizeof(ret->platform), "%.20s/%.40s", os ? os : "linux",
		arch ? arch : "");
	(void)snprintf(ret->engine, sizeof(ret->engine), "%.63s", shown);
	ret->minor = offered < ENGINE_API_MINOR_MAX ? offered : ENGINE_API_MINOR_MAX;
	ret->offered_min = least;
	ret->offered_max = offered;
	return LM_OK;
}

/// The state by a human-readable status: lists have no State before API 1.23.
static const char *state_of_status(const char *status)
{
	static const struct {
		const char *begins;
		const char *state;
	} words[] = {{"Up", "running"}, {"Exited", "exited"}, {"Restarting", "restarting"},
		{"Created", "created"}, {"Removal", "removing"}, {"Dead", "dead"}};
	if (strstr(status, "(Paused)"))
		return "paused";
	for (size_t i = 0; i < LM_ARRAY_SIZE(words); i++)
		if (strncmp(status, words[i].begins, strlen(words[i].begins)) == 0)
			return words[i].state;
	return "created";
}

/// The exit code in "Exited (137) 2 minutes ago"; -1 without one.
static int exit_code_of_status(const char *status)
{
	const char *open = strchr(status, '(');
	uint64_t code = 0;
	if (!open ||
		(strncmp(status, "Exited", 6) != 0 && strncmp(status, "Restarting", 10) != 0) ||
		!lm_str_to_u64((struct lm_str){open + 1, strcspn(open + 1, ")")}, 255, &code))
		return -1;
	return (int)code;
}

static enum engine_health health_of(const json_t *item, const char *status)
{
	// API 1.52 has it as a member; before, it is only in the status for people.
	const char *word = json_get_text(json_object_get(item, "Health"), "Status");
	if (word) {
		if (strcmp(word, "healthy") == 0)
			return ENGINE_HEALTHY;
		if (strcmp(word, "unhealthy") == 0)
			return ENGINE_UNHEALTHY;
		return strcmp(word, "starting") == 0 ? ENGINE_HEALTH_STARTING : ENGINE_HEALTH_NONE;
	}
	if (strstr(status, "(healthy)"))
		return ENGINE_HEALTHY;
	if (strstr(status, "(unhealthy)"))
		return ENGINE_UNHEALTHY;
	return strstr(status, "(health: starting)") ? ENGINE_HEALTH_STARTING : ENGINE_HEALTH_NONE;
}

/// The name of a container in a list, without the leading '/'; "" if it has none.
static char *read_name(const json_t *item)
{
	// A container that others link to has names like "/other/alias" too.
	size_t i;
	json_t *name;
	json_array_foreach(json_object_get(item, "Names"), i, name)
	{
		const char *text = json_string_value(name);
		if (text && text[0] == '/' && !strchr(text + 1, '/'))
			return lm_xstrdup(text + 1);
	}
	return lm_xstrdup("");
}

static void read_ports(const json_t *item, struct engine_container *c)
{
	const json_t *ports = json_object_get(item, "Ports");
	size_t i;
	json_t *port;

	c->ports = lm_xcalloc(json_array_size(ports) + 1, sizeof(*c->ports));
	json_array_foreach(ports, i, port)
	{
		int64_t number = json_get_int(port, "PublicPort", 0);

		if (number <= 0 || number > UINT16_MAX)
			continue;
		c->ports[c->ports_n++] = (struct engine_port){.ip = json_copy_text(port, "IP"),
			.port = (unsigned)number,
			.protocol = json_copy_text(port, "Type")};
	}
}

static void read_attached(const json_t *item, struct engine_container *c)
{
	json_t *networks = json_object_get(json_object_get(item, "NetworkSettings"), "Networks");
	const char *name;
	json_t *network;

	c->network_ids = lm_xcalloc(json_object_size(networks) + 1, sizeof(*c->network_ids));
	c->network_names = lm_xcalloc(json_object_size(networks) + 1, sizeof(*c->network_names));
	json_object_foreach(networks, name, network)
	{
		const char *id = json_get_text(network, "NetworkID");

		if (!id || !*id) // it was never started
			continue;
		c->network_ids[c->networks_n] = lm_xstrdup(id);
		c->network_names[c->networks_n++] = lm_xstrdup(name);
	}
}

static void read_mounted_volumes(const json_t *item, struct engine_container *c)
{
	const json_t *mounts = json_object_get(item, "Mounts");
	size_t i;
	json_t *mount;

	c->volumes = lm_xcalloc(json_array_size(mounts) + 1, sizeof(*c->volumes));
	json_array_foreach(mounts, i, mount)
	{
		const char *name = json_get_text(mount, "Name"); // only volumes have one

		if (name && *name)
			c->volumes[c->volumes_n++] = lm_xstrdup(name);
	}
}

static void read_container(const json_t *item, struct engine_container *c)
{
	const json_t *labels = json_object_get(item, "Labels");
	const char *oneoff = json_get_text(labels, "com.docker.compose.oneoff");
	c->id = json_copy_text(item, "Id");
	c->name = read_name(item);
	c->project = json_copy_text(labels, LABEL_PROJECT);
	c->service = json_copy_text(labels, "com.docker.compose.service");
	c->image = json_copy_text(item, "Image");
	c->image_id = json_copy_text(item, "ImageID");
	c->config_hash = json_copy_text(labels, "com.docker.compose.config-hash");
	c->compose_version = json_copy_text(labels, "com.docker.compose.version");
	c->status = json_copy_text(item, "Status");
	const char *state = json_get_text(item, "State");
	c->state = lm_xstrdup(state ? state : state_of_status(c->status));
	c->oneoff = oneoff && strcmp(oneoff, "True") == 0;
	c->health = health_of(item, c->status);
	c->exit_code = exit_code_of_status(c->status);
	c->created = json_get_int(item, "Created", 0);
	read_ports(item, c);
	read_attached(item, c);
	read_mounted_volumes(item, c);
}

static void read_network(const json_t *item, struct engine_network *n)
{
	const json_t *labels = json_object_get(item, "Labels");
	const json_t *pools = json_object_get(json_object_get(item, "IPAM"), "Config");
	json_t *options = json_object_get(item, "Options");
	size_t i;
	json_t *pool, *value;
	const char *key;

	n->id = json_copy_text(item, "Id");
	n->name = json_copy_text(item, "Name");
	n->driver = json_copy_text(item, "Driver");
	n->internal = json_get_bool(item, "Internal", false);
	n->ipv6 = json_get_bool(item, "EnableIPv6", false);
	n->project = json_copy_text(labels, LABEL_PROJECT);
	n->key = json_copy_text(labels, "com.docker.compose.network");
	n->subnets = lm_xcalloc(json_array_size(pools) + 1, sizeof(*n->subnets));
	json_array_foreach(pools, i, pool)
	{
		const char *subnet = json_get_text(pool, "Subnet");
		if (subnet)
			n->subnets[n->subnets_n++] = lm_xstrdup(subnet);
	}
	n->options = lm_xcalloc(json_object_size(options) + 1, sizeof(*n->options));
	json_object_foreach(options, key, value) if (json_is_string(value))
		n->options[n->options_n++] = (struct engine_network_option){
		.key = lm_xstrdup(key), .value = lm_xstrdup(json_string_value(value))};
}

static bool is_of_project(const json_t *item, const char *project)
{
	const char *label = json_get_text(json_object_get(item, "Labels"), LABEL_PROJECT);
	return !project || (label && strcmp(label, project) == 0);
}

/// An array of objects, as lists are.
static lm_rc parse_list(struct lm_str body, const char *what, json_t **ret, struct lm_err *err)
{
	lm_auto_json json_t *j = NULL;
	if (json_parse(body, &j, err) != LM_OK)
		return lm_fail(
			err, LM_E_PROTOCOL, 0, "the Docker daemon's list of %s is not JSON", what);
	// An empty list is null in some engines' answers.
	if (!json_is_array(j) && !json_is_null(j))
		return lm_fail(err, LM_E_PROTOCOL, 0, "the Docker daemon's list of %s is %s", what,
			json_type_name(j));
	size_t i;
	json_t *item;
	json_array_foreach(j, i, item) if (!json_is_object(item)) return lm_fail(err, LM_E_PROTOCOL,
		0, "the Docker daemon's list of %s has an item that is %s", what,
		json_type_name(item));
	*ret = lm_take(j);
	return LM_OK;
}

lm_rc engine_parse_containers(
	struct lm_str body, const char *project, struct engine_containers *ret, struct lm_err *err)
{
	lm_auto_json json_t *list = NULL;
	lm_rc rc = parse_list(body, "containers", &list, err);
	if (rc != LM_OK)
		return rc;
	*ret = (struct engine_containers){
		.items = lm_xcalloc(json_array_size(list) + 1, sizeof(*ret->items))};
	size_t i;
	json_t *item;
	json_array_foreach(list, i, item) if (is_of_project(item, project))
		read_container(item, &ret->items[ret->n++]);
	return LM_OK;
}

static void finish_texts(char **texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(texts[i]);
	free(texts);
}

void engine_containers_finish(struct engine_containers *list)
{
	for (size_t i = 0; i < list->n; i++) {
		struct engine_container *c = &list->items[i];

		free(c->id);
		free(c->name);
		free(c->project);
		free(c->service);
		free(c->image);
		free(c->image_id);
		free(c->config_hash);
		free(c->compose_version);
		free(c->state);
		free(c->status);
		for (size_t k = 0; k < c->ports_n; k++) {
			free(c->ports[k].ip);
			free(c->ports[k].protocol);
		}
		free(c->ports);
		finish_texts(c->network_ids, c->networks_n);
		finish_texts(c->network_names, c->networks_n);
		finish_texts(c->volumes, c->volumes_n);
	}
	free(list->items);
	*list = (struct engine_containers){0};
}

bool engine_container_is_attached(const struct engine_container *c, const char *network_id)
{
	for (size_t i = 0; i < c->networks_n; i++)
		if (strcmp(c->network_ids[i], network_id) == 0)
			return true;
	return false;
}

bool engine_container_mounts(const struct engine_container *c, const char *volume)
{
	for (size_t i = 0; i < c->volumes_n; i++)
		if (strcmp(c->volumes[i], volume) == 0)
			return true;
	return false;
}

bool engine_container_is_active(const struct engine_container *c)
{
	return strcmp(c->state, "running") == 0 || strcmp(c->state, "paused") == 0 ||
	       strcmp(c->state, "restarting") == 0;
}

lm_rc engine_parse_networks(
	struct lm_str body, const char *project, struct engine_networks *ret, struct lm_err *err)
{
	lm_auto_json json_t *list = NULL;
	lm_rc rc = parse_list(body, "networks", &list, err);
	if (rc != LM_OK)
		return rc;
	*ret = (struct engine_networks){
		.items = lm_xcalloc(json_array_size(list) + 1, sizeof(*ret->items))};
	size_t i;
	json_t *item;
	json_array_foreach(list, i, item) if (is_of_project(item, project))
		read_network(item, &ret->items[ret->n++]);
	return LM_OK;
}

void engine_networks_finish(struct engine_networks *list)
{
	for (size_t i = 0; i < list->n; i++) {
		struct engine_network *n = &list->items[i];

		free(n->id);
		free(n->name);
		free(n->project);
		free(n->key);
		free(n->driver);
		finish_texts(n->subnets, n->subnets_n);
		for (size_t k = 0; k < n->options_n; k++) {
			free(n->options[k].key);
			free(n->options[k].value);
		}
		free(n->options);
	}
	free(list->items);
	*list = (struct engine_networks){0};
}

lm_rc engine_parse_root_directory(struct lm_str body, char **ret, struct lm_err *err)
{
	lm_auto_json json_t *j = NULL;
	if (json_parse(body, &j, err) != LM_OK)
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the Docker daemon's system information is not JSON");
	const char *directory = json_get_text(j, "DockerRootDir");
	if (!directory || directory[0] != '/')
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the Docker daemon does not report the directory of its images");
	*ret = lm_xstrdup(directory);
	return LM_OK;
}

enum {
	MESSAGE_MAX = 600,
	PLAIN_MAX = 200, ///< Of an answer in another form, as a page of a proxy.
};

bool engine_error_text(struct lm_str body, struct lm_buf *out)
{
	lm_auto_json json_t *j = NULL;
	const char *message = NULL;
	if (json_parse(body, &j, NULL) == LM_OK)
		message = json_get_text(j, "message");
	// Engines before 1.13 may answer in plain text.
	struct lm_str text = lm_str_trim(message ? lm_str(message) : body);
	char shown[4 * MESSAGE_MAX + 32];
	if (text.n == 0)
		text = LM_STR("no reason given");
	(void)lm_buf_puts(
		out, lm_str_shorten(text, message ? MESSAGE_MAX : PLAIN_MAX, shown, sizeof(shown)));
	return message != NULL;
}

static bool has_any(struct lm_str text, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (text.n > 0 && memmem(text.p, text.n, words[i], strlen(words[i])))
			return true;
	return false;
}

lm_rc engine_error_class(int status, struct lm_str text)
{
	static const char *const denied[] = {"unauthorized", "Unauthorized",
		"no basic auth credentials", "incorrect username or password", "access denied",
		"access to the resource is denied", "denied: ", "authentication required",
		"403 Forbidden"};
	static const char *const network[] = {"dial tcp", "i/o timeout", "connection refused",
		"connection reset", "no such host", "no route to host", "network is unreachable",
		"TLS handshake timeout", "Client.Timeout", "request canceled", "unexpected EOF",
		"Temporary failure in name resolution", "x509:", "502 Bad Gateway",
		"503 Service Unavailable", "504 Gateway",
		"server gave HTTP response to HTTPS client"};
	if (status == 401 || has_any(text, denied, LM_ARRAY_SIZE(denied)))
		return LM_E_DENIED;
	if (has_any(text, network, LM_ARRAY_SIZE(network)))
		return LM_E_NETWORK;
	if (status == 409)
		return LM_E_CONFLICT;
	return status == 404 ? LM_E_NOT_FOUND : LM_E_REFUSED;
}

bool engine_containers_target(struct lm_buf *out, unsigned minor, const char *project)
{
	lm_auto_buf struct lm_buf filter = LM_BUF(1024);
	(void)lm_buf_printf(out, "/v1.%u/containers/json?all=1", minor);
	if (!project)
		return !out->overflow;
	(void)lm_buf_printf(&filter, "{\"label\":[\"" LABEL_PROJECT "=%s\"]}", project);
	(void)lm_buf_puts(out, "&filters=");
	return !filter.overflow && lm_percent_encode(out, lm_buf_str(&filter), false) &&
	       !out->overflow;
}

/// As the engine counts them; a C library may reserve some of them.
enum { RTMIN = 34, RTMAX = 64 };

bool engine_container_target(struct lm_buf *out, unsigned minor, const char *id)
{
	(void)lm_buf_printf(out, "/v1.%u/containers/", minor);
	return *id && lm_percent_encode(out, lm_str(id), false) && lm_buf_puts(out, "/json") &&
	       !out->overflow;
}

static int64_t read_timestamp(const json_t *object, const char *key)
{
	const char *text = json_get_text(object, key);
	int64_t ms = 0;

	// One that never ran has a time in the year 1.
	return text && lm_time_parse(lm_str(text), &ms) && ms > 0 ? ms : 0;
}

static enum engine_health read_health(const json_t *state)
{
	const char *word = json_get_text(json_object_get(state, "Health"), "Status");

	if (!word)
		return ENGINE_HEALTH_NONE;
	if (strcmp(word, "healthy") == 0)
		return ENGINE_HEALTHY;
	if (strcmp(word, "unhealthy") == 0)
		return ENGINE_UNHEALTHY;
	return strcmp(word, "starting") == 0 ? ENGINE_HEALTH_STARTING : ENGINE_HEALTH_NONE;
}

/// State.Status came with API 1.21. A container that is paused or restarting is also Running.
static const char *read_word(const json_t *state)
{
	const char *word = json_get_text(state, "Status");

	if (word)
		return word;
	if (json_get_bool(state, "Paused", false))
		return "paused";
	if (json_get_bool(state, "Restarting", false))
		return "restarting";
	return json_get_bool(state, "Running", false) ? "running" : "exited";
}

static enum engine_restart read_restart_policy(const json_t *container)
{
	const json_t *policy =
		json_object_get(json_object_get(container, "HostConfig"), "RestartPolicy");
	const char *name = json_get_text(policy, "Name");

	if (!name)
		return ENGINE_RESTART_NO;
	if (strcmp(name, "always") == 0 || strcmp(name, "unless-stopped") == 0)
		return ENGINE_RESTART_ALWAYS;
	return strcmp(name, "on-failure") == 0 ? ENGINE_RESTART_ON_FAILURE : ENGINE_RESTART_NO;
}

/// "SIGQUIT", "QUIT", "3", "RTMIN+3"; "" is SIGTERM. Of the image, unless the container has its
/// own.
static int read_stop_signal(const json_t *container)
{
	static const struct {
		const char *name;
		int number;
	} names[] = {{"HUP", SIGHUP}, {"INT", SIGINT}, {"QUIT", SIGQUIT}, {"KILL", SIGKILL},
		{"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"TERM", SIGTERM}, {"ABRT", SIGABRT},
		{"ALRM", SIGALRM}, {"CONT", SIGCONT}, {"PWR", SIGPWR}, {"WINCH", SIGWINCH},
		{"RTMIN", RTMIN}, {"RTMAX", RTMAX}};
	const char *text = json_get_text(json_object_get(container, "Config"), "StopSignal");
	struct lm_str rest = lm_str(text ? text : "");
	uint64_t number = 0;

	if (rest.n == 0)
		return SIGTERM;
	if (lm_str_to_u64(rest, RTMAX, &number))
		return (int)number;
	if (lm_str_starts(rest, LM_STR("SIG")))
		rest = (struct lm_str){rest.p + 3, rest.n - 3};
	bool is_below = lm_str_starts(rest, LM_STR("RTMAX-"));
	struct lm_str name = lm_str_cut(&rest, is_below ? '-' : '+');
	if (rest.n > 0 && !lm_str_to_u64(rest, RTMAX - RTMIN, &number))
		return 0;
	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++) {
		if (lm_str_eq_nocase(name, lm_str(names[i].name)))
			return names[i].number + (is_below ? -(int)number : (int)number);
	}
	return 0;
}

static unsigned read_stop_timeout_s(const json_t *container)
{
	int64_t s = json_get_int(
		json_object_get(container, "Config"), "StopTimeout", ENGINE_STOP_DEFAULT_S);

	return s < 0 || s > ENGINE_STOP_UNLIMITED ? ENGINE_STOP_UNLIMITED : (unsigned)s;
}

static bool has_ended(const json_t *state)
{
	return !json_get_bool(state, "Running", false) || json_get_bool(state, "Restarting", false);
}

lm_rc engine_parse_container_state(
	struct lm_str body, struct engine_container_state *ret, struct lm_err *err)
{
	lm_auto_json json_t *j = NULL;

	if (json_parse(body, &j, err) != LM_OK)
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the Docker daemon's container details are not JSON");
	const json_t *state = json_object_get(j, "State");
	if (!json_is_object(state))
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the Docker daemon's container details have no State");
	int64_t restarts = json_get_int(j, "RestartCount", 0);
	int64_t code = json_get_int(state, "ExitCode", -1);
	int64_t started_ms = read_timestamp(state, "StartedAt");
	bool ended = started_ms && has_ended(state);

	*ret = (struct engine_container_state){
		.restart_count = restarts > 0 && restarts <= UINT32_MAX ? (unsigned)restarts : 0,
		.exit_code = ended && code >= 0 && code <= INT32_MAX ? (int)code : -1,
		.started_ms = started_ms,
		.ended_ms = read_timestamp(state, "FinishedAt"),
		.oom_killed = json_get_bool(state, "OOMKilled", false),
		.health = read_health(state),
		.restart_policy = read_restart_policy(j),
		.stop_signal = read_stop_signal(j),
		.stop_timeout_s = read_stop_timeout_s(j),
	};
	(void)snprintf(ret->state, sizeof(ret->state), "%s", read_word(state));
	return LM_OK;
}

/// Removes a prefix. False if it is not there.
static bool take_prefix(struct lm_str *s, const char *words)
{
	size_t n = strlen(words);

	if (!lm_str_starts(*s, lm_str(words)))
		return false;
	*s = (struct lm_str){s->p + n, s->n - n};
	return true;
}

/// "5 minutes", as the engine rounds: hours to the nearest, and from two days on the hours down to
/// whole days, weeks, months (of 30 days) and years.
static int64_t read_number_of(struct lm_str s)
{
	enum { HOUR = 3600, DAY = 24 * HOUR, HALF_AN_HOUR = HOUR / 2 };
	static const struct {
		const char *unit;
		int64_t seconds, rounded_up;
	} units[] = {{"second", 1, 0}, {"minute", 60, 0}, {"hour", HOUR, HALF_AN_HOUR},
		{"day", DAY, HALF_AN_HOUR}, {"week", 7 * DAY, HALF_AN_HOUR},
		{"month", 30 * DAY, HALF_AN_HOUR}, {"year", 365 * DAY, HALF_AN_HOUR}};
	uint64_t n = 0;

	if (!lm_str_to_u64(lm_str_cut(&s, ' '), 1000, &n))
		return -1;
	for (size_t i = 0; i < LM_ARRAY_SIZE(units); i++) {
		if (lm_str_starts(s, lm_str(units[i].unit)))
			return n ? (int64_t)n * units[i].seconds - units[i].rounded_up : 0;
	}
	return -1;
}

int64_t engine_status_age_s(const char *status)
{
	struct lm_str s = lm_str(status);

	if (!take_prefix(&s, "Up ")) {
		if (!take_prefix(&s, "Exited (") && !take_prefix(&s, "Restarting ("))
			return -1;
		(void)lm_str_cut(&s, ')');
		(void)take_prefix(&s, " ");
	}
	if (lm_str_starts(s, LM_STR("Less than a second")))
		return 0;
	if (lm_str_starts(s, LM_STR("About a minute")))
		return 60;
	if (lm_str_starts(s, LM_STR("About an hour")))
		return 3600;
	return read_number_of(s);
}

void json_stream_init(struct json_stream *s)
{
	*s = (struct json_stream){.object = LM_BUF(LIMIT_ENGINE_LINE)};
}

void json_stream_finish(struct json_stream *s)
{
	lm_buf_finish(&s->object);
}

bool json_stream_at_boundary(const struct json_stream *s)
{
	return s->depth == 0;
}

/// Follows one byte inside an object. True at the object's last one.
static bool ends_object(struct json_stream *s, char c)
{
	if (s->in_string) {
		if (s->escaped)
			s->escaped = false;
		else if (c == '\\')
			s->escaped = true;
		else if (c == '"')
			s->in_string = false;
		return false;
	}
	if (c == '"')
		s->in_string = true;
	else if (c == '{' || c == '[')
		s->depth++;
	else if (c == '}' || c == ']')
		s->depth--;
	return s->depth == 0;
}

static bool is_between(char c)
{
	// 0x1E starts each text of application/json-seq (RFC 7464).
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\x1e';
}

lm_rc json_stream_feed(struct json_stream *s, struct lm_str piece,
	lm_rc (*on_object)(void *ctx, struct lm_str object, struct lm_err *err), void *ctx,
	struct lm_err *err)
{
	for (size_t i = 0; i < piece.n; i++) {
		char c = piece.p[i];
		if (s->depth == 0 && is_between(c))
			continue;
		if (s->depth == 0 && c != '{') {
			char shown[160];
			struct lm_str rest = {piece.p + i, piece.n - i};
			return lm_fail(err, LM_E_PROTOCOL, 0,
				"the Docker daemon sent \"%s\" instead of a JSON object",
				lm_str_shorten(rest, 32, shown, sizeof(shown)));
		}
		if (!lm_buf_putc(&s->object, c))
			return lm_fail(err, LM_E_TOO_LARGE, 0,
				"the Docker daemon sent a JSON object over %d bytes",
				LIMIT_ENGINE_LINE);
		if (!ends_object(s, c))
			continue;
		lm_rc rc = on_object(ctx, lm_buf_str(&s->object), err);
		lm_buf_clear(&s->object);
		if (rc != LM_OK)
			return rc;
	}
	return LM_OK;
}
