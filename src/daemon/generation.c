// SPDX-License-Identifier: Apache-2.0
#include "daemon/generation.h"

#include "base/cleanup.h"
#include "deploy/stages.h"

#include <stdlib.h>
#include <string.h>

enum { SINCE_OFFLINE = 7 };

lm_rc generation_read(struct store *s, unsigned n, struct group **ret, struct lm_err *err)
{
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};
	lm_auto_free char *text = NULL;
	struct lm_err why = {LM_OK};
	lm_rc rc = store_read_definition(s, n, &text, &why);

	if (rc == LM_OK)
		rc = definition_parse(lm_str(text), &errors, ret, &why);
	if (rc)
		return lm_fail(err, LM_E_SYS, why.sys, "the stored definition of generation %u: %s",
			n, why.msg);
	return LM_OK;
}

/// The interrupted attempt, if it is its compose file that lies at the destination; else 0.
static unsigned find_half_deployed(const struct store_state *state)
{
	enum deploy_stage stage = deploy_stage_from_name(state->open_stage);

	return state->open && stage != DEPLOY_STAGES && stage >= DEPLOY_UP ? state->open : 0;
}

lm_rc generation_to_take_down(
	struct store *s, unsigned *ret_n, struct group **ret, struct lm_err *err)
{
	const struct store_state *state = store_state(s);
	const unsigned candidates[] = {
		find_half_deployed(state), state->current, state->newest, state->wanted.generation};
	lm_rc rc = LM_OK;

	for (size_t i = 0; i < LM_ARRAY_SIZE(candidates); i++) {
		struct lm_err later;

		if (candidates[i] == 0)
			continue;
		lm_rc one = generation_read(s, candidates[i], ret, rc ? &later : err);
		*ret_n = candidates[i];
		if (one == LM_OK)
			return LM_OK;
		rc = one;
	}
	return rc ? rc : lm_fail(err, LM_E_NOT_FOUND, 0, "nothing was deployed yet");
}

/// Whether a generation had another destination than `group` has.
static bool has_moved(struct store *s, unsigned n, const struct group *group)
{
	lm_auto(group_destroy_p) struct group *old = NULL;
	struct lm_err err;

	return generation_read(s, n, &old, &err) == LM_OK &&
	       strcmp(old->connector.destination, group->connector.destination) != 0;
}

unsigned generation_before(struct store *s, const struct group *group, unsigned left)
{
	const struct store_state *state = store_state(s);
	unsigned n = left ? left : find_half_deployed(state);

	// An attempt that was to move the application and is made again, or is rolled back: what it
	// was to leave, or what is left of it.
	if (n && !has_moved(s, n, group) && state->current)
		return state->current;
	return n ? n : state->current;
}

json_t *generation_outcome(struct store *s, unsigned n)
{
	lm_auto_free char *text = NULL;
	json_t *outcome = NULL;
	struct lm_err ignored; // there is none yet

	if (store_read_outcome(s, n, &text, &ignored) ||
		json_parse(lm_str(text), &outcome, &ignored))
		return NULL;
	return outcome;
}

/// Those of all generations, newest first; none if they cannot be listed. The caller frees.
static size_t list_numbers(struct store *s, unsigned **ret)
{
	size_t n = 0;
	struct lm_err ignored;

	return store_list(s, ret, &n, &ignored) ? 0 : n;
}

json_t *generation_last_outcome(struct store *s)
{
	lm_auto_free unsigned *numbers = NULL;
	size_t n = list_numbers(s, &numbers);
	json_t *last = NULL;

	for (size_t i = 0; i < n; i++) {
		json_t *outcome = generation_outcome(s, numbers[i]);
		bool later = outcome && (!last || json_get_int(outcome, "ended_ms", 0) >
							  json_get_int(last, "ended_ms", 0));

		if (later) {
			json_decref(last);
			last = json_incref(outcome);
		}
		json_decref(outcome);
	}
	return last;
}

json_t *generation_describe_quarantine(struct store *s, unsigned n)
{
	lm_auto_free char *reason = NULL;
	int64_t at_ms = 0;
	struct lm_err ignored; // it is in none

	if (store_read_quarantine(s, n, &reason, &at_ms, &ignored))
		return NULL;
	return json_pack("{s:s, s:o}", "reason", reason, "at_ms",
		at_ms > 0 ? json_integer(at_ms) : json_null());
}

unsigned generation_count_quarantined(struct store *s)
{
	lm_auto_free unsigned *numbers = NULL;
	size_t n = list_numbers(s, &numbers);
	unsigned found = 0;

	for (size_t i = 0; i < n; i++) {
		lm_auto_json json_t *quarantine = generation_describe_quarantine(s, numbers[i]);

		found += quarantine != NULL;
	}
	return found;
}

int64_t generation_last_success_ms(struct store *s)
{
	lm_auto_free unsigned *numbers = NULL;
	size_t n = list_numbers(s, &numbers);
	int64_t last_ms = 0;

	for (size_t i = 0; i < n; i++) {
		lm_auto_json json_t *outcome = generation_outcome(s, numbers[i]);
		int64_t ended_ms = json_get_int(outcome, "ended_ms", 0);

		if (json_get_bool(outcome, "success", false) && ended_ms > last_ms)
			last_ms = ended_ms;
	}
	return last_ms;
}

static bool generation_is_equal(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

/// Whether a copy that was fetched for `other` in this version ("": unknown) is what `d` names.
static bool is_named(const struct connector_definition *d, const struct connector_definition *other,
	const char *version)
{
	if (!definition_same_file(d, other))
		return false;
	if (!d->object_version)
		return !other->object_version;
	return generation_is_equal(d->object_version, other->object_version) ||
	       generation_is_equal(d->object_version, version);
}

static lm_rc read_definition(struct store *store, unsigned n, struct group **ret)
{
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};
	lm_auto_free char *text = NULL;
	struct lm_err ignored;
	lm_rc rc = store_read_definition(store, n, &text, &ignored);

	return rc ? rc : definition_parse(lm_str(text), &errors, ret, &ignored);
}

/// Adds what generation `n` has: copies of the object that `d` names, and whether it put any file
/// at the destination of `d`.
static void add_generation(struct store *store, unsigned n, const struct connector_definition *d,
	json_t *copies, bool *ret_placed)
{
	lm_auto(group_destroy_p) struct group *group = NULL;
	lm_auto_json json_t *own = NULL;
	struct lm_err ignored;
	size_t i;
	json_t *copy;

	if (read_definition(store, n, &group) || store_read_copies(store, n, &own, &ignored))
		return;
	if (json_array_size(own) > 0 &&
		generation_is_equal(d->destination, group->connector.destination))
		*ret_placed = true;
	json_array_foreach(own, i, copy)
	{
		if (is_named(d, &group->connector, json_get_text(copy, "version")))
			json_array_append(copies, copy);
	}
}

/// The outcome of the last attempt of a generation that was deployed once; NULL: it was not.
static json_t *read_good_outcome(struct store *store, unsigned n)
{
	lm_auto_free char *text = NULL;
	lm_auto_json json_t *outcome = NULL;
	struct lm_err ignored;

	if (n == 0 || store_read_outcome(store, n, &text, &ignored) ||
		json_parse(lm_str(text), &outcome, &ignored) ||
		!json_get_bool(outcome, "good", false))
		return NULL;
	return json_incref(outcome);
}

bool generation_was_deployed(struct store *store, unsigned n)
{
	lm_auto_json json_t *outcome = read_good_outcome(store, n);

	return outcome != NULL;
}

/// The version of the generation's own compose file as {"version":V}; NULL: it has none that it was
/// deployed with.
static json_t *find_start(struct store *store, unsigned n)
{
	lm_auto_json json_t *outcome = read_good_outcome(store, n);
	lm_auto_close int compose = -1;
	struct lm_err ignored;

	if (!outcome || store_read_compose(store, n, &compose, &ignored))
		return NULL;
	return json_pack("{s:O?}", "version", json_object_get(outcome, "good_compose_version"));
}

struct fallback fallback_find(struct store *store, const struct connector_definition *definition,
	unsigned n, enum fallback_use use)
{
	lm_auto_free unsigned *numbers = NULL;
	size_t count = 0;
	bool placed = false;
	struct lm_err ignored;

	if (use == FALLBACK_ORDINARY &&
		(definition->version < SINCE_OFFLINE || !definition->offline_mode))
		return (struct fallback){0};
	json_t *copies = json_array(), *images = NULL, *start = find_start(store, n);
	if (!start || store_read_images(store, n, &images, &ignored))
		images = json_object();
	if (store_list(store, &numbers, &count, &ignored) == LM_OK)
		for (size_t i = 0; i < count; i++)
			add_generation(store, numbers[i], definition, copies, &placed);
	return (struct fallback){.is_start = start != NULL,
		.document = json_pack("{s:o, s:b, s:b, s:b, s:o, s:o}", "copies", copies, "placed",
			(int)placed, "restores", (int)(use != FALLBACK_ORDINARY), "keeps",
			(int)(use == FALLBACK_KEEPS), "images", images, "start",
			start ? start : json_null())};
}

void fallback_finish(struct fallback *f)
{
	json_decref(f->document);
	*f = (struct fallback){0};
}

json_t *generation_list_images(struct store *s)
{
	lm_auto_free unsigned *numbers = NULL;
	json_t *kept = json_object();
	size_t n = 0;
	struct lm_err ignored; // what is not known to be ours stays

	if (store_list(s, &numbers, &n, &ignored))
		return kept;
	for (size_t i = 0; i < n; i++) {
		lm_auto_json json_t *images = NULL;
		const char *ref;
		json_t *image;

		if (store_read_images(s, numbers[i], &images, &ignored))
			continue;
		json_object_foreach(images, ref, image)
		{
			const char *id = json_get_text(image, "id");

			if (id && *id)
				json_object_set_new(kept, id, json_true());
		}
	}
	return kept;
}
