// SPDX-License-Identifier: Apache-2.0
#pragma once

/// An allocator for libraries that handle our secrets (libcurl, jansson): like malloc, but memory
/// is wiped before it is given back. Without memory the program ends, as by lm_xmalloc: what a
/// library makes of a failed allocation is not tested.

#include <stddef.h>

void *wiping_malloc(size_t size);
void *wiping_calloc(size_t n, size_t size);
void *wiping_realloc(void *p, size_t size);
char *wiping_strdup(const char *s);
void wiping_free(void *p);
