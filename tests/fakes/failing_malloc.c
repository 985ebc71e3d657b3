// SPDX-License-Identifier: Apache-2.0
//
// To be preloaded: in the program that $LD_FAILING_MALLOC names, "PROGRAM N", the N-th allocation
// fails, once. With 0 for N none fails, and at its exit the program says how many it has made. What
// the C library needs before main is not counted. (The variable's name begins as it does because
// lightermand gives its workers such variables only.)

#include <errno.h>
#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);

enum { FRAMES = 24 };

static unsigned long count, fatal;
static int is_named;

__attribute__((constructor)) static void start(void)
{
	const char *setting = getenv("LD_FAILING_MALLOC");
	const char *space = setting ? strchr(setting, ' ') : NULL;
	size_t n = strlen(program_invocation_short_name);
	void *frames[FRAMES];

	(void)backtrace(frames, FRAMES); // its first call allocates
	if (space && (size_t)(space - setting) == n &&
		memcmp(setting, program_invocation_short_name, n) == 0)
		fatal = strtoul(space + 1, NULL, 10), is_named = 1;
}

__attribute__((destructor)) static void end(void)
{
	char line[64];

	if (!is_named || fatal > 0)
		return;
	int n = snprintf(line, sizeof(line), "failing_malloc: %lu allocations\n", count);
	(void)!write(STDERR_FILENO, line, (size_t)n);
}

static int fails(void)
{
	void *frames[FRAMES];
	static const char told[] = "failing_malloc: this one fails\n";

	// Another thread may be here at the same time; then none fails.
	if (!is_named || ++count != fatal)
		return 0;
	is_named = 0; // also for what follows
	(void)!write(STDERR_FILENO, told, sizeof(told) - 1);
	backtrace_symbols_fd(frames, backtrace(frames, FRAMES), STDERR_FILENO);
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	return fails() ? NULL : __libc_realloc(p, size);
}
