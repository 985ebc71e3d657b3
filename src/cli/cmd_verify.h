// SPDX-License-Identifier: Apache-2.0
#pragma once

/// `lighterman verify`.

#include "base/buf.h"
#include "cli/options.h"
#include "sys/json.h"

int cmd_verify(const struct call *call);

/// What is printed of one image's `verify` object: "damaged     web:1, of generation 3: layer …".
/// Pure; the caller frees. NULL: nothing.
char *verify_render_image(const json_t *verify);
/// Appends ", of generation 3", or ", of generations 3, 2". Pure.
void verify_render_generations(struct lm_buf *out, const json_t *generations);
