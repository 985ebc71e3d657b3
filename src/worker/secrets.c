// SPDX-License-Identifier: Apache-2.0
#include "worker/secrets.h"

#include "aws/local_store.h"
#include "aws/secrets_manager.h"
#include "base/log.h"
#include "base/memory.h"

#include <string.h>

/// Moves a secret's value to the end of the list.
static void add_secret(struct registry_list *list, struct secret_value *v)
{
	struct registry_credentials c = {
		.registry = lm_take(v->registry_url), .username = lm_take(v->username)};

	lm_secret_move(&c.password, &v->password);
	registry_list_add(list, &c);
}

static bool is_repeated(char *const *arns, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(arns[k], arns[i]) == 0)
			return true;
	return false;
}

/// The first failure goes to the caller, with the number of all; the others go to the log.
struct failures {
	struct lm_err *err;
	lm_rc first;
	size_t n;
};

static void secrets_note_failure(struct failures *f, lm_rc rc, const struct lm_err *why)
{
	f->n += rc != LM_E_CANCELLED && rc != LM_E_TIMEOUT;
	if (f->first == LM_OK) {
		f->first = rc;
		if (f->err)
			*f->err = *why;
	} else if (rc != LM_E_CANCELLED && rc != LM_E_TIMEOUT) {
		lm_error("%s", why->msg);
	}
}

static lm_rc get_secret(
	const char *directory, const char *arn, struct registry_list *to, struct lm_err *err)
{
	lm_auto_secret_value struct secret_value value = {0};
	bool exposed = false;
	lm_rc rc = local_store_get_secret(directory, arn, &value, &exposed, err);

	if (rc)
		return rc;
	if (exposed)
		lm_warn("the file of secret '%s' in %s is world-readable: run chmod o-r on it", arn,
			directory);
	add_secret(to, &value);
	return LM_OK;
}

static void get_secrets_from_directory(const char *directory, char *const *arns, size_t n,
	struct registry_list *to, struct failures *failures)
{
	for (size_t i = 0; i < n; i++) {
		struct lm_err err = {LM_OK};
		lm_rc rc = is_repeated(arns, i) ? LM_OK : get_secret(directory, arns[i], to, &err);

		if (rc)
			secrets_note_failure(failures, rc, &err);
	}
}

static void secrets_take_secret(struct aws_session *c, struct secret_result *r,
	struct registry_list *to, struct failures *failures)
{
	aws_session_note(c, "Secrets Manager", r->clock_offset_ms);
	if (r->rc)
		secrets_note_failure(failures, r->rc, &r->err);
	else
		add_secret(to, &r->value);
	secret_result_finish(r);
}

static void get_secrets_from_aws(struct aws_session *c, char *const *arns, size_t n,
	struct registry_list *to, struct failures *failures)
{
	lm_auto_free struct secret_request *requests = lm_xcalloc(n + 1, sizeof(*requests));
	lm_auto_free struct secret_result *results = lm_xcalloc(n + 1, sizeof(*results));

	for (size_t i = 0; i < n; i++) {
		requests[i].arn = arns[i];
		if (!is_repeated(arns, i))
			secrets_manager_start(c->https, &requests[i], c->credentials, &results[i]);
	}
	(void)!aws_session_run(c, NULL); // the results have its failures
	for (size_t i = 0; i < n; i++)
		if (!is_repeated(arns, i))
			secrets_take_secret(c, &results[i], to, failures);
}

lm_rc secrets_get(const struct secrets_source *source, char *const *arns, size_t n,
	struct registry_list *ret, struct lm_err *err)
{
	lm_auto_registry_list struct registry_list got = {0};
	struct failures failures = {.err = err};
	lm_rc rc = LM_OK;

	if (source->directory)
		get_secrets_from_directory(source->directory, arns, n, &got, &failures);
	else if (n > 0)
		get_secrets_from_aws(source->session, arns, n, &got, &failures);
	if (source->session) // requests that were started before
		rc = aws_session_run(source->session, failures.first ? NULL : err);
	if (failures.first && failures.n > 1 && err)
		(void)!lm_wrap(err, "%zu secrets cannot be read (all are in the log); the first",
			failures.n);
	if (failures.first)
		return failures.first;
	if (rc)
		return rc;
	*ret = got;
	got = (struct registry_list){0};
	return LM_OK;
}
