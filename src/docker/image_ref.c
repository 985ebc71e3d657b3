// SPDX-License-Identifier: Apache-2.0
#include "docker/image_ref.h"

#include "base/cleanup.h"
#include "base/memory.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

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

bool image_ref_is_same(const char *a, const char *b)
{
	lm_auto(image_ref_finish) struct image_ref x = {0}, y = {0};

	return image_ref_parse(lm_str(a), &x, NULL) == LM_OK &&
	       image_ref_parse(lm_str(b), &y, NULL) == LM_OK &&
	       strcmp(x.registry, y.registry) == 0 && strcmp(x.repository, y.repository) == 0 &&
	       strcmp(image_ref_version(&x), image_ref_version(&y)) == 0;
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
static bool is_registry_host(struct lm_str s)
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
	return lm_fail(err, LM_E_INVALID, 0, "'%s' is not an image name",
		lm_str_shorten(text, 200, shown, sizeof(shown)));
}

static char *copy_text(struct lm_str s)
{
	return lm_xmemdup0(s.p, s.n);
}

lm_rc image_ref_parse(struct lm_str text, struct image_ref *ret, struct lm_err *err)
{
	struct lm_str digest = text;
	struct lm_str name = lm_str_cut(&digest, '@');
	bool has_digest = name.n < text.n;
	// The last ':' starts a tag only after the last '/'; before that it starts a port.
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
		(registry.p && !is_registry_host(registry)) || (tag.p && !is_tag(tag)) ||
		(has_digest && !is_digest(digest)))
		return not_a_reference(text, err);

	bool hub = is_hub(registry);
	bool official = hub && lm_str_find(repository, '/') == repository.n;
	*ret = (struct image_ref){
		.name = copy_text(name),
		.registry = hub ? lm_xstrdup("docker.io") : copy_text(registry),
		.repository = official ? lm_xasprintf("library/%.*s", LM_STR_ARG(repository))
				       : copy_text(repository),
		.tag = tag.p ? copy_text(tag) : NULL,
		.digest = has_digest ? copy_text(digest) : NULL,
	};
	return LM_OK;
}

enum { PART_SIZE = 32 };

struct platform {
	char os[PART_SIZE], architecture[PART_SIZE], variant[PART_SIZE];
};

static void copy_platform_part(char to[PART_SIZE], struct lm_str from)
{
	(void)snprintf(to, PART_SIZE, "%.*s", LM_STR_ARG(from));
	for (char *c = to; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
}

/// Replaces other names for the same platform, and sets the variant that a name implies.
static void normalize_platform(struct platform *p)
{
	static const struct {
		const char *name, *architecture, *variant;
	} names[] = {{"x86_64", "amd64", ""}, {"x86-64", "amd64", ""}, {"i386", "386", ""},
		{"i686", "386", ""}, {"aarch64", "arm64", ""}, {"armhf", "arm", "v7"},
		{"armel", "arm", "v6"}};

	if (strcmp(p->os, "macos") == 0)
		copy_platform_part(p->os, LM_STR("darwin"));
	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++) {
		if (strcmp(p->architecture, names[i].name) != 0)
			continue;
		copy_platform_part(p->architecture, lm_str(names[i].architecture));
		if (*names[i].variant)
			copy_platform_part(p->variant, lm_str(names[i].variant));
	}
	if (strcmp(p->architecture, "arm64") == 0 &&
		(strcmp(p->variant, "8") == 0 || strcmp(p->variant, "v8") == 0))
		*p->variant = '\0';
	if (strcmp(p->architecture, "amd64") == 0 && strcmp(p->variant, "v1") == 0)
		*p->variant = '\0';
	if (strcmp(p->architecture, "arm") == 0 && *p->variant >= '5' && *p->variant <= '8')
		(void)snprintf(p->variant, PART_SIZE, "v%c", *p->variant);
}

static bool is_os(const char *word)
{
	static const char *const known[] = {"linux", "windows", "darwin", "freebsd", "macos"};

	for (size_t i = 0; i < LM_ARRAY_SIZE(known); i++)
		if (strcasecmp(word, known[i]) == 0)
			return true;
	return false;
}

/// What a text leaves out is taken from `own`; NULL: from nowhere.
static struct platform parse_platform(const char *text, const struct platform *own)
{
	struct platform p = {0};
	struct lm_str rest = lm_str(text);
	struct lm_str first = lm_str_cut(&rest, '/');

	copy_platform_part(p.os, first);
	copy_platform_part(p.architecture, lm_str_cut(&rest, '/'));
	copy_platform_part(p.variant, rest);
	if (!*p.architecture && own && is_os(p.os)) {
		copy_platform_part(p.architecture, lm_str(own->architecture));
	} else if (!*p.architecture && own) {
		copy_platform_part(p.architecture, first);
		copy_platform_part(p.os, lm_str(own->os));
	}
	normalize_platform(&p);
	return p;
}

/// An ARM runs what is made for an older one.
static bool variant_fits(const struct platform *actual, const struct platform *wanted)
{
	const char *variant = wanted->variant;

	if (!*actual->variant)
		return true;
	if (strcmp(wanted->architecture, "arm") != 0)
		return !*variant || strcmp(actual->variant, variant) == 0;
	return strcmp(actual->variant, *variant ? variant : "v7") <= 0;
}

bool image_platform_fits(const char *actual, const char *wanted, const char *own)
{
	const struct platform host = parse_platform(own, NULL);
	const struct platform a = parse_platform(actual, NULL), w = parse_platform(wanted, &host);

	if (!*a.os || !*a.architecture)
		return true;
	return strcmp(a.os, w.os) == 0 && strcmp(a.architecture, w.architecture) == 0 &&
	       variant_fits(&a, &w);
}
