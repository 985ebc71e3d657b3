// SPDX-License-Identifier: Apache-2.0
#include "worker/ecr_tokens.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <string.h>

enum {
	EARLY_MS = 5 * 60 * 1000,
	SHORTEST_MS = 60 * 1000,
};

uint64_t ecr_tokens_renewal_ms(int64_t left_ms)
{
	int64_t after_ms = left_ms - EARLY_MS;

	return after_ms > SHORTEST_MS ? (uint64_t)after_ms : (uint64_t)SHORTEST_MS;
}

static struct ecr_token *find_token(const struct ecr_tokens *t, const struct ecr_registry *r)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct ecr_registry *known = &t->items[i]->request.registry;

		if (strcmp(known->account, r->account) == 0 &&
			strcmp(known->region, r->region) == 0)
			return t->items[i];
	}
	return NULL;
}

/// The token for a host; NULL: the host is not of ECR, or not known.
static struct ecr_token *find_token_of_host(const struct ecr_tokens *t, struct lm_str host)
{
	struct ecr_registry r;

	return ecr_registry_parse(host, &r) ? find_token(t, &r) : NULL;
}

/// False: there is no room.
static bool add_registry(struct ecr_tokens *t, const struct ecr_registry *r)
{
	if (find_token(t, r))
		return true;
	if (t->n == LM_ARRAY_SIZE(t->items))
		return false;
	struct ecr_token *token = lm_xcalloc(1, sizeof(*token));
	token->request.registry = *r;
	t->items[t->n++] = token;
	return true;
}

lm_rc ecr_tokens_want(struct ecr_tokens *t, struct lm_str host, struct lm_err *err)
{
	struct ecr_registry r;

	if (!ecr_registry_parse(host, &r) || add_registry(t, &r))
		return LM_OK;
	return lm_fail(err, LM_E_INVALID, 0,
		"the compose file names more than %d ECR registries, which is the limit",
		LIMIT_ECR_REGISTRIES);
}

void ecr_tokens_scan(struct ecr_tokens *t, struct lm_str text)
{
	struct ecr_registry r;
	struct lm_str host;

	while (ecr_registry_scan(&text, &host, &r) && add_registry(t, &r))
		continue;
}

static void start_token(struct ecr_token *token, struct aws_session *c)
{
	ecr_result_finish(&token->next);
	ecr_start_token(c->https, &token->request, c->credentials, &token->next);
}

void ecr_tokens_start(struct ecr_tokens *t, struct aws_session *c)
{
	for (size_t i = 0; i < t->n; i++)
		if (!t->items[i]->held)
			start_token(t->items[i], c);
}

static void ecr_tokens_take_token(struct ecr_token *token, struct aws_session *c)
{
	struct ecr_result *next = &token->next;

	aws_session_note(c, "ECR", next->clock_offset_ms);
	if (next->rc == LM_E_INVALID) // a setting of this device is wrong, not the definition
		next->rc = next->err.rc = LM_E_DENIED;
	if (next->rc != LM_OK || !next->username)
		return;
	int64_t left_ms = next->expires_ms - lm_clock_wall_ms() - next->clock_offset_ms;

	ecr_result_finish(&token->result);
	token->renew_mono_ms =
		next->expires_ms ? lm_clock_mono_ms() + ecr_tokens_renewal_ms(left_ms) : 0;
	token->result = *next;
	token->held = true;
	*next = (struct ecr_result){0};
}

void ecr_tokens_take(struct ecr_tokens *t, struct aws_session *c)
{
	for (size_t i = 0; i < t->n; i++)
		ecr_tokens_take_token(t->items[i], c);
}

lm_rc ecr_tokens_renew(
	struct ecr_tokens *t, struct aws_session *c, struct lm_str host, struct lm_err *err)
{
	lm_rc rc = ecr_tokens_want(t, host, err);
	struct ecr_token *token = find_token_of_host(t, host);

	if (!rc)
		rc = aws_session_open(c, err);
	if (rc || !token)
		return rc;
	start_token(token, c);
	(void)!aws_session_run(c, err); // the token has its failure
	ecr_tokens_take_token(token, c);
	if (token->next.rc && err)
		*err = token->next.err;
	return token->next.rc;
}

bool ecr_tokens_has(const struct ecr_tokens *t, struct lm_str host)
{
	const struct ecr_token *token = find_token_of_host(t, host);

	return token && token->held;
}

bool ecr_tokens_is_due(const struct ecr_tokens *t, struct lm_str host)
{
	const struct ecr_token *token = find_token_of_host(t, host);

	return token && token->held && token->renew_mono_ms &&
	       lm_clock_mono_ms() >= token->renew_mono_ms;
}

lm_rc ecr_tokens_failure(const struct ecr_tokens *t, struct lm_str host, struct lm_err *err)
{
	const struct ecr_token *token = find_token_of_host(t, host);

	if (!token || token->held || token->next.rc == LM_OK)
		return LM_OK;
	if (err)
		*err = token->next.err;
	return token->next.rc;
}

struct registry_credentials ecr_tokens_login(const struct ecr_tokens *t, struct lm_str host)
{
	const struct ecr_token *token = find_token_of_host(t, host);
	struct registry_credentials login = {.registry = lm_xmemdup0(host.p, host.n),
		.username = lm_xstrdup(token->result.username)};

	lm_secret_set(&login.password, lm_secret_str(&token->result.password));
	return login;
}

void ecr_tokens_finish(struct ecr_tokens *t)
{
	for (size_t i = 0; i < t->n; i++) {
		ecr_result_finish(&t->items[i]->result);
		ecr_result_finish(&t->items[i]->next);
		free(t->items[i]);
	}
	*t = (struct ecr_tokens){0};
}
