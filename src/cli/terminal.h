// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the stream that progress is printed to can show.

#include "cli/progress.h"

#include <stdio.h>

/// Looks at the stream and at TERM, NO_COLOR and the locale.
struct progress_style terminal_style(FILE *out);
/// Updates the size, which may change at any time.
void terminal_measure(FILE *out, struct progress_style *style);
