// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Writes tar archives for tests, piece by piece, also such as no tool writes.

#include "base/buf.h"

#include <stdio.h>
#include <string.h>

enum { TAR_MAKER_MAX = 4 << 20 };

/// A header of type `type` whose size field holds `size`, with its checksum.
static inline void tar_header(struct lm_buf *tar, const char *name, char type, size_t size)
{
	char block[512] = {0};
	char number[32];
	unsigned sum = 0;

	memcpy(block, name, strnlen(name, 100));
	memcpy(block + 100, "0000644", 8);
	(void)snprintf(number, sizeof(number), "%011zo", size);
	memcpy(block + 124, number, 12);
	block[156] = type;
	memcpy(block + 257, "ustar\00000", 8);
	memset(block + 148, ' ', 8);
	for (size_t i = 0; i < sizeof(block); i++)
		sum += (unsigned char)block[i];
	(void)snprintf(number, sizeof(number), "%06o", sum);
	memcpy(block + 148, number, 7);
	(void)lm_buf_add(tar, block, sizeof(block));
}

/// Content, up to the end of its last block.
static inline void tar_content(struct lm_buf *tar, struct lm_str content)
{
	static const char zeros[512];

	(void)lm_buf_add_str(tar, content);
	(void)lm_buf_add(tar, zeros, (512 - content.n % 512) % 512);
}

static inline void tar_file(struct lm_buf *tar, const char *name, struct lm_str content)
{
	tar_header(tar, name, '0', content.n);
	tar_content(tar, content);
}

static inline void tar_end(struct lm_buf *tar)
{
	static const char zeros[1024];

	(void)lm_buf_add(tar, zeros, sizeof(zeros));
}
