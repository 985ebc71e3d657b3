// SPDX-License-Identifier: Apache-2.0
#include "deploy/journal.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/str.h"
#include "deploy/stages.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { CHECKSUM_SIZE = 16 + 1, LINE_SIZE = 128 };

static bool is_stage(struct lm_str s)
{
	if (s.n == 0 || s.n >= JOURNAL_STAGE_SIZE)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != '-' && (s.p[i] < 'a' || s.p[i] > 'z'))
			return false;
	return true;
}

static void make_checksum(struct lm_str bytes, char ret[CHECKSUM_SIZE])
{
	char sha256[LM_SHA256_HEX + 1];

	lm_sha256_hex(bytes, sha256);
	(void)snprintf(ret, CHECKSUM_SIZE, "%.*s", CHECKSUM_SIZE - 1, sha256);
}

/// The words of a line, without its checksum. False: it is damaged, or not of a journal.
static bool take_line_words(struct lm_str line, bool with_checksum, struct lm_str *words, size_t n)
{
	struct lm_str rest = line;
	char expected[CHECKSUM_SIZE];

	for (size_t i = 0; i < n; i++)
		words[i] = lm_str_cut(&rest, ' ');
	if (!with_checksum)
		return rest.n == 0 && words[n - 1].n > 0;
	if (rest.n != CHECKSUM_SIZE - 1)
		return false;
	make_checksum((struct lm_str){line.p, line.n - rest.n - 1}, expected);
	return lm_str_eq(rest, lm_str(expected));
}

static bool read_begin_line(struct lm_str line, bool with_checksum, struct journal_state *state)
{
	struct lm_str words[4];
	uint64_t generation, attempt, ms;

	if (!take_line_words(line, with_checksum, words, LM_ARRAY_SIZE(words)) ||
		!lm_str_eq(words[0], LM_STR("begin")) ||
		!lm_str_to_u64(words[1], INT32_MAX, &generation) || generation == 0 ||
		!lm_str_to_u64(words[2], INT32_MAX, &attempt) ||
		!lm_str_to_u64(words[3], INT64_MAX, &ms))
		return false;
	*state = (struct journal_state){.generation = (unsigned)generation,
		.attempt = (unsigned)attempt,
		.began_ms = (int64_t)ms};
	return true;
}

static bool read_stage_line(struct lm_str line, bool with_checksum, struct journal_state *state)
{
	struct lm_str words[3];
	uint64_t ms;

	if (!take_line_words(line, with_checksum, words, LM_ARRAY_SIZE(words)) ||
		!lm_str_eq(words[0], LM_STR("stage")) || !is_stage(words[1]) ||
		!lm_str_to_u64(words[2], INT64_MAX, &ms))
		return false;
	memcpy(state->stage, words[1].p, words[1].n);
	state->stage[words[1].n] = '\0';
	state->acted |= deploy_stage_acts(deploy_stage_from_name(state->stage));
	state->stage_ms = (int64_t)ms;
	return true;
}

struct journal_state journal_parse(struct lm_str text)
{
	struct journal_state state = {0};
	struct lm_str rest = text, first = lm_str_cut(&rest, '\n');
	bool is_whole = first.n < text.n;
	bool with_checksum = is_whole && read_begin_line(first, true, &state);

	if (text.n == 0)
		return state;
	if (!is_whole || (!with_checksum && !read_begin_line(first, false, &state)))
		return (struct journal_state){.damaged = true};
	while (lm_str_find(rest, '\n') < rest.n) {
		struct lm_str line = lm_str_cut(&rest, '\n');

		// To a journal of the release before, this one may have added lines.
		if (!read_stage_line(line, true, &state) &&
			(with_checksum || !read_stage_line(line, false, &state)))
			state.acted = true;
	}
	return state;
}

lm_rc journal_read(int dir_fd, struct journal_state *ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(JOURNAL_MAX);
	lm_auto_close int fd = -1;
	lm_rc rc = lm_file_open_at(dir_fd, JOURNAL_NAME, &fd, err);

	if (rc == LM_OK)
		rc = lm_fd_read_all(fd, JOURNAL_NAME, &text, err);
	if (rc != LM_OK && rc != LM_E_NOT_FOUND)
		return rc;
	*ret = journal_parse(lm_buf_str(&text));
	return LM_OK;
}

/// Ends the line with its checksum.
static struct lm_str end_line(char line[LINE_SIZE], int n)
{
	char checksum[CHECKSUM_SIZE];

	make_checksum((struct lm_str){line, (size_t)n}, checksum);
	n += snprintf(line + n, LINE_SIZE - (size_t)n, " %s\n", checksum);
	return (struct lm_str){line, (size_t)n};
}

lm_rc journal_begin(int dir_fd, unsigned generation, unsigned attempt, struct lm_err *err)
{
	char line[LINE_SIZE];
	int n = snprintf(line, sizeof(line), "begin %u %u %" PRIi64, generation, attempt,
		lm_clock_wall_ms());
	lm_rc rc = lm_file_replace(dir_fd, JOURNAL_NAME, end_line(line, n), 0600, err);

	return rc ? lm_wrap(err, "begin the journal") : LM_OK;
}

lm_rc journal_stage(int dir_fd, const char *stage, struct lm_err *err)
{
	char text[LINE_SIZE];
	struct stat st;

	if (!is_stage(lm_str(stage)))
		return lm_fail(err, LM_E_INVALID, 0, "journal: this is not the name of a stage");
	lm_auto_close int fd =
		openat(dir_fd, JOURNAL_NAME, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0)
		return lm_fail(err, LM_E_SYS, errno, "open the journal: %m");
	struct lm_str line = end_line(
		text, snprintf(text, sizeof(text), "stage %s %" PRIi64, stage, lm_clock_wall_ms()));
	if ((uint64_t)st.st_size + line.n > JOURNAL_MAX)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the journal is full: more stages than a deployment has");
	lm_rc rc = lm_fd_write_all(fd, JOURNAL_NAME, line, err);
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
