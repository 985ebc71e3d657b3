// SPDX-License-Identifier: Apache-2.0
#include "daemon/boot_record.h"

#include "base/file.h"
#include "base/memory.h"
#include "sys/json.h"
#include "sys/record.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define RECORD "boot.json"

enum { BOOT_ID_MAX = 64, RECORD_MAX = 4096 };

/// A file of /proc, in one read.
lm_rc boot_record_read_id(char **ret, struct lm_err *err)
{
	char text[BOOT_ID_MAX];
	lm_auto_close int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));

	if (n < 0)
		return lm_fail(err, LM_E_SYS, errno, "read '" BOOT_ID "': %m");
	struct lm_str id = lm_str_trim((struct lm_str){text, (size_t)n});
	if (id.n == 0)
		return lm_fail(err, LM_E_SYS, 0, "'" BOOT_ID "' is empty");
	*ret = lm_xasprintf("%.*s", LM_STR_ARG(id));
	return LM_OK;
}

static lm_rc open_state(const char *state_directory, int *ret, struct lm_err *err)
{
	*ret = open(state_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret < 0 ? lm_fail(err, LM_E_SYS, errno, "open '%s': %m", state_directory) : LM_OK;
}

lm_rc boot_record_read(const char *state_directory, struct damage *damage, enum boot_kind *ret,
	unsigned *ret_left, struct lm_err *err)
{
	static const char meaning[] = "this counts as a start without an orderly stop";
	lm_auto_close int dir = -1;
	lm_auto_free char *id = NULL;
	lm_auto_json json_t *record = NULL;
	lm_rc rc = open_state(state_directory, &dir, err);

	if (rc == LM_OK)
		rc = boot_record_read_id(&id, err);
	if (rc)
		return rc;
	rc = record_json_load(dir, RECORD, RECORD_MAX, meaning, damage, &record);
	const char *last = json_get_text(record, "boot_id");
	bool orderly = json_get_bool(record, "orderly", false);

	if (rc == LM_OK && !last)
		(void)damage_report(damage, dir, RECORD, "'" RECORD "' has no boot ID", meaning);
	if (rc == LM_E_NOT_FOUND)
		*ret = BOOT_FIRST;
	else if (!last)
		*ret = BOOT_UNCLEAN;
	else if (strcmp(last, id) == 0)
		*ret = BOOT_SAME;
	else
		*ret = orderly ? BOOT_ORDERLY : BOOT_UNCLEAN;
	*ret_left = *ret == BOOT_SAME && orderly ? (unsigned)json_get_int(record, "left_running", 0)
						 : 0;
	return LM_OK;
}

lm_rc boot_record_write(
	const char *state_directory, bool orderly, unsigned left, struct lm_err *err)
{
	lm_auto_close int dir = -1;
	lm_auto_free char *id = NULL;
	lm_rc rc = open_state(state_directory, &dir, err);

	if (rc == LM_OK)
		rc = boot_record_read_id(&id, err);
	if (rc)
		return rc;
	lm_auto_json json_t *record = json_pack("{s:i, s:s, s:b, s:I}", "format", 1, "boot_id", id,
		"orderly", (int)orderly, "left_running", (json_int_t)left);
	return record_json_replace(dir, RECORD, RECORD_MAX, record, err);
}
