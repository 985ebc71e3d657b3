// SPDX-License-Identifier: Apache-2.0

/// Every reader of what an engine answers. The stream is fed in two pieces, split where the first
/// byte says.

#include "base/cleanup.h"
#include "docker/engine.h"
#include "docker/engine_images.h"
#include "docker/engine_json.h"
#include "docker/pull.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_stream(struct lm_str text)
{
	lm_auto(pull_stream_finish) struct pull_stream s;
	struct lm_err err = {0};
	pull_stream_init(&s);
	size_t split = text.n == 0 ? 0 : (size_t)(unsigned char)text.p[0] % text.n;
	if (pull_stream_feed(&s, (struct lm_str){text.p, split}, &err) == LM_OK &&
		pull_stream_feed(&s, (struct lm_str){text.p + split, text.n - split}, &err) ==
			LM_OK)
		(void)!pull_stream_end(&s, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lm_str text = {(const char *)data, size};
	struct lm_err err = {0};
	struct engine_version version;
	(void)!engine_parse_version(text, &version, &err);
	lm_auto(engine_containers_finish) struct engine_containers containers = {0};
	(void)!engine_parse_containers(text, "p", &containers, &err);
	lm_auto(engine_networks_finish) struct engine_networks networks = {0};
	(void)!engine_parse_networks(text, "p", &networks, &err);
	lm_auto(engine_volumes_finish) struct engine_volumes volumes = {0};
	(void)!engine_parse_volumes(text, "p", &volumes, &err);
	lm_auto(engine_volume_finish) struct engine_volume volume = {0};
	(void)!engine_parse_volume(text, &volume, &err);
	lm_auto(engine_inventory_finish) struct engine_inventory inventory = {0};
	(void)!engine_parse_containers(text, NULL, &inventory.containers, &err);
	(void)!engine_parse_networks(text, NULL, &inventory.networks, &err);
	lm_auto(engine_image_finish) struct engine_image image = {0};
	(void)!engine_parse_image(text, "a/b", &image, &err);
	struct engine_container_state state;
	(void)!engine_parse_container_state(text, &state, &err);
	for (size_t i = 0; i < containers.n; i++)
		(void)engine_status_age_s(containers.items[i].status);
	lm_auto_free char *directory = NULL;
	(void)!engine_parse_root_directory(text, &directory, &err);
	lm_auto_buf struct lm_buf words = LM_BUF(4096);
	(void)engine_error_text(text, &words);
	(void)!engine_error_class(500, lm_buf_str(&words));
	read_stream(text);
	return 0;
}
