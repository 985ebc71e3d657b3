// SPDX-License-Identifier: Apache-2.0
#include "aws/profile_file.h"

#include "base/cleanup.h"

struct reader {
	enum profile_file_kind kind;
	struct lm_str name;
	struct profile profile;
	unsigned line; ///< From 1.
	bool in_section;
	bool in_profile; ///< The section is the profile's.
	bool has_key;    ///< The section had one,
	size_t indent;   ///< which stood so deep.
};

static lm_rc refuse(const struct reader *r, const char *why, struct lm_err *err)
{
	return lm_fail(err, LM_E_INVALID, 0, "line %u %s", r->line, why);
}

static struct lm_str without_quotes(struct lm_str s)
{
	bool quoted = s.n >= 2 && (s.p[0] == '"' || s.p[0] == '\'') && s.p[s.n - 1] == s.p[0];

	return quoted ? (struct lm_str){s.p + 1, s.n - 2} : s;
}

/// The profile that a section is for; false if it is none ("[sso-session x]").
static bool profile_of(enum profile_file_kind kind, struct lm_str section, struct lm_str *ret)
{
	struct lm_str rest = section;
	size_t word = 0;

	if (kind == PROFILE_FILE_CONFIG && !lm_str_eq(section, LM_STR("default"))) {
		while (word < rest.n && rest.p[word] != ' ' && rest.p[word] != '\t')
			word++;
		if (!lm_str_eq((struct lm_str){rest.p, word}, LM_STR("profile")))
			return false;
		rest = lm_str_trim((struct lm_str){rest.p + word, rest.n - word});
	}
	*ret = without_quotes(rest);
	return true;
}

static lm_rc read_section(struct reader *r, struct lm_str line, struct lm_err *err)
{
	struct lm_str name, section = {line.p + 1, line.n - 1};
	size_t end = lm_str_find(section, ']');

	if (end == section.n)
		return refuse(r, "begins a section with '[' but has no ']'", err);
	section = lm_str_trim((struct lm_str){section.p, end});
	r->in_section = true;
	r->has_key = false;
	r->in_profile = profile_of(r->kind, section, &name) && lm_str_eq(name, r->name);
	if (r->in_profile)
		r->profile.found = true;
	return LM_OK;
}

static struct lm_str without_comment(struct lm_str value)
{
	for (size_t i = 1; i < value.n; i++) {
		bool space = value.p[i - 1] == ' ' || value.p[i - 1] == '\t';

		if (space && (value.p[i] == '#' || value.p[i] == ';'))
			return lm_str_trim((struct lm_str){value.p, i});
	}
	return value;
}

static void take_key(struct profile *p, struct lm_str key, struct lm_str value)
{
	static const char *const elsewhere[] = {"role_arn", "web_identity_token_file",
		"sso_session", "sso_start_url", "sso_account_id", "login_session"};

	if (lm_str_eq_nocase(key, LM_STR("aws_access_key_id")))
		p->access_key_id = value;
	else if (lm_str_eq_nocase(key, LM_STR("aws_secret_access_key")))
		p->secret_access_key = value;
	else if (lm_str_eq_nocase(key, LM_STR("aws_session_token")))
		p->session_token = value;
	else if (lm_str_eq_nocase(key, LM_STR("credential_process")))
		p->process = "credential_process";
	for (size_t i = 0; i < LM_ARRAY_SIZE(elsewhere); i++) {
		if (!p->elsewhere && lm_str_eq_nocase(key, lm_str(elsewhere[i])))
			p->elsewhere = elsewhere[i];
	}
}

static lm_rc read_line(struct reader *r, struct lm_str line, struct lm_err *err)
{
	struct lm_str trimmed = lm_str_trim(line);
	size_t indent = (size_t)(trimmed.p - line.p);

	if (!trimmed.n || trimmed.p[0] == '#' || trimmed.p[0] == ';')
		return LM_OK;
	if (r->has_key && indent > r->indent) // belongs to that key
		return LM_OK;
	if (trimmed.p[0] == '[')
		return read_section(r, trimmed, err);
	if (lm_str_find(trimmed, '=') == trimmed.n)
		return refuse(r, "is neither [section] nor key = value nor a comment", err);
	if (!r->in_section)
		return refuse(r, "stands before the first [section]", err);

	struct lm_str value = trimmed;
	struct lm_str key = lm_str_trim(lm_str_cut(&value, '='));
	r->has_key = true;
	r->indent = indent;
	if (r->in_profile)
		take_key(&r->profile, key, without_comment(lm_str_trim(value)));
	return LM_OK;
}

lm_rc profile_file_find(struct lm_str text, enum profile_file_kind kind, struct lm_str name,
	struct profile *ret, struct lm_err *err)
{
	struct reader r = {.kind = kind, .name = name};

	while (text.n) {
		struct lm_str line = lm_str_cut(&text, '\n');

		r.line++;
		lm_rc rc = read_line(&r, line, err);
		if (rc != LM_OK)
			return rc;
	}
	*ret = r.profile;
	return LM_OK;
}
