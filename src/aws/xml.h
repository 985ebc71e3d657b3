// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The texts of a small XML document, as AWS services answer with: elements, text, the five named
/// entities and the numbered ones. Attributes, comments and declarations are passed over. It is not
/// an XML parser otherwise.

#include "base/str.h"

#include <stddef.h>

enum { XML_PATH_MAX = 256 };

/// An element that holds nothing but text: the names from the root to it ("Error/Code") and the
/// text as it stands, with its entities. Borrowed for the call.
typedef void xml_text(void *ctx, struct lm_str path, struct lm_str text);

/// Calls `take` for each such element, in order, up to the end of the root or until the text stops
/// making sense. An element whose path is over XML_PATH_MAX is passed over.
void xml_each_text(struct lm_str xml, xml_text *take, void *ctx);
/// Writes a text with its entities decoded, without spaces at its ends, as UTF-8, cut at `size`;
/// what is no entity stays as it is. Always NUL-ended.
void xml_decode(struct lm_str text, char *out, size_t size);
