// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_file.h"

#include "base/limits.h"
#include "base/memory.h"
#include "sys/yaml.h"

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

static lm_rc check_root(const struct yaml_node *root, struct lm_err *err)
{
	if (yaml_kind(root) != YAML_MAPPING)
		return fault(root, "a compose file must be a mapping that has 'services'", err);
	const struct yaml_node *services = yaml_get(root, "services");
	if (!services && (yaml_get(root, "include") || is_format_1(root)))
		return LM_OK;
	if (!services)
		return fault(root, "the compose file has no 'services'", err);
	if (yaml_kind(services) != YAML_MAPPING)
		return fault(services, "'services' must be a mapping of at least one service", err);
	if (yaml_size(services) == 0)
		return fault(services, "'services' is empty", err);
	return LM_OK;
}

lm_rc compose_file_check(struct lm_str text, struct lm_err *err)
{
	lm_auto(yaml_destroy_p) struct yaml_doc *doc = NULL;
	lm_rc rc = yaml_parse(text, &doc, err);
	return rc == LM_OK ? check_root(yaml_root(doc), err) : rc;
}

static char *copy_scalar(const struct yaml_node *node)
{
	if (!node || yaml_kind(node) != YAML_SCALAR || yaml_is_null(node))
		return NULL;
	struct lm_str text = yaml_text(node);
	return text.n > 0 ? lm_xmemdup0(text.p, text.n) : NULL;
}

static void read_service(
	const struct yaml_node *key, const struct yaml_node *value, struct compose_service *s)
{
	struct lm_str name = yaml_text(key);
	s->name = lm_xmemdup0(name.p, name.n);
	if (yaml_kind(value) != YAML_MAPPING)
		return;
	const struct yaml_node *build = yaml_get(value, "build");
	s->image = copy_scalar(yaml_get(value, "image"));
	s->platform = copy_scalar(yaml_get(value, "platform"));
	s->has_profiles = yaml_get(value, "profiles") != NULL;
	s->has_build = build && !(yaml_kind(build) == YAML_SCALAR && yaml_is_null(build));
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
			"the compose file has %zu services, at most %d go", n, LIMIT_SERVICES);
	*ret = (struct compose_services){.items = lm_xcalloc(n, sizeof(*ret->items)), .n = n};
	for (size_t i = 0; i < n; i++)
		read_service(yaml_key(services, i), yaml_value(services, i), &ret->items[i]);
	return LM_OK;
}

void compose_services_finish(struct compose_services *services)
{
	for (size_t i = 0; i < services->n; i++) {
		free(services->items[i].name);
		free(services->items[i].image);
		free(services->items[i].platform);
	}
	free(services->items);
	*services = (struct compose_services){0};
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool is_listed(const struct compose_image *list, size_t n, const struct compose_service *s)
{
	for (size_t i = 0; i < n; i++)
		if (same_text(list[i].image, s->image) && same_text(list[i].platform, s->platform))
			return true;
	return false;
}

size_t compose_services_images(
	const struct compose_services *services, unsigned generation, struct compose_image **ret)
{
	struct compose_image *list = lm_xcalloc(services->n + 1, sizeof(*list));
	size_t n = 0;
	for (size_t i = 0; i < services->n; i++) {
		const struct compose_service *s = &services->items[i];
		bool wanted = generation > 1 || !s->has_profiles;
		if (!s->image || s->has_build || !wanted || is_listed(list, n, s))
			continue;
		list[n++] = (struct compose_image){.image = s->image, .platform = s->platform};
	}
	*ret = list;
	return n;
}
