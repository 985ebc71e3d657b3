// SPDX-License-Identifier: Apache-2.0
#include "daemon/history.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/memory.h"
#include "daemon/generation.h"

#include <stdlib.h>

enum { LISTED_MAX = 20, LIST_MAX = 256 };

/// Why the application cannot be rolled back to the generation; NULL: it can. Static storage.
static const char *history_find_obstacle(
	struct store *store, unsigned n, const json_t *outcome, bool has_definition)
{
	lm_auto_close int compose = -1;
	struct lm_err ignored; // the sentence says what is missing

	if (!json_get_bool(outcome, "good", false))
		return "it was never deployed successfully";
	if (!has_definition)
		return "its stored definition cannot be read";
	if (store_read_compose(store, n, &compose, &ignored))
		return "its stored compose file cannot be read";
	return NULL;
}

static json_t *history_member(const json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	return value ? json_incref(value) : json_null();
}

static json_t *history_text(const char *text)
{
	return text ? json_string(text) : json_null();
}

/// What runs is on probation until then; of what does not run just now that is not known.
static json_t *history_probation(const struct status *s, unsigned n, const json_t *outcome)
{
	const struct store_state *state = store_state(s->store);

	if (n != state->current || n == state->last_good ||
		!json_get_bool(outcome, "probation", false))
		return json_null();
	return json_pack("{s:o}", "until_ms",
		s->probation_until_ms > 0 ? json_integer(s->probation_until_ms) : json_null());
}

/// `group` NULL: it cannot be read, and its members are null.
static void add_definition(const struct group *group, json_t *entry)
{
	const struct connector_definition none = {0}, *d = group ? &group->connector : &none;

	json_object_set_new(entry, "id", history_text(d->id));
	json_object_set_new(
		entry, "connector_version", d->version ? json_integer(d->version) : json_null());
	json_object_set_new(entry, "bucket", history_text(d->bucket));
	json_object_set_new(entry, "key", history_text(d->key));
}

static json_t *generation_to_json(const struct status *s, unsigned n)
{
	static const char *const members[] = {"attempt", "success", "stage", "error", "message",
		"compose_version", "started_ms", "ended_ms"};
	const struct store_state *state = store_state(s->store);
	lm_auto_json json_t *outcome = generation_outcome(s->store, n);
	lm_auto(group_destroy_p) struct group *group = NULL;
	struct lm_err ignored;
	bool has_definition = generation_read(s->store, n, &group, &ignored) == LM_OK;
	const char *obstacle = history_find_obstacle(s->store, n, outcome, has_definition);
	json_t *entry = json_object(), *quarantine = generation_describe_quarantine(s->store, n);

	json_object_set_new(entry, "generation", json_integer(n));
	add_definition(group, entry);
	for (size_t i = 0; i < LM_ARRAY_SIZE(members); i++)
		json_object_set_new(entry, members[i], history_member(outcome, members[i]));
	json_object_set_new(entry, "current", json_boolean(n == state->current));
	json_object_set_new(entry, "last_good", json_boolean(n == state->last_good));
	json_object_set_new(entry, "wanted", json_boolean(n == state->wanted.generation));
	json_object_set_new(entry, "probation", history_probation(s, n, outcome));
	json_object_set_new(entry, "quarantine", quarantine ? quarantine : json_null());
	json_object_set_new(entry, "rollback", json_boolean(!obstacle));
	json_object_set_new(entry, "obstacle", history_text(obstacle));
	return entry;
}

lm_rc history_to_json(const struct status *s, json_t **ret, struct lm_err *err)
{
	lm_auto_free unsigned *numbers = NULL;
	size_t n = 0;
	lm_rc rc = store_list(s->store, &numbers, &n, err);

	if (rc)
		return lm_wrap(err, "list the generations");
	*ret = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(*ret, generation_to_json(s, numbers[i]));
	return LM_OK;
}

/// Whether the application can be rolled back to it.
static bool history_is_possible(struct store *store, unsigned n, const char **ret_obstacle)
{
	lm_auto_json json_t *outcome = generation_outcome(store, n);
	lm_auto(group_destroy_p) struct group *group = NULL;
	struct lm_err ignored;

	// What can be said without reading the definition, first: it may be large.
	*ret_obstacle = history_find_obstacle(store, n, outcome, true);
	if (!*ret_obstacle)
		*ret_obstacle = history_find_obstacle(
			store, n, outcome, generation_read(store, n, &group, &ignored) == LM_OK);
	return !*ret_obstacle;
}

/// "4, 3", "none": those that can be had, of many the newest.
static void list_possible(
	struct store *store, const unsigned *numbers, size_t n, struct lm_buf *out)
{
	size_t found = 0;

	for (size_t i = 0; i < n && found < LISTED_MAX; i++) {
		const char *obstacle;

		if (history_is_possible(store, numbers[i], &obstacle))
			(void)lm_buf_printf(out, "%s%u", found++ ? ", " : "", numbers[i]);
	}
	if (found == 0)
		(void)lm_buf_puts(out, "none");
	else if (found == LISTED_MAX)
		(void)lm_buf_puts(out, " and perhaps more, see 'lighterman history'");
}

lm_rc history_check(struct store *store, unsigned n, struct lm_err *err)
{
	lm_auto_free unsigned *numbers = NULL;
	lm_auto_buf struct lm_buf possible = LM_BUF(LIST_MAX);
	const char *obstacle = "there is no such generation";
	size_t count = 0;
	bool is_there = false;
	lm_rc rc = store_list(store, &numbers, &count, err);

	if (rc)
		return lm_wrap(err, "list the generations");
	for (size_t i = 0; i < count; i++)
		is_there |= numbers[i] == n;
	if (is_there && history_is_possible(store, n, &obstacle))
		return LM_OK;
	list_possible(store, numbers, count, &possible);
	return lm_fail(err, is_there ? LM_E_INVALID : LM_E_NOT_FOUND, 0,
		"cannot roll back to generation %u: %s; possible generations: %s", n, obstacle,
		lm_buf_cstr(&possible));
}
