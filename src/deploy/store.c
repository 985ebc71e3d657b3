// SPDX-License-Identifier: Apache-2.0
#include "deploy/store.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "deploy/journal.h"
#include "deploy/store_priv.h"
#include "deploy/wanted.h"
#include "sys/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

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
		rc = store_recover(s, err);
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
	struct store_verdict verdict;
	bool unreported = false;
	lm_rc rc = check_idle(s, n, err);

	if (rc == LM_OK)
		rc = store_open_generation(s, n, &fd, err);
	if (rc == LM_OK)
		rc = store_verdict_read(fd, &verdict, err);
	if (rc == LM_OK)
		rc = store_is_unreported(fd, &verdict, &unreported, err);
	// Its outcome would be replaced, and the message with it.
	if (rc == LM_OK && unreported)
		rc = lm_fail(err, LM_E_CONFLICT, 0, "its last status message was not sent yet");
	if (rc == LM_OK)
		rc = store_drop_fetched(fd, err);
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
	lm_rc rc = store_open_generation(s, n, &fd, err);

	if (rc == LM_OK)
		rc = store_file_read(fd, STORE_DEFINITION, &text, err);
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
static lm_rc want_reused(
	struct store *s, unsigned n, struct lifecycle_wish before, bool touched, struct lm_err *err)
{
	const struct lifecycle_wish wish = {WANTED_UP, n}, none = {0};

	if (s->state.wanted.state == WANTED_UP && s->state.wanted.generation == n)
		return LM_OK;
	return store_want(s, wish, before.generation == n ? none : before, touched, err);
}

static lm_rc make_folder(
	struct store *s, const char *name, struct lm_str definition, struct lm_err *err)
{
	lm_rc rc = lm_tree_remove(s->generations_fd, name, err);

	if (rc)
		return rc;
	if (mkdirat(s->generations_fd, name, 0700) < 0)
		return lm_fail(err, LM_E_SYS, errno, "create its folder: %m");
	lm_auto_close int fd =
		openat(s->generations_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "open its folder: %m");
	return lm_file_replace(fd, STORE_DEFINITION, definition, 0600, err);
}

/// Journal and wish come before the number: whoever has a number and no outcome is in the journal,
/// and a wish for a number that nobody has counts for nothing.
static lm_rc make_generation(struct store *s, unsigned n, struct lm_str definition,
	struct lifecycle_wish before, bool touched, struct lm_err *err)
{
	char temporary[STORE_NAME_SIZE], name[STORE_NAME_SIZE];

	(void)snprintf(temporary, sizeof(temporary), ".new-%u", n);
	(void)snprintf(name, sizeof(name), "%u", n);
	lm_rc rc = make_folder(s, temporary, definition, err);
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
	(void)store_discard(s, n, &ignored);
	(void)journal_clear(s->root_fd, &ignored);
	(void)!store_want(s, s->state.wanted, s->state.before, s->state.touched, &ignored);
	(void)lm_tree_remove(s->generations_fd, temporary, &ignored);
	return lm_wrap(err, "store the definition as generation %u", n);
}

lm_rc store_begin(struct store *s, struct lm_str definition, bool reuse,
	struct lifecycle_wish before, bool touched, unsigned *ret_n, struct lm_err *err)
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
		rc = store_numbers(s, &numbers, &count, err);
	if (rc)
		return rc;
	n = count > 0 ? numbers[count - 1] + 1 : 1;
	rc = make_generation(s, n, definition, before, touched, err);
	if (rc)
		return rc;
	set_open(s, n, 1);
	s->state.newest = n;
	s->state.wanted = (struct lifecycle_wish){WANTED_UP, n};
	s->state.before = before;
	s->state.touched = touched;
	*ret_n = n;
	return LM_OK;
}

static lm_rc open_under_way(struct store *s, unsigned n, int *ret_fd, struct lm_err *err)
{
	if (n == 0 || n != s->state.open)
		return lm_fail(err, LM_E_INVALID, 0, "generation %u is not under way", n);
	return store_open_generation(s, n, ret_fd, err);
}

/// Copies the kept compose file into `to`, and goes back to its beginning.
static lm_rc copy_kept(int dir, int to, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_COMPOSE_FILE);
	lm_rc rc = store_file_read(dir, STORE_COMPOSE, &text, err);

	if (rc == LM_OK)
		rc = lm_fd_write_all(to, STORE_COMPOSE_NEW, lm_buf_str(&text), err);
	if (rc == LM_OK && lseek(to, 0, SEEK_SET) < 0)
		rc = lm_fail(err, LM_E_SYS, errno, "read '%s' again: %m", STORE_COMPOSE_NEW);
	return rc;
}

lm_rc store_compose_open(
	struct store *s, unsigned n, bool from_kept, int *ret_fd, struct lm_err *err)
{
	lm_auto_close int dir = -1, fd = -1;
	lm_rc rc = open_under_way(s, n, &dir, err);

	if (rc)
		return rc;
	if (unlinkat(dir, STORE_COMPOSE_NEW, 0) < 0 && errno != ENOENT)
		return lm_fail(err, LM_E_SYS, errno, "remove an old '%s': %m", STORE_COMPOSE_NEW);
	fd = openat(
		dir, STORE_COMPOSE_NEW, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
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
		rc = store_file_open(dir, STORE_COMPOSE_NEW, &fd, err);
	if (rc)
		return rc;
	if (fstat(fd, &st) < 0 || fsync(fd) < 0)
		return lm_fail(err, LM_E_SYS, errno, "sync '%s': %m", STORE_COMPOSE_NEW);
	if (st.st_size > LIMIT_COMPOSE_FILE)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the compose file is over %d bytes, the most that is stored",
			LIMIT_COMPOSE_FILE);
	if (renameat(dir, STORE_COMPOSE_NEW, dir, STORE_COMPOSE_KEPT) < 0)
		return lm_fail(err, LM_E_SYS, errno, "rename '%s': %m", STORE_COMPOSE_NEW);
	// The new name lasts when store_finish syncs the folder; before that it counts for nothing.
	return LM_OK;
}

/// An array, whatever there is.
static lm_rc read_copies(int dir, json_t **ret, struct lm_err *err)
{
	json_t *copies = NULL;
	lm_rc rc = store_json_read(dir, STORE_COPIES, &copies, err);

	if (rc == LM_E_SYS)
		return rc;
	if (rc != LM_OK || !json_is_array(copies)) {
		json_decref(copies);
		copies = json_array();
	}
	*ret = copies;
	return LM_OK;
}

lm_rc store_read_copies(struct store *s, unsigned n, json_t **ret, struct lm_err *err)
{
	lm_auto_close int dir = -1;
	lm_rc rc = store_open_generation(s, n, &dir, err);

	return rc ? rc : read_copies(dir, ret, err);
}

static void forget_copy(json_t *copies, const char *sha256)
{
	for (size_t i = json_array_size(copies); i-- > 0;) {
		const char *other = json_get_text(json_array_get(copies, i), "sha256");

		if (!other || strcmp(other, sha256) == 0)
			(void)json_array_remove(copies, i);
	}
}

lm_rc store_note_copy(
	struct store *s, unsigned n, const char *sha256, const char *version, struct lm_err *err)
{
	enum { COPIES_MAX = 8 };
	lm_auto_close int dir = -1;
	lm_auto_json json_t *copies = NULL;
	lm_rc rc = open_under_way(s, n, &dir, err);

	if (rc == LM_OK)
		rc = read_copies(dir, &copies, err);
	if (rc)
		return rc;
	forget_copy(copies, sha256);
	json_array_insert_new(
		copies, 0, json_pack("{s:s, s:s}", "sha256", sha256, "version", version));
	while (json_array_size(copies) > COPIES_MAX)
		(void)json_array_remove(copies, COPIES_MAX);
	return store_json_replace(dir, STORE_COPIES, copies, err);
}

lm_rc store_journal(struct store *s, unsigned n, const char *stage, struct lm_err *err)
{
	if (n == 0 || n != s->state.open)
		return lm_fail(err, LM_E_INVALID, 0, "generation %u is not under way", n);
	lm_rc rc = journal_stage(s->root_fd, stage, err);
	if (rc)
		return rc;
	(void)snprintf(s->state.open_stage, sizeof(s->state.open_stage), "%s", stage);
	return LM_OK;
}

lm_rc store_image(
	struct store *s, unsigned n, struct lm_str ref, struct lm_str digest, struct lm_err *err)
{
	enum { TEXT_MAX = 512 }; // a reference: 255 + 1 + 128; a digest: 71

	if (n == 0 || n != s->state.open)
		return lm_fail(err, LM_E_INVALID, 0, "generation %u is not under way", n);
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

lm_rc store_want(struct store *s, struct lifecycle_wish wanted, struct lifecycle_wish before,
	bool touched, struct lm_err *err)
{
	const struct wanted written = {wanted, before, touched};
	lm_rc rc = wanted.state == WANTED_NOTHING ? lm_tree_remove(s->root_fd, "wanted", err)
						  : wanted_write(s->root_fd, &written, err);

	if (rc)
		return lm_wrap(err, "remember that the application is to be %s",
			wanted.state == WANTED_UP ? "up" : "down");
	s->state.wanted = wanted;
	s->state.before = before;
	s->state.touched = touched;
	return LM_OK;
}
