// SPDX-License-Identifier: Apache-2.0
#include "docker/credential_helper.h"

#include "base/file.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>

static const struct wait_limit forever = WAIT_FOREVER;

/// A folder of helpers that are shell scripts.
struct fixture {
	char folder[64];
	char *path; ///< "PATH=…"
	const char *env[2];
	struct credential_helper helper;
	struct lm_err err;
};

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){.folder = "/tmp/helper_test.XXXXXX"};
	assert_non_null(mkdtemp(f.folder));
	f.path = lm_xasprintf("PATH=/nonexistent:relative::%s:/bin:/usr/bin", f.folder);
	f.env[0] = f.path;
	f.helper = (struct credential_helper){.suffix = "test", .env = f.env};
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct lm_err err;

	free(f->path);
	return lm_tree_remove(AT_FDCWD, f->folder, &err) ? 1 : 0;
}

static void install(struct fixture *f, const char *script)
{
	lm_auto_free char *path = lm_xasprintf("%s/docker-credential-test", f->folder);
	lm_auto_free char *text = lm_xasprintf("#!/bin/sh\ncd %s\n%s\n", f->folder, script);

	assert_int_equal(lm_file_replace(AT_FDCWD, path, lm_str(text), 0700, &f->err), LM_OK);
}

static void assert_given(struct fixture *f, const char *expected)
{
	lm_auto_free char *path = lm_xasprintf("%s/given", f->folder);
	lm_auto_buf struct lm_buf text = LM_BUF(10000);

	assert_int_equal(lm_file_read(path, &text, &f->err), LM_OK);
	assert_string_equal(lm_buf_cstr(&text), expected);
}

static struct registry_credentials make_login(const char *registry)
{
	struct registry_credentials c = {
		.registry = lm_xstrdup(registry), .username = lm_xstrdup("al\"ice")};

	lm_secret_set(&c.password, LM_STR("s3\\cret"));
	return c;
}

static void asks_for_a_login(void **state)
{
	struct fixture *f = *state;
	lm_auto(registry_credentials_finish) struct registry_credentials c = {0};

	install(f, "{ echo \"$@\"; cat; } >given\n"
		   "echo '{\"ServerURL\":\"r\",\"Username\":\"alice\",\"Secret\":\"s3cret\"}'");
	assert_int_equal(credential_helper_get(&f->helper, "r:5000", &forever, &c, &f->err), LM_OK);
	assert_string_equal(c.registry, "r:5000");
	assert_string_equal(c.username, "alice");
	assert_string_equal(c.password.data, "s3cret");
	assert_given(f, "get\nr:5000");
}

static void reports_that_there_is_none(void **state)
{
	struct fixture *f = *state;
	struct registry_credentials c = {0};
	static const char *const scripts[] = {
		"echo credentials not found in native keychain; exit 1",
		"echo '{\"ServerURL\":\"\",\"Username\":\"\",\"Secret\":\"\"}'"};

	for (size_t i = 0; i < LM_ARRAY_SIZE(scripts); i++) {
		install(f, scripts[i]);
		assert_int_equal(credential_helper_get(&f->helper, "r", &forever, &c, &f->err),
			LM_E_NOT_FOUND);
		assert_null(c.username);
	}
}

static void stores_as_json_on_stdin(void **state)
{
	struct fixture *f = *state;
	lm_auto(registry_credentials_finish) struct registry_credentials c =
		make_login("https://docker.io/team");

	install(f, "{ echo \"$@\"; cat; } >given");
	assert_int_equal(credential_helper_store(&f->helper, &c, &forever, &f->err), LM_OK);
	assert_given(f, "store\n{\"ServerURL\":\"https://index.docker.io/v1/\",\"Username\":"
			"\"al\\\"ice\",\"Secret\":\"s3\\\\cret\"}\n");
}

static void erases_by_the_bare_address(void **state)
{
	struct fixture *f = *state;

	install(f, "{ echo \"$@\"; cat; } >given");
	assert_int_equal(credential_helper_erase(&f->helper, "r:5000", &forever, &f->err), LM_OK);
	assert_given(f, "erase\nr:5000");
	install(f, "echo credentials not found in native keychain; exit 1");
	assert_int_equal(credential_helper_erase(&f->helper, "r:5000", &forever, &f->err), LM_OK);
}

static void names_a_helper_that_is_missing(void **state)
{
	struct fixture *f = *state;
	struct registry_credentials c = {0};

	assert_int_equal(
		credential_helper_get(&f->helper, "r", &forever, &c, &f->err), LM_E_DENIED);
	assert_non_null(strstr(f->err.msg, "no credential helper docker-credential-test"));
}

static void reports_why_one_fails(void **state)
{
	struct fixture *f = *state;
	struct registry_credentials c = {0};

	install(f, "echo the store is locked >&2; exit 3");
	assert_int_equal(
		credential_helper_get(&f->helper, "r", &forever, &c, &f->err), LM_E_REFUSED);
	assert_string_equal(f->err.msg,
		"docker-credential-test get failed: the store is locked (exit status 3)");
	install(f, "echo '<html>s3cret'");
	assert_int_equal(
		credential_helper_get(&f->helper, "r", &forever, &c, &f->err), LM_E_PROTOCOL);
	assert_null(strstr(f->err.msg, "s3cret"));
	install(f, "echo '{\"Username\": \"u\", \"Secret\": \"s3cret\"}'; echo closed >&2; exit 1");
	assert_int_equal(
		credential_helper_get(&f->helper, "r", &forever, &c, &f->err), LM_E_REFUSED);
	assert_string_equal(
		f->err.msg, "docker-credential-test get failed: closed (exit status 1)");
	install(f, "head -c 300000 /dev/zero");
	assert_int_equal(
		credential_helper_get(&f->helper, "r", &forever, &c, &f->err), LM_E_TOO_LARGE);
}

static void shows_nothing_of_what_it_was_to_store(void **state)
{
	struct fixture *f = *state;
	lm_auto(registry_credentials_finish) struct registry_credentials c = make_login("r");

	install(f, "cat >&2; exit 1");
	assert_int_equal(credential_helper_store(&f->helper, &c, &forever, &f->err), LM_E_REFUSED);
	assert_string_equal(f->err.msg, "docker-credential-test store failed: exit status 1");
}

static void one_that_hangs_is_ended_by_a_cancel(void **state)
{
	struct fixture *f = *state;
	struct registry_credentials c = {0};
	int cancel[2];

	install(f, "exec sleep 1000");
	assert_int_equal(pipe(cancel), 0);
	(void)close(cancel[1]);
	const struct wait_limit limit = {.cancel_fd = cancel[0]};
	assert_int_equal(
		credential_helper_get(&f->helper, "r", &limit, &c, &f->err), LM_E_CANCELLED);
	(void)close(cancel[0]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		TEST(asks_for_a_login),
		TEST(reports_that_there_is_none),
		TEST(stores_as_json_on_stdin),
		TEST(erases_by_the_bare_address),
		TEST(names_a_helper_that_is_missing),
		TEST(reports_why_one_fails),
		TEST(shows_nothing_of_what_it_was_to_store),
		TEST(one_that_hangs_is_ended_by_a_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
