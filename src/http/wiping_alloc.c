// SPDX-License-Identifier: Apache-2.0
#include "http/wiping_alloc.h"

#include "base/memory.h"
#include "base/secret.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

void *wiping_malloc(size_t size)
{
	return lm_xmalloc(size);
}

void *wiping_calloc(size_t n, size_t size)
{
	return lm_xcalloc(n, size);
}

void wiping_free(void *p)
{
	if (p)
		lm_wipe(p, malloc_usable_size(p));
	free(p);
}

void *wiping_realloc(void *p, size_t size)
{
	// realloc() may move the bytes and leave a copy behind, so it is never used to move.
	size_t old = p ? malloc_usable_size(p) : 0;
	void *q = lm_xmalloc(size);

	if (p) {
		memcpy(q, p, old < size ? old : size);
		wiping_free(p);
	}
	return q;
}

char *wiping_strdup(const char *s)
{
	return lm_xstrdup(s);
}
