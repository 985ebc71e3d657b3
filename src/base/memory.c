// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"

#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void lm_out_of_memory(void)
{
	static const char line[] = "out of memory: aborting; the next start recovers\n";

	(void)!write(STDERR_FILENO, line, sizeof(line) - 1);
	abort();
}

void *lm_xmalloc(size_t size)
{
	void *p = malloc(size ? size : 1);

	if (!p)
		lm_out_of_memory();
	return p;
}

void *lm_xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (!p)
		lm_out_of_memory();
	return p;
}

void *lm_xrealloc(void *p, size_t size)
{
	void *bigger = realloc(p, size ? size : 1);

	if (!bigger)
		lm_out_of_memory();
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
		lm_out_of_memory();
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

/// Relocation wrote into its code, which is therefore no longer as in the file.
static bool has_text_relocations(const struct dl_phdr_info *object)
{
	for (unsigned i = 0; i < object->dlpi_phnum; i++) {
		if (object->dlpi_phdr[i].p_type != PT_DYNAMIC)
			continue;
		const ElfW(Dyn) *d =
			// NOLINTNEXTLINE(performance-no-int-to-ptr): addresses come as numbers here
			(const void *)(object->dlpi_addr + object->dlpi_phdr[i].p_vaddr);
		for (; d->d_tag != DT_NULL; d++) {
			if (d->d_tag == DT_TEXTREL ||
				(d->d_tag == DT_FLAGS && (d->d_un.d_val & DF_TEXTREL)))
				return true;
		}
	}
	return false;
}

/// The pages of a read-only segment are the file's, and nobody has changed them, so that dropping
/// them loses nothing. A writable segment must never come here, not even the part of it that was
/// made read-only after relocation (RELRO): its pages differ from the file.
static size_t drop(uintptr_t base, const ElfW(Phdr) * segment, uintptr_t page)
{
	uintptr_t begin = (base + segment->p_vaddr) & ~(page - 1);
	uintptr_t end = (base + segment->p_vaddr + segment->p_memsz + page - 1) & ~(page - 1);

	// NOLINTNEXTLINE(performance-no-int-to-ptr)
	return madvise((void *)begin, end - begin, MADV_DONTNEED) == 0 ? end - begin : 0;
}

static int drop_object(struct dl_phdr_info *object, size_t size, void *ctx)
{
	size_t *dropped = ctx;
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	(void)size;
	if (has_text_relocations(object))
		return 0;
	for (unsigned i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &object->dlpi_phdr[i];

		if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W))
			*dropped += drop(object->dlpi_addr, segment, page);
	}
	return 0;
}

size_t lm_memory_give_back(void)
{
	size_t dropped = 0;

	(void)malloc_trim(0);
	(void)dl_iterate_phdr(drop_object, &dropped);
	return dropped;
}
