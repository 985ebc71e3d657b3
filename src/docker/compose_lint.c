// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_lint.h"

#include "base/cleanup.h"
#include "base/memory.h"
#include "sys/yaml.h"

#include <inttypes.h>

enum { BASE_60_MAX = 1000000, DUPLICATE_MEMBERS_MAX = 2000, MESSAGES_MAX = 50 };

/// What a scalar is for.
enum use {
	USE_ANY,
	USE_TEXT, ///< It is handed on as a text.
	USE_PORT,
};

struct lint {
	unsigned generation;
	void (*found)(void *ctx, const char *message);
	void *ctx;
	unsigned line, column; ///< Of the last message.
	size_t left;           ///< Messages that still may come.
};

/// What aliases stand for comes again, and stands before what was found last.
static void report(struct lint *l, const struct yaml_node *at, const char *words)
{
	unsigned line = yaml_line(at), column = yaml_column(at);

	if (line < l->line || (line == l->line && column <= l->column) || l->left == 0)
		return;
	l->line = line;
	l->column = column;
	l->left--;
	lm_auto_free char *message = lm_xasprintf("line %u, column %u: %s", line, column, words);
	l->found(l->ctx, message);
}

/// YAML 1.1 has numbers of base 60, "22:22" is one: what stands behind the first colon is below 60.
static bool read_base_60(struct lm_str text, uint64_t *ret)
{
	struct lm_str rest = text;
	struct lm_str part = lm_str_cut(&rest, ':');
	uint64_t sum = 0, digit = 0;

	if (rest.n == 0 || !lm_str_to_u64(part, BASE_60_MAX, &sum) || sum == 0)
		return false;
	while (rest.n > 0) {
		part = lm_str_cut(&rest, ':');
		if (part.n == 2 && part.p[0] == '0')
			part = (struct lm_str){part.p + 1, 1};
		if (!lm_str_to_u64(part, 59, &digit) || sum > BASE_60_MAX)
			return false;
		sum = sum * 60 + digit;
	}
	*ret = sum;
	return text.p[text.n - 1] != ':';
}

static void check_base_60(struct lint *l, const struct yaml_node *node, enum use use)
{
	struct lm_str text = yaml_text(node);
	uint64_t number = 0;

	if (l->generation != 1 || !read_base_60(text, &number))
		return;
	if (use != USE_PORT) { // it may be a secret, and the number is as good as it
		report(l, node,
			"a value is not in quotes, and docker-compose 1 reads it as a number of "
			"base 60: put it in quotes");
		return;
	}
	lm_auto_free char *words = lm_xasprintf(
		"port %.*s is not in quotes, and docker-compose 1 reads it as the number %" PRIu64
		" (of base 60): put it in quotes",
		LM_STR_ARG(text), number);
	report(l, node, words);
}

/// The base of a number that begins with 0: "022" is 18. 0: it is none.
static unsigned read_base(unsigned generation, struct lm_str text)
{
	const char *digits = "01234567";
	unsigned base = 8;
	size_t n = 1;

	if (text.n < 2 || text.p[0] != '0')
		return 0;
	if (text.p[1] == 'x') {
		digits = "0123456789abcdefABCDEF";
		base = 16;
		n = 2;
	} else if (text.p[1] == 'o' && generation > 1) {
		n = 2;
	}
	if (n == text.n)
		return 0;
	for (; n < text.n; n++)
		if (!text.p[n] || !strchr(digits, text.p[n]))
			return 0;
	return base;
}

static void check_base(struct lint *l, const struct yaml_node *node, enum use use)
{
	unsigned base = use == USE_ANY ? 0 : read_base(l->generation, yaml_text(node));

	if (base == 0)
		return;
	lm_auto_free char *words = lm_xasprintf(
		"a %s that begins with 0 is not in quotes, and docker-compose reads it "
		"as a number of base %u: put it in quotes",
		use == USE_PORT ? "port" : "value", base);
	report(l, node, words);
}

/// The member of that key before the one at `end`; NULL: there is none.
static const struct yaml_node *find_before(
	const struct yaml_node *mapping, size_t end, struct lm_str key)
{
	for (size_t i = 0; i < end; i++)
		if (lm_str_eq(yaml_text(yaml_key(mapping, i)), key))
			return yaml_key(mapping, i);
	return NULL;
}

static void check_key(struct lint *l, const struct yaml_node *mapping, size_t i)
{
	const struct yaml_node *key = yaml_key(mapping, i);
	struct lm_str text = yaml_text(key);

	// Several merges add up.
	if (l->generation != 1 || yaml_kind(key) != YAML_SCALAR || lm_str_eq(text, LM_STR("<<")))
		return;
	const struct yaml_node *first = find_before(mapping, i, text);
	if (!first)
		return;
	lm_auto_free char *words = lm_xasprintf(
		"'%.*s' stands here a second time (first in line %u), and docker-compose 1 takes "
		"the last one only: remove one of them",
		(int)(text.n < 100 ? text.n : 100), text.p, yaml_line(first));
	report(l, key, words);
}

static enum use use_below(struct lm_str key)
{
	static const struct {
		const char *key;
		enum use use;
	} uses[] = {{"ports", USE_PORT}, {"expose", USE_PORT}, {"environment", USE_TEXT},
		{"labels", USE_TEXT}, {"args", USE_TEXT}};

	for (size_t i = 0; i < LM_ARRAY_SIZE(uses); i++)
		if (lm_str_eq(key, lm_str(uses[i].key)))
			return uses[i].use;
	return USE_ANY;
}

/// Aliases are followed: the parser has counted what they stand for.
static void walk(struct lint *l, const struct yaml_node *node, enum use use)
{
	size_t n = yaml_size(node);

	switch (yaml_kind(node)) {
	case YAML_SCALAR:
		if (yaml_is_plain(node)) {
			check_base_60(l, node, use);
			check_base(l, node, use);
		}
		break;
	case YAML_SEQUENCE:
		for (size_t i = 0; i < n; i++)
			walk(l, yaml_item(node, i), use);
		break;
	case YAML_MAPPING:
		for (size_t i = 0; i < n; i++) {
			enum use below = use_below(yaml_text(yaml_key(node, i)));

			if (i < DUPLICATE_MEMBERS_MAX) // each is compared with those before
				check_key(l, node, i);
			walk(l, yaml_value(node, i), use == USE_TEXT ? use : below);
		}
		break;
	}
}

void compose_lint(struct lm_str text, unsigned generation,
	void (*found)(void *ctx, const char *message), void *ctx)
{
	struct lint l = {
		.generation = generation, .found = found, .ctx = ctx, .left = MESSAGES_MAX};
	struct yaml_doc **docs = NULL;
	size_t n = 0;

	if (yaml_parse_all(text, &docs, &n, NULL))
		return;
	for (size_t i = 0; i < n; i++)
		walk(&l, yaml_root(docs[i]), USE_ANY);
	yaml_destroy_all(docs, n);
}
