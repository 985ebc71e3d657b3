// SPDX-License-Identifier: Apache-2.0
#include "worker/plan.h"

#include "base/memory.h"
#include "docker/compose.h"

#include <stdlib.h>

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

/// The image of that name, or NULL. Borrowed.
static const struct plan_image *plan_images_get(const struct plan_images *images, const char *image)
{
	for (size_t i = 0; image && i < images->n; i++)
		if (strcmp(images->items[i].image, image) == 0)
			return &images->items[i];
	return NULL;
}

/// Registries may claim any size.
static void add_bytes(uint64_t *sum, uint64_t n)
{
	if (__builtin_add_overflow(*sum, n, sum))
		*sum = UINT64_MAX;
}

static bool plan_is_equal(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

/// Whether the engine has this very image: by the digest under which it was pulled, or by its ID,
/// which is the digest of its configuration or manifest.
static bool is_current(const struct plan_image *image, const struct manifest_answer *a)
{
	return image->id &&
	       (plan_is_equal(image->digest, a->digest) || plan_is_equal(image->id, a->digest) ||
		       plan_is_equal(image->id, a->manifest_digest) ||
		       plan_is_equal(image->id, a->manifest.config));
}

/// A layer's position, to find the first of equal layers.
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

/// Whether no earlier image or layer is equal.
static bool is_first_place(const struct places *p, const struct place *wanted)
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
	bool complete = a->layers.n == a->manifest.layers_n;
	size_t shared = complete ? image_layers_shared(&a->layers, here->images, here->n) : 0;

	for (size_t k = 0; k < a->manifest.layers_n; k++) {
		const struct manifest_layer *layer = &a->manifest.layers[k];

		add_bytes(&image->bytes_total, layer->bytes);
		if (k < shared || !is_first_place(places, &(struct place){layer->digest, i, k}))
			continue;
		add_bytes(&image->bytes, layer->bytes);
		add_bytes(&image->bytes_disk, layer->bytes);
		for (unsigned times = layer->packed ? PLAN_UNPACKED_FACTOR : 1; times > 0; times--)
			add_bytes(&image->bytes_disk, layer->bytes);
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
				"built here, as it cannot be pulled: %s", answers[i].err.msg);
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

const char *plan_action_name(enum plan_action action)
{
	static const char *const names[] = {[PLAN_CREATED] = "created",
		[PLAN_RECREATED] = "recreated",
		[PLAN_STARTED] = "started",
		[PLAN_REMOVED] = "removed",
		[PLAN_LEFT_ALONE] = "left_alone",
		[PLAN_UNKNOWN] = "unknown"};

	return names[action];
}

const char *plan_reason_name(enum plan_reason reason)
{
	static const char *const names[] = {[PLAN_NEW] = "new",
		[PLAN_DOWN] = "down",
		[PLAN_COMPOSE] = "docker-compose",
		[PLAN_DEFINITION] = "definition",
		[PLAN_IMAGE] = "image",
		[PLAN_DEPENDENCY] = "dependency",
		[PLAN_SCALE] = "scale",
		[PLAN_STOPPED] = "stopped",
		[PLAN_GONE] = "gone",
		[PLAN_UNCHANGED] = "unchanged",
		[PLAN_UNSURE_IMAGE] = "unsure_image",
		[PLAN_UNSURE_DEFINITION] = "unsure_definition"};

	return names[reason];
}

void plan_services_finish(struct plan_services *services)
{
	for (size_t i = 0; i < services->n; i++) {
		free(services->items[i].name);
		free(services->items[i].image);
	}
	free(services->items);
	*services = (struct plan_services){0};
}

/// The state of a service's containers.
struct found {
	size_t n, running;
	bool other_compose; ///< Another generation made one of them.
	bool other_image;   ///< One has another image than the one of that name now.
	bool other_hash;
};

static bool is_of_service(const struct engine_container *c, const char *service)
{
	return !c->oneoff && strcmp(c->service, service) == 0;
}

static bool plan_is_up(const struct engine_container *c)
{
	return strcmp(c->state, "running") == 0 || strcmp(c->state, "restarting") == 0 ||
	       strcmp(c->state, "paused") == 0;
}

/// "1.29.2" and "2.26.1" are of generations 1 and 2; later ones count as 2.
static unsigned generation_of(const char *version)
{
	unsigned long major = strtoul(*version == 'v' ? version + 1 : version, NULL, 10);

	return major > 2 ? 2 : (unsigned)major;
}

static struct found look_at_containers(const struct plan_input *in, const char *service,
	const char *hash, const struct plan_image *image)
{
	struct found f = {0};

	for (size_t i = 0; i < in->containers->n; i++) {
		const struct engine_container *c = &in->containers->items[i];

		if (!is_of_service(c, service))
			continue;
		f.n++;
		f.running += plan_is_up(c);
		f.other_compose |= generation_of(c->compose_version) != in->generation;
		f.other_hash |= hash && strcmp(c->config_hash, hash) != 0;
		f.other_image |=
			image && image->id && *c->image_id && strcmp(c->image_id, image->id) != 0;
	}
	return f;
}

/// For a service whose hash depends on others: compares with the hash that the local copy, from
/// which it was created, has now.
static void compare_late_hash(const struct plan_input *in, const char *hash, struct plan_service *s)
{
	const char *old = compose_hashes_get(in->old_hashes, s->name);

	if (!old)
		s->changes_known = false;
	else if (strcmp(old, hash) != 0)
		s->changes |= 1U << PLAN_DEFINITION;
}

static void compare_service(const struct plan_input *in, const struct found *f, const char *hash,
	const struct plan_image *image, struct plan_service *s)
{
	const struct compose_tie *tie = compose_ties_get(in->ties, s->name);
	bool replaced = image && image->replaced;

	s->changes_known = hash != NULL || f->other_compose;
	if (replaced || f->other_image)
		s->changes |= 1U << PLAN_IMAGE;
	if (f->other_compose) {
		s->changes |= 1U << PLAN_COMPOSE; // its hashes are computed differently
		return;
	}
	// Generation 1 includes the image's ID in the hash, which may be the only change.
	bool by_image = in->generation < 2 && f->other_image;
	if (!f->other_hash || by_image)
		return;
	if (tie && tie->hash_is_late)
		compare_late_hash(in, hash, s);
	else
		s->changes |= 1U << PLAN_DEFINITION;
}

static void set_action(struct plan_service *s, enum plan_action action, enum plan_reason reason)
{
	s->action = action;
	s->reason = reason;
}

static size_t wanted_count(const struct plan_input *in, const char *service)
{
	const struct compose_tie *tie = compose_ties_get(in->ties, service);

	return tie ? tie->replicas : 1;
}

static void decide_by_count(const struct plan_input *in, const struct found *f,
	const struct plan_image *image, struct plan_service *s)
{
	size_t wanted = wanted_count(in, s->name);

	if (!s->changes_known)
		set_action(s, PLAN_UNKNOWN, PLAN_UNSURE_DEFINITION);
	else if (image && image->unsure)
		set_action(s, PLAN_UNKNOWN, PLAN_UNSURE_IMAGE);
	else if (f->n < wanted)
		set_action(s, PLAN_CREATED, PLAN_SCALE);
	else if (f->n > wanted)
		set_action(s, PLAN_REMOVED, PLAN_SCALE);
	else if (f->running < f->n)
		set_action(s, PLAN_STARTED, PLAN_STOPPED);
	else
		set_action(s, PLAN_LEFT_ALONE, PLAN_UNCHANGED);
}

static void decide_service(const struct plan_input *in, const struct found *f,
	const struct plan_image *image, struct plan_service *s)
{
	static const enum plan_reason order[] = {PLAN_COMPOSE, PLAN_DEFINITION, PLAN_IMAGE};

	if (f->n == 0) {
		set_action(s, PLAN_CREATED, PLAN_NEW);
		return;
	}
	if (in->takes_down) {
		bool again = wanted_count(in, s->name) > 0;
		set_action(s, again ? PLAN_RECREATED : PLAN_REMOVED, PLAN_DOWN);
		return;
	}
	for (size_t i = 0; i < LM_ARRAY_SIZE(order); i++) {
		if (!(s->changes & 1U << order[i]))
			continue;
		set_action(s, PLAN_RECREATED, order[i]);
		return;
	}
	decide_by_count(in, f, image, s);
}

static void add_wanted(const struct plan_input *in, const struct compose_service *service,
	struct plan_services *list)
{
	const char *hash = compose_hashes_get(in->hashes, service->name);
	lm_auto_free char *built =
		compose_built_name(COMPOSE_PROJECT, service->name, in->generation);
	const struct plan_image *image = plan_images_get(
		in->images, service->image || !service->has_build ? service->image : built);
	struct found f = look_at_containers(in, service->name, hash, image);
	struct plan_service *s = &list->items[list->n];

	if (f.n == 0 && wanted_count(in, service->name) == 0)
		return;
	list->n++;
	*s = (struct plan_service){.name = lm_xstrdup(service->name),
		.image = service->image ? lm_xstrdup(service->image) : NULL,
		.changes_known = true,
		.containers = f.n};
	if (f.n > 0)
		compare_service(in, &f, hash, image, s);
	decide_service(in, &f, image, s);
}

static struct plan_service *plan_find_service(const struct plan_services *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->items[i].name, name) == 0)
			return &list->items[i];
	return NULL;
}

/// A container whose service is gone: by its service, else by its own name.
static void add_gone(
	const struct plan_input *in, const struct engine_container *c, struct plan_services *list)
{
	const char *name = *c->service ? c->service : c->name;
	struct plan_service *s = plan_find_service(list, name);

	if (c->oneoff)
		return;
	if (s && s->reason == PLAN_GONE)
		s->containers++;
	if (s)
		return;
	list->items[list->n++] = (struct plan_service){.name = lm_xstrdup(name),
		.image = *c->image ? lm_xstrdup(c->image) : NULL,
		.action = in->takes_down ? PLAN_REMOVED : PLAN_LEFT_ALONE,
		.reason = PLAN_GONE,
		.changes_known = true,
		.containers = 1};
}

/// Whether a service that this one depends on gets new containers.
static bool is_pulled_along(
	const struct plan_input *in, const struct plan_services *list, const struct plan_service *s)
{
	const struct compose_tie *tie = compose_ties_get(in->ties, s->name);

	for (size_t i = 0; tie && i < tie->follows_n; i++) {
		const struct plan_service *other = plan_find_service(list, tie->follows[i]);
		if (!other)
			continue;
		if (other->action == PLAN_RECREATED ||
			(tie->hash_is_late && other->action == PLAN_CREATED &&
				other->reason == PLAN_NEW))
			return true;
	}
	return false;
}

/// Recreates dependents, transitively.
static void pull_along(const struct plan_input *in, struct plan_services *list)
{
	for (bool more = true; more;) {
		more = false;
		for (size_t i = 0; i < list->n; i++) {
			struct plan_service *s = &list->items[i];
			bool may = s->containers > 0 && s->action != PLAN_RECREATED &&
				   s->reason != PLAN_GONE;
			if (!may || !is_pulled_along(in, list, s))
				continue;
			set_action(s, PLAN_RECREATED, PLAN_DEPENDENCY);
			more = true;
		}
	}
}

void plan_services_make(const struct plan_input *in, struct plan_services *ret)
{
	size_t most = in->services->n + in->containers->n;

	*ret = (struct plan_services){.items = lm_xcalloc(most + 1, sizeof(*ret->items))};
	for (size_t i = 0; i < in->services->n; i++)
		if (in->services->items[i].active)
			add_wanted(in, &in->services->items[i], ret);
	for (size_t i = 0; i < in->containers->n; i++)
		add_gone(in, &in->containers->items[i], ret);
	pull_along(in, ret);
}
