// SPDX-License-Identifier: Apache-2.0
#include "deploy/recovery.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/memory.h"
#include "deploy/generation_check.h"
#include "deploy/generation_fetched.h"
#include "deploy/generation_folder.h"
#include "deploy/generation_links.h"
#include "deploy/generation_outcome.h"
#include "deploy/journal.h"
#include "deploy/pulled_images.h"
#include "deploy/wanted.h"
#include "sys/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define STOPPED_NAME "stopped" ///< Of a release before the link `wanted`.

struct recovery {
	int root_fd, generations_fd;
	struct store_state *state;
	struct damage *damage;
	struct generation_facts *items; ///< The oldest first.
	size_t n;
	bool acted; ///< What was interrupted has, or may have, changed what runs.
	bool lost;  ///< Nothing but this run knows that it may have.
};

lm_rc recovery_carry_through(
	int root_fd, int generations_fd, unsigned n, struct store_state *state, struct lm_err *err)
{
	lm_auto_close int fd = -1;
	struct generation_verdict verdict = {0};
	lm_rc rc = generation_folder_open(generations_fd, n, &fd, err);

	if (rc == LM_OK)
		rc = generation_verdict_read(fd, &verdict, err);
	// What a failed attempt fetched must not replace what once was good.
	if (rc == LM_OK)
		rc = !verdict.success && verdict.good ? generation_fetched_drop(fd, err)
						      : generation_fetched_adopt(fd, err);
	if (rc == LM_OK && verdict.success && !verdict.probation) {
		rc = generation_link_set(root_fd, LINK_LAST_GOOD, n, err);
		if (rc == LM_OK)
			state->last_good = n;
	}
	if (rc == LM_OK && verdict.success) {
		rc = generation_link_set(root_fd, LINK_CURRENT, n, err);
		if (rc == LM_OK)
			state->current = n;
	}
	return rc ? rc : journal_clear(root_fd, err);
}

// What there is --------------------------------------------------------------------------------

static struct generation_facts *recovery_find(const struct recovery *r, unsigned n)
{
	for (size_t i = 0; i < r->n; i++) {
		if (n != 0 && r->items[i].n == n)
			return &r->items[i];
	}
	return NULL;
}

static bool can_be_deployed(const struct recovery *r, unsigned n)
{
	const struct generation_facts *facts = recovery_find(r, n);

	return facts && facts->usable;
}

/// The newest generation that was deployed with success and may be deployed again, but `except`.
static unsigned find_good(const struct recovery *r, unsigned except)
{
	for (size_t i = r->n; i-- > 0;) {
		const struct generation_facts *facts = &r->items[i];

		if (facts->usable && facts->good && !facts->quarantined && facts->n != except)
			return facts->n;
	}
	return 0;
}

/// What has the name of a link, and is none, is in its way; and a directory in that of a temporary
/// file.
static void check_links(struct recovery *r)
{
	static const struct {
		const char *name;
		bool is_link;
	} entries[] = {{LINK_CURRENT, true}, {LINK_LAST_GOOD, true}, {WANTED_NAME, true},
		{"." LINK_CURRENT ".tmp", false}, {"." LINK_LAST_GOOD ".tmp", false},
		{"." WANTED_NAME ".tmp", false}, {"." JOURNAL_NAME ".tmp", false}};

	for (size_t i = 0; i < LM_ARRAY_SIZE(entries); i++) {
		const char *name = entries[i].name;
		struct stat st;

		if (fstatat(r->root_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			(entries[i].is_link ? S_ISLNK(st.st_mode) : !S_ISDIR(st.st_mode)))
			continue;
		if (damage_set_aside(r->damage, r->root_fd, name))
			damage_note(r->damage,
				"'%s' is not a %s; it was set aside as '%s" DAMAGE_SUFFIX
				"': it is made again, from what the generations say",
				name, entries[i].is_link ? "link" : "file", name);
	}
}

static void check_pulled(struct recovery *r)
{
	lm_auto_json json_t *images = NULL;

	(void)!record_json_load(r->root_fd, PULLED_IMAGES, GENERATION_OUTCOME_MAX,
		"the images that deployments have brought so far are never removed", r->damage,
		&images);
}

static lm_rc remove_unnumbered(struct recovery *r, struct lm_err *err)
{
	lm_rc rc = generation_remove_unnumbered(r->generations_fd, err);

	if (rc != LM_OK && damage_is(err)) {
		damage_note(r->damage, "what was left of a generation stays: %s", err->msg);
		return LM_OK;
	}
	return rc;
}

static lm_rc survey(struct recovery *r, struct lm_err *err)
{
	lm_auto_free unsigned *numbers = NULL;
	size_t count = 0;
	lm_rc rc = generation_folder_list(r->generations_fd, &numbers, &count, err);

	r->items = lm_xcalloc(count + 1, sizeof(*r->items));
	for (size_t i = 0; i < count && rc == LM_OK; i++) {
		struct generation_facts facts =
			generation_check(r->generations_fd, numbers[i], r->damage);

		if (facts.empty) {
			damage_note(r->damage, "generation %u has no definition and was removed",
				facts.n);
			rc = generation_folder_discard(r->generations_fd, facts.n, err);
		} else if (facts.n != 0) {
			r->items[r->n++] = facts;
			r->state->newest = facts.n;
		}
	}
	generation_check_limit(r->generations_fd, r->damage);
	return rc;
}

// What was interrupted ---------------------------------------------------------------------------

/// Whether a link says that it was deployed with success, whatever its outcome says.
static bool is_linked(const struct recovery *r, unsigned n)
{
	static const char *const names[] = {LINK_CURRENT, LINK_LAST_GOOD};

	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++) {
		unsigned linked = 0;
		bool damaged = false;
		struct lm_err ignored;

		if (generation_link_read(r->root_fd, names[i], &linked, &damaged, &ignored) ==
				LM_OK &&
			linked == n)
			return true;
	}
	return false;
}

/// No journal tells of it: the newest generation, if nothing shows that its first attempt has
/// ended.
static void reopen_newest(struct recovery *r)
{
	const struct generation_facts *newest = recovery_find(r, r->state->newest);
	struct lm_err err = {LM_OK};

	if (!newest || newest->ended || newest->reported > 0 || is_linked(r, newest->n))
		return;
	damage_note(r->damage,
		"how generation %u ended is not known: it is taken as one that was interrupted",
		newest->n);
	r->state->open = newest->n;
	r->state->open_attempt = 1;
	r->acted = r->lost = true;
	if (journal_begin(r->root_fd, newest->n, 1, &err) != LM_OK)
		damage_note(r->damage, "%s", err.msg);
}

static lm_rc read_journal(struct recovery *r, struct journal_state *ret, struct lm_err *err)
{
	lm_rc rc = journal_read(r->root_fd, ret, err);

	if (rc == LM_E_SYS) // a disk that failed once may not fail again
		rc = journal_read(r->root_fd, ret, err);
	if (rc != LM_OK && !damage_is(err))
		return rc;
	if (rc == LM_OK && !ret->damaged)
		return LM_OK;
	*ret = (struct journal_state){.damaged = true};
	r->acted = r->lost = true;
	if (damage_set_aside(r->damage, r->root_fd, JOURNAL_NAME))
		damage_note(r->damage,
			"the journal was damaged and was set aside as '" JOURNAL_NAME DAMAGE_SUFFIX
			"': if a deployment was interrupted, what is wanted is deployed again");
	return LM_OK;
}

/// The journal names an attempt: did it end?
static lm_rc resume(struct recovery *r, struct lm_err *err)
{
	struct journal_state journal;
	struct store_state *state = r->state;
	lm_auto_close int fd = -1;
	struct generation_verdict verdict;
	lm_rc rc = read_journal(r, &journal, err);

	if (rc)
		return rc;
	if (journal.generation == 0) {
		reopen_newest(r);
		return LM_OK;
	}
	if (!recovery_find(r, journal.generation)) // killed before it had its number: never begun
		return journal_clear(r->root_fd, err);
	rc = generation_folder_open(r->generations_fd, journal.generation, &fd, err);
	if (rc)
		return rc;
	if (generation_verdict_read(fd, &verdict, err) != LM_OK)
		verdict = (struct generation_verdict){0}; // as if it had not ended
	if (verdict.attempt >= journal.attempt)
		return recovery_carry_through(
			r->root_fd, r->generations_fd, journal.generation, state, err);
	state->open = journal.generation;
	state->open_attempt = journal.attempt;
	r->acted |= journal.acted;
	_Static_assert(sizeof(state->open_stage) == sizeof(journal.stage), "a stage's name");
	memcpy(state->open_stage, journal.stage, sizeof(journal.stage));
	return LM_OK;
}

// The links --------------------------------------------------------------------------------------

struct linked {
	unsigned n;   ///< 0: there is no link, or it leads to no generation.
	bool is_lost; ///< There is a link, and what it names cannot be deployed.
};

static lm_rc read_linked(
	struct recovery *r, const char *name, struct linked *ret, struct lm_err *err)
{
	bool damaged = false;
	unsigned n = 0;
	lm_rc rc = generation_link_read(r->root_fd, name, &n, &damaged, err);

	if (rc)
		return rc;
	*ret = (struct linked){.n = recovery_find(r, n) ? n : 0,
		.is_lost = damaged || (n != 0 && !can_be_deployed(r, n))};
	return LM_OK;
}

static void note_stand_in(struct recovery *r, const char *name, unsigned lost, unsigned stand_in)
{
	if (stand_in != 0 && stand_in != lost)
		damage_note(r->damage,
			"the link '%s' leads to no generation that can be deployed: generation %u "
			"stands in for it",
			name, stand_in);
	else
		damage_note(r->damage,
			"the link '%s' leads to no generation that can be deployed, and none "
			"stands in for it; deploy the group file again",
			name);
}

/// Where what a link names is lost, the best that is left stands in for it.
static lm_rc read_links(struct recovery *r, struct lm_err *err)
{
	struct store_state *state = r->state;
	struct linked current, last_good;
	lm_rc rc = read_linked(r, LINK_CURRENT, &current, err);

	if (rc == LM_OK)
		rc = read_linked(r, LINK_LAST_GOOD, &last_good, err);
	if (rc)
		return rc;
	state->current = current.n;
	if (current.n == 0 || current.is_lost) {
		unsigned stand_in =
			can_be_deployed(r, last_good.n) ? last_good.n : find_good(r, current.n);

		if (stand_in != 0)
			state->current = stand_in;
		if (current.is_lost || stand_in != 0)
			note_stand_in(r, LINK_CURRENT, current.n, stand_in);
	}
	state->last_good = last_good.n;
	const struct generation_facts *facts = recovery_find(r, state->current);
	bool proven = facts && facts->usable && !facts->probation;
	if (last_good.is_lost) {
		unsigned stand_in = proven ? state->current : find_good(r, state->current);

		if (stand_in != 0)
			state->last_good = stand_in;
		note_stand_in(r, LINK_LAST_GOOD, last_good.n, stand_in);
	} else if (last_good.n == 0 && proven) {
		state->last_good = state->current;
	}
	return LM_OK;
}

/// An outcome was lost, and something else still says that there was one.
static void rebuild_outcome(struct recovery *r, const struct generation_facts *facts)
{
	bool linked = facts->n == r->state->current || facts->n == r->state->last_good;
	unsigned attempt = facts->reported ? facts->reported : 1;
	lm_auto_close int dir = -1;
	struct lm_err err = {LM_OK};
	const struct store_outcome lost = {.stage = "commit",
		.error = "InternalError",
		.message = "the record of the outcome was damaged"};
	const struct store_outcome good = {
		.success = true, .probation = facts->n != r->state->last_good};

	if (facts->ended || (!linked && facts->reported == 0))
		return;
	if (facts->n == r->state->open && attempt >= r->state->open_attempt)
		attempt = r->state->open_attempt - 1;
	if (attempt == 0)
		return;
	lm_rc rc = generation_folder_open(r->generations_fd, facts->n, &dir, &err);
	if (rc == LM_OK)
		rc = generation_outcome_write(dir, facts->n, attempt, linked ? &good : &lost, &err);
	if (rc)
		damage_note(
			r->damage, "record again how generation %u ended: %s", facts->n, err.msg);
}

// What is wanted ---------------------------------------------------------------------------------

/// What a release knew that had no link `wanted`: the file `stopped`, and what was under way.
static lm_rc guess_wanted(struct recovery *r, struct lm_err *err)
{
	struct store_state *state = r->state;
	unsigned n = state->open ? state->open : state->current ? state->current : state->newest;
	struct stat st;

	if (!can_be_deployed(r, n) && state->current)
		n = state->current;
	if (n == 0)
		return LM_OK;
	state->wanted = (struct lifecycle_target){WANTED_UP, n};
	if (state->current && state->current != n)
		state->before = (struct lifecycle_target){WANTED_UP, state->current};
	if (fstatat(r->root_fd, STOPPED_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0)
		state->wanted.state = WANTED_DOWN;
	else if (errno != ENOENT)
		return lm_fail(err, LM_E_SYS, errno, "look for '%s': %m", STOPPED_NAME);
	return LM_OK;
}

/// A target for a generation that does not exist (any more), or cannot be deployed, is none.
static struct lifecycle_target check_target(
	const struct recovery *r, struct lifecycle_target target)
{
	return can_be_deployed(r, target.generation) ? target : (struct lifecycle_target){0};
}

/// What is wanted cannot be had: the application is to be as much up or down as it was.
static void want_stand_in(struct recovery *r, struct lifecycle_target lost)
{
	struct store_state *state = r->state;

	if (state->wanted.state == WANTED_NOTHING && state->current != 0)
		state->wanted = (struct lifecycle_target){lost.state, state->current};
	if (state->wanted.state == WANTED_NOTHING)
		state->wanted = lost; // its deployment says why it fails
	if (state->wanted.generation == lost.generation)
		return;
	damage_note(r->damage,
		"generation %u is wanted and cannot be deployed: generation %u is %s",
		lost.generation, state->wanted.generation,
		state->wanted.state == WANTED_UP ? "started instead" : "wanted, and stopped");
	state->touched = r->lost = true;
}

/// What was found out is on record, so that the next start knows it, too.
static void keep_wanted(struct recovery *r)
{
	const struct store_state *state = r->state;
	const struct store_want wanted = {.wanted = state->wanted,
		.before = state->before,
		.touched = state->touched,
		.leaves = state->leaves,
		.failed = state->failed};
	struct lm_err err = {LM_OK};

	if (r->lost && state->wanted.state != WANTED_NOTHING &&
		wanted_write(r->root_fd, &wanted, &err) != LM_OK)
		damage_note(r->damage, "remember what is wanted: %s", err.msg);
}

static lm_rc read_wanted(struct recovery *r, struct lm_err *err)
{
	struct store_state *state = r->state;
	struct store_want read;
	lm_rc rc = wanted_read(r->root_fd, &read, err);

	if (rc)
		return rc;
	state->wanted = check_target(r, read.wanted);
	state->before = check_target(r, read.before);
	state->touched = r->acted;
	if (state->wanted.state != WANTED_NOTHING) {
		state->touched |= read.touched;
		state->leaves = read.leaves;
		state->failed = recovery_find(r, read.failed) ? read.failed : 0;
	} else { // its deployment did not begin, or it was lost
		state->wanted = state->before;
		state->before = (struct lifecycle_target){0};
		if (recovery_find(r, read.wanted.generation))
			want_stand_in(r, read.wanted);
	}
	if (state->wanted.state == WANTED_NOTHING)
		return guess_wanted(r, err);
	return lm_tree_remove(r->root_fd, STOPPED_NAME, err); // of an earlier release
}

lm_rc recovery_run(int root_fd, int generations_fd, struct store_state *ret, struct damage *damage,
	struct lm_err *err)
{
	struct recovery r = {.root_fd = root_fd,
		.generations_fd = generations_fd,
		.state = ret,
		.damage = damage};
	lm_rc rc = remove_unnumbered(&r, err);

	if (rc == LM_OK)
		check_links(&r);
	if (rc == LM_OK)
		check_pulled(&r);
	if (rc == LM_OK)
		rc = survey(&r, err);
	if (rc == LM_OK)
		rc = resume(&r, err);
	for (size_t i = 0; i < r.n && rc == LM_OK; i++)
		generation_check_compose(generations_fd, r.items[i].n, damage);
	if (rc == LM_OK)
		rc = read_links(&r, err);
	for (size_t i = 0; i < r.n && rc == LM_OK; i++)
		rebuild_outcome(&r, &r.items[i]);
	if (rc == LM_OK)
		rc = read_wanted(&r, err);
	if (rc == LM_OK)
		keep_wanted(&r);
	free(r.items);
	return rc;
}
