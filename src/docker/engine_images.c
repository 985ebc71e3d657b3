// SPDX-License-Identifier: Apache-2.0
#include "docker/engine_images.h"

#include "base/buf.h"
#include "base/encoding.h"
#include "base/limits.h"
#include "base/memory.h"
#include "docker/engine_request.h"
#include "docker/image_ref.h"
#include "sys/http_unix.h"
#include "sys/json.h"

enum {
	ASK_MS = 90 * 1000, ///< The engine waits for the registry behind it.
	REMOVE_MS = 120 * 1000,
	TARGET_MAX = 4096,
};

/// The digest of "localhost:5000/demo/web@sha256:…", if it is of the repository; NULL: any.
static const char *repo_digest_of(const char *repo_digest, const char *repository)
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
		const char *mine = repo_digest_of(text, repository);
		if (mine)
			return lm_xstrdup(mine);
		if (!found)
			found = repo_digest_of(text, NULL);
	}
	return found ? lm_xstrdup(found) : NULL;
}

static void read_tags(const json_t *tags, struct engine_image *ret)
{
	size_t i;
	json_t *item;

	ret->tags = lm_xcalloc(json_array_size(tags) + 1, sizeof(*ret->tags));
	json_array_foreach(tags, i, item)
	{
		const char *tag = json_string_value(item);
		// So some engines list an image without a name.
		if (tag && strcmp(tag, "<none>:<none>") != 0)
			ret->tags[ret->tags_n++] = lm_xstrdup(tag);
	}
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

/// {"Test":["CMD",…]}, with {"Test":["NONE"]} for one that is switched off; absent: none.
static bool has_health_check(const json_t *image)
{
	const json_t *check = json_object_get(json_object_get(image, "Config"), "Healthcheck");
	const char *kind = json_string_value(json_array_get(json_object_get(check, "Test"), 0));

	return kind && strcmp(kind, "NONE") != 0;
}

lm_rc engine_parse_image(
	struct lm_str body, const char *repository, struct engine_image *ret, struct lm_err *err)
{
	lm_auto_json json_t *j = NULL;
	if (json_parse(body, &j, err) != LM_OK)
		return lm_fail(
			err, LM_E_PROTOCOL, 0, "the Docker daemon's image details are not JSON");
	const char *id = json_get_text(j, "Id");
	if (!id || !*id)
		return lm_fail(
			err, LM_E_PROTOCOL, 0, "the Docker daemon's image details have no Id");
	int64_t size = json_get_int(j, "Size", 0);
	ret->platform = platform_of(j);
	ret->id = lm_xstrdup(id);
	ret->digest = choose_digest(json_object_get(j, "RepoDigests"), repository);
	ret->size = size > 0 ? (uint64_t)size : 0;
	ret->has_health_check = has_health_check(j);
	read_tags(json_object_get(j, "RepoTags"), ret);
	return LM_OK;
}

void engine_image_finish(struct engine_image *image)
{
	free(image->id);
	free(image->digest);
	free(image->platform);
	for (size_t i = 0; i < image->tags_n; i++)
		free(image->tags[i]);
	free(image->tags);
	*image = (struct engine_image){0};
}

/// The name under which the engine lists an image's digests: without "docker.io/" and "library/".
static char *familiar_name(const struct image_ref *ref)
{
	if (strcmp(ref->registry, "docker.io") != 0)
		return lm_xasprintf("%s/%s", ref->registry, ref->repository);
	bool official = strncmp(ref->repository, "library/", 8) == 0;
	return lm_xstrdup(ref->repository + (official ? 8 : 0));
}

/// What the engine has as `which`; of its digests the one of the repository of `name`.
static lm_rc inspect_image(const struct engine *e, const char *which, const char *name,
	const struct wait_limit *limit, struct engine_image *ret, struct lm_err *err)
{
	lm_auto(image_ref_finish) struct image_ref ref = {0};
	lm_auto_free char *repository = NULL;
	// What is no reference may still be an image id.
	if (image_ref_parse(lm_str(name), &ref, NULL) == LM_OK)
		repository = familiar_name(&ref);
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);
	(void)lm_buf_printf(&target, "/v1.%u/images/", e->version.minor);
	(void)lm_percent_encode(&target, lm_str(which), true);
	(void)lm_buf_puts(&target, "/json");
	if (target.overflow)
		return lm_fail(err, LM_E_INVALID, 0, "an image name is too long");
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_rc rc = engine_fetch(e->socket_path, lm_buf_cstr(&target), limit, &h, err);
	if (rc != LM_OK)
		return lm_wrap(err, "look for image %s", which);
	return engine_parse_image(http_unix_body(h), repository, ret, err);
}

lm_rc engine_inspect_image(const struct engine *e, const char *name, const struct wait_limit *limit,
	struct engine_image *ret, struct lm_err *err)
{
	return inspect_image(e, name, name, limit, ret, err);
}

lm_rc engine_inspect_image_id(const struct engine *e, const char *id, const char *name,
	const struct wait_limit *limit, struct engine_image *ret, struct lm_err *err)
{
	return inspect_image(e, id, name, limit, ret, err);
}

/// A request without a body, of which only whether it succeeded matters.
static lm_rc change_image(const struct engine *e, const char *method, const struct lm_buf *target,
	const struct wait_limit *limit, struct lm_err *err)
{
	if (target->overflow)
		return lm_fail(err, LM_E_INVALID, 0, "an image name is too long");
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	const struct http_unix_request request = {.socket_path = e->socket_path,
		.method = method,
		.target = lm_buf_cstr(target),
		.body_max = LIMIT_ENGINE_BODY};
	lm_rc rc = engine_exchange(&request, REMOVE_MS, limit, &h, err);

	if (!rc && http_unix_status(h) / 100 != 2)
		rc = engine_answer_error(h, err);
	return rc;
}

lm_rc engine_tag_image(const struct engine *e, const char *id, const char *name,
	const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto(image_ref_finish) struct image_ref ref = {0};
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);
	lm_rc rc = image_ref_parse(lm_str(name), &ref, err);

	if (!rc && ref.digest)
		rc = lm_fail(err, LM_E_INVALID, 0, "image %s is named by its digest", name);
	if (rc)
		return rc;
	(void)lm_buf_printf(&target, "/v1.%u/images/", e->version.minor);
	(void)lm_percent_encode(&target, lm_str(id), false);
	(void)lm_buf_puts(&target, "/tag?repo=");
	(void)lm_percent_encode(&target, lm_str(ref.name), false);
	(void)lm_buf_puts(&target, "&tag=");
	(void)lm_percent_encode(&target, lm_str(image_ref_version(&ref)), false);
	rc = change_image(e, "POST", &target, limit, err);
	return rc ? lm_wrap(err, "name image %.19s %s again", id, name) : LM_OK;
}

lm_rc engine_remove_image(const struct engine *e, const char *name, const struct wait_limit *limit,
	struct lm_err *err)
{
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);

	(void)lm_buf_printf(&target, "/v1.%u/images/", e->version.minor);
	(void)lm_percent_encode(&target, lm_str(name), true);
	lm_rc rc = change_image(e, "DELETE", &target, limit, err);

	if (rc == LM_E_NOT_FOUND)
		return LM_OK;
	return rc ? lm_wrap(err, "remove image %s", name) : LM_OK;
}

lm_rc engine_ask_registry(const struct engine *e, const char *image, const struct lm_secret *auth,
	const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);

	(void)lm_buf_printf(&target, "/v1.%u/distribution/", e->version.minor);
	(void)lm_percent_encode(&target, lm_str(image), true);
	(void)lm_buf_puts(&target, "/json");
	if (target.overflow)
		return lm_fail(err, LM_E_INVALID, 0, "an image name is too long");
	const struct http_unix_request request = {.socket_path = e->socket_path,
		.method = "GET",
		.target = lm_buf_cstr(&target),
		.secret_header = auth ? "X-Registry-Auth" : NULL,
		.secret_value = auth,
		.body_max = LIMIT_ENGINE_BODY};
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_rc rc = engine_exchange(&request, ASK_MS, limit, &h, err);

	if (!rc && http_unix_status(h) / 100 != 2)
		rc = engine_answer_error(h, err);
	return rc ? lm_wrap(err, "image %s", image) : LM_OK;
}

void engine_image_list_finish(struct engine_image_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->ids[i]);
	free(list->ids);
	*list = (struct engine_image_list){0};
}

void image_layers_finish(struct image_layers *layers)
{
	for (size_t i = 0; i < layers->n; i++)
		free(layers->digests[i]);
	free(layers->digests);
	*layers = (struct image_layers){0};
}

static size_t common(const struct image_layers *a, const struct image_layers *b)
{
	size_t n = 0;

	while (n < a->n && n < b->n && strcmp(a->digests[n], b->digests[n]) == 0)
		n++;
	return n;
}

size_t image_layers_shared(
	const struct image_layers *wanted, const struct image_layers *here, size_t here_n)
{
	size_t most = 0;

	for (size_t i = 0; i < here_n; i++) {
		size_t n = common(wanted, &here[i]);
		most = n > most ? n : most;
	}
	return most;
}

lm_rc engine_parse_image_list(struct lm_str body, struct engine_image_list *ret, struct lm_err *err)
{
	lm_auto_json json_t *list = NULL;
	size_t i;
	json_t *item;

	if (json_parse(body, &list, NULL) || !(json_is_array(list) || json_is_null(list)))
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the Docker daemon's list of images is not a JSON array");
	*ret = (struct engine_image_list){
		.ids = lm_xcalloc(json_array_size(list) + 1, sizeof(*ret->ids))};
	json_array_foreach(list, i, item)
	{
		const char *id = json_get_text(item, "Id");
		if (id && *id)
			ret->ids[ret->n++] = lm_xstrdup(id);
	}
	return LM_OK;
}

lm_rc engine_parse_image_layers(struct lm_str body, struct image_layers *ret, struct lm_err *err)
{
	lm_auto_json json_t *image = NULL;
	size_t i;
	json_t *digest;

	if (json_parse(body, &image, NULL) || !json_is_object(image))
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the Docker daemon's image details are not a JSON object");
	bool is_of_registry = json_array_size(json_object_get(image, "RepoDigests")) > 0;
	const json_t *list = json_object_get(json_object_get(image, "RootFS"), "Layers");
	if (!is_of_registry)
		list = NULL;
	*ret = (struct image_layers){
		.digests = lm_xcalloc(json_array_size(list) + 1, sizeof(*ret->digests))};
	json_array_foreach(list, i, digest)
	{
		if (!json_is_string(digest))
			break;
		ret->digests[ret->n++] = lm_xstrdup(json_string_value(digest));
	}
	return LM_OK;
}

bool engine_image_list_has(const struct engine_image_list *list, const char *id)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->ids[i], id) == 0)
			return true;
	return false;
}

lm_rc engine_list_images(const struct engine *e, const struct wait_limit *limit,
	struct engine_image_list *ret, struct lm_err *err)
{
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);

	(void)lm_buf_printf(&target, "/v1.%u/images/json", e->version.minor);
	lm_rc rc = engine_fetch(e->socket_path, lm_buf_cstr(&target), limit, &h, err);
	if (!rc)
		rc = engine_parse_image_list(http_unix_body(h), ret, err);
	return rc ? lm_wrap(err, "list images") : LM_OK;
}

static lm_rc get_layers(const struct engine *e, const char *id, const struct wait_limit *limit,
	struct image_layers *ret, struct lm_err *err)
{
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);

	(void)lm_buf_printf(&target, "/v1.%u/images/", e->version.minor);
	(void)lm_percent_encode(&target, lm_str(id), false);
	(void)lm_buf_puts(&target, "/json");
	if (target.overflow)
		return lm_fail(err, LM_E_PROTOCOL, 0, "an image ID is too long");
	lm_rc rc = engine_fetch(e->socket_path, lm_buf_cstr(&target), limit, &h, err);
	return rc ? rc : engine_parse_image_layers(http_unix_body(h), ret, err);
}

void engine_layers_finish(struct engine_layers *layers)
{
	for (size_t i = 0; i < layers->n; i++)
		image_layers_finish(&layers->images[i]);
	free(layers->images);
	*layers = (struct engine_layers){0};
}

lm_rc engine_list_layers(const struct engine *e, const struct wait_limit *limit,
	struct engine_layers *ret, struct lm_err *err)
{
	lm_auto(engine_image_list_finish) struct engine_image_list list = {0};
	lm_auto(engine_layers_finish) struct engine_layers layers = {0};
	lm_rc rc = engine_list_images(e, limit, &list, err);

	if (rc)
		return rc;
	layers.images = lm_xcalloc(list.n + 1, sizeof(*layers.images));
	for (size_t i = 0; i < list.n && i < LIMIT_LOCAL_IMAGES; i++) {
		rc = get_layers(e, list.ids[i], limit, &layers.images[layers.n], err);
		if (rc == LM_E_NOT_FOUND)
			continue;
		if (rc)
			return lm_wrap(err, "read the layers of image %s", list.ids[i]);
		layers.n++;
	}
	*ret = layers;
	layers = (struct engine_layers){0};
	return LM_OK;
}
