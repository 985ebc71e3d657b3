// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "deploy/journal.h"
#include "deploy/store.h"
#include "sys/record.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char root[64], dir[128];
static struct store *s;
static struct lm_err err;

static void open_store(void)
{
	if (store_open(dir, &s, &err) != LM_OK)
		fail_msg("%s", err.msg);
}

/// What a kill and the next start come to.
static void open_again(void)
{
	store_close(lm_take(s));
	open_store();
}

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(root, sizeof(root), "/tmp/store_test.XXXXXX");
	if (!mkdtemp(root))
		return -1;
	(void)snprintf(dir, sizeof(dir), "%s/lib/application", root);
	return store_open(dir, &s, &err) == LM_OK ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	store_close(lm_take(s));
	return lm_tree_remove(AT_FDCWD, root, &err) == LM_OK ? 0 : -1;
}

/// A file of the store as text, without the header of a record; "-" if it is not there.
static char *content(const char *name)
{
	lm_auto_free char *path = lm_xasprintf("%s/%s", dir, name);
	lm_auto_buf struct lm_buf text = LM_BUF(1 << 20);
	struct lm_str document;

	if (lm_file_read(path, &text, &err) != LM_OK)
		return lm_xstrdup("-");
	document = lm_buf_str(&text);
	if (lm_str_starts(document, LM_STR("{\"lighterman\":")))
		assert_int_equal(record_parse(name, document, &document, &err), LM_OK);
	return lm_xmemdup0(document.p, document.n);
}

static void assert_content(const char *name, const char *expected)
{
	lm_auto_free char *text = content(name);

	assert_string_equal(text, expected);
}

static void put(const char *name, const char *text)
{
	lm_auto_free char *path = lm_xasprintf("%s/%s", dir, name);

	assert_int_equal(lm_file_replace(AT_FDCWD, path, lm_str(text), 0600, &err), LM_OK);
}

/// Of "def A".
#define DEF_A_SHA256 "e8ddcbef7dc8554a49842bb93e6b22d6ddf88fb009a29b0b6fdf8bd5979002f0"

static const struct lifecycle_target NOTHING = {0};

static lm_rc want(struct store *store, struct lifecycle_target wanted,
	struct lifecycle_target before, bool touched, struct lm_err *error)
{
	const struct store_want to = {.wanted = wanted, .before = before, .touched = touched};

	return store_want(store, &to, error);
}

static unsigned begin(const char *definition, bool reuse)
{
	unsigned n = 0;

	if (store_begin(s, lm_str(definition), reuse, NOTHING, false, &n, &err) != LM_OK)
		fail_msg("%s", err.msg);
	return n;
}

static void write_compose(unsigned n, const char *text)
{
	lm_auto_close int fd = -1;

	assert_int_equal(store_compose_open(s, n, false, &fd, &err), LM_OK);
	assert_int_equal(lm_fd_write_all(fd, "compose", lm_str(text), &err), LM_OK);
	assert_int_equal(store_compose_keep(s, n, &err), LM_OK);
}

static void finish(unsigned n, bool success, const char *status)
{
	struct store_outcome outcome = {.success = success,
		.stage = success ? NULL : "pull",
		.error = success ? NULL : "InternalError",
		.message = success ? NULL : "no such image",
		.compose_version = "123",
		.started_ms = 1000,
		.ended_ms = 2000,
		.status = lm_str(status)};

	if (store_finish(s, n, &outcome, &err) != LM_OK)
		fail_msg("%s", err.msg);
}

static void finish_on_probation(unsigned n)
{
	const struct store_outcome outcome = {.success = true, .probation = true};

	assert_int_equal(store_finish(s, n, &outcome, &err), LM_OK);
}

static void assert_images(unsigned n, const char *expected)
{
	lm_auto_json json_t *images = NULL;
	lm_auto_buf struct lm_buf text = LM_BUF(1 << 16);

	assert_int_equal(store_read_images(s, n, &images, &err), LM_OK);
	assert_true(json_write(images, &text));
	assert_string_equal(lm_buf_cstr(&text), expected);
}

static unsigned deploy(const char *definition, bool success)
{
	unsigned n = begin(definition, false);

	write_compose(n, definition);
	assert_int_equal(
		store_image(s, n, LM_STR("web:1"), lm_str(definition), LM_STR("id"), &err), LM_OK);
	finish(n, success, "{}");
	assert_int_equal(store_reported(s, n, &err), LM_OK);
	return n;
}

static void assert_state(unsigned current, unsigned last_good, unsigned newest, unsigned open)
{
	const struct store_state *st = store_state(s);

	assert_int_equal(st->current, current);
	assert_int_equal(st->last_good, last_good);
	assert_int_equal(st->newest, newest);
	assert_int_equal(st->open, open);
}

/// NULL: there are none. Else the first has that in it.
static void assert_notes(const char *part)
{
	size_t n = 0;
	const char *const *notes = store_notes(s, &n);

	if (!part && n > 0)
		fail_msg("%s", notes[0]);
	if (part && (n == 0 || !strstr(notes[0], part)))
		fail_msg("%s", n > 0 ? notes[0] : "there is no note");
}

static void assert_target(struct lifecycle_target target, struct lifecycle_target expected)
{
	assert_int_equal(target.state, expected.state);
	assert_int_equal(target.generation, expected.generation);
}

static void assert_wanted(struct lifecycle_target wanted, struct lifecycle_target before)
{
	assert_target(store_state(s)->wanted, wanted);
	assert_target(store_state(s)->before, before);
}

static void a_new_store_is_empty_and_private(void **state)
{
	(void)state;
	struct stat st;

	assert_state(0, 0, 0, 0);
	assert_wanted(NOTHING, NOTHING);
	assert_notes(NULL);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(chmod(dir, 0755), 0);
	open_again();
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void keeps_all_of_a_deployment(void **state)
{
	(void)state;
	unsigned n = deploy("def A", true);
	char link[64] = "";

	assert_int_equal(n, 1);
	for (int opened = 0; opened < 2; opened++) {
		assert_state(1, 1, 1, 0);
		assert_content("generations/1/definition.json", "def A");
		assert_content("generations/1/compose.yml", "def A");
		assert_images(1, "{\"web:1\":{\"digest\":\"def A\",\"id\":\"id\"}}");
		assert_content("journal", "");
		lm_auto_free char *outcome = NULL;
		assert_int_equal(store_read_outcome(s, 1, &outcome, &err), LM_OK);
		assert_string_equal(outcome,
			"{\n \"generation\": 1,\n \"attempt\": 1,\n \"success\": true,\n "
			"\"probation\": false,\n \"good\": "
			"true,\n \"stage\": null,\n \"error\": null,\n \"message\": null,\n "
			"\"compose_version\": \"123\",\n \"good_compose_version\": "
			"\"123\",\n \"compose_sha256\": \"" DEF_A_SHA256
			"\",\n \"started_ms\": 1000,\n \"ended_ms\": "
			"2000,\n \"status\": \"{}\"\n}");
		open_again();
	}
	lm_auto_free char *path = lm_xasprintf("%s/current", dir);
	assert_int_equal(readlink(path, link, sizeof(link)), strlen("generations/1"));
	assert_string_equal(link, "generations/1");
}

static void a_failure_leaves_current_and_last_good(void **state)
{
	(void)state;
	(void)deploy("def A", true);
	unsigned n = deploy("def B", false);

	open_again();
	assert_int_equal(n, 2);
	assert_state(1, 1, 2, 0);
	// For whoever looks into it.
	assert_content("generations/2/compose.yml", "def B");
}

static void names_an_interrupted_attempt_and_its_stage(void **state)
{
	(void)state;
	(void)deploy("def A", true);
	unsigned n = begin("def B", false);

	assert_int_equal(store_journal(s, n, "fetch", &err), LM_OK);
	assert_int_equal(store_journal(s, n, "down", &err), LM_OK);
	open_again();
	assert_state(1, 1, 2, 2);
	assert_int_equal(store_state(s)->open_attempt, 1);
	assert_string_equal(store_state(s)->open_stage, "down");

	// Nothing else begins before it was run again or ended.
	assert_int_equal(
		store_begin(s, LM_STR("def C"), true, NOTHING, false, &n, &err), LM_E_CONFLICT);
	assert_int_equal(store_rerun(s, 1, &err), LM_E_CONFLICT);
	assert_int_equal(store_rerun(s, 2, &err), LM_OK);
	finish(2, true, "{}");
	assert_state(2, 2, 2, 0);
}

static void an_interrupted_attempt_may_be_given_up_without_a_message(void **state)
{
	(void)state;
	struct store_message *messages = NULL;
	size_t count = 9;
	unsigned n = begin("def A", false);

	open_again();
	finish(n, false, "");
	assert_int_equal(store_unreported(s, &messages, &count, &err), LM_OK);
	assert_int_equal(count, 0);
	assert_int_equal(begin("def B", false), 2);
}

static void the_same_definition_is_the_same_generation_if_asked(void **state)
{
	(void)state;
	(void)deploy("def A", true);
	assert_int_equal(begin("def A", true), 1);
	assert_int_equal(store_state(s)->open_attempt, 2);
	open_again();
	assert_int_equal(store_state(s)->open_attempt, 2);
	assert_int_equal(begin("def A", true), 1); // the interrupted one
	assert_int_equal(store_state(s)->open_attempt, 2);
	finish(1, true, "{}");
	assert_int_equal(store_reported(s, 1, &err), LM_OK);
	assert_int_equal(begin("def A", false), 2);
	finish(2, false, "{}");
	// Its message was not sent: another attempt must not take its place.
	assert_int_equal(begin("def B", true), 3);
}

static void a_failed_attempt_does_not_replace_what_was_good(void **state)
{
	(void)state;
	(void)deploy("def A", true);
	assert_int_equal(begin("def A", true), 1);
	write_compose(1, "worse");
	assert_int_equal(
		store_image(s, 1, LM_STR("web:1"), LM_STR("worse"), LM_STR(""), &err), LM_OK);
	finish(1, false, "{}");
	assert_state(1, 1, 1, 0);
	assert_content("generations/1/compose.yml", "def A");
	assert_images(1, "{\"web:1\":{\"digest\":\"def A\",\"id\":\"id\"}}");
	assert_content("generations/1/compose.yml.kept", "-");

	assert_int_equal(store_reported(s, 1, &err), LM_OK);
	assert_int_equal(begin("def A", true), 1);
	write_compose(1, "better");
	finish(1, true, "{}");
	assert_content("generations/1/compose.yml", "better");
	assert_images(1, "{}");
}

static void a_compose_file_that_was_not_kept_does_not_count(void **state)
{
	(void)state;
	unsigned n = begin("def A", false);
	lm_auto_close int fd = -1;

	assert_int_equal(store_compose_keep(s, n, &err), LM_E_NOT_FOUND);
	assert_int_equal(store_compose_open(s, n, false, &fd, &err), LM_OK);
	assert_int_equal(write(fd, "half", 4), 4);
	finish(n, true, "{}");
	assert_content("generations/1/compose.yml", "-");
	assert_content("generations/1/compose.yml.new", "-");
}

static void a_message_is_listed_until_it_was_reported(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		unsigned n = begin("def A", false);
		finish(n, i == 1, i == 0 ? "{\"status\":\"fail\"}" : "{\"status\":\"success\"}");
	}
	open_again();
	lm_auto_free struct store_message *messages = NULL;
	lm_auto_free char *text = NULL;
	size_t count = 0;

	assert_int_equal(store_unreported(s, &messages, &count, &err), LM_OK);
	assert_int_equal(count, 2);
	assert_int_equal(messages[0].generation, 1);
	assert_int_equal(messages[1].generation, 2);
	assert_int_equal(store_read_status(s, 1, &text, &err), LM_OK);
	assert_string_equal(text, "{\"status\":\"fail\"}");
	assert_int_equal(store_rerun(s, 1, &err), LM_E_CONFLICT);
	assert_int_equal(store_reported(s, 1, &err), LM_OK);

	// Another attempt has another message.
	assert_int_equal(store_rerun(s, 1, &err), LM_OK);
	finish(1, true, "again");
	free(lm_take(messages));
	assert_int_equal(store_unreported(s, &messages, &count, &err), LM_OK);
	assert_int_equal(count, 2);
	assert_int_equal(messages[0].generation, 1);
	assert_int_equal(messages[0].attempt, 2);
}

static void an_outcome_whose_end_was_cut_short_is_carried_through(void **state)
{
	(void)state;
	(void)deploy("def A", true);
	unsigned n = begin("def B", false);

	write_compose(n, "def B");
	// store_finish, killed when the outcome was in place and nothing else was.
	put("generations/2/images.json.new", "{}");
	put("generations/2/outcome.json",
		"{\"generation\":2,\"attempt\":1,\"success\":true,\"good\":true,\"status\":\"x\"}");
	open_again();
	assert_state(2, 2, 2, 0);
	assert_content("generations/2/compose.yml", "def B");
	assert_content("generations/2/images.json", "{}");
	assert_content("journal", "");
}

/// `n`: of the generation; 0: it is in no quarantine.
static void assert_quarantined(const char *definition, unsigned n, const char *expected)
{
	lm_auto_free char *reason = NULL;
	unsigned found = 0;
	lm_rc rc = store_find_quarantined(s, lm_str(definition), &found, &reason, &err);

	assert_int_equal(rc, n ? LM_OK : LM_E_NOT_FOUND);
	if (n == 0)
		return;
	assert_int_equal(found, n);
	assert_string_equal(reason, expected);
}

static void assert_pruned_quarantines(size_t n)
{
	lm_auto_json json_t *list = NULL;

	assert_int_equal(store_list_pruned_quarantines(s, &list, &err), LM_OK);
	assert_int_equal(json_array_size(list), n);
}

static void a_quarantine_outlives_its_generation(void **state)
{
	(void)state;
	unsigned old = deploy("def A", false);
	assert_int_equal(store_quarantine(s, old, "long ago", &err), LM_OK);
	unsigned bad = deploy("def A", false);
	assert_int_equal(store_quarantine(s, bad, "it crashed", &err), LM_OK);
	deploy("def B", true);
	assert_int_equal(store_prune(s, 1, &err), LM_OK);
	assert_quarantined("def A", bad, "it crashed"); // not the older one's
	assert_quarantined("def B", 0, NULL);
	assert_pruned_quarantines(1);
	open_again();
	assert_quarantined("def A", bad, "it crashed");
	// It is deployed again: from now on that counts, also when it is gone.
	deploy("def A", false);
	assert_quarantined("def A", 0, NULL);
	assert_pruned_quarantines(0);
	deploy("def C", true);
	assert_int_equal(store_prune(s, 1, &err), LM_OK);
	assert_quarantined("def A", 0, NULL);
}

static void an_older_generation_of_the_same_definition_lifts_nothing(void **state)
{
	(void)state;
	unsigned good = deploy("def A", true);
	unsigned bad = deploy("def A", false);
	assert_int_equal(store_quarantine(s, bad, "it crashed", &err), LM_OK);
	deploy("def B", false);
	assert_int_equal(store_prune(s, 1, &err), LM_OK);
	assert_int_equal(store_state(s)->current, good);
	assert_quarantined("def A", bad, "it crashed");
	deploy("def C", true);
	assert_int_equal(store_prune(s, 1, &err), LM_OK); // `good`, too
	assert_quarantined("def A", bad, "it crashed");
}

static void prunes_all_but_what_is_needed(void **state)
{
	(void)state;
	(void)deploy("def 1", false);
	(void)deploy("def 2", true);
	finish(begin("def 3", false), false, "not sent");
	(void)deploy("def 4", false);
	(void)deploy("def 5", false);
	unsigned n = begin("def 6", false);
	lm_auto_free unsigned *numbers = NULL;
	size_t count = 0;

	assert_int_equal(n, 6);
	assert_int_equal(store_prune(s, 1, &err), LM_OK);
	assert_int_equal(store_list(s, &numbers, &count, &err), LM_OK);
	assert_int_equal(count, 3);
	assert_int_equal(numbers[0], 6);
	assert_int_equal(numbers[1], 3);
	assert_int_equal(numbers[2], 2);
	open_again();
	assert_state(2, 2, 6, 6);
	assert_notes(NULL);
}

static struct lifecycle_target up(unsigned n)
{
	return (struct lifecycle_target){WANTED_UP, n};
}

static struct lifecycle_target down(unsigned n)
{
	return (struct lifecycle_target){WANTED_DOWN, n};
}

static void begin_after(struct lifecycle_target before, const char *definition)
{
	unsigned n = 0;

	assert_int_equal(store_begin(s, lm_str(definition), false, before, false, &n, &err), LM_OK);
}

static void remembers_what_is_wanted_and_what_was_before(void **state)
{
	(void)state;
	deploy("def A", true);
	open_again();
	assert_wanted(up(1), NOTHING);
	assert_int_equal(want(s, down(1), NOTHING, false, &err), LM_OK);
	open_again();
	assert_wanted(down(1), NOTHING);
	begin_after(down(1), "def B");
	assert_wanted(up(2), down(1));
	open_again();
	assert_wanted(up(2), down(1));
	assert_int_equal(want(s, down(2), down(1), false, &err), LM_OK);
	open_again();
	assert_wanted(down(2), down(1));
}

static void remembers_that_an_attempt_of_what_is_wanted_has_changed_what_runs(void **state)
{
	(void)state;
	deploy("def A", true);
	begin_after(up(1), "def B");
	open_again();
	assert_false(store_state(s)->touched);
	assert_int_equal(store_rerun(s, 2, &err), LM_OK);
	assert_int_equal(store_journal(s, 2, "down", &err), LM_OK);
	assert_int_equal(store_journal(s, 2, "pull", &err), LM_OK); // as version 4 does
	open_again();
	assert_true(store_state(s)->touched);
	finish(2, false, "{}");
	assert_int_equal(want(s, up(2), up(1), true, &err), LM_OK);
	open_again();
	assert_true(store_state(s)->touched);
	assert_wanted(up(2), up(1));
	deploy("def C", true);
	open_again();
	assert_false(store_state(s)->touched);
}

static void remembers_what_a_rollback_leaves_until_another_generation_begins(void **state)
{
	const struct store_want wants[] = {
		{.wanted = up(1), .before = up(2), .touched = true, .leaves = 2},
		{.wanted = up(1), .leaves = 2},
		{.wanted = down(1), .touched = true, .leaves = 2},
	};

	(void)state;
	deploy("def A", true);
	deploy("def B", true);
	for (size_t i = 0; i < LM_ARRAY_SIZE(wants); i++) {
		assert_int_equal(store_want(s, &wants[i], &err), LM_OK);
		open_again();
		assert_wanted(wants[i].wanted, wants[i].before);
		assert_int_equal(store_state(s)->touched, wants[i].touched);
		assert_int_equal(store_state(s)->leaves, wants[i].leaves);
	}
	begin_after(up(1), "def C");
	assert_int_equal(store_state(s)->leaves, 0);
	open_again();
	assert_int_equal(store_state(s)->leaves, 0);
}

static void remembers_what_had_failed_until_another_generation_begins(void **state)
{
	const struct store_want stopped = {.wanted = down(1), .touched = true, .failed = 2};
	const struct store_want lost = {.wanted = down(1), .failed = 9};

	(void)state;
	deploy("def A", true);
	deploy("def B", false);
	assert_int_equal(store_want(s, &lost, &err), LM_OK);
	open_again();
	assert_int_equal(store_state(s)->failed, 0); // there is no such generation
	assert_int_equal(store_want(s, &stopped, &err), LM_OK);
	open_again();
	assert_int_equal(store_state(s)->failed, 2);
	begin_after(down(1), "def C");
	assert_int_equal(store_state(s)->failed, 0);
	open_again();
	assert_int_equal(store_state(s)->failed, 0);
}

static void a_wish_for_a_generation_that_never_began_gives_way_to_the_one_before(void **state)
{
	(void)state;
	lm_auto_free char *path = lm_xasprintf("%s/wanted", dir);

	deploy("def A", true);
	assert_int_equal(lm_link_replace(AT_FDCWD, path, "up 2 else down 1", &err), LM_OK);
	open_again();
	assert_wanted(down(1), NOTHING);
	assert_int_equal(lm_link_replace(AT_FDCWD, path, "up 1 else up 7", &err), LM_OK);
	open_again();
	assert_wanted(up(1), NOTHING);
}

static void a_store_of_an_earlier_release_says_what_is_wanted(void **state)
{
	(void)state;
	lm_auto_free char *path = lm_xasprintf("%s/wanted", dir);
	lm_auto_free char *stopped = lm_xasprintf("%s/stopped", dir);

	deploy("def A", true);
	(void)begin("def B", false);
	assert_int_equal(unlink(path), 0);
	open_again();
	assert_wanted(up(2), up(1));
	put("stopped", "");
	open_again();
	assert_wanted(down(2), up(1));
	assert_int_equal(want(s, up(2), up(1), false, &err), LM_OK);
	open_again();
	assert_wanted(up(2), up(1));
	assert_int_equal(access(stopped, F_OK), -1);
}

static void a_link_that_says_nothing_is_no_wish(void **state)
{
	static const char *const texts[] = {
		"up", "up 0", "up x", "sideways 1", "up 99999999999", "generations/1", " ", "down"};
	(void)state;
	lm_auto_free char *path = lm_xasprintf("%s/wanted", dir);

	deploy("def A", true);
	for (size_t i = 0; i < LM_ARRAY_SIZE(texts); i++) {
		assert_int_equal(lm_link_replace(AT_FDCWD, path, texts[i], &err), LM_OK);
		open_again();
		assert_wanted(up(1), NOTHING);
	}
}

static void goes_on_without_what_is_damaged_and_says_so(void **state)
{
	(void)state;
	(void)deploy("def A", true);
	(void)deploy("def B", true);
	lm_auto_free char *current = lm_xasprintf("%s/current", dir);
	static const char *const targets[] = {"generations/9", "generations/../../x", "/etc",
		"generations/01", "generations/", "2"};

	for (size_t i = 0; i < LM_ARRAY_SIZE(targets); i++) {
		assert_int_equal(lm_link_replace(AT_FDCWD, current, targets[i], &err), LM_OK);
		open_again();
		assert_state(2, 2, 2, 0); // last good stands in
		assert_notes("the link 'current' leads to no generation that can be deployed: "
			     "generation 2 stands in for it");
	}
	assert_int_equal(lm_link_replace(AT_FDCWD, current, "generations/2", &err), LM_OK);
}

static void does_not_follow_links_out_of_its_folder(void **state)
{
	(void)state;
	unsigned n = begin("def A", false);
	lm_auto_free char *outside = lm_xasprintf("%s/outside", root);
	lm_auto_free char *target = lm_xasprintf("%s/generations/1/compose.yml.new", dir);
	lm_auto_free char *definition = lm_xasprintf("%s/generations/1/definition.json", dir);
	lm_auto_free char *text = NULL;
	lm_auto_close int fd = -1;
	struct stat st;

	assert_int_equal(symlink(outside, target), 0);
	assert_int_equal(store_compose_keep(s, n, &err), LM_E_INVALID);
	assert_int_equal(store_compose_open(s, n, false, &fd, &err), LM_OK);
	assert_int_equal(stat(outside, &st), -1);
	assert_int_equal(unlink(definition), 0);
	assert_int_equal(symlink("/etc/passwd", definition), 0);
	assert_int_equal(store_read_definition(s, n, &text, &err), LM_E_INVALID);

	store_close(lm_take(s));
	lm_auto_free char *link = lm_xasprintf("%s/link", root);
	assert_int_equal(symlink(dir, link), 0);
	assert_int_equal(store_open(link, &s, &err), LM_E_INVALID);
}

static void has_one_owner(void **state)
{
	(void)state;
	struct store *other = NULL;

	assert_int_equal(store_open(dir, &other, &err), LM_E_CONFLICT);
	assert_non_null(strstr(err.msg, "another lightermand is using it"));
	assert_null(other);
}

static void refuses_what_is_not_under_way(void **state)
{
	(void)state;
	unsigned n = deploy("def A", true);
	struct store_outcome outcome = {.success = true};
	int fd = -1;

	for (unsigned i = 0; i < 2; i++, n = 0) {
		assert_int_equal(store_journal(s, n, "up", &err), LM_E_INVALID);
		assert_int_equal(store_compose_open(s, n, false, &fd, &err), LM_E_INVALID);
		assert_int_equal(store_compose_keep(s, n, &err), LM_E_INVALID);
		assert_int_equal(store_image(s, n, LM_STR("a"), LM_STR("b"), LM_STR("c"), &err),
			LM_E_INVALID);
		assert_int_equal(store_finish(s, n, &outcome, &err), LM_E_INVALID);
	}
	assert_int_equal(store_rerun(s, 7, &err), LM_E_NOT_FOUND);
	assert_int_equal(store_reported(s, 7, &err), LM_E_NOT_FOUND);
}

static void takes_texts_that_are_not_utf8_but_no_such_document(void **state)
{
	(void)state;
	unsigned n = begin("def A", false);
	struct store_outcome outcome = {
		.stage = "up", .error = "InternalError", .message = "bad \xff byte"};
	lm_auto_free char *text = NULL;

	outcome.status = LM_STR("\xff");
	assert_int_equal(store_finish(s, n, &outcome, &err), LM_E_INVALID);
	outcome.status = LM_STR("{}");
	assert_int_equal(store_finish(s, n, &outcome, &err), LM_OK);
	assert_int_equal(store_read_outcome(s, n, &text, &err), LM_OK);
	assert_non_null(strstr(text, "\"bad ? byte\""));
}

static void every_input_has_a_ceiling(void **state)
{
	(void)state;
	lm_auto_free char *large = lm_xcalloc(1, LIMIT_GROUP_FILE + 1);
	unsigned n = 0;
	lm_rc rc = LM_OK;

	memset(large, ' ', LIMIT_GROUP_FILE + 1);
	assert_int_equal(store_begin(s, (struct lm_str){large, LIMIT_GROUP_FILE + 1}, false,
				 NOTHING, false, &n, &err),
		LM_E_TOO_LARGE);
	assert_state(0, 0, 0, 0);
	n = begin("def A", false);
	for (size_t i = 0; i < 2; i++) {
		const struct lm_str bad = i ? LM_STR("\xff") : (struct lm_str){large, 600};
		const struct lm_str none = LM_STR(""), ref = LM_STR("image:0");

		assert_int_equal(store_image(s, n, bad, none, none, &err), LM_E_INVALID);
		assert_int_equal(store_image(s, n, ref, bad, none, &err), LM_E_INVALID);
		assert_int_equal(store_image(s, n, ref, none, bad, &err), LM_E_INVALID);
	}
	for (unsigned i = 0; i <= LIMIT_SERVICES && rc == LM_OK; i++) {
		char ref[32];

		(void)snprintf(ref, sizeof(ref), "image:%u", i);
		rc = store_image(s, n, lm_str(ref), LM_STR("sha256:1"), LM_STR(""), &err);
	}
	assert_int_equal(rc, LM_E_TOO_LARGE);

	lm_auto_close int fd = -1;
	assert_int_equal(store_compose_open(s, n, false, &fd, &err), LM_OK);
	assert_int_equal(ftruncate(fd, LIMIT_COMPOSE_FILE + 1), 0);
	assert_int_equal(store_compose_keep(s, n, &err), LM_E_TOO_LARGE);
}

static void a_kept_compose_file_is_handed_over_and_its_version_remembered(void **state)
{
	lm_auto_close int fd = -1;
	lm_auto_buf struct lm_buf text = LM_BUF(100);
	lm_auto_free char *outcome = NULL;
	unsigned n = deploy("one", true);

	(void)state;
	assert_int_equal(store_rerun(s, n, &err), LM_OK);
	assert_int_equal(store_compose_open(s, n, true, &fd, &err), LM_OK);
	assert_int_equal(lm_fd_read_all(fd, "compose", &text, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&text), "one");
	// A failed attempt has a version of its own, or none.
	const struct store_outcome failed = {
		.stage = "fetch", .error = "InternalError", .message = "m", .status = LM_STR("{}")};
	assert_int_equal(store_finish(s, n, &failed, &err), LM_OK);
	assert_content("generations/1/compose.yml", "one");
	assert_int_equal(store_read_outcome(s, n, &outcome, &err), LM_OK);
	assert_non_null(strstr(outcome, "\"compose_version\": null"));
	assert_non_null(strstr(outcome, "\"good_compose_version\": \"123\""));
}

static void remembers_the_last_copies_it_put_there(void **state)
{
	enum { PUT = 10, KEPT = 8 };
	lm_auto_json json_t *none = NULL, *copies = NULL, *damaged = NULL;
	unsigned n = begin("one", false);
	char sha256[65];

	(void)state;
	assert_int_equal(store_read_copies(s, n, &none, &err), LM_OK);
	assert_int_equal(json_array_size(none), 0);
	for (int i = 0; i < PUT; i++) {
		(void)snprintf(sha256, sizeof(sha256), "%064d", i);
		assert_int_equal(store_note_copy(s, n, sha256, "", &err), LM_OK);
	}
	assert_int_equal(store_note_copy(s, n, sha256, "v9", &err), LM_OK); // again
	finish(n, false, "{}");
	open_again();
	assert_int_equal(store_read_copies(s, n, &copies, &err), LM_OK);
	assert_int_equal(json_array_size(copies), KEPT);
	assert_string_equal(json_get_text(json_array_get(copies, 0), "sha256"), sha256);
	assert_string_equal(json_get_text(json_array_get(copies, 0), "version"), "v9");
	assert_int_equal(store_note_copy(s, n, sha256, "", &err), LM_E_INVALID);
	put("generations/1/copies.json", "{");
	assert_int_equal(store_read_copies(s, n, &damaged, &err), LM_OK);
	assert_int_equal(json_array_size(damaged), 0);
}

static void the_images_of_an_earlier_release_have_no_ids(void **state)
{
	static const struct {
		const char *file, *expected;
	} table[] = {
		{"{\"web:1\": \"sha256:1\"}", "{\"web:1\":{\"digest\":\"sha256:1\",\"id\":\"\"}}"},
		{"{\"web:1\": {\"id\": \"sha256:2\"}}",
			"{\"web:1\":{\"digest\":\"\",\"id\":\"sha256:2\"}}"},
		{"{\"web:1\": 7}", "{\"web:1\":{\"digest\":\"\",\"id\":\"\"}}"},
		{"[1]", "{}"},
		{"{\"web:1\": ", "{}"},
	};
	unsigned n = deploy("def A", true);
	(void)state;

	for (size_t i = 0; i < LM_ARRAY_SIZE(table); i++) {
		put("generations/1/images.json", table[i].file);
		assert_images(n, table[i].expected);
	}
	assert_images(deploy("def B", false), "{\"web:1\":{\"digest\":\"def B\",\"id\":\"id\"}}");
	(void)begin("def C", false);
	assert_images(3, "{}");
	lm_auto_json json_t *images = NULL;
	assert_int_equal(store_read_images(s, 9, &images, &err), LM_E_NOT_FOUND);
}

static void a_success_on_probation_is_current_but_not_last_good_until_it_is_confirmed(void **state)
{
	(void)state;
	(void)deploy("def A", true);
	unsigned n = begin("def B", false);

	finish_on_probation(n);
	for (int i = 0; i < 2; i++, open_again())
		assert_state(2, 1, 2, 0);
	assert_int_equal(store_confirm(s, 1, &err), LM_E_INVALID);
	assert_int_equal(store_confirm(s, n, &err), LM_OK);
	assert_int_equal(store_confirm(s, n, &err), LM_OK);
	for (int i = 0; i < 2; i++, open_again())
		assert_state(2, 2, 2, 0);
	// Another attempt of what has proved itself has nothing to go back to but itself.
	assert_int_equal(store_rerun(s, n, &err), LM_OK);
	finish_on_probation(n);
	open_again();
	assert_state(2, 2, 2, 0);
}

static void the_first_generation_on_probation_has_none_to_go_back_to(void **state)
{
	(void)state;
	assert_int_equal(store_confirm(s, 0, &err), LM_E_INVALID);
	unsigned n = begin("def A", false);
	finish_on_probation(n);
	for (int i = 0; i < 2; i++, open_again())
		assert_state(1, 0, 1, 0);
	// Nor is it the stand-in for one that is lost.
	lm_auto_free char *current = lm_xasprintf("%s/current", dir);
	assert_int_equal(unlink(current), 0);
	open_again();
	assert_state(1, 0, 1, 0);
	assert_notes("the link 'current' leads to no generation");
	assert_int_equal(lm_link_replace(AT_FDCWD, current, "generations/1", &err), LM_OK);
	// Nor is it proved by an attempt that fails.
	assert_int_equal(store_rerun(s, n, &err), LM_OK);
	finish(n, false, "");
	open_again();
	assert_state(1, 0, 1, 0);
	assert_int_equal(store_confirm(s, n, &err), LM_OK);
	open_again();
	assert_state(1, 1, 1, 0);
}

static void assert_quarantine(unsigned n, const char *expected)
{
	lm_auto_free char *reason = NULL;
	int64_t at_ms = 0;
	lm_rc rc = store_read_quarantine(s, n, &reason, &at_ms, &err);

	assert_int_equal(rc, expected ? LM_OK : LM_E_NOT_FOUND);
	if (!expected)
		return;
	assert_string_equal(reason, expected);
	assert_true(at_ms > 1500000000000);
}

static void a_quarantine_lasts_until_it_is_lifted(void **state)
{
	(void)state;
	unsigned n = deploy("def A", true);

	assert_quarantine(n, NULL);
	assert_int_equal(store_quarantine(s, n, "crashed", &err), LM_OK);
	assert_quarantine(n, "crashed");
	assert_int_equal(store_quarantine(s, n, "no\nmemory \"x\"", &err), LM_OK);
	open_again();
	assert_quarantine(n, "no\nmemory \"x\"");
	// It is only remembered.
	assert_int_equal(store_rerun(s, n, &err), LM_OK);
	finish(n, false, "");
	assert_quarantine(n, "no\nmemory \"x\"");
	assert_int_equal(store_lift(s, n, &err), LM_OK);
	assert_int_equal(store_lift(s, n, &err), LM_OK);
	open_again();
	assert_quarantine(n, NULL);
	assert_int_equal(store_quarantine(s, 9, "x", &err), LM_E_NOT_FOUND);
	assert_int_equal(store_lift(s, 9, &err), LM_E_NOT_FOUND);
	assert_quarantine(9, NULL);
}

static void a_damaged_record_of_a_quarantine_is_one(void **state)
{
	(void)state;
	unsigned n = deploy("def A", true);
	lm_auto_free char *reason = NULL;
	int64_t at_ms = 9;

	put("generations/1/quarantine.json", "{\"reason\":");
	assert_int_equal(store_read_quarantine(s, n, &reason, &at_ms, &err), LM_OK);
	assert_string_equal(reason, "the record of the reason is damaged");
	assert_int_equal(at_ms, 0);
}

static void finds_the_newest_generation_with_a_definition(void **state)
{
	(void)state;
	unsigned n = 9;

	assert_int_equal(store_find_definition(s, LM_STR("def A"), &n, &err), LM_OK);
	assert_int_equal(n, 0);
	(void)deploy("def A", true);
	(void)deploy("def A", false);
	(void)deploy("def B", false);
	assert_int_equal(store_find_definition(s, LM_STR("def A"), &n, &err), LM_OK);
	assert_int_equal(n, 2);
	assert_int_equal(store_find_definition(s, LM_STR("def"), &n, &err), LM_OK);
	assert_int_equal(n, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_new_store_is_empty_and_private),
		TEST(keeps_all_of_a_deployment),
		TEST(a_failure_leaves_current_and_last_good),
		TEST(names_an_interrupted_attempt_and_its_stage),
		TEST(an_interrupted_attempt_may_be_given_up_without_a_message),
		TEST(the_same_definition_is_the_same_generation_if_asked),
		TEST(a_failed_attempt_does_not_replace_what_was_good),
		TEST(a_compose_file_that_was_not_kept_does_not_count),
		TEST(a_message_is_listed_until_it_was_reported),
		TEST(an_outcome_whose_end_was_cut_short_is_carried_through),
		TEST(prunes_all_but_what_is_needed),
		TEST(a_quarantine_outlives_its_generation),
		TEST(an_older_generation_of_the_same_definition_lifts_nothing),
		TEST(remembers_what_is_wanted_and_what_was_before),
		TEST(remembers_that_an_attempt_of_what_is_wanted_has_changed_what_runs),
		TEST(remembers_what_a_rollback_leaves_until_another_generation_begins),
		TEST(remembers_what_had_failed_until_another_generation_begins),
		TEST(a_wish_for_a_generation_that_never_began_gives_way_to_the_one_before),
		TEST(a_store_of_an_earlier_release_says_what_is_wanted),
		TEST(a_link_that_says_nothing_is_no_wish),
		TEST(goes_on_without_what_is_damaged_and_says_so),
		TEST(does_not_follow_links_out_of_its_folder),
		TEST(a_kept_compose_file_is_handed_over_and_its_version_remembered),
		TEST(remembers_the_last_copies_it_put_there),
		TEST(the_images_of_an_earlier_release_have_no_ids),
		TEST(a_success_on_probation_is_current_but_not_last_good_until_it_is_confirmed),
		TEST(the_first_generation_on_probation_has_none_to_go_back_to),
		TEST(a_quarantine_lasts_until_it_is_lifted),
		TEST(a_damaged_record_of_a_quarantine_is_one),
		TEST(finds_the_newest_generation_with_a_definition),
		TEST(has_one_owner),
		TEST(refuses_what_is_not_under_way),
		TEST(takes_texts_that_are_not_utf8_but_no_such_document),
		TEST(every_input_has_a_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
