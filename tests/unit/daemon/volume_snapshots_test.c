// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "daemon/volume_snapshots.h"
#include "deploy/launch.h"
#include "deploy/snapshots.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000 };

/// What lightermand is around them; the worker is a script.
static struct fixture {
	char folder[64];
	struct host_settings host;
	struct loop *loop;
	struct loop_timer *limit;
	struct snapshots snapshots;
	struct volume_snapshots *volumes;
	struct store_state state;
	bool is_done;
	struct lm_err why;
	char lacking[64];
	uint64_t bytes;
} f;

lm_rc __wrap_launch_find_worker(char **ret, struct lm_err *err);
const struct store_state *__wrap_store_state(const struct store *s);

lm_rc __wrap_launch_find_worker(char **ret, struct lm_err *err)
{
	(void)err;
	*ret = lm_path_join(f.folder, "worker");
	return LM_OK;
}

const struct store_state *__wrap_store_state(const struct store *s)
{
	(void)s;
	return &f.state;
}

static void too_long(void *ctx)
{
	(void)ctx;
	fail_msg("the worker does not end");
}

static int setup(void **state)
{
	lm_auto_json json_t *empty = json_object();
	struct lm_err err = {LM_OK};

	f = (struct fixture){.folder = "/tmp/volume_snapshots_test.XXXXXX",
		.snapshots.fd = -1,
		.state = {.current = 3, .last_good = 3}};
	assert_non_null(mkdtemp(f.folder));
	assert_int_equal(host_from_json(empty, &f.host, &err), LM_OK);
	free(f.host.state_directory);
	f.host.state_directory = lm_xstrdup(f.folder);
	assert_int_equal(loop_create(&f.loop, NULL), LM_OK);
	f.limit = loop_timer_create(f.loop, too_long, NULL);
	loop_timer_start(f.limit, PATIENCE_MS, 0);
	f.volumes = volume_snapshots_create(f.loop, &f.host, NULL);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	volume_snapshots_destroy(f.volumes);
	loop_timer_destroy(f.limit);
	loop_destroy(f.loop);
	host_finish(&f.host);
	snapshots_finish(&f.snapshots);
	return lm_tree_remove(AT_FDCWD, f.folder, NULL) == LM_OK ? 0 : -1;
}

/// A worker that notes its task, and ends with that line.
static void write_worker(const char *result)
{
	lm_auto_free char *path = lm_path_join(f.folder, "worker");
	lm_auto_fclose FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fprintf(file,
			    "#!/bin/sh\necho '{\"hardened\":true}'; read -r take; read -r job\n"
			    "echo \"$job\" > %s/task\ntrap 'echo "
			    "\"{\\\"result\\\":\\\"cancelled\\\"}\"; exit 3' TERM\n"
			    "%s\n",
			    f.folder, result) > 0);
	assert_int_equal(fchmod(fileno(file), 0700), 0);
}

#define SUCCESS "echo '{\"result\":\"success\"}'"

static const char *task(const char *key)
{
	static char text[64];
	lm_auto_free char *path = lm_path_join(f.folder, "task");
	lm_auto_json json_t *document = NULL;
	struct lm_err err = {LM_OK};

	if (json_read_file(path, 1 << 20, &document, &err))
		fail_msg("%s", err.msg);
	const json_t *value = json_object_get(document, key);
	if (json_is_integer(value))
		(void)snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(value));
	else
		(void)snprintf(text, sizeof(text), "%s", json_string_value(value));
	return text;
}

static void on_done(void *ctx, const struct volume_result *result)
{
	assert_ptr_equal(ctx, &f);
	assert_false(f.is_done);
	f.is_done = true;
	f.why = result->why ? *result->why : (struct lm_err){LM_OK};
	f.bytes = result->bytes;
	(void)snprintf(f.lacking, sizeof(f.lacking), "%s",
		result->space_directory ? result->space_directory : "");
	loop_stop(f.loop);
}

/// Runs until `on_done`.
static void run(void)
{
	f.is_done = false;
	loop_run(f.loop);
	assert_true(f.is_done);
}

static void make_snapshot(unsigned n)
{
	char name[SNAPSHOT_NAME_SIZE];

	if (!f.snapshots.path)
		assert_int_equal(snapshots_open(f.folder, true, &f.snapshots, NULL), LM_OK);
	assert_int_equal(mkdirat(f.snapshots.fd, snapshot_new_name(n, name), 0700), 0);
	assert_int_equal(snapshots_adopt(&f.snapshots, n, NULL), LM_OK);
}

static bool has(unsigned n)
{
	bool found;

	assert_int_equal(snapshots_have(&f.snapshots, n, &found, NULL), LM_OK);
	return found;
}

static void note_restore(unsigned n, bool is_done, bool is_dropped)
{
	lm_auto_json json_t *record =
		json_pack("{s:i, s:s, s:[], s:[], s:b, s:b}", "generation", (int)n, "id", "0f",
			"volumes", "absent", "done", (int)is_done, "dropped", (int)is_dropped);

	if (!f.snapshots.path)
		assert_int_equal(snapshots_open(f.folder, true, &f.snapshots, NULL), LM_OK);
	assert_int_equal(snapshots_note_restore(&f.snapshots, record, NULL), LM_OK);
}

static struct volume_plan plan(bool snapshot_volumes, unsigned n, unsigned back)
{
	const struct group group = {.connector.policy.snapshot_volumes = snapshot_volumes};
	const struct volume_policy policy = volume_policy_of(&group);
	struct volume_plan found;
	struct lm_err err = {LM_OK};

	if (volume_snapshots_plan(f.volumes, &policy, n, back, &found, &err) || err.rc)
		fail_msg("%s", err.msg);
	return found;
}

static void what_ran_is_saved_once_and_only_if_the_policy_asks_for_it(void **state)
{
	(void)state;
	assert_int_equal(plan(false, 4, 3).subject, 0);
	assert_int_equal(plan(true, 4, 3).subject, 3);
	assert_int_equal(plan(true, 0, 3).subject, 3); // a plan
	assert_int_equal(plan(true, 3, 3).subject, 0); // a start
	assert_int_equal(plan(true, 4, 0).subject, 0); // there is nothing to go back to
	assert_false(plan(true, 4, 3).restores);
	make_snapshot(3);
	assert_int_equal(plan(true, 4, 3).subject, 0); // another has started since
	assert_false(plan(true, 4, 3).restores);
	assert_true(plan(false, 3, 3).restores);
}

static void a_start_without_snapshots_does_nothing(void **state)
{
	struct stat st;
	lm_auto_free char *path = lm_path_join(f.folder, "volumes");

	(void)state;
	assert_false(volume_snapshots_start(f.volumes, 3, on_done, &f));
	assert_int_equal(stat(path, &st), -1);
}

static void a_snapshot_is_put_back_by_the_start_of_its_generation_only(void **state)
{
	(void)state;
	make_snapshot(3);
	assert_false(volume_snapshots_start(f.volumes, 4, on_done, &f));
	write_worker(SUCCESS);
	assert_true(volume_snapshots_start(f.volumes, 3, on_done, &f));
	run();
	assert_int_equal(f.why.rc, LM_OK);
	assert_string_equal(task("job"), "volumes");
	assert_string_equal(task("action"), "start");
	assert_string_equal(task("generation"), "3");
	assert_string_equal(task("subject"), "0");
}

static void what_was_copied_counts_if_its_own_deployment_starts(void **state)
{
	const struct volume_policy policy = {true, 7, 9};

	(void)state;
	write_worker(SUCCESS);
	volume_snapshots_copy(f.volumes, 3, &policy, on_done, &f);
	run();
	assert_true(volume_snapshots_start(f.volumes, 4, on_done, &f));
	run();
	assert_string_equal(task("subject"), "3");
	// Not if it ends before, nor if the copy fails.
	volume_snapshots_copy(f.volumes, 3, &policy, on_done, &f);
	run();
	volume_snapshots_end(f.volumes);
	assert_false(volume_snapshots_start(f.volumes, 4, on_done, &f));
	write_worker("echo '{\"result\":\"fail\",\"class\":\"system\",\"stage\":null,"
		     "\"error\":\"InternalError\",\"message\":\"x\"}'");
	volume_snapshots_copy(f.volumes, 3, &policy, on_done, &f);
	run();
	assert_int_equal(f.why.rc, LM_E_SYS);
	assert_false(volume_snapshots_start(f.volumes, 4, on_done, &f));
}

static void a_restore_that_was_cut_short_is_dealt_with_before_any_start(void **state)
{
	(void)state;
	make_snapshot(3);
	note_restore(3, false, false);
	assert_true(plan(false, 5, 3).restores);
	assert_int_equal(plan(true, 5, 3).subject, 0); // it is undone: the snapshot stays
	write_worker(SUCCESS);
	assert_true(volume_snapshots_start(f.volumes, 5, on_done, &f));
	run();
	assert_string_equal(task("generation"), "5");
	// And until then it is not dropped, whatever is current.
	f.state.current = f.state.last_good = 5;
	volume_snapshots_tidy(f.volumes);
	assert_true(has(3));
}

static void what_a_restore_has_used_up_is_saved_again(void **state)
{
	(void)state;
	make_snapshot(3);
	note_restore(3, true, false);
	assert_int_equal(plan(true, 5, 3).subject, 3);
	assert_false(plan(false, 5, 3).restores);
	// Of what was removed it has the only copy.
	f.state.current = f.state.last_good = 5;
	volume_snapshots_tidy(f.volumes);
	assert_true(has(3));
	note_restore(3, true, true); // there is a newer one
	assert_int_equal(plan(true, 5, 3).subject, 0);
	assert_true(plan(false, 3, 3).restores);
}

static void a_damaged_record_fails_whatever_is_to_start(void **state)
{
	const struct volume_policy none = {0};
	struct volume_plan found;
	struct lm_err err = {LM_OK};

	(void)state;
	make_snapshot(3);
	assert_int_equal(
		lm_file_replace(f.snapshots.fd, "restore.json", LM_STR("{"), 0600, NULL), LM_OK);
	assert_int_equal(
		volume_snapshots_plan(f.volumes, &none, 4, 3, &found, &err), LM_E_CONFLICT);
	assert_true(volume_snapshots_start(f.volumes, 4, on_done, &f));
	run();
	assert_int_equal(f.why.rc, LM_E_CONFLICT);
	f.state.current = f.state.last_good = 5;
	volume_snapshots_tidy(f.volumes);
	assert_true(has(3));
}

static void a_lack_of_space_is_reported_with_its_place(void **state)
{
	const struct volume_policy policy = {true, 7, 9};

	(void)state;
	write_worker("echo '{\"result\":\"fail\",\"class\":\"system\",\"stage\":null,"
		     "\"error\":\"InternalError\",\"message\":\"it does not fit\","
		     "\"space\":{\"directory\":\"/there\",\"bytes\":77}}'");
	volume_snapshots_measure(f.volumes, 3, &policy, on_done, &f);
	run();
	assert_string_equal(f.why.msg, "it does not fit");
	assert_string_equal(f.lacking, "/there");
	assert_int_equal(f.bytes, 77);
	write_worker("echo '{\"volumes\":{\"bytes\":99}}'; " SUCCESS);
	volume_snapshots_measure(f.volumes, 3, &policy, on_done, &f);
	run();
	assert_int_equal(f.why.rc, LM_OK);
	assert_string_equal(f.lacking, "");
	assert_int_equal(f.bytes, 99);
}

static void a_copy_has_the_limits_of_the_policy_and_can_be_cancelled(void **state)
{
	const struct volume_policy policy = {true, 7, 9};

	(void)state;
	write_worker("kill -TERM $$; read -r never");
	volume_snapshots_copy(f.volumes, 3, &policy, on_done, &f);
	volume_snapshots_cancel(f.volumes, &f.loop); // another's
	run();
	assert_int_equal(f.why.rc, LM_E_CANCELLED);
	assert_string_equal(task("action"), "copy");
	assert_string_equal(task("max_mb"), "7");
	assert_string_equal(task("reserve_mb"), "9");
	volume_snapshots_measure(f.volumes, 3, &policy, on_done, &f);
	volume_snapshots_cancel(f.volumes, &f);
	run();
	assert_int_equal(f.why.rc, LM_E_CANCELLED);
}

static void snapshots_of_what_is_neither_current_nor_last_good_are_removed(void **state)
{
	lm_auto_free char *path = lm_path_join(f.folder, "task");

	(void)state;
	make_snapshot(2);
	make_snapshot(3);
	make_snapshot(4);
	f.state.current = 4; // on probation
	write_worker(SUCCESS);
	// What nobody knows may still be needed.
	f.state.last_good = 0;
	volume_snapshots_tidy(f.volumes);
	assert_true(has(2) && has(3) && has(4));
	f.state.last_good = 3;
	volume_snapshots_tidy(f.volumes);
	assert_true(!has(2) && has(3) && has(4));
	// The content goes in a worker, before whatever is asked next.
	volume_snapshots_measure(f.volumes, 4, &(struct volume_policy){0}, on_done, &f);
	run();
	assert_int_equal(access(path, F_OK), 0);
}

static unsigned first_logged, second_logged;

static void on_log(void *ctx, enum lm_level level, struct lm_str line)
{
	(void)level;
	first_logged += memmem(line.p, line.n, "<first>", 7) != NULL;
	second_logged += memmem(line.p, line.n, "<second>", 8) != NULL;
	if (second_logged)
		loop_stop(ctx);
}

static void tidy_again(void *ctx)
{
	volume_snapshots_tidy(ctx);
}

static void what_cannot_be_removed_is_tried_again_and_logged_once(void **state)
{
	lm_auto_free char *script = lm_xasprintf(
		"echo >> %s/runs; what=first; [ \"$(wc -l < %s/runs)\" -lt 4 ] || what=second\n"
		"echo '{\"result\":\"fail\",\"class\":\"system\",\"stage\":null,"
		"\"error\":\"InternalError\",\"message\":\"remove <'$what'>\"}'",
		f.folder, f.folder);
	struct loop_timer *again = loop_timer_create(f.loop, tidy_again, f.volumes);

	(void)state;
	make_snapshot(2);
	assert_int_equal(snapshots_drop(&f.snapshots, 2, NULL), LM_OK);
	write_worker(script);
	lm_log_set_sink(on_log, f.loop);
	loop_timer_start(again, 1, 1);
	loop_run(f.loop);
	lm_log_set_sink(NULL, NULL);
	loop_timer_destroy(again);
	assert_int_equal(first_logged, 1);
	assert_int_equal(second_logged, 1);
	assert_false(has(2));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_ran_is_saved_once_and_only_if_the_policy_asks_for_it),
		TEST(a_start_without_snapshots_does_nothing),
		TEST(a_snapshot_is_put_back_by_the_start_of_its_generation_only),
		TEST(what_was_copied_counts_if_its_own_deployment_starts),
		TEST(a_restore_that_was_cut_short_is_dealt_with_before_any_start),
		TEST(what_a_restore_has_used_up_is_saved_again),
		TEST(a_damaged_record_fails_whatever_is_to_start),
		TEST(a_lack_of_space_is_reported_with_its_place),
		TEST(a_copy_has_the_limits_of_the_policy_and_can_be_cancelled),
		TEST(snapshots_of_what_is_neither_current_nor_last_good_are_removed),
		TEST(what_cannot_be_removed_is_tried_again_and_logged_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
