// SPDX-License-Identifier: Apache-2.0
#pragma once

/// From when until when a certificate is valid: what a server that does not accept it may not tell.

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct certificate_dates {
	int64_t from_ms, until_ms; ///< Wall clock.
};

/// Of the first certificate in the PEM `text` or, if that is empty, in the file `path`. False:
/// there is none that can be read.
bool certificate_dates_read(const char *path, struct lm_str text, struct certificate_dates *ret);
