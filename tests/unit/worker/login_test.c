// SPDX-License-Identifier: Apache-2.0
#include "worker/login.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

/// A home with a helper "test", which writes down its calls and does what is appended.
struct fixture {
	char home[64];
	char *path; ///< "PATH=…"
	const char *env[2];
	struct user_logins u;
	struct lm_buf lines; ///< What was logged.
	struct lm_err err;
};

static const struct wait_limit forever = WAIT_FOREVER;

static void note_line(void *ctx, enum lm_level level, struct lm_str line)
{
	(void)level;
	(void)lm_buf_add_str(ctx, line);
}

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){.home = "/tmp/user_logins_test.XXXXXX", .lines = LM_BUF(10000)};
	assert_non_null(mkdtemp(f.home));
	f.path = lm_xasprintf("PATH=%s:/bin:/usr/bin", f.home);
	f.env[0] = f.path;
	lm_log_set_sink(note_line, &f.lines);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	lm_log_set_sink(NULL, NULL);
	user_logins_finish(&f->u);
	lm_buf_finish(&f->lines);
	free(f->path);
	return lm_tree_remove(AT_FDCWD, f->home, &f->err) ? 1 : 0;
}

static void write_file(struct fixture *f, const char *name, const char *text, mode_t mode)
{
	lm_auto_free char *path = lm_xasprintf("%s/%s", f->home, name);

	assert_int_equal(lm_file_replace(AT_FDCWD, path, lm_str(text), mode, &f->err), LM_OK);
}

static void open_with(struct fixture *f, const char *config, const char *helper)
{
	lm_auto_free char *folder = lm_xasprintf("%s/.docker", f->home);
	lm_auto_free char *script = lm_xasprintf(
		"#!/bin/sh\ncd %s\nread -r line\necho \"$1 $line\" >>calls\n%s\n", f->home, helper);

	assert_int_equal(lm_dir_make(folder, 0700, &f->err), LM_OK);
	write_file(f, ".docker/config.json", config, 0600);
	write_file(f, "docker-credential-test", script, 0700);
	user_logins_open(&f->u, f->home, f->env);
}

static void assert_calls(struct fixture *f, const char *expected)
{
	lm_auto_free char *path = lm_xasprintf("%s/calls", f->home);
	lm_auto_buf struct lm_buf text = LM_BUF(10000);

	if (*expected)
		assert_int_equal(lm_file_read(path, &text, &f->err), LM_OK);
	assert_string_equal(lm_buf_cstr(&text), expected);
}

/// The user's login for an image: "user:password", or "" without one. The caller frees.
static char *find(struct fixture *f, const char *image)
{
	lm_auto(image_ref_finish) struct image_ref ref = {0};
	lm_auto(registry_credentials_finish) struct registry_credentials c = {0};
	bool found = false;

	assert_int_equal(image_ref_parse(lm_str(image), &ref, &f->err), LM_OK);
	assert_int_equal(user_logins_find(&f->u, &ref, &forever, &c, &found, &f->err), LM_OK);
	return found ? lm_xasprintf("%s:%s", c.username, c.password.data) : lm_xstrdup("");
}

static void assert_found(struct fixture *f, const char *image, const char *expected)
{
	lm_auto_free char *login = find(f, image);

	assert_string_equal(login, expected);
}

#define AUTHS "{\"auths\":{\"r:5000\":{\"auth\":\"Ym9iOnB3\"},\"https://index.docker.io/v1/\":{}}"
#define NOT_FOUND "echo credentials not found in native keychain; exit 1"

static void finds_what_is_written_there(void **state)
{
	struct fixture *f = *state;

	open_with(f, AUTHS "}", "exit 1");
	assert_found(f, "r:5000/app", "bob:pw");
	assert_found(f, "r:5001/app", "");
	assert_found(f, "nginx", "");
	assert_calls(f, "");
	assert_int_equal(f->lines.len, 0);
}

static void asks_a_helper_first(void **state)
{
	struct fixture *f = *state;

	open_with(f, AUTHS ",\"credsStore\":\"test\"}",
		"[ \"$line\" = https://index.docker.io/v1/ ] || {\n" NOT_FOUND "\n}\n"
		"echo '{\"Username\":\"alice\",\"Secret\":\"s3cret\"}'");
	assert_found(f, "nginx", "alice:s3cret");
	assert_found(f, "r:5000/app", "bob:pw"); // the helper has none
	assert_calls(f, "get https://index.docker.io/v1/\nget r:5000\n");
}

static void lists_all_that_there_are(void **state)
{
	struct fixture *f = *state;
	lm_auto_registry_list struct registry_list list = {0};

	open_with(f, AUTHS ",\"credHelpers\":{\"h\":\"test\",\"docker.io\":\"test\"}}",
		"[ \"$line\" != h ] || {\n" NOT_FOUND "\n}\n"
		"echo '{\"Username\":\"alice\",\"Secret\":\"s3cret\"}'");
	assert_int_equal(user_logins_list(&f->u, &forever, &list, &f->err), LM_OK);
	assert_true(list.n >= 2);
	assert_string_equal(list.items[0].username, "alice");
	assert_string_equal(list.items[list.n - 1].username, "bob");
}

static lm_rc keep(struct fixture *f, const char *registry, const struct wait_limit *limit)
{
	struct registry_credentials c = {
		.registry = lm_xstrdup(registry), .username = lm_xstrdup("ours")};

	lm_secret_set(&c.password, LM_STR("s3cret"));
	lm_rc rc = user_logins_keep(&f->u, &c, limit, &f->err);
	registry_credentials_finish(&c);
	return rc;
}

#define STORED(user, secret)                                                                       \
	"store {\"ServerURL\":\"r:5000\",\"Username\":\"" user "\",\"Secret\":\"" secret "\"}\n"

static void what_a_helper_keeps_it_forgets_again(void **state)
{
	struct fixture *f = *state;

	open_with(f, "{\"credHelpers\":{\"r:5000\":\"test\"}}",
		"[ $1 != get ] || {\n" NOT_FOUND "\n}");
	assert_int_equal(keep(f, "http://r:5000/team", &forever), LM_OK);
	assert_int_equal(keep(f, "r:5000", &forever), LM_OK); // of one host one is kept
	assert_int_equal(keep(f, "other.example", &forever), LM_OK);
	user_logins_restore(&f->u, &forever);
	user_logins_restore(&f->u, &forever);
	assert_calls(f, "get r:5000\n" STORED("ours", "s3cret") "erase r:5000\n");
}

static void what_a_helper_had_it_has_again(void **state)
{
	struct fixture *f = *state;

	open_with(
		f, "{\"credsStore\":\"test\"}", "echo '{\"Username\":\"bob\",\"Secret\":\"pw\"}'");
	assert_int_equal(keep(f, "r:5000", &forever), LM_OK);
	user_logins_restore(&f->u, &forever);
	assert_calls(f, "get r:5000\n" STORED("ours", "s3cret") STORED("bob", "pw"));
}

static void what_a_killed_job_left_is_forgotten_too(void **state)
{
	struct fixture *f = *state;

	open_with(f, "{\"credsStore\":\"test\"}",
		"echo '{\"Username\":\"ours\",\"Secret\":\"s3cret\"}'");
	assert_int_equal(keep(f, "r:5000", &forever), LM_OK);
	user_logins_restore(&f->u, &forever);
	assert_calls(f, "get r:5000\n" STORED("ours", "s3cret") "erase r:5000\n");
}

static void a_store_that_is_cancelled_is_erased(void **state)
{
	struct fixture *f = *state;
	lm_auto_free char *stop = lm_xasprintf("%s/stop", f->home);

	assert_int_equal(mkfifo(stop, 0600), 0);
	open_with(f, "{\"credsStore\":\"test\"}",
		"case $1 in get)" NOT_FOUND ";; store) echo now >stop; exec sleep 1000;; esac");
	lm_auto_close int cancel = open(stop, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	const struct wait_limit limit = {.cancel_fd = cancel};
	assert_int_equal(keep(f, "r:5000", &limit), LM_E_CANCELLED);
	user_logins_restore(&f->u, &forever);
	assert_calls(f, "get r:5000\n" STORED("ours", "s3cret") "erase r:5000\n");
}

static void a_helper_that_fails_is_warned_of_once(void **state)
{
	struct fixture *f = *state;

	open_with(f, "{\"credsStore\":\"test\"}", "echo locked >&2; exit 1");
	assert_int_equal(keep(f, "r:5000", &forever), LM_OK);
	assert_int_equal(keep(f, "other.example", &forever), LM_OK);
	assert_found(f, "nginx", "");
	assert_calls(f, "get r:5000\n");
	assert_non_null(strstr(lm_buf_cstr(&f->lines),
		"docker-credential-test get failed: locked (exit status 1), ignoring"));
}

static void tells_that_a_login_may_be_left(void **state)
{
	struct fixture *f = *state;

	open_with(f, "{\"credsStore\":\"test\"}",
		"case $1 in get)" NOT_FOUND ";; erase) exit 1;; esac");
	assert_int_equal(keep(f, "r:5000", &forever), LM_OK);
	user_logins_restore(&f->u, &forever);
	assert_non_null(strstr(lm_buf_cstr(&f->lines),
		"so it may still store the login for 'r:5000': log out of it"));
}

static void a_cancel_is_no_failure_of_the_helper(void **state)
{
	struct fixture *f = *state;
	int cancel[2];

	open_with(f, "{\"credsStore\":\"test\"}", "exec sleep 1000");
	assert_int_equal(pipe(cancel), 0);
	(void)close(cancel[1]);
	const struct wait_limit limit = {.cancel_fd = cancel[0]};
	assert_int_equal(keep(f, "r:5000", &limit), LM_E_CANCELLED);
	assert_int_equal(f->lines.len, 0);
	(void)close(cancel[0]);
}

static void without_a_file_there_is_nothing(void **state)
{
	struct fixture *f = *state;

	user_logins_open(&f->u, f->home, f->env);
	assert_found(f, "nginx", "");
	user_logins_open(&f->u, NULL, f->env);
	assert_found(f, "nginx", "");
	assert_int_equal(keep(f, "r", &forever), LM_OK);
	assert_int_equal(f->lines.len, 0);
}

static void a_broken_file_is_warned_of(void **state)
{
	struct fixture *f = *state;

	open_with(f, "{\"auths\":{\"r\":{\"auth\":s3cret}}}", "exit 1");
	assert_found(f, "r/app", "");
	assert_non_null(strstr(lm_buf_cstr(&f->lines), "/.docker/config.json': not a JSON object"));
	assert_null(strstr(lm_buf_cstr(&f->lines), "s3cret"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		TEST(finds_what_is_written_there),
		TEST(asks_a_helper_first),
		TEST(lists_all_that_there_are),
		TEST(what_a_helper_keeps_it_forgets_again),
		TEST(what_a_helper_had_it_has_again),
		TEST(what_a_killed_job_left_is_forgotten_too),
		TEST(a_store_that_is_cancelled_is_erased),
		TEST(a_helper_that_fails_is_warned_of_once),
		TEST(tells_that_a_login_may_be_left),
		TEST(a_cancel_is_no_failure_of_the_helper),
		TEST(without_a_file_there_is_nothing),
		TEST(a_broken_file_is_warned_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
