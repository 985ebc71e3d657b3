// SPDX-License-Identifier: Apache-2.0
#include "aws/secret_directory.h"

#include "aws/beneath.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/memory.h"

#include <errno.h>
#include <sys/stat.h>

enum { SUFFIX_LEN = 6 }; ///< Secrets Manager adds "-" and six characters to a secret's name.

static bool is_suffix(struct lm_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
			return false;
	}
	return s.n == SUFFIX_LEN;
}

/// "arn:P:secretsmanager:R:A:secret:NAME-abc123" → "NAME"; n 0 if it is none.
static struct lm_str name_of(const char *arn)
{
	struct lm_str rest = lm_str(arn), part[6];

	for (size_t i = 0; i < LM_ARRAY_SIZE(part); i++)
		part[i] = lm_str_cut(&rest, ':');
	if (!lm_str_eq(part[0], LM_STR("arn")) || !lm_str_eq(part[2], LM_STR("secretsmanager")) ||
		!lm_str_eq(part[5], LM_STR("secret")))
		return (struct lm_str){"", 0};
	if (rest.n > SUFFIX_LEN + 1) {
		size_t dash = rest.n - SUFFIX_LEN - 1;

		if (rest.p[dash] == '-' &&
			is_suffix((struct lm_str){rest.p + dash + 1, SUFFIX_LEN}))
			rest.n = dash;
	}
	return rest;
}

lm_rc secret_directory_get(const char *directory, const char *arn, struct secret_value *ret,
	bool *ret_exposed, struct lm_err *err)
{
	struct lm_str name = name_of(arn);
	lm_auto_buf struct lm_buf text = LM_BUF_SECRET(LIMIT_SECRET_VALUE);
	lm_auto_close int fd = -1;
	struct stat st;

	if (!name.n)
		return lm_fail(err, LM_E_INVALID, 0,
			"'%.300s' is not the ARN of a secret "
			"(arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-abc123)",
			arn);
	lm_auto_free char *file = lm_xasprintf("%.*s.json", LM_STR_ARG(name));
	lm_auto_free char *path = lm_xasprintf("%s/%s", directory, file);
	lm_rc rc = beneath_open(directory, file, &fd, err);

	if (rc == LM_OK && fstat(fd, &st) != 0)
		rc = lm_fail(err, LM_E_SYS, errno, "stat '%s': %m", path);
	if (rc == LM_OK)
		rc = beneath_read(fd, path, &text, err);
	if (rc != LM_OK) {
		(void)lm_wrap(err, "secret '%.300s'", arn);
		return rc;
	}
	rc = secret_value_parse(arn, lm_buf_str(&text), ret, err);
	if (rc == LM_OK && ret_exposed)
		*ret_exposed = (st.st_mode & S_IROTH) != 0;
	return rc;
}
