// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Fields of a small XML document, as AWS services answer with: elements, text, the five named
/// entities and the numbered ones. Attributes, comments and declarations are passed over. It is not
/// an XML parser otherwise.

#include "base/str.h"

#include <stddef.h>

struct xml_field {
	/// The elements from the root to one that holds nothing but text, as a pattern of
	/// fnmatch(3) in which '*' takes no '/': "/Error/Code", "/*Response/*Result/Arn".
	const char *path;
	char *out;
	size_t size;
};

/// Fills the fields, up to the end of the root or until the document stops making sense. The first
/// element of a path counts. Texts have their entities decoded and no spaces at their ends, and are
/// UTF-8, cut at `size`; what is no entity stays as it is. A field that is absent is "". An element
/// whose path is over 255 bytes is passed over.
void xml_read_fields(struct lm_str xml, const struct xml_field *fields, size_t n);
