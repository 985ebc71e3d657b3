// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Image references, by the grammar of https://pkg.go.dev/github.com/distribution/reference.
/// Pure text; nothing here asks a registry.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"

struct image_ref {
	char *name;       ///< As written, without tag and digest: what the engine is asked for.
	char *registry;   ///< "docker.io", "localhost:5000"
	char *repository; ///< "library/nginx", "demo/web"
	char *tag;        ///< NULL if there is none.
	char *digest;     ///< "sha256:…", NULL if there is none.
};

/// LM_E_INVALID: not a reference; the message names it.
lm_rc image_ref_parse(struct lm_str text, struct image_ref *ret, struct lm_err *err);
void image_ref_finish(struct image_ref *ref);
/// What the engine's `tag` parameter takes: the digest, else the tag, else "latest".
const char *image_ref_version(const struct image_ref *ref);
