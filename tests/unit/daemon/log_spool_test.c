// SPDX-License-Identifier: Apache-2.0
#include "daemon/log_spool.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "damaged_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	char folder[64];
	struct log_spool *spool;
	struct damage damage;
	int next; ///< Number of the next line.
	size_t taken;
};

static struct fixture f;
static struct lm_err err;

static void start(unsigned space_kb)
{
	damage_finish(&f.damage);
	assert_int_equal(log_spool_open("spool", space_kb, &f.damage, &f.spool, &err), LM_OK);
}

static void restart(unsigned space_kb)
{
	log_spool_close(lm_take(f.spool));
	start(space_kb);
}

static int setup(void **state)
{
	f = (struct fixture){0};
	(void)snprintf(f.folder, sizeof(f.folder), "/tmp/log_spool_test.XXXXXX");
	*state = &f;
	return mkdtemp(f.folder) ? chdir(f.folder) : -1;
}

static int teardown(void **state)
{
	(void)state;
	log_spool_close(f.spool);
	damage_finish(&f.damage);
	if (chdir("/") != 0)
		return -1;
	return lm_tree_remove(AT_FDCWD, f.folder, NULL);
}

/// "line 000017 ......\n", `size` bytes, `n` times.
static void add(int n, size_t size)
{
	for (int i = 0; i < n; i++) {
		lm_auto_free char *line = lm_xmalloc(size + 32);

		memset(line, '.', size + 32);
		(void)snprintf(line, 12, "line %06d", f.next++);
		line[11] = ' ';
		line[size - 1] = '\n';
		log_spool_add(f.spool, (struct lm_str){line, size});
	}
}

/// Takes out what waits: the lines `first` to `last`, whole and in order.
static void assert_taken(int first, int last)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_LOG_CHUNK);
	int fd = -1;

	assert_true(log_spool_waits(f.spool));
	assert_int_equal(log_spool_take(f.spool, &fd, &f.taken, &err), LM_OK);
	assert_int_equal(lm_fd_read_all(fd, "chunk", &text, &err), LM_OK);
	assert_int_equal(text.len, f.taken);
	struct lm_str rest = lm_buf_str(&text);
	for (int i = first; i <= last; i++) {
		int number = -1;

		assert_int_equal(sscanf(lm_str_cut(&rest, '\n').p, "line %06d ", &number), 1);
		assert_int_equal(number, i);
	}
	assert_int_equal(rest.n, 0);
}

static void assert_shipped(uint64_t n)
{
	assert_int_equal(log_spool_shipped(f.spool, n, &err), LM_OK);
}

static size_t files(void)
{
	lm_auto_closedir DIR *dir = opendir("spool");
	const struct dirent *entry;
	size_t n = 0;

	while ((entry = readdir(dir)))
		n += strstr(entry->d_name, ".log") != NULL;
	return n;
}

static uint64_t bytes(void)
{
	lm_auto_closedir DIR *dir = opendir("spool");
	const struct dirent *entry;
	struct stat st;
	uint64_t n = 0;

	while ((entry = readdir(dir)))
		if (strstr(entry->d_name, ".log") &&
			fstatat(dirfd(dir), entry->d_name, &st, 0) == 0)
			n += (uint64_t)st.st_size;
	return n;
}

static void what_was_added_is_taken_in_order(void **state)
{
	(void)state;
	start(128);
	assert_false(log_spool_waits(f.spool));
	add(200, 100);
	assert_taken(0, 199);
	assert_shipped(f.taken);
	log_spool_put_back(f.spool);
	assert_false(log_spool_waits(f.spool));
	add(3, 50);
	assert_taken(200, 202);
}

static void is_for_us_alone(void **state)
{
	(void)state;
	struct stat st;

	start(128);
	add(1, 100);
	assert_taken(0, 0);
	assert_shipped(f.taken);
	assert_int_equal(stat("spool", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat("spool/00000000000000000000.log", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat("spool/cursor", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void what_is_not_shipped_is_taken_again(void **state)
{
	(void)state;
	start(128);
	add(10, 100);
	assert_taken(0, 9);
	assert_shipped(300);
	assert_shipped(300); // nothing new
	assert_shipped(500);
	log_spool_put_back(f.spool);
	assert_taken(5, 9);
	log_spool_put_back(f.spool);
	assert_taken(5, 9);
}

static void goes_on_after_a_restart_where_it_was(void **state)
{
	(void)state;
	start(128);
	add(10, 100);
	assert_taken(0, 9);
	assert_shipped(300);
	restart(128); // as after a kill: nothing is done at the end
	assert_taken(3, 9);
	assert_shipped(700);
	restart(128);
	assert_false(log_spool_waits(f.spool));
	add(2, 100);
	assert_taken(10, 11);
}

static void shipped_more_than_was_taken_cannot_be(void **state)
{
	(void)state;
	start(128);
	add(3, 100);
	assert_taken(0, 2);
	assert_int_equal(log_spool_shipped(f.spool, 301, &err), LM_E_INVALID);
	assert_int_equal(log_spool_shipped(f.spool, UINT64_MAX, &err), LM_E_INVALID);
	assert_shipped(200);
	assert_int_equal(log_spool_shipped(f.spool, 100, &err), LM_E_INVALID);
	log_spool_put_back(f.spool);
	assert_int_equal(log_spool_shipped(f.spool, 0, &err), LM_E_INVALID);
}

static void the_oldest_lines_make_room_and_are_counted(void **state)
{
	(void)state;
	start(16);
	add(1000, 100);
	assert_true(bytes() <= 16 << 10);
	assert_int_equal(log_spool_lost(f.spool) * 100 + bytes(), 100000);
	assert_taken((int)log_spool_lost(f.spool), 999);
	restart(16);
	assert_taken((int)log_spool_lost(f.spool), 999); // the count, too, outlives us
	assert_true(log_spool_lost(f.spool) > 800);
	assert_shipped(f.taken);
	log_spool_put_back(f.spool);
	log_spool_clear_lost(f.spool);
	restart(16);
	assert_int_equal(log_spool_lost(f.spool), 0);
}

static void what_is_shipped_makes_room_without_being_counted(void **state)
{
	(void)state;
	start(16);
	for (int i = 0; i < 50; i++) {
		add(20, 100);
		assert_taken(i * 20, i * 20 + 19);
		assert_shipped(f.taken);
		log_spool_put_back(f.spool);
	}
	assert_int_equal(log_spool_lost(f.spool), 0);
	assert_true(files() <= 2);
}

static void what_is_pushed_out_while_it_is_shipped_is_not_lost(void **state)
{
	(void)state;
	start(16);
	add(100, 100);
	assert_taken(0, 99);
	assert_shipped(1000);
	add(400, 100); // all that was taken is pushed out, and more
	assert_true(log_spool_lost(f.spool) > 300);
	assert_shipped(5000);
	assert_shipped(9000); // 10 of the 100 are not
	uint64_t lost = log_spool_lost(f.spool);
	log_spool_put_back(f.spool);
	assert_int_equal(lost * 100 + bytes(), 40000 + 1000);
	assert_taken((int)lost + 90, 499);
}

static void a_chunk_has_a_ceiling_and_ends_with_a_line(void **state)
{
	(void)state;
	start(4096);
	add(300, 10007);
	assert_taken(0, 103);
	assert_true(f.taken <= LIMIT_LOG_CHUNK);
	assert_shipped(f.taken);
	log_spool_put_back(f.spool);
	assert_taken(104, 207);
	assert_shipped(f.taken);
	log_spool_put_back(f.spool);
	assert_taken(208, 299);
}

static void what_was_taken_cannot_be_changed(void **state)
{
	(void)state;
	int fd = -1;

	start(128);
	add(1, 100);
	assert_int_equal(log_spool_take(f.spool, &fd, &f.taken, &err), LM_OK);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(ftruncate(fd, 1), -1);
}

/// A large batch before a small one, and one of which nothing is shipped.
static void the_next_batch_is_where_the_first_was(void **state)
{
	(void)state;
	char text[512];
	int fd = -1, again = -1;

	start(128);
	add(500, 100);
	assert_int_equal(log_spool_take(f.spool, &fd, &f.taken, &err), LM_OK);
	assert_shipped(f.taken);
	lm_auto_close int theirs = dup(fd);
	log_spool_empty(f.spool);
	assert_int_equal(read(theirs, text, sizeof(text)), 0);
	assert_int_equal(log_spool_shipped(f.spool, 1, &err), LM_E_INVALID);
	assert_false(log_spool_waits(f.spool));
	add(2, 100);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(log_spool_take(f.spool, &again, &f.taken, &err), LM_OK);
		assert_int_equal(again, fd);
		assert_int_equal(read(theirs, text, sizeof(text)), 200);
		assert_memory_equal(text, "line 000500 ", 12);
		log_spool_empty(f.spool);
	}
	add(2000, 100); // pushes out what was put back
	assert_true(log_spool_lost(f.spool) > 0);
	log_spool_put_back(f.spool);
	assert_true(log_spool_waits(f.spool));
}

static void a_torn_line_is_removed(void **state)
{
	(void)state;
	start(128);
	add(3, 100);
	lm_auto_close int fd = open("spool/00000000000000000000.log", O_WRONLY | O_APPEND);
	assert_int_equal(write(fd, "line 0000", 9), 9);
	restart(128);
	add(1, 100);
	assert_taken(0, 3);
}

static void a_power_cut_that_took_shipped_lines_does_no_harm(void **state)
{
	(void)state;
	start(128);
	add(3, 100);
	assert_taken(0, 2);
	assert_shipped(300);
	assert_int_equal(truncate("spool/00000000000000000000.log", 100), 0);
	restart(128);
	assert_false(log_spool_waits(f.spool));
	add(2, 100);
	assert_taken(3, 4);
	restart(128);
	assert_taken(3, 4);
}

static void a_file_that_lost_its_end_is_read_as_far_as_it_goes(void **state)
{
	(void)state;
	start(16);
	add(100, 100); // files of 40 lines
	log_spool_close(lm_take(f.spool));
	assert_int_equal(truncate("spool/00000000000000000000.log", 200), 0);
	start(16);
	assert_taken(0, 1);
	assert_shipped(f.taken);
	log_spool_put_back(f.spool);
	assert_taken(40, 99);
	assert_shipped(f.taken);
	log_spool_put_back(f.spool);
	assert_false(log_spool_waits(f.spool));
}

static void a_file_cut_under_our_hands_does_not_hold_up_the_rest(void **state)
{
	(void)state;
	int fd = -1;

	start(16);
	add(100, 100);
	assert_int_equal(truncate("spool/00000000000000000000.log", 0), 0);
	assert_int_equal(log_spool_take(f.spool, &fd, &f.taken, &err), LM_E_NOT_FOUND);
	assert_taken(40, 99);
}

static void a_cursor_that_was_spoilt_ships_all_again(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"", "12", "x 0\n", "99999999999999999999 0\n", "-1 0\n"};

	start(128);
	add(3, 100);
	assert_taken(0, 2);
	assert_shipped(100);
	for (size_t i = 0; i < LM_ARRAY_SIZE(texts); i++) {
		lm_auto_close int fd = open("spool/cursor", O_WRONLY | O_CREAT | O_TRUNC, 0600);

		assert_int_equal(lm_fd_write_all(fd, "cursor", lm_str(texts[i]), &err), LM_OK);
		restart(128);
		assert_int_equal(f.damage.n, 1);
		assert_taken(0, 2);
	}
}

static void assert_cursor_set_aside(const char *kind)
{
	struct stat st;

	restart(128);
	if (f.damage.n != 1 ||
		!strstr(f.damage.notes[0], "; it was set aside as 'cursor.damaged': lines of the "
					   "log that wait may be shipped twice") ||
		lstat("spool/cursor.damaged", &st) < 0)
		fail_msg("%s", kind);
	assert_taken(0, 2);
	log_spool_put_back(f.spool);
	log_spool_close(lm_take(f.spool)); // writes another one
	start(128);
	assert_int_equal(f.damage.n, 0);
}

static void any_damage_of_the_cursor_is_found_and_set_aside(void **state)
{
	(void)state;
	start(128);
	add(3, 100);
	assert_taken(0, 2);
	assert_shipped(100);
	log_spool_close(lm_take(f.spool));
	damaged_file_each("spool/cursor", assert_cursor_set_aside);
	restart(128);
	assert_taken(1, 2);
}

static void a_cursor_of_the_release_before_is_read(void **state)
{
	(void)state;
	start(128);
	add(3, 100);
	log_spool_close(lm_take(f.spool));
	assert_int_equal(
		lm_file_replace(AT_FDCWD, "spool/cursor", LM_STR("100 7\n"), 0600, &err), LM_OK);
	start(128);
	assert_int_equal(f.damage.n, 0);
	assert_int_equal(log_spool_lost(f.spool), 7);
	assert_taken(1, 2);
}

static void lines_that_the_disk_refuses_are_counted(void **state)
{
	(void)state;
	struct rlimit old, none;

	start(128);
	add(2, 100);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	none = (struct rlimit){250, old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	add(3, 100); // half of the first fits
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(log_spool_lost(f.spool), 3);
	f.next = 2;
	add(1, 100);
	assert_taken(0, 2);
}

static void a_lower_bound_holds_at_once(void **state)
{
	(void)state;
	start(128);
	add(1000, 100);
	assert_int_equal(log_spool_lost(f.spool), 0);
	log_spool_set_space(f.spool, 1);
	assert_int_equal(log_spool_space_kb(f.spool), 16); // a line always fits
	assert_true(bytes() <= 16 << 10);
	log_spool_set_space(f.spool, UINT32_MAX);
	assert_int_equal(log_spool_space_kb(f.spool), LIMIT_SPOOL >> 10);
	assert_taken((int)log_spool_lost(f.spool), 999);
}

static void refuses_what_is_no_folder(void **state)
{
	(void)state;
	assert_int_equal(mknod("spool", S_IFREG | 0600, 0), 0);
	assert_int_equal(log_spool_open("spool", 128, &f.damage, &f.spool, &err), LM_E_INVALID);
}

#define SPOOL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SPOOL_TEST(what_was_added_is_taken_in_order),
		SPOOL_TEST(is_for_us_alone),
		SPOOL_TEST(what_is_not_shipped_is_taken_again),
		SPOOL_TEST(goes_on_after_a_restart_where_it_was),
		SPOOL_TEST(shipped_more_than_was_taken_cannot_be),
		SPOOL_TEST(the_oldest_lines_make_room_and_are_counted),
		SPOOL_TEST(what_is_shipped_makes_room_without_being_counted),
		SPOOL_TEST(what_is_pushed_out_while_it_is_shipped_is_not_lost),
		SPOOL_TEST(a_chunk_has_a_ceiling_and_ends_with_a_line),
		SPOOL_TEST(what_was_taken_cannot_be_changed),
		SPOOL_TEST(the_next_batch_is_where_the_first_was),
		SPOOL_TEST(a_torn_line_is_removed),
		SPOOL_TEST(a_power_cut_that_took_shipped_lines_does_no_harm),
		SPOOL_TEST(a_file_that_lost_its_end_is_read_as_far_as_it_goes),
		SPOOL_TEST(a_file_cut_under_our_hands_does_not_hold_up_the_rest),
		SPOOL_TEST(a_cursor_that_was_spoilt_ships_all_again),
		SPOOL_TEST(any_damage_of_the_cursor_is_found_and_set_aside),
		SPOOL_TEST(a_cursor_of_the_release_before_is_read),
		SPOOL_TEST(lines_that_the_disk_refuses_are_counted),
		SPOOL_TEST(a_lower_bound_holds_at_once),
		SPOOL_TEST(refuses_what_is_no_folder),
	};

	return cmocka_run_group_tests_name("daemon/log_spool", tests, NULL, NULL);
}
