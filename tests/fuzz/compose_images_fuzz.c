// SPDX-License-Identifier: Apache-2.0

/// What a person's compose file, and what `docker-compose config` makes of it, can do to us.

#include "base/cleanup.h"
#include "docker/compose_file.h"
#include "docker/images.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lm_str text = {(const char *)data, size};
	struct lm_err err = {0};
	(void)!compose_file_check(text, &err);
	lm_auto(compose_services_finish) struct compose_services services = {0};
	if (compose_services_parse(text, &services, &err) != LM_OK)
		return 0;
	lm_auto_free struct compose_image *images = NULL;
	size_t n = compose_services_images(&services, 2, &images);
	for (size_t i = 0; i < n; i++) {
		lm_auto(image_ref_finish) struct image_ref ref = {0};
		(void)!image_ref_parse(lm_str(images[i].image), &ref, &err);
	}
	return 0;
}
