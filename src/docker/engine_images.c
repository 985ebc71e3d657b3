// SPDX-License-Identifier: Apache-2.0
#include "docker/engine_images.h"

#include "base/encoding.h"
#include "base/limits.h"
#include "base/memory.h"
#include "docker/engine_priv.h"
#include "sys/json.h"

enum { TARGET_MAX = 1024 };

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
			"the Docker daemon's word on an image is not a JSON object");
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

static lm_rc list_images(const struct engine *e, const struct wait_limit *limit,
	struct engine_image_list *ret, struct lm_err *err)
{
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);

	(void)lm_buf_printf(&target, "/v1.%u/images/json", e->version.minor);
	lm_rc rc = engine_get_answer(e->socket_path, lm_buf_cstr(&target), limit, &h, err);
	return rc ? rc : engine_parse_image_list(http_unix_body(h), ret, err);
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
		return lm_fail(err, LM_E_PROTOCOL, 0, "the id of an image is too long");
	lm_rc rc = engine_get_answer(e->socket_path, lm_buf_cstr(&target), limit, &h, err);
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
	lm_rc rc = list_images(e, limit, &list, err);

	if (rc)
		return lm_wrap(err, "list images");
	layers.images = lm_xcalloc(list.n + 1, sizeof(*layers.images));
	for (size_t i = 0; i < list.n && i < LIMIT_LOCAL_IMAGES; i++) {
		rc = get_layers(e, list.ids[i], limit, &layers.images[layers.n], err);
		if (rc == LM_E_NOT_FOUND)
			continue;
		if (rc)
			return lm_wrap(err, "look at the layers of image %s", list.ids[i]);
		layers.n++;
	}
	*ret = layers;
	layers = (struct engine_layers){0};
	return LM_OK;
}
