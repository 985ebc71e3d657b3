// SPDX-License-Identifier: Apache-2.0
#include "deploy/store.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "deploy/generation_fetched.h"
#include "deploy/generation_folder.h"
#include "deploy/generation_links.h"
#include "deploy/generation_outcome.h"
#include "deploy/journal.h"
#include "deploy/pruned_quarantines.h"
#include "deploy/pulled_images.h"
#include "deploy/recovery.h"
#include "deploy/wanted.h"
#include "sys/damage.h"
#include "sys/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define GENERATIONS "generations"

struct store {
	int root_fd;
	int generations_fd;
	struct store_state state;
	json_t *images; ///< Of the attempt under way; NULL until the first.
	struct damage damage;
};

static lm_rc check_under_way(const struct store *s, unsigned n, struct lm_err *err)
{
	if (n == 0 || n != s->state.open)
		return lm_fail(err, LM_E_INVALID, 0, "generation %u is not being deployed", n);
	return LM_OK;
}

/// Opens the folder of a generation, and reads how its last attempt ended.
static lm_rc open_generation(const struct store *s, unsigned n, int *ret_fd,
	struct generation_verdict *ret, struct lm_err *err)
{
	lm_rc rc = generation_folder_open(s->generations_fd, n, ret_fd, err);

	return rc ? rc : generation_verdict_read(*ret_fd, ret, err);
}

static void set_want(struct store *s, const struct store_want *want)
{
	s->state.wanted = want->wanted;
	s->state.before = want->before;
	s->state.touched = want->touched;
	s->state.leaves = want->leaves;
	s->state.failed = want->failed;
}

lm_rc store_want(struct store *s, const struct store_want *want, struct lm_err *err)
{
	lm_rc rc = wanted_write(s->root_fd, want, err);

	if (rc)
		return lm_wrap(err, "remember that the application is to be %s",
			want->wanted.state == WANTED_UP ? "up" : "down");
	set_want(s, want);
	return LM_OK;
}

// The end of an attempt

lm_rc store_confirm(struct store *s, unsigned n, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	if (n == 0 || n != s->state.current)
		rc = lm_fail(err, LM_E_INVALID, 0, "it is not the current one");
	else if (n != s->state.last_good)
		rc = generation_link_set(s->root_fd, LINK_LAST_GOOD, n, err);
	if (rc)
		return lm_wrap(err, "record that generation %u has proved itself", n);
	s->state.last_good = n;
	return LM_OK;
}

lm_rc store_finish(
	struct store *s, unsigned n, const struct store_outcome *outcome, struct lm_err *err)
{
	lm_auto_close int fd = -1;
	lm_rc rc = check_under_way(s, n, err);

	if (rc == LM_OK)
		rc = generation_folder_open(s->generations_fd, n, &fd, err);
	if (rc)
		return rc;
	lm_auto_json json_t *images = s->images ? json_incref(s->images) : json_object();
	rc = generation_json_replace(fd, GENERATION_IMAGES_NEW, images, err);
	if (rc == LM_OK)
		rc = generation_outcome_write(fd, n, s->state.open_attempt, outcome, err);
	if (rc == LM_OK)
		rc = recovery_carry_through(s->root_fd, s->generations_fd, n, &s->state, err);
	if (rc)
		return lm_wrap(err, "record the outcome of generation %u", n);
	json_decref(lm_take(s->images));
	s->state.open = 0;
	s->state.open_attempt = 0;
	s->state.open_stage[0] = '\0';
	return LM_OK;
}

/// As generation_is_unreported, for a number.
static lm_rc examine(const struct store *s, unsigned n, struct store_message *message, bool *ret,
	struct lm_err *err)
{
	lm_auto_close int fd = -1;
	struct generation_verdict verdict;
	lm_rc rc = open_generation(s, n, &fd, &verdict, err);

	if (rc == LM_OK)
		rc = generation_is_unreported(fd, &verdict, ret, err);
	if (rc)
		return rc;
	*message = (struct store_message){n, verdict.attempt};
	return LM_OK;
}

lm_rc store_unreported(
	struct store *s, struct store_message **ret, size_t *ret_count, struct lm_err *err)
{
	lm_auto_free unsigned *numbers = NULL;
	lm_auto_free struct store_message *messages = NULL;
	size_t count = 0, found = 0;
	lm_rc rc = generation_folder_list(s->generations_fd, &numbers, &count, err);

	for (size_t i = 0; i < count; i++) {
		struct store_message message;
		bool unreported = false;
		struct lm_err later;
		lm_rc one = examine(s, numbers[i], &message, &unreported, rc ? &later : err);

		rc = rc ? rc : one;
		if (one != LM_OK || !unreported)
			continue;
		messages = lm_xrealloc(messages, (found + 1) * sizeof(*messages));
		messages[found++] = message;
	}
	*ret = lm_take(messages);
	*ret_count = found;
	return rc ? lm_wrap(err, "look for unsent status messages") : LM_OK;
}

lm_rc store_read_status(struct store *s, unsigned n, char **ret, struct lm_err *err)
{
	lm_auto_close int fd = -1;
	lm_auto_json json_t *j = NULL;
	lm_rc rc = generation_folder_open(s->generations_fd, n, &fd, err);

	if (rc == LM_OK)
		rc = generation_json_read(fd, GENERATION_OUTCOME, &j, err);
	if (rc)
		return lm_wrap(err, "status message of generation %u", n);
	const char *text = json_string_value(json_object_get(j, "status"));
	if (!text)
		return lm_fail(err, LM_E_NOT_FOUND, 0, "generation %u has no status message", n);
	*ret = lm_xstrdup(text);
	return LM_OK;
}

lm_rc store_reported(struct store *s, unsigned n, struct lm_err *err)
{
	lm_auto_close int fd = -1;
	struct generation_verdict verdict;
	lm_rc rc = open_generation(s, n, &fd, &verdict, err);

	if (rc == LM_OK && verdict.attempt == 0)
		rc = lm_fail(err, LM_E_NOT_FOUND, 0, "it has no outcome");
	if (rc == LM_OK)
		rc = generation_reported_write(fd, verdict.attempt, err);
	return rc ? lm_wrap(err, "mark the status message of generation %u as sent", n) : LM_OK;
}

static lm_rc open_root(struct store *s, const char *dir, struct lm_err *err)
{
	struct stat st;
	lm_rc rc = lm_dir_make(dir, 0700, err);

	if (rc)
		return rc;
	s->root_fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->root_fd < 0 && (errno == ENOTDIR || errno == ELOOP))
		return lm_fail(err, LM_E_INVALID, errno, "it is a link; give the directory itself");
	if (s->root_fd < 0 || fstat(s->root_fd, &st) < 0)
		return lm_fail(err, errno == EACCES ? LM_E_DENIED : LM_E_SYS, errno, "open: %m");
	if (flock(s->root_fd, LOCK_EX | LOCK_NB) < 0)
		return lm_fail(err, errno == EWOULDBLOCK ? LM_E_CONFLICT : LM_E_SYS, errno,
			errno == EWOULDBLOCK ? "another lightermand is using it" : "lock: %m");
	if ((st.st_mode & 077) != 0 && fchmod(s->root_fd, 0700) < 0)
		return lm_fail(err, LM_E_SYS, errno, "close it to other users: %m");
	return LM_OK;
}

static lm_rc open_generations_folder(struct store *s, struct lm_err *err)
{
	s->generations_fd =
		openat(s->root_fd, GENERATIONS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return s->generations_fd < 0
		       ? lm_fail(err, LM_E_SYS, errno, "open the folder of generations: %m")
		       : LM_OK;
}

static lm_rc open_generations(struct store *s, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	for (int tries = 0; tries < 2; tries++) {
		if (mkdirat(s->root_fd, GENERATIONS, 0700) == 0)
			rc = lm_dir_sync(s->root_fd, GENERATIONS, err);
		else if (errno != EEXIST)
			rc = lm_fail(err, LM_E_SYS, errno, "create the folder of generations: %m");
		if (rc == LM_OK)
			rc = open_generations_folder(s, err);
		if (rc == LM_OK || tries > 0 || !damage_is(err) ||
			!damage_set_aside(&s->damage, s->root_fd, GENERATIONS))
			return rc;
		damage_note(&s->damage,
			"%s; it was set aside as '" GENERATIONS DAMAGE_SUFFIX
			"', and no deployment is known any more: deploy the group file again",
			err->msg);
		rc = LM_OK;
	}
	return rc;
}

lm_rc store_open(const char *dir, struct store **ret, struct lm_err *err)
{
	lm_auto(store_close_p) struct store *s = lm_xcalloc(1, sizeof(*s));

	s->root_fd = s->generations_fd = -1;
	lm_rc rc = open_root(s, dir, err);
	if (rc == LM_OK)
		rc = open_generations(s, err);
	if (rc == LM_OK)
		rc = recovery_run(s->root_fd, s->generations_fd, &s->state, &s->damage, err);
	if (rc)
		return lm_wrap(err, "open the store '%s'", dir);
	*ret = lm_take(s);
	return LM_OK;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->generations_fd >= 0)
		(void)close(s->generations_fd);
	if (s->root_fd >= 0)
		(void)close(s->root_fd);
	json_decref(s->images);
	damage_finish(&s->damage);
	free(s);
}

const struct store_state *store_state(const struct store *s)
{
	return &s->state;
}

const char *const *store_notes(const struct store *s, size_t *ret_n)
{
	*ret_n = s->damage.n;
	return (const char *const *)s->damage.notes;
}

static lm_rc check_idle(const struct store *s, unsigned except, struct lm_err *err)
{
	if (s->state.open == 0 || s->state.open == except)
		return LM_OK;
	return lm_fail(
		err, LM_E_CONFLICT, 0, "generation %u is still being deployed", s->state.open);
}

static void set_open(struct store *s, unsigned n, unsigned attempt)
{
	json_decref(lm_take(s->images));
	s->state.open = n;
	s->state.open_attempt = attempt;
	s->state.open_stage[0] = '\0';
}

lm_rc store_rerun(struct store *s, unsigned n, struct lm_err *err)
{
	lm_auto_close int fd = -1;
	struct generation_verdict verdict = {0};
	bool unreported = false;
	unsigned attempt = 0;
	lm_rc rc = check_idle(s, n, err);

	if (rc == LM_OK)
		rc = open_generation(s, n, &fd, &verdict, err);
	if (rc == LM_OK)
		rc = generation_is_unreported(fd, &verdict, &unreported, err);
	// Its outcome would be replaced, and the message with it.
	if (rc == LM_OK && unreported)
		rc = lm_fail(err, LM_E_CONFLICT, 0, "its last status message was not sent yet");
	if (rc == LM_OK)
		rc = generation_fetched_drop(fd, err);
	if (rc == LM_OK)
		rc = generation_reported_read(fd, &attempt, err);
	// Outcome or report may have been lost; no two attempts have the same number.
	if (verdict.attempt > attempt)
		attempt = verdict.attempt;
	attempt = n == s->state.open && s->state.open_attempt > attempt ? s->state.open_attempt
									: attempt + 1;
	if (rc == LM_OK)
		rc = journal_begin(s->root_fd, n, attempt, err);
	if (rc)
		return lm_wrap(err, "deploy generation %u again", n);
	set_open(s, n, attempt);
	return LM_OK;
}

static lm_rc has_definition(
	struct store *s, unsigned n, struct lm_str definition, bool *ret, struct lm_err *err)
{
	lm_auto_close int fd = -1;
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_GROUP_FILE);
	lm_rc rc = generation_folder_open(s->generations_fd, n, &fd, err);

	if (rc == LM_OK)
		rc = record_read(fd, GENERATION_DEFINITION, &text, err);
	*ret = rc == LM_OK && lm_str_eq(lm_buf_str(&text), definition);
	return rc;
}

/// Another attempt of a generation with that definition, if there is one that may have it;
/// `*ret_n` is then its number, else 0.
static lm_rc try_reuse(
	struct store *s, struct lm_str definition, unsigned *ret_n, struct lm_err *err)
{
	const unsigned candidates[] = {s->state.open, s->state.current, s->state.newest};

	*ret_n = 0;
	for (size_t i = 0; i < LM_ARRAY_SIZE(candidates); i++) {
		unsigned n = candidates[i];
		bool same = false;

		if (n == 0 || check_idle(s, n, NULL) != LM_OK)
			continue;
		struct lm_err why;
		lm_rc rc = has_definition(s, n, definition, &same, &why);
		if (rc != LM_OK && rc != LM_E_NOT_FOUND && !damage_is(&why)) {
			*err = why;
			return rc;
		}
		if (!same)
			continue;
		rc = store_rerun(s, n, err);
		if (rc == LM_E_CONFLICT)
			continue;
		if (rc == LM_OK)
			*ret_n = n;
		return rc;
	}
	return LM_OK;
}

/// The generation that is deployed again is what is wanted from now on, if it was not before.
static lm_rc want_reused(struct store *s, unsigned n, struct lifecycle_target before, bool touched,
	struct lm_err *err)
{
	const struct lifecycle_target none = {0};
	const struct store_want want = {.wanted = {WANTED_UP, n},
		.before = before.generation == n ? none : before,
		.touched = touched};

	if (s->state.wanted.state == WANTED_UP && s->state.wanted.generation == n)
		return LM_OK;
	return store_want(s, &want, err);
}

/// Journal and target come before the number: a generation with a number and without an outcome is
/// in the journal, and a target for a number that does not exist is ignored.
static lm_rc make_generation(struct store *s, struct lm_str definition,
	const struct store_want *want, struct lm_err *err)
{
	const struct store_want before = {.wanted = s->state.wanted,
		.before = s->state.before,
		.touched = s->state.touched,
		.leaves = s->state.leaves,
		.failed = s->state.failed};
	unsigned n = want->wanted.generation;
	char temporary[GENERATION_NAME_SIZE], name[GENERATION_NAME_SIZE];

	(void)snprintf(temporary, sizeof(temporary), ".new-%u", n);
	(void)snprintf(name, sizeof(name), "%u", n);
	lm_rc rc = generation_folder_make(s->generations_fd, temporary, definition, err);
	if (rc == LM_OK)
		rc = wanted_write(s->root_fd, want, err);
	if (rc == LM_OK)
		rc = journal_begin(s->root_fd, n, 1, err);
	if (rc == LM_OK && renameat(s->generations_fd, temporary, s->generations_fd, name) < 0)
		rc = lm_fail(err, LM_E_SYS, errno, "rename its folder: %m");
	if (rc == LM_OK)
		rc = lm_dir_sync(s->generations_fd, name, err);
	if (rc == LM_OK)
		return LM_OK;
	// It did not begin. What cannot be taken back now goes at the next store_open.
	struct lm_err ignored;
	(void)generation_folder_discard(s->generations_fd, n, &ignored);
	(void)journal_clear(s->root_fd, &ignored);
	(void)!store_want(s, &before, &ignored);
	(void)lm_tree_remove(s->generations_fd, temporary, &ignored);
	return lm_wrap(err, "store the definition as generation %u", n);
}

lm_rc store_begin(struct store *s, struct lm_str definition, bool reuse,
	struct lifecycle_target before, bool touched, unsigned *ret_n, struct lm_err *err)
{
	unsigned n = 0;

	if (definition.n > LIMIT_GROUP_FILE)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the definition is over %d bytes, the most that is stored",
			LIMIT_GROUP_FILE);
	lm_rc rc = reuse ? try_reuse(s, definition, &n, err) : LM_OK;
	if (rc)
		return rc;
	if (n != 0) {
		*ret_n = n;
		return want_reused(s, n, before, touched, err);
	}
	rc = check_idle(s, 0, err);
	if (rc == LM_OK)
		rc = generation_folder_next(s->generations_fd, &n, err);
	if (rc)
		return rc;
	const struct store_want want = {
		.wanted = {WANTED_UP, n}, .before = before, .touched = touched};
	rc = make_generation(s, definition, &want, err);
	if (rc)
		return rc;
	set_open(s, n, 1);
	s->state.newest = n;
	set_want(s, &want);
	*ret_n = n;
	// If that fails, the new generation counts all the same.
	struct lm_err ignored;
	(void)!pruned_quarantines_forget(s->root_fd, definition, n, &ignored);
	return LM_OK;
}

/// Opens the generation's own compose file, if it is what the outcome says.
static lm_rc open_compose(int dir, int *ret_fd, struct lm_err *err)
{
	struct generation_verdict verdict;
	lm_rc rc = generation_verdict_read(dir, &verdict, err);

	return rc ? rc : generation_compose_open(dir, verdict.compose_sha256, ret_fd, err);
}

static lm_rc open_under_way(struct store *s, unsigned n, int *ret_fd, struct lm_err *err)
{
	lm_rc rc = check_under_way(s, n, err);

	return rc ? rc : generation_folder_open(s->generations_fd, n, ret_fd, err);
}

/// Copies the generation's own compose file into `to`, and goes back to its beginning.
static lm_rc copy_own(int dir, int to, struct lm_err *err)
{
	lm_auto_close int from = -1;
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_COMPOSE_FILE);
	lm_rc rc = open_compose(dir, &from, err);

	if (rc == LM_OK)
		rc = lm_fd_read_all(from, GENERATION_COMPOSE, &text, err);
	if (rc == LM_OK)
		rc = lm_fd_write_all(to, GENERATION_COMPOSE_NEW, lm_buf_str(&text), err);
	if (rc == LM_OK && lseek(to, 0, SEEK_SET) < 0)
		rc = lm_fail(err, LM_E_SYS, errno, "read '%s' again: %m", GENERATION_COMPOSE_NEW);
	return rc;
}

lm_rc store_compose_open(
	struct store *s, unsigned n, bool from_own, int *ret_fd, struct lm_err *err)
{
	lm_auto_close int dir = -1, fd = -1;
	lm_rc rc = open_under_way(s, n, &dir, err);

	if (rc)
		return rc;
	rc = generation_fetched_create(dir, &fd, err);
	if (rc == LM_OK && from_own)
		rc = copy_own(dir, fd, err);
	if (rc)
		return lm_wrap(err, "the compose file of generation %u", n);
	*ret_fd = lm_take_fd(fd);
	return LM_OK;
}

lm_rc store_compose_keep(struct store *s, unsigned n, struct lm_err *err)
{
	lm_auto_close int dir = -1;
	lm_rc rc = open_under_way(s, n, &dir, err);

	return rc ? rc : generation_fetched_keep(dir, err);
}

lm_rc store_read_copies(struct store *s, unsigned n, json_t **ret, struct lm_err *err)
{
	lm_auto_close int dir = -1;
	lm_rc rc = generation_folder_open(s->generations_fd, n, &dir, err);

	return rc ? rc : generation_read_copies(dir, ret, err);
}

lm_rc store_note_copy(
	struct store *s, unsigned n, const char *sha256, const char *version, struct lm_err *err)
{
	lm_auto_close int dir = -1;
	lm_rc rc = open_under_way(s, n, &dir, err);

	return rc ? rc : generation_note_copy(dir, sha256, version, err);
}

lm_rc store_journal(struct store *s, unsigned n, const char *stage, struct lm_err *err)
{
	lm_rc rc = check_under_way(s, n, err);

	if (rc == LM_OK)
		rc = journal_stage(s->root_fd, stage, err);
	if (rc)
		return rc;
	(void)snprintf(s->state.open_stage, sizeof(s->state.open_stage), "%s", stage);
	return LM_OK;
}

lm_rc store_image(struct store *s, unsigned n, struct lm_str ref, struct lm_str digest,
	struct lm_str id, struct lm_err *err)
{
	enum { TEXT_MAX = 512 }; // a reference: 255 + 1 + 128; a digest: 71

	lm_rc rc = check_under_way(s, n, err);

	if (rc)
		return rc;
	if (ref.n == 0 || ref.n > TEXT_MAX || digest.n > TEXT_MAX || id.n > TEXT_MAX)
		return lm_fail(err, LM_E_INVALID, 0, "this is not an image, its digest and its ID");
	if (!s->images)
		s->images = json_object();
	if (json_object_size(s->images) >= LIMIT_SERVICES)
		return lm_fail(err, LM_E_TOO_LARGE, 0, "more than %d images", LIMIT_SERVICES);
	lm_auto_free char *key = lm_xmemdup0(ref.p, ref.n);
	json_t *image = json_pack("{s:o, s:o}", "digest", json_stringn(digest.p, digest.n), "id",
		json_stringn(id.p, id.n));
	if (json_object_set_new(s->images, key, image) < 0)
		return lm_fail(err, LM_E_INVALID, 0, "this is not an image, its digest and its ID");
	return LM_OK;
}

lm_rc store_read_images(struct store *s, unsigned n, json_t **ret, struct lm_err *err)
{
	lm_auto_close int dir = -1;
	lm_rc rc = generation_folder_open(s->generations_fd, n, &dir, err);

	return rc ? rc : generation_read_images(dir, ret, err);
}

lm_rc store_quarantine(struct store *s, unsigned n, const char *reason, struct lm_err *err)
{
	lm_auto_close int dir = -1;
	lm_rc rc = generation_folder_open(s->generations_fd, n, &dir, err);

	if (rc == LM_OK)
		rc = generation_quarantine(dir, reason, lm_clock_wall_ms(), err);
	return rc ? lm_wrap(err, "put generation %u in quarantine", n) : LM_OK;
}

lm_rc store_lift(struct store *s, unsigned n, struct lm_err *err)
{
	lm_auto_close int dir = -1;
	lm_rc rc = generation_folder_open(s->generations_fd, n, &dir, err);

	if (rc == LM_OK)
		rc = generation_lift(dir, err);
	return rc ? lm_wrap(err, "lift the quarantine of generation %u", n) : LM_OK;
}

lm_rc store_read_quarantine(
	struct store *s, unsigned n, char **ret_reason, int64_t *ret_at_ms, struct lm_err *err)
{
	lm_auto_close int dir = -1;
	lm_rc rc = generation_folder_open(s->generations_fd, n, &dir, err);

	if (rc == LM_OK)
		rc = generation_read_quarantine(dir, ret_reason, ret_at_ms, err);
	return rc ? lm_wrap(err, "the quarantine of generation %u", n) : LM_OK;
}

lm_rc store_find_definition(
	struct store *s, struct lm_str definition, unsigned *ret_n, struct lm_err *err)
{
	lm_auto_free unsigned *numbers = NULL;
	size_t count = 0;
	lm_rc rc = store_list(s, &numbers, &count, err);

	for (size_t i = 0; i < count && rc == LM_OK; i++) {
		bool same = false;
		struct lm_err ignored; // one that cannot be read is not it

		if (has_definition(s, numbers[i], definition, &same, &ignored) != LM_OK || !same)
			continue;
		*ret_n = numbers[i];
		return LM_OK;
	}
	if (rc == LM_OK)
		*ret_n = 0;
	return rc;
}

lm_rc store_find_quarantined(struct store *s, struct lm_str definition, unsigned *ret_n,
	char **ret_reason, struct lm_err *err)
{
	lm_auto_free char *reason = NULL;
	unsigned pruned = 0;
	int64_t at_ms = 0;
	lm_rc rc = store_find_definition(s, definition, ret_n, err);

	if (rc)
		return rc;
	rc = pruned_quarantines_find(s->root_fd, definition, &pruned, &reason, err);
	if (rc == LM_OK && pruned > *ret_n) {
		*ret_n = pruned;
		*ret_reason = lm_take(reason);
		return LM_OK;
	}
	if ((rc && rc != LM_E_NOT_FOUND) || *ret_n == 0)
		return rc ? rc : lm_fail(err, LM_E_NOT_FOUND, 0, "it is in no quarantine");
	return store_read_quarantine(s, *ret_n, ret_reason, &at_ms, err);
}

lm_rc store_list_pruned_quarantines(struct store *s, json_t **ret, struct lm_err *err)
{
	lm_auto_json json_t *all = NULL;
	const char *key;
	json_t *entry;
	lm_rc rc = pruned_quarantines_read(s->root_fd, &all, err);

	if (rc)
		return rc;
	*ret = json_array();
	json_object_foreach(all, key, entry) json_array_append(*ret, entry);
	return LM_OK;
}

lm_rc store_list(struct store *s, unsigned **ret, size_t *ret_count, struct lm_err *err)
{
	unsigned *numbers = NULL;
	size_t count = 0;
	lm_rc rc = generation_folder_list(s->generations_fd, &numbers, &count, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < count / 2; i++) {
		unsigned n = numbers[i];

		numbers[i] = numbers[count - 1 - i];
		numbers[count - 1 - i] = n;
	}
	*ret = numbers;
	*ret_count = count;
	return LM_OK;
}

static lm_rc read_generation_text(
	struct store *s, unsigned n, const char *name, size_t max, char **ret, struct lm_err *err)
{
	lm_auto_close int fd = -1;
	lm_auto_buf struct lm_buf text = LM_BUF(max);
	lm_rc rc = generation_folder_open(s->generations_fd, n, &fd, err);

	if (rc)
		return rc;
	rc = record_read(fd, name, &text, err);
	if (rc)
		return lm_wrap(err, "generation %u", n);
	*ret = lm_buf_take(&text);
	return LM_OK;
}

lm_rc store_read_outcome(struct store *s, unsigned n, char **ret, struct lm_err *err)
{
	return read_generation_text(s, n, GENERATION_OUTCOME, GENERATION_OUTCOME_MAX, ret, err);
}

lm_rc store_read_definition(struct store *s, unsigned n, char **ret, struct lm_err *err)
{
	return read_generation_text(s, n, GENERATION_DEFINITION, LIMIT_GROUP_FILE, ret, err);
}

lm_rc store_read_compose(struct store *s, unsigned n, int *ret_fd, struct lm_err *err)
{
	lm_auto_close int fd = -1;
	lm_rc rc = generation_folder_open(s->generations_fd, n, &fd, err);

	if (rc)
		return rc;
	rc = open_compose(fd, ret_fd, err);
	return rc ? lm_wrap(err, "generation %u", n) : LM_OK;
}

lm_rc store_note_pulled(struct store *s, unsigned n, const char *name, const char *id, bool is_new,
	struct lm_err *err)
{
	return pulled_images_note(s->root_fd, id, name, n, is_new, err);
}

lm_rc store_forget_pulled(struct store *s, const char *id, struct lm_err *err)
{
	return pulled_images_forget(s->root_fd, id, err);
}

/// Takes those out of `images` that have this name, or whose names are not known.
static void keep_named(const char *name, json_t *images)
{
	const char *id;
	json_t *image;
	void *next;

	json_object_foreach_safe(images, next, id, image)
	{
		json_t *names = json_object_get(image, "names"), *other;
		size_t i;
		bool is_it = !json_is_array(names);

		json_array_foreach(names, i, other) is_it |=
			!json_is_string(other) || strcmp(json_string_value(other), name) == 0;
		if (is_it)
			(void)json_object_del(images, id);
	}
}

/// Takes those that a generation needs out of `images`. LM_E_INVALID: which these are is not known.
static lm_rc keep_needed(struct store *s, unsigned n, json_t *images, struct lm_err *err)
{
	lm_auto_close int dir = -1;
	lm_auto_json json_t *own = NULL;
	const char *key;
	json_t *image;
	void *next;
	lm_rc rc = generation_folder_open(s->generations_fd, n, &dir, err);

	if (rc == LM_OK)
		rc = generation_check_images(dir, n, err);
	if (rc == LM_OK)
		rc = generation_read_images(dir, &own, err);
	if (rc)
		return rc;
	json_object_foreach(own, key, image)
	{
		const char *id = json_get_text(image, "id");

		if (*id)
			(void)json_object_del(images, id);
		else
			keep_named(key, images);
	}
	json_object_foreach_safe(images, next, key, image)
	{
		if (json_get_int(image, "generation", 0) == n)
			(void)json_object_del(images, key);
	}
	return LM_OK;
}

lm_rc store_list_released(struct store *s, json_t **ret, struct lm_err *err)
{
	lm_auto_free unsigned *numbers = NULL;
	lm_auto_json json_t *images = NULL;
	size_t count = 0;
	const char *id;
	json_t *image;
	lm_rc rc = pulled_images_read(s->root_fd, &images, err);

	if (rc == LM_OK)
		rc = generation_folder_list(s->generations_fd, &numbers, &count, err);
	for (size_t i = 0; i < count && rc == LM_OK; i++)
		rc = keep_needed(s, numbers[i], images, err);
	if (rc)
		return lm_wrap(err, "find the images that are no longer needed");
	*ret = json_array();
	json_object_foreach(images, id, image)
	{
		if (json_array_size(*ret) < STORE_RELEASED_MAX)
			json_array_append_new(*ret, json_pack("{s:s, s:O?}", "id", id, "names",
							    json_object_get(image, "names")));
	}
	return LM_OK;
}

static bool is_message_of(const struct store_message *messages, size_t count, unsigned n)
{
	for (size_t i = 0; i < count; i++)
		if (messages[i].generation == n)
			return true;
	return false;
}

/// The quarantine of its definition outlives generation `n`; that of an older one ends with it.
static lm_rc carry_quarantine(struct store *s, unsigned n, struct lm_err *err)
{
	lm_auto_free char *definition = NULL, *reason = NULL;
	unsigned newest = 0;
	int64_t at_ms = 0;
	struct lm_err ignored; // what cannot be read is not deployed again

	if (store_read_definition(s, n, &definition, &ignored))
		return LM_OK;
	lm_rc rc = store_find_definition(s, lm_str(definition), &newest, err);
	if (rc || newest != n)
		return rc;
	rc = store_read_quarantine(s, n, &reason, &at_ms, err);
	if (rc == LM_E_NOT_FOUND)
		return pruned_quarantines_forget(s->root_fd, lm_str(definition), n, err);
	return rc ? rc
		  : pruned_quarantines_keep(s->root_fd, lm_str(definition), n, reason, at_ms, err);
}

lm_rc store_prune(struct store *s, unsigned keep, struct lm_err *err)
{
	const struct store_state *state = &s->state;
	lm_auto_free unsigned *numbers = NULL;
	lm_auto_free struct store_message *messages = NULL;
	size_t count = 0, unreported = 0;
	lm_rc rc = store_list(s, &numbers, &count, err);

	if (rc == LM_OK)
		rc = store_unreported(s, &messages, &unreported, err);
	for (size_t i = keep > 0 ? keep : 1; i < count && rc == LM_OK; i++) {
		unsigned n = numbers[i];

		if (n != state->current && n != state->last_good && n != state->open &&
			n != state->wanted.generation && n != state->before.generation &&
			!is_message_of(messages, unreported, n)) {
			rc = carry_quarantine(s, n, err);
			if (rc == LM_OK)
				rc = generation_folder_discard(s->generations_fd, n, err);
		}
	}
	return rc ? lm_wrap(err, "remove old generations") : LM_OK;
}
