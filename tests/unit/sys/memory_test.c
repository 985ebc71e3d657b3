// SPDX-License-Identifier: Apache-2.0
#include "sys/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

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
	assert_true(memory_give_back() > TABLE_SIZE);
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

	assert_true(memory_give_back() > 0);
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
	(void)memory_give_back();
	assert_true(kilobytes("Anonymous:", NULL) <= before - BLOCKS * BLOCK_SIZE / 1024 / 2);
	assert_string_equal(last, "holds the end of the heap");
	free(last);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_back_what_is_on_disk_and_gets_it_again),
		cmocka_unit_test(keeps_what_was_written),
		cmocka_unit_test(gives_back_a_heap_that_has_become_empty),
	};

	return cmocka_run_group_tests_name("sys/memory", tests, NULL, NULL);
}
