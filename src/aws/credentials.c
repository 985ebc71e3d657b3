// SPDX-License-Identifier: Apache-2.0
#include "aws/credentials.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/memory.h"
#include "sys/json.h"

#include <stdlib.h>

bool credentials_is_token(struct lm_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	}
	return s.n > 0;
}

static lm_rc check_part(const struct credentials_parts *p, const char *name, struct lm_str value,
	struct lm_err *err)
{
	if (credentials_is_token(value))
		return LM_OK;
	return lm_fail(err, LM_E_INVALID, 0,
		"%s%s holds a space, a line end or another character that it cannot have; set it "
		"again without",
		name, p->where);
}

lm_rc credentials_assemble(
	const struct credentials_parts *p, struct aws_credentials *ret, struct lm_err *err)
{
	if (!p->id.n && !p->secret.n)
		return lm_fail(err, LM_E_NOT_FOUND, 0, "%s%s is not set", p->id_name, p->where);
	if (!p->id.n || !p->secret.n)
		return lm_fail(err, LM_E_INVALID, 0, "%s is set but %s is not%s; set both",
			p->id.n ? p->id_name : p->secret_name,
			p->id.n ? p->secret_name : p->id_name, p->where);

	lm_rc rc = check_part(p, p->id_name, p->id, err);
	if (rc == LM_OK)
		rc = check_part(p, p->secret_name, p->secret, err);
	if (rc == LM_OK && p->token.n)
		rc = check_part(p, p->token_name, p->token, err);
	if (rc != LM_OK)
		return rc;

	struct aws_credentials c = {
		.access_key_id = lm_xmemdup0(p->id.p, p->id.n),
		.source = p->source,
	};
	lm_secret_set(&c.secret, p->secret);
	if (p->token.n)
		lm_secret_set(&c.session_token, p->token);
	*ret = c;
	return LM_OK;
}

void credentials_finish(struct aws_credentials *c)
{
	free(c->access_key_id);
	lm_secret_finish(&c->secret);
	lm_secret_finish(&c->session_token);
	*c = (struct aws_credentials){0};
}

/// "02:00" or "0200", in milliseconds: the time of that name on the first day there is.
static bool parse_offset(struct lm_str text, int64_t *ret_ms)
{
	size_t colon = text.n == 5 && text.p[2] == ':';

	if (text.n != 4 + colon)
		return false;
	lm_auto_free char *time =
		lm_xasprintf("1970-01-01T%.2s:%.2s:00Z", text.p, text.p + 2 + colon);
	return lm_time_parse(lm_str(time), ret_ms);
}

int64_t credentials_parse_time_ms(struct lm_str s)
{
	int64_t ms = 0, offset_ms = 0;
	size_t at = s.n; // behind the sign of an offset

	if (!lm_time_parse(s, &ms)) {
		while (at && s.p[at - 1] != '+' && s.p[at - 1] != '-')
			at--;
		if (!at || !parse_offset((struct lm_str){s.p + at, s.n - at}, &offset_ms))
			return 0;
		lm_auto_free char *local = lm_xasprintf("%.*sZ", (int)at - 1, s.p);
		if (!lm_time_parse(lm_str(local), &ms))
			return 0;
		ms += s.p[at - 1] == '+' ? -offset_ms : offset_ms;
	}
	return ms > 0 ? ms - ms % 1000 : 0;
}

void credentials_set_expiry(struct aws_credentials *c, int64_t expires_ms, int64_t server_ms)
{
	int64_t left_ms = expires_ms - (server_ms ? server_ms : lm_clock_wall_ms());

	c->expires_ms = expires_ms;
	c->expires_mono_ms = lm_clock_mono_ms() + (left_ms > 0 ? (uint64_t)left_ms : 0);
}

static lm_rc read_document_members(const json_t *object, const struct credentials_names *names,
	int64_t server_ms, struct aws_credentials *ret, struct lm_err *err)
{
	const struct credentials_parts parts = {
		.id = lm_str(json_get_text(object, names->id)),
		.secret = lm_str(json_get_text(object, names->secret)),
		.token = lm_str(json_get_text(object, names->token)),
		.id_name = names->id,
		.secret_name = names->secret,
		.token_name = names->token,
		.where = "",
		.source = names->source,
	};
	const json_t *expiration = json_object_get(object, names->expiration);
	int64_t expires_ms = 0;

	if (names->version && json_get_int(object, "Version", 0) != names->version)
		return lm_fail(err, LM_E_PROTOCOL, 0, "its Version is not %d", names->version);
	if (!parts.id.n || !parts.secret.n || (names->needs_token && !parts.token.n))
		return lm_fail(err, LM_E_PROTOCOL, 0, "it has no %s",
			!parts.id.n       ? names->id
			: !parts.secret.n ? names->secret
					  : names->token);
	if (expiration && !json_is_null(expiration)) {
		expires_ms =
			credentials_parse_time_ms(lm_str(json_get_text(object, names->expiration)));
		if (!expires_ms)
			return lm_fail(err, LM_E_PROTOCOL, 0, "invalid timestamp in \"%s\"",
				names->expiration);
	}
	lm_rc rc = credentials_assemble(&parts, ret, err);
	if (rc == LM_OK && expires_ms)
		credentials_set_expiry(ret, expires_ms, server_ms);
	return rc;
}

/// The reason of a parser may quote the text, so only the fact is passed on.
static lm_rc parse_object(struct lm_str text, json_t **ret, struct lm_err *err)
{
	lm_auto_json json_t *document = NULL;

	if (json_parse(text, &document, NULL) != LM_OK)
		return lm_fail(err, LM_E_PROTOCOL, 0, "it is not JSON");
	if (!json_is_object(document))
		return lm_fail(
			err, LM_E_PROTOCOL, 0, "it is %s, not an object", json_type_name(document));
	*ret = lm_take(document);
	return LM_OK;
}

lm_rc credentials_parse(struct lm_str text, const struct credentials_names *names,
	int64_t server_ms, struct aws_credentials *ret, struct lm_err *err)
{
	lm_auto_json json_t *document = NULL;
	lm_rc rc = parse_object(text, &document, err);

	if (rc != LM_OK)
		return rc;
	return read_document_members(
		names->object ? json_object_get(document, names->object) : document, names,
		server_ms, ret, err);
}
