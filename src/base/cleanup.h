// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Cleanup beside acquisition: declare with lm_auto_*, initialise at once, hand over with lm_take.
///
///     lm_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
///     lm_auto_free char *text = lm_xmalloc(size);
///     …
///     *ret_text = lm_take(text);

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void lm_cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void lm_cleanup_close(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static inline void lm_cleanup_fclose(FILE **f)
{
	if (*f)
		(void)fclose(*f);
}

static inline void lm_cleanup_closedir(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

#define lm_auto(fn) __attribute__((cleanup(fn)))
#define lm_auto_free lm_auto(lm_cleanup_free)
#define lm_auto_close lm_auto(lm_cleanup_close)
#define lm_auto_fclose lm_auto(lm_cleanup_fclose)
#define lm_auto_closedir lm_auto(lm_cleanup_closedir)

#if defined(__cppcheck__) // It does not read the others where they stand in an initializer.
#define lm_take(p) (p)
#define lm_take_fd(fd) (fd)
#else
/// The pointer, leaving NULL behind.
#define lm_take(p)                                                                                 \
	({                                                                                         \
		__typeof__(p) lm_taken_ = (p);                                                     \
		(p) = NULL;                                                                        \
		lm_taken_;                                                                         \
	})

/// The descriptor, leaving -1 behind.
#define lm_take_fd(fd)                                                                             \
	({                                                                                         \
		int lm_taken_ = (fd);                                                              \
		(fd) = -1;                                                                         \
		lm_taken_;                                                                         \
	})
#endif

#define LM_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/// Defines `name##_p`, a cleanup for variables of `type *` that calls `fn(*p)`.
#define LM_DEFINE_CLEANUP(type, fn)                                                                \
	static inline void fn##_p(type **p)                                                        \
	{                                                                                          \
		fn(*p);                                                                            \
	}
