// SPDX-License-Identifier: Apache-2.0
#include "base/path.h"

#include "base/memory.h"

char *lm_path_join(const char *a, const char *b)
{
	size_t n = strlen(a);

	while (n > 0 && a[n - 1] == '/')
		n--;
	while (*b == '/')
		b++;
	return lm_xasprintf("%.*s/%s", (int)n, a, b);
}

const char *lm_path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool lm_path_is_absolute(struct lm_str path)
{
	return path.n > 0 && path.p[0] == '/';
}

bool lm_path_escapes(struct lm_str path)
{
	if (path.n == 0 || memchr(path.p, '\0', path.n))
		return true;
	while (path.n > 0) {
		if (lm_str_eq(lm_str_cut(&path, '/'), LM_STR("..")))
			return true;
	}
	return false;
}
