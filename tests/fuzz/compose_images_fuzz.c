// SPDX-License-Identifier: Apache-2.0

/// What a person's compose file, and what `docker-compose config` makes of it, can do to us.

#include "base/cleanup.h"
#include "docker/compose_file.h"
#include "docker/compose_variables.h"
#include "docker/image_ref.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(void *ctx, const char *message)
{
	(void)ctx;
	(void)message;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lm_str text = {(const char *)data, size};
	struct lm_err err = {0};
	for (unsigned generation = 0; generation <= 2; generation++)
		(void)!compose_file_check(text, generation, &err);
	compose_lint(text, 1, ignore, NULL);
	compose_file_explain_inactive(text, &err);
	lm_auto(compose_services_finish) struct compose_services services = {0};
	if (compose_services_parse(text, &services, &err) != LM_OK)
		return 0;
	const unsigned generation = size % 2 + 1;
	const struct compose_images_options options = {
		.project = "p", .generation = generation, .default_platform = "linux/arm64"};
	lm_auto(compose_images_finish) struct compose_images images = {0};
	lm_auto(compose_variables_finish) struct compose_variables variables = {0};

	if (compose_variables_parse(text, &variables, &err) == LM_OK)
		(void)!compose_services_activate(
			&services, generation, lm_str(variables.profiles), &err);
	compose_images_make(&services, &options, &images);
	for (size_t i = 0; i < images.n; i++)
		(void)image_platform_fits("linux/amd64",
			images.items[i].platform ? images.items[i].platform : images.items[i].name,
			"linux/arm/v7");
	return 0;
}
