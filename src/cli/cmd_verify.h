// SPDX-License-Identifier: Apache-2.0
#pragma once

/// `lighterman verify`.

#include "cli/options.h"
#include "sys/json.h"

int cmd_verify(const struct call *call);

/// What is printed of one image's `verify` object: "damaged     web:1, of generation 3: layer …".
/// Pure; the caller frees. NULL: nothing.
char *verify_render_image(const json_t *verify);
