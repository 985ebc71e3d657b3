// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Reads a tar archive that comes piece by piece, in constant memory: ustar, with the long names
/// and large sizes of GNU tar and pax. Pure: what the archive holds is handed over, nothing is
/// written anywhere. Sparse files are refused.

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum { TAR_BLOCK = 512, TAR_NAME_MAX = 4096 };

enum tar_kind {
	TAR_FILE,
	TAR_LINK, ///< Symbolic or hard.
	TAR_DIRECTORY,
	TAR_OTHER, ///< Devices, FIFOs, and what we do not know.
};

struct tar_entry {
	enum tar_kind kind;
	const char *name; ///< Borrowed for the call.
	uint64_t size;    ///< Of the content that follows.
};

/// A failure of any of them ends the reading with that error.
struct tar_handler {
	lm_rc (*begin)(void *ctx, const struct tar_entry *entry, struct lm_err *err);
	/// The next bytes of the content.
	lm_rc (*content)(void *ctx, struct lm_str piece, struct lm_err *err);
	/// The content is complete. Called for each entry, whatever its size.
	lm_rc (*end)(void *ctx, struct lm_err *err);
	void *ctx;
};

struct tar_stream {
	struct tar_handler handler;
	char block[TAR_BLOCK]; ///< The header that is being collected.
	size_t block_n;
	uint64_t left;    ///< Of the content.
	unsigned padding; ///< Behind it, up to the next block.
	enum tar_part {
		TAR_PART_HEADER,
		TAR_PART_CONTENT,
		TAR_PART_LONG_NAME, ///< GNU's: the name of the next entry.
		TAR_PART_PAX,       ///< Attributes of the next entry.
		TAR_PART_IGNORED,
		TAR_PART_PADDING,
		TAR_PART_ENDED,
	} part;
	struct lm_buf extra; ///< Content of LONG_NAME or PAX.
	struct lm_buf name;  ///< For the next entry; empty: its header has it.
	bool has_size;       ///< PAX had one.
	uint64_t size;
};

void tar_stream_init(struct tar_stream *t, const struct tar_handler *handler);
void tar_stream_finish(struct tar_stream *t);
/// LM_E_PROTOCOL: that is no tar archive, or a sparse file. LM_E_TOO_LARGE: a name over
/// TAR_NAME_MAX, or attributes over 64 KB. After an error nothing more can be fed. What comes
/// behind the end of the archive is ignored.
lm_rc tar_stream_feed(struct tar_stream *t, struct lm_str piece, struct lm_err *err);
/// Whether the archive's own end has come.
bool tar_stream_has_ended(const struct tar_stream *t);
