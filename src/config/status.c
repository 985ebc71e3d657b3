// SPDX-License-Identifier: Apache-2.0
#include "config/status.h"

#include "base/limits.h"
#include "base/memory.h"
#include "sys/json.h"

/// jansson takes UTF-8 only; a file name or an engine's message may be anything.
static json_t *text(const char *s)
{
	struct lm_str whole = lm_str(s);

	if (lm_str_is_utf8(whole))
		return json_string(s);
	size_t size = 4 * whole.n + 32;
	lm_auto_free char *out = lm_xmalloc(size);
	return json_string(lm_str_shorten(whole, whole.n, out, size));
}

static char *finish(json_t *document)
{
	lm_auto_buf struct lm_buf out = LM_BUF(LIMIT_MQTT_PAYLOAD);

	(void)json_write(document, &out);
	json_decref(document);
	return lm_buf_take(&out);
}

char *status_success(const char *bucket, const char *key, const char *version)
{
	json_t *d = json_object();

	json_object_set_new(d, "status", json_string("success"));
	json_object_set_new(d, "GreengrassDockerApplicationDeploymentStatus",
		json_string("Successfully triggered docker-compose up"));
	json_object_set_new(d, "S3Bucket", text(bucket));
	json_object_set_new(d, "ComposeFileName", text(key));
	json_object_set_new(d, "ComposeFileVersion", version ? text(version) : json_null());
	return finish(d);
}

char *status_failure(const char *error, const char *message)
{
	json_t *d = json_object();

	json_object_set_new(d, "status", json_string("fail"));
	json_object_set_new(d, "error_message", text(message));
	json_object_set_new(d, "error", json_string(error));
	return finish(d);
}
