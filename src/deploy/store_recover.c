// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "deploy/journal.h"
#include "deploy/store_priv.h"
#include "deploy/wanted.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/// Keeps the first oddity; takes the text over.
static void note(struct store *s, char *text)
{
	if (s->note)
		free(text);
	else
		s->note = text;
}

/// Removes ".new-<n>" (never got its number) and ".old-<n>" (lost it).
static lm_rc remove_half_made(struct store *s, struct lm_err *err)
{
	lm_auto_close int fd = openat(s->generations_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lm_auto_closedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir)
		return lm_fail(err, LM_E_SYS, errno, "read the folder of generations: %m");
	(void)lm_take_fd(fd);
	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		struct lm_str name = lm_str(e->d_name);

		if (!lm_str_starts(name, LM_STR(".new-")) && !lm_str_starts(name, LM_STR(".old-")))
			continue;
		lm_rc rc = lm_tree_remove(s->generations_fd, e->d_name, err);
		if (rc)
			return rc;
	}
	return LM_OK;
}

static lm_rc is_complete(const struct store *s, unsigned n, bool *ret, struct lm_err *err)
{
	lm_auto_close int fd = -1, file = -1;
	lm_rc rc = store_open_generation(s, n, &fd, err);

	if (rc == LM_OK)
		rc = store_file_open(fd, STORE_DEFINITION, &file, err);
	// What cannot be read now may be read later: only what is not there is not complete.
	*ret = rc == LM_OK || rc == LM_E_SYS;
	return rc == LM_E_NOT_FOUND || rc == LM_E_INVALID || rc == LM_E_SYS ? LM_OK : rc;
}

/// A folder without a definition comes from a removal that failed half-way.
static lm_rc remove_incomplete(struct store *s, struct lm_err *err)
{
	lm_auto_free unsigned *numbers = NULL;
	size_t count = 0;
	lm_rc rc = store_numbers(s, &numbers, &count, err);

	for (size_t i = 0; i < count && rc == LM_OK; i++) {
		bool complete = false;

		rc = is_complete(s, numbers[i], &complete, err);
		if (rc == LM_OK && complete) {
			s->state.newest = numbers[i];
		} else if (rc == LM_OK) {
			note(s, lm_xasprintf("generation %u has no definition and was removed",
					numbers[i]));
			rc = store_discard(s, numbers[i], err);
		}
	}
	return rc;
}

static lm_rc read_link(struct store *s, const char *name, unsigned *ret, struct lm_err *err)
{
	static const struct lm_str folder = {"generations/", sizeof("generations/") - 1};
	char text[2 * STORE_NAME_SIZE];
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
		n = store_parse_number((struct lm_str){target.p + folder.n, target.n - folder.n});
	lm_rc rc = n == 0 ? LM_OK : is_complete(s, n, &complete, err);
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
	struct store_verdict verdict;
	lm_rc rc = journal_read(s->root_fd, &journal, err);

	if (rc == LM_E_TOO_LARGE) {
		note(s, lm_xstrdup("the journal was damaged and has been restarted"));
		return journal_clear(s->root_fd, err);
	}
	if (rc != LM_OK || journal.generation == 0)
		return rc;
	rc = store_open_generation(s, journal.generation, &fd, err);
	if (rc == LM_E_NOT_FOUND) // killed before it had its number: it never began
		return journal_clear(s->root_fd, err);
	if (rc)
		return rc;
	if (store_verdict_read(fd, &verdict, err) != LM_OK)
		verdict = (struct store_verdict){0}; // as if it had not ended
	if (verdict.attempt >= journal.attempt)
		return store_commit(s, journal.generation, err);
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
	state->wanted = (struct lifecycle_wish){WANTED_UP, n};
	if (state->current && state->current != n)
		state->before = (struct lifecycle_wish){WANTED_UP, state->current};
	if (fstatat(s->root_fd, STORE_STOPPED, &st, AT_SYMLINK_NOFOLLOW) == 0)
		state->wanted.state = WANTED_DOWN;
	else if (errno != ENOENT)
		return lm_fail(err, LM_E_SYS, errno, "look for '%s': %m", STORE_STOPPED);
	return LM_OK;
}

/// A wish for a generation that does not exist (any more) is none.
static lm_rc check_wish(struct store *s, struct lifecycle_wish *wish, struct lm_err *err)
{
	bool complete = false;
	lm_rc rc = wish->generation ? is_complete(s, wish->generation, &complete, err) : LM_OK;

	if (rc == LM_OK && !complete)
		*wish = (struct lifecycle_wish){0};
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
	rc = check_wish(s, &state->wanted, err);
	if (rc == LM_OK)
		rc = check_wish(s, &state->before, err);
	if (rc)
		return rc;
	if (state->wanted.state == WANTED_NOTHING) { // its deployment did not begin
		state->wanted = state->before;
		state->before = (struct lifecycle_wish){0};
		read.touched = false;
	}
	state->touched = read.touched || s->open_acted;
	if (state->wanted.state == WANTED_NOTHING)
		return guess_wanted(s, err);
	return lm_tree_remove(s->root_fd, STORE_STOPPED, err); // of an earlier release
}

lm_rc store_recover(struct store *s, struct lm_err *err)
{
	lm_rc rc = remove_half_made(s, err);

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
