// SPDX-License-Identifier: Apache-2.0
#include "deploy/wanted.h"

#include "base/buf.h"
#include "base/file.h"
#include "deploy/generation_folder.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

/// Takes "up 4" from the front of `text`; false: there is no target.
static bool take_target(struct lm_str *text, struct lifecycle_target *ret)
{
	struct lm_str word = lm_str_cut(text, ' ');
	struct lm_str number = lm_str_cut(text, ' ');
	uint64_t n = 0;

	if (!lm_str_to_u64(number, GENERATION_MAX, &n) || n == 0)
		return false;
	if (lm_str_eq(word, LM_STR("up")))
		*ret = (struct lifecycle_target){WANTED_UP, (unsigned)n};
	else if (lm_str_eq(word, LM_STR("down")))
		*ret = (struct lifecycle_target){WANTED_DOWN, (unsigned)n};
	else
		return false;
	return true;
}

/// Takes the word off the front of `text`, if it is there.
static bool take_wanted_word(struct lm_str *text, struct lm_str word)
{
	struct lm_str rest = *text;

	if (!lm_str_eq(lm_str_cut(&rest, ' '), word))
		return false;
	*text = rest;
	return true;
}

bool wanted_parse(struct lm_str text, struct store_want *ret)
{
	*ret = (struct store_want){0};
	if (!take_target(&text, &ret->wanted))
		return false;
	ret->touched = take_wanted_word(&text, LM_STR("touched"));
	if (take_wanted_word(&text, LM_STR("from")))
		ret->leaves = generation_parse_number(lm_str_cut(&text, ' '));
	if (take_wanted_word(&text, LM_STR("else")))
		(void)take_target(&text, &ret->before);
	if (take_wanted_word(&text, LM_STR("failed")))
		ret->failed = generation_parse_number(lm_str_cut(&text, ' '));
	return true;
}

void wanted_format(const struct store_want *want, char out[WANTED_SIZE])
{
	lm_auto_buf struct lm_buf text = LM_BUF(WANTED_SIZE - 1);

	(void)lm_buf_printf(&text, "%s %u%s", lifecycle_wanted_name(want->wanted.state),
		want->wanted.generation, want->touched ? " touched" : "");
	if (want->leaves)
		(void)lm_buf_printf(&text, " from %u", want->leaves);
	if (want->before.state != WANTED_NOTHING)
		(void)lm_buf_printf(&text, " else %s %u", lifecycle_wanted_name(want->before.state),
			want->before.generation);
	if (want->failed && !want->leaves) // what a rollback leaves is known then
		(void)lm_buf_printf(&text, " failed %u", want->failed);
	(void)snprintf(out, WANTED_SIZE, "%s", lm_buf_cstr(&text));
}

lm_rc wanted_read(int dir_fd, struct store_want *ret, struct lm_err *err)
{
	char text[WANTED_SIZE];
	ssize_t n = readlinkat(dir_fd, WANTED_NAME, text, sizeof(text));

	*ret = (struct store_want){0};
	if (n < 0 && errno != ENOENT && errno != EINVAL)
		return lm_fail(err, LM_E_SYS, errno, "read the link '%s': %m", WANTED_NAME);
	if (n > 0)
		(void)wanted_parse((struct lm_str){text, (size_t)n}, ret);
	return LM_OK;
}

lm_rc wanted_write(int dir_fd, const struct store_want *want, struct lm_err *err)
{
	char text[WANTED_SIZE];

	if (want->wanted.state == WANTED_NOTHING)
		return lm_tree_remove(dir_fd, WANTED_NAME, err);
	wanted_format(want, text);
	return lm_link_replace(dir_fd, WANTED_NAME, text, err);
}
