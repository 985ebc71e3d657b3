// SPDX-License-Identifier: Apache-2.0
#include "cli/input.h"

#include "base/file.h"

#include <string.h>
#include <unistd.h>

static bool is_standard_input(const char *path)
{
	return strcmp(path, "-") == 0;
}

const char *input_name(const char *path)
{
	return is_standard_input(path) ? "standard input" : path;
}

lm_rc input_read(const char *path, struct lm_buf *out, struct lm_err *err)
{
	if (is_standard_input(path))
		return lm_fd_read_all(STDIN_FILENO, input_name(path), out, err);
	return lm_file_read(path, out, err);
}
