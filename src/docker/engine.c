// SPDX-License-Identifier: Apache-2.0
#include "docker/engine.h"

#include "base/encoding.h"
#include "base/limits.h"
#include "base/memory.h"
#include "docker/engine_priv.h"
#include "docker/images.h"
#include "sys/json.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>

enum {
	REQUEST_MS = 60 * 1000, ///< The engine may be busy with a pull on a slow card.
	REMOVE_MS = 120 * 1000,
	TARGET_MAX = 4096,
};

static lm_rc explain_denied(const char *socket_path, struct lm_err *err)
{
	const struct passwd *user = getpwuid(geteuid());
	char number[16];
	(void)snprintf(number, sizeof(number), "%u", (unsigned)geteuid());
	const char *name = user ? user->pw_name : number;
	struct stat st;
	const struct group *group = stat(socket_path, &st) == 0 ? getgrgid(st.st_gid) : NULL;
	if (!group || st.st_gid == 0)
		return lm_fail(err, LM_E_DENIED, EACCES,
			"user %s may not use the Docker socket %s: give the socket to a group and "
			"add "
			"the user to it",
			name, socket_path);
	return lm_fail(err, LM_E_DENIED, EACCES,
		"user %s may not use the Docker socket %s: add it to the group that owns it "
		"(usermod -aG %s %s)",
		name, socket_path, group->gr_name, name);
}

lm_rc engine_explain(lm_rc rc, const char *socket_path, struct lm_err *err)
{
	switch (rc) {
	case LM_E_NOT_FOUND:
		return lm_fail(err, rc, ENOENT,
			"no Docker socket at %s: start the Docker daemon (systemctl start docker), "
			"or "
			"install the Docker Engine",
			socket_path);
	case LM_E_NETWORK:
		return lm_fail(err, rc, ECONNREFUSED,
			"the Docker daemon does not answer at %s: start it (systemctl start "
			"docker)",
			socket_path);
	case LM_E_DENIED:
		return explain_denied(socket_path, err);
	default:
		return rc;
	}
}

lm_rc engine_connect(
	const struct http_unix_request *request, struct http_unix **ret, struct lm_err *err)
{
	lm_rc rc = http_unix_create(request, ret, err);
	return rc == LM_OK ? LM_OK : engine_explain(rc, request->socket_path, err);
}

lm_rc engine_answer_error(const struct http_unix *h, struct lm_err *err)
{
	lm_auto_buf struct lm_buf words = LM_BUF(4096);
	engine_error_text(http_unix_body(h), &words);
	lm_rc rc = engine_error_class(http_unix_status(h), lm_buf_str(&words));
	return lm_fail(err, rc, 0, "%s", lm_buf_cstr(&words));
}

/// Connects, and waits for the whole answer whatever its status is.
static lm_rc exchange(const struct http_unix_request *request, uint64_t timeout_ms,
	const struct wait_limit *limit, struct http_unix **ret, struct lm_err *err)
{
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_rc rc = engine_connect(request, &h, err);
	if (rc != LM_OK)
		return rc;
	struct wait_limit within = wait_limit_within(limit, timeout_ms);
	rc = http_unix_wait(h, &within, err);
	if (rc != LM_OK)
		return lm_wrap(err, "ask the Docker daemon");
	*ret = lm_take(h);
	return LM_OK;
}

static bool is_success(const struct http_unix *h)
{
	return http_unix_status(h) / 100 == 2;
}

lm_rc engine_get_answer(const char *socket_path, const char *target, const struct wait_limit *limit,
	struct http_unix **ret, struct lm_err *err)
{
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	struct http_unix_request request = {.socket_path = socket_path,
		.method = "GET",
		.target = target,
		.body_max = LIMIT_ENGINE_BODY};
	lm_rc rc = exchange(&request, REQUEST_MS, limit, &h, err);
	if (rc != LM_OK)
		return rc;
	if (!is_success(h))
		return engine_answer_error(h, err);
	*ret = lm_take(h);
	return LM_OK;
}

lm_rc engine_open(const char *socket_path, const struct wait_limit *limit, struct engine *ret,
	struct lm_err *err)
{
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_rc rc = engine_get_answer(socket_path, "/version", limit, &h, err);
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
	lm_rc rc = engine_get_answer(e->socket_path, target, limit, &h, err);
	if (rc != LM_OK)
		return lm_wrap(err, "ask where the Docker daemon keeps its images");
	return engine_parse_root_directory(http_unix_body(h), ret, err);
}

/// The name under which the engine lists an image's digests: without "docker.io/" and "library/".
static char *familiar_name(const struct image_ref *ref)
{
	if (strcmp(ref->registry, "docker.io") != 0)
		return lm_xasprintf("%s/%s", ref->registry, ref->repository);
	bool official = strncmp(ref->repository, "library/", 8) == 0;
	return lm_xstrdup(ref->repository + (official ? 8 : 0));
}

lm_rc engine_inspect_image(const struct engine *e, const char *name, const struct wait_limit *limit,
	struct engine_image *ret, struct lm_err *err)
{
	lm_auto(image_ref_finish) struct image_ref ref = {0};
	lm_auto_free char *repository = NULL;
	// What is no reference may still be an image id.
	if (image_ref_parse(lm_str(name), &ref, NULL) == LM_OK)
		repository = familiar_name(&ref);
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);
	(void)lm_buf_printf(&target, "/v1.%u/images/", e->version.minor);
	(void)lm_percent_encode(&target, lm_str(name), true);
	(void)lm_buf_puts(&target, "/json");
	if (target.overflow)
		return lm_fail(err, LM_E_INVALID, 0, "the name of an image is too long");
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_rc rc = engine_get_answer(e->socket_path, lm_buf_cstr(&target), limit, &h, err);
	if (rc != LM_OK)
		return lm_wrap(err, "look for image %s", name);
	return engine_parse_image(http_unix_body(h), repository, ret, err);
}

lm_rc engine_list_containers(const struct engine *e, const char *project,
	const struct wait_limit *limit, struct engine_containers *ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);
	if (!engine_containers_target(&target, e->version.minor, project))
		return lm_fail(err, LM_E_INVALID, 0, "the name of the project is too long");
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_rc rc = engine_get_answer(e->socket_path, lm_buf_cstr(&target), limit, &h, err);
	if (rc != LM_OK)
		return lm_wrap(err, "list containers");
	return engine_parse_containers(http_unix_body(h), project, ret, err);
}

lm_rc engine_inspect_container(const struct engine *e, const char *id,
	const struct wait_limit *limit, struct engine_container_state *ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);
	if (!engine_container_target(&target, e->version.minor, id))
		return lm_fail(err, LM_E_INVALID, 0, "'%.80s' is no container's id", id);
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_rc rc = engine_get_answer(e->socket_path, lm_buf_cstr(&target), limit, &h, err);
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
	lm_rc rc = engine_get_answer(e->socket_path, target, limit, &h, err);
	if (rc != LM_OK)
		return lm_wrap(err, "list networks");
	return engine_parse_networks(http_unix_body(h), project, ret, err);
}

lm_rc engine_delete_object(const struct engine *e, const char *target,
	const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	struct http_unix_request request = {.socket_path = e->socket_path,
		.method = "DELETE",
		.target = target,
		.body_max = LIMIT_HTTP_ERROR_BODY};
	lm_rc rc = exchange(&request, REMOVE_MS, limit, &h, err);
	if (rc != LM_OK)
		return rc;
	if (is_success(h) || http_unix_status(h) == 404)
		return LM_OK;
	return engine_answer_error(h, err);
}

static void tell(void (*on_removed)(void *ctx, const char *what), void *ctx, const char *kind,
	const char *name)
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
	lm_rc rc = engine_delete_object(e, target, limit, err);
	return rc == LM_OK ? LM_OK : lm_wrap(err, "remove container %s", container->name);
}

static lm_rc remove_containers(const struct engine *e, const char *project,
	void (*on_removed)(void *ctx, const char *what), void *ctx, const struct wait_limit *limit,
	struct lm_err *err)
{
	lm_auto(engine_containers_finish) struct engine_containers list = {0};
	lm_rc rc = engine_list_containers(e, project, limit, &list, err);
	for (size_t i = 0; i < list.n && rc == LM_OK; i++) {
		const struct engine_object item = {list.items[i].id, list.items[i].name};
		rc = engine_remove_container(e, &item, limit, err);
		if (rc == LM_OK)
			tell(on_removed, ctx, "container", item.name);
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
	if (engine_get_answer(e->socket_path, target, limit, &h, NULL) != LM_OK)
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
	lm_rc rc = exchange(&request, REMOVE_MS, limit, &h, err);
	// 404: one of them is gone.
	if (rc == LM_OK && !is_success(h) && http_unix_status(h) != 404)
		rc = engine_answer_error(h, err);
	return rc == LM_OK ? LM_OK
			   : lm_wrap(err, "take container %s out of network %s", container->name,
				     network->name);
}

lm_rc engine_remove_network(const struct engine *e, const struct engine_object *network,
	const struct wait_limit *limit, struct lm_err *err)
{
	char target[256];
	(void)snprintf(
		target, sizeof(target), "/v1.%u/networks/%.128s", e->version.minor, network->id);
	lm_rc rc = engine_delete_object(e, target, limit, err);
	if (rc == LM_OK)
		return LM_OK;
	lm_auto_buf struct lm_buf holders = LM_BUF(512);
	if (rc != LM_E_TIMEOUT && rc != LM_E_CANCELLED)
		name_holders(e, network->id, limit, &holders);
	if (holders.len > 0)
		return lm_fail(err, LM_E_CONFLICT, 0,
			"network %s is still used by %s, which is not of this application",
			network->name, lm_buf_cstr(&holders));
	return lm_wrap(err, "remove network %s", network->name);
}

static lm_rc remove_networks(const struct engine *e, const char *project,
	void (*on_removed)(void *ctx, const char *what), void *ctx, const struct wait_limit *limit,
	struct lm_err *err)
{
	lm_auto(engine_networks_finish) struct engine_networks list = {0};
	lm_rc rc = engine_list_networks(e, project, limit, &list, err);
	for (size_t i = 0; i < list.n && rc == LM_OK; i++) {
		const struct engine_object item = {list.items[i].id, list.items[i].name};
		rc = engine_remove_network(e, &item, limit, err);
		if (rc == LM_OK)
			tell(on_removed, ctx, "network", item.name);
	}
	return rc;
}

lm_rc engine_remove_project(const struct engine *e, const char *project,
	void (*on_removed)(void *ctx, const char *what), void *ctx, const struct wait_limit *limit,
	struct lm_err *err)
{
	lm_rc rc = remove_containers(e, project, on_removed, ctx, limit, err);
	return rc == LM_OK ? remove_networks(e, project, on_removed, ctx, limit, err) : rc;
}
