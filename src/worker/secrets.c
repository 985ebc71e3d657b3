// SPDX-License-Identifier: Apache-2.0
#include "worker/secrets.h"

#include "aws/secret_directory.h"
#include "base/log.h"
#include "base/memory.h"

void secrets_finish(struct secrets *s)
{
	for (size_t i = 0; i < s->n; i++)
		registry_credentials_finish(&s->items[i]);
	free(s->items);
	*s = (struct secrets){0};
}

/// Moves a secret's value to the end of the list, which has room for it.
static void add(struct secrets *s, struct secret_value *v)
{
	struct registry_credentials *c = &s->items[s->n++];

	c->registry = lm_take(v->registry_url);
	c->username = lm_take(v->username);
	lm_secret_move(&c->password, &v->password);
}

static lm_rc get_from_directory(
	const char *directory, const char *arn, struct secrets *to, struct lm_err *err)
{
	lm_auto_secret_value struct secret_value value = {0};
	bool exposed = false;
	lm_rc rc = secret_directory_get(directory, arn, &value, &exposed, err);

	if (rc)
		return rc;
	if (exposed)
		lm_warn("every user of this device can read the file of secret '%s' in %s: take "
			"that right away (chmod o-r)",
			arn, directory);
	add(to, &value);
	return LM_OK;
}

lm_rc secrets_get(const struct secrets_source *source, char *const *arns, size_t n,
	const struct wait_limit *limit, struct secrets *ret, struct lm_err *err)
{
	lm_auto_secrets struct secrets got = {.items = lm_xcalloc(n + 1, sizeof(*got.items))};
	lm_rc rc = LM_OK;

	if (n > 0 && !source->directory)
		rc = lm_fail(err, LM_E_REFUSED, 0,
			"AWSSecretsArnList is given, but AWS Secrets Manager is not supported yet: "
			"set secretStore.directory in the host file and put the secrets there");
	for (size_t i = 0; i < n && !rc; i++)
		rc = get_from_directory(source->directory, arns[i], &got, err);
	if (!rc && source->https)
		rc = https_run(source->https, limit, err);
	if (rc)
		return rc;
	*ret = got;
	got = (struct secrets){0};
	return LM_OK;
}
