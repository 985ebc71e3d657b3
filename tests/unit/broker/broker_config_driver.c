// SPDX-License-Identifier: Apache-2.0

/// Prints the mosquitto.conf of the settings that are on its input, as JSON, for
/// tests/e2e/cloud_bridge_test.py. Its exit status is 1 with a message if they are refused.

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "devices/broker_config.h"
#include "sys/json.h"

#include <stdio.h>

static const char *const *texts_of(const json_t *array, size_t *ret_n)
{
	const char **texts = lm_xcalloc(json_array_size(array) + 1, sizeof(*texts));

	for (*ret_n = 0; *ret_n < json_array_size(array); (*ret_n)++)
		texts[*ret_n] = json_string_value(json_array_get(array, *ret_n));
	return texts;
}

int main(void)
{
	lm_auto_buf struct lm_buf input = LM_BUF(LIMIT_BROKER_CONFIG);
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_BROKER_CONFIG);
	lm_auto_json json_t *j = NULL;
	struct lm_err err = {LM_OK};

	if (lm_fd_read_all(0, "input", &input, &err) || json_parse(lm_buf_str(&input), &j, &err)) {
		(void)fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	const json_t *cloud = json_object_get(j, "cloud");
	struct broker_bridge bridge = {
		.endpoint = json_get_text(cloud, "endpoint"),
		.port = (unsigned)json_get_int(cloud, "port", 0),
		.core = json_get_text(cloud, "core"),
		.certificate = json_get_text(cloud, "certificate"),
		.key = json_get_text(cloud, "key"),
		.ca = json_get_text(cloud, "ca"),
		.retry_max_s = (unsigned)json_get_int(cloud, "retry_max_s", 0),
	};
	bridge.subjects = texts_of(json_object_get(cloud, "subjects"), &bridge.subjects_n);
	bridge.sync_things = texts_of(json_object_get(cloud, "sync_things"), &bridge.sync_things_n);
	struct broker_settings settings = {
		.port = (unsigned)json_get_int(j, "port", 0),
		.user = json_get_text(j, "user"),
		.plugin = json_get_text(j, "plugin"),
		.table = json_get_text(j, "table"),
		.status = json_get_text(j, "status"),
		.data = json_get_text(j, "data"),
		.socket = json_get_text(j, "socket"),
		.certificate = json_get_text(j, "certificate"),
		.key = json_get_text(j, "key"),
		.client_ca = json_get_text(j, "client_ca"),
		.cloud = cloud ? &bridge : NULL,
	};
	lm_rc rc = broker_config_write(&settings, &text, &err);
	if (rc)
		(void)fprintf(stderr, "%s\n", err.msg);
	else
		(void)fwrite(text.data, 1, text.len, stdout);
	free((void *)bridge.subjects);
	free((void *)bridge.sync_things);
	return rc ? 1 : 0;
}
