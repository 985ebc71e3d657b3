// SPDX-License-Identifier: Apache-2.0
#include "devices/device_bundle.h"

#include "base/limits.h"
#include "base/memory.h"
#include "config/arn.h"
#include "devices/device_registry.h"
#include "sys/json.h"

#include <stdlib.h>

enum { BUNDLE_FORMAT = 1 };

void device_bundle_add(
	struct device_bundle *bundle, const char *name, struct lm_str key, const char *certificate)
{
	if (bundle->n >= LIMIT_DEVICES)
		return;
	if (!bundle->items)
		bundle->items = lm_xcalloc(LIMIT_DEVICES, sizeof(*bundle->items));
	struct device_bundle_item *item = &bundle->items[bundle->n++];
	item->name = lm_xstrdup(name);
	item->certificate = lm_xstrdup(certificate);
	lm_secret_set(&item->key, key);
}

void device_bundle_finish(struct device_bundle *bundle)
{
	for (size_t i = 0; i < bundle->n; i++) {
		free(bundle->items[i].name);
		free(bundle->items[i].certificate);
		lm_secret_finish(&bundle->items[i].key);
	}
	free(bundle->items);
	free(bundle->ca);
	*bundle = (struct device_bundle){0};
}

bool device_bundle_write(const struct device_bundle *bundle, struct lm_buf *out)
{
	json_t *things = json_object();

	for (size_t i = 0; i < bundle->n; i++) {
		const struct device_bundle_item *item = &bundle->items[i];

		json_object_set_new(things, item->name,
			json_pack("{s:s%, s:s}", "key", lm_secret_str(&item->key).p, item->key.len,
				"certificate", item->certificate));
	}
	lm_auto_json json_t *document = json_pack("{s:i, s:s, s:o}", "format", BUNDLE_FORMAT, "ca",
		bundle->ca ? bundle->ca : "", "things", things);
	return json_write(document, out);
}

lm_rc device_bundle_read(struct lm_str text, struct device_bundle *ret, struct lm_err *err)
{
	lm_auto_json json_t *document = NULL;
	lm_auto_bundle struct device_bundle bundle = {0};
	const char *name;
	json_t *thing;
	struct lm_err own;

	if (json_parse(text, &document, &own) != LM_OK)
		return lm_fail(err, LM_E_INVALID, 0, "the devices' files are no JSON text");
	json_t *things = json_object_get(document, "things");
	if (json_get_int(document, "format", 0) != BUNDLE_FORMAT || !json_is_object(things) ||
		!json_get_text(document, "ca") || json_object_size(things) > LIMIT_DEVICES)
		return lm_fail(err, LM_E_INVALID, 0,
			"the devices' files are in another form than the one agreed");
	bundle.ca = json_copy_text(document, "ca");
	json_object_foreach(things, name, thing)
	{
		const char *key = json_get_text(thing, "key");
		const char *certificate = json_get_text(thing, "certificate");

		if (!arn_is_thing_name(lm_str(name)) || !key || !certificate)
			return lm_fail(err, LM_E_INVALID, 0,
				"the devices' files are in another form than the one agreed");
		device_bundle_add(&bundle, name, lm_str(key), certificate);
	}
	*ret = bundle;
	bundle = (struct device_bundle){0};
	return LM_OK;
}
