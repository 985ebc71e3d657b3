// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
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
	assert_string_equal(said, "out of memory: ending, the next start recovers\n");
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_asked_for_is_still_memory),
		cmocka_unit_test(calloc_is_zeroed),
		cmocka_unit_test(memdup0_copies_and_ends_with_nul),
		cmocka_unit_test(asprintf_formats),
		cmocka_unit_test(out_of_memory_says_so_and_aborts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
