// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What we read in compose files: whether one is worth giving to compose, and which images the
/// resolved one names. Pure.

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

/// Checks a compose file as a person wrote it: YAML, a mapping, at least one service. Format 1
/// (services at the top) and files that only `include` others pass: compose decides about them.
/// LM_E_INVALID: the message names line and column.
lm_rc compose_file_check(struct lm_str text, struct lm_err *err);

struct compose_service {
	char *name;
	char *image;    ///< NULL if it has none.
	char *platform; ///< NULL if none is asked for.
	bool has_build; ///< Its image is built by `up`, not pulled.
	bool has_profiles;
};

struct compose_services {
	struct compose_service *items;
	size_t n;
};

/// Reads the services out of what `config` printed. LM_E_INVALID, LM_E_TOO_LARGE (over
/// LIMIT_SERVICES).
lm_rc compose_services_parse(
	struct lm_str config, struct compose_services *ret, struct lm_err *err);
void compose_services_finish(struct compose_services *services);

/// An image to be pulled; texts are borrowed from the services.
struct compose_image {
	const char *image;
	const char *platform; ///< NULL if none is asked for.
};

/// The images of services that are not built, each once (once for each platform). The caller frees
/// the array. `generation` is compose's: 1 prints services of profiles that nobody asked for too,
/// which are left to `up`; from 2 on, what is printed is wanted.
size_t compose_services_images(
	const struct compose_services *services, unsigned generation, struct compose_image **ret);
