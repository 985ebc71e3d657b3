// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_output.h"

#include "base/cleanup.h"

enum { REASON_MAX = 700, SEEN_MAX = 32 << 10 };

/// The length of the escape sequence at the start of `s` (ECMA-48: CSI and OSC; else two).
static size_t escape_length(struct lm_str s)
{
	if (s.n < 2)
		return s.n;
	if (s.p[1] == ']') {
		for (size_t i = 2; i < s.n; i++)
			if (s.p[i] == '\a')
				return i + 1;
		return s.n;
	}
	if (s.p[1] != '[')
		return 2;
	size_t i = 2;
	while (i < s.n && (unsigned char)s.p[i] >= 0x20 && (unsigned char)s.p[i] < 0x40)
		i++;
	return i < s.n ? i + 1 : s.n;
}

void compose_line_clean(struct lm_str line, struct lm_buf *out)
{
	lm_buf_clear(out);
	for (size_t i = 0; i < line.n;) {
		unsigned char c = (unsigned char)line.p[i];
		if (c == 0x1b) {
			i += escape_length((struct lm_str){line.p + i, line.n - i});
			continue;
		}
		if (c == '\t')
			(void)lm_buf_putc(out, ' ');
		else if (c >= 0x20 && c != 0x7f)
			(void)lm_buf_putc(out, (char)c);
		i++;
	}
	while (out->len > 0 && out->data[out->len - 1] == ' ')
		out->data[--out->len] = '\0';
}

static bool contains(struct lm_str s, const char *word)
{
	return s.n > 0 && memmem(s.p, s.n, word, strlen(word)) != NULL;
}

static bool begins(struct lm_str s, const char *word)
{
	return lm_str_starts(s, lm_str(word));
}

static bool begins_one_of(struct lm_str s, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (begins(s, words[i]))
			return true;
	return false;
}

static bool contains_one_of(struct lm_str s, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (contains(s, words[i]))
			return true;
	return false;
}

static bool is_error(struct lm_str s)
{
	static const char *const starts[] = {"ERROR", "Error", "error", "failed to ", "invalid ",
		"Invalid interpolation ", "Traceback (most recent"};

	return begins_one_of(s, starts, LM_ARRAY_SIZE(starts)) ||
	       contains(s, "Error response from daemon");
}

static bool is_warning(struct lm_str s)
{
	static const char *const starts[] = {"WARNING", "WARN[", "Some networks were defined",
		"Some services (", "Found orphan containers", "The Docker Engine you're using",
		"Python-dotenv could not parse", "Image for service ",
		"The following deploy sub-keys", "External secrets are not available",
		"Host is already in use"};
	static const char *const words[] = {"variable is not set. Defaulting",
		" requires each container to have a unique name"};

	return begins_one_of(s, starts, LM_ARRAY_SIZE(starts)) ||
	       contains_one_of(s, words, LM_ARRAY_SIZE(words));
}

/// Lines that report progress, not why compose failed.
static bool is_progress(struct lm_str s)
{
	static const char *const ends[] = {" ...", " ... done", " ... error", " is up-to-date"};
	static const char *const things[] = {"Container ", "Network ", "Volume ", "Image "};
	static const char *const starts[] = {"Creating ", "Starting ", "Recreating ", "Stopping ",
		"Removing ", "Pulling ", "Building ", "Attaching to ", "Step ", "Successfully ",
		" ---> ", "#", "=> "};

	for (size_t i = 0; i < LM_ARRAY_SIZE(ends); i++)
		if (lm_str_ends(s, lm_str(ends[i])))
			return true;
	// Generation 1 has errors that start as "Container NAME  Created" does.
	if (begins_one_of(s, things, LM_ARRAY_SIZE(things)))
		return contains(s, "  ");
	return begins_one_of(s, starts, LM_ARRAY_SIZE(starts));
}

static enum compose_line_kind read_line_kind(struct lm_str s)
{
	if (contains(s, "attribute `version` is obsolete"))
		return COMPOSE_DETAIL;
	if (is_warning(s))
		return COMPOSE_WARNING;
	if (is_error(s))
		return COMPOSE_ERROR;
	return is_progress(s) ? COMPOSE_PROGRESS : COMPOSE_UNDECIDED;
}

/// Appends what stands in a Go string literal, whose opening quote is left of `s`.
static void unquote(struct lm_str s, struct lm_buf *out)
{
	for (size_t i = 0; i < s.n && s.p[i] != '"'; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n)
			i++;
		else {
			(void)lm_buf_putc(out, s.p[i]);
			continue;
		}
		bool blank = s.p[i] == 'n' || s.p[i] == 't' || s.p[i] == 'r';
		(void)lm_buf_putc(out, blank ? ' ' : s.p[i]);
	}
}

/// time="…" level=warning msg="…"
static bool read_logged(struct lm_str s, enum compose_line_kind *ret, struct lm_buf *text)
{
	static const struct {
		const char *name;
		enum compose_line_kind kind;
	} levels[] = {{"warning", COMPOSE_WARNING}, {"error", COMPOSE_ERROR},
		{"fatal", COMPOSE_ERROR}, {"panic", COMPOSE_ERROR}, {"info", COMPOSE_PROGRESS},
		{"debug", COMPOSE_DETAIL}, {"trace", COMPOSE_DETAIL}};
	static const char level_key[] = " level=", message_key[] = " msg=";
	const char *level = begins(s, "time=") ? memmem(s.p, s.n, level_key, 7) : NULL;
	const char *message = level ? memmem(s.p, s.n, message_key, 5) : NULL;

	if (!message || message < level)
		return false;
	struct lm_str name = {level + 7, (size_t)(message - level) - 7};
	struct lm_str body = {message + 5, s.n - (size_t)(message - s.p) - 5};
	*ret = COMPOSE_PROGRESS;
	for (size_t i = 0; i < LM_ARRAY_SIZE(levels); i++)
		if (lm_str_eq(name, lm_str(levels[i].name)))
			*ret = levels[i].kind;
	if (body.n > 0 && body.p[0] == '"')
		unquote((struct lm_str){body.p + 1, body.n - 1}, text);
	else
		(void)lm_buf_add_str(text, body);
	return true;
}

enum compose_line_kind compose_line_read(struct lm_str clean, struct lm_buf *text)
{
	enum compose_line_kind kind = COMPOSE_UNDECIDED;

	lm_buf_clear(text);
	if (!read_logged(lm_str_trim(clean), &kind, text)) {
		(void)lm_buf_add_str(text, clean);
		return read_line_kind(lm_str_trim(clean));
	}
	enum compose_line_kind by_words = read_line_kind(lm_buf_str(text));
	return by_words == COMPOSE_DETAIL ? by_words : kind;
}

/// A message that quotes a value: where it stands, and what is shown instead.
struct quote {
	const char *message; ///< Text of the message, before the value.
	const char *before;  ///< What stands right before the value, at or behind `message`.
	const char *after; ///< What stands right behind it (the last such); NULL: it is the rest of
			   ///< the line.
	bool runs_on;      ///< It may go on over lines.
	const char *instead; ///< Of `before` and the value; NULL: `before` and "***".
};

#define MISSING "Missing mandatory value for "
static const struct quote QUOTES[] = {
	// Generation 1.
	{"Invalid interpolation format for ", "\": \"", NULL, true, "\": write $$ for a literal $"},
	{MISSING, " interpolating ", " in service \"", true, NULL},
	{MISSING, " interpolating ", " in network \"", true, NULL},
	{MISSING, " interpolating ", " in volume \"", true, NULL},
	{MISSING, " interpolating ", " in secret \"", true, NULL},
	{MISSING, " interpolating ", " in config \"", true, NULL},
	{"", " contains ", ", which is an invalid type", false, NULL},
	{"", " value ", " has non-unique elements", false, NULL},
	{"", " value ", " is not of type ", false, NULL},
	{"", " value ", " is not one of ", false, NULL},
	{"", " value ", " does not match '", false, NULL},
	{"", " value ", " is too short", false, NULL},
	{"", " value ", " is too long", false, NULL},
	{"", " value ", " is not valid under ", false, NULL},
	{"", " value ", " is less than ", false, NULL},
	{"", " value ", " is greater than ", false, NULL},
	{"please remove duplicates", " from ", NULL, false, NULL},
	{" to appropriate type", ": \"", "\" is not a valid ", false, NULL},
	// Generation 2.
	{"You may need to escape any $ with another $", ".", NULL, true, "."},
	{"failed to cast to expected type", ": parsing ", ": invalid syntax", false, NULL},
	{"failed to cast to expected type", ": parsing ", ": value out of range", false, NULL},
	{"", "invalid boolean: ", NULL, false, NULL},
	{"", "invalid duration ", NULL, false, NULL},
	{"time: ", " in duration ", NULL, false, NULL},
	{"", "invalid size: ", NULL, false, NULL},
	{"", "invalid suffix: ", NULL, false, NULL},
	{"cannot unmarshal ", "cannot unmarshal ", " into ", false, NULL},
	{"unexpected character ", " near ", NULL, true, NULL},
	{"", "unterminated quoted value ", NULL, true, NULL},
	{"", "Invalid template: ", NULL, true, NULL},
	// YAML, where a value starts with '*' or '!'.
	{"", "found undefined alias '", "'", false, NULL},
	{"", "found undefined tag handle '", "'", false, NULL},
	{"", "constructor for the tag '", "'", false, NULL},
	{"", "unknown anchor '", "' referenced", false, NULL},
	{"", "anchor '", "' value contains itself", false, NULL},
	{"", "cannot decode ", " as a ", false, NULL},
};

/// The first of `word` in `s` from `at` on; `s.n` if there is none.
static size_t find_from(struct lm_str s, size_t at, const char *word)
{
	size_t n = strlen(word);
	const char *found = n == 0 ? s.p + at : memmem(s.p + at, s.n - at, word, n);

	return found ? (size_t)(found - s.p) : s.n;
}

static size_t find_last_from(struct lm_str s, size_t at, const char *word)
{
	size_t found = s.n;

	for (size_t i = find_from(s, at, word); i < s.n; i = find_from(s, i + 1, word))
		found = i;
	return found;
}

/// Whether the line quotes a value in that way; if so it is copied without.
static bool strip_quote(
	struct compose_quotes *q, const struct quote *quote, struct lm_str line, struct lm_buf *out)
{
	size_t message = find_from(line, 0, quote->message);
	size_t before = message < line.n ? find_from(line, message, quote->before) : line.n;

	if (before == line.n)
		return false;
	size_t value = before + strlen(quote->before);
	size_t after = quote->after ? find_last_from(line, value, quote->after) : line.n;
	bool cut = quote->after && after == line.n;
	if (cut && !quote->runs_on)
		return false;
	(void)lm_buf_add(out, line.p, quote->instead ? before : value);
	(void)lm_buf_puts(out, quote->instead ? quote->instead : "***");
	(void)lm_buf_add(out, line.p + after, line.n - after);
	*q = (struct compose_quotes){.runs_on = quote->runs_on && (cut || !quote->after),
		.until = cut ? quote->after : NULL};
	return true;
}

/// The one that fits: of those that only differ in `after`, one that has it.
static bool strip_first(struct compose_quotes *q, struct lm_str line, struct lm_buf *out)
{
	for (size_t i = 0; i < LM_ARRAY_SIZE(QUOTES); i++) {
		const struct quote *quote = &QUOTES[i];
		bool here = !quote->after || find_from(line, 0, quote->after) < line.n;

		if (here && strip_quote(q, quote, line, out))
			return true;
	}
	for (size_t i = 0; i < LM_ARRAY_SIZE(QUOTES); i++)
		if (QUOTES[i].runs_on && strip_quote(q, &QUOTES[i], line, out))
			return true;
	return false;
}

bool compose_quotes_strip(struct compose_quotes *q, struct lm_str line, struct lm_buf *out)
{
	lm_buf_clear(out);
	if (q->runs_on) {
		size_t end = q->until ? find_last_from(line, 0, q->until) : line.n;

		if (end == line.n)
			return false;
		*q = (struct compose_quotes){0};
		line = (struct lm_str){line.p + end, line.n - end};
	}
	if (!strip_first(q, line, out))
		(void)lm_buf_add_str(out, line);
	return true;
}

struct lm_str compose_line_unset(struct lm_str line)
{
	static const char behind[] = " variable is not set. Defaulting";
	size_t end = find_from(line, 0, behind);
	size_t begin = find_from(line, 0, "The ");

	if (end == line.n || begin + 4 > end)
		return LM_STR("");
	struct lm_str name = {line.p + begin + 4, end - begin - 4};
	if (name.n > 2 && name.p[0] == '"' && name.p[name.n - 1] == '"')
		name = (struct lm_str){name.p + 1, name.n - 2};
	return name;
}

/// Keys of the Compose Specification that docker-compose 1.29 does not have.
static bool is_newer_key(struct lm_str key)
{
	static const char *const keys[] = {"name", "include", "models", "annotations", "attach",
		"cgroup", "develop", "gpus", "label_file", "post_start", "pre_stop", "provider",
		"use_api_socket", "uts", "additional_contexts", "dockerfile_inline", "entitlements",
		"no_cache", "platforms", "privileged", "pull", "secrets", "ssh", "tags", "ulimits",
		"provenance", "sbom", "cache_to", "start_interval", "restart", "required",
		"content", "environment", "enable_ipv4", "mac_address", "driver_opts",
		"gw_priority", "interface_name", "create_host_path", "subpath", "app_protocol",
		"host_ip", "recursive", "selinux"};

	for (size_t i = 0; i < LM_ARRAY_SIZE(keys); i++)
		if (lm_str_eq(key, lm_str(keys[i])))
			return true;
	return false;
}

/// Messages of generation 1 about a key: what stands before it and behind it.
struct key_message {
	const char *before, *after;
	bool bare; ///< The line names nothing but the key.
};

static const struct key_message KEY_MESSAGES[] = {
	{"'", "' does not match any of the regexes: '^x-'", true},
	{"Invalid top-level property \"", "\".", true},
	{" value '", "' does not match any of the regexes: ", false},
	{"Unsupported config option for ", "'", false},
	{" contains unsupported option: '", "'", false},
	{"Additional properties are not allowed ('", "' was unexpected)", false},
};

/// The key that a line of that form names; `n` 0: it has another form.
static struct lm_str read_named_key(struct lm_str line, const struct key_message *m)
{
	size_t before = find_from(line, 0, m->before);
	size_t key = before + strlen(m->before);

	if (before == line.n || (m->bare && before > 0) || key >= line.n)
		return LM_STR("");
	if (begins(line, "Unsupported config option for ")) {
		key = find_from(line, key, ": '") + 3;
		if (key >= line.n)
			return LM_STR("");
	}
	size_t after = find_from(line, key, m->after);
	return after == line.n ? LM_STR("") : (struct lm_str){line.p + key, after - key};
}

void compose_line_explain_key(struct lm_str line, const char *version, struct lm_buf *out)
{
	struct lm_str trimmed = lm_str_trim(line);

	lm_buf_clear(out);
	for (size_t i = 0; i < LM_ARRAY_SIZE(KEY_MESSAGES); i++) {
		const struct key_message *m = &KEY_MESSAGES[i];
		struct lm_str key = read_named_key(trimmed, m);
		const char *newer = is_newer_key(key) ? "; docker-compose 2 supports it" : "";

		if (key.n == 0)
			continue;
		if (m->bare)
			(void)lm_buf_printf(out, "'%.*s' is not supported by docker-compose %s%s",
				LM_STR_ARG(key), version, newer);
		else
			(void)lm_buf_printf(out, "%.*s%s", LM_STR_ARG(trimmed), newer);
		return;
	}
	(void)lm_buf_add_str(out, line);
}

/// Without the prefixes by which both generations mark an error again, and its container:
/// "ERROR: for web  Cannot start …" stands twice in v1's output, once for each name of a container.
static struct lm_str strip_prefix(struct lm_str s)
{
	static const char *const words[] = {"ERROR: ", "Error: ", "error: "};
	for (size_t i = 0; i < LM_ARRAY_SIZE(words); i++)
		if (begins(s, words[i]))
			s = (struct lm_str){s.p + strlen(words[i]), s.n - strlen(words[i])};
	if (begins(s, "for ")) {
		const char *gap = memmem(s.p, s.n, "  ", 2);
		if (gap)
			s = (struct lm_str){gap, s.n - (size_t)(gap - s.p)};
	}
	return lm_str_trim(s);
}

static void errors_init(struct compose_errors *e)
{
	*e = (struct compose_errors){.text = LM_BUF(REASON_MAX), .seen = LM_BUF(SEEN_MAX)};
}

static void errors_clear(struct compose_errors *e)
{
	lm_buf_clear(&e->text);
	lm_buf_clear(&e->seen);
	e->n = 0;
	e->listing = false;
}

/// Appends as much as fits.
static void append_fitting(struct lm_buf *b, struct lm_str s)
{
	if (b->len > 0 && b->len + 1 < b->max)
		(void)lm_buf_putc(b, ' ');
	size_t room = b->max - b->len;
	(void)lm_buf_add(b, s.p, s.n < room ? s.n : room);
}

/// An explanation that is the same for every file, or what stands behind all errors.
static bool is_boilerplate(struct lm_str s)
{
	static const char *const starts[] = {"Encountered errors while",
		"You might be seeing this error", "For more on the Compose file format",
		"decoding failed due to the following error(s):"};

	return begins_one_of(s, starts, LM_ARRAY_SIZE(starts));
}

/// `starts`: a new error; else a continuation of the previous one.
static void errors_add(struct compose_errors *e, struct lm_str s, bool starts)
{
	if (lm_str_ends(s, LM_STR("is invalid because:"))) {
		if (e->n == 0)
			append_fitting(&e->text, s);
		e->listing = true;
		return;
	}
	if (begins(s, "decoding failed due to the following"))
		e->listing = true;
	if (s.n == 0 || is_boilerplate(s) ||
		(e->seen.len > 0 && memmem(e->seen.data, e->seen.len, s.p, s.n)))
		return;
	if (starts || e->listing || e->n == 0)
		e->n++;
	if (e->n == 1)
		append_fitting(&e->text, s);
	append_fitting(&e->seen, s);
}

void compose_reason_init(struct compose_reason *r)
{
	*r = (struct compose_reason){.last = LM_BUF(REASON_MAX), .shown = LM_BUF(REASON_MAX + 64)};
	errors_init(&r->marked);
	errors_init(&r->plain);
}

void compose_reason_finish(struct compose_reason *r)
{
	lm_buf_finish(&r->marked.text);
	lm_buf_finish(&r->marked.seen);
	lm_buf_finish(&r->plain.text);
	lm_buf_finish(&r->plain.seen);
	lm_buf_finish(&r->last);
	lm_buf_finish(&r->shown);
}

/// Of Python's traces the last line that is not indented names the exception.
static void add_traced(struct compose_reason *r, struct lm_str text)
{
	if (text.p[0] == ' ')
		return;
	errors_clear(&r->marked);
	errors_add(&r->marked, lm_str_trim(text), true);
}

void compose_reason_add(struct compose_reason *r, enum compose_line_kind kind, struct lm_str text)
{
	struct lm_str trimmed = lm_str_trim(text);

	if (trimmed.n == 0)
		return;
	if (begins(trimmed, "Traceback (most recent")) {
		r->traceback = true;
		errors_clear(&r->marked);
		return;
	}
	if (r->traceback) {
		add_traced(r, text);
		return;
	}
	if (kind < COMPOSE_ERROR) {
		r->in_error = false;
		errors_clear(&r->plain);
		return;
	}
	if (kind == COMPOSE_ERROR)
		r->in_error = true;
	if (r->in_error)
		errors_add(&r->marked, strip_prefix(trimmed), kind == COMPOSE_ERROR);
	else
		errors_add(&r->plain, trimmed, false);
	lm_buf_clear(&r->last);
	append_fitting(&r->last, trimmed);
}

const char *compose_reason_text(struct compose_reason *r)
{
	const struct compose_errors *e = r->marked.text.len > 0 ? &r->marked : &r->plain;

	lm_buf_clear(&r->shown);
	(void)lm_buf_add_str(&r->shown, lm_buf_str(e->text.len > 0 ? &e->text : &r->last));
	if (e->n > 1)
		(void)lm_buf_printf(&r->shown, " (and %zu more)", e->n - 1);
	return lm_buf_cstr(&r->shown);
}

lm_rc compose_reason_class(const char *text)
{
	static const char *const conflicts[] = {
		"is already in use by container",
		"already exists",
		"exists but was not created by",
		"has active endpoints",
		"port is already allocated",
		"address already in use",
		"Pool overlaps with other one",
		"needs to be recreated",
		"was found but has incorrect label",
		"is marked for removal",
		"is already in progress",
	};
	static const char *const network[] = {
		"Cannot connect to the Docker daemon",
		"Couldn't connect to Docker daemon",
		"Error while fetching server API version",
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(conflicts); i++)
		if (strstr(text, conflicts[i]))
			return LM_E_CONFLICT;
	for (size_t i = 0; i < LM_ARRAY_SIZE(network); i++)
		if (strstr(text, network[i]))
			return LM_E_NETWORK;
	return LM_E_REFUSED;
}
