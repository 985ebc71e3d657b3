// SPDX-License-Identifier: Apache-2.0
#include "config/faults.h"

#include "base/limits.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum {
	VALUE_SHOWN = 60,
	NAME_MAX_COMPARED = 64,
	DISTANCE_MAX = 2,
};

static char *shorten(struct lm_str s)
{
	char out[4 * VALUE_SHOWN + 32];

	return lm_xstrdup(lm_str_shorten(s, VALUE_SHOWN, out, sizeof(out)));
}

static char *show_value(const json_t *value)
{
	if (!value)
		return NULL;
	if (json_is_string(value))
		return shorten(json_text(value));
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_GROUP_FILE * 2);
	(void)json_write(value, &text); // only its beginning is shown
	return shorten(lm_buf_str(&text));
}

void faults_add(struct definition_faults *faults, const char *entry, const char *parameter,
	const json_t *value, const char *rule, ...)
{
	if (faults->n == FAULTS_MAX) {
		faults->more++;
		return;
	}
	if (!faults->items)
		faults->items = lm_xcalloc(FAULTS_MAX, sizeof(*faults->items));
	va_list ap;
	va_start(ap, rule);
	faults->items[faults->n++] = (struct definition_fault){
		.entry = entry ? lm_xstrdup(entry) : NULL,
		.parameter = parameter ? shorten(lm_str(parameter)) : NULL,
		.value = show_value(value),
		.value_is_text = json_is_string(value),
		.rule = lm_xvasprintf(rule, ap),
	};
	va_end(ap);
}

void faults_finish(struct definition_faults *faults)
{
	for (size_t i = 0; i < faults->n; i++) {
		free(faults->items[i].entry);
		free(faults->items[i].parameter);
		free(faults->items[i].value);
		free(faults->items[i].rule);
	}
	free(faults->items);
	*faults = (struct definition_faults){0};
}

char *fault_text(const struct definition_fault *fault)
{
	const char *quote = fault->value_is_text ? "\"" : "";

	return lm_xasprintf("%s%s%s%s%s%s%s%s%s", fault->entry ? fault->entry : "",
		fault->entry ? ": " : "", fault->parameter ? fault->parameter : "",
		fault->parameter ? ": " : "", fault->value ? quote : "",
		fault->value ? fault->value : "", fault->value ? quote : "",
		fault->value ? ": " : "", fault->rule);
}

/// Levenshtein's distance, without regard to ASCII case; both texts are at most NAME_MAX_COMPARED.
static size_t distance(const char *a, size_t a_n, const char *b, size_t b_n)
{
	size_t row[NAME_MAX_COMPARED + 1];

	for (size_t j = 0; j <= b_n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_n; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b_n; j++) {
			bool same = lm_str_eq_nocase(
				(struct lm_str){a + i - 1, 1}, (struct lm_str){b + j - 1, 1});
			size_t best = diagonal + (same ? 0 : 1);
			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[b_n];
}

const char *faults_nearest(const char *name, const void *names, size_t n, size_t stride)
{
	size_t name_n = strlen(name), best = DISTANCE_MAX + 1;
	const char *nearest = NULL;

	if (name_n > NAME_MAX_COMPARED)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		const char *candidate;
		memcpy(&candidate, (const char *)names + i * stride, sizeof(candidate));
		// Of a short name every other one is near: only its case may differ.
		if (name_n < 4 && !lm_str_eq_nocase(lm_str(name), lm_str(candidate)))
			continue;
		size_t d = distance(name, name_n, candidate, strlen(candidate));
		if (d < best) {
			best = d;
			nearest = candidate;
		}
	}
	return nearest;
}
