// SPDX-License-Identifier: Apache-2.0
#include "worker/doomed_images.h"

#include "base/log.h"
#include "base/memory.h"
#include "docker/engine_images.h"
#include "docker/image_ref.h"
#include "worker/image_check.h"
#include "worker/images.h"
#include "worker/released_images.h"

#include <stdlib.h>
#include <string.h>

static void finish_doomed(struct image_relative *d)
{
	free(d->id);
	for (size_t i = 0; i < d->names_n; i++)
		free(d->names[i]);
	free(d->names);
}

void doomed_images_finish(struct doomed_images *d)
{
	for (size_t i = 0; i < d->n; i++)
		finish_doomed(&d->items[i]);
	free(d->items);
	*d = (struct doomed_images){0};
}

const struct task_subject *doomed_images_find_subject(const struct context *cx, const char *id)
{
	for (size_t i = 0; id && i < cx->task->subjects_n; i++)
		if (cx->task->subjects[i].id && strcmp(cx->task->subjects[i].id, id) == 0)
			return &cx->task->subjects[i];
	return NULL;
}

const struct image_relative *doomed_images_find(const struct doomed_images *d, const char *id)
{
	for (size_t i = 0; i < d->n; i++)
		if (strcmp(d->items[i].id, id) == 0)
			return &d->items[i];
	return NULL;
}

// Reading ----------------------------------------------------------------------------------------

lm_rc doomed_images_read_again(const struct context *cx, const char *name, const char *id,
	bool *ret_damaged, unsigned *ret_layer, struct lm_err *err)
{
	lm_auto(engine_facts_finish) struct engine_facts facts = {0};
	lm_auto(image_finding_finish) struct image_finding now = {0};
	const struct image_check check = {
		.engine = &cx->engine, .facts = &facts, .limit = &cx->limit};
	lm_rc rc = engine_get_facts(&cx->engine, &cx->limit, &facts, err);

	if (!rc)
		rc = image_check(&check, name, id, &now, err);
	if (rc)
		return rc;
	*ret_damaged = now.found == IMAGE_FOUND_DAMAGED;
	*ret_layer = now.verdict.layer;
	if (now.found == IMAGE_FOUND_UNREADABLE)
		return lm_fail(err, LM_E_REFUSED, 0,
			"image %s was damaged, and cannot be read now: %s", name, now.verdict.why);
	if (!*ret_damaged)
		lm_info("image %s is not damaged any more", name);
	return LM_OK;
}

// What has to go ---------------------------------------------------------------------------------

/// Whether a deployment has brought it, and only ours are to go.
static bool was_deployed_here(const struct context *cx, const char *id)
{
	for (size_t i = 0; i < cx->task->released_n; i++)
		if (strcmp(cx->task->released[i].id, id) == 0)
			return true;
	return doomed_images_find_subject(cx, id) || json_object_get(cx->task->kept, id);
}

/// Whether an image that is not known to be damaged is one of this application, which is not to
/// lose it.
static lm_rc check_is_needed(
	const struct context *cx, const struct image_relative *r, bool *ret, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	*ret = false;
	for (size_t i = 0;
		i < cx->images.n && !rc && !*ret && !doomed_images_find_subject(cx, r->id); i++) {
		lm_auto(engine_image_finish) struct engine_image found = {0};
		bool here = false;

		rc = images_find(cx, &cx->images.items[i], &found, &here, err);
		*ret = !rc && found.id && strcmp(found.id, r->id) == 0;
	}
	return rc;
}

/// A container that must stay, and uses the image.
static lm_rc check_containers(const struct doomed_rules *rules, const struct image_relative *r,
	const char *damaged, struct lm_err *err)
{
	for (size_t i = 0; i < rules->containers->n; i++) {
		const struct engine_container *c = &rules->containers->items[i];
		bool is_ours = strcmp(c->project, COMPOSE_PROJECT) == 0;

		if (strcmp(c->image_id, r->id) != 0 || (is_ours && !rules->spares_application))
			continue;
		if (is_ours)
			return lm_fail(err, LM_E_CONFLICT, 0,
				"image %s is damaged and cannot be replaced now: container '%s' "
				"of the application uses its damaged layer (image %.19s): run "
				"'lighterman verify', then 'lighterman start'",
				damaged, c->name, r->id);
		return lm_fail(err, LM_E_CONFLICT, 0,
			"image %s is damaged and cannot be replaced: container '%s', "
			"which does not belong to this application, uses its damaged "
			"layer (image %.19s): remove that container (docker rm %s)",
			damaged, c->name, r->id, c->name);
	}
	return LM_OK;
}

static const char *show_relative(const struct image_relative *r)
{
	return r->names_n ? r->names[0] : r->id;
}

/// Another one that would have to go, too: nobody knows whether that can be had again.
static lm_rc fail_not_alone(const struct image_relative *self, const struct image_relative *other,
	const char *damaged, struct lm_err *err)
{
	return lm_fail(err, LM_E_CONFLICT, 0,
		"image %s is damaged and cannot be replaced beside what runs: image %s has its "
		"damaged layer, too: if both can be pulled again, remove them (docker rmi %s %s), "
		"then run 'lighterman start'",
		damaged, show_relative(other), show_relative(other), show_relative(self));
}

static bool is_name_of_ours(const struct task_subject *subject, const char *name)
{
	const char *ref;
	json_t *is_own;

	json_object_foreach(subject ? subject->names : NULL, ref, is_own)
	{
		if (image_ref_is_same(ref, name))
			return true;
	}
	return false;
}

/// A name that somebody else has given to it would be lost.
static lm_rc check_own_names(const struct context *cx, const struct image_relative *self,
	const char *damaged, struct lm_err *err)
{
	const struct task_subject *subject = doomed_images_find_subject(cx, self->id);

	for (size_t i = 0; i < self->names_n; i++)
		if (!is_name_of_ours(subject, self->names[i]))
			return lm_fail(err, LM_E_CONFLICT, 0,
				"image %s is damaged and cannot be replaced: it also has the name "
				"%s, which no generation of this application gives to it: remove "
				"that name (docker rmi %s), then run 'lighterman start'",
				damaged, self->names[i], self->names[i]);
	return LM_OK;
}

/// Why an image must stay; LM_OK: it need not. `self`: the damaged one.
static lm_rc find_why_it_stays(const struct context *cx, const struct doomed_rules *rules,
	const struct image_relative *r, const struct image_relative *self, const char *damaged,
	struct lm_err *err)
{
	bool is_needed = false;
	lm_rc rc = check_containers(rules, r, damaged, err);

	if (rc)
		return rc;
	if (!was_deployed_here(cx, r->id)) {
		const char *name = show_relative(r);

		return lm_fail(err, LM_E_CONFLICT, 0,
			"image %s is damaged and cannot be replaced: image %s, which does not "
			"belong to this application, has its damaged layer, too: remove that image "
			"(docker rmi %s)",
			damaged, name, name);
	}
	if (rules->spares_application && r != self)
		return fail_not_alone(self, r, damaged, err);
	if (rules->spares_application)
		return check_own_names(cx, self, damaged, err);
	rc = check_is_needed(cx, r, &is_needed, err);
	if (!rc && is_needed)
		return lm_fail(err, LM_E_CONFLICT, 0,
			"image %s is damaged, and its damaged layer is also that of image %s of "
			"this application: run 'lighterman verify', then 'lighterman start'",
			damaged, show_relative(r));
	return rc;
}

/// Takes over the content of `from`.
static void doom(struct doomed_images *d, struct image_relative *from)
{
	if (doomed_images_find(d, from->id))
		return;
	d->items = lm_xrealloc(d->items, (d->n + 1) * sizeof(*d->items));
	d->items[d->n++] = *from;
	*from = (struct image_relative){0};
}

/// The Engine's errors do not name the layer. Of an image that is whole, no layer is damaged: that
/// leaves those above, from `*ret_from` on.
static lm_rc narrow_by(const struct context *cx, const struct engine_facts *facts,
	const struct image_relative *other, size_t *ret_from, struct lm_err *err)
{
	lm_auto(image_finding_finish) struct image_finding found = {0};
	const struct image_check check = {
		.engine = &cx->engine, .facts = facts, .limit = &cx->limit};
	lm_rc rc = image_check(&check, other->id, other->id, &found, err);

	if (!rc && found.found == IMAGE_FOUND_OK)
		*ret_from = other->shared + 1;
	return rc;
}

static lm_rc narrow(const struct context *cx, const char *id, const struct image_relatives *all,
	size_t *ret_from, struct lm_err *err)
{
	lm_auto(engine_facts_finish) struct engine_facts facts = {0};
	lm_rc rc = engine_get_facts(&cx->engine, &cx->limit, &facts, err);

	for (size_t i = 0; i < all->n && !rc; i++) {
		const struct image_relative *other = &all->items[i];

		if (other->shared >= *ret_from && strcmp(other->id, id) != 0 &&
			!doomed_images_find_subject(cx, other->id))
			rc = narrow_by(cx, &facts, other, ret_from, err);
	}
	return rc;
}

lm_rc doomed_images_add(const struct context *cx, const struct doomed_rules *rules,
	const char *name, const char *id, unsigned layer, struct doomed_images *to,
	struct lm_err *err)
{
	lm_auto(image_relatives_finish) struct image_relatives all = {0};
	const struct image_relative *self = NULL;
	size_t from = layer ? layer : 1;
	lm_rc rc = image_relatives_find(&cx->engine, id, &cx->limit, &all, err);

	if (!rc && !layer)
		rc = narrow(cx, id, &all, &from, err);
	for (size_t i = 0; i < all.n; i++)
		if (strcmp(all.items[i].id, id) == 0)
			self = &all.items[i];
	for (size_t i = 0; i < all.n && !rc; i++)
		if (all.items[i].shared >= from || &all.items[i] == self)
			rc = find_why_it_stays(cx, rules, &all.items[i], self, name, err);
	for (size_t i = 0; i < all.n && !rc; i++)
		if (all.items[i].shared >= from || &all.items[i] == self)
			doom(to, &all.items[i]);
	return rc;
}

// Removal ----------------------------------------------------------------------------------------

/// An image that was built of another one goes before it.
static int compare_doomed(const void *a, const void *b)
{
	const struct image_relative *x = a;
	const struct image_relative *y = b;

	return (x->layers < y->layers) - (x->layers > y->layers);
}

/// By its names first: by its ID the Engine removes only one that has no more than one.
static lm_rc remove_doomed(
	const struct context *cx, const struct image_relative *d, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	for (size_t i = 0; i < d->names_n && !rc; i++)
		rc = engine_remove_image(&cx->engine, d->names[i], &cx->limit, err);
	if (!rc)
		rc = engine_remove_image(&cx->engine, d->id, &cx->limit, err);
	if (rc)
		return lm_wrap(err, "remove image %s, which has a damaged layer", show_relative(d));
	released_images_report_gone(cx, d->id);
	lm_info("removed image %s (%.19s), which has a damaged layer",
		d->names_n ? d->names[0] : "without a name", d->id);
	return LM_OK;
}

lm_rc doomed_images_remove(const struct context *cx, struct doomed_images *d, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	if (d->n > 0)
		qsort(d->items, d->n, sizeof(*d->items), compare_doomed);
	for (size_t i = 0; i < d->n && !rc; i++)
		rc = remove_doomed(cx, &d->items[i], err);
	return rc;
}
