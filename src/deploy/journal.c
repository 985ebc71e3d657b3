// SPDX-License-Identifier: Apache-2.0
#include "deploy/journal.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "deploy/stages.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define JOURNAL_NAME "journal"

static bool is_stage(struct lm_str s)
{
	if (s.n == 0 || s.n >= JOURNAL_STAGE_SIZE)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != '-' && (s.p[i] < 'a' || s.p[i] > 'z'))
			return false;
	return true;
}

/// The next word of a line, as a number from 0 to `max`.
static bool take_number(struct lm_str *line, uint64_t max, uint64_t *ret)
{
	return lm_str_to_u64(lm_str_cut(line, ' '), max, ret);
}

static void read_begin_line(struct lm_str line, struct journal_state *state)
{
	uint64_t generation, attempt, ms;

	if (!take_number(&line, INT32_MAX, &generation) ||
		!take_number(&line, INT32_MAX, &attempt) || !take_number(&line, INT64_MAX, &ms) ||
		line.n > 0)
		return;
	*state = (struct journal_state){.generation = (unsigned)generation,
		.attempt = (unsigned)attempt,
		.began_ms = (int64_t)ms};
}

static void read_stage_line(struct lm_str line, struct journal_state *state)
{
	struct lm_str name = lm_str_cut(&line, ' ');
	uint64_t ms;

	if (state->generation == 0 || !is_stage(name) || !take_number(&line, INT64_MAX, &ms) ||
		line.n > 0)
		return;
	memcpy(state->stage, name.p, name.n);
	state->stage[name.n] = '\0';
	state->acted |= deploy_stage_acts(deploy_stage_from_name(state->stage));
	state->stage_ms = (int64_t)ms;
}

lm_rc journal_read(int dir_fd, struct journal_state *ret, struct lm_err *err)
{
	struct journal_state state = {0};
	lm_auto_buf struct lm_buf text = LM_BUF(JOURNAL_MAX);
	lm_auto_close int fd =
		openat(dir_fd, JOURNAL_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0 && errno != ENOENT)
		return lm_fail(err, LM_E_SYS, errno, "open the journal: %m");
	lm_rc rc = fd < 0 ? LM_OK : lm_fd_read_all(fd, JOURNAL_NAME, &text, err);
	if (rc)
		return rc;
	for (struct lm_str rest = lm_buf_str(&text); lm_str_find(rest, '\n') < rest.n;) {
		struct lm_str line = lm_str_cut(&rest, '\n');
		struct lm_str kind = lm_str_cut(&line, ' ');

		if (lm_str_eq(kind, LM_STR("begin")))
			read_begin_line(line, &state);
		else if (lm_str_eq(kind, LM_STR("stage")))
			read_stage_line(line, &state);
	}
	*ret = state;
	return LM_OK;
}

lm_rc journal_begin(int dir_fd, unsigned generation, unsigned attempt, struct lm_err *err)
{
	char line[128];
	int n = snprintf(line, sizeof(line), "begin %u %u %" PRIi64 "\n", generation, attempt,
		lm_clock_wall_ms());
	lm_rc rc =
		lm_file_replace(dir_fd, JOURNAL_NAME, (struct lm_str){line, (size_t)n}, 0600, err);

	return rc ? lm_wrap(err, "begin the journal") : LM_OK;
}

lm_rc journal_stage(int dir_fd, const char *stage, struct lm_err *err)
{
	char line[128];
	struct stat st;

	if (!is_stage(lm_str(stage)))
		return lm_fail(err, LM_E_INVALID, 0, "journal: this is not the name of a stage");
	lm_auto_close int fd =
		openat(dir_fd, JOURNAL_NAME, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0)
		return lm_fail(err, LM_E_SYS, errno, "open the journal: %m");
	int n = snprintf(line, sizeof(line), "stage %s %" PRIi64 "\n", stage, lm_clock_wall_ms());
	if (st.st_size + n > JOURNAL_MAX)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the journal is full: more stages than a deployment has");
	lm_rc rc = lm_fd_write_all(fd, JOURNAL_NAME, (struct lm_str){line, (size_t)n}, err);
	if (rc == LM_OK && fdatasync(fd) < 0)
		rc = lm_fail(err, LM_E_SYS, errno, "sync: %m");
	if (rc == LM_OK)
		return LM_OK;
	// Half a line would spoil the next one. If this fails too, the reader leaves both out.
	(void)!ftruncate(fd, st.st_size);
	return lm_wrap(err, "record the stage '%s' in the journal", stage);
}

lm_rc journal_clear(int dir_fd, struct lm_err *err)
{
	lm_rc rc = lm_file_replace(dir_fd, JOURNAL_NAME, LM_STR(""), 0600, err);

	return rc ? lm_wrap(err, "restart the journal") : LM_OK;
}
