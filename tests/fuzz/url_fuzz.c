// SPDX-License-Identifier: Apache-2.0
#include "http/url.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/// What was made of an address is made of itself again.
static void check_stable(const struct url *a)
{
	lm_auto_url struct url again = {0};
	const char *why = NULL;

	if (!url_parse(lm_str(a->origin), &again, &why) || strcmp(again.origin, a->origin) != 0 ||
		!lm_str_eq(again.host, a->host))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto_url struct url a = {0};
	struct lm_str text = {(const char *)data, size};
	const char *why = NULL;

	if (!url_parse(text, &a, &why)) {
		if (!why || a.origin)
			abort();
		return 0;
	}
	if (a.rest.p < text.p || a.rest.p + a.rest.n != text.p + text.n || !a.host.n)
		abort();
	check_stable(&a);
	return 0;
}
