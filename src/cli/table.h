// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Columns of text. Pure.

#include "base/buf.h"

#include <stddef.h>

enum { TABLE_COLUMNS_MAX = 6 };

struct table {
	size_t columns;
	char **cells; ///< Owned; row by row.
	size_t n;     ///< Of the cells.
};

/// Adds a cell, to the right of the last one, or in the next row. Takes the text over; it must be
/// fit for a terminal. NULL or "" is shown as "-".
void table_add(struct table *t, char *cell);
/// Prints the table, each column as wide as its widest cell, and frees it.
void table_print(struct table *t, struct lm_buf *out);
