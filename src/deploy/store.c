// SPDX-License-Identifier: Apache-2.0
#include "deploy/store.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "deploy/generation_folder.h"
#include "deploy/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE_CURRENT "current"
#define STORE_LAST_GOOD "last-good"
#define STORE_STOPPED "stopped" ///< Of a release before the link `wanted`.

struct store {
	int root_fd;
	int generations_fd;
	struct store_state state;
	bool open_acted; ///< After store_open: what was interrupted had changed what runs.
	json_t *images;  ///< Of the attempt under way; NULL until the first.
	char *note;
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

// What is wanted, on disk: a symbolic link `wanted` that leads nowhere and whose text is
// "up 4", "up 4 touched else down 3" or "down 3". A link of so few bytes needs no block of its own,
// so that it can be replaced on a disk that is full.

#define WANTED_NAME "wanted"
enum { WANTED_SIZE = 64 };

struct wanted {
	struct lifecycle_target wanted;
	struct lifecycle_target before; ///< WANTED_NOTHING: it is left out.
	bool touched;                   ///< As in struct lifecycle.
};

/// Takes "up 4" from the front of `text`; false: there is no target.
static bool take_target(struct lm_str *text, struct lifecycle_target *ret)
{
	struct lm_str word = lm_str_cut(text, ' ');
	struct lm_str number = lm_str_cut(text, ' ');
	uint64_t n = 0;

	if (!lm_str_to_u64(number, INT32_MAX, &n) || n == 0)
		return false;
	if (lm_str_eq(word, LM_STR("up")))
		*ret = (struct lifecycle_target){WANTED_UP, (unsigned)n};
	else if (lm_str_eq(word, LM_STR("down")))
		*ret = (struct lifecycle_target){WANTED_DOWN, (unsigned)n};
	else
		return false;
	return true;
}

/// Takes the word off the front of `text`, if it is there.
static bool take_wanted_word(struct lm_str *text, struct lm_str word)
{
	struct lm_str rest = *text;

	if (!lm_str_eq(lm_str_cut(&rest, ' '), word))
		return false;
	*text = rest;
	return true;
}

/// Reads the link. WANTED_NOTHING if there is none, or none that can be understood.
static lm_rc wanted_read(int dir_fd, struct wanted *ret, struct lm_err *err)
{
	char text[WANTED_SIZE];
	ssize_t n = readlinkat(dir_fd, WANTED_NAME, text, sizeof(text));

	*ret = (struct wanted){0};
	if (n < 0 && errno != ENOENT && errno != EINVAL)
		return lm_fail(err, LM_E_SYS, errno, "read the link '%s': %m", WANTED_NAME);
	if (n <= 0)
		return LM_OK;
	struct lm_str rest = {text, (size_t)n};
	if (!take_target(&rest, &ret->wanted))
		return LM_OK;
	ret->touched = take_wanted_word(&rest, LM_STR("touched"));
	if (take_wanted_word(&rest, LM_STR("else")))
		(void)take_target(&rest, &ret->before);
	return LM_OK;
}

/// Replaces it and syncs.
static lm_rc wanted_write(int dir_fd, const struct wanted *wanted, struct lm_err *err)
{
	char text[WANTED_SIZE], rest[WANTED_SIZE / 2] = "";

	if (wanted->before.state != WANTED_NOTHING)
		(void)snprintf(rest, sizeof(rest), " else %s %u",
			lifecycle_wanted_name(wanted->before.state), wanted->before.generation);
	(void)snprintf(text, sizeof(text), "%s %u%s%s", lifecycle_wanted_name(wanted->wanted.state),
		wanted->wanted.generation, wanted->touched ? " touched" : "", rest);
	return lm_link_replace(dir_fd, WANTED_NAME, text, err);
}

lm_rc store_want(struct store *s, struct lifecycle_target wanted, struct lifecycle_target before,
	bool touched, struct lm_err *err)
{
	const struct wanted written = {wanted, before, touched};
	lm_rc rc = wanted.state == WANTED_NOTHING ? lm_tree_remove(s->root_fd, WANTED_NAME, err)
						  : wanted_write(s->root_fd, &written, err);

	if (rc)
		return lm_wrap(err, "remember that the application is to be %s",
			wanted.state == WANTED_UP ? "up" : "down");
	s->state.wanted = wanted;
	s->state.before = before;
	s->state.touched = touched;
	return LM_OK;
}

// The end of an attempt

/// Everything that follows an outcome in place: adopts or drops what was fetched, sets the links,
/// ends the journal. May be done any number of times.
static lm_rc commit(struct store *s, unsigned n, struct lm_err *err)
{
	lm_auto_close int fd = -1;
	struct generation_verdict verdict;
	lm_rc rc = open_generation(s, n, &fd, &verdict, err);

	if (rc == LM_OK)
		rc = generation_adopt_fetched(fd, &verdict, err);
	if (rc)
		return rc;
	if (verdict.success) {
		char target[GENERATION_NAME_SIZE];

		(void)snprintf(target, sizeof(target), "generations/%u", n);
		rc = lm_link_replace(s->root_fd, STORE_LAST_GOOD, target, err);
		if (rc)
			return rc;
		s->state.last_good = n;
		rc = lm_link_replace(s->root_fd, STORE_CURRENT, target, err);
		if (rc)
			return rc;
		s->state.current = n;
	}
	return journal_clear(s->root_fd, err);
}

/// A text that may hold bytes that are not UTF-8 (a program's output), as JSON; null for NULL.
static json_t *json_text_or_null(const char *text)
{
	if (!text)
		return json_null();
	json_t *j = json_string(text);
	if (j)
		return j;
	lm_auto_free char *ascii = lm_xstrdup(text);
	for (char *c = ascii; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	return json_string(ascii);
}

/// The version of what becomes, or stays, the generation's compose.yml.
static json_t *good_version(const json_t *before, const struct store_outcome *o)
{
	json_t *version = json_object_get(before, "good_compose_version");

	if (o->success)
		return json_text_or_null(o->compose_version);
	return version ? json_incref(version) : json_null();
}

static json_t *outcome_to_json(unsigned n, unsigned attempt, bool good, const json_t *before,
	const struct store_outcome *o)
{
	json_t *j = json_object();
	// json_object_set_new takes NULL too, and then fails: `bad` counts that.
	int bad = json_object_set_new(j, "generation", json_integer(n));

	bad |= json_object_set_new(j, "attempt", json_integer(attempt));
	bad |= json_object_set_new(j, "success", json_boolean(o->success));
	bad |= json_object_set_new(j, "good", json_boolean(good));
	bad |= json_object_set_new(j, "stage", json_text_or_null(o->stage));
	bad |= json_object_set_new(j, "error", json_text_or_null(o->error));
	bad |= json_object_set_new(j, "message", json_text_or_null(o->message));
	bad |= json_object_set_new(j, "compose_version", json_text_or_null(o->compose_version));
	bad |= json_object_set_new(j, "good_compose_version", good_version(before, o));
	bad |= json_object_set_new(j, "started_ms", json_integer(o->started_ms));
	bad |= json_object_set_new(j, "ended_ms", json_integer(o->ended_ms));
	bad |= json_object_set_new(j, "status",
		o->status.n > 0 ? json_stringn(o->status.p, o->status.n) : json_null());
	if (bad == 0)
		return j;
	json_decref(j);
	return NULL;
}

lm_rc store_finish(
	struct store *s, unsigned n, const struct store_outcome *outcome, struct lm_err *err)
{
	lm_auto_close int fd = -1;
	struct generation_verdict before;
	lm_auto_json json_t *last = NULL;
	struct lm_err ignored; // what cannot be read is as none
	lm_rc rc = check_under_way(s, n, err);

	if (rc == LM_OK)
		rc = open_generation(s, n, &fd, &before, err);
	if (rc)
		return rc;
	(void)!generation_json_read(fd, GENERATION_OUTCOME, &last, &ignored);
	lm_auto_json json_t *j = outcome_to_json(
		n, s->state.open_attempt, before.good || outcome->success, last, outcome);
	if (!j)
		return lm_fail(err, LM_E_INVALID, 0, "the status document is not UTF-8");
	lm_auto_json json_t *images = s->images ? json_incref(s->images) : json_object();
	rc = generation_json_replace(fd, GENERATION_IMAGES_NEW, images, err);
	if (rc == LM_OK)
		rc = generation_json_replace(
			fd, GENERATION_OUTCOME, j, err); // from here on it has ended
	if (rc == LM_OK)
		rc = commit(s, n, err);
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
	char text[GENERATION_NAME_SIZE];
	lm_rc rc = open_generation(s, n, &fd, &verdict, err);

	if (rc == LM_OK && verdict.attempt == 0)
		rc = lm_fail(err, LM_E_NOT_FOUND, 0, "it has no outcome");
	if (rc == LM_OK) {
		(void)snprintf(text, sizeof(text), "%u\n", verdict.attempt);
		rc = lm_file_replace(fd, GENERATION_REPORTED, lm_str(text), 0600, err);
	}
	return rc ? lm_wrap(err, "mark the status message of generation %u as sent", n) : LM_OK;
}

// Recovery

/// Keeps the first oddity; takes the text over.
static void note(struct store *s, char *text)
{
	if (s->note)
		free(text);
	else
		s->note = text;
}

/// A folder without a definition comes from a removal that failed half-way.
static lm_rc remove_incomplete(struct store *s, struct lm_err *err)
{
	lm_auto_free unsigned *numbers = NULL;
	size_t count = 0;
	lm_rc rc = generation_folder_list(s->generations_fd, &numbers, &count, err);

	for (size_t i = 0; i < count && rc == LM_OK; i++) {
		bool complete = false;

		rc = generation_is_complete(s->generations_fd, numbers[i], &complete, err);
		if (rc == LM_OK && complete) {
			s->state.newest = numbers[i];
		} else if (rc == LM_OK) {
			note(s, lm_xasprintf("generation %u has no definition and was removed",
					numbers[i]));
			rc = generation_folder_discard(s->generations_fd, numbers[i], err);
		}
	}
	return rc;
}

static lm_rc read_link(struct store *s, const char *name, unsigned *ret, struct lm_err *err)
{
	static const struct lm_str folder = {"generations/", sizeof("generations/") - 1};
	char text[2 * GENERATION_NAME_SIZE];
	bool complete = false;
	ssize_t length = readlinkat(s->root_fd, name, text, sizeof(text));

	*ret = 0;
	if (length < 0 && errno == ENOENT)
		return LM_OK;
	if (length < 0 && errno != EINVAL)
		return lm_fail(err, LM_E_SYS, errno, "read the link '%s': %m", name);
	struct lm_str target = {text, length < 0 ? 0 : (size_t)length};
	unsigned n = 0;
	if (lm_str_starts(target, folder))
		n = generation_parse_number(
			(struct lm_str){target.p + folder.n, target.n - folder.n});
	lm_rc rc = n == 0 ? LM_OK : generation_is_complete(s->generations_fd, n, &complete, err);
	if (rc)
		return rc;
	if (complete)
		*ret = n;
	else
		note(s, lm_xasprintf("the link '%s' leads to no generation, ignoring it", name));
	return LM_OK;
}

/// The journal names an attempt: did it end?
static lm_rc resume(struct store *s, struct lm_err *err)
{
	struct journal_state journal;
	lm_auto_close int fd = -1;
	struct generation_verdict verdict;
	lm_rc rc = journal_read(s->root_fd, &journal, err);

	if (rc == LM_E_TOO_LARGE) {
		note(s, lm_xstrdup("the journal was damaged and has been restarted"));
		return journal_clear(s->root_fd, err);
	}
	if (rc != LM_OK || journal.generation == 0)
		return rc;
	rc = generation_folder_open(s->generations_fd, journal.generation, &fd, err);
	if (rc == LM_E_NOT_FOUND) // killed before it had its number: it never began
		return journal_clear(s->root_fd, err);
	if (rc)
		return rc;
	if (generation_verdict_read(fd, &verdict, err) != LM_OK)
		verdict = (struct generation_verdict){0}; // as if it had not ended
	if (verdict.attempt >= journal.attempt)
		return commit(s, journal.generation, err);
	s->state.open = journal.generation;
	s->state.open_attempt = journal.attempt;
	s->open_acted = journal.acted;
	_Static_assert(sizeof(s->state.open_stage) == sizeof(journal.stage), "a stage's name");
	memcpy(s->state.open_stage, journal.stage, sizeof(journal.stage));
	return LM_OK;
}

/// What a release knew that had no link `wanted`: the file `stopped`, and what was under way.
static lm_rc guess_wanted(struct store *s, struct lm_err *err)
{
	struct store_state *state = &s->state;
	unsigned n = state->open ? state->open : state->current ? state->current : state->newest;
	struct stat st;

	if (n == 0)
		return LM_OK;
	state->wanted = (struct lifecycle_target){WANTED_UP, n};
	if (state->current && state->current != n)
		state->before = (struct lifecycle_target){WANTED_UP, state->current};
	if (fstatat(s->root_fd, STORE_STOPPED, &st, AT_SYMLINK_NOFOLLOW) == 0)
		state->wanted.state = WANTED_DOWN;
	else if (errno != ENOENT)
		return lm_fail(err, LM_E_SYS, errno, "look for '%s': %m", STORE_STOPPED);
	return LM_OK;
}

/// A target for a generation that does not exist (any more) is none.
static lm_rc check_target(struct store *s, struct lifecycle_target *target, struct lm_err *err)
{
	bool complete = false;
	lm_rc rc = target->generation ? generation_is_complete(s->generations_fd,
						target->generation, &complete, err)
				      : LM_OK;

	if (rc == LM_OK && !complete)
		*target = (struct lifecycle_target){0};
	return rc;
}

static lm_rc read_wanted(struct store *s, struct lm_err *err)
{
	struct store_state *state = &s->state;
	struct wanted read;
	lm_rc rc = wanted_read(s->root_fd, &read, err);

	if (rc)
		return rc;
	state->wanted = read.wanted;
	state->before = read.before;
	rc = check_target(s, &state->wanted, err);
	if (rc == LM_OK)
		rc = check_target(s, &state->before, err);
	if (rc)
		return rc;
	if (state->wanted.state == WANTED_NOTHING) { // its deployment did not begin
		state->wanted = state->before;
		state->before = (struct lifecycle_target){0};
		read.touched = false;
	}
	state->touched = read.touched || s->open_acted;
	if (state->wanted.state == WANTED_NOTHING)
		return guess_wanted(s, err);
	return lm_tree_remove(s->root_fd, STORE_STOPPED, err); // of an earlier release
}

/// Puts in order what a crash left, and fills `s->state`.
static lm_rc recover(struct store *s, struct lm_err *err)
{
	lm_rc rc = generation_remove_unnumbered(s->generations_fd, err);

	if (rc == LM_OK)
		rc = remove_incomplete(s, err);
	if (rc == LM_OK)
		rc = resume(s, err);
	if (rc == LM_OK)
		rc = read_link(s, STORE_CURRENT, &s->state.current, err);
	if (rc == LM_OK)
		rc = read_link(s, STORE_LAST_GOOD, &s->state.last_good, err);
	if (rc)
		return rc;
	// Each is the best stand-in for the other.
	if (s->state.current == 0)
		s->state.current = s->state.last_good;
	if (s->state.last_good == 0)
		s->state.last_good = s->state.current;
	return read_wanted(s, err);
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

static lm_rc open_generations(struct store *s, struct lm_err *err)
{
	if (mkdirat(s->root_fd, "generations", 0700) == 0) {
		lm_rc rc = lm_dir_sync(s->root_fd, "generations", err);

		if (rc)
			return rc;
	} else if (errno != EEXIST) {
		return lm_fail(err, LM_E_SYS, errno, "create the folder of generations: %m");
	}
	s->generations_fd =
		openat(s->root_fd, "generations", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->generations_fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "open the folder of generations: %m");
	return LM_OK;
}

lm_rc store_open(const char *dir, struct store **ret, struct lm_err *err)
{
	lm_auto(store_close_p) struct store *s = lm_xcalloc(1, sizeof(*s));

	s->root_fd = s->generations_fd = -1;
	lm_rc rc = open_root(s, dir, err);
	if (rc == LM_OK)
		rc = open_generations(s, err);
	if (rc == LM_OK)
		rc = recover(s, err);
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
	free(s->note);
	free(s);
}

const struct store_state *store_state(const struct store *s)
{
	return &s->state;
}

const char *store_note(const struct store *s)
{
	return s->note;
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
	struct generation_verdict verdict;
	bool unreported = false;
	lm_rc rc = check_idle(s, n, err);

	if (rc == LM_OK)
		rc = open_generation(s, n, &fd, &verdict, err);
	if (rc == LM_OK)
		rc = generation_is_unreported(fd, &verdict, &unreported, err);
	// Its outcome would be replaced, and the message with it.
	if (rc == LM_OK && unreported)
		rc = lm_fail(err, LM_E_CONFLICT, 0, "its last status message was not sent yet");
	if (rc == LM_OK)
		rc = generation_drop_fetched(fd, err);
	if (rc == LM_OK)
		rc = journal_begin(s->root_fd, n, verdict.attempt + 1, err);
	if (rc)
		return lm_wrap(err, "deploy generation %u again", n);
	set_open(s, n, verdict.attempt + 1);
	return LM_OK;
}

static lm_rc has_definition(
	struct store *s, unsigned n, struct lm_str definition, bool *ret, struct lm_err *err)
{
	lm_auto_close int fd = -1;
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_GROUP_FILE);
	lm_rc rc = generation_folder_open(s->generations_fd, n, &fd, err);

	if (rc == LM_OK)
		rc = generation_file_read(fd, GENERATION_DEFINITION, &text, err);
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
		lm_rc rc = has_definition(s, n, definition, &same, err);
		if (rc != LM_OK && rc != LM_E_NOT_FOUND)
			return rc;
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
	const struct lifecycle_target target = {WANTED_UP, n}, none = {0};

	if (s->state.wanted.state == WANTED_UP && s->state.wanted.generation == n)
		return LM_OK;
	return store_want(s, target, before.generation == n ? none : before, touched, err);
}

/// Journal and target come before the number: a generation with a number and without an outcome is
/// in the journal, and a target for a number that does not exist is ignored.
static lm_rc make_generation(struct store *s, unsigned n, struct lm_str definition,
	struct lifecycle_target before, bool touched, struct lm_err *err)
{
	char temporary[GENERATION_NAME_SIZE], name[GENERATION_NAME_SIZE];

	(void)snprintf(temporary, sizeof(temporary), ".new-%u", n);
	(void)snprintf(name, sizeof(name), "%u", n);
	lm_rc rc = generation_folder_make(s->generations_fd, temporary, definition, err);
	if (rc == LM_OK)
		rc = wanted_write(
			s->root_fd, &(struct wanted){{WANTED_UP, n}, before, touched}, err);
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
	(void)!store_want(s, s->state.wanted, s->state.before, s->state.touched, &ignored);
	(void)lm_tree_remove(s->generations_fd, temporary, &ignored);
	return lm_wrap(err, "store the definition as generation %u", n);
}

lm_rc store_begin(struct store *s, struct lm_str definition, bool reuse,
	struct lifecycle_target before, bool touched, unsigned *ret_n, struct lm_err *err)
{
	lm_auto_free unsigned *numbers = NULL;
	size_t count = 0;
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
		rc = generation_folder_list(s->generations_fd, &numbers, &count, err);
	if (rc)
		return rc;
	n = count > 0 ? numbers[count - 1] + 1 : 1;
	rc = make_generation(s, n, definition, before, touched, err);
	if (rc)
		return rc;
	set_open(s, n, 1);
	s->state.newest = n;
	s->state.wanted = (struct lifecycle_target){WANTED_UP, n};
	s->state.before = before;
	s->state.touched = touched;
	*ret_n = n;
	return LM_OK;
}

static lm_rc open_under_way(struct store *s, unsigned n, int *ret_fd, struct lm_err *err)
{
	lm_rc rc = check_under_way(s, n, err);

	return rc ? rc : generation_folder_open(s->generations_fd, n, ret_fd, err);
}

/// Copies the kept compose file into `to`, and goes back to its beginning.
static lm_rc copy_kept(int dir, int to, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_COMPOSE_FILE);
	lm_rc rc = generation_file_read(dir, GENERATION_COMPOSE, &text, err);

	if (rc == LM_OK)
		rc = lm_fd_write_all(to, GENERATION_COMPOSE_NEW, lm_buf_str(&text), err);
	if (rc == LM_OK && lseek(to, 0, SEEK_SET) < 0)
		rc = lm_fail(err, LM_E_SYS, errno, "read '%s' again: %m", GENERATION_COMPOSE_NEW);
	return rc;
}

lm_rc store_compose_open(
	struct store *s, unsigned n, bool from_kept, int *ret_fd, struct lm_err *err)
{
	lm_auto_close int dir = -1, fd = -1;
	lm_rc rc = open_under_way(s, n, &dir, err);

	if (rc)
		return rc;
	if (unlinkat(dir, GENERATION_COMPOSE_NEW, 0) < 0 && errno != ENOENT)
		return lm_fail(
			err, LM_E_SYS, errno, "remove an old '%s': %m", GENERATION_COMPOSE_NEW);
	fd = openat(dir, GENERATION_COMPOSE_NEW, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		0600);
	if (fd < 0)
		return lm_fail(
			err, LM_E_SYS, errno, "create the compose file of generation %u: %m", n);
	rc = from_kept ? copy_kept(dir, fd, err) : LM_OK;
	if (rc)
		return lm_wrap(err, "copy the compose file of generation %u", n);
	*ret_fd = lm_take_fd(fd);
	return LM_OK;
}

lm_rc store_compose_keep(struct store *s, unsigned n, struct lm_err *err)
{
	lm_auto_close int dir = -1, fd = -1;
	struct stat st;
	lm_rc rc = open_under_way(s, n, &dir, err);

	if (rc == LM_OK)
		rc = generation_file_open(dir, GENERATION_COMPOSE_NEW, &fd, err);
	if (rc)
		return rc;
	if (fstat(fd, &st) < 0 || fsync(fd) < 0)
		return lm_fail(err, LM_E_SYS, errno, "sync '%s': %m", GENERATION_COMPOSE_NEW);
	if (st.st_size > LIMIT_COMPOSE_FILE)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the compose file is over %d bytes, the most that is stored",
			LIMIT_COMPOSE_FILE);
	if (renameat(dir, GENERATION_COMPOSE_NEW, dir, GENERATION_COMPOSE_KEPT) < 0)
		return lm_fail(err, LM_E_SYS, errno, "rename '%s': %m", GENERATION_COMPOSE_NEW);
	// The new name lasts when store_finish syncs the folder; before that it counts for nothing.
	return LM_OK;
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

lm_rc store_image(
	struct store *s, unsigned n, struct lm_str ref, struct lm_str digest, struct lm_err *err)
{
	enum { TEXT_MAX = 512 }; // a reference: 255 + 1 + 128; a digest: 71

	lm_rc rc = check_under_way(s, n, err);

	if (rc)
		return rc;
	if (ref.n == 0 || ref.n > TEXT_MAX || digest.n > TEXT_MAX)
		return lm_fail(err, LM_E_INVALID, 0, "this is not an image and its digest");
	if (!s->images)
		s->images = json_object();
	if (json_object_size(s->images) >= LIMIT_SERVICES)
		return lm_fail(err, LM_E_TOO_LARGE, 0, "more than %d images", LIMIT_SERVICES);
	lm_auto_free char *key = lm_xmemdup0(ref.p, ref.n);
	if (json_object_set_new(s->images, key, json_stringn(digest.p, digest.n)) < 0)
		return lm_fail(err, LM_E_INVALID, 0, "this is not an image and its digest");
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
	rc = generation_file_read(fd, name, &text, err);
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
	rc = generation_file_open(fd, GENERATION_COMPOSE, ret_fd, err);
	return rc ? lm_wrap(err, "generation %u", n) : LM_OK;
}

static bool is_message_of(const struct store_message *messages, size_t count, unsigned n)
{
	for (size_t i = 0; i < count; i++)
		if (messages[i].generation == n)
			return true;
	return false;
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
			!is_message_of(messages, unreported, n))
			rc = generation_folder_discard(s->generations_fd, n, err);
	}
	return rc ? lm_wrap(err, "remove old generations") : LM_OK;
}
