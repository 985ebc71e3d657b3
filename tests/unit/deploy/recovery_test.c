// SPDX-License-Identifier: Apache-2.0
//
// A store in which one thing is damaged is opened: nothing is fatal, the best that is left is gone
// on with, and a note says what it means.
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include "base/buf.h"
#include "base/file.h"
#include "base/memory.h"
#include "deploy/journal.h"
#include "deploy/store.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[64], dir[128];
static struct store *s;
static struct lm_err err;

static void open_store(void)
{
	if (store_open(dir, &s, &err) != LM_OK)
		fail_msg("%s", err.msg);
}

static void open_again(void)
{
	store_close(lm_take(s));
	open_store();
}

static int tear_down(void **state)
{
	(void)state;
	store_close(lm_take(s));
	return lm_tree_remove(AT_FDCWD, root, &err) == LM_OK ? 0 : -1;
}

static unsigned begin(const char *definition)
{
	unsigned n = 0;

	if (store_begin(s, lm_str(definition), false, store_state(s)->wanted, false, &n, &err) !=
		LM_OK)
		fail_msg("%s", err.msg);
	return n;
}

static void want(enum lifecycle_wanted state)
{
	assert_int_equal(store_want(s, &(struct store_want){.wanted = {state, 2}}, &err), LM_OK);
}

static void fetch(unsigned n)
{
	lm_auto_close int fd = -1;
	lm_auto_free char *text = lm_xasprintf("compose %u\n", n);

	assert_int_equal(store_compose_open(s, n, false, &fd, &err), LM_OK);
	assert_int_equal(lm_fd_write_all(fd, "compose", lm_str(text), &err), LM_OK);
	assert_int_equal(store_compose_keep(s, n, &err), LM_OK);
	assert_int_equal(
		store_image(s, n, LM_STR("web"), LM_STR("sha256:d"), LM_STR("sha256:i"), &err),
		LM_OK);
	assert_int_equal(store_note_copy(s, n, "aa", "1", &err), LM_OK);
}

static void finish(unsigned n, bool success)
{
	const struct store_outcome outcome = {.success = success,
		.stage = success ? NULL : "up",
		.error = success ? NULL : "InternalError",
		.message = success ? NULL : "no",
		.compose_version = "v",
		.started_ms = 1,
		.ended_ms = 2,
		.status = LM_STR("{}")};

	if (store_finish(s, n, &outcome, &err) != LM_OK)
		fail_msg("%s", err.msg);
}

static unsigned deploy(const char *definition, bool success)
{
	unsigned n = begin(definition);

	fetch(n);
	finish(n, success);
	assert_int_equal(store_reported(s, n, &err), LM_OK);
	return n;
}

/// Generations 1 and 2 succeeded, 3 failed, is in quarantine and was not reported; 2 is wanted.
static int set_up(void **state)
{
	(void)state;
	(void)snprintf(root, sizeof(root), "/tmp/recovery_test.XXXXXX");
	if (!mkdtemp(root))
		return -1;
	(void)snprintf(dir, sizeof(dir), "%s/application", root);
	open_store();
	(void)deploy("def 1", true);
	(void)deploy("def 2", true);
	unsigned n = begin("def 3");
	fetch(n);
	finish(n, false);
	assert_int_equal(store_quarantine(s, n, "crashed", &err), LM_OK);
	want(WANTED_UP);
	open_again();
	return 0;
}

static void path_of(const char *name, char out[512])
{
	(void)snprintf(out, 512, "%s/%s", dir, name);
}

static bool exists(const char *name)
{
	char path[512];
	struct stat st;

	path_of(name, path);
	return lstat(path, &st) == 0;
}

// Ways in which a file may be damaged -----------------------------------------------------------

static void cut(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, st.st_size / 2), 0);
}

static void empty(const char *path)
{
	assert_int_equal(truncate(path, 0), 0);
}

static void zero(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(truncate(path, st.st_size), 0);
}

static void flip(const char *path)
{
	struct stat st;
	char byte = 0;
	lm_auto_close int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pread(fd, &byte, 1, st.st_size - 2), 1);
	byte ^= 4;
	assert_int_equal(pwrite(fd, &byte, 1, st.st_size - 2), 1);
}

static void grow(const char *path)
{
	assert_int_equal(truncate(path, (off_t)1 << 32), 0);
}

static void make_directory(const char *path)
{
	lm_auto_free char *inside = lm_xasprintf("%s/inside", path);

	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(mkdir(inside, 0700), 0);
}

static void make_fifo(const char *path)
{
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
}

static void make_link(const char *path)
{
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
}

static void make_loop(const char *path)
{
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(path, path), 0);
}

static const struct {
	const char *name;
	void (*damage)(const char *path);
} WAYS[] = {
	{"cut", cut},
	{"empty", empty},
	{"zero", zero},
	{"flip", flip},
	{"grow", grow},
	{"directory", make_directory},
	{"fifo", make_fifo},
	{"link", make_link},
	{"loop", make_loop},
};

// What holds whatever is damaged ----------------------------------------------------------------

static bool has_note(const char *part)
{
	size_t n = 0;
	const char *const *notes = store_notes(s, &n);

	for (size_t i = 0; i < n; i++) {
		if (strstr(notes[i], part))
			return true;
	}
	return false;
}

static void assert_note(const char *part)
{
	size_t n = 0;
	const char *const *notes = store_notes(s, &n);

	if (!has_note(part))
		fail_msg("no note on '%s', but: %s", part, n > 0 ? notes[0] : "none");
}

static void assert_no_notes(void)
{
	size_t n = 0;
	const char *const *notes = store_notes(s, &n);

	if (n > 0)
		fail_msg("%s", notes[0]);
}

/// What is current can be deployed again, and the next deployment succeeds; after that nothing is
/// the matter any more.
static void assert_goes_on(void)
{
	const struct store_state *st = store_state(s);
	lm_auto_free char *text = NULL, *again = NULL;

	if (st->open)
		finish(st->open, false);
	assert_int_equal(store_read_definition(s, st->current, &text, &err), LM_OK);
	assert_int_equal(store_read_definition(s, st->last_good, &again, &err), LM_OK);
	lm_auto_free struct store_message *messages = NULL;
	size_t count = 0;
	assert_int_equal(store_unreported(s, &messages, &count, &err), LM_OK);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(store_reported(s, messages[i].generation, &err), LM_OK);
	assert_int_equal(store_rerun(s, st->current, &err), LM_OK);
	fetch(st->current);
	finish(st->current, true);
	assert_int_equal(store_reported(s, st->current, &err), LM_OK);
	unsigned n = deploy("def new", true);
	open_again();
	assert_no_notes();
	assert_int_equal(store_state(s)->current, n);
	assert_int_equal(store_state(s)->last_good, n);
	assert_int_equal(store_state(s)->wanted.generation, n);
	assert_int_equal(store_state(s)->open, 0);
}

static void damage_file(const char *name, size_t way)
{
	char path[512];

	path_of(name, path);
	WAYS[way].damage(path);
	open_again();
}

/// Damages the file in each way; `check` looks at the store that is opened then.
static void in_every_way(void **state, const char *name, void (*check)(const char *name))
{
	for (size_t way = 0; way < LM_ARRAY_SIZE(WAYS); way++) {
		char aside[256];

		(void)snprintf(aside, sizeof(aside), "%s.damaged", name);
		print_message("%s: %s\n", name, WAYS[way].name);
		damage_file(name, way);
		assert_true(exists(aside));
		check(name);
		assert_goes_on();
		(void)tear_down(state);
		(void)set_up(state);
	}
}

static void assert_current(unsigned current, unsigned last_good)
{
	assert_int_equal(store_state(s)->current, current);
	assert_int_equal(store_state(s)->last_good, last_good);
}

static void check_current_definition(const char *name)
{
	(void)name;
	assert_note("generation 2: 'definition.json' is");
	assert_note("it cannot be deployed any more; deploy its group file again");
	assert_note("generation 1 stands in for it");
	assert_note(
		"generation 2 is wanted and cannot be deployed: generation 1 is started instead");
	assert_current(1, 1);
	assert_int_equal(store_state(s)->wanted.state, WANTED_UP);
	assert_int_equal(store_state(s)->wanted.generation, 1);
	assert_true(store_state(s)->touched);
	assert_int_equal(store_state(s)->newest, 3);
	open_again(); // and stays so
	assert_current(1, 1);
	assert_int_equal(store_state(s)->wanted.generation, 1);
}

static void a_damaged_definition_gives_way_to_the_last_good_one(void **state)
{
	in_every_way(state, "generations/2/definition.json", check_current_definition);
}

static void check_other_definition(const char *name)
{
	(void)name;
	assert_note("generation 1: 'definition.json' is");
	assert_current(2, 2);
	assert_int_equal(store_state(s)->wanted.generation, 2);
}

static void a_damaged_definition_of_an_old_generation_changes_nothing(void **state)
{
	in_every_way(state, "generations/1/definition.json", check_other_definition);
}

static void a_stopped_application_stays_stopped_whatever_is_damaged(void **state)
{
	(void)state;
	want(WANTED_DOWN);
	damage_file("generations/2/definition.json", 3);
	for (int i = 0; i < 2; i++, open_again()) {
		assert_int_equal(store_state(s)->wanted.state, WANTED_DOWN);
		assert_int_equal(store_state(s)->wanted.generation, 1);
	}
}

static void where_none_is_left_a_damaged_definition_stays_what_is_wanted(void **state)
{
	(void)state;
	lm_auto_free char *text = NULL;

	for (unsigned n = 1; n < 4; n++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "generations/%u/definition.json", n);
		damage_file(name, 3);
	}
	for (int i = 0; i < 2; i++, open_again()) {
		assert_current(2, 2);
		assert_int_equal(store_state(s)->wanted.generation, 2);
	}
	assert_int_equal(store_read_definition(s, 2, &text, &err), LM_E_NOT_FOUND);
	// Somebody mends it.
	char damaged[512], mended[512];
	path_of("generations/2/definition.json.damaged", damaged);
	path_of("generations/2/definition.json", mended);
	flip(damaged);
	assert_int_equal(rename(damaged, mended), 0);
	assert_int_equal(store_read_definition(s, 2, &text, &err), LM_OK);
	assert_string_equal(text, "def 2");
}

static void assert_good(unsigned n)
{
	lm_auto_free char *text = NULL;

	assert_int_equal(store_read_outcome(s, n, &text, &err), LM_OK);
	assert_non_null(strstr(text, "\"good\": true"));
	assert_non_null(strstr(text, "\"attempt\": 1"));
}

static void check_current_outcome(const char *name)
{
	(void)name;
	assert_note("generation 2: 'outcome.json' is");
	assert_note("how its last attempt ended is not known");
	assert_current(2, 2);
	// The links say that it was good, so that it starts without a network.
	assert_good(2);
	lm_auto_close int fd = -1;
	assert_int_equal(store_read_compose(s, 2, &fd, &err), LM_OK);
	lm_auto_free struct store_message *messages = NULL;
	size_t count = 0;
	assert_int_equal(store_unreported(s, &messages, &count, &err), LM_OK);
	assert_int_equal(count, 1);
	assert_int_equal(messages[0].generation, 3);
}

static void a_damaged_outcome_is_rebuilt_from_what_the_links_say(void **state)
{
	in_every_way(state, "generations/2/outcome.json", check_current_outcome);
}

static void check_failed_outcome(const char *name)
{
	(void)name;
	assert_note("generation 3: 'outcome.json' is");
	assert_note("how generation 3 ended is not known: it is taken as one that was interrupted");
	assert_current(2, 2);
	assert_int_equal(store_state(s)->open, 3);
	assert_true(store_state(s)->touched);
	open_again();
	assert_int_equal(store_state(s)->open, 3);
}

static void a_damaged_outcome_of_the_newest_is_as_none_if_nothing_says_that_it_ended(void **state)
{
	in_every_way(state, "generations/3/outcome.json", check_failed_outcome);
}

static void no_two_attempts_have_the_same_number(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(store_rerun(s, 2, &err), LM_OK);
		finish(2, true);
		assert_int_equal(store_reported(s, 2, &err), LM_OK);
	}
	damage_file("generations/2/outcome.json", 1);
	assert_int_equal(store_rerun(s, 2, &err), LM_OK);
	assert_int_equal(store_state(s)->open_attempt, 4);
}

static void check_reported(const char *name)
{
	lm_auto_free struct store_message *messages = NULL;
	size_t count = 0;

	(void)name;
	assert_note("its last status message is sent again");
	assert_int_equal(store_unreported(s, &messages, &count, &err), LM_OK);
	assert_int_equal(count, 2);
	assert_int_equal(messages[0].generation, 2);
}

static void a_damaged_report_means_that_the_message_is_sent_again(void **state)
{
	in_every_way(state, "generations/2/reported", check_reported);
}

static void check_images(const char *name)
{
	lm_auto_json json_t *images = NULL;

	(void)name;
	assert_note("which images it ran with is not known");
	assert_int_equal(store_read_images(s, 2, &images, &err), LM_OK);
	assert_int_equal(json_object_size(images), 0);
	assert_current(2, 2);
}

static void damaged_images_are_none(void **state)
{
	in_every_way(state, "generations/2/images.json", check_images);
}

static void check_copies(const char *name)
{
	lm_auto_json json_t *copies = NULL;

	(void)name;
	assert_note("in offline mode the local copy is not known to be of it");
	assert_int_equal(store_read_copies(s, 2, &copies, &err), LM_OK);
	assert_int_equal(json_array_size(copies), 0);
}

static void damaged_copies_are_none(void **state)
{
	in_every_way(state, "generations/2/copies.json", check_copies);
}

static void check_compose(const char *name)
{
	lm_auto_close int fd = -1;

	(void)name;
	assert_note("generation 2: 'compose.yml' is");
	assert_note("its next start fetches it again");
	assert_int_equal(store_read_compose(s, 2, &fd, &err), LM_E_NOT_FOUND);
	assert_current(2, 2);
}

static void a_damaged_compose_file_is_none(void **state)
{
	in_every_way(state, "generations/2/compose.yml", check_compose);
}

static void check_quarantine(const char *name)
{
	lm_auto_free char *reason = NULL;
	int64_t at_ms;

	(void)name;
	assert_note("it stays in quarantine");
	for (int i = 0; i < 2; i++, open_again(), free(lm_take(reason))) {
		assert_int_equal(store_read_quarantine(s, 3, &reason, &at_ms, &err), LM_OK);
		assert_string_equal(reason, "the record of the reason was damaged");
	}
	assert_int_equal(store_lift(s, 3, &err), LM_OK);
}

static void what_is_damaged_of_a_quarantine_is_one(void **state)
{
	// A link is what a full disk takes.
	for (size_t way = 0; way < LM_ARRAY_SIZE(WAYS); way++) {
		if (WAYS[way].damage == make_link || WAYS[way].damage == make_loop)
			continue;
		damage_file("generations/3/quarantine.json", way);
		check_quarantine(NULL);
		assert_goes_on();
		(void)tear_down(state);
		(void)set_up(state);
	}
}

static void a_quarantine_on_a_full_disk_is_a_link(void **state)
{
	(void)state;
	lm_auto_free char *reason = NULL;
	int64_t at_ms;

	damage_file("generations/3/quarantine.json", LM_ARRAY_SIZE(WAYS) - 2);
	assert_no_notes();
	assert_int_equal(store_read_quarantine(s, 3, &reason, &at_ms, &err), LM_OK);
	assert_string_equal(reason, "the disk had no space for the reason");
	assert_int_equal(store_quarantine(s, 3, "again", &err), LM_OK);
	free(lm_take(reason));
	assert_int_equal(store_read_quarantine(s, 3, &reason, &at_ms, &err), LM_OK);
	assert_string_equal(reason, "again");
}

static void check_journal(const char *name)
{
	(void)name;
	assert_note("the journal was damaged");
	assert_int_equal(store_state(s)->open, 0);
	assert_true(store_state(s)->touched); // nobody knows
	assert_current(2, 2);
}

static void a_damaged_journal_means_that_what_runs_is_not_known(void **state)
{
	for (size_t way = 0; way < LM_ARRAY_SIZE(WAYS); way++) {
		if (WAYS[way].damage == empty) // nothing is under way
			continue;
		print_message("journal: %s\n", WAYS[way].name);
		assert_int_equal(store_rerun(s, 2, &err), LM_OK);
		damage_file("journal", way);
		check_journal("journal");
		open_again();
		assert_true(store_state(s)->touched);
		assert_goes_on();
		(void)tear_down(state);
		(void)set_up(state);
	}
}

static void a_damaged_line_may_have_been_of_a_stage_that_acts(void **state)
{
	(void)state;
	assert_int_equal(store_rerun(s, 2, &err), LM_OK);
	assert_int_equal(store_journal(s, 2, "fetch", &err), LM_OK);
	open_again();
	assert_int_equal(store_state(s)->open, 2);
	assert_false(store_state(s)->touched);
	damage_file("journal", 3);
	assert_int_equal(store_state(s)->open, 2);
	assert_int_equal(store_state(s)->open_attempt, 2);
	assert_true(store_state(s)->touched);
	assert_goes_on();
}

static void a_first_attempt_is_found_without_the_journal(void **state)
{
	(void)state;
	unsigned n = begin("def 4");

	fetch(n);
	damage_file("journal", 2);
	for (int i = 0; i < 2; i++, open_again()) {
		assert_int_equal(store_state(s)->open, n);
		assert_int_equal(store_state(s)->open_attempt, 1);
		assert_true(store_state(s)->touched);
		assert_current(2, 2);
	}
	assert_int_equal(store_rerun(s, n, &err), LM_OK);
	fetch(n);
	finish(n, true);
	assert_goes_on();
}

static void an_outcome_is_carried_through_with_something_in_the_way(void **state)
{
	static const char *const names[] = {"generations/4/compose.yml.kept",
		"generations/4/images.json.new", "generations/4/compose.yml.new"};

	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++) {
		for (size_t way = 5; way < LM_ARRAY_SIZE(WAYS); way++) {
			char path[512];
			unsigned n = begin("def 4");

			fetch(n);
			path_of(names[i], path);
			lm_auto_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
			assert_true(fd >= 0);
			damage_file(names[i], way);
			assert_int_equal(store_state(s)->open, n);
			assert_int_equal(store_rerun(s, n, &err), LM_OK);
			fetch(n);
			finish(n, true);
			assert_goes_on();
			(void)tear_down(state);
			(void)set_up(state);
		}
	}
}

static void set_link(const char *name, const char *target)
{
	char path[512];

	path_of(name, path);
	assert_int_equal(lm_link_replace(AT_FDCWD, path, target, &err), LM_OK);
}

static void links_that_lead_nowhere_have_stand_ins(void **state)
{
	static const struct {
		const char *current, *last_good;
		unsigned expected_current, expected_last_good;
	} table[] = {
		{"generations/9", "generations/1", 1, 1},
		{"generations/1", "generations/9", 1, 1},
		{"generations/9", "generations/9", 2, 2},
		{"x", "", 2, 2},
		{"generations/3", "generations/9", 3, 3},
	};
	(void)state;

	for (size_t i = 0; i < LM_ARRAY_SIZE(table); i++) {
		set_link("current", table[i].current);
		if (*table[i].last_good) {
			set_link("last-good", table[i].last_good);
		} else {
			char path[512];

			path_of("last-good", path);
			assert_int_equal(unlink(path), 0);
		}
		open_again();
		assert_current(table[i].expected_current, table[i].expected_last_good);
		assert_note("stands in for it");
	}
}

static void a_quarantined_generation_stands_in_for_none(void **state)
{
	(void)state;
	assert_int_equal(store_quarantine(s, 2, "crashed", &err), LM_OK);
	set_link("current", "generations/9");
	set_link("last-good", "generations/9");
	open_again();
	assert_current(1, 1);
}

static void what_is_on_probation_is_never_its_own_stand_in(void **state)
{
	(void)state;
	const struct store_outcome outcome = {.success = true, .probation = true};
	unsigned n = begin("def 4");

	fetch(n);
	assert_int_equal(store_finish(s, n, &outcome, &err), LM_OK);
	set_link("last-good", "generations/9");
	open_again();
	assert_current(4, 2);
}

static void make_in_the_way(const char *name)
{
	char path[512];

	path_of(name, path);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void what_is_no_link_is_set_aside(void **state)
{
	static const char *const names[] = {"current", "last-good", "wanted"};

	// What is in the way of a temporary file is, too.
	make_in_the_way(".current.tmp");
	make_in_the_way(".wanted.tmp");
	make_in_the_way(".journal.tmp");
	make_in_the_way("generations/2/.outcome.json.tmp");
	open_again();
	assert_note("'.current.tmp' is not a file; it was set aside as '.current.tmp.damaged'");
	assert_note("'.outcome.json.tmp' is not a regular file");
	assert_goes_on();
	(void)tear_down(state);
	(void)set_up(state);
	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++) {
		char path[512], aside[256];

		for (int directory = 0; directory < 2; directory++) {
			path_of(names[i], path);
			(void)snprintf(aside, sizeof(aside), "%s.damaged", names[i]);
			assert_int_equal(unlink(path), 0);
			if (directory)
				assert_int_equal(mkdir(path, 0700), 0);
			else
				assert_int_equal(mknod(path, S_IFREG | 0600, 0), 0);
			open_again();
			assert_note("is not a link");
			assert_true(exists(aside));
			assert_current(2, 2);
			assert_int_equal(store_state(s)->wanted.generation, 2);
			assert_goes_on();
			(void)tear_down(state);
			(void)set_up(state);
		}
	}
}

static void a_generation_that_is_no_folder_is_set_aside_and_its_number_stays_taken(void **state)
{
	(void)state;
	char path[512];

	store_close(lm_take(s));
	path_of("generations/3", path);
	assert_int_equal(lm_tree_remove(AT_FDCWD, path, &err), LM_OK);
	assert_int_equal(mkfifo(path, 0600), 0);
	open_store();
	assert_note("it was set aside as 'generations/3.damaged'");
	assert_true(exists("generations/3.damaged"));
	assert_current(2, 2);
	assert_int_equal(begin("def 4"), 4);
}

static void few_of_what_was_set_aside_are_kept(void **state)
{
	(void)state;
	for (unsigned n = 4; n < 10; n++) {
		char name[64], path[512];

		(void)snprintf(name, sizeof(name), "generations/%u", n);
		path_of(name, path);
		assert_int_equal(mkfifo(path, 0600), 0);
	}
	open_again();
	assert_false(exists("generations/6.damaged"));
	assert_true(exists("generations/7.damaged"));
	assert_true(exists("generations/9.damaged"));
	// And of a file, one.
	for (int i = 0; i < 3; i++) {
		damage_file("generations/2/copies.json", 6 - (size_t)i);
		assert_int_equal(store_rerun(s, 2, &err), LM_OK);
		fetch(2);
		finish(2, true);
		assert_int_equal(store_reported(s, 2, &err), LM_OK);
	}
	assert_true(exists("generations/2/copies.json.damaged"));
	assert_current(2, 2);
}

static void the_folder_of_all_generations_is_made_again(void **state)
{
	(void)state;
	char path[512];

	store_close(lm_take(s));
	path_of("generations", path);
	assert_int_equal(lm_tree_remove(AT_FDCWD, path, &err), LM_OK);
	assert_int_equal(symlink("/tmp", path), 0);
	open_store();
	assert_note("no deployment is known any more: deploy the group file again");
	assert_true(exists("generations.damaged"));
	assert_current(0, 0);
	unsigned n = deploy("def new", true);
	open_again();
	assert_no_notes();
	assert_current(n, n);
}

static void a_half_removed_generation_is_removed(void **state)
{
	(void)state;
	char path[512];

	path_of("generations/4", path);
	assert_int_equal(mkdir(path, 0700), 0);
	open_again();
	assert_note("generation 4 has no definition and was removed");
	assert_false(exists("generations/4"));
	assert_goes_on();
}

static void a_message_outlives_the_definition(void **state)
{
	(void)state;
	lm_auto_free char *status = NULL;

	damage_file("generations/3/definition.json", 5);
	assert_int_equal(store_read_status(s, 3, &status, &err), LM_OK);
	assert_string_equal(status, "{}");
	assert_int_equal(store_prune(s, 1, &err), LM_OK);
	open_again();
	free(lm_take(status));
	assert_int_equal(store_read_status(s, 3, &status, &err), LM_OK);
}

static void another_owner_is_none_of_our_business(void **state)
{
	(void)state;
	static const char *const names[] = {"generations/2/definition.json",
		"generations/2/outcome.json", "generations/2/compose.yml", "journal"};

	if (geteuid() != 0)
		skip();
	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++) {
		char path[512];

		path_of(names[i], path);
		assert_int_equal(chown(path, 12345, 12345), 0);
		assert_int_equal(chmod(path, 0), 0);
	}
	open_again();
	assert_no_notes();
	assert_current(2, 2);
	assert_goes_on();
}

/// Of the text of '<name>.link': a checkout may lose links.
static void link_as_told(const char *name)
{
	lm_auto_buf struct lm_buf target = {.max = 256};
	char source[256], path[512];

	(void)snprintf(source, sizeof(source), "%s.link", name);
	path_of(source, path);
	assert_int_equal(lm_file_read(path, &target, &err), LM_OK);
	assert_int_equal(unlink(path), 0);
	path_of(name, path);
	assert_int_equal(symlink(lm_buf_cstr(&target), path), 0);
}

static void copy_fixture(void)
{
	char cp[] = "cp", a[] = "-a", from[] = FIXTURE;
	char *words[] = {cp, a, from, dir, NULL};
	int status = -1;
	pid_t pid = -1;

	assert_int_equal(lm_tree_remove(AT_FDCWD, dir, &err), LM_OK);
	assert_int_equal(posix_spawn(&pid, "/bin/cp", NULL, NULL, words, NULL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	link_as_told("current");
	link_as_told("last-good");
	link_as_told("wanted");
}

/// One that the release before left in a real run: 1 is good, 2 failed and is not reported, 3 was
/// interrupted.
static void the_store_of_the_release_before_is_read_and_goes_on_in_the_new_form(void **state)
{
	(void)state;
	lm_auto_free struct store_message *messages = NULL;
	lm_auto_free char *status = NULL;
	lm_auto_json json_t *images = NULL, *copies = NULL;
	lm_auto_close int compose = -1;
	size_t count = 0;

	store_close(lm_take(s));
	copy_fixture();
	for (int i = 0; i < 2; i++, open_again()) {
		if (!s)
			open_store();
		assert_no_notes();
		assert_current(1, 1);
		assert_int_equal(store_state(s)->open, 3);
		assert_int_equal(store_state(s)->open_attempt, 1);
		assert_string_equal(store_state(s)->open_stage, "up");
		assert_true(store_state(s)->touched);
		assert_int_equal(store_state(s)->wanted.generation, 3);
		assert_int_equal(store_state(s)->before.generation, 1);
	}
	assert_int_equal(store_unreported(s, &messages, &count, &err), LM_OK);
	assert_int_equal(count, 1);
	assert_int_equal(messages[0].generation, 2);
	assert_int_equal(store_read_status(s, 2, &status, &err), LM_OK);
	assert_non_null(strstr(status, "missing.yml"));
	assert_int_equal(store_read_compose(s, 1, &compose, &err), LM_OK);
	assert_int_equal(store_read_images(s, 1, &images, &err), LM_OK);
	assert_int_equal(store_read_copies(s, 1, &copies, &err), LM_OK);
	assert_int_equal(json_array_size(copies), 1);

	// What is written from now on has a checksum.
	assert_int_equal(store_rerun(s, 3, &err), LM_OK);
	fetch(3);
	finish(3, true);
	assert_int_equal(store_rerun(s, 1, &err), LM_OK);
	finish(1, true);
	damage_file("generations/1/outcome.json", 3);
	assert_note("generation 1: 'outcome.json' is damaged: it does not match its checksum");
	damage_file("generations/1/compose.yml", 3);
	assert_goes_on();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_damaged_definition_gives_way_to_the_last_good_one),
		TEST(a_damaged_definition_of_an_old_generation_changes_nothing),
		TEST(a_stopped_application_stays_stopped_whatever_is_damaged),
		TEST(where_none_is_left_a_damaged_definition_stays_what_is_wanted),
		TEST(a_damaged_outcome_is_rebuilt_from_what_the_links_say),
		TEST(a_damaged_outcome_of_the_newest_is_as_none_if_nothing_says_that_it_ended),
		TEST(no_two_attempts_have_the_same_number),
		TEST(a_damaged_report_means_that_the_message_is_sent_again),
		TEST(damaged_images_are_none),
		TEST(damaged_copies_are_none),
		TEST(a_damaged_compose_file_is_none),
		TEST(what_is_damaged_of_a_quarantine_is_one),
		TEST(a_quarantine_on_a_full_disk_is_a_link),
		TEST(a_damaged_journal_means_that_what_runs_is_not_known),
		TEST(a_damaged_line_may_have_been_of_a_stage_that_acts),
		TEST(a_first_attempt_is_found_without_the_journal),
		TEST(an_outcome_is_carried_through_with_something_in_the_way),
		TEST(links_that_lead_nowhere_have_stand_ins),
		TEST(a_quarantined_generation_stands_in_for_none),
		TEST(what_is_on_probation_is_never_its_own_stand_in),
		TEST(what_is_no_link_is_set_aside),
		TEST(a_generation_that_is_no_folder_is_set_aside_and_its_number_stays_taken),
		TEST(few_of_what_was_set_aside_are_kept),
		TEST(the_folder_of_all_generations_is_made_again),
		TEST(a_half_removed_generation_is_removed),
		TEST(a_message_outlives_the_definition),
		TEST(another_owner_is_none_of_our_business),
		TEST(the_store_of_the_release_before_is_read_and_goes_on_in_the_new_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
