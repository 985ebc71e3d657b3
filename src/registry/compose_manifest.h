// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The manifest of a compose file in a registry, as `docker compose publish` makes it: an artifact
/// of the type application/vnd.docker.compose.project (or, in registries of OCI 1.0, with a
/// configuration of the type application/vnd.docker.compose.config.empty.v1+json), whose layers are
/// compose files and env files. Pure.
/// https://docs.docker.com/compose/how-tos/oci-artifact/

#include "base/error.h"
#include "base/str.h"

#include <stdint.h>

struct compose_manifest {
	char *digest;   ///< Of the compose file: "sha256:" and 64 hexadecimal digits.
	uint64_t bytes; ///< At most LIMIT_COMPOSE_FILE.
};

/// Finds the one compose file. LM_E_INVALID: the manifest is of something else (an image, an
/// index, another artifact), or of more than one compose file alone; the message has what to do.
/// LM_E_TOO_LARGE: the compose file is over LIMIT_COMPOSE_FILE, or the manifest has too many
/// layers or values. LM_E_PROTOCOL: it is no manifest.
lm_rc compose_manifest_parse(struct lm_str body, struct compose_manifest *ret, struct lm_err *err);
void compose_manifest_finish(struct compose_manifest *m);

/// Whether a text is "sha256:" and 64 hexadecimal digits in lower case.
bool compose_manifest_is_digest(struct lm_str text);
