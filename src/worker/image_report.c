// SPDX-License-Identifier: Apache-2.0
#include "worker/image_report.h"

#include "docker/engine_images.h"

lm_rc image_report_begin(struct context *cx, struct lm_err *err)
{
	if (cx->images_before.ids)
		return LM_OK;
	return engine_list_images(&cx->engine, &cx->limit, &cx->images_before, err);
}

lm_rc image_report_send(const struct context *cx, const char *name, struct lm_err *err)
{
	lm_auto(engine_image_finish) struct engine_image found = {0};
	lm_rc rc = engine_inspect_image(&cx->engine, name, &cx->limit, &found, err);

	if (rc)
		return rc == LM_E_NOT_FOUND ? LM_OK : rc;
	context_send(cx, json_pack("{s:s, s:s, s:s, s:b}", "image", name, "digest",
				 found.digest ? found.digest : "", "id", found.id, "pulled",
				 (int)!engine_image_list_has(&cx->images_before, found.id)));
	return LM_OK;
}
