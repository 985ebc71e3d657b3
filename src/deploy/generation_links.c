// SPDX-License-Identifier: Apache-2.0
#include "deploy/generation_links.h"

#include "base/file.h"
#include "deploy/generation_folder.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define FOLDER "generations/"

lm_rc generation_link_read(
	int root_fd, const char *name, unsigned *ret_n, bool *ret_damaged, struct lm_err *err)
{
	char text[2 * GENERATION_NAME_SIZE];
	ssize_t length = readlinkat(root_fd, name, text, sizeof(text));

	*ret_n = 0;
	*ret_damaged = false;
	if (length < 0 && errno == ENOENT)
		return LM_OK;
	if (length < 0 && errno != EINVAL)
		return lm_fail(err, LM_E_SYS, errno, "read the link '%s': %m", name);
	struct lm_str target = {text, length < 0 ? 0 : (size_t)length};
	if (lm_str_starts(target, LM_STR(FOLDER)))
		*ret_n = generation_parse_number(
			(struct lm_str){target.p + strlen(FOLDER), target.n - strlen(FOLDER)});
	*ret_damaged = *ret_n == 0;
	return LM_OK;
}

lm_rc generation_link_set(int root_fd, const char *name, unsigned n, struct lm_err *err)
{
	char target[GENERATION_NAME_SIZE];

	(void)snprintf(target, sizeof(target), FOLDER "%u", n);
	return lm_link_replace(root_fd, name, target, err);
}
