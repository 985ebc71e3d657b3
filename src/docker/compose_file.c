// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_file.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/memory.h"
#include "docker/image_ref.h"
#include "sys/yaml.h"

#include <inttypes.h>

enum { REPLICAS_MAX = 100000, PROFILES_MAX = 300 };

static lm_rc fault(const struct yaml_node *at, const char *what, struct lm_err *err)
{
	return lm_fail(err, LM_E_INVALID, 0, "line %u, column %u: %s", yaml_line(at),
		yaml_column(at), what);
}

/// Format 1 had no `services`: each member of the file is one, with an image or a build.
static bool is_format_1(const struct yaml_node *root)
{
	for (size_t i = 0; i < yaml_size(root); i++) {
		const struct yaml_node *value = yaml_value(root, i);
		if (yaml_kind(value) != YAML_MAPPING)
			continue;
		if (yaml_get(value, "image") || yaml_get(value, "build") ||
			yaml_get(value, "extends"))
			return !yaml_get(root, "version");
	}
	return false;
}

static const char needs_services[] = "a compose file must be a mapping that has 'services'";

static lm_rc check_services_section(const struct yaml_node *services, struct lm_err *err)
{
	if (yaml_kind(services) != YAML_MAPPING)
		return fault(services, "'services' must be a mapping of at least one service", err);
	if (yaml_size(services) == 0)
		return fault(services, "'services' is empty", err);
	if (yaml_size(services) > LIMIT_SERVICES)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"line %u, column %u: it has %zu services, the maximum is %d",
			yaml_line(services), yaml_column(services), yaml_size(services),
			LIMIT_SERVICES);
	return LM_OK;
}

/// Docker-compose 2 merges the documents, so that one of them with services is enough.
static lm_rc check_roots(struct yaml_doc *const *docs, size_t n, struct lm_err *err)
{
	bool found = false;

	for (size_t i = 0; i < n; i++) {
		const struct yaml_node *root = yaml_root(docs[i]);
		const struct yaml_node *services;

		if (yaml_kind(root) != YAML_MAPPING)
			return fault(root, needs_services, err);
		services = yaml_get(root, "services");
		lm_rc rc = services ? check_services_section(services, err) : LM_OK;
		if (rc)
			return rc;
		found = found || services || yaml_get(root, "include") || is_format_1(root);
	}
	return found ? LM_OK : fault(yaml_root(docs[0]), "the compose file has no 'services'", err);
}

lm_rc compose_file_check(struct lm_str text, unsigned generation, struct lm_err *err)
{
	struct yaml_doc **docs = NULL;
	size_t n = 0;
	lm_rc rc = yaml_parse_all(text, &docs, &n, err);

	if (rc)
		return rc;
	if (n > 1 && generation == 1)
		rc = fault(yaml_root(docs[1]),
			"a second YAML document starts here: docker-compose 1 takes only one, "
			"docker-compose 2 merges them; put all into one",
			err);
	else
		rc = check_roots(docs, n, err);
	yaml_destroy_all(docs, n);
	return rc;
}

static char *copy_scalar(const struct yaml_node *node)
{
	if (!node || yaml_kind(node) != YAML_SCALAR || yaml_is_null(node))
		return NULL;
	struct lm_str text = yaml_text(node);
	return text.n > 0 ? lm_xmemdup0(text.p, text.n) : NULL;
}

static enum compose_pull_policy read_policy(const struct yaml_node *value)
{
	static const struct {
		const char *word;
		enum compose_pull_policy policy;
	} words[] = {{"always", COMPOSE_PULL_ALWAYS}, {"missing", COMPOSE_PULL_MISSING},
		{"if_not_present", COMPOSE_PULL_MISSING}, {"never", COMPOSE_PULL_NEVER},
		{"build", COMPOSE_PULL_BUILD}};

	for (size_t i = 0; value && i < LM_ARRAY_SIZE(words); i++)
		if (lm_str_eq(yaml_text(value), lm_str(words[i].word)))
			return words[i].policy;
	return COMPOSE_PULL_DEFAULT;
}

static const struct yaml_node *get_in(
	const struct yaml_node *service, const char *section, const char *key)
{
	const struct yaml_node *found = yaml_get(service, section);

	return found && yaml_kind(found) == YAML_MAPPING ? yaml_get(found, key) : NULL;
}

static unsigned read_count(const struct yaml_node *value, unsigned without)
{
	uint64_t n = without;

	if (value && !lm_str_to_u64(yaml_text(value), REPLICAS_MAX, &n))
		n = without;
	return (unsigned)n;
}

static void read_service_replicas(const struct yaml_node *service, struct compose_service *s)
{
	const struct yaml_node *mode = get_in(service, "deploy", "mode");
	const struct yaml_node *deploy = yaml_get(service, "deploy");
	const struct yaml_node *placement =
		deploy && yaml_kind(deploy) == YAML_MAPPING ? yaml_get(deploy, "placement") : NULL;
	unsigned scale = read_count(yaml_get(service, "scale"), 1);

	s->replicas = yaml_has(service, "scale")
			      ? scale
			      : read_count(get_in(service, "deploy", "replicas"), 1);
	s->replicas_in_1 = s->replicas;
	if (mode && !lm_str_eq(yaml_text(mode), LM_STR("replicated")))
		s->replicas_in_1 = scale;
	else if (placement && yaml_kind(placement) == YAML_MAPPING)
		s->replicas_in_1 =
			read_count(yaml_get(placement, "max_replicas_per_node"), s->replicas);
	if (s->replicas_in_1 > s->replicas)
		s->replicas_in_1 = s->replicas;
}

static void append_name(char ***list, size_t *n, struct lm_str name)
{
	if (name.n == 0)
		return;
	*list = lm_xrealloc(*list, (*n + 1) * sizeof(**list));
	(*list)[(*n)++] = lm_xmemdup0(name.p, name.n);
}

static void read_profiles(const struct yaml_node *value, struct compose_service *s)
{
	s->has_profiles = value != NULL;
	for (size_t i = 0; value && yaml_kind(value) == YAML_SEQUENCE && i < yaml_size(value); i++)
		append_name(&s->profiles, &s->profiles_n, yaml_text(yaml_item(value, i)));
}

/// "db" in "service:db"; empty for another's container.
static struct lm_str service_of(struct lm_str text)
{
	static const struct lm_str prefix = {"service:", 8};

	if (!lm_str_starts(text, prefix))
		return (struct lm_str){text.p, 0};
	return (struct lm_str){text.p + prefix.n, text.n - prefix.n};
}

/// Services of `depends_on`, `links` and `volumes_from`, and those whose namespaces it shares.
static void read_needs(const struct yaml_node *service, struct compose_service *s)
{
	static const char *const lists[] = {"depends_on", "links", "volumes_from"};
	static const char *const namespaces[] = {"network_mode", "ipc", "pid"};

	for (size_t i = 0; i < LM_ARRAY_SIZE(lists); i++) {
		const struct yaml_node *list = yaml_get(service, lists[i]);
		bool is_map = list && yaml_kind(list) == YAML_MAPPING;

		for (size_t k = 0; list && k < yaml_size(list); k++) {
			const struct yaml_node *item =
				is_map ? yaml_key(list, k) : yaml_item(list, k);
			struct lm_str text = yaml_text(item);
			struct lm_str name = lm_str_cut(&text, ':'); // "db:alias", "db:ro"

			if (!lm_str_eq(name, LM_STR("container")))
				append_name(&s->needs, &s->needs_n, name);
		}
	}
	for (size_t i = 0; i < LM_ARRAY_SIZE(namespaces); i++) {
		const struct yaml_node *value = yaml_get(service, namespaces[i]);

		if (value)
			append_name(&s->needs, &s->needs_n, service_of(yaml_text(value)));
	}
}

/// `disable: true`, or a test of NONE, which is not run.
static enum compose_health compose_read_health(const struct yaml_node *check)
{
	const struct yaml_node *off, *test;

	if (!check || yaml_kind(check) != YAML_MAPPING || yaml_size(check) == 0)
		return COMPOSE_HEALTH_OF_IMAGE;
	off = yaml_get(check, "disable");
	test = yaml_get(check, "test");
	if (off && lm_str_eq_nocase(yaml_text(off), LM_STR("true")))
		return COMPOSE_HEALTH_OFF;
	if (!test) // other settings for the image's own test
		return COMPOSE_HEALTH_OF_IMAGE;
	if (yaml_kind(test) == YAML_SEQUENCE && yaml_size(test) > 0)
		test = yaml_item(test, 0);
	return lm_str_eq(yaml_text(test), LM_STR("NONE")) ? COMPOSE_HEALTH_OFF : COMPOSE_HEALTH_ON;
}

/// Unquoted, `restart: no` is a boolean.
static bool compose_read_restarts(const struct yaml_node *service)
{
	const struct yaml_node *restart = yaml_get(service, "restart");
	const struct yaml_node *condition = get_in(service, "deploy", "restart_policy");
	struct lm_str text = restart ? yaml_text(restart) : LM_STR("");

	return condition || !(text.n == 0 || lm_str_eq_nocase(text, LM_STR("no")) ||
				    lm_str_eq_nocase(text, LM_STR("false")));
}

static void read_service(
	const struct yaml_node *key, const struct yaml_node *value, struct compose_service *s)
{
	struct lm_str name = yaml_text(key);

	s->name = lm_xmemdup0(name.p, name.n);
	s->replicas = s->replicas_in_1 = 1;
	s->active = true;
	if (yaml_kind(value) != YAML_MAPPING)
		return;
	const struct yaml_node *build = yaml_get(value, "build");
	const struct yaml_node *platforms = get_in(value, "build", "platforms");
	s->image = copy_scalar(yaml_get(value, "image"));
	s->platform = copy_scalar(yaml_get(value, "platform"));
	s->pull_policy = read_policy(yaml_get(value, "pull_policy"));
	s->health = compose_read_health(yaml_get(value, "healthcheck"));
	s->restarts = compose_read_restarts(value);
	s->has_build = build && !(yaml_kind(build) == YAML_SCALAR && yaml_is_null(build));
	s->builds_for_many = platforms && yaml_size(platforms) > 1;
	read_service_replicas(value, s);
	read_profiles(yaml_get(value, "profiles"), s);
	read_needs(value, s);
}

lm_rc compose_services_parse(struct lm_str config, struct compose_services *ret, struct lm_err *err)
{
	lm_auto(yaml_destroy_p) struct yaml_doc *doc = NULL;
	lm_rc rc = yaml_parse(config, &doc, err);
	if (rc != LM_OK)
		return lm_wrap(err, "what docker-compose config printed");
	const struct yaml_node *root = yaml_root(doc);
	const struct yaml_node *services =
		yaml_kind(root) == YAML_MAPPING ? yaml_get(root, "services") : NULL;
	if (!services || yaml_kind(services) != YAML_MAPPING || yaml_size(services) == 0)
		return lm_fail(err, LM_E_INVALID, 0, "the resolved compose file has no services");
	size_t n = yaml_size(services);
	if (n > LIMIT_SERVICES)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the compose file has %zu services, the maximum is %d", n, LIMIT_SERVICES);
	*ret = (struct compose_services){.items = lm_xcalloc(n, sizeof(*ret->items)), .n = n};
	for (size_t i = 0; i < n; i++)
		read_service(yaml_key(services, i), yaml_value(services, i), &ret->items[i]);
	return LM_OK;
}

static void free_names(char **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i]);
	free(list);
}

void compose_services_finish(struct compose_services *services)
{
	for (size_t i = 0; i < services->n; i++) {
		struct compose_service *s = &services->items[i];

		free(s->name);
		free(s->image);
		free(s->platform);
		free_names(s->profiles, s->profiles_n);
		free_names(s->needs, s->needs_n);
	}
	free(services->items);
	*services = (struct compose_services){0};
}

/// docker-compose 1 compares what stands between the commas, blanks included.
static bool is_enabled(const struct compose_service *s, struct lm_str profiles)
{
	if (!s->has_profiles)
		return true;
	while (profiles.n > 0) {
		struct lm_str profile = lm_str_cut(&profiles, ',');

		for (size_t i = 0; i < s->profiles_n; i++)
			if (lm_str_eq(profile, lm_str(s->profiles[i])))
				return true;
	}
	return false;
}

static const struct compose_service *find_service_named(
	const struct compose_services *services, const char *name)
{
	for (size_t i = 0; i < services->n; i++)
		if (strcmp(services->items[i].name, name) == 0)
			return &services->items[i];
	return NULL;
}

/// `up` of docker-compose 1 fails on such a service, `config` does not.
static lm_rc check_needs(const struct compose_services *services, const struct compose_service *s,
	struct lm_err *err)
{
	for (size_t i = 0; i < s->needs_n; i++) {
		const struct compose_service *other = find_service_named(services, s->needs[i]);

		if (other && !other->active)
			return lm_fail(err, LM_E_INVALID, 0,
				"service '%.60s' needs service '%.60s', none of whose profiles is "
				"active: give both a common profile, or name one in "
				"COMPOSE_PROFILES",
				s->name, other->name);
	}
	return LM_OK;
}

static void list_profile(struct lm_buf *names, struct lm_str profile)
{
	struct lm_str listed = lm_buf_str(names);

	while (listed.n > 0)
		if (lm_str_eq(lm_str_trim(lm_str_cut(&listed, ',')), profile))
			return;
	(void)lm_buf_printf(names, "%s%.*s", names->len > 0 ? ", " : "", LM_STR_ARG(profile));
}

static lm_rc fail_inactive(const struct lm_buf *names, struct lm_err *err)
{
	return lm_fail(err, LM_E_INVALID, 0,
		"all services have profiles, and none of them is active: set COMPOSE_PROFILES in "
		"the file .env beside the compose file to one or more of: %s",
		names->len > 0 ? lm_buf_cstr(names) : "(none is named)");
}

lm_rc compose_services_activate(struct compose_services *services, unsigned generation,
	struct lm_str profiles, struct lm_err *err)
{
	lm_auto_buf struct lm_buf names = LM_BUF(PROFILES_MAX);
	size_t active = 0;

	for (size_t i = 0; i < services->n; i++) {
		struct compose_service *s = &services->items[i];

		s->active = generation > 1 || is_enabled(s, profiles);
		if (generation == 1)
			s->replicas = s->replicas_in_1;
		active += s->active;
		for (size_t k = 0; k < s->profiles_n; k++)
			list_profile(&names, lm_str(s->profiles[k]));
	}
	if (active == 0)
		return fail_inactive(&names, err);
	for (size_t i = 0; i < services->n; i++) {
		lm_rc rc = services->items[i].active
				   ? check_needs(services, &services->items[i], err)
				   : LM_OK;
		if (rc)
			return rc;
	}
	return LM_OK;
}

/// Collects the profiles of all services; false if one has none.
static bool list_profiles(const struct yaml_node *services, struct lm_buf *names)
{
	for (size_t i = 0; i < yaml_size(services); i++) {
		const struct yaml_node *service = yaml_value(services, i);
		const struct yaml_node *list =
			yaml_kind(service) == YAML_MAPPING ? yaml_get(service, "profiles") : NULL;

		if (!list || yaml_kind(list) != YAML_SEQUENCE || yaml_size(list) == 0)
			return false;
		for (size_t k = 0; k < yaml_size(list); k++)
			list_profile(names, yaml_text(yaml_item(list, k)));
	}
	return true;
}

void compose_file_explain_inactive(struct lm_str text, struct lm_err *err)
{
	lm_auto(yaml_destroy_p) struct yaml_doc *doc = NULL;
	lm_auto_buf struct lm_buf names = LM_BUF(PROFILES_MAX);

	if (yaml_parse(text, &doc, NULL))
		return;
	const struct yaml_node *root = yaml_root(doc);
	const struct yaml_node *services =
		yaml_kind(root) == YAML_MAPPING ? yaml_get(root, "services") : NULL;
	if (services && yaml_kind(services) == YAML_MAPPING && list_profiles(services, &names))
		(void)!fail_inactive(&names, err);
}

char *compose_built_name(const char *project, const char *service, unsigned generation)
{
	return lm_xasprintf("%s%c%s", project, generation > 1 ? '-' : '_', service);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/// What names of one image have in common: "app" and "app:latest" are the same.
static char *image_key(const char *name)
{
	lm_auto(image_ref_finish) struct image_ref ref = {0};

	if (image_ref_parse(lm_str(name), &ref, NULL))
		return lm_xstrdup(name);
	return lm_xasprintf("%s/%s %s", ref.registry, ref.repository, image_ref_version(&ref));
}

/// The image of that name and platform, added if it is not there yet. Takes `name` over.
static struct compose_image *get_image(
	struct compose_images *images, char *name, const char *platform)
{
	char *key = image_key(name);

	for (size_t i = 0; i < images->n; i++) {
		struct compose_image *image = &images->items[i];

		if (strcmp(image->key, key) != 0 || !same_text(image->platform, platform))
			continue;
		free(key);
		free(name);
		return image;
	}
	images->items[images->n] =
		(struct compose_image){.name = name, .key = key, .platform = platform};
	return &images->items[images->n++];
}

/// Sets the service that builds an image, on all platforms.
static void take_builder(
	struct compose_images *images, const char *name, const struct compose_service *service)
{
	lm_auto_free char *key = image_key(name);

	for (size_t i = 0; i < images->n; i++) {
		struct compose_image *image = &images->items[i];

		if (image->builder || strcmp(image->key, key) != 0)
			continue;
		image->builder = service->name;
		image->builds_for_many = service->builds_for_many;
	}
}

static char *image_name(const struct compose_service *s, const char *project, unsigned generation)
{
	return s->image ? lm_xstrdup(s->image) : compose_built_name(project, s->name, generation);
}

void compose_images_make(const struct compose_services *services,
	const struct compose_images_options *o, struct compose_images *ret)
{
	*ret = (struct compose_images){.items = lm_xcalloc(services->n + 1, sizeof(*ret->items))};
	for (size_t i = 0; i < services->n; i++) {
		const struct compose_service *s = &services->items[i];
		const char *platform = s->platform ? s->platform : o->default_platform;

		if (!s->active || !(s->image || s->has_build))
			continue;
		struct compose_image *image =
			get_image(ret, image_name(s, o->project, o->generation), platform);
		image->is_named |= s->image != NULL;
		image->policies |= 1U << s->pull_policy;
	}
	for (size_t i = 0; i < services->n; i++) {
		const struct compose_service *s = &services->items[i];

		if (!s->active || !s->has_build)
			continue;
		lm_auto_free char *name = image_name(s, o->project, o->generation);
		take_builder(ret, name, s);
	}
}

void compose_images_finish(struct compose_images *images)
{
	for (size_t i = 0; i < images->n; i++) {
		free(images->items[i].name);
		free(images->items[i].key);
	}
	free(images->items);
	*images = (struct compose_images){0};
}

enum { BASE_60_MAX = 1000000, DUPLICATE_MEMBERS_MAX = 2000, MESSAGES_MAX = 50 };

/// What a scalar is for.
enum use {
	USE_ANY,
	USE_TEXT, ///< It is passed on as a string.
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
static void report_place(struct lint *l, const struct yaml_node *at, const char *words)
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
		report_place(l, node,
			"a value is not in quotes, and docker-compose 1 reads it as a base-60 "
			"number: put it in quotes");
		return;
	}
	lm_auto_free char *words = lm_xasprintf(
		"port %.*s is not in quotes, and docker-compose 1 reads it as the number %" PRIu64
		" (of base 60): put it in quotes",
		LM_STR_ARG(text), number);
	report_place(l, node, words);
}

/// The base of a number that starts with 0: "022" is 18. 0: not such a number.
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
	lm_auto_free char *words =
		lm_xasprintf("a %s that starts with 0 is not in quotes, and docker-compose reads "
			     "it as a base-%u number: put it in quotes",
			use == USE_PORT ? "port" : "value", base);
	report_place(l, node, words);
}

/// The member of that key before the one at `end`; NULL: none.
static const struct yaml_node *find_earlier_key(
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
	const struct yaml_node *first = find_earlier_key(mapping, i, text);
	if (!first)
		return;
	lm_auto_free char *words =
		lm_xasprintf("'%.*s' is a duplicate key (first in line %u), and docker-compose 1 "
			     "uses only the last one: remove one of them",
			(int)(text.n < 100 ? text.n : 100), text.p, yaml_line(first));
	report_place(l, key, words);
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
