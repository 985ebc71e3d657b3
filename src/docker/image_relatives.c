// SPDX-License-Identifier: Apache-2.0
#include "docker/image_relatives.h"

#include "base/buf.h"
#include "base/encoding.h"
#include "base/limits.h"
#include "base/memory.h"
#include "docker/engine_images.h"
#include "docker/engine_request.h"
#include "sys/http_unix.h"
#include "sys/json.h"

#include <stdlib.h>
#include <string.h>

enum { RELATIVES_TARGET_MAX = 4096 };

static void finish_relative(struct image_relative *r)
{
	free(r->id);
	for (size_t i = 0; i < r->names_n; i++)
		free(r->names[i]);
	free(r->names);
}

void image_relatives_finish(struct image_relatives *relatives)
{
	for (size_t i = 0; i < relatives->n; i++)
		finish_relative(&relatives->items[i]);
	free(relatives->items);
	*relatives = (struct image_relatives){0};
}

static lm_rc get_json(const struct engine *e, const char *target, const struct wait_limit *limit,
	json_t **ret, struct lm_err *err)
{
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_rc rc = engine_fetch(e->socket_path, target, limit, &h, err);

	if (rc)
		return rc;
	if (json_parse(http_unix_body(h), ret, NULL))
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the Docker daemon's answer about images is not JSON");
	return LM_OK;
}

static lm_rc inspect_relative(const struct engine *e, const char *id,
	const struct wait_limit *limit, json_t **ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf target = LM_BUF(RELATIVES_TARGET_MAX);

	(void)lm_buf_printf(&target, "/v1.%u/images/", e->version.minor);
	(void)lm_percent_encode(&target, lm_str(id), false);
	(void)lm_buf_puts(&target, "/json");
	if (target.overflow)
		return lm_fail(err, LM_E_PROTOCOL, 0, "an image ID is too long");
	return get_json(e, lm_buf_cstr(&target), limit, ret, err);
}

static const json_t *layers_of(const json_t *image)
{
	return json_object_get(json_object_get(image, "RootFS"), "Layers");
}

static size_t count_shared(const json_t *a, const json_t *b)
{
	size_t n = 0;

	while (n < json_array_size(a) && n < json_array_size(b) &&
		json_equal(json_array_get(a, n), json_array_get(b, n)))
		n++;
	return n;
}

static void add_relative(
	struct image_relatives *to, const char *id, const json_t *image, size_t shared)
{
	const json_t *tags = json_object_get(image, "RepoTags");
	struct image_relative *r = &to->items[to->n++];
	size_t i;
	json_t *tag;

	*r = (struct image_relative){.id = lm_xstrdup(id),
		.names = lm_xcalloc(json_array_size(tags) + 1, sizeof(*r->names)),
		.layers = json_array_size(layers_of(image)),
		.shared = shared};
	json_array_foreach(tags, i, tag)
	{
		if (json_is_string(tag) && strcmp(json_string_value(tag), "<none>:<none>") != 0)
			r->names[r->names_n++] = lm_xstrdup(json_string_value(tag));
	}
}

/// The IDs of all images, those that are only the base of another one, too.
static lm_rc list_all(
	const struct engine *e, const struct wait_limit *limit, json_t **ret, struct lm_err *err)
{
	lm_auto_free char *target = lm_xasprintf("/v1.%u/images/json?all=1", e->version.minor);
	lm_rc rc = get_json(e, target, limit, ret, err);

	if (!rc && json_array_size(*ret) > LIMIT_LOCAL_IMAGES)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the Docker daemon has %zu images, of which at most %d can be compared",
			json_array_size(*ret), LIMIT_LOCAL_IMAGES);
	return rc;
}

static int compare_layers(const void *a, const void *b)
{
	const struct image_relative *x = a;
	const struct image_relative *y = b;

	return (x->layers < y->layers) - (x->layers > y->layers);
}

lm_rc image_relatives_find(const struct engine *e, const char *id, const struct wait_limit *limit,
	struct image_relatives *ret, struct lm_err *err)
{
	lm_auto(image_relatives_finish) struct image_relatives found = {0};
	lm_auto_json json_t *self = NULL;
	lm_auto_json json_t *list = NULL;
	lm_rc rc = inspect_relative(e, id, limit, &self, err);
	size_t i;
	json_t *item;

	if (!rc)
		rc = list_all(e, limit, &list, err);
	if (rc)
		return lm_wrap(err, "find the images that share layers with %.19s", id);
	found.items = lm_xcalloc(json_array_size(list) + 1, sizeof(*found.items));
	json_array_foreach(list, i, item)
	{
		lm_auto_json json_t *image = NULL;
		const char *other = json_get_text(item, "Id");

		rc = other ? inspect_relative(e, other, limit, &image, err) : LM_E_NOT_FOUND;
		if (rc == LM_E_NOT_FOUND) // removed meanwhile
			continue;
		if (rc)
			return lm_wrap(err, "find the images that share layers with %.19s", id);
		size_t shared = count_shared(layers_of(self), layers_of(image));
		if (shared > 0 || strcmp(other, id) == 0)
			add_relative(&found, other, image, shared);
	}
	qsort(found.items, found.n, sizeof(*found.items), compare_layers);
	*ret = found;
	found = (struct image_relatives){0};
	return LM_OK;
}
