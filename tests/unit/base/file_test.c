// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"

#include "base/cleanup.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/lighterman-file-test-XXXXXX";
static int folder_fd = -1;

static int begin(void **state)
{
	(void)state;
	memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
	if (!mkdtemp(folder))
		return -1;
	folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return folder_fd < 0 || chdir(folder) < 0 ? -1 : 0;
}

static int end(void **state)
{
	(void)state;
	lm_rc rc = lm_tree_remove(AT_FDCWD, folder, NULL);

	(void)close(folder_fd);
	return rc || chdir("/") < 0 ? -1 : 0;
}

static void put(const char *name, const char *text)
{
	lm_auto_close int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void assert_holds(const char *name, const char *expected)
{
	lm_auto_buf struct lm_buf text = LM_BUF(1000);

	assert_int_equal(lm_file_read(name, &text, NULL), LM_OK);
	assert_string_equal(lm_buf_cstr(&text), expected);
}

static bool exists(const char *name)
{
	struct stat st;

	return lstat(name, &st) == 0;
}

static void reads_up_to_the_ceiling(void **state)
{
	(void)state;
	struct lm_err err = {0};
	lm_auto_buf struct lm_buf exact = LM_BUF(5);
	lm_auto_buf struct lm_buf small = LM_BUF(4);

	put("f", "12345");
	assert_int_equal(lm_file_read("f", &exact, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&exact), "12345");
	assert_int_equal(lm_file_read("f", &small, &err), LM_E_TOO_LARGE);
	assert_non_null(strstr(err.msg, "4"));
	put("empty", "");
	lm_buf_clear(&small);
	assert_int_equal(lm_file_read("empty", &small, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&small), "");
}

static void a_file_that_tells_no_size_is_held_to_the_ceiling(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf small = LM_BUF(3);

	assert_int_equal(lm_file_read("/proc/self/status", &small, NULL), LM_E_TOO_LARGE);
}

static void read_tells_what_is_wrong(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf b = LM_BUF(100);
	struct lm_err err = {0};

	assert_int_equal(lm_file_read("none", &b, &err), LM_E_NOT_FOUND);
	assert_int_equal(err.sys, ENOENT);
	put("f", "x");
	assert_int_equal(lm_file_read("f/below", &b, &err), LM_E_NOT_FOUND);
	assert_int_equal(lm_file_read(folder, &b, &err), LM_E_INVALID);
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_int_equal(lm_file_read("fifo", &b, &err), LM_E_INVALID); // and does not wait
	assert_int_equal(lm_file_read("/dev/zero", &b, &err), LM_E_INVALID);

	lm_auto_close int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "sock"};
	assert_int_equal(bind(s, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(lm_file_read("sock", &b, &err), LM_E_INVALID);
}

static void read_follows_links(void **state)
{
	(void)state;
	put("f", "text");
	assert_int_equal(symlink("f", "link"), 0);
	assert_holds("link", "text");
}

static void replace_gives_text_and_mode_whatever_the_umask(void **state)
{
	(void)state;
	struct stat st;
	mode_t old = umask(077);

	assert_int_equal(lm_file_replace(folder_fd, "f", LM_STR("one"), 0644, NULL), LM_OK);
	(void)umask(old);
	assert_holds("f", "one");
	assert_int_equal(stat("f", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(lm_file_replace(AT_FDCWD, "f", LM_STR(""), 0600, NULL), LM_OK);
	assert_holds("f", "");
	assert_int_equal(stat("f", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_false(exists(".f.tmp"));
}

static void replace_works_with_a_folder_in_the_name(void **state)
{
	(void)state;
	assert_int_equal(mkdir("d", 0700), 0);
	assert_int_equal(lm_file_replace(folder_fd, "d/f", LM_STR("x"), 0600, NULL), LM_OK);
	assert_holds("d/f", "x");
	assert_int_equal(
		lm_file_replace(folder_fd, "no/f", LM_STR("x"), 0600, NULL), LM_E_NOT_FOUND);
}

static void replace_puts_a_file_where_a_link_was(void **state)
{
	(void)state;
	struct stat st;

	put("target", "old");
	assert_int_equal(symlink("target", "f"), 0);
	assert_int_equal(lm_file_replace(folder_fd, "f", LM_STR("new"), 0600, NULL), LM_OK);
	assert_holds("target", "old");
	assert_int_equal(lstat("f", &st), 0);
	assert_true(S_ISREG(st.st_mode));
}

static void replace_does_not_write_through_what_a_killed_run_left(void **state)
{
	(void)state;
	put("victim", "old");
	assert_int_equal(symlink("victim", ".f.tmp"), 0);
	assert_int_equal(lm_file_replace(folder_fd, "f", LM_STR("new"), 0600, NULL), LM_OK);
	assert_holds("victim", "old");
	assert_holds("f", "new");
	put(".f.tmp", "longer rubbish");
	assert_int_equal(lm_file_replace(folder_fd, "f", LM_STR("n"), 0600, NULL), LM_OK);
	assert_holds("f", "n");
}

static void replace_gives_a_file_to_another(void **state)
{
	(void)state;
	struct stat st;

	assert_int_equal(lm_file_replace_for(
				 folder_fd, "f", LM_STR("new"), 0640, (uid_t)-1, (gid_t)-1, NULL),
		LM_OK);
	assert_int_equal(stat("f", &st), 0);
	assert_int_equal(st.st_uid, geteuid());
	if (geteuid() != 0)
		skip();
	assert_int_equal(
		lm_file_replace_for(folder_fd, "f", LM_STR("new"), 0640, 10077, 10078, NULL),
		LM_OK);
	assert_int_equal(stat("f", &st), 0);
	assert_int_equal(st.st_uid, 10077);
	assert_int_equal(st.st_gid, 10078);
	assert_int_equal(st.st_mode & 07777, 0640);
}

static lm_rc open_own(const char *name, uid_t uid, struct lm_err *err)
{
	lm_auto_close int fd = -1;

	return lm_dir_open_own(folder_fd, name, 0750, uid, (gid_t)-1, &fd, err);
}

static void dir_open_own_makes_it_and_sets_its_mode(void **state)
{
	(void)state;
	struct stat st;
	mode_t old = umask(077);

	assert_int_equal(open_own("d", (uid_t)-1, NULL), LM_OK);
	(void)umask(old);
	assert_int_equal(stat("d", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	assert_int_equal(chmod("d", 0777), 0);
	assert_int_equal(open_own("d", (uid_t)-1, NULL), LM_OK);
	assert_int_equal(stat("d", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
}

static void dir_open_own_refuses_links_files_and_others(void **state)
{
	(void)state;
	struct lm_err err = {0};
	struct stat st;

	assert_int_equal(mkdir("d", 0700), 0);
	assert_int_equal(symlink("d", "link"), 0);
	put("f", "x");
	assert_int_not_equal(open_own("link", (uid_t)-1, &err), LM_OK);
	assert_int_not_equal(open_own("f", (uid_t)-1, &err), LM_OK);
	if (geteuid() != 0)
		skip();
	assert_int_equal(chown("d", 10077, 0), 0);
	assert_int_equal(open_own("d", (uid_t)-1, &err), LM_E_DENIED);
	assert_non_null(strstr(err.msg, "user 10077"));
	assert_int_equal(open_own("d", 10078, &err), LM_E_DENIED);
	assert_int_equal(open_own("d", 10077, &err), LM_OK);
	assert_int_equal(chown("d", 0, 0), 0);
	assert_int_equal(open_own("d", 10077, &err), LM_OK);
	assert_int_equal(stat("d", &st), 0);
	assert_int_equal(st.st_uid, 10077);
}

static void replace_fails_when_a_directory_is_in_the_way(void **state)
{
	(void)state;
	struct lm_err err = {0};

	put("f", "old");
	assert_int_equal(mkdir(".f.tmp", 0700), 0);
	assert_int_not_equal(lm_file_replace(folder_fd, "f", LM_STR("new"), 0600, &err), LM_OK);
	assert_int_equal(err.sys, EEXIST);
	assert_holds("f", "old");

	assert_int_equal(mkdir("d", 0700), 0);
	assert_int_not_equal(lm_file_replace(folder_fd, "d", LM_STR("new"), 0600, &err), LM_OK);
	assert_false(exists(".d.tmp"));
}

static void a_write_that_stops_halfway_leaves_the_old_file(void **state)
{
	(void)state;
	struct rlimit old;
	struct lm_err err = {0};
	static char big[20000];

	put("f", "old");
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	struct rlimit small = {10000, old.rlim_max};
	void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	lm_rc rc = lm_file_replace(folder_fd, "f", (struct lm_str){big, sizeof(big)}, 0600, &err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	(void)signal(SIGXFSZ, handler);
	assert_int_equal(rc, LM_E_SYS);
	assert_int_equal(err.sys, EFBIG);
	assert_holds("f", "old");
	assert_false(exists(".f.tmp"));
}

static void link_replace_changes_the_target(void **state)
{
	(void)state;
	char text[10] = "";

	put(".current.tmp", "left over");
	assert_int_equal(lm_link_replace(folder_fd, "current", "one", NULL), LM_OK);
	assert_int_equal(lm_link_replace(folder_fd, "current", "two", NULL), LM_OK);
	assert_int_equal(readlink("current", text, sizeof(text) - 1), 3);
	assert_string_equal(text, "two");
	assert_false(exists(".current.tmp"));
}

static void dir_make_makes_the_parents(void **state)
{
	(void)state;
	struct stat st;
	lm_auto_free char *path = lm_xasprintf("%s/a//b/c/", folder);

	assert_int_equal(lm_dir_make(path, 0700, NULL), LM_OK);
	assert_int_equal(lm_dir_make(path, 0700, NULL), LM_OK);
	assert_int_equal(lm_dir_make("a/b/d", 0700, NULL), LM_OK);
	assert_int_equal(stat("a/b/c", &st), 0);
	assert_int_equal(stat("a", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat("a/b/d", &st), 0);
	assert_int_equal(lm_dir_make("/", 0700, NULL), LM_OK);
}

static void dir_make_refuses_files_and_nothing(void **state)
{
	(void)state;
	put("f", "x");
	assert_int_equal(lm_dir_make("f", 0700, NULL), LM_E_INVALID);
	assert_int_equal(lm_dir_make("f/d", 0700, NULL), LM_E_NOT_FOUND);
	assert_int_equal(lm_dir_make("", 0700, NULL), LM_E_INVALID);
	assert_int_equal(symlink("nowhere", "dangling"), 0);
	assert_int_not_equal(lm_dir_make("dangling", 0700, NULL), LM_OK);
}

static void tree_remove_takes_all_but_what_links_point_to(void **state)
{
	(void)state;
	assert_int_equal(lm_dir_make("keep", 0700, NULL), LM_OK);
	put("keep/f", "kept");
	assert_int_equal(lm_dir_make("t/a/b", 0700, NULL), LM_OK);
	put("t/a/f", "x");
	assert_int_equal(symlink("../keep", "t/link"), 0);
	assert_int_equal(symlink("../keep/f", "t/a/link"), 0);
	assert_int_equal(lm_tree_remove(folder_fd, "t", NULL), LM_OK);
	assert_false(exists("t"));
	assert_holds("keep/f", "kept");

	assert_int_equal(symlink("keep", "link"), 0);
	assert_int_equal(lm_tree_remove(folder_fd, "link", NULL), LM_OK);
	assert_false(exists("link"));
	assert_holds("keep/f", "kept");
	assert_int_equal(lm_tree_remove(folder_fd, "keep/f", NULL), LM_OK);
	assert_false(exists("keep/f"));
	assert_int_equal(lm_tree_remove(folder_fd, "none", NULL), LM_OK);
}

static void tree_remove_has_a_depth_it_gives_up_at(void **state)
{
	(void)state;
	lm_auto_free char *deep = lm_xstrdup("d/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18");

	assert_int_equal(lm_dir_make(deep, 0700, NULL), LM_OK);
	assert_int_equal(lm_tree_remove(folder_fd, "d", NULL), LM_E_TOO_LARGE);
	assert_int_equal(lm_tree_remove(folder_fd, "d/2", NULL), LM_OK);
}

static void read_all_and_write_all_pass_through_a_pipe(void **state)
{
	(void)state;
	int ends[2];
	lm_auto_buf struct lm_buf b = LM_BUF(40000);
	static char big[40000];

	memset(big, 'x', sizeof(big));
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(
		lm_fd_write_all(ends[1], "pipe", (struct lm_str){big, sizeof(big)}, NULL), LM_OK);
	(void)close(ends[1]);
	assert_int_equal(lm_fd_read_all(ends[0], "pipe", &b, NULL), LM_OK);
	assert_int_equal(b.len, sizeof(big));
	assert_memory_equal(b.data, big, sizeof(big));
	(void)close(ends[0]);
	assert_int_equal(lm_fd_write_all(-1, "none", LM_STR("x"), NULL), LM_E_SYS);
}

static void assert_join(const char *a, const char *b, const char *expected)
{
	char *path = lm_path_join(a, b);

	assert_string_equal(path, expected);
	free(path);
}

static void join_puts_exactly_one_slash(void **state)
{
	(void)state;
	assert_join("a", "b", "a/b");
	assert_join("a/", "b", "a/b");
	assert_join("a//", "//b", "a/b");
	assert_join("/", "b", "/b");
	assert_join("/a/b", "c/d", "/a/b/c/d");
	assert_join("a", "", "a/");
}

static void base_is_behind_the_last_slash(void **state)
{
	(void)state;
	assert_string_equal(lm_path_base("/a/b.c"), "b.c");
	assert_string_equal(lm_path_base("b.c"), "b.c");
	assert_string_equal(lm_path_base("a/"), "");
	assert_string_equal(lm_path_base(""), "");
}

static void absolute_begins_with_a_slash(void **state)
{
	(void)state;
	assert_true(lm_path_is_absolute(LM_STR("/")));
	assert_false(lm_path_is_absolute(LM_STR("a/b")));
	assert_false(lm_path_is_absolute(LM_STR("")));
	assert_false(lm_path_is_absolute((struct lm_str){NULL, 0}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reads_up_to_the_ceiling, begin, end),
		cmocka_unit_test_setup_teardown(
			a_file_that_tells_no_size_is_held_to_the_ceiling, begin, end),
		cmocka_unit_test_setup_teardown(read_tells_what_is_wrong, begin, end),
		cmocka_unit_test_setup_teardown(read_follows_links, begin, end),
		cmocka_unit_test_setup_teardown(
			replace_gives_text_and_mode_whatever_the_umask, begin, end),
		cmocka_unit_test_setup_teardown(
			replace_works_with_a_folder_in_the_name, begin, end),
		cmocka_unit_test_setup_teardown(replace_puts_a_file_where_a_link_was, begin, end),
		cmocka_unit_test_setup_teardown(
			replace_does_not_write_through_what_a_killed_run_left, begin, end),
		cmocka_unit_test_setup_teardown(
			replace_fails_when_a_directory_is_in_the_way, begin, end),
		cmocka_unit_test_setup_teardown(
			a_write_that_stops_halfway_leaves_the_old_file, begin, end),
		cmocka_unit_test_setup_teardown(replace_gives_a_file_to_another, begin, end),
		cmocka_unit_test_setup_teardown(
			dir_open_own_makes_it_and_sets_its_mode, begin, end),
		cmocka_unit_test_setup_teardown(
			dir_open_own_refuses_links_files_and_others, begin, end),
		cmocka_unit_test_setup_teardown(link_replace_changes_the_target, begin, end),
		cmocka_unit_test_setup_teardown(dir_make_makes_the_parents, begin, end),
		cmocka_unit_test_setup_teardown(dir_make_refuses_files_and_nothing, begin, end),
		cmocka_unit_test_setup_teardown(
			tree_remove_takes_all_but_what_links_point_to, begin, end),
		cmocka_unit_test_setup_teardown(tree_remove_has_a_depth_it_gives_up_at, begin, end),
		cmocka_unit_test_setup_teardown(
			read_all_and_write_all_pass_through_a_pipe, begin, end),
		cmocka_unit_test(join_puts_exactly_one_slash),
		cmocka_unit_test(base_is_behind_the_last_slash),
		cmocka_unit_test(absolute_begins_with_a_slash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
