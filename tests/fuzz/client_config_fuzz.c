// SPDX-License-Identifier: Apache-2.0
#include "docker/client_config.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/// The input as a config.json: every login has a name, every helper one that is no path.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto_client_config struct client_config c = {0};

	if (client_config_parse((struct lm_str){(const char *)data, size}, &c, NULL) != LM_OK)
		return 0;
	for (size_t i = 0; i < c.logins.n; i++)
		if (!*c.logins.items[i].username || !*c.logins.items[i].registry)
			abort();
	for (size_t i = 0; i < c.helpers_n; i++)
		if (strchr(c.helpers[i].suffix, '/'))
			abort();
	if (c.store && strchr(c.store, '/'))
		abort();
	return 0;
}
