// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Unpacks what may be compressed (gzip, zstd) and comes piece by piece, in constant memory. Pure.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>

struct unpacker;

enum { UNPACKER_MAGIC = 4 };
/// Whether a content that begins so is compressed in a way that is known here. `begin` has
/// UNPACKER_MAGIC bytes, or is the whole content.
bool unpacker_knows(struct lm_str begin);

/// The next unpacked bytes. False: no more of them are wanted.
typedef bool unpacker_out(void *ctx, struct lm_str piece);

/// For a content that unpacker_knows.
struct unpacker *unpacker_create(struct lm_str begin, unpacker_out *out, void *ctx)
	__attribute__((returns_nonnull));
/// Takes NULL.
void unpacker_destroy(struct unpacker *u);
LM_DEFINE_CLEANUP(struct unpacker, unpacker_destroy)
/// The whole content, from its first byte on. False: it is damaged, or no more is wanted; the rest
/// is ignored.
bool unpacker_feed(struct unpacker *u, struct lm_str piece);
/// Whether the content was complete.
bool unpacker_end(const struct unpacker *u);
