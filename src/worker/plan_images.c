// SPDX-License-Identifier: Apache-2.0
#include "worker/plan.h"

#include "base/memory.h"

void plan_images_finish(struct plan_images *images)
{
	for (size_t i = 0; i < images->n; i++) {
		struct plan_image *image = &images->items[i];
		free(image->image);
		free(image->platform);
		free(image->id);
		free(image->digest);
		free(image->reason);
	}
	free(images->items);
	*images = (struct plan_images){0};
}

const struct plan_image *plan_images_get(const struct plan_images *images, const char *image)
{
	for (size_t i = 0; image && i < images->n; i++)
		if (strcmp(images->items[i].image, image) == 0)
			return &images->items[i];
	return NULL;
}

/// Sums of what registries claim may be anything.
static void add(uint64_t *sum, uint64_t n)
{
	if (__builtin_add_overflow(*sum, n, sum))
		*sum = UINT64_MAX;
}

static bool same(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

/// Whether the engine would find out that it has it: by the digest under which it was pulled, or by
/// the image itself, which engines call by its configuration or its manifest.
static bool is_current(const struct plan_image *image, const struct manifest_answer *a)
{
	return image->id &&
	       (same(image->digest, a->digest) || same(image->id, a->digest) ||
		       same(image->id, a->manifest_digest) || same(image->id, a->manifest.config));
}

/// Where a layer stands, for finding the first of those that are the same.
struct place {
	const char *digest;
	size_t image, layer;
};

struct places {
	struct place *items;
	size_t n;
};

static int compare_places(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	int by_digest = strcmp(x->digest, y->digest);

	if (by_digest != 0)
		return by_digest;
	if (x->image != y->image)
		return x->image < y->image ? -1 : 1;
	return x->layer < y->layer ? -1 : x->layer > y->layer;
}

static struct places sort_places(const struct manifest_answer *answers, size_t n)
{
	struct places p = {0};
	size_t all = 0;

	for (size_t i = 0; i < n; i++)
		all += answers[i].manifest.layers_n;
	p.items = lm_xcalloc(all + 1, sizeof(*p.items));
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < answers[i].manifest.layers_n; k++)
			p.items[p.n++] = (struct place){answers[i].manifest.layers[k].digest, i, k};
	qsort(p.items, p.n, sizeof(*p.items), compare_places);
	return p;
}

/// Whether no image before this one, and no layer below, is the same.
static bool is_first(const struct places *p, const struct place *wanted)
{
	size_t low = 0, high = p->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(p->items[middle].digest, wanted->digest) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return p->items[low].image == wanted->image && p->items[low].layer == wanted->layer;
}

static void count_layers(struct plan_image *image, const struct manifest_answer *a, size_t i,
	const struct places *places, const struct engine_layers *here)
{
	bool told = a->layers.n == a->manifest.layers_n;
	size_t shared = told ? image_layers_shared(&a->layers, here->images, here->n) : 0;

	for (size_t k = 0; k < a->manifest.layers_n; k++) {
		const struct manifest_layer *layer = &a->manifest.layers[k];

		add(&image->bytes_total, layer->bytes);
		if (k < shared || !is_first(places, &(struct place){layer->digest, i, k}))
			continue;
		add(&image->bytes, layer->bytes);
		add(&image->bytes_disk, layer->bytes);
		for (unsigned times = layer->packed ? PLAN_UNPACKED_FACTOR : 1; times > 0; times--)
			add(&image->bytes_disk, layer->bytes);
	}
}

static void take_digest(struct plan_image *image, const char *digest)
{
	free(image->digest);
	image->digest = lm_xstrdup(digest);
}

void plan_take_answers(struct plan_image *const *asked, const struct manifest_answer *answers,
	size_t n, const struct engine_layers *here)
{
	struct places places = sort_places(answers, n);

	for (size_t i = 0; i < n; i++) {
		struct plan_image *image = asked[i];

		if (answers[i].rc && image->is_built) {
			image->action = IMAGE_BUILD;
			image->replaced = true;
			image->reason = lm_xasprintf(
				"it is built here, as it cannot be pulled: %s", answers[i].err.msg);
			continue;
		}
		if (answers[i].rc) {
			image->reason = lm_xstrdup(answers[i].err.msg);
			image->unsure = image->id != NULL;
			image->replaced = !image->id;
			continue;
		}
		image->known = true;
		image->replaced = !is_current(image, &answers[i]);
		take_digest(image, answers[i].digest);
		count_layers(image, &answers[i], i, &places, here);
		if (image->replaced)
			continue;
		image->action = IMAGE_KEEP;
		image->bytes = image->bytes_disk = 0;
	}
	free(places.items);
}
