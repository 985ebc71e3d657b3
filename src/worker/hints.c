// SPDX-License-Identifier: Apache-2.0
#include "worker/hints.h"

#include "docker/compose.h"
#include "docker/compose_variables.h"
#include "docker/image_ref.h"

enum {
	SHOWN_MAX = 3,     ///< Variables in one message.
	TEXT_MAX = 500,    ///< Of them together.
	PLACE_MAX = 100,   ///< Where one of them is used.
	MESSAGE_MAX = 500, ///< Of the message before them: callers still prepend context.
	NAMES_MAX = 4 << 10,
	ID_SHORT = 12, ///< Digits that `docker ps` shows of an id, as does docker-compose 1.
	ID_LONG = 64,
	LIST_MS = 10 * 1000,
};

// Variables

static bool hints_has_line(struct lm_str lines, struct lm_str line)
{
	while (lines.n > 0)
		if (lm_str_eq(lm_str_cut(&lines, '\n'), line))
			return true;
	return false;
}

/// Ignores lines that do not fit.
static void hints_add_line(struct lm_buf *lines, struct lm_str line)
{
	if (hints_has_line(lm_buf_str(lines), line) || lines->len + line.n + 1 > lines->max)
		return;
	(void)lm_buf_add_str(lines, line);
	(void)lm_buf_putc(lines, '\n');
}

void hints_note_unset(struct context *cx, struct lm_str name)
{
	hints_add_line(&cx->unset, name);
}

/// "(image of service web)", or nothing for a variable of a file that the compose file refers to.
static void put_place(const struct context *cx, struct lm_str name, struct lm_buf *out)
{
	lm_auto_buf struct lm_buf place = LM_BUF(TEXT_MAX);

	compose_references_describe(lm_buf_str(&cx->text), name, &place);
	if (place.len > 0)
		(void)lm_buf_printf(out, " (%.*s)",
			(int)(place.len < PLACE_MAX ? place.len : PLACE_MAX), lm_buf_cstr(&place));
}

static void put_withheld(const struct context *cx, struct lm_str name, struct lm_buf *out)
{
	(void)lm_buf_printf(out, "%.*s", LM_STR_ARG(name));
	put_place(cx, name, out);
	(void)lm_buf_printf(out,
		" is not passed to docker-compose, as %s: use a variable of another name",
		compose_env_reason((const char *const *)environ, name));
}

static bool hints_is_one_of(struct lm_str text, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (lm_str_eq(text, lm_str(names[i])))
			return true;
	return false;
}

static bool may_matter(enum hints_about about, const struct compose_place *place)
{
	static const char *const of_images[] = {"image", "platform", "pull_policy", "build"};
	static const char *const needs[] = {"volumes", "devices", "secrets", "configs", "networks",
		"env_file", "build", "external_links", "runtime", "deploy", "logging"};
	// An empty value of these is an application's own matter.
	static const char *const values[] = {"environment", "labels", "annotations"};

	switch (about) {
	case HINTS_IMAGES:
		return hints_is_one_of(place->option, of_images, LM_ARRAY_SIZE(of_images));
	case HINTS_NEEDS:
		return !lm_str_eq(place->section, LM_STR("services")) ||
		       hints_is_one_of(place->option, needs, LM_ARRAY_SIZE(needs));
	case HINTS_FILE:
	case HINTS_START:
		return !hints_is_one_of(place->option, values, LM_ARRAY_SIZE(values));
	case HINTS_HEALTH:
		break;
	}
	return true;
}

/// The variables that a compose file uses, of those that are not set or withheld; names, a line
/// each.
struct uses {
	const struct context *cx;
	enum hints_about about;
	struct lm_str service; ///< n 0: any.
	struct lm_buf used;    ///< Not set, and used anywhere.
	struct lm_buf unset;   ///< Not set, and used where it may be to blame.
	struct lm_buf withheld;
};

static void note_use(
	void *ctx, const struct compose_reference *reference, const struct compose_place *place)
{
	struct uses *u = ctx;
	bool matters = may_matter(u->about, place) &&
		       (u->service.n == 0 || lm_str_eq(place->name, u->service));

	if (reference->glued)
		return;
	// A withheld variable does not count as unset.
	if (compose_env_reason((const char *const *)environ, reference->name)) {
		if (matters)
			hints_add_line(&u->withheld, reference->name);
		return;
	}
	if (!hints_has_line(lm_buf_str(&u->cx->unset), reference->name))
		return;
	hints_add_line(&u->used, reference->name);
	if (matters)
		hints_add_line(&u->unset, reference->name);
}

static void uses_find(
	struct uses *u, const struct context *cx, enum hints_about about, struct lm_str service)
{
	*u = (struct uses){.cx = cx,
		.about = about,
		.service = service,
		.used = LM_BUF(NAMES_MAX),
		.unset = LM_BUF(NAMES_MAX),
		.withheld = LM_BUF(NAMES_MAX)};
	(void)!compose_references_each(lm_buf_str(&cx->text), note_use, u, NULL);
	if (about != HINTS_FILE)
		return;
	for (struct lm_str rest = lm_buf_str(&cx->unset); rest.n > 0;) {
		struct lm_str name = lm_str_cut(&rest, '\n');

		// A file that this one refers to uses it.
		if (!hints_has_line(lm_buf_str(&u->used), name) &&
			!compose_env_reason((const char *const *)environ, name))
			hints_add_line(&u->unset, name);
	}
}

static void uses_finish(struct uses *u)
{
	lm_buf_finish(&u->used);
	lm_buf_finish(&u->unset);
	lm_buf_finish(&u->withheld);
}

void hints_list_withheld(
	const struct context *cx, void (*found)(void *ctx, const char *text), void *ctx)
{
	lm_auto(uses_finish) struct uses uses = {0};

	uses_find(&uses, cx, HINTS_HEALTH, LM_STR(""));
	for (struct lm_str rest = lm_buf_str(&uses.withheld); rest.n > 0;) {
		lm_auto_buf struct lm_buf text = LM_BUF(TEXT_MAX);

		(void)lm_buf_puts(&text, "variable ");
		put_withheld(cx, lm_str_cut(&rest, '\n'), &text);
		found(ctx, lm_buf_cstr(&text));
	}
}

/// Whether an empty value may have caused a failure of that class. The engine also refuses a pull
/// if the registry cannot be reached.
static bool may_come_from_values(enum hints_about about, lm_rc rc)
{
	switch (rc) {
	case LM_E_INVALID:
	case LM_E_NOT_FOUND:
	case LM_E_DENIED:
		return true;
	case LM_E_REFUSED:
		return about != HINTS_IMAGES && about != HINTS_NEEDS;
	case LM_E_TIMEOUT:
		return about == HINTS_HEALTH;
	default:
		return false;
	}
}

static void put_unset(const struct uses *uses, struct lm_buf *out)
{
	size_t n = 0;

	for (struct lm_str rest = lm_buf_str(&uses->unset); rest.n > 0; n++) {
		struct lm_str name = lm_str_cut(&rest, '\n');

		if (n >= SHOWN_MAX)
			continue;
		(void)lm_buf_printf(out, "%s%.*s is not set", n > 0 ? ", " : "", LM_STR_ARG(name));
		put_place(uses->cx, name, out);
	}
	if (n > SHOWN_MAX)
		(void)lm_buf_printf(out, " and %zu more", n - SHOWN_MAX);
	if (n > 0)
		(void)lm_buf_printf(out, ": set %s in '%s/.env'", n > 1 ? "them" : "it",
			context_definition(uses->cx)->destination);
}

/// Appends what was found to the message. Returns whether there is anything.
static bool append_uses(const struct uses *uses, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(TEXT_MAX);
	struct lm_str withheld = lm_buf_str(&uses->withheld);

	put_unset(uses, &text);
	if (withheld.n > 0) { // the others are in the log
		(void)lm_buf_puts(&text, text.len > 0 ? "; " : "");
		put_withheld(uses->cx, lm_str_cut(&withheld, '\n'), &text);
	}
	if (text.len > 0)
		(void)!lm_fail(err, err->rc, err->sys, "%.*s; %s", MESSAGE_MAX, err->msg,
			lm_buf_cstr(&text));
	return text.len > 0;
}

lm_rc hints_explain(const struct context *cx, enum hints_about about, lm_rc rc, struct lm_err *err)
{
	lm_auto(uses_finish) struct uses uses = {0};

	if (!may_come_from_values(about, rc))
		return rc;
	uses_find(&uses, cx, about, LM_STR(""));
	if (append_uses(&uses, err) && about != HINTS_HEALTH)
		err->rc = rc = LM_E_INVALID;
	return rc;
}

/// docker-compose 1 accepts an image without a name until `up` fails.
static lm_rc check_image_name(const struct compose_service *s, struct lm_err *err)
{
	lm_auto(image_ref_finish) struct image_ref ref = {0};

	if (s->image)
		return image_ref_parse(lm_str(s->image), &ref, err);
	return s->has_build ? LM_OK : lm_fail(err, LM_E_INVALID, 0, "it has no name");
}

static lm_rc check_service(
	const struct context *cx, const struct compose_service *s, struct lm_err *err)
{
	lm_auto(uses_finish) struct uses uses = {0};

	if (check_image_name(s, err) == LM_OK)
		return LM_OK;
	(void)!lm_wrap(err, "image of service %s", s->name);
	uses_find(&uses, cx, HINTS_IMAGES, lm_str(s->name));
	// Without an unset variable the engine decides whether the name is valid.
	return append_uses(&uses, err) || !s->image ? LM_E_INVALID : LM_OK;
}

lm_rc hints_check_images(const struct context *cx, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	for (size_t i = 0; i < cx->services.n && !rc; i++)
		if (cx->services.items[i].active)
			rc = check_service(cx, &cx->services.items[i], err);
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

bool hints_find_names(
	const struct context *cx, struct lm_str text, uint64_t timeout_ms, struct lm_buf *out)
{
	lm_auto(engine_containers_finish) struct engine_containers list = {0};
	struct wait_limit limit = wait_limit_within(&cx->limit, timeout_ms);

	return next_id(text).n > 0 &&
	       engine_list_containers(&cx->engine, COMPOSE_PROJECT, &limit, &list, NULL) == LM_OK &&
	       hints_name_containers(&list, text, out);
}

void hints_name_containers_in(const struct context *cx, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(sizeof(err->msg) * 4);

	if (hints_find_names(cx, lm_str(err->msg), LIST_MS, &text))
		(void)!lm_fail(err, err->rc, err->sys, "%s", lm_buf_cstr(&text));
}

/// Whether a container of ours has exited with an error or is unhealthy.
static bool has_failed(const struct context *cx)
{
	lm_auto(engine_containers_finish) struct engine_containers list = {0};
	struct wait_limit limit = wait_limit_within(&cx->limit, LIST_MS);

	if (engine_list_containers(&cx->engine, COMPOSE_PROJECT, &limit, &list, NULL))
		return false;
	for (size_t i = 0; i < list.n; i++)
		if (list.items[i].health == ENGINE_UNHEALTHY || list.items[i].exit_code > 0)
			return true;
	return false;
}

lm_rc hints_explain_up(const struct context *cx, lm_rc rc, struct lm_err *err)
{
	hints_name_containers_in(cx, err);
	bool by_application = cx->unset.len > 0 && rc == LM_E_REFUSED && has_failed(cx);
	return hints_explain(cx, by_application ? HINTS_HEALTH : HINTS_START, rc, err);
}
