// SPDX-License-Identifier: Apache-2.0

/// What registries and engines say of an image's layers, and registries of a compose file; the
/// platform is before the first line end.

#include "base/cleanup.h"
#include "docker/engine_images.h"
#include "registry/compose_manifest.h"
#include "registry/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lm_str body = {(const char *)data, size};
	struct lm_str wanted = lm_str_cut(&body, '\n');
	struct manifest_platform platform = {.os = "linux", .architecture = "arm", .variant = "v7"};
	struct lm_err err = {0};
	(void)!manifest_platform_parse(wanted, &platform, &err);
	lm_auto(manifest_finish) struct manifest m = {0};
	(void)!manifest_parse(body, &platform, &m, &err);
	lm_auto(image_layers_finish) struct image_layers wants = {0};
	(void)!manifest_config_layers(body, &wants.digests, &wants.n, &err);
	lm_auto(compose_manifest_finish) struct compose_manifest file = {0};
	if (compose_manifest_parse(body, &file, &err) == LM_OK &&
		!compose_manifest_is_digest(lm_str(file.digest)))
		__builtin_trap();
	lm_auto(image_layers_finish) struct image_layers has = {0};
	(void)!engine_parse_image_layers(body, &has, &err);
	if (image_layers_shared(&wants, &has, 1) > wants.n)
		__builtin_trap();
	lm_auto(engine_image_list_finish) struct engine_image_list list = {0};
	(void)!engine_parse_image_list(body, &list, &err);
	return 0;
}
