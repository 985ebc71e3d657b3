// SPDX-License-Identifier: Apache-2.0

/// What `docker-compose config` prints, as far as a plan reads it.

#include "base/cleanup.h"
#include "docker/compose_hashes.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lm_str text = {(const char *)data, size};
	struct lm_err err = {0};
	lm_auto(compose_hashes_finish) struct compose_hashes hashes = {0};
	(void)!compose_hashes_parse(text, &hashes, &err);
	(void)compose_hashes_get(&hashes, "web");
	for (unsigned generation = 1; generation <= 2; generation++) {
		lm_auto(compose_ties_finish) struct compose_ties ties = {0};
		(void)!compose_ties_parse(text, generation, &ties, &err);
		(void)compose_ties_get(&ties, "web");
	}
	return 0;
}
