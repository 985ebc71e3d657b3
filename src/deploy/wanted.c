// SPDX-License-Identifier: Apache-2.0
#include "deploy/wanted.h"

#include "base/file.h"
#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define WANTED_NAME "wanted"

enum { TEXT_SIZE = 64 };

/// Takes "up 4" from the front of `text`; false: there is no wish.
static bool take_wish(struct lm_str *text, struct lifecycle_wish *ret)
{
	struct lm_str word = lm_str_cut(text, ' ');
	struct lm_str number = lm_str_cut(text, ' ');
	uint64_t n = 0;

	if (!lm_str_to_u64(number, INT32_MAX, &n) || n == 0)
		return false;
	if (lm_str_eq(word, LM_STR("up")))
		*ret = (struct lifecycle_wish){WANTED_UP, (unsigned)n};
	else if (lm_str_eq(word, LM_STR("down")))
		*ret = (struct lifecycle_wish){WANTED_DOWN, (unsigned)n};
	else
		return false;
	return true;
}

/// Takes the word off the front of `text`, if it is there.
static bool take_word(struct lm_str *text, struct lm_str word)
{
	struct lm_str rest = *text;

	if (!lm_str_eq(lm_str_cut(&rest, ' '), word))
		return false;
	*text = rest;
	return true;
}

lm_rc wanted_read(int dir_fd, struct wanted *ret, struct lm_err *err)
{
	char text[TEXT_SIZE];
	ssize_t n = readlinkat(dir_fd, WANTED_NAME, text, sizeof(text));

	*ret = (struct wanted){0};
	if (n < 0 && errno != ENOENT && errno != EINVAL)
		return lm_fail(err, LM_E_SYS, errno, "read the link '%s': %m", WANTED_NAME);
	if (n <= 0)
		return LM_OK;
	struct lm_str rest = {text, (size_t)n};
	if (!take_wish(&rest, &ret->wanted))
		return LM_OK;
	ret->touched = take_word(&rest, LM_STR("touched"));
	if (take_word(&rest, LM_STR("else")))
		(void)take_wish(&rest, &ret->before);
	return LM_OK;
}

lm_rc wanted_write(int dir_fd, const struct wanted *wanted, struct lm_err *err)
{
	char text[TEXT_SIZE], rest[TEXT_SIZE / 2] = "";

	if (wanted->before.state != WANTED_NOTHING)
		(void)snprintf(rest, sizeof(rest), " else %s %u",
			lifecycle_wanted_name(wanted->before.state), wanted->before.generation);
	(void)snprintf(text, sizeof(text), "%s %u%s%s", lifecycle_wanted_name(wanted->wanted.state),
		wanted->wanted.generation, wanted->touched ? " touched" : "", rest);
	return lm_link_replace(dir_fd, WANTED_NAME, text, err);
}
