// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A name with its value, both as they are meant: not encoded, not lower-cased. Borrowed.

#include "base/str.h"

struct http_pair {
	struct lm_str name;
	struct lm_str value;
};
