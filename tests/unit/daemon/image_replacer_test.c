// SPDX-License-Identifier: Apache-2.0
#include "daemon/image_replacer.h"

#include "base/file.h"
#include "base/memory.h"
#include "daemon/generation.h"
#include "daemon/worker_launcher.h"
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
#define ID(digit)                                                                                  \
	"sha256:" digit "123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde" digit

/// What lightermand is around it: a worker that is a script, and a verification that has found two
/// damaged images of generation 3 and one of generation 1.
static struct fixture {
	char folder[64];
	struct host_settings host;
	struct loop *loop;
	struct loop_timer *limit, *look;
	struct image_replacer *r;
	bool (*awaited)(void);
	json_t *kept;
	struct lm_buf notes; ///< What it did: "pause;", "web:1 ok;", …
	bool is_locked, is_under_way;
	bool had_kept; ///< An earlier run has left something.
} f;

lm_rc __wrap_launch_find_worker(char **ret, struct lm_err *err);
lm_rc __wrap_launch_find_user(const struct host_settings *host,
	const struct connector_definition *def, struct process_user *ret, struct lm_err *err);
lm_rc __wrap_launch_lock(
	const struct host_settings *host, int *ret_fd, pid_t *ret_holder, struct lm_err *err);
lm_rc __wrap_generation_read(struct store *s, unsigned n, struct group **ret, struct lm_err *err);
json_t *__wrap_generation_list_images(struct store *s);
lm_rc __wrap_store_list_released(struct store *s, json_t **ret, struct lm_err *err);
lm_rc __wrap_store_note_pulled(struct store *s, unsigned n, const char *name, const char *id,
	bool is_new, struct lm_err *err);
lm_rc __wrap_store_forget_pulled(struct store *s, const char *id, struct lm_err *err);
lm_rc __wrap_worker_launch(struct loop *loop, const struct host_settings *host,
	const struct worker_launch_spec *start, const struct worker_process_events *events,
	struct worker_process **ret, struct lm_err *err);
json_t *__wrap_verification_list_kept(const struct verification *v);
bool __wrap_verification_has_kept(const struct verification *v);
void __wrap_verification_note_kept(struct verification *v, const char *id, const char *state,
	bool is_replaced, const char *why);
void __wrap_verification_pause(struct verification *v);
void __wrap_verification_resume(struct verification *v);
bool __wrap_verification_is_under_way(const struct verification *v);
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

/// Of log lines that are being shipped, once.
lm_rc __wrap_launch_lock(
	const struct host_settings *host, int *ret_fd, pid_t *ret_holder, struct lm_err *err)
{
	(void)host;
	(void)ret_fd;
	(void)ret_holder;
	if (!f.is_locked)
		return LM_OK;
	f.is_locked = false;
	(void)lm_buf_puts(&f.notes, "locked;");
	return lm_fail(err, LM_E_CONFLICT, 0, "locked");
}

lm_rc __wrap_generation_read(struct store *s, unsigned n, struct group **ret, struct lm_err *err)
{
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};

	(void)s;
	(void)lm_buf_printf(&f.notes, "generation %u;", n);
	return definition_parse(lm_str(GROUP), &errors, ret, err);
}

json_t *__wrap_generation_list_images(struct store *s)
{
	(void)s;
	return json_object();
}

lm_rc __wrap_store_list_released(struct store *s, json_t **ret, struct lm_err *err)
{
	(void)s;
	(void)err;
	*ret = json_array();
	return LM_OK;
}

lm_rc __wrap_store_note_pulled(struct store *s, unsigned n, const char *name, const char *id,
	bool is_new, struct lm_err *err)
{
	(void)s;
	(void)id;
	(void)err;
	(void)lm_buf_printf(&f.notes, "%s %s of %u;", name, is_new ? "pulled" : "was here", n);
	return LM_OK;
}

lm_rc __wrap_store_forget_pulled(struct store *s, const char *id, struct lm_err *err)
{
	(void)s;
	(void)err;
	(void)lm_buf_printf(&f.notes, "%.8s removed;", id);
	return LM_OK;
}

lm_rc __wrap_worker_launch(struct loop *loop, const struct host_settings *host,
	const struct worker_launch_spec *start, const struct worker_process_events *events,
	struct worker_process **ret, struct lm_err *err)
{
	const struct worker_process_spec spec = {.program = start->program,
		.user = start->user,
		.document = start->document,
		.lock_fd = -1,
		.handover = HANDOVER_NONE,
		.silence_ms = PATIENCE_MS,
		.bare = true};

	(void)host;
	assert_true(start->needs_aws);
	return worker_process_start(loop, &spec, events, ret, err);
}

json_t *__wrap_verification_list_kept(const struct verification *v)
{
	(void)v;
	return json_deep_copy(f.kept);
}

bool __wrap_verification_has_kept(const struct verification *v)
{
	(void)v;
	return f.had_kept;
}

void __wrap_verification_note_kept(struct verification *v, const char *id, const char *state,
	bool is_replaced, const char *why)
{
	(void)v;
	(void)lm_buf_puts(&f.notes, is_replaced ? "again: " : "");
	(void)lm_buf_printf(&f.notes, "%.8s %s%s%s;", id, state ? state : "stays", why ? ": " : "",
		why ? why : "");
	for (size_t i = 0; state && strcmp(state, "ok") == 0 && i < json_array_size(f.kept); i++)
		if (strcmp(json_get_text(json_array_get(f.kept, i), "id"), id) == 0)
			(void)json_array_remove(f.kept, i);
}

void __wrap_verification_pause(struct verification *v)
{
	(void)v;
	(void)lm_buf_puts(&f.notes, "pause;");
}

void __wrap_verification_resume(struct verification *v)
{
	(void)v;
	(void)lm_buf_puts(&f.notes, "resume;");
}

bool __wrap_verification_is_under_way(const struct verification *v)
{
	(void)v;
	return f.is_under_way;
}

void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms)
{
	bool is_ours = t == f.limit || t == f.look || repeat_ms > 0;

	__real_loop_timer_start(t, is_ours || delay_ms < 1 ? delay_ms : 1, repeat_ms);
}

static void too_long(void *ctx)
{
	(void)ctx;
	fail_msg("it does not come to that: %s", lm_buf_cstr(&f.notes));
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

static bool has_resumed(void)
{
	return strstr(lm_buf_cstr(&f.notes), "resume;") != NULL;
}

static bool has_replaced_one(void)
{
	return strstr(lm_buf_cstr(&f.notes), "ok") != NULL;
}

static void write_worker(const char *script)
{
	lm_auto_free char *path = lm_path_join(f.folder, "worker");
	lm_auto_fclose FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fprintf(file,
			    "#!/bin/sh\necho '{\"hardened\":true}'; read -r take || exit\n"
			    "read -r job || exit\n"
			    "say() { echo \"{\\\"verify\\\":{\\\"image\\\":\\\"$1\\\",\\\"id\\\":"
			    "\\\"$2\\\",\\\"state\\\":\\\"$3\\\",\\\"message\\\":$4}}\"; }\n%s\n",
			    script) > 0);
	assert_int_equal(fchmod(fileno(file), 0755), 0);
}

static json_t *damaged(const char *ref, const char *id, int generation)
{
	return json_pack("{s:s, s:s, s:i}", "image", ref, "id", id, "generation", generation);
}

static int setup(void **state)
{
	(void)state;
	f = (struct fixture){.folder = "/tmp/image_replacer_test.XXXXXX", .notes = LM_BUF(1 << 16)};
	assert_non_null(mkdtemp(f.folder));
	f.host.state_directory = lm_xstrdup(f.folder);
	f.host.docker_socket = lm_xstrdup("/nowhere");
	f.host.worker_silence_s = 60;
	f.kept = json_array();
	json_array_append_new(f.kept, damaged("web:3", ID("a"), 3));
	json_array_append_new(f.kept, damaged("web:1", ID("b"), 1));
	json_array_append_new(f.kept, damaged("db:3", ID("c"), 3));
	assert_int_equal(loop_create(&f.loop, NULL), LM_OK);
	f.limit = loop_timer_create(f.loop, too_long, NULL);
	f.look = loop_timer_create(f.loop, look_again, NULL);
	f.r = image_replacer_create(f.loop, &f.host, NULL, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	image_replacer_destroy(f.r);
	loop_timer_destroy(f.limit);
	loop_timer_destroy(f.look);
	loop_destroy(f.loop);
	host_finish(&f.host);
	lm_buf_finish(&f.notes);
	json_decref(f.kept);
	return lm_tree_remove(AT_FDCWD, f.folder, NULL) == LM_OK ? 0 : -1;
}

/// The first has those of generation 3.
#define REPLACES                                                                                   \
	"case \"$job\" in *" ID(                                                                   \
		"a") "*)\n"                                                                        \
		     "echo '{\"removed\":\"" ID(                                                   \
			     "a") "\"}'\n"                                                         \
				  "echo '{\"image\":\"web:3\",\"digest\":\"d\",\"id\":\"" ID(      \
					  "a") "\",\"pulled\":true}'\n"                            \
					       "say web:3 " ID(                                    \
						       "a") " ok null\n"                           \
							    "say db:3 " ID(                        \
								    "c") " damaged '\"no "         \
									 "network\"';;\n"          \
									 "*) say web:1 " ID(       \
										 "b") " ok "       \
										      "null;; "    \
										      "esac\n"     \
										      "echo "      \
										      "'{"         \
										      "\"result\"" \
										      ":\"success" \
										      "\"}'"

static void each_generation_gets_a_worker_and_what_became_of_each_image_is_noted(void **state)
{
	(void)state;
	write_worker(REPLACES);
	image_replacer_resume(f.r);
	image_replacer_want(f.r);
	f.is_locked = true;
	await(has_resumed);
	assert_string_equal(lm_buf_cstr(&f.notes),
		"generation 3;locked;generation 3;pause;sha256:a removed;web:3 pulled of 3;"
		"again: sha256:a ok: the worker gave no reason;sha256:c damaged: no "
		"network;generation 1;"
		"pause;sha256:b ok: the worker gave no reason;resume;");
	assert_false(image_replacer_is_busy(f.r));
}

static void what_a_task_interrupts_is_replaced_later(void **state)
{
	(void)state;
	write_worker("case \"$job\" in *" ID("a") "*) say web:3 " ID(
		"a") " ok null; sleep 100;;\n"
		     "*" ID("b") "*) say web:1 " ID(
			     "b") " ok null;;\n"
				  "*) say db:3 " ID(
					  "c") " ok null;; esac\necho '{\"result\":\"success\"}'");
	image_replacer_want(f.r);
	image_replacer_resume(f.r);
	await(has_replaced_one);
	assert_true(image_replacer_is_busy(f.r));
	image_replacer_pause(f.r);
	assert_false(image_replacer_is_busy(f.r));
	assert_false(has_resumed()); // the task has it paused
	image_replacer_resume(f.r);
	await(has_resumed);
	assert_int_equal(json_array_size(f.kept), 0);
}

static void what_a_worker_that_fails_leaves_stays(void **state)
{
	(void)state;
	write_worker("case \"$job\" in *" ID("b") "*) say web:1 " ID(
		"b") " ok null\n"
		     "echo '{\"result\":\"success\"}';; *) echo '{\"result\":\"fail\",\"error\":"
		     "\"InternalError\",\"message\":\"no secret\"}'; exit 1;; esac");
	image_replacer_want(f.r);
	image_replacer_resume(f.r);
	await(has_resumed);
	assert_non_null(strstr(
		lm_buf_cstr(&f.notes), "sha256:c stays: no secret;sha256:a stays: no secret;"));
	assert_int_equal(json_array_size(f.kept), 2);
}

static void what_an_earlier_run_has_left_is_replaced_as_soon_as_no_task_runs(void **state)
{
	(void)state;
	write_worker(REPLACES);
	image_replacer_destroy(f.r);
	f.had_kept = true;
	f.r = image_replacer_create(f.loop, &f.host, NULL, NULL);
	image_replacer_resume(f.r);
	await(has_resumed);
	assert_int_equal(json_array_size(f.kept), 1);
}

static bool is_later(void)
{
	return true;
}

static void only_what_is_wanted_is_replaced_and_not_while_images_are_verified(void **state)
{
	(void)state;
	write_worker(REPLACES);
	image_replacer_resume(f.r);
	image_replacer_note_verified(f.r, false);
	await(is_later);
	assert_string_equal(lm_buf_cstr(&f.notes), "");
	f.is_under_way = true;
	image_replacer_want(f.r);
	await(is_later);
	assert_string_equal(lm_buf_cstr(&f.notes), "");
	f.is_under_way = false;
	image_replacer_note_verified(f.r, false); // a person's, but it was wanted before
	await(has_resumed);
	assert_int_equal(json_array_size(f.kept), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_generation_gets_a_worker_and_what_became_of_each_image_is_noted),
		TEST(what_a_task_interrupts_is_replaced_later),
		TEST(what_a_worker_that_fails_leaves_stays),
		TEST(what_an_earlier_run_has_left_is_replaced_as_soon_as_no_task_runs),
		TEST(only_what_is_wanted_is_replaced_and_not_while_images_are_verified),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
