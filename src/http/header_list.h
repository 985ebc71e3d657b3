// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A list of HTTP headers, each value in wiped memory: signatures and session tokens pass here.

#include "base/cleanup.h"
#include "base/secret.h"
#include "base/str.h"

#include <stddef.h>

struct header {
	char *name;
	struct lm_secret value;
};

struct header_list {
	struct header *items;
	size_t n;
};

/// Adds a copy.
void header_list_add(struct header_list *list, struct lm_str name, struct lm_str value);
/// Value of the first header of that name (without regard to case), or an empty text. Borrowed.
struct lm_str header_list_get(const struct header_list *list, const char *name);
/// Wipes and frees; the list stays usable.
void header_list_finish(struct header_list *list);
#define lm_auto_header_list lm_auto(header_list_finish)
