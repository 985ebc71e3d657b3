// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_lint.h"

#include "base/cleanup.h"
#include "base/memory.h"
#include "sys/yaml.h"

#include <inttypes.h>

enum { BASE_60_MAX = 1000000, DUPLICATE_MEMBERS_MAX = 2000 };

struct lint {
	void (*found)(void *ctx, const char *message);
	void *ctx;
};

static void report(const struct lint *l, const struct yaml_node *at, const char *words)
{
	lm_auto_free char *message =
		lm_xasprintf("line %u, column %u: %s", yaml_line(at), yaml_column(at), words);

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

static void check_scalar(const struct lint *l, const struct yaml_node *node, bool is_port)
{
	struct lm_str text = yaml_text(node);
	uint64_t number = 0;

	if (!yaml_is_plain(node) || !read_base_60(text, &number))
		return;
	lm_auto_free char *shown =
		is_port ? lm_xasprintf("port %.*s", LM_STR_ARG(text)) : lm_xstrdup("a value");
	lm_auto_free char *words = lm_xasprintf(
		"%s is not in quotes, and docker-compose 1 reads it as the number %" PRIu64
		" (of base 60): put it in quotes",
		shown, number);
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

static void check_key(const struct lint *l, const struct yaml_node *mapping, size_t i)
{
	const struct yaml_node *key = yaml_key(mapping, i);
	struct lm_str text = yaml_text(key);

	// Several merges add up.
	if (yaml_kind(key) != YAML_SCALAR || lm_str_eq(text, LM_STR("<<")))
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

/// Aliases are followed: the parser has counted what they stand for.
static void walk(const struct lint *l, const struct yaml_node *node, bool is_port)
{
	size_t n = yaml_size(node);

	switch (yaml_kind(node)) {
	case YAML_SCALAR:
		check_scalar(l, node, is_port);
		break;
	case YAML_SEQUENCE:
		for (size_t i = 0; i < n; i++)
			walk(l, yaml_item(node, i), is_port);
		break;
	case YAML_MAPPING:
		for (size_t i = 0; i < n; i++) {
			struct lm_str key = yaml_text(yaml_key(node, i));
			bool ports =
				lm_str_eq(key, LM_STR("ports")) || lm_str_eq(key, LM_STR("expose"));

			if (i < DUPLICATE_MEMBERS_MAX) // each is compared with those before
				check_key(l, node, i);
			walk(l, yaml_value(node, i), ports);
		}
		break;
	}
}

void compose_lint(struct lm_str text, unsigned generation,
	void (*found)(void *ctx, const char *message), void *ctx)
{
	const struct lint l = {.found = found, .ctx = ctx};
	lm_auto(yaml_destroy_p) struct yaml_doc *doc = NULL;

	// 2 reads YAML 1.2, and refuses keys that stand twice.
	if (generation == 1 && yaml_parse(text, &doc, NULL) == LM_OK)
		walk(&l, yaml_root(doc), false);
}
