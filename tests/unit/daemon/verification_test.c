// SPDX-License-Identifier: Apache-2.0
#include "daemon/verification.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "daemon/generation.h"
#include "damaged_file.h"
#include "deploy/launch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_MS = 20000 };

#define GROUP                                                                                      \
	"{\"Connectors\":[{\"Id\":\"c\",\"ConnectorArn\":\"arn:aws:greengrass:eu-west-1::/"        \
	"connectors/DockerApplicationDeployment/versions/7\",\"Parameters\":{"                     \
	"\"DockerComposeFileS3Bucket\":\"bkt\",\"DockerComposeFileS3Key\":\"key\","                \
	"\"DockerComposeFileDestinationPath\":\"/d\"}}]}"

/// What lightermand is around it: a worker that is a script, and a store of two generations.
static struct fixture {
	char folder[64];
	struct host_settings host;
	struct loop *loop;
	struct loop_timer *limit, *look;
	struct verification *v;
	bool (*awaited)(void);
	struct lm_buf lines; ///< "image state;" for each line of the client's.
	json_t *last;
	unsigned finished;
	bool finished_own;
	bool keeps_time;       ///< Timers take their time.
	const char *newer_web; ///< The name of generation 2's.
} f;

lm_rc __wrap_launch_find_worker(char **ret, struct lm_err *err);
lm_rc __wrap_launch_find_user(const struct host_settings *host,
	const struct connector_definition *def, struct process_user *ret, struct lm_err *err);
lm_rc __wrap_generation_read(struct store *s, unsigned n, struct group **ret, struct lm_err *err);
const struct store_state *__wrap_store_state(const struct store *s);
lm_rc __wrap_store_list(struct store *s, unsigned **ret, size_t *ret_count, struct lm_err *err);
lm_rc __wrap_store_read_images(struct store *s, unsigned n, json_t **ret, struct lm_err *err);
void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms);
void __real_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms);

lm_rc __wrap_launch_find_worker(char **ret, struct lm_err *err)
{
	(void)err;
	*ret = lm_path_join(f.folder, "worker");
	return LM_OK;
}

lm_rc __wrap_launch_find_user(const struct host_settings *host,
	const struct connector_definition *def, struct process_user *ret, struct lm_err *err)
{
	(void)host;
	(void)def;
	return process_user_by_uid(geteuid(), ret, err);
}

lm_rc __wrap_generation_read(struct store *s, unsigned n, struct group **ret, struct lm_err *err)
{
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};

	(void)s;
	assert_int_equal(n, 2);
	return definition_parse(lm_str(GROUP), &errors, ret, err);
}

const struct store_state *__wrap_store_state(const struct store *s)
{
	static const struct store_state state = {.current = 2, .newest = 2};

	(void)s;
	return &state;
}

lm_rc __wrap_store_list(struct store *s, unsigned **ret, size_t *ret_count, struct lm_err *err)
{
	(void)s;
	(void)err;
	*ret = lm_xcalloc(2, sizeof(**ret));
	(*ret)[0] = 2;
	(*ret)[1] = 1;
	*ret_count = 2;
	return LM_OK;
}

/// Both have the same database; each has another web.
lm_rc __wrap_store_read_images(struct store *s, unsigned n, json_t **ret, struct lm_err *err)
{
	(void)s;
	(void)err;
	*ret = json_pack("{s:{s:s, s:s}, s:{s:s, s:s}}", "db:1", "digest", "", "id", "sha256:db",
		n == 2 ? f.newer_web : "web:1", "digest", n == 2 ? "" : "sha256:d1", "id",
		n == 2 ? "sha256:w2" : "sha256:w1");
	return LM_OK;
}

void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms)
{
	bool is_ours = t == f.limit || t == f.look || repeat_ms > 0 || f.keeps_time;

	__real_loop_timer_start(t, is_ours || delay_ms < 1 ? delay_ms : 1, repeat_ms);
}

static void too_long(void *ctx)
{
	(void)ctx;
	fail_msg("it does not come to that; the client got: %s", lm_buf_cstr(&f.lines));
}

static void look_again(void *ctx)
{
	(void)ctx;
	if (f.awaited())
		loop_stop(f.loop);
}

static void await(bool (*awaited)(void))
{
	f.awaited = awaited;
	loop_timer_start(f.limit, PATIENCE_MS, 0);
	loop_timer_start(f.look, 1, 5);
	loop_run(f.loop);
	loop_timer_stop(f.look);
	loop_timer_stop(f.limit);
}

static void on_line(void *ctx, json_t *line, bool droppable)
{
	const json_t *verify = json_object_get(line, "verify");

	(void)ctx;
	(void)droppable;
	if (verify)
		(void)lm_buf_printf(&f.lines, "%s %s;", json_get_text(verify, "image"),
			json_get_text(verify, "state"));
	else
		(void)lm_buf_puts(&f.lines, "warning;");
}

static void on_last(void *ctx, json_t *last)
{
	(void)ctx;
	json_decref(f.last);
	f.last = json_incref(last);
}

static void on_finished(void *ctx, bool own)
{
	(void)ctx;
	f.finished++;
	f.finished_own = own;
}

static void write_worker(const char *script)
{
	lm_auto_free char *path = lm_path_join(f.folder, "worker");
	lm_auto_fclose FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fprintf(file,
			    "#!/bin/sh\ncd %s\necho '{\"hardened\":true}'; read -r take || exit\n"
			    "read -r job || exit; echo \"$job\" >> jobs\n"
			    "say() { echo \"{\\\"verify\\\":{\\\"image\\\":\\\"$1\\\",\\\"id\\\":"
			    "\\\"$2\\\",\\\"state\\\":\\\"$3\\\",\\\"layer\\\":null,\\\"layers\\\":"
			    "null,\\\"message\\\":null,\\\"bytes\\\":1,\\\"ms\\\":1}}\"; }\n%s\n",
			    f.folder, script) > 0);
	assert_int_equal(fchmod(fileno(file), 0755), 0);
}

static void open_verification(void)
{
	const struct verification_watcher watcher = {.finished = on_finished};

	f.v = verification_create(f.loop, &f.host, NULL);
	verification_watch(f.v, &watcher);
}

static int setup(void **state)
{
	(void)state;
	f = (struct fixture){.folder = "/tmp/verification_test.XXXXXX",
		.lines = LM_BUF(1 << 16),
		.newer_web = "web:2"};
	assert_non_null(mkdtemp(f.folder));
	f.host.state_directory = lm_xstrdup(f.folder);
	f.host.docker_socket = lm_xstrdup("/nowhere");
	f.host.worker_silence_s = 60;
	assert_int_equal(loop_create(&f.loop, NULL), LM_OK);
	f.limit = loop_timer_create(f.loop, too_long, NULL);
	f.look = loop_timer_create(f.loop, look_again, NULL);
	open_verification();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	verification_destroy(f.v);
	loop_timer_destroy(f.limit);
	loop_timer_destroy(f.look);
	loop_destroy(f.loop);
	host_finish(&f.host);
	lm_buf_finish(&f.lines);
	json_decref(f.last);
	return lm_tree_remove(AT_FDCWD, f.folder, NULL) == LM_OK ? 0 : -1;
}

static void ask(void)
{
	const struct waiter waiter = {.line = on_line, .done = on_last, .ctx = &f};

	verification_ask(f.v, &waiter);
}

static bool is_answered(void)
{
	return f.last != NULL;
}

static bool is_finished(void)
{
	return f.finished > 0;
}

static bool has_read_one(void)
{
	return strstr(lm_buf_cstr(&f.lines), "ok;") != NULL;
}

static json_t *shown(void)
{
	return verification_to_json(f.v);
}

static void expect_state(const char *wanted)
{
	lm_auto_json json_t *json = shown();

	assert_string_equal(json_get_text(json, "state"), wanted);
}

/// Once each, those of the newest generation first.
#define ALL_OK                                                                                     \
	"say db:1 sha256:db reading; say db:1 sha256:db ok\n"                                      \
	"say web:2 sha256:w2 reading; say web:2 sha256:w2 ok\n"                                    \
	"say web:1 sha256:w1 reading; say web:1 sha256:w1 ok\n"                                    \
	"echo '{\"result\":\"success\"}'"

static void a_client_gets_what_was_found_of_each_image(void **state)
{
	(void)state;
	write_worker(ALL_OK);
	verification_resume(f.v);
	ask();
	await(is_answered);
	assert_string_equal(lm_buf_cstr(&f.lines),
		"db:1 reading;db:1 ok;web:2 reading;web:2 ok;web:1 reading;web:1 ok;");
	assert_int_equal(json_get_int(f.last, "exit", -1), 0);
	assert_int_equal(json_get_int(f.last, "images", -1), 3);
	assert_int_equal(f.finished, 1);
	assert_false(f.finished_own);
	expect_state("idle");
}

static void what_is_damaged_is_shown_and_can_be_repaired(void **state)
{
	(void)state;
	write_worker("say db:1 sha256:db reading; say db:1 sha256:db ok\n"
		     "say web:2 sha256:w2 reading; say web:2 sha256:w2 damaged\n"
		     "say web:1 sha256:w1 reading; say web:1 sha256:w1 missing\n"
		     "echo '{\"result\":\"success\"}'");
	verification_resume(f.v);
	ask();
	await(is_answered);
	assert_int_equal(json_get_int(f.last, "exit", -1), 1);
	assert_string_equal(json_get_text(f.last, "message"), "3 images: 1 damaged, 1 missing");
	lm_auto_json json_t *damaged = verification_find_damaged(f.v, 2);
	assert_int_equal(json_array_size(damaged), 1);
	assert_string_equal(json_get_text(json_array_get(damaged, 0), "id"), "sha256:w2");
	assert_null(verification_find_damaged(f.v, 1)); // it is missing there
	const struct metrics_images measured = verification_measure(f.v);
	assert_int_equal(measured.damaged, 1);
	assert_int_equal(measured.missing, 1);
	// The next run of the program knows it, too; what was replaced is not replaced again.
	verification_destroy(f.v);
	open_verification();
	lm_auto_json json_t *again = verification_find_damaged(f.v, 2);
	assert_int_equal(json_array_size(again), 1);
	verification_note_repair(f.v, 2);
	assert_null(verification_find_damaged(f.v, 2));
	assert_int_equal(verification_measure(f.v).damaged, 0);
	expect_state("due");
}

/// A worker that finds all images whole but web:2.
#define FINDS(state)                                                                               \
	"say db:1 sha256:db reading; say db:1 sha256:db ok\n"                                      \
	"say web:2 sha256:w2 reading; say web:2 sha256:w2 " state "\n"                             \
	"say web:1 sha256:w1 reading; say web:1 sha256:w1 ok\n"                                    \
	"echo '{\"result\":\"success\"}'"

static size_t count_damaged(void)
{
	lm_auto_json json_t *damaged = verification_find_damaged(f.v, 2);

	return json_array_size(damaged);
}

static void open_again(void)
{
	verification_destroy(f.v);
	open_verification();
}

static void verify_again(const char *worker)
{
	write_worker(worker);
	json_decref(lm_take(f.last));
	verification_resume(f.v);
	ask();
	await(is_answered);
}

/// Whatever restart of the program comes between.
static void what_is_damaged_again_after_its_repair_is_only_reported(void **state)
{
	(void)state;
	verify_again(FINDS("damaged"));
	assert_int_equal(count_damaged(), 1);
	open_again();
	verification_note_repair(f.v, 2);
	open_again();
	assert_int_equal(count_damaged(), 0);
	expect_state("due");
	verify_again(FINDS("damaged"));
	assert_int_equal(verification_measure(f.v).damaged, 1);
	assert_int_equal(count_damaged(), 0);
	open_again();
	assert_int_equal(count_damaged(), 0);
	// It was whole meanwhile: then it is another damage.
	verify_again(FINDS("ok"));
	open_again();
	verify_again(FINDS("damaged"));
	assert_int_equal(count_damaged(), 1);
}

/// A worker that finds all images whole but web:2 and web:1.
#define FINDS_BOTH(newer, older)                                                                   \
	"say db:1 sha256:db reading; say db:1 sha256:db ok\n"                                      \
	"say web:2 sha256:w2 reading; say web:2 sha256:w2 " newer "\n"                             \
	"say web:1 sha256:w1 reading; say web:1 sha256:w1 " older "\n"                             \
	"echo '{\"result\":\"success\"}'"

static size_t count_kept(void)
{
	lm_auto_json json_t *kept = verification_list_kept(f.v);

	return json_array_size(kept);
}

static void a_damaged_image_of_an_older_generation_is_to_be_replaced(void **state)
{
	(void)state;
	verify_again(FINDS_BOTH("ok", "damaged"));
	open_again();
	lm_auto_json json_t *kept = verification_list_kept(f.v);
	lm_auto_json json_t *wanted = json_pack("[{s:s, s:s, s:s, s:n, s:{s:b}, s:i}]", "image",
		"web:1", "id", "sha256:w1", "digest", "sha256:d1", "platform", "names", "web:1", 1,
		"generation", 1);
	assert_true(verification_has_kept(f.v));
	assert_true(json_equal(kept, wanted));
	assert_int_equal(count_damaged(), 0);
	verification_note_kept(f.v, "sha256:w1", NULL, false, "no network");
	assert_int_equal(count_kept(), 1);
	lm_auto_json json_t *stays = shown();
	const json_t *bad = json_array_get(json_object_get(stays, "bad"), 0);
	assert_string_equal(json_get_text(bad, "state"), "damaged");
	assert_string_equal(json_get_text(bad, "message"), "no network");
	verification_note_kept(f.v, "sha256:w1", "ok", true, NULL);
	open_again();
	assert_int_equal(count_kept(), 0);
	assert_int_equal(verification_measure(f.v).damaged, 0);
	lm_auto_json json_t *replaced = shown();
	const json_t *last = json_array_get(json_object_get(replaced, "replaced"), 0);
	assert_string_equal(json_get_text(last, "image"), "web:1");
	assert_true(json_get_int(last, "at_ms", 0) > 0);
}

static void the_current_generation_goes_first_and_what_its_repair_removes_comes_back(void **state)
{
	(void)state;
	verify_again(FINDS_BOTH("damaged", "damaged"));
	assert_int_equal(count_damaged(), 1);
	assert_int_equal(count_kept(), 0);
	verification_note_repair(f.v, 2);
	assert_int_equal(count_kept(), 1);
	open_again();
	verify_again(FINDS_BOTH("ok", "missing"));
	assert_int_equal(count_kept(), 1);
	// Whole, and then removed by somebody: nobody wants it back.
	verify_again(FINDS_BOTH("ok", "ok"));
	verify_again(FINDS_BOTH("ok", "missing"));
	assert_int_equal(count_kept(), 0);
}

static void a_name_that_another_generation_gives_to_another_image_is_not_its_own(void **state)
{
	(void)state;
	f.newer_web = "web:1";
	verify_again("say db:1 sha256:db reading; say db:1 sha256:db ok\n"
		     "say web:1 sha256:w2 reading; say web:1 sha256:w2 ok\n"
		     "say web:1 sha256:w1 reading; say web:1 sha256:w1 damaged\n"
		     "echo '{\"result\":\"success\"}'");
	lm_auto_json json_t *kept = verification_list_kept(f.v);
	assert_int_equal(json_array_size(kept), 1);
	lm_auto_json json_t *names = json_pack("{s:b}", "web:1", 0);
	assert_true(json_equal(json_object_get(json_array_get(kept, 0), "names"), names));
}

static void one_of_an_older_generation_that_was_replaced_in_vain_is_only_reported(void **state)
{
	(void)state;
	verify_again(FINDS_BOTH("ok", "damaged"));
	verification_note_kept(f.v, "sha256:w1", "damaged", true, "layer 1 is damaged");
	assert_int_equal(count_kept(), 0);
	open_again();
	assert_int_equal(count_kept(), 0);
	verify_again(FINDS_BOTH("ok", "damaged"));
	assert_int_equal(count_kept(), 0);
	assert_int_equal(verification_measure(f.v).damaged, 1);
	// Somebody has removed it: it can be pulled without that.
	verify_again(FINDS_BOTH("ok", "missing"));
	assert_int_equal(count_kept(), 1);
	verify_again(FINDS_BOTH("ok", "ok"));
	verify_again(FINDS_BOTH("ok", "damaged"));
	assert_int_equal(count_kept(), 1);
	// The worker was killed before it had read what it had pulled.
	verification_note_kept(f.v, "sha256:w1", NULL, true, "the worker was stopped");
	assert_int_equal(count_kept(), 0);
}

/// The Engine does not know it any more once the image is removed.
static void the_platform_of_one_that_is_to_be_replaced_outlives_it(void **state)
{
	(void)state;
	assert_false(verification_has_kept(f.v));
	verify_again("say db:1 sha256:db ok; say web:2 sha256:w2 ok\n"
		     "echo '{\"verify\":{\"image\":\"web:1\",\"id\":\"sha256:w1\",\"state\":"
		     "\"damaged\",\"platform\":\"linux/arm/v7\"}}'\n"
		     "echo '{\"result\":\"success\"}'");
	open_again();
	verification_note_kept(f.v, "sha256:w1", "missing", false, "no network");
	verify_again(FINDS_BOTH("ok", "missing"));
	open_again();
	lm_auto_json json_t *kept = verification_list_kept(f.v);
	assert_int_equal(json_array_size(kept), 1);
	assert_string_equal(json_get_text(json_array_get(kept, 0), "platform"), "linux/arm/v7");
}

static void a_task_interrupts_it_and_what_was_read_is_not_read_again(void **state)
{
	(void)state;
	write_worker("case \"$job\" in *sha256:db*) say db:1 sha256:db reading\n"
		     "say db:1 sha256:db ok; say web:2 sha256:w2 reading; sleep 100;; esac\n"
		     "say web:2 sha256:w2 reading; say web:2 sha256:w2 ok\n"
		     "say web:1 sha256:w1 reading; say web:1 sha256:w1 ok\n"
		     "echo '{\"result\":\"success\"}'");
	verification_resume(f.v);
	ask();
	await(has_read_one);
	verification_pause(f.v);
	expect_state("waiting");
	assert_false(is_answered());
	verification_resume(f.v);
	await(is_answered);
	assert_int_equal(json_get_int(f.last, "exit", -1), 0);
	assert_int_equal(json_get_int(f.last, "images", -1), 3);
}

static void an_image_over_which_the_worker_dies_is_unreadable(void **state)
{
	(void)state;
	write_worker("case \"$job\" in *sha256:db*) say db:1 sha256:db reading; kill -9 $$;; esac\n"
		     "say web:2 sha256:w2 reading; say web:2 sha256:w2 ok\n"
		     "say web:1 sha256:w1 reading; say web:1 sha256:w1 ok\n"
		     "echo '{\"result\":\"success\"}'");
	verification_resume(f.v);
	ask();
	await(is_answered);
	assert_int_equal(json_get_int(f.last, "wrong", -1), 1);
	lm_auto_json json_t *json = shown();
	const json_t *bad = json_array_get(json_object_get(json, "bad"), 0);
	assert_string_equal(json_get_text(bad, "state"), "unreadable");
	assert_non_null(strstr(json_get_text(bad, "message"), "killed by signal 9"));
}

static void a_worker_that_leaves_out_images_has_failed(void **state)
{
	(void)state;
	write_worker("say db:1 sha256:db reading; say db:1 sha256:db ok\n"
		     "say elsewhere:1 sha256:x reading; say elsewhere:1 sha256:x ok\n"
		     "echo '{\"result\":\"success\"}'");
	verification_resume(f.v);
	ask();
	await(is_answered);
	assert_int_equal(json_get_int(f.last, "exit", -1), 1);
	assert_non_null(strstr(json_get_text(f.last, "message"), "of the same version?"));
	assert_int_equal(f.finished, 0);
}

static void one_that_is_due_runs_by_itself_until_it_has_finished(void **state)
{
	(void)state;
	write_worker(
		"if [ -e tried ]; then\n" ALL_OK "\nelse\n: > tried\n"
		"echo '{\"result\":\"fail\",\"error\":\"InternalError\",\"message\":\"no engine\""
		"}'; exit 1\nfi");
	verification_make_due(f.v);
	verification_destroy(f.v); // a restart, before it began
	open_verification();
	expect_state("due");
	verification_resume(f.v);
	await(is_finished);
	assert_true(f.finished_own);
	expect_state("idle");
	verification_destroy(f.v);
	open_verification();
	expect_state("idle");
}

static void a_report_that_is_damaged_makes_one_due(void **state)
{
	lm_auto_close int dir = open(f.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)state;

	assert_int_equal(
		lm_file_replace(dir, "verification.json", LM_STR("{\"due\":fal"), 0600, NULL),
		LM_OK);
	verification_destroy(f.v);
	open_verification();
	expect_state("due");
}

static void assert_due(const char *damage)
{
	lm_auto_free char *aside = lm_path_join(f.folder, "verification.json.damaged");
	struct stat st;

	open_verification();
	lm_auto_json json_t *report = verification_to_json(f.v);
	verification_destroy(f.v);
	if (strcmp(json_get_text(report, "state"), "due") != 0 || lstat(aside, &st) < 0)
		fail_msg("%s", damage);
}

static void any_damage_of_the_report_is_found_and_set_aside(void **state)
{
	lm_auto_free char *path = lm_path_join(f.folder, "verification.json");
	(void)state;

	write_worker(ALL_OK);
	verification_resume(f.v);
	ask();
	await(is_finished);
	verification_destroy(f.v);
	damaged_file_each(path, assert_due);
	open_verification();
	expect_state("idle");
}

static void a_report_of_the_release_before_is_read(void **state)
{
	lm_auto_close int dir = open(f.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)state;

	assert_int_equal(lm_file_replace(dir, "verification.json",
				 LM_STR("{\"format\":1,\"due\":false,\"finished_ms\":7,"
					"\"images\":2,\"bad\":[]}"),
				 0600, NULL),
		LM_OK);
	verification_destroy(f.v);
	open_verification();
	expect_state("idle");
	assert_int_equal(verification_measure(f.v).verified_ms, 7);
}

static void a_client_that_is_gone_needs_none(void **state)
{
	(void)state;
	write_worker("say db:1 sha256:db reading; say db:1 sha256:db ok\nsleep 100");
	verification_resume(f.v);
	ask();
	await(has_read_one);
	verification_forget(f.v, &f);
	expect_state("idle");
	ask(); // and the next one may ask
	expect_state("waiting");
	verification_forget(f.v, &f);
}

static void only_one_client_at_a_time(void **state)
{
	(void)state;
	write_worker(ALL_OK);
	ask();
	ask();
	assert_int_equal(json_get_int(f.last, "exit", -1), 1);
	assert_string_equal(lm_buf_cstr(&f.lines), "warning;"); // a task is running
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_client_gets_what_was_found_of_each_image),
		TEST(what_is_damaged_is_shown_and_can_be_repaired),
		TEST(what_is_damaged_again_after_its_repair_is_only_reported),
		TEST(a_damaged_image_of_an_older_generation_is_to_be_replaced),
		TEST(the_current_generation_goes_first_and_what_its_repair_removes_comes_back),
		TEST(a_name_that_another_generation_gives_to_another_image_is_not_its_own),
		TEST(one_of_an_older_generation_that_was_replaced_in_vain_is_only_reported),
		TEST(the_platform_of_one_that_is_to_be_replaced_outlives_it),
		TEST(a_task_interrupts_it_and_what_was_read_is_not_read_again),
		TEST(an_image_over_which_the_worker_dies_is_unreadable),
		TEST(a_worker_that_leaves_out_images_has_failed),
		TEST(one_that_is_due_runs_by_itself_until_it_has_finished),
		TEST(a_report_that_is_damaged_makes_one_due),
		TEST(any_damage_of_the_report_is_found_and_set_aside),
		TEST(a_report_of_the_release_before_is_read),
		TEST(a_client_that_is_gone_needs_none),
		TEST(only_one_client_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
