// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What an image is made of, as its registry describes it: the index (one image for several
/// platforms), the manifest (its layers and their sizes), and the configuration, which names the
/// layers as an engine does. OCI's documents and Docker's older names for the same. Pure.
/// https://github.com/opencontainers/image-spec

#include "base/error.h"
#include "base/str.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// The media types to ask for, in the order of preference. NULL-terminated.
extern const char *const MANIFEST_TYPES[];

/// "linux/arm/v7", taken apart. Empty texts: any.
struct manifest_platform {
	char os[32], architecture[32], variant[32];
};

/// LM_E_INVALID: it is not OS/ARCHITECTURE[/VARIANT]; an architecture alone is one of Linux.
/// The names that `uname` has for architectures are understood.
lm_rc manifest_platform_parse(
	struct lm_str text, struct manifest_platform *ret, struct lm_err *err);

struct manifest_layer {
	char *digest;   ///< Of what is downloaded.
	uint64_t bytes; ///< As it is downloaded.
	bool packed;    ///< It is compressed.
};

struct manifest {
	char *child;  ///< Of an index: the digest of the manifest for the platform; the rest is
		      ///< empty.
	char *config; ///< Digest of the configuration.
	struct manifest_layer *layers; ///< From the base upwards.
	size_t layers_n;
};

/// Parses a manifest, an index or a configuration. LM_E_PROTOCOL: it is not a JSON object.
/// LM_E_TOO_LARGE: it would take too much memory.
lm_rc manifest_parse_json(struct lm_str text, json_t **ret, struct lm_err *err);

/// Reads an index or a manifest. LM_E_NOT_FOUND: an index without an image for the platform; the
/// message names those that it has. LM_E_PROTOCOL: it is neither. LM_E_TOO_LARGE: over
/// LIMIT_LAYERS.
lm_rc manifest_parse(struct lm_str body, const struct manifest_platform *platform,
	struct manifest *ret, struct lm_err *err);
void manifest_finish(struct manifest *m);

/// The layers that an image's configuration names, from the base upwards, as engines name them:
/// digests of their unpacked contents. The caller frees each and the list. LM_E_PROTOCOL,
/// LM_E_TOO_LARGE (over LIMIT_LAYERS).
lm_rc manifest_config_layers(
	struct lm_str body, char ***ret_digests, size_t *ret_n, struct lm_err *err);
