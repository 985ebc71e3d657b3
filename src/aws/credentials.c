// SPDX-License-Identifier: Apache-2.0
#include "aws/credentials.h"

#include "base/memory.h"

#include <stdbool.h>
#include <stdlib.h>

/// What may stand in an HTTP header without a space: a line end in a variable (a common slip with
/// "$(cat file)" done by hand) must not end in a header of its own.
static bool is_token(struct lm_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	}
	return s.n > 0;
}

static lm_rc check_variable(const char *name, const char *value, struct lm_err *err)
{
	if (is_token(lm_str(value)))
		return LM_OK;
	return lm_fail(err, LM_E_INVALID, 0,
		"%s holds a space, a line end or another character that it cannot have; set it "
		"again without",
		name);
}

static lm_rc load_environment(struct aws_credentials *ret, struct lm_err *err)
{
	const char *id = getenv("AWS_ACCESS_KEY_ID");
	const char *secret = getenv("AWS_SECRET_ACCESS_KEY");
	const char *token = getenv("AWS_SESSION_TOKEN");
	bool has_id = id && *id, has_secret = secret && *secret, has_token = token && *token;

	if (!has_id && !has_secret)
		return lm_fail(err, LM_E_NOT_FOUND, 0, "the environment has no AWS credentials");
	if (!has_id || !has_secret)
		return lm_fail(err, LM_E_INVALID, 0, "%s is set but %s is not; set both",
			has_id ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
			has_id ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");

	lm_rc rc = check_variable("AWS_ACCESS_KEY_ID", id, err);
	if (rc == LM_OK)
		rc = check_variable("AWS_SECRET_ACCESS_KEY", secret, err);
	if (rc == LM_OK && has_token)
		rc = check_variable("AWS_SESSION_TOKEN", token, err);
	if (rc != LM_OK)
		return rc;

	struct aws_credentials c = {
		.access_key_id = lm_xstrdup(id),
		.source = "the environment",
	};
	lm_secret_set(&c.secret, lm_str(secret));
	if (has_token)
		lm_secret_set(&c.session_token, lm_str(token));
	*ret = c;
	return LM_OK;
}

lm_rc credentials_load(struct aws_credentials *ret, struct lm_err *err)
{
	lm_rc rc = load_environment(ret, err);

	if (rc == LM_E_NOT_FOUND)
		return lm_fail(err, rc, 0,
			"there are no AWS credentials: set AWS_ACCESS_KEY_ID and "
			"AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN for temporary ones) in the "
			"environment of lightermand");
	return rc;
}

void credentials_finish(struct aws_credentials *c)
{
	free(c->access_key_id);
	lm_secret_finish(&c->secret);
	lm_secret_finish(&c->session_token);
	*c = (struct aws_credentials){0};
}
