// SPDX-License-Identifier: Apache-2.0
#pragma once

/// An image as an engine exports it (`docker save`), compared with its ID while it comes, piece by
/// piece, in constant memory. The ID is the SHA-256 of the image's configuration, which has those
/// of its layers ("diff IDs"); with containerd's image store it is that of a manifest or an index,
/// which names the configuration. So it does not matter how the archive calls its files: of each
/// the SHA-256 is taken, as it is and, if it is compressed, unpacked. Pure.
///
/// What is as its digest says but cannot be understood is not damaged: another copy of it would be
/// the same.
///
/// https://github.com/opencontainers/image-spec (the format of Engine 25 and later) and
/// https://github.com/moby/docker-image-spec (that of earlier ones) describe the archive.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct image_archive;

/// `id` is "sha256:…"; borrowed. At most `unpacked_max` bytes of what is compressed are unpacked.
/// LM_E_INVALID: it is no ID.
lm_rc image_archive_create(
	const char *id, uint64_t unpacked_max, struct image_archive **ret, struct lm_err *err);
/// Takes NULL.
void image_archive_destroy(struct image_archive *a);
LM_DEFINE_CLEANUP(struct image_archive, image_archive_destroy)

/// LM_E_PROTOCOL: that is no archive. LM_E_TOO_LARGE: it has too many files, documents that are too
/// large, or more than `unpacked_max` bytes. After an error nothing more can be fed.
lm_rc image_archive_feed(struct image_archive *a, struct lm_str piece, struct lm_err *err);

struct image_verdict {
	bool is_sound;
	unsigned layers;           ///< How many the image has; 0: unknown.
	unsigned layer;            ///< The lowest damaged one, counted from 1; 0: none.
	char diff_id[128];         ///< Of that one.
	char why[LM_ERR_MSG_SIZE]; ///< A sentence; "" if it is sound.
};

/// All of it was fed. LM_E_PROTOCOL: the archive is incomplete, which says nothing of the image.
/// LM_E_INVALID, LM_E_TOO_LARGE: the image's own description is as it was pulled, and cannot be
/// understood.
lm_rc image_archive_end(struct image_archive *a, struct image_verdict *ret, struct lm_err *err);
