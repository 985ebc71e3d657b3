// SPDX-License-Identifier: Apache-2.0

/// An image as an engine exports it: the archive, what is compressed in it, its documents, and the
/// engine's error behind it. The ID is before the first line end.

#include "base/buf.h"
#include "base/memory.h"
#include "docker/image_export.h"
#include "registry/image_archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lm_str body = {(const char *)data, size};
	struct lm_str line = lm_str_cut(&body, '\n');
	lm_auto_free char *id = lm_xasprintf("%.*s", (int)(line.n < 100 ? line.n : 100), line.p);
	lm_auto(image_archive_destroy_p) struct image_archive *a = NULL;
	lm_auto_buf struct lm_buf message = LM_BUF(4096);
	struct image_verdict verdict;
	struct lm_err err = {0};

	if (image_export_find_error(body, &message))
		(void)image_export_is_damage(lm_buf_str(&message));
	if (image_archive_create(id, 1 << 20, &a, &err) != LM_OK)
		return 0;
	for (size_t at = 0; at < body.n; at += 300) {
		struct lm_str piece = {body.p + at, body.n - at < 300 ? body.n - at : 300};

		if (image_archive_feed(a, piece, &err) != LM_OK)
			return 0;
	}
	if (image_archive_end(a, &verdict, &err) == LM_OK && verdict.layer > verdict.layers)
		__builtin_trap();
	return 0;
}
