// SPDX-License-Identifier: Apache-2.0
#include "registry/unpacker.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum {
	OUT_SIZE = 64 << 10,
	GZIP_WINDOW = 15 + 16, ///< zlib's largest, of a gzip stream only.
};

static const char GZIP[] = {'\x1f', '\x8b'};
static const char ZSTD[] = {'\x28', '\xb5', '\x2f', '\xfd'};

struct unpacker {
	unpacker_out *out;
	void *ctx;
	z_stream gzip;
	ZSTD_DCtx *zstd;  ///< NULL: it is gzip.
	bool is_damaged;  ///< Or no more of it is wanted.
	bool is_complete; ///< So far: a stream has ended, and no other one has begun.
	char buffer[OUT_SIZE];
};

static bool starts_with(struct lm_str begin, const char *magic, size_t n)
{
	return lm_str_starts(begin, (struct lm_str){magic, n});
}

bool unpacker_knows(struct lm_str begin)
{
	return starts_with(begin, GZIP, sizeof(GZIP)) || starts_with(begin, ZSTD, sizeof(ZSTD));
}

struct unpacker *unpacker_create(struct lm_str begin, unpacker_out *out, void *ctx)
{
	struct unpacker *u = lm_xcalloc(1, sizeof(*u));

	u->out = out;
	u->ctx = ctx;
	if (starts_with(begin, ZSTD, sizeof(ZSTD))) {
		u->zstd = ZSTD_createDCtx();
		u->is_damaged = !u->zstd; // no memory
	} else {
		u->is_damaged = inflateInit2(&u->gzip, GZIP_WINDOW) != Z_OK;
	}
	return u;
}

void unpacker_destroy(struct unpacker *u)
{
	if (!u)
		return;
	if (u->zstd)
		(void)ZSTD_freeDCtx(u->zstd);
	else
		(void)inflateEnd(&u->gzip);
	free(u);
}

static bool hand_out(struct unpacker *u, size_t n)
{
	return n == 0 || u->out(u->ctx, (struct lm_str){u->buffer, n});
}

static bool feed_zstd(struct unpacker *u, struct lm_str piece)
{
	ZSTD_inBuffer in = {piece.p, piece.n, 0};
	bool is_full = false;

	while (in.pos < in.size || is_full) {
		ZSTD_outBuffer out = {u->buffer, sizeof(u->buffer), 0};
		size_t rest = ZSTD_decompressStream(u->zstd, &out, &in);

		if (ZSTD_isError(rest) || !hand_out(u, out.pos))
			return false;
		is_full = out.pos == out.size && rest != 0;
		u->is_complete = rest == 0;
	}
	return true;
}

/// A gzip file may be several streams, one behind the other.
static bool feed_gzip(struct unpacker *u, struct lm_str piece)
{
	z_stream *z = &u->gzip;
	bool is_full = false;

	z->next_in = (Bytef *)piece.p;
	z->avail_in = (uInt)piece.n;
	while (z->avail_in > 0 || is_full) {
		if (u->is_complete && inflateReset(z) != Z_OK)
			return false;
		z->next_out = (Bytef *)u->buffer;
		z->avail_out = sizeof(u->buffer);
		int code = inflate(z, Z_NO_FLUSH);
		if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
			return false;
		if (!hand_out(u, sizeof(u->buffer) - z->avail_out))
			return false;
		u->is_complete = code == Z_STREAM_END;
		is_full = z->avail_out == 0 && !u->is_complete;
	}
	return true;
}

bool unpacker_feed(struct unpacker *u, struct lm_str piece)
{
	if (!u->is_damaged && piece.n > 0)
		u->is_damaged = !(u->zstd ? feed_zstd(u, piece) : feed_gzip(u, piece));
	return !u->is_damaged;
}

bool unpacker_end(const struct unpacker *u)
{
	return !u->is_damaged && u->is_complete;
}
