// SPDX-License-Identifier: Apache-2.0
#include "sys/yaml.h"

#include "base/limits.h"
#include "base/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <yaml.h>

/// A face of one of libyaml's nodes; it stands at the same index as that node in its document.
struct yaml_node {
	const struct yaml_doc *doc;
	const yaml_node_t *raw;
};

struct yaml_doc {
	yaml_document_t document;
	bool loaded;
	struct yaml_node *nodes;
};

static lm_rc fail_at(yaml_mark_t mark, const char *what, struct lm_err *err)
{
	return lm_fail(err, LM_E_INVALID, 0, "line %zu, column %zu: %s", mark.line + 1,
		mark.column + 1, what);
}

static lm_rc too_large_at(yaml_mark_t mark, const char *what, struct lm_err *err)
{
	return lm_fail(err, LM_E_TOO_LARGE, 0, "line %zu, column %zu: %s", mark.line + 1,
		mark.column + 1, what);
}

static lm_rc fail_parser(const yaml_parser_t *parser, struct lm_err *err)
{
	const char *problem = parser->problem ? parser->problem : "this is not YAML";

	if (parser->error == YAML_READER_ERROR)
		return lm_fail(
			err, LM_E_INVALID, 0, "byte %zu: %s", parser->problem_offset, problem);
	if (!parser->context)
		return fail_at(parser->problem_mark, problem, err);
	return lm_fail(err, LM_E_INVALID, 0, "line %zu, column %zu: %s (%s)",
		parser->problem_mark.line + 1, parser->problem_mark.column + 1, problem,
		parser->context);
}

static const yaml_node_t *raw_node(const struct yaml_doc *doc, int index)
{
	return doc->document.nodes.start + (index - 1); // libyaml counts from 1
}

/// Walks the tree with aliases followed, so that what they multiply is counted, and a loop is found
/// by its depth.
static lm_rc check_size(const struct yaml_doc *doc, const yaml_node_t *node, unsigned depth,
	unsigned *visited, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	if (depth > LIMIT_YAML_DEPTH) // check_depth has let it pass: it takes an alias
		return too_large_at(node->start_mark,
			"it has no end, as an alias stands in what it refers to", err);
	if (++*visited > LIMIT_YAML_NODES)
		return too_large_at(node->start_mark,
			"it has too many values (aliases count as what they stand for)", err);
	if (node->type == YAML_SCALAR_NODE && node->data.scalar.length > LIMIT_YAML_TEXT)
		return too_large_at(node->start_mark, "this value is over 1 MB", err);
	if (node->type == YAML_SEQUENCE_NODE) {
		const yaml_node_item_t *item = node->data.sequence.items.start;
		for (; !rc && item < node->data.sequence.items.top; item++)
			rc = check_size(doc, raw_node(doc, *item), depth + 1, visited, err);
	} else if (node->type == YAML_MAPPING_NODE) {
		const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
		for (; !rc && pair < node->data.mapping.pairs.top; pair++) {
			rc = check_size(doc, raw_node(doc, pair->key), depth + 1, visited, err);
			if (!rc)
				rc = check_size(
					doc, raw_node(doc, pair->value), depth + 1, visited, err);
		}
	}
	return rc;
}

static bool opens(yaml_event_type_t type)
{
	return type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT;
}

static bool closes(yaml_event_type_t type)
{
	return type == YAML_SEQUENCE_END_EVENT || type == YAML_MAPPING_END_EVENT;
}

/// Finds a text that libyaml would read for minutes: its time grows with the square of the depth.
/// What else is wrong is found later.
static lm_rc check_depth(struct lm_str text, struct lm_err *err)
{
	unsigned depth = 0;
	lm_rc rc = LM_OK;
	yaml_parser_t parser;
	yaml_event_t event;

	if (!yaml_parser_initialize(&parser))
		return lm_fail(err, LM_E_SYS, ENOMEM, "parse YAML: %m");
	yaml_parser_set_input_string(
		&parser, (const unsigned char *)(text.n ? text.p : ""), text.n);
	for (bool more = true; more && !rc;) {
		if (!yaml_parser_parse(&parser, &event))
			break;
		more = event.type != YAML_STREAM_END_EVENT;
		if (opens(event.type) && depth++ > LIMIT_YAML_DEPTH)
			rc = too_large_at(event.start_mark, "it is nested too deep", err);
		else if (closes(event.type))
			depth--;
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return rc;
}

static void face_nodes(struct yaml_doc *doc)
{
	size_t n = (size_t)(doc->document.nodes.top - doc->document.nodes.start);

	doc->nodes = lm_xcalloc(n, sizeof(*doc->nodes));
	for (size_t i = 0; i < n; i++)
		doc->nodes[i] = (struct yaml_node){doc, doc->document.nodes.start + i};
}

/// Loads the next document of the text; `*ret` is NULL behind the last one.
static lm_rc load_documents(yaml_parser_t *parser, struct yaml_doc **ret, struct lm_err *err)
{
	lm_auto(yaml_destroy_p) struct yaml_doc *doc = lm_xcalloc(1, sizeof(*doc));
	unsigned visited = 0;

	if (!yaml_parser_load(parser, &doc->document))
		return fail_parser(parser, err);
	doc->loaded = true;
	const yaml_node_t *root = yaml_document_get_root_node(&doc->document);
	if (!root) {
		*ret = NULL;
		return LM_OK;
	}
	lm_rc rc = check_size(doc, root, 0, &visited, err);
	if (rc)
		return rc;
	face_nodes(doc);
	*ret = lm_take(doc);
	return LM_OK;
}

void yaml_destroy_all(struct yaml_doc **docs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		yaml_destroy(docs[i]);
	free(docs);
}

static lm_rc load_all(yaml_parser_t *parser, struct yaml_doc **docs, size_t *n, struct lm_err *err)
{
	struct yaml_doc *doc = NULL;
	lm_rc rc;

	while ((rc = load_documents(parser, &doc, err)) == LM_OK && doc) {
		if (*n == LIMIT_YAML_DOCUMENTS) {
			yaml_destroy(doc);
			return lm_fail(err, LM_E_TOO_LARGE, 0, "it has more than %d YAML documents",
				LIMIT_YAML_DOCUMENTS);
		}
		docs[(*n)++] = doc;
	}
	if (!rc && *n == 0)
		return lm_fail(err, LM_E_INVALID, 0, "line 1, column 1: it is empty");
	return rc;
}

lm_rc yaml_parse_all(struct lm_str text, struct yaml_doc ***ret, size_t *ret_n, struct lm_err *err)
{
	lm_rc rc = check_depth(text, err);
	if (rc)
		return rc;
	struct yaml_doc **docs = lm_xcalloc(LIMIT_YAML_DOCUMENTS, sizeof(struct yaml_doc *));
	size_t n = 0;
	yaml_parser_t parser;

	if (!yaml_parser_initialize(&parser)) {
		free(docs);
		return lm_fail(err, LM_E_SYS, ENOMEM, "parse YAML: %m");
	}
	yaml_parser_set_input_string(
		&parser, (const unsigned char *)(text.n ? text.p : ""), text.n);
	rc = load_all(&parser, docs, &n, err);
	yaml_parser_delete(&parser);
	if (rc) {
		yaml_destroy_all(docs, n);
		return rc;
	}
	*ret = docs;
	*ret_n = n;
	return LM_OK;
}

lm_rc yaml_parse(struct lm_str text, struct yaml_doc **ret, struct lm_err *err)
{
	struct yaml_doc **docs = NULL;
	size_t n = 0;
	lm_rc rc = yaml_parse_all(text, &docs, &n, err);

	if (rc == LM_E_TOO_LARGE) {
		if (err)
			err->rc = LM_E_INVALID;
		rc = LM_E_INVALID;
	}
	if (rc)
		return rc;
	if (n > 1)
		rc = fail_at(yaml_root(docs[1])->raw->start_mark,
			"a second document starts here; only one is allowed", err);
	else
		*ret = lm_take(docs[0]);
	yaml_destroy_all(docs, n);
	return rc;
}

void yaml_destroy(struct yaml_doc *doc)
{
	if (!doc)
		return;
	if (doc->loaded)
		yaml_document_delete(&doc->document);
	free(doc->nodes);
	free(doc);
}

static const struct yaml_node *face(const struct yaml_doc *doc, int index)
{
	return doc->nodes + (index - 1);
}

const struct yaml_node *yaml_root(const struct yaml_doc *doc)
{
	return face(doc, 1);
}

enum yaml_kind yaml_kind(const struct yaml_node *n)
{
	switch (n->raw->type) {
	case YAML_SEQUENCE_NODE:
		return YAML_SEQUENCE;
	case YAML_MAPPING_NODE:
		return YAML_MAPPING;
	case YAML_SCALAR_NODE:
	case YAML_NO_NODE:
		break;
	}
	return YAML_SCALAR;
}

unsigned yaml_line(const struct yaml_node *n)
{
	return (unsigned)n->raw->start_mark.line + 1;
}

unsigned yaml_column(const struct yaml_node *n)
{
	return (unsigned)n->raw->start_mark.column + 1;
}

struct lm_str yaml_text(const struct yaml_node *n)
{
	if (n->raw->type != YAML_SCALAR_NODE)
		return (struct lm_str){"", 0};
	return (struct lm_str){(const char *)n->raw->data.scalar.value, n->raw->data.scalar.length};
}

bool yaml_is_null(const struct yaml_node *n)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};

	if (n->raw->type != YAML_SCALAR_NODE ||
		n->raw->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	for (size_t i = 0; i < LM_ARRAY_SIZE(nulls); i++) {
		if (lm_str_eq(yaml_text(n), lm_str(nulls[i])))
			return true;
	}
	return false;
}

bool yaml_is_plain(const struct yaml_node *n)
{
	return n->raw->type == YAML_SCALAR_NODE &&
	       n->raw->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

size_t yaml_size(const struct yaml_node *n)
{
	if (n->raw->type == YAML_SEQUENCE_NODE)
		return (size_t)(n->raw->data.sequence.items.top -
				n->raw->data.sequence.items.start);
	if (n->raw->type == YAML_MAPPING_NODE)
		return (size_t)(n->raw->data.mapping.pairs.top - n->raw->data.mapping.pairs.start);
	return 0;
}

const struct yaml_node *yaml_item(const struct yaml_node *sequence, size_t i)
{
	return face(sequence->doc, sequence->raw->data.sequence.items.start[i]);
}

const struct yaml_node *yaml_key(const struct yaml_node *mapping, size_t i)
{
	return face(mapping->doc, mapping->raw->data.mapping.pairs.start[i].key);
}

const struct yaml_node *yaml_value(const struct yaml_node *mapping, size_t i)
{
	return face(mapping->doc, mapping->raw->data.mapping.pairs.start[i].value);
}

/// The key in what a "<<" brings in (YAML 1.1 merge: a mapping, or a sequence of them, first wins).
static const struct yaml_node *get_merged(const struct yaml_node *merge, const char *key)
{
	if (yaml_kind(merge) == YAML_MAPPING)
		return yaml_get(merge, key);
	for (size_t i = 0; yaml_kind(merge) == YAML_SEQUENCE && i < yaml_size(merge); i++) {
		const struct yaml_node *item = yaml_item(merge, i);
		const struct yaml_node *found =
			yaml_kind(item) == YAML_MAPPING ? yaml_get(item, key) : NULL;
		if (found)
			return found;
	}
	return NULL;
}

static const struct yaml_node *get_own(const struct yaml_node *mapping, struct lm_str key)
{
	for (size_t i = 0; i < yaml_size(mapping); i++) {
		const struct yaml_node *candidate = yaml_key(mapping, i);
		if (yaml_kind(candidate) == YAML_SCALAR && lm_str_eq(yaml_text(candidate), key))
			return yaml_value(mapping, i);
	}
	return NULL;
}

const struct yaml_node *yaml_get(const struct yaml_node *mapping, const char *key)
{
	if (yaml_kind(mapping) != YAML_MAPPING)
		return NULL;
	const struct yaml_node *own = get_own(mapping, lm_str(key));
	const struct yaml_node *merge = own ? NULL : get_own(mapping, LM_STR("<<"));
	return merge ? get_merged(merge, key) : own;
}

struct lm_str yaml_get_text(const struct yaml_node *mapping, const char *key)
{
	const struct yaml_node *value = mapping ? yaml_get(mapping, key) : NULL;

	return value && !yaml_is_null(value) ? lm_str_trim(yaml_text(value)) : LM_STR("");
}

const struct yaml_node *yaml_get_of(
	const struct yaml_node *mapping, const char *key, enum yaml_kind kind)
{
	const struct yaml_node *value = mapping ? yaml_get(mapping, key) : NULL;

	return value && yaml_kind(value) == kind ? value : NULL;
}

bool yaml_has(const struct yaml_node *mapping, const char *key)
{
	const struct yaml_node *value = mapping ? yaml_get(mapping, key) : NULL;

	return value && !yaml_is_null(value);
}
