// SPDX-License-Identifier: Apache-2.0

/// Requests for a shadow, one after another (a line each), and stored documents.

#include "base/cleanup.h"
#include "base/limits.h"
#include "devices/shadow_document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_json(const struct lm_buf *text)
{
	lm_auto_json json_t *parsed = NULL;

	if (text->overflow || json_parse(lm_buf_str(text), &parsed, NULL) != LM_OK)
		__builtin_trap();
}

/// What is stored reads as the same document.
static void check_stored(const struct shadow_document *d)
{
	lm_auto_buf struct lm_buf first = LM_BUF(LIMIT_SHADOW_REPLY);
	lm_auto_buf struct lm_buf second = LM_BUF(LIMIT_SHADOW_REPLY);
	lm_auto(shadow_document_finish) struct shadow_document read = {0};

	if (!shadow_document_write(d, &first) ||
		shadow_document_read(lm_buf_str(&first), &read, NULL) != LM_OK ||
		!shadow_document_write(&read, &second) ||
		!lm_str_eq(lm_buf_str(&first), lm_buf_str(&second)))
		__builtin_trap();
}

static void apply(struct shadow_document *d, enum shadow_operation operation, struct lm_str payload)
{
	lm_auto(shadow_request_finish) struct shadow_request r;
	lm_auto_buf struct lm_buf reply = LM_BUF(LIMIT_SHADOW_REPLY);
	enum shadow_rejection why = shadow_request_read(operation, payload, &r);
	struct shadow_document after = {0};

	if (!why && operation == SHADOW_UPDATE)
		why = shadow_document_update(d, &r, 1600000000, &after);
	if (why) {
		shadow_write_rejected(why, LM_STR("X"), r.token, 1600000000, &reply);
		check_json(&reply);
		return;
	}
	if (operation == SHADOW_UPDATE) {
		if (after.version != d->version + 1)
			__builtin_trap();
		check_stored(&after);
		shadow_write_documents(d, &after, r.token, 1600000000, &reply);
		check_json(&reply);
		lm_buf_clear(&reply);
		if (shadow_write_delta(&after, r.token, 1600000000, &reply))
			check_json(&reply);
		lm_buf_clear(&reply);
		shadow_document_finish(d);
		*d = after;
	}
	shadow_write_accepted(&r, d, 1600000000, &reply);
	check_json(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lm_str rest = {(const char *)data, size};
	struct lm_str thing;
	enum shadow_operation operation;
	lm_auto(shadow_document_finish) struct shadow_document d = {0};

	(void)shadow_topic_read(rest, &thing, &operation);
	if (shadow_document_read(rest, &d, NULL) == LM_OK)
		apply(&d, SHADOW_GET, LM_STR(""));
	while (rest.n > 0) {
		struct lm_str line = lm_str_cut(&rest, '\n');

		apply(&d, SHADOW_UPDATE, line);
		apply(&d, SHADOW_GET, line);
	}
	return 0;
}
