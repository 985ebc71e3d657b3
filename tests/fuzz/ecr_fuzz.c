// SPDX-License-Identifier: Apache-2.0
#include "aws/ecr.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/// The input as a registry's host, as a text with such hosts in it, and as a token.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lm_str text = {(const char *)data, size};
	struct ecr_registry registry;
	lm_auto_secret struct lm_secret password = {0};
	lm_auto_free char *username = NULL;

	if (ecr_registry_parse(text, &registry) &&
		(strlen(registry.account) != 12 || !*registry.region))
		abort();
	struct lm_str rest = text, host;
	while (ecr_registry_scan(&rest, &host, &registry))
		if (host.p < text.p || host.p + host.n != rest.p ||
			rest.p + rest.n != text.p + text.n)
			abort();
	if (ecr_token_parse(text, &username, &password) && (!*username || !password.len))
		abort();
	return 0;
}
