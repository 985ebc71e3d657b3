// SPDX-License-Identifier: Apache-2.0
#include "deploy/destination.h"

#include "base/file.h"
#include "base/memory.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	char folder[64];
	struct host_settings host;
	struct process_user user;
	struct lm_err err;
};

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){.folder = "/tmp/destination_test.XXXXXX"};
	assert_non_null(mkdtemp(f.folder));
	f.host.state_directory = f.folder;
	// Root can give it away; anybody else only to themselves.
	static char name[] = "app";

	f.user = (struct process_user){.name = name,
		.uid = geteuid() ? geteuid() : 12345,
		.gid = geteuid() ? getegid() : 12345};
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct lm_err err;

	return lm_tree_remove(AT_FDCWD, f->folder, &err) ? 1 : 0;
}

static void ours_are_directly_below_the_folder(void **state)
{
	struct fixture *f = *state;
	const uint32_t uid = 1000;
	lm_auto_free char *numbered = destination_default(f->folder, &uid);
	lm_auto_free char *named = destination_default(f->folder, NULL);
	lm_auto_free char *below = lm_xasprintf("%s/more", named);
	lm_auto_free char *above = lm_xasprintf("%s/compose/..", f->folder);
	lm_auto_free char *itself = lm_xasprintf("%s/compose/", f->folder);

	assert_true(destination_is_ours(f->folder, numbered));
	assert_true(destination_is_ours(f->folder, named));
	assert_false(destination_is_ours(f->folder, below));
	assert_false(destination_is_ours(f->folder, above));
	assert_false(destination_is_ours(f->folder, itself));
	assert_false(destination_is_ours(f->folder, "/srv/app"));
}

static void it_is_made_once_for_its_user(void **state)
{
	struct fixture *f = *state;
	lm_auto_free char *path = destination_default(f->folder, NULL);
	struct stat st;

	for (int i = 0; i < 2; i++)
		assert_int_equal(destination_make(&f->host, path, &f->user, &f->err), LM_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, f->user.uid);
	assert_int_equal(st.st_mode & 07777, 0700);
}

static void one_that_a_killed_start_left_is_given_to_its_user(void **state)
{
	struct fixture *f = *state;
	lm_auto_free char *path = destination_default(f->folder, NULL);
	lm_auto_free char *parent = lm_xasprintf("%s/compose", f->folder);
	struct stat st;

	assert_int_equal(mkdir(parent, 0711), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(destination_make(&f->host, path, &f->user, &f->err), LM_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, f->user.uid);
}

static void no_link_is_followed_and_no_other_directory_made(void **state)
{
	struct fixture *f = *state;
	lm_auto_free char *path = destination_default(f->folder, NULL);
	lm_auto_free char *parent = lm_xasprintf("%s/compose", f->folder);
	lm_auto_free char *other = lm_xasprintf("%s/other", f->folder);

	assert_int_equal(destination_make(&f->host, other, &f->user, &f->err), LM_OK);
	assert_int_equal(access(other, F_OK), -1);
	assert_int_equal(mkdir(parent, 0711), 0);
	assert_int_equal(symlink("/tmp", path), 0);
	assert_int_not_equal(destination_make(&f->host, path, &f->user, &f->err), LM_OK);
	assert_non_null(strstr(f->err.msg, "create the destination '"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ours_are_directly_below_the_folder),
		cmocka_unit_test(it_is_made_once_for_its_user),
		cmocka_unit_test(one_that_a_killed_start_left_is_given_to_its_user),
		cmocka_unit_test(no_link_is_followed_and_no_other_directory_made),
	};
	struct CMUnitTest each[LM_ARRAY_SIZE(tests)];

	for (size_t i = 0; i < LM_ARRAY_SIZE(tests); i++) {
		each[i] = tests[i];
		each[i].setup_func = setup;
		each[i].teardown_func = teardown;
	}
	return cmocka_run_group_tests(each, NULL, NULL);
}
