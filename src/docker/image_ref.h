// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What names an image: its reference, by the grammar of
/// https://pkg.go.dev/github.com/distribution/reference, and its platform. Pure text; nothing here
/// asks a registry.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>

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

/// Whether two texts name the same image: one without registry or tag is of the Docker Hub, and
/// "latest". What is no reference names none.
bool image_ref_is_same(const char *a, const char *b);

/// Whether an image made for `actual` serves who asked for `wanted`, on an engine that runs
/// containers of `own`. `wanted` may lack parts ("arm64", "linux") and use other names ("aarch64");
/// platforms are compared as the engine compares them. An unknown `actual` ("") serves.
bool image_platform_fits(const char *actual, const char *wanted, const char *own);
