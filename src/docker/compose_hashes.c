// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_hashes.h"

#include "base/limits.h"
#include "base/memory.h"
#include "sys/yaml.h"

enum { HASH_MAX = 128 };

void compose_hashes_finish(struct compose_hashes *hashes)
{
	for (size_t i = 0; i < hashes->n; i++) {
		free(hashes->items[i].service);
		free(hashes->items[i].hash);
	}
	free(hashes->items);
	*hashes = (struct compose_hashes){0};
}

static bool is_hash(struct lm_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!(s.p[i] >= '0' && s.p[i] <= '9') && !(s.p[i] >= 'a' && s.p[i] <= 'f'))
			return false;
	return s.n > 0 && s.n <= HASH_MAX;
}

static lm_rc add_hash(struct compose_hashes *hashes, struct lm_str line, struct lm_err *err)
{
	struct lm_str hash = line;
	struct lm_str service = lm_str_cut(&hash, ' ');
	char shown[4 * 80 + 32];

	if (service.n == 0 || !is_hash(hash))
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"docker-compose config --hash printed '%s', which is not a service hash",
			lm_str_shorten(line, 80, shown, sizeof(shown)));
	if (hashes->n == LIMIT_SERVICES)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"docker-compose config --hash names more than %d services", LIMIT_SERVICES);
	hashes->items[hashes->n++] = (struct compose_hash){
		.service = lm_xmemdup0(service.p, service.n), .hash = lm_xmemdup0(hash.p, hash.n)};
	return LM_OK;
}

lm_rc compose_hashes_parse(struct lm_str text, struct compose_hashes *ret, struct lm_err *err)
{
	lm_auto(compose_hashes_finish) struct compose_hashes hashes = {
		.items = lm_xcalloc(LIMIT_SERVICES, sizeof(*hashes.items))};

	while (text.n > 0) {
		struct lm_str line = lm_str_trim(lm_str_cut(&text, '\n'));
		lm_rc rc = line.n > 0 ? add_hash(&hashes, line, err) : LM_OK;
		if (rc)
			return rc;
	}
	*ret = hashes;
	hashes = (struct compose_hashes){0};
	return LM_OK;
}

const char *compose_hashes_get(const struct compose_hashes *hashes, const char *service)
{
	for (size_t i = 0; i < hashes->n; i++)
		if (strcmp(hashes->items[i].service, service) == 0)
			return hashes->items[i].hash;
	return NULL;
}

void compose_ties_finish(struct compose_ties *ties)
{
	for (size_t i = 0; i < ties->n; i++) {
		struct compose_tie *tie = &ties->items[i];
		for (size_t k = 0; k < tie->follows_n; k++)
			free(tie->follows[k]);
		free(tie->follows);
		free(tie->service);
	}
	free(ties->items);
	*ties = (struct compose_ties){0};
}

static void add_follow(struct compose_tie *tie, struct lm_str service)
{
	if (service.n == 0 || tie->follows_n == LIMIT_SERVICES)
		return;
	tie->follows = lm_xrealloc(tie->follows, (tie->follows_n + 1) * sizeof(*tie->follows));
	tie->follows[tie->follows_n++] = lm_xmemdup0(service.p, service.n);
}

/// "service:db" in network_mode, ipc and pid.
static bool take_namespace(const struct yaml_node *service, const char *key, struct lm_str *ret)
{
	const struct yaml_node *value = yaml_get(service, key);
	struct lm_str text = value ? yaml_text(value) : (struct lm_str){0};

	if (!lm_str_starts(text, LM_STR("service:")))
		return false;
	*ret = (struct lm_str){text.p + 8, text.n - 8};
	return true;
}

/// "db" in volumes_from's "db", "db:ro" and "service:db:rw"; empty for another's container.
static struct lm_str volumes_owner(struct lm_str text)
{
	if (lm_str_starts(text, LM_STR("container:")))
		return (struct lm_str){text.p, 0};
	if (lm_str_starts(text, LM_STR("service:")))
		text = (struct lm_str){text.p + 8, text.n - 8};
	return lm_str_cut(&text, ':');
}

/// The services of a list ("db", "db:alias"), or those that are the keys of a mapping.
static void follow_each(struct compose_tie *tie, const struct yaml_node *value,
	struct lm_str (*name_of)(struct lm_str text))
{
	bool is_map = value && yaml_kind(value) == YAML_MAPPING;

	for (size_t i = 0; value && i < yaml_size(value); i++) {
		const struct yaml_node *item = is_map ? yaml_key(value, i) : yaml_item(value, i);
		add_follow(tie, name_of(yaml_text(item)));
	}
}

static struct lm_str before_colon(struct lm_str text)
{
	return lm_str_cut(&text, ':');
}

static void read_follows(
	const struct yaml_node *service, unsigned generation, struct compose_tie *tie)
{
	static const char *const namespaces[] = {"network_mode", "ipc", "pid"};
	const struct yaml_node *volumes_from = yaml_get(service, "volumes_from");

	for (size_t i = 0; i < LM_ARRAY_SIZE(namespaces); i++) {
		struct lm_str other;
		if (!take_namespace(service, namespaces[i], &other))
			continue;
		tie->hash_is_late |= generation > 1;
		if (generation > 1 || strcmp(namespaces[i], "pid") == 0)
			add_follow(tie, other);
	}
	follow_each(tie, yaml_get(service, "links"), before_colon);
	if (generation < 2)
		return;
	tie->hash_is_late |= volumes_from && yaml_size(volumes_from) > 0;
	follow_each(tie, volumes_from, volumes_owner);
	follow_each(tie, yaml_get(service, "depends_on"), before_colon);
}

/// `scale`, else deploy.replicas, else 1.
static unsigned read_tie_replicas(const struct yaml_node *service)
{
	const struct yaml_node *deploy = yaml_get(service, "deploy");
	const struct yaml_node *value = yaml_get(service, "scale");
	uint64_t n = 1;

	if (!value && deploy && yaml_kind(deploy) == YAML_MAPPING)
		value = yaml_get(deploy, "replicas");
	if (value)
		(void)lm_str_to_u64(yaml_text(value), 100000, &n);
	return (unsigned)n;
}

static lm_rc check_tied_services(const struct yaml_node *services, struct lm_err *err)
{
	if (!services || yaml_kind(services) != YAML_MAPPING)
		return lm_fail(err, LM_E_INVALID, 0, "the resolved compose file has no services");
	if (yaml_size(services) > LIMIT_SERVICES)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the compose file has %zu services, the maximum is %d", yaml_size(services),
			LIMIT_SERVICES);
	return LM_OK;
}

lm_rc compose_ties_parse(
	struct lm_str config, unsigned generation, struct compose_ties *ret, struct lm_err *err)
{
	lm_auto(yaml_destroy_p) struct yaml_doc *doc = NULL;
	lm_rc rc = yaml_parse(config, &doc, err);

	if (rc)
		return lm_wrap(err, "what docker-compose config printed");
	const struct yaml_node *root = yaml_root(doc);
	const struct yaml_node *services =
		yaml_kind(root) == YAML_MAPPING ? yaml_get(root, "services") : NULL;
	rc = check_tied_services(services, err);
	if (rc)
		return rc;
	size_t n = yaml_size(services);
	*ret = (struct compose_ties){.items = lm_xcalloc(n + 1, sizeof(*ret->items)), .n = n};
	for (size_t i = 0; i < n; i++) {
		struct lm_str name = yaml_text(yaml_key(services, i));
		const struct yaml_node *service = yaml_value(services, i);
		struct compose_tie *tie = &ret->items[i];

		*tie = (struct compose_tie){.service = lm_xmemdup0(name.p, name.n), .replicas = 1};
		if (yaml_kind(service) != YAML_MAPPING)
			continue;
		tie->replicas = read_tie_replicas(service);
		read_follows(service, generation, tie);
	}
	return LM_OK;
}

const struct compose_tie *compose_ties_get(const struct compose_ties *ties, const char *service)
{
	for (size_t i = 0; i < ties->n; i++)
		if (strcmp(ties->items[i].service, service) == 0)
			return &ties->items[i];
	return NULL;
}
