// SPDX-License-Identifier: Apache-2.0
#include "cli/table.h"

#include "base/memory.h"
#include "cli/plain.h"

enum { GAP = 2 };

void table_add(struct table *t, char *cell)
{
	if (t->n % 64 == 0)
		t->cells = lm_xrealloc(t->cells, (t->n + 64) * sizeof(*t->cells));
	if (cell && *cell) {
		t->cells[t->n++] = cell;
		return;
	}
	free(cell);
	t->cells[t->n++] = lm_xstrdup("-");
}

void table_print(struct table *t, struct lm_buf *out)
{
	size_t widths[TABLE_COLUMNS_MAX] = {0};

	for (size_t i = 0; i < t->n; i++) {
		size_t width = plain_width(t->cells[i]);
		size_t *column = &widths[i % t->columns];
		*column = width > *column ? width : *column;
	}
	for (size_t i = 0; i < t->n; i++) {
		bool last = i % t->columns == t->columns - 1;

		if (last)
			(void)lm_buf_puts(out, t->cells[i]);
		else
			plain_add_padded(out, t->cells[i], widths[i % t->columns] + GAP);
		if (last || i == t->n - 1)
			(void)lm_buf_putc(out, '\n');
		free(t->cells[i]);
	}
	free(t->cells);
	*t = (struct table){.columns = t->columns};
}
