// SPDX-License-Identifier: Apache-2.0
#include "deploy/state_format.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "sys/damage.h"
#include "sys/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>

enum { NUMBER_MAX = 32 };

/// The number behind `"format":` in a record's first line; 0: there is none.
static uint64_t find_record_format(struct lm_str line)
{
	static const char key[] = "\"format\":";
	uint64_t n = 0;

	while (line.n > 0 && !lm_str_starts(line, lm_str(key)))
		line = (struct lm_str){line.p + 1, line.n - 1};
	(void)lm_str_cut(&line, ':');
	return lm_str_to_u64(lm_str_cut(&line, ','), UINT32_MAX, &n) ? n : 0;
}

/// The number in a record of a format to come, whose checksum we cannot know. Both its own format
/// and the number are then newer than ours, which no single flipped bit makes of ours.
static uint64_t read_newer(int dir)
{
	lm_auto_close int fd = -1;
	lm_auto_buf struct lm_buf text = LM_BUF(4096);
	struct lm_err ignored;
	uint64_t format = 0;

	if (lm_file_open_at(dir, STATE_FORMAT_NAME, &fd, &ignored) ||
		lm_fd_read_all(fd, STATE_FORMAT_NAME, &text, &ignored))
		return 0;
	struct lm_str rest = lm_str_trim(lm_buf_str(&text)), line = lm_str_cut(&rest, '\n');
	while (lm_str_find(rest, '\n') < rest.n)
		(void)lm_str_cut(&rest, '\n');
	bool is_newer = find_record_format(line) > RECORD_FORMAT;
	return is_newer && lm_str_to_u64(rest, UINT32_MAX, &format) ? format : 0;
}

/// 0: there is no such file, or none that says so.
static uint64_t read_state_format(int dir, lm_rc *ret_rc)
{
	lm_auto_buf struct lm_buf text = LM_BUF(NUMBER_MAX);
	struct lm_err ignored;
	uint64_t format = 0;

	*ret_rc = record_read(dir, STATE_FORMAT_NAME, &text, &ignored);
	if (*ret_rc == LM_E_INVALID || *ret_rc == LM_E_TOO_LARGE)
		return read_newer(dir);
	if (*ret_rc != LM_OK || !lm_str_to_u64(lm_str_trim(lm_buf_str(&text)), UINT32_MAX, &format))
		return 0;
	return format;
}

lm_rc state_format_check(const char *state_directory, struct lm_err *err)
{
	lm_auto_close int dir = open(state_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lm_rc ignored = LM_OK;
	uint64_t format = dir < 0 ? 0 : read_state_format(dir, &ignored);

	if (format <= STATE_FORMAT)
		return LM_OK;
	return lm_fail(err, LM_E_CONFLICT, 0,
		"a newer release of Lighterman wrote the state directory '%s' (format %u; this one "
		"reads up to %d)",
		state_directory, (unsigned)format, STATE_FORMAT);
}

lm_rc state_format_mark(const char *state_directory, struct lm_err *err)
{
	lm_auto(damage_finish) struct damage damage = {0};
	lm_auto_close int dir = open(state_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char text[NUMBER_MAX];
	lm_rc found = LM_OK;

	if (dir < 0)
		return lm_fail(err, lm_rc_of_errno(errno), errno, "open '%s': %m", state_directory);
	if (read_state_format(dir, &found) == STATE_FORMAT)
		return LM_OK;
	if (found != LM_OK && found != LM_E_NOT_FOUND)
		(void)damage_set_aside(&damage, dir, STATE_FORMAT_NAME);
	(void)snprintf(text, sizeof(text), "%d\n", STATE_FORMAT);
	lm_rc rc = record_replace(dir, STATE_FORMAT_NAME, lm_str(text), err);
	return rc ? lm_wrap(err, "write the format of the state directory '%s'", state_directory)
		  : LM_OK;
}
