// SPDX-License-Identifier: Apache-2.0
#include "sys/record.h"

#include "base/cleanup.h"
#include "base/digest.h"
#include "base/file.h"

#include <stdio.h>

#define RECORD_MARK "{\"lighterman\":"

static struct lm_str record_kind(const char *name)
{
	struct lm_str rest = lm_str(lm_path_base(name));

	return lm_str_cut(&rest, '.');
}

static void write_header(const char *name, struct lm_str document, char out[RECORD_HEADER_MAX])
{
	char sha256[LM_SHA256_HEX + 1];

	lm_sha256_hex(document, sha256);
	(void)snprintf(out, RECORD_HEADER_MAX,
		RECORD_MARK "\"%.*s\",\"format\":%d,\"sha256\":\"%s\"}",
		LM_STR_ARG(record_kind(name)), RECORD_FORMAT, sha256);
}

lm_rc record_make(const char *name, struct lm_str document, struct lm_buf *out, struct lm_err *err)
{
	char header[RECORD_HEADER_MAX];

	// Beside a document there is no header, however damaged, that is JSON by itself.
	if (lm_str_trim(document).n == 0)
		return lm_fail(err, LM_E_INVALID, 0, "'%s' would be empty", name);
	write_header(name, document, header);
	if (lm_buf_printf(out, "%s\n", header) && lm_buf_add_str(out, document))
		return LM_OK;
	return lm_fail(err, LM_E_TOO_LARGE, 0, "'%s' would be over %zu bytes", name, out->max);
}

/// Nothing but one JSON document.
static lm_rc parse_old(const char *name, struct lm_str text, struct lm_str *ret, struct lm_err *err)
{
	lm_auto_json json_t *j = NULL;
	lm_rc rc = json_parse(text, &j, err);

	if (rc)
		return lm_wrap(err, "'%s' is damaged", name);
	*ret = text;
	return LM_OK;
}

lm_rc record_parse(const char *name, struct lm_str text, struct lm_str *ret, struct lm_err *err)
{
	char header[RECORD_HEADER_MAX];
	struct lm_str document = text;

	if (!lm_str_starts(text, LM_STR(RECORD_MARK)))
		return parse_old(name, text, ret, err);
	struct lm_str line = lm_str_cut(&document, '\n');
	write_header(name, document, header);
	if (!lm_str_eq(line, lm_str(header)))
		return lm_fail(err, LM_E_INVALID, 0,
			"'%s' is damaged: it does not match its checksum", name);
	*ret = document;
	return LM_OK;
}

lm_rc record_read(int dir_fd, const char *name, struct lm_buf *out, struct lm_err *err)
{
	lm_auto_close int fd = -1;
	lm_auto_buf struct lm_buf text = LM_BUF(out->max + RECORD_HEADER_MAX);
	struct lm_str document;
	lm_rc rc = lm_file_open_at(dir_fd, name, &fd, err);

	if (rc == LM_OK)
		rc = lm_fd_read_all(fd, name, &text, err);
	if (rc == LM_OK)
		rc = record_parse(name, lm_buf_str(&text), &document, err);
	if (rc == LM_OK && !lm_buf_add_str(out, document))
		rc = lm_fail(err, LM_E_TOO_LARGE, 0,
			"'%s' is larger than %zu bytes, the most that is read", name, out->max);
	return rc;
}

lm_rc record_replace(int dir_fd, const char *name, struct lm_str document, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(document.n + RECORD_HEADER_MAX);
	lm_rc rc = record_make(name, document, &text, err);

	return rc ? rc : lm_file_replace(dir_fd, name, lm_buf_str(&text), 0600, err);
}

lm_rc record_json_read(int dir_fd, const char *name, size_t max, json_t **ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(max);
	lm_rc rc = record_read(dir_fd, name, &text, err);

	if (rc)
		return rc;
	rc = json_parse(lm_buf_str(&text), ret, err);
	return rc ? lm_wrap(err, "'%s' is damaged", name) : LM_OK;
}

lm_rc record_json_load(int dir_fd, const char *name, size_t max, const char *meaning,
	struct damage *damage, json_t **ret)
{
	struct lm_err err = {LM_OK};
	lm_rc rc = record_json_read(dir_fd, name, max, ret, &err);

	if (rc == LM_E_SYS) // a disk that failed once may not fail again
		rc = record_json_read(dir_fd, name, max, ret, &err);
	if (rc == LM_OK || rc == LM_E_NOT_FOUND)
		return rc;
	if (damage_is(&err))
		(void)damage_report(damage, dir_fd, name, err.msg, meaning);
	else
		damage_note(damage, "%s: %s", err.msg, meaning);
	return rc;
}

lm_rc record_json_replace(
	int dir_fd, const char *name, size_t max, const json_t *j, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(max);

	if (!json_write(j, &text))
		return lm_fail(err, LM_E_TOO_LARGE, 0, "'%s' would be over %zu bytes", name, max);
	return record_replace(dir_fd, name, lm_buf_str(&text), err);
}
