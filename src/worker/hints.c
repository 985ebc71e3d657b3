// SPDX-License-Identifier: Apache-2.0
#include "worker/hints.h"

#include "docker/compose_env.h"
#include "docker/compose_references.h"
#include "docker/images.h"

enum {
	SHOWN_MAX = 3,     ///< Variables in one message.
	TEXT_MAX = 500,    ///< Of them together.
	PLACE_MAX = 100,   ///< Where one of them is used.
	MESSAGE_MAX = 500, ///< Of the message before them: others still put words in front of it.
	NAMES_MAX = 4 << 10,
	ID_SHORT = 12, ///< Digits that `docker ps` shows of an id, as does docker-compose 1.
	ID_LONG = 64,
	LIST_MS = 10 * 1000,
};

// Variables

static bool has_line(struct lm_str lines, struct lm_str line)
{
	while (lines.n > 0)
		if (lm_str_eq(lm_str_cut(&lines, '\n'), line))
			return true;
	return false;
}

/// Over the buffer's ceiling there are others to be named.
static void add_line(struct lm_buf *lines, struct lm_str line)
{
	if (has_line(lm_buf_str(lines), line) || lines->len + line.n + 1 > lines->max)
		return;
	(void)lm_buf_add_str(lines, line);
	(void)lm_buf_putc(lines, '\n');
}

void hints_note_unset(struct work *w, struct lm_str name)
{
	add_line(&w->unset, name);
}

/// "(image of service web)", or nothing for a variable of a file that the compose file refers to.
static void put_place(const struct work *w, struct lm_str name, struct lm_buf *out)
{
	lm_auto_buf struct lm_buf place = LM_BUF(TEXT_MAX);

	compose_references_describe(lm_buf_str(&w->text), name, &place);
	if (place.len > 0)
		(void)lm_buf_printf(out, " (%.*s)",
			(int)(place.len < PLACE_MAX ? place.len : PLACE_MAX), lm_buf_cstr(&place));
}

static void collect_withheld(
	void *ctx, const struct compose_reference *reference, const struct compose_place *place)
{
	(void)place;
	if (!reference->glued && compose_env_reason((const char *const *)environ, reference->name))
		add_line(ctx, reference->name);
}

static void put_withheld(const struct work *w, struct lm_str name, struct lm_buf *out)
{
	(void)lm_buf_printf(out, "%.*s", LM_STR_ARG(name));
	put_place(w, name, out);
	(void)lm_buf_printf(out,
		" is not handed to docker-compose, as %s: use a variable of another name",
		compose_env_reason((const char *const *)environ, name));
}

void hints_list_withheld(
	const struct work *w, void (*found)(void *ctx, const char *text), void *ctx)
{
	lm_auto_buf struct lm_buf names = LM_BUF(NAMES_MAX);

	(void)!compose_references_each(lm_buf_str(&w->text), collect_withheld, &names, NULL);
	for (struct lm_str rest = lm_buf_str(&names); rest.n > 0;) {
		lm_auto_buf struct lm_buf text = LM_BUF(TEXT_MAX);

		(void)lm_buf_puts(&text, "variable ");
		put_withheld(w, lm_str_cut(&rest, '\n'), &text);
		found(ctx, lm_buf_cstr(&text));
	}
}

/// Looks whether a variable is used where it may be to blame.
struct search {
	struct lm_str name;
	enum hints_about about;
	struct lm_str service; ///< n 0: any.
	bool used;             ///< Anywhere.
	bool found;
};

static bool is_any(struct lm_str text, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (lm_str_eq(text, lm_str(names[i])))
			return true;
	return false;
}

static bool may_matter(enum hints_about about, struct lm_str option)
{
	static const char *const of_images[] = {"image", "platform", "pull_policy", "build"};
	// An empty value of these is an application's own matter.
	static const char *const values[] = {"environment", "labels", "annotations"};

	return about == HINTS_IMAGES ? is_any(option, of_images, LM_ARRAY_SIZE(of_images))
				     : !is_any(option, values, LM_ARRAY_SIZE(values));
}

static void note_use(
	void *ctx, const struct compose_reference *reference, const struct compose_place *place)
{
	struct search *s = ctx;

	if (!lm_str_eq(reference->name, s->name))
		return;
	s->used = true;
	s->found |= may_matter(s->about, place->option) &&
		    (s->service.n == 0 || lm_str_eq(place->name, s->service));
}

/// Whether a failure of that class may come from a value that is empty. A registry that cannot be
/// reached makes the engine refuse a pull, too.
static bool may_come_from_values(enum hints_about about, lm_rc rc)
{
	return rc == LM_E_INVALID || rc == LM_E_NOT_FOUND || rc == LM_E_DENIED ||
	       (rc == LM_E_REFUSED && about != HINTS_IMAGES);
}

struct hints {
	struct lm_buf text;
	size_t n;
};

static void add_unset(const struct work *w, struct lm_str name, struct hints *to)
{
	if (to->n++ >= SHOWN_MAX)
		return;
	(void)lm_buf_printf(
		&to->text, "%s%.*s is not set", to->n > 1 ? ", " : "", LM_STR_ARG(name));
	put_place(w, name, &to->text);
}

static void collect_unset(
	const struct work *w, enum hints_about about, struct lm_str service, struct hints *to)
{
	for (struct lm_str rest = lm_buf_str(&w->unset); rest.n > 0;) {
		struct search s = {
			.name = lm_str_cut(&rest, '\n'), .about = about, .service = service};

		// What is withheld is explained otherwise.
		if (compose_env_reason((const char *const *)environ, s.name))
			continue;
		(void)!compose_references_each(lm_buf_str(&w->text), note_use, &s, NULL);
		if (s.found || (!s.used && about == HINTS_FILE)) // in a file that it refers to
			add_unset(w, s.name, to);
	}
	if (to->n > SHOWN_MAX)
		(void)lm_buf_printf(&to->text, " and %zu more", to->n - SHOWN_MAX);
	if (to->n > 0)
		(void)lm_buf_printf(&to->text, ": set %s in '%s/.env'", to->n > 1 ? "them" : "it",
			work_definition(w)->destination);
}

static void collect_withheld_uses(const struct work *w, enum hints_about about, struct hints *to)
{
	lm_auto_buf struct lm_buf names = LM_BUF(NAMES_MAX);

	(void)!compose_references_each(lm_buf_str(&w->text), collect_withheld, &names, NULL);
	for (struct lm_str rest = lm_buf_str(&names); rest.n > 0 && to->n < SHOWN_MAX;) {
		struct search s = {.name = lm_str_cut(&rest, '\n'), .about = about};

		(void)!compose_references_each(lm_buf_str(&w->text), note_use, &s, NULL);
		if (!s.found)
			continue;
		if (to->n++ > 0)
			(void)lm_buf_puts(&to->text, "; ");
		put_withheld(w, s.name, &to->text);
	}
}

static lm_rc append(const struct hints *hints, struct lm_err *err)
{
	return lm_fail(
		err, LM_E_INVALID, 0, "%.*s; %s", MESSAGE_MAX, err->msg, lm_buf_cstr(&hints->text));
}

lm_rc hints_explain(const struct work *w, enum hints_about about, lm_rc rc, struct lm_err *err)
{
	struct hints hints = {.text = LM_BUF(TEXT_MAX)};

	if (!may_come_from_values(about, rc))
		return rc;
	collect_unset(w, about, LM_STR(""), &hints);
	collect_withheld_uses(w, about, &hints);
	if (hints.n > 0)
		rc = append(&hints, err);
	lm_buf_finish(&hints.text);
	return rc;
}

/// docker-compose 1 takes an image of no name for one, until `up` fails.
static lm_rc check_image(const struct compose_service *s, struct lm_err *err)
{
	lm_auto(image_ref_finish) struct image_ref ref = {0};

	if (s->image)
		return image_ref_parse(lm_str(s->image), &ref, err);
	return s->has_build ? LM_OK : lm_fail(err, LM_E_INVALID, 0, "it has no name");
}

static lm_rc check_service(
	const struct work *w, const struct compose_service *s, struct lm_err *err)
{
	struct hints hints = {.text = LM_BUF(TEXT_MAX)};
	lm_rc rc = check_image(s, err);

	if (rc) {
		(void)!lm_wrap(err, "image of service %s", s->name);
		collect_unset(w, HINTS_IMAGES, lm_str(s->name), &hints);
		if (hints.n > 0)
			rc = append(&hints, err);
		else if (s->image) // the engine has the last word on a name
			rc = LM_OK;
	}
	lm_buf_finish(&hints.text);
	return rc;
}

lm_rc hints_check_images(const struct work *w, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	for (size_t i = 0; i < w->services.n && !rc; i++)
		if (w->services.items[i].active)
			rc = check_service(w, &w->services.items[i], err);
	return rc;
}

// Containers

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool is_word(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '_';
}

/// The next word that may be an id; `n` 0: there is none.
static struct lm_str next_id(struct lm_str text)
{
	for (size_t i = 0, n; i < text.n; i += n + 1) {
		bool hex = true;

		for (n = 0; i + n < text.n && is_word(text.p[i + n]); n++)
			hex = hex && is_hex(text.p[i + n]);
		if (hex && (n == ID_SHORT || n == ID_LONG))
			return (struct lm_str){text.p + i, n};
	}
	return (struct lm_str){text.p + text.n, 0};
}

bool hints_has_id(struct lm_str text)
{
	return next_id(text).n > 0;
}

static const struct engine_container *find_container(
	const struct engine_containers *list, struct lm_str id)
{
	for (size_t i = 0; i < list->n && id.n > 0; i++)
		if (lm_str_starts(lm_str(list->items[i].id), id))
			return &list->items[i];
	return NULL;
}

bool hints_name_containers(
	const struct engine_containers *list, struct lm_str text, struct lm_buf *out)
{
	bool found = false;

	lm_buf_clear(out);
	while (text.n > 0) {
		struct lm_str id = next_id(text);
		const struct engine_container *c = find_container(list, id);
		size_t before = (size_t)(id.p - text.p), behind = before + id.n;
		bool quoted = c && before > 0 && behind < text.n && text.p[before - 1] == '"' &&
			      text.p[behind] == '"';

		(void)lm_buf_add(out, text.p, before - quoted);
		if (c)
			(void)lm_buf_printf(out, "%s of service %s", c->name, c->service);
		else
			(void)lm_buf_add_str(out, id);
		found |= c != NULL;
		behind += quoted;
		text = (struct lm_str){text.p + behind, text.n - behind};
	}
	return found;
}

void hints_name_containers_in(const struct work *w, struct lm_err *err)
{
	lm_auto(engine_containers_finish) struct engine_containers list = {0};
	lm_auto_buf struct lm_buf text = LM_BUF(sizeof(err->msg) * 4);
	struct wait_limit limit = wait_limit_within(&w->limit, LIST_MS);

	if (hints_has_id(lm_str(err->msg)) &&
		engine_list_containers(&w->engine, COMPOSE_PROJECT, &limit, &list, NULL) == LM_OK &&
		hints_name_containers(&list, lm_str(err->msg), &text))
		(void)!lm_fail(err, err->rc, err->sys, "%s", lm_buf_cstr(&text));
}
