// SPDX-License-Identifier: Apache-2.0

/// What `docker-compose config` prints, as far as conflicts are looked for in it.

#include "base/cleanup.h"
#include "docker/compose_requirements.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lm_str text = {(const char *)data, size};
	struct lm_err err = {0};

	for (unsigned generation = 1; generation <= 2; generation++) {
		lm_auto(compose_services_finish) struct compose_services services = {0};
		lm_auto(compose_resources_finish) struct compose_resources found = {0};
		(void)!compose_services_parse(text, &services, &err);
		(void)!compose_resources_parse(
			text, "project", generation, &services, &found, &err);
	}
	return 0;
}
