// SPDX-License-Identifier: Apache-2.0
#include "config/job_document.h"

#include "base/buf.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

#define DEPLOY "lighterman.deploy"
#define ROLLBACK "lighterman.rollback"

enum {
	/// As json_count counts: a group file of that size has no more.
	VALUES_MAX = JOB_DOCUMENT_MAX / 2,
	SHOWN_MAX = 64, ///< Of what somebody else wrote, in a message.
};

const char *job_operation_name(enum job_operation operation)
{
	return operation == JOB_ROLLS_BACK ? "rollback" : "deploy";
}

void job_document_finish(struct job_document *d)
{
	free(d->group);
	*d = (struct job_document){0};
}

static lm_rc job_fail_large(struct lm_err *err)
{
	return lm_fail(err, LM_E_TOO_LARGE, 0, "the job document exceeds the limit of %d bytes",
		JOB_DOCUMENT_MAX);
}

/// The text of a group file, which is an object, or an array of connectors, or its text.
static lm_rc take_job_group(const json_t *group, struct job_document *ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(JOB_DOCUMENT_MAX);

	if (json_is_string(group)) {
		if (json_string_length(group) > JOB_DOCUMENT_MAX)
			return job_fail_large(err);
		ret->group = lm_xstrdup(json_string_value(group));
		return LM_OK;
	}
	if (!json_write(group, &text))
		return job_fail_large(err);
	ret->group = lm_buf_take(&text);
	return LM_OK;
}

/// A member that is not known is refused: it may change what is meant.
static lm_rc check_members(const json_t *document, const char *more, struct lm_err *err)
{
	const char *key;
	json_t *value;
	char shown[4 * SHOWN_MAX + 32];

	json_object_foreach((json_t *)document, key, value)
	{
		if (strcmp(key, "operation") != 0 && (!more || strcmp(key, more) != 0))
			return lm_fail(err, LM_E_INVALID, 0,
				"the job document has an unknown key '%s'",
				lm_str_shorten(lm_str(key), SHOWN_MAX, shown, sizeof(shown)));
	}
	return LM_OK;
}

static lm_rc read_operation(
	const json_t *document, const char *name, struct job_document *ret, struct lm_err *err)
{
	const json_t *group = json_object_get(document, "group");
	char shown[4 * SHOWN_MAX + 32];
	lm_rc rc;

	if (strcmp(name, ROLLBACK) == 0) {
		ret->operation = JOB_ROLLS_BACK;
		return check_members(document, NULL, err);
	}
	if (strcmp(name, DEPLOY) != 0)
		return lm_fail(err, LM_E_INVALID, 0,
			"the operation of the job is '%s', but must be " DEPLOY " or " ROLLBACK,
			lm_str_shorten(lm_str(name), SHOWN_MAX, shown, sizeof(shown)));
	rc = check_members(document, "group", err);
	if (rc)
		return rc;
	if (!group)
		return lm_fail(err, LM_E_INVALID, 0,
			"the job document has the operation " DEPLOY " but no group");
	return take_job_group(group, ret, err);
}

static lm_rc read_parsed(const json_t *document, struct job_document *ret, struct lm_err *err)
{
	const json_t *operation = json_object_get(document, "operation");

	if (!operation)
		return take_job_group(document, ret, err);
	if (!json_is_string(operation))
		return lm_fail(err, LM_E_INVALID, 0,
			"the operation of the job must be a string, but is %s",
			json_type_name(operation));
	return read_operation(document, json_string_value(operation), ret, err);
}

lm_rc job_document_read(const json_t *document, struct job_document *ret, struct lm_err *err)
{
	lm_auto_job_document struct job_document found = {.operation = JOB_DEPLOYS};
	lm_auto_json json_t *parsed = NULL;

	if (!document || json_is_null(document))
		return lm_fail(err, LM_E_INVALID, 0, "the job has no document");
	if (json_is_string(document)) {
		const struct lm_str text = json_text(document);

		if (text.n > JOB_DOCUMENT_MAX || json_count(text) > VALUES_MAX)
			return job_fail_large(err);
		if (json_parse(text, &parsed, err))
			return lm_wrap(err, "the job document is not JSON");
	}
	lm_rc rc = read_parsed(parsed ? parsed : document, &found, err);
	if (rc)
		return rc;
	*ret = found;
	found = (struct job_document){0};
	return LM_OK;
}
