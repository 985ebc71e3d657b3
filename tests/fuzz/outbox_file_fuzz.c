// SPDX-License-Identifier: Apache-2.0
#include "mqtt/outbox_file_priv.h"

#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/// A name that is taken is the one that would be given.
static void check_name(const char *name)
{
	enum outbox_class class = OUTBOX_STATUS;
	char again[OUTBOX_NAME_SIZE];
	uint64_t seq = 0;

	if (outbox_file_parse_name(name, &seq, &class) &&
		strcmp(outbox_file_name(seq, class, again), name) != 0)
		abort();
	(void)outbox_file_is_bad(name, &seq);
}

/// What is written is read; with any byte of it changed it is not.
static void check_message(const char *topic, struct lm_str payload, size_t change)
{
	lm_auto_buf struct lm_buf file = LM_BUF(OUTBOX_FILE_MAX);
	struct lm_str read_topic;
	struct lm_str read_payload;

	outbox_file_write(&file, topic, payload);
	if (!outbox_file_parse(lm_buf_str(&file), &read_topic, &read_payload) ||
		!lm_str_eq(read_topic, lm_str(topic)) || !lm_str_eq(read_payload, payload))
		abort();
	file.data[change % file.len] ^= 1;
	if (outbox_file_parse(lm_buf_str(&file), &read_topic, &read_payload))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto_free char *copy = lm_xmemdup0(data, size);
	struct lm_str rest = {copy, size};
	struct lm_str topic;
	struct lm_str payload;

	check_name(copy);
	(void)outbox_file_parse(rest, &topic, &payload);
	topic = lm_str_cut(&rest, '\n');
	if (topic.n == 0 || topic.n > LIMIT_MQTT_TOPIC || memchr(topic.p, '\0', topic.n) ||
		rest.n > LIMIT_MQTT_PAYLOAD)
		return 0;
	lm_auto_free char *text = lm_xmemdup0(topic.p, topic.n);
	check_message(text, rest, size ? data[size - 1] : 0);
	return 0;
}
