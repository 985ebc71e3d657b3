// SPDX-License-Identifier: Apache-2.0
#include "docker/answer.h"

#include "base/encoding.h"
#include "base/limits.h"
#include "base/memory.h"
#include "sys/json.h"

#include <stdio.h>

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

/// Whether a version ("1.9.0", "20.10.24+dfsg1") is below 1.9.1. What is no number is not: builds
/// of one's own call themselves "dev", and the API version speaks for them.
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
			"the Docker daemon does not tell its version and API version");
	char shown[160];
	(void)lm_str_shorten(lm_str(engine), 32, shown, sizeof(shown));
	if (is_older_than_1_9_1(engine) || offered < ENGINE_API_MINOR_MIN)
		return lm_fail(err, LM_E_REFUSED, 0,
			"Docker Engine %s is too old: 1.9.1 or later is needed", shown);
	unsigned least = 0;
	if (api_min && read_api_minor(api_min, &least) && least > ENGINE_API_MINOR_MAX)
		return lm_fail(err, LM_E_REFUSED, 0,
			"Docker Engine %s takes API versions from 1.%u on, Lighterman speaks up to "
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

/// The state that a status for people tells: lists have no State before API 1.23.
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

char *engine_container_name(const json_t *item)
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

static void read_container(const json_t *item, struct engine_container *c)
{
	const json_t *labels = json_object_get(item, "Labels");
	const char *oneoff = json_get_text(labels, "com.docker.compose.oneoff");
	c->id = json_copy_text(item, "Id");
	c->name = engine_container_name(item);
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
}

static bool is_of_project(const json_t *item, const char *project)
{
	const char *label = json_get_text(json_object_get(item, "Labels"), LABEL_PROJECT);
	return label && strcmp(label, project) == 0;
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

void engine_containers_finish(struct engine_containers *list)
{
	for (size_t i = 0; i < list->n; i++) {
		struct engine_container *c = &list->items[i];
		free(c->id);
		free(c->name);
		free(c->service);
		free(c->image);
		free(c->image_id);
		free(c->config_hash);
		free(c->compose_version);
		free(c->state);
		free(c->status);
	}
	free(list->items);
	*list = (struct engine_containers){0};
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
	json_array_foreach(list, i, item)
	{
		if (!is_of_project(item, project))
			continue;
		ret->items[ret->n++] = (struct engine_network){
			.id = json_copy_text(item, "Id"), .name = json_copy_text(item, "Name")};
	}
	return LM_OK;
}

void engine_networks_finish(struct engine_networks *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->items[i].id);
		free(list->items[i].name);
	}
	free(list->items);
	*list = (struct engine_networks){0};
}

/// The digest of "localhost:5000/demo/web@sha256:…", if it is of the repository; NULL: any.
static const char *digest_of(const char *repo_digest, const char *repository)
{
	const char *at = strchr(repo_digest, '@');
	if (!at)
		return NULL;
	struct lm_str name = {repo_digest, (size_t)(at - repo_digest)};
	return !repository || lm_str_eq(name, lm_str(repository)) ? at + 1 : NULL;
}

static char *choose_digest(const json_t *repo_digests, const char *repository)
{
	const char *found = NULL;
	size_t i;
	json_t *item;
	json_array_foreach(repo_digests, i, item)
	{
		const char *text = json_string_value(item);
		if (!text)
			continue;
		const char *mine = digest_of(text, repository);
		if (mine)
			return lm_xstrdup(mine);
		if (!found)
			found = digest_of(text, NULL);
	}
	return found ? lm_xstrdup(found) : NULL;
}

static char *platform_of(const json_t *image)
{
	const char *os = json_get_text(image, "Os");
	const char *architecture = json_get_text(image, "Architecture");
	const char *variant = json_get_text(image, "Variant");

	if (!os || !*os || !architecture || !*architecture)
		return lm_xstrdup("");
	return lm_xasprintf("%s/%s%s%s", os, architecture, variant && *variant ? "/" : "",
		variant ? variant : "");
}

lm_rc engine_parse_image(
	struct lm_str body, const char *repository, struct engine_image *ret, struct lm_err *err)
{
	lm_auto_json json_t *j = NULL;
	if (json_parse(body, &j, err) != LM_OK)
		return lm_fail(
			err, LM_E_PROTOCOL, 0, "the Docker daemon's word on an image is not JSON");
	const char *id = json_get_text(j, "Id");
	if (!id || !*id)
		return lm_fail(
			err, LM_E_PROTOCOL, 0, "the Docker daemon's word on an image has no Id");
	int64_t size = json_get_int(j, "Size", 0);
	ret->platform = platform_of(j);
	ret->id = lm_xstrdup(id);
	ret->digest = choose_digest(json_object_get(j, "RepoDigests"), repository);
	ret->size = size > 0 ? (uint64_t)size : 0;
	return LM_OK;
}

void engine_image_finish(struct engine_image *image)
{
	free(image->id);
	free(image->digest);
	free(image->platform);
	*image = (struct engine_image){0};
}

lm_rc engine_parse_root_directory(struct lm_str body, char **ret, struct lm_err *err)
{
	lm_auto_json json_t *j = NULL;
	if (json_parse(body, &j, err) != LM_OK)
		return lm_fail(
			err, LM_E_PROTOCOL, 0, "the Docker daemon's word on itself is not JSON");
	const char *directory = json_get_text(j, "DockerRootDir");
	if (!directory || directory[0] != '/')
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the Docker daemon does not tell where it keeps its images");
	*ret = lm_xstrdup(directory);
	return LM_OK;
}

void engine_error_text(struct lm_str body, struct lm_buf *out)
{
	lm_auto_json json_t *j = NULL;
	const char *message = NULL;
	if (json_parse(body, &j, NULL) == LM_OK)
		message = json_get_text(j, "message");
	// Engines before 1.13 may answer with the plain words.
	struct lm_str text = lm_str_trim(message ? lm_str(message) : body);
	char shown[4 * 600 + 32];
	if (text.n == 0)
		text = LM_STR("no reason given");
	(void)lm_buf_puts(out, lm_str_shorten(text, 600, shown, sizeof(shown)));
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
	(void)lm_buf_printf(&filter, "{\"label\":[\"" LABEL_PROJECT "=%s\"]}", project);
	(void)lm_buf_printf(out, "/v1.%u/containers/json?all=1&filters=", minor);
	return !filter.overflow && lm_percent_encode(out, lm_buf_str(&filter), false) &&
	       !out->overflow;
}
