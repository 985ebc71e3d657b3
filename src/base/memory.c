// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((noreturn, cold)) static void out_of_memory(void)
{
	static const char line[] = "out of memory: ending, the next start recovers\n";

	(void)!write(STDERR_FILENO, line, sizeof(line) - 1);
	abort();
}

void *lm_xmalloc(size_t size)
{
	void *p = malloc(size ? size : 1);

	if (!p)
		out_of_memory();
	return p;
}

void *lm_xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (!p)
		out_of_memory();
	return p;
}

void *lm_xrealloc(void *p, size_t size)
{
	void *bigger = realloc(p, size ? size : 1);

	if (!bigger)
		out_of_memory();
	return bigger;
}

char *lm_xstrdup(const char *s)
{
	return lm_xmemdup0(s, strlen(s));
}

char *lm_xmemdup0(const void *p, size_t n)
{
	char *copy = lm_xmalloc(n + 1);

	if (n)
		memcpy(copy, p, n);
	copy[n] = '\0';
	return copy;
}

char *lm_xvasprintf(const char *format, va_list ap)
{
	char *text = NULL;

	if (vasprintf(&text, format, ap) < 0 || !text)
		out_of_memory();
	return text;
}

char *lm_xasprintf(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	char *text = lm_xvasprintf(format, ap);
	va_end(ap);
	return text;
}
