// SPDX-License-Identifier: Apache-2.0
#include "devices/routes.h"

#include "base/limits.h"
#include "base/memory.h"
#include "config/arn.h"

#include <stdlib.h>
#include <string.h>

enum {
	NONE = 0, ///< No node, no set: both lists begin with an unused entry.
	/// Up to so many targets are looked through one by one.
	TARGETS_LISTED = 8,
	WORD_BITS = 64,
	LEVELS_MAX = LIMIT_MQTT_TOPIC + 1,
};

/// Targets of the subscriptions of one source with one subject.
struct route_targets {
	uint32_t *indexes;
	uint32_t n, size;
	uint64_t *bits; ///< By index; NULL: look through the list.
};

/// A level of subjects: what comes before it is the way from the root to it.
struct route_node {
	uint32_t plus; ///< The node behind `+`.
	uint32_t end;  ///< The set of the subject that ends here.
	uint32_t hash; ///< The set of the subject that ends with `#` here.
};

/// From a node to the next one, by the text of the level. In a hash table with open addressing.
struct route_edge {
	uint64_t hash;
	const char *text; ///< Part of a subject.
	uint32_t n, from;
	uint32_t to; ///< NONE: the place is free.
};

struct route_name {
	uint64_t hash;
	const char *text; ///< NULL: the place is free.
	uint32_t endpoint;
};

/// Names of endpoints, in a hash table with open addressing.
struct route_names {
	struct route_name *places;
	size_t size, n; ///< `size` is a power of two.
};

struct routes {
	struct router_table table;
	struct router_endpoint *endpoints;
	uint32_t endpoints_n, endpoints_size;
	struct route_names by_name, by_client;
	struct route_node *nodes;
	uint32_t nodes_n, nodes_size;
	struct route_edge *edges;
	size_t edges_n, edges_size;
	struct route_targets *sets;
	uint32_t sets_n, sets_size;
	uint32_t *roots; ///< By endpoint: the node where its subjects begin.
	uint32_t any;    ///< The same of all sources together.
	uint64_t *united;
	size_t words; ///< Of a set's bits.
};

/// The halves of the product of 128 bits, one on the other.
static uint64_t route_mix(uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__
	__extension__ typedef unsigned __int128 wide;
	wide product = (wide)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
	const uint64_t low_mask = UINT32_MAX;
	uint64_t low = (a & low_mask) * (b & low_mask);
	uint64_t middle = (a >> 32) * (b & low_mask) + (low >> 32);
	uint64_t other = (a & low_mask) * (b >> 32) + (middle & low_mask);
	uint64_t high = (a >> 32) * (b >> 32) + (middle >> 32) + (other >> 32);

	return (other << 32 | (low & low_mask)) ^ high;
#endif
}

uint64_t route_hash(const char *p, size_t n)
{
	uint64_t h = 0x9e3779b97f4a7c15u ^ n, word = 0;

	for (; n >= sizeof(word); p += sizeof(word), n -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		h = route_mix(h ^ word, 0xd6e8feb86659fd93u);
	}
	word = 0;
	memcpy(&word, p, n);
	return route_mix(h ^ word, 0xa0761d6478bd642fu);
}

static uint64_t route_edge_hash(uint32_t from, uint64_t level_hash)
{
	return route_mix(level_hash ^ from, 0xe7037ed1a0b428dbu);
}

// Names of endpoints.

static struct route_name *route_names_place(const struct route_names *names, struct lm_str text)
{
	uint64_t hash = route_hash(text.p, text.n);

	for (size_t i = (size_t)hash & (names->size - 1);; i = (i + 1) & (names->size - 1)) {
		struct route_name *place = &names->places[i];

		if (!place->text || (place->hash == hash && lm_str_eq(lm_str(place->text), text)))
			return place;
	}
}

static void route_names_add(struct route_names *names, const char *text, uint32_t endpoint)
{
	struct route_name *place = route_names_place(names, lm_str(text));

	if (place->text) // The first one keeps the name.
		return;
	*place = (struct route_name){
		.hash = route_hash(text, strlen(text)), .text = text, .endpoint = endpoint};
	names->n++;
}

static const struct router_endpoint *route_names_find(
	const struct routes *r, const struct route_names *names, struct lm_str text)
{
	const struct route_name *place = route_names_place(names, text);

	return place->text ? &r->endpoints[place->endpoint] : NULL;
}

/// Room for `n` names at a load of at most a half.
static void route_names_init(struct route_names *names, size_t n)
{
	names->size = 16;
	while (names->size < 2 * n)
		names->size *= 2;
	names->places = lm_xcalloc(names->size, sizeof(*names->places));
}

static void add_endpoint(struct routes *r, enum router_endpoint_kind kind, const char *name,
	const char *client_id, char *const *certificates, size_t certificates_n)
{
	uint32_t index = r->endpoints_n;

	if (routes_endpoint(r, lm_str(name)) || (client_id && routes_client(r, lm_str(client_id))))
		return;
	r->endpoints[r->endpoints_n++] = (struct router_endpoint){
		.index = index,
		.kind = kind,
		.name = name,
		.client_id = client_id,
		.certificates = certificates,
		.certificates_n = certificates_n,
	};
	route_names_add(&r->by_name, name, index);
	if (client_id)
		route_names_add(&r->by_client, client_id, index);
}

/// A function that only a subscription names connects over the unix socket.
static void add_named_endpoint(struct routes *r, const char *name)
{
	bool function = arn_is_function(lm_str(name));

	add_endpoint(r, function ? ROUTER_ENDPOINT_FUNCTION : ROUTER_ENDPOINT_STRANGER, name,
		function ? name : NULL, NULL, 0);
}

static void add_endpoints(struct routes *r)
{
	const struct router_table *t = &r->table;
	size_t max = 3 + t->devices_n + t->functions_n + 2 * t->subscriptions_n;

	r->endpoints = lm_xcalloc(max, sizeof(*r->endpoints));
	route_names_init(&r->by_name, max);
	route_names_init(&r->by_client, max);
	add_endpoint(r, ROUTER_ENDPOINT_CLOUD, ENDPOINT_CLOUD, NULL, NULL, 0);
	add_endpoint(r, ROUTER_ENDPOINT_SHADOW_SERVICE, ENDPOINT_SHADOWS, NULL, NULL, 0);
	if (t->connector.arn)
		add_endpoint(
			r, ROUTER_ENDPOINT_CONNECTOR, t->connector.arn, t->connector.arn, NULL, 0);
	for (size_t i = 0; i < t->devices_n; i++)
		add_endpoint(r, ROUTER_ENDPOINT_DEVICE, t->devices[i].arn, t->devices[i].name,
			t->devices[i].certificates, t->devices[i].certificates_n);
	for (size_t i = 0; i < t->functions_n; i++)
		add_endpoint(r, ROUTER_ENDPOINT_FUNCTION, t->functions[i].arn, t->functions[i].arn,
			t->functions[i].certificates, t->functions[i].certificates_n);
	for (size_t i = 0; i < t->subscriptions_n; i++) {
		add_named_endpoint(r, t->subscriptions[i].source);
		add_named_endpoint(r, t->subscriptions[i].target);
	}
	r->words = r->endpoints_n / WORD_BITS + 1;
	r->united = lm_xcalloc(r->words, sizeof(*r->united));
}

// Subjects.

static uint32_t add_node(struct routes *r)
{
	if (r->nodes_n == r->nodes_size) {
		r->nodes_size = r->nodes_size ? 2 * r->nodes_size : 64;
		r->nodes = lm_xrealloc(r->nodes, r->nodes_size * sizeof(*r->nodes));
	}
	r->nodes[r->nodes_n] = (struct route_node){0};
	return r->nodes_n++;
}

static struct route_edge *route_edge_place(
	const struct routes *r, uint32_t from, struct lm_str level, uint64_t hash)
{
	for (size_t i = (size_t)hash & (r->edges_size - 1);; i = (i + 1) & (r->edges_size - 1)) {
		struct route_edge *e = &r->edges[i];

		if (e->to == NONE || (e->hash == hash && e->from == from &&
					     lm_str_eq((struct lm_str){e->text, e->n}, level)))
			return e;
	}
}

static void grow_edges(struct routes *r)
{
	struct route_edge *old = r->edges;
	size_t old_size = r->edges_size;

	r->edges_size = old_size ? 2 * old_size : 64;
	r->edges = lm_xcalloc(r->edges_size, sizeof(*r->edges));
	for (size_t i = 0; i < old_size; i++)
		if (old[i].to != NONE)
			*route_edge_place(r, old[i].from, (struct lm_str){old[i].text, old[i].n},
				old[i].hash) = old[i];
	free(old);
}

static uint32_t follow_edge(
	const struct routes *r, uint32_t from, struct lm_str level, uint64_t level_hash)
{
	return route_edge_place(r, from, level, route_edge_hash(from, level_hash))->to;
}

static uint32_t add_edge(struct routes *r, uint32_t from, struct lm_str level)
{
	uint64_t hash = route_edge_hash(from, route_hash(level.p, level.n));
	struct route_edge *e = NULL;
	uint32_t to = NONE;

	if (2 * (r->edges_n + 1) > r->edges_size)
		grow_edges(r);
	e = route_edge_place(r, from, level, hash);
	if (e->to != NONE)
		return e->to;
	to = add_node(r);
	*e = (struct route_edge){
		.hash = hash, .text = level.p, .n = (uint32_t)level.n, .from = from, .to = to};
	r->edges_n++;
	return to;
}

static uint32_t add_plus(struct routes *r, uint32_t from)
{
	uint32_t to = r->nodes[from].plus;

	if (to == NONE) {
		to = add_node(r); // Moves the nodes.
		r->nodes[from].plus = to;
	}
	return to;
}

static uint32_t add_set(struct routes *r)
{
	if (r->sets_n == r->sets_size) {
		r->sets_size = r->sets_size ? 2 * r->sets_size : 64;
		r->sets = lm_xrealloc(r->sets, r->sets_size * sizeof(*r->sets));
	}
	r->sets[r->sets_n] = (struct route_targets){0};
	return r->sets_n++;
}

static void add_target(struct route_targets *set, uint32_t target)
{
	if (set->n == set->size) {
		set->size = set->size ? 2 * set->size : 2;
		set->indexes = lm_xrealloc(set->indexes, set->size * sizeof(*set->indexes));
	}
	set->indexes[set->n++] = target;
}

static void add_subject(struct routes *r, uint32_t root, struct lm_str subject, uint32_t target)
{
	uint32_t node = root, *set = NULL;
	bool hash = false, last = false;

	while (!last) {
		struct lm_str level;

		last = lm_str_find(subject, '/') == subject.n;
		level = lm_str_cut(&subject, '/');
		hash = lm_str_eq(level, LM_STR("#"));
		if (hash)
			break;
		node = lm_str_eq(level, LM_STR("+")) ? add_plus(r, node) : add_edge(r, node, level);
	}
	set = hash ? &r->nodes[node].hash : &r->nodes[node].end;
	if (*set == NONE)
		*set = add_set(r);
	add_target(&r->sets[*set], target);
}

static int route_compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/// Each target once, and a large set by bits.
static void finish_targets(struct routes *r, struct route_targets *set)
{
	uint32_t n = 0;

	qsort(set->indexes, set->n, sizeof(*set->indexes), route_compare);
	for (uint32_t i = 0; i < set->n; i++)
		if (i == 0 || set->indexes[i] != set->indexes[i - 1])
			set->indexes[n++] = set->indexes[i];
	set->n = n;
	if (n <= TARGETS_LISTED)
		return;
	set->bits = lm_xcalloc(r->words, sizeof(*set->bits));
	for (uint32_t i = 0; i < n; i++)
		set->bits[set->indexes[i] / WORD_BITS] |= UINT64_C(1)
							  << set->indexes[i] % WORD_BITS;
}

static void add_subscriptions(struct routes *r)
{
	const struct router_table *t = &r->table;

	(void)add_node(r);
	(void)add_set(r);
	grow_edges(r);
	r->any = add_node(r);
	r->roots = lm_xcalloc(r->endpoints_n, sizeof(*r->roots));
	for (size_t i = 0; i < t->subscriptions_n; i++) {
		const struct router_subscription *s = &t->subscriptions[i];
		uint32_t source = routes_endpoint(r, lm_str(s->source))->index;
		uint32_t target = routes_endpoint(r, lm_str(s->target))->index;

		if (r->roots[source] == NONE)
			r->roots[source] = add_node(r);
		add_subject(r, r->roots[source], lm_str(s->subject), target);
		add_subject(r, r->any, lm_str(s->subject), target);
	}
	for (uint32_t i = 1; i < r->sets_n; i++)
		finish_targets(r, &r->sets[i]);
}

struct routes *routes_create(struct router_table *table)
{
	struct routes *r = lm_xcalloc(1, sizeof(*r));

	r->table = *table;
	*table = (struct router_table){0};
	add_endpoints(r);
	add_subscriptions(r);
	return r;
}

void routes_destroy(struct routes *r)
{
	if (!r)
		return;
	for (uint32_t i = 0; i < r->sets_n; i++) {
		free(r->sets[i].indexes);
		free(r->sets[i].bits);
	}
	free(r->sets);
	free(r->edges);
	free(r->nodes);
	free(r->roots);
	free(r->united);
	free(r->by_name.places);
	free(r->by_client.places);
	free(r->endpoints);
	router_table_finish(&r->table);
	free(r);
}

const struct router_table *routes_table(const struct routes *r)
{
	return &r->table;
}

size_t routes_endpoints_n(const struct routes *r)
{
	return r->endpoints_n;
}

const struct router_endpoint *routes_endpoint_at(const struct routes *r, size_t index)
{
	return &r->endpoints[index];
}

const struct router_endpoint *routes_endpoint(const struct routes *r, struct lm_str name)
{
	return route_names_find(r, &r->by_name, name);
}

const struct router_endpoint *routes_client(const struct routes *r, struct lm_str client_id)
{
	return route_names_find(r, &r->by_client, client_id);
}

/// The set of exactly that subject, not of what it matches; NONE: it has none.
static uint32_t find_subject(const struct routes *r, uint32_t root, struct lm_str subject)
{
	uint32_t node = root;
	bool last = false;

	while (node != NONE && !last) {
		struct lm_str level;

		last = lm_str_find(subject, '/') == subject.n;
		level = lm_str_cut(&subject, '/');
		if (lm_str_eq(level, LM_STR("#")))
			return r->nodes[node].hash;
		node = lm_str_eq(level, LM_STR("+"))
			       ? r->nodes[node].plus
			       : follow_edge(r, node, level, route_hash(level.p, level.n));
	}
	return node == NONE ? NONE : r->nodes[node].end;
}

// Matching.

struct route_level {
	struct lm_str text;
	uint64_t hash;
};

struct route_walk {
	struct routes *r;
	struct route_match *match;
	struct route_level levels[LEVELS_MAX];
	size_t levels_n;
	bool dollar; ///< The topic begins with `$`: no wildcard at the first level matches.
};

static void unite_targets(struct routes *r, const struct route_targets *set)
{
	for (uint32_t i = 0; i < set->n; i++)
		r->united[set->indexes[i] / WORD_BITS] |= UINT64_C(1)
							  << set->indexes[i] % WORD_BITS;
}

static void take_set(struct route_walk *w, uint32_t set)
{
	struct routes *r = w->r;
	struct route_match *m = w->match;

	if (set == NONE)
		return;
	if (m->n < ROUTE_MATCH_SETS) {
		m->sets[m->n++] = &r->sets[set];
		return;
	}
	if (!m->united) {
		memset(r->united, 0, r->words * sizeof(*r->united));
		for (size_t i = 0; i < m->n; i++)
			unite_targets(r, m->sets[i]);
		m->united = r->united;
	}
	unite_targets(r, &r->sets[set]);
}

/// As deep as the longest subject has levels.
static void match_node(struct route_walk *w, uint32_t node, size_t level)
{
	const struct routes *r = w->r;
	const struct route_node *n = &r->nodes[node];
	bool wildcards = level > 0 || !w->dollar;
	uint32_t next = NONE;

	if (level == w->levels_n) {
		take_set(w, n->end);
		return;
	}
	if (wildcards)
		take_set(w, n->hash);
	next = follow_edge(r, node, w->levels[level].text, w->levels[level].hash);
	if (next != NONE)
		match_node(w, next, level + 1);
	if (wildcards && n->plus != NONE)
		match_node(w, n->plus, level + 1);
}

static void match_from(
	struct routes *r, uint32_t root, struct lm_str topic, struct route_match *ret)
{
	struct route_walk w;
	bool last = false;

	*ret = (struct route_match){0};
	if (root == NONE || topic.n == 0 || topic.n > LIMIT_MQTT_TOPIC)
		return;
	w.r = r;
	w.match = ret;
	w.levels_n = 0;
	w.dollar = topic.p[0] == '$';
	while (!last) {
		struct route_level *level = &w.levels[w.levels_n++];

		last = lm_str_find(topic, '/') == topic.n;
		level->text = lm_str_cut(&topic, '/');
		level->hash = route_hash(level->text.p, level->text.n);
	}
	match_node(&w, root, 0);
}

void routes_match(struct routes *r, const struct router_endpoint *source, struct lm_str topic,
	struct route_match *ret)
{
	match_from(r, r->roots[source->index], topic, ret);
}

void routes_match_any(struct routes *r, struct lm_str topic, struct route_match *ret)
{
	match_from(r, r->any, topic, ret);
}

static bool route_targets_has(const struct route_targets *set, uint32_t index)
{
	if (set->bits)
		return set->bits[index / WORD_BITS] >> index % WORD_BITS & 1;
	for (uint32_t i = 0; i < set->n; i++)
		if (set->indexes[i] == index)
			return true;
	return false;
}

bool route_match_has(const struct route_match *match, const struct router_endpoint *target)
{
	if (match->united)
		return match->united[target->index / WORD_BITS] >> target->index % WORD_BITS & 1;
	for (size_t i = 0; i < match->n; i++)
		if (route_targets_has(match->sets[i], target->index))
			return true;
	return false;
}

bool routes_has(const struct routes *r, const struct router_subscription *s)
{
	const struct router_endpoint *source = routes_endpoint(r, lm_str(s->source));
	const struct router_endpoint *target = routes_endpoint(r, lm_str(s->target));
	uint32_t set = NONE;

	if (!source || !target)
		return false;
	set = find_subject(r, r->roots[source->index], lm_str(s->subject));
	return set != NONE && route_targets_has(&r->sets[set], target->index);
}
