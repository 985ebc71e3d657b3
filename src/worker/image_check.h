// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Reads one image from the Docker Engine and compares it with its ID. Changes nothing.

#include "docker/engine.h"
#include "registry/image_archive.h"

#include <stdbool.h>
#include <stdint.h>

enum image_found {
	IMAGE_FOUND_OK,
	IMAGE_FOUND_DAMAGED,
	IMAGE_FOUND_MISSING,
	IMAGE_FOUND_UNREADABLE
};

/// "ok", "damaged", "missing", "unreadable". Static storage.
const char *image_found_name(enum image_found found);

struct image_check {
	const struct engine *engine;
	const struct engine_facts *facts;
	const struct wait_limit *limit;
	bool is_gentle;      ///< Rests as long as it works.
	uint64_t reserve_mb; ///< To stay free on the Engine's disk.
};

struct image_finding {
	enum image_found found;
	char *id;                     ///< NULL: unknown.
	char *platform;               ///< "linux/arm/v7"; NULL: unknown.
	struct image_verdict verdict; ///< `why` is the reason whatever was found.
	uint64_t bytes, ms;
};

/// `id` NULL: it is that of what has the name `ref`. LM_E_CANCELLED only.
lm_rc image_check(const struct image_check *check, const char *ref, const char *id,
	struct image_finding *ret, struct lm_err *err);
void image_finding_finish(struct image_finding *finding);
