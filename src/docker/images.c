// SPDX-License-Identifier: Apache-2.0
#include "docker/images.h"

#include "base/memory.h"

enum { NAME_MAX_LENGTH = 255, TAG_MAX_LENGTH = 128 };

void image_ref_finish(struct image_ref *ref)
{
	free(ref->name);
	free(ref->registry);
	free(ref->repository);
	free(ref->tag);
	free(ref->digest);
	*ref = (struct image_ref){0};
}

const char *image_ref_version(const struct image_ref *ref)
{
	if (ref->digest)
		return ref->digest;
	return ref->tag ? ref->tag : "latest";
}

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
	return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

/// [a-z0-9]+ joined by one '.', one or two '_', or any number of '-'.
static bool is_component(struct lm_str s)
{
	if (s.n == 0 || !is_lower_alnum(s.p[0]) || !is_lower_alnum(s.p[s.n - 1]))
		return false;
	for (size_t i = 0; i < s.n;) {
		if (is_lower_alnum(s.p[i])) {
			i++;
			continue;
		}
		char sign = s.p[i];
		size_t run = 0;
		while (i < s.n && s.p[i] == sign) {
			run++;
			i++;
		}
		bool fits = (sign == '.' && run == 1) || (sign == '_' && run <= 2) || sign == '-';
		if (!fits || !is_lower_alnum(s.p[i]))
			return false;
	}
	return true;
}

static bool is_repository(struct lm_str s)
{
	if (s.n == 0)
		return false;
	for (struct lm_str rest = s;;) {
		bool last = lm_str_find(rest, '/') == rest.n;
		if (!is_component(lm_str_cut(&rest, '/')))
			return false;
		if (last)
			return true;
	}
}

/// host[:port], also [IPv6]:port.
static bool is_registry(struct lm_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_alnum(s.p[i]) && !strchr(".-:[]", s.p[i]))
			return false;
	return s.n > 0 && s.p[0] != '-' && s.p[0] != ':' && s.p[s.n - 1] != ':';
}

static bool is_tag(struct lm_str s)
{
	if (s.n == 0 || s.n > TAG_MAX_LENGTH || (!is_alnum(s.p[0]) && s.p[0] != '_'))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_alnum(s.p[i]) && !strchr("_.-", s.p[i]))
			return false;
	return true;
}

static bool is_digest(struct lm_str s)
{
	struct lm_str hex = s;
	struct lm_str algorithm = lm_str_cut(&hex, ':');
	if (algorithm.n == 0 || hex.n < 32)
		return false;
	for (size_t i = 0; i < algorithm.n; i++)
		if (!is_alnum(algorithm.p[i]) && !strchr("+._-", algorithm.p[i]))
			return false;
	for (size_t i = 0; i < hex.n; i++)
		if (!(hex.p[i] >= '0' && hex.p[i] <= '9') && !(hex.p[i] >= 'a' && hex.p[i] <= 'f'))
			return false;
	return true;
}

/// Whether what stands before the first '/' names a registry and not a part of a Hub repository.
static bool names_registry(struct lm_str first)
{
	if (lm_str_eq(first, LM_STR("localhost")))
		return true;
	for (size_t i = 0; i < first.n; i++)
		if (first.p[i] == '.' || first.p[i] == ':' ||
			(first.p[i] >= 'A' && first.p[i] <= 'Z'))
			return true;
	return false;
}

static bool is_hub(struct lm_str registry)
{
	return registry.n == 0 || lm_str_eq(registry, LM_STR("docker.io")) ||
	       lm_str_eq(registry, LM_STR("index.docker.io"));
}

static lm_rc not_a_reference(struct lm_str text, struct lm_err *err)
{
	char shown[1024];
	return lm_fail(err, LM_E_INVALID, 0, "'%s' is not the name of an image",
		lm_str_shorten(text, 200, shown, sizeof(shown)));
}

static char *copy(struct lm_str s)
{
	return lm_xmemdup0(s.p, s.n);
}

lm_rc image_ref_parse(struct lm_str text, struct image_ref *ret, struct lm_err *err)
{
	struct lm_str digest = text;
	struct lm_str name = lm_str_cut(&digest, '@');
	bool has_digest = name.n < text.n;
	// The last ':' begins a tag only behind the last '/'; before it stands a port.
	struct lm_str tag = {0};
	for (size_t i = name.n; i > 0 && name.p[i - 1] != '/'; i--) {
		if (name.p[i - 1] != ':')
			continue;
		tag = (struct lm_str){name.p + i, name.n - i};
		name.n = i - 1;
		break;
	}
	struct lm_str repository = name;
	struct lm_str registry = {0};
	size_t slash = lm_str_find(name, '/');
	if (slash < name.n && names_registry((struct lm_str){name.p, slash}))
		registry = lm_str_cut(&repository, '/');
	if (!is_repository(repository) || repository.n > NAME_MAX_LENGTH ||
		(registry.p && !is_registry(registry)) || (tag.p && !is_tag(tag)) ||
		(has_digest && !is_digest(digest)))
		return not_a_reference(text, err);

	bool hub = is_hub(registry);
	bool official = hub && lm_str_find(repository, '/') == repository.n;
	*ret = (struct image_ref){
		.name = copy(name),
		.registry = hub ? lm_xstrdup("docker.io") : copy(registry),
		.repository = official ? lm_xasprintf("library/%.*s", LM_STR_ARG(repository))
				       : copy(repository),
		.tag = tag.p ? copy(tag) : NULL,
		.digest = has_digest ? copy(digest) : NULL,
	};
	return LM_OK;
}
