// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What an object store answered with, whichever store it is.

#include "base/buf.h"
#include "base/cleanup.h"

#include <stdlib.h>

struct stored_object {
	struct lm_buf text;
	char *version; ///< As the store named it ("null" is a name, too); NULL if it named none.
};

static inline void stored_object_finish(struct stored_object *o)
{
	lm_buf_finish(&o->text);
	free(o->version);
	*o = (struct stored_object){0};
}
#define lm_auto_stored_object lm_auto(stored_object_finish)
