// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__)
#define LM_TEST_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LM_TEST_ASAN
#endif
#endif

static void nothing_asked_for_is_still_memory(void **state)
{
	(void)state;
	char *a = lm_xmalloc(0);
	char *b = lm_xcalloc(0, 8);
	char *c = lm_xrealloc(NULL, 0);

	assert_non_null(a);
	assert_non_null(b);
	assert_non_null(c);
	free(a);
	free(b);
	free(c);
}

static void calloc_is_zeroed(void **state)
{
	(void)state;
	static const char zeros[64];
	char *p = lm_xcalloc(8, 8);

	assert_memory_equal(p, zeros, 64);
	free(p);
}

static void memdup0_copies_and_ends_with_nul(void **state)
{
	(void)state;
	char *p = lm_xmemdup0("a\0bc", 3);
	char *empty = lm_xmemdup0(NULL, 0);

	assert_memory_equal(p, "a\0b", 4);
	assert_string_equal(empty, "");
	free(p);
	free(empty);
}

static void asprintf_formats(void **state)
{
	(void)state;
	char *p = lm_xasprintf("%s-%d", "a", 7);

	assert_string_equal(p, "a-7");
	free(p);
}

static void out_of_memory_says_so_and_aborts(void **state)
{
	(void)state;
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		const struct rlimit none = {0, 0};
		// n * size does not fit into size_t, which no allocator can give
		volatile size_t n = SIZE_MAX / 4;

		(void)setrlimit(RLIMIT_CORE, &none);
		(void)signal(SIGABRT, SIG_DFL);
		(void)dup2(ends[1], STDERR_FILENO);
		free(lm_xcalloc(n, 8));
		_exit(0);
	}
	(void)close(ends[1]);
	char said[4096] = "";
	size_t have = 0;
	for (ssize_t n; (n = read(ends[0], said + have, sizeof(said) - 1 - have)) > 0;)
		have += (size_t)n;
	(void)close(ends[0]);
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
#ifdef LM_TEST_ASAN // its allocator ends the program in its own way
	assert_int_not_equal(status, 0);
#else
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	assert_string_equal(said, "out of memory: aborting; the next start recovers\n");
#endif
}

enum {
	TABLE_SIZE = 1 << 20, // more than what the kernel maps around a page that is touched
	BLOCK_SIZE = 1024,
	BLOCKS = 4096
};

/// In the read-only segment, in the relocated one, and in the two writable ones.
static const char TABLE[TABLE_SIZE] = {[0] = 'a', [TABLE_SIZE / 2] = 'b', [TABLE_SIZE - 1] = 'c'};
static const char *const RELOCATED[] = {"first", "second"};
static char initialised[TABLE_SIZE] = {[0] = 'd'};
static char zeroed[TABLE_SIZE];

/// The number behind `key` ("Rss:") in kB, over all the mapping that holds `address`, or (NULL) in
/// the whole process.
static long kilobytes(const char *key, const void *address)
{
	FILE *f = fopen(address ? "/proc/self/smaps" : "/proc/self/smaps_rollup", "re");
	char line[4096], word[64];
	unsigned long begin, end;
	bool inside = address == NULL;
	long n, found = -1;

	assert_non_null(f);
	while (found < 0 && fgets(line, sizeof(line), f)) {
		if (address && sscanf(line, "%lx-%lx ", &begin, &end) == 2)
			inside = begin <= (uintptr_t)address && (uintptr_t)address < end;
		else if (inside && sscanf(line, "%63s %ld", word, &n) == 2 &&
			 strcmp(word, key) == 0)
			found = n;
	}
	(void)fclose(f);
	return found;
}

static long touch(const char *p, size_t n)
{
	long sum = 0;

	for (size_t i = 0; i < n; i += 512)
		sum += ((const volatile char *)p)[i];
	return sum + ((const volatile char *)p)[n - 1];
}

static void gives_back_what_is_on_disk_and_gets_it_again(void **state)
{
	(void)state;
	long sum = touch(TABLE, sizeof(TABLE));
	long before = kilobytes("Rss:", TABLE);

	assert_true(before >= TABLE_SIZE / 1024);
	assert_true(lm_memory_give_back() > TABLE_SIZE);
	assert_true(kilobytes("Rss:", TABLE) <= before - TABLE_SIZE / 1024 / 2);
	assert_int_equal(touch(TABLE, sizeof(TABLE)), sum);
}

static void keeps_what_was_written(void **state)
{
	(void)state;
	memset(initialised, 'x', sizeof(initialised));
	memset(zeroed, 'y', sizeof(zeroed));
	char *heap = strdup("on the heap");
	char stack[] = "on the stack";

	assert_true(lm_memory_give_back() > 0);
	assert_int_equal(initialised[0], 'x');
	assert_int_equal(initialised[TABLE_SIZE - 1], 'x');
	assert_int_equal(zeroed[0], 'y');
	assert_int_equal(zeroed[TABLE_SIZE - 1], 'y');
	assert_string_equal(heap, "on the heap");
	assert_string_equal(stack, "on the stack");
	assert_string_equal(RELOCATED[1], "second");
	assert_int_equal(TABLE[TABLE_SIZE / 2], 'b');
	free(heap);
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define OTHER_HEAP
#endif
#endif

static void gives_back_a_heap_that_has_become_empty(void **state)
{
	static char *blocks[BLOCKS];

	(void)state;
#ifdef OTHER_HEAP
	skip(); // the sanitizer's own heap keeps freed memory, to find its users
#endif
	for (size_t i = 0; i < BLOCKS; i++) {
		blocks[i] = malloc(BLOCK_SIZE);
		assert_non_null(blocks[i]);
		memset(blocks[i], 'z', BLOCK_SIZE);
	}
	char *last = strdup("holds the end of the heap");
	for (size_t i = 0; i < BLOCKS; i++)
		free(blocks[i]);
	long before = kilobytes("Anonymous:", NULL);
	(void)lm_memory_give_back();
	assert_true(kilobytes("Anonymous:", NULL) <= before - BLOCKS * BLOCK_SIZE / 1024 / 2);
	assert_string_equal(last, "holds the end of the heap");
	free(last);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_asked_for_is_still_memory),
		cmocka_unit_test(calloc_is_zeroed),
		cmocka_unit_test(memdup0_copies_and_ends_with_nul),
		cmocka_unit_test(asprintf_formats),
		cmocka_unit_test(out_of_memory_says_so_and_aborts),
		cmocka_unit_test(gives_back_what_is_on_disk_and_gets_it_again),
		cmocka_unit_test(keeps_what_was_written),
		cmocka_unit_test(gives_back_a_heap_that_has_become_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
