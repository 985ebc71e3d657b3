// SPDX-License-Identifier: Apache-2.0
#include "docker/platform.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { PART_SIZE = 32 };

struct platform {
	char os[PART_SIZE], architecture[PART_SIZE], variant[PART_SIZE];
};

static void copy(char to[PART_SIZE], struct lm_str from)
{
	(void)snprintf(to, PART_SIZE, "%.*s", LM_STR_ARG(from));
	for (char *c = to; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
}

/// What others call it, and the variant that is in the name or goes without saying.
static void normalize(struct platform *p)
{
	static const struct {
		const char *name, *architecture, *variant;
	} names[] = {{"x86_64", "amd64", ""}, {"x86-64", "amd64", ""}, {"i386", "386", ""},
		{"i686", "386", ""}, {"aarch64", "arm64", ""}, {"armhf", "arm", "v7"},
		{"armel", "arm", "v6"}};

	if (strcmp(p->os, "macos") == 0)
		copy(p->os, LM_STR("darwin"));
	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++) {
		if (strcmp(p->architecture, names[i].name) != 0)
			continue;
		copy(p->architecture, lm_str(names[i].architecture));
		if (*names[i].variant)
			copy(p->variant, lm_str(names[i].variant));
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
static struct platform parse(const char *text, const struct platform *own)
{
	struct platform p = {0};
	struct lm_str rest = lm_str(text);
	struct lm_str first = lm_str_cut(&rest, '/');

	copy(p.os, first);
	copy(p.architecture, lm_str_cut(&rest, '/'));
	copy(p.variant, rest);
	if (!*p.architecture && own && is_os(p.os)) {
		copy(p.architecture, lm_str(own->architecture));
	} else if (!*p.architecture && own) {
		copy(p.architecture, first);
		copy(p.os, lm_str(own->os));
	}
	normalize(&p);
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

bool platform_fits(const char *actual, const char *wanted, const char *own)
{
	const struct platform host = parse(own, NULL);
	const struct platform a = parse(actual, NULL), w = parse(wanted, &host);

	if (!*a.os || !*a.architecture)
		return true;
	return strcmp(a.os, w.os) == 0 && strcmp(a.architecture, w.architecture) == 0 &&
	       variant_fits(&a, &w);
}
