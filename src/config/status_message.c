// SPDX-License-Identifier: Apache-2.0
#include "config/status_message.h"

#include "base/limits.h"
#include "base/memory.h"
#include "sys/json.h"

/// jansson takes UTF-8 only; a file name or an engine's message may be anything.
static json_t *utf8_string(const char *s)
{
	struct lm_str whole = lm_str(s);

	if (lm_str_is_utf8(whole))
		return json_string(s);
	size_t size = 4 * whole.n + 32;
	lm_auto_free char *out = lm_xmalloc(size);
	return json_string(lm_str_shorten(whole, whole.n, out, size));
}

static char *write_and_release(json_t *document)
{
	lm_auto_buf struct lm_buf out = LM_BUF(LIMIT_MQTT_PAYLOAD);

	(void)json_write(document, &out);
	json_decref(document);
	return lm_buf_take(&out);
}

char *status_message_success(const char *bucket, const char *key, const char *version)
{
	json_t *d = json_object();

	json_object_set_new(d, "status", json_string("success"));
	json_object_set_new(d, "GreengrassDockerApplicationDeploymentStatus",
		json_string("Successfully triggered docker-compose up"));
	json_object_set_new(d, "S3Bucket", bucket ? utf8_string(bucket) : json_null());
	json_object_set_new(d, "ComposeFileName", utf8_string(key));
	json_object_set_new(d, "ComposeFileVersion", version ? utf8_string(version) : json_null());
	return write_and_release(d);
}

char *status_message_failure(const char *error, const char *message)
{
	json_t *d = json_object();

	json_object_set_new(d, "status", json_string("fail"));
	json_object_set_new(d, "error_message", utf8_string(message));
	json_object_set_new(d, "error", json_string(error));
	return write_and_release(d);
}
