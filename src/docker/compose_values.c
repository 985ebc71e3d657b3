// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_values.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/secret.h"
#include "docker/compose_variables.h"
#include "sys/yaml.h"

#include <ctype.h>
#include <strings.h>

enum {
	VALUE_MIN = 4,     ///< Shorter ones are in every other sentence.
	NUMBER_MAX = 5,    ///< Digits: ports, sizes, ids.
	PIECE_MIN = 6,     ///< Of what is between quotes and the like.
	ANYWHERE_MIN = 8,  ///< From here on also inside of words.
	WORDLIKE_MIN = 16, ///< From here on any word counts as a secret.
	CUT_MIN = 8,       ///< Of a value whose end was cut off.
	KEY = 4,           ///< Bytes by which values are looked up.
	FILES_MAX = 64,
};

/// Texts, each once or more, in lower case.
struct text_set {
	char **items;
	size_t n, size;
};

struct compose_values {
	struct text_set values;
	struct text_set names; ///< What is left readable.
	struct text_set files, env_files;
	bool ready; ///< Values are sorted, and what is left readable is out of them.
};

static void set_add(struct text_set *set, struct lm_str s, bool lower)
{
	if (set->n >= LIMIT_COMPOSE_VALUES || s.n == 0)
		return;
	if (set->n == set->size) {
		set->size = set->size ? set->size * 2 : 64;
		set->items = lm_xrealloc(set->items, set->size * sizeof(*set->items));
	}
	char *copy = lm_xmemdup0(s.p, s.n);
	for (char *c = copy; lower && *c; c++)
		*c = (char)tolower((unsigned char)*c);
	set->items[set->n++] = copy;
}

static void set_finish(struct text_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		lm_wipe(set->items[i], strlen(set->items[i]));
		free(set->items[i]);
	}
	free(set->items);
	*set = (struct text_set){0};
}

struct compose_values *compose_values_create(void)
{
	return lm_xcalloc(1, sizeof(struct compose_values));
}

void compose_values_destroy(struct compose_values *v)
{
	if (!v)
		return;
	set_finish(&v->values);
	set_finish(&v->names);
	set_finish(&v->files);
	set_finish(&v->env_files);
	free(v);
}

/// Bytes that docker-compose writes in another way when it quotes, or at which it cuts.
static bool is_quoting(char c)
{
	return (unsigned char)c < 0x20 || (unsigned char)c >= 0x7f || strchr("'\"`\\{}", c) != NULL;
}

static bool is_separator(char c)
{
	return is_quoting(c) || strchr(" \t:=,;/@&?|()[]<>#$", c) != NULL;
}

static bool is_number(struct lm_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!isdigit((unsigned char)s.p[i]) && s.p[i] != '.')
			return false;
	return true;
}

/// Whether a word out of a longer value looks like a password, and not like a word.
static bool looks_random(struct lm_str s)
{
	bool digit = false, lower = false, upper = false;

	for (size_t i = 0; i < s.n; i++) {
		digit |= isdigit((unsigned char)s.p[i]) != 0;
		lower |= islower((unsigned char)s.p[i]) != 0;
		upper |= i > 0 && isupper((unsigned char)s.p[i]);
	}
	return s.n >= WORDLIKE_MIN || (digit && (lower || upper)) || (lower && upper);
}

static void add_masked(struct compose_values *v, struct lm_str s)
{
	s = lm_str_trim(s);
	if (s.n >= VALUE_MIN && !(is_number(s) && s.n <= NUMBER_MAX))
		set_add(&v->values, s, true);
}

static void split(struct compose_values *v, struct lm_str text, bool (*separates)(char),
	void (*take)(struct compose_values *v, struct lm_str piece))
{
	for (size_t begin = 0, i = 0; i <= text.n; i++) {
		if (i < text.n && !separates(text.p[i]))
			continue;
		if (i > begin)
			take(v, (struct lm_str){text.p + begin, i - begin});
		begin = i + 1;
	}
}

static void add_word(struct compose_values *v, struct lm_str word)
{
	if (word.n >= PIECE_MIN && looks_random(word))
		add_masked(v, word);
}

static void add_quoted_piece(struct compose_values *v, struct lm_str piece)
{
	piece = lm_str_trim(piece);
	if (piece.n >= PIECE_MIN)
		add_masked(v, piece);
}

/// As it stands in quotes in messages: of Go and JSON with `quote` '"', of Python with '\''.
static void add_quoted(struct compose_values *v, struct lm_str text, char quote)
{
	lm_auto_buf struct lm_buf quoted = LM_BUF_SECRET(2 * text.n);

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		bool escaped = c == quote || c == '\\' || c == '\n' || c == '\t' || c == '\r';

		if (escaped)
			(void)lm_buf_putc(&quoted, '\\');
		(void)lm_buf_putc(&quoted, c == '\n' ? 'n' : c == '\t' ? 't' : c == '\r' ? 'r' : c);
	}
	add_masked(v, lm_buf_str(&quoted));
}

/// A text without references to variables: whole, in what is left of it once it is quoted, and in
/// the words that docker-compose may cut it into.
static void add_literal(struct compose_values *v, struct lm_str text)
{
	bool escapable = false;

	for (size_t i = 0; i < text.n; i++)
		escapable |= is_quoting(text.p[i]);
	add_masked(v, text);
	if (escapable) {
		add_quoted(v, text, '"');
		add_quoted(v, text, '\'');
		add_quoted(v, text, '\\');
	}
	split(v, text, is_quoting, add_quoted_piece);
	split(v, text, is_separator, add_word);
}

/// What docker-compose makes of a text: each "$$" in it stands for a '$'.
static void add_unescaped(struct compose_values *v, struct lm_str text)
{
	lm_auto_buf struct lm_buf plain = LM_BUF_SECRET(text.n);

	for (size_t i = 0; i < text.n; i++) {
		(void)lm_buf_putc(&plain, text.p[i]);
		if (text.p[i] == '$' && i + 1 < text.n && text.p[i + 1] == '$')
			i++;
	}
	if (plain.len < text.n)
		add_literal(v, lm_buf_str(&plain));
}

/// A value as it stands in a file. Names of variables in it may be shown, unless they are part of a
/// word: "pa$word".
static void add_text(struct compose_values *v, struct lm_str text)
{
	struct compose_reference r;
	size_t at = 0, begin = 0;

	add_masked(v, text);
	add_unescaped(v, text);
	while (compose_reference_next(text, &at, &r)) {
		add_literal(v, (struct lm_str){text.p + begin, r.begins - begin});
		if (r.glued)
			add_masked(v, r.name);
		if (!r.required && r.instead.n > 0)
			add_text(v, r.instead);
		begin = r.ends;
	}
	add_literal(v, (struct lm_str){text.p + begin, text.n - begin});
}

/// Whether it may be base64 that is padded at its end, or a line of it.
static bool is_padded(struct lm_str text)
{
	bool lower = false;

	for (size_t i = 0; i < text.n; i++)
		lower |= islower((unsigned char)text.p[i]) != 0;
	return lower && text.n >= 2 * VALUE_MIN && text.n % 4 == 0;
}

/// Splits "NAME=VALUE". False: it is something else that has a '=' in it, or has none.
static bool read_variable_pair(
	struct lm_str text, struct lm_str *ret_name, struct lm_str *ret_value)
{
	struct lm_str value = text;
	struct lm_str name = lm_str_trim(lm_str_cut(&value, '='));

	if (lm_str_find(text, '=') == text.n || name.n == 0)
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (!isalnum((unsigned char)name.p[i]) && !strchr("_.-/", name.p[i]))
			return false;
	if ((value.n == 0 || lm_str_eq(value, LM_STR("="))) && is_padded(lm_str_trim(text)))
		return false;
	*ret_name = name;
	*ret_value = value;
	return true;
}

/// "NAME=VALUE": the name may be shown.
static void add_pair(struct compose_values *v, struct lm_str text)
{
	struct lm_str name, value;

	if (!read_variable_pair(text, &name, &value)) {
		add_text(v, text);
		return;
	}
	set_add(&v->names, name, true);
	add_text(v, value);
}

/// An option whose values name something, and of what it may hold other values.
struct structural {
	const char *option;
	const char *but[3]; ///< Members that hold values; NULL-terminated if fewer.
};

static const struct structural STRUCTURAL[] = {
	{"attach", {NULL}},
	{"attachable", {NULL}},
	{"blkio_config", {NULL}},
	{"build", {"args", "labels", "ssh"}},
	{"cap_add", {NULL}},
	{"cap_drop", {NULL}},
	{"cgroup", {NULL}},
	{"cgroup_parent", {NULL}},
	{"configs", {"content"}},
	{"container_name", {NULL}},
	{"cpuset", {NULL}},
	{"depends_on", {NULL}},
	{"deploy", {"labels"}},
	{"devices", {NULL}},
	{"domainname", {NULL}},
	{"driver", {NULL}},
	{"env_file", {NULL}},
	{"expose", {NULL}},
	{"extends", {NULL}},
	{"external", {NULL}},
	{"external_links", {NULL}},
	{"file", {NULL}},
	{"group_add", {NULL}},
	{"healthcheck", {"test"}},
	{"hostname", {NULL}},
	{"image", {NULL}},
	{"ipam", {"options"}},
	{"ipc", {NULL}},
	{"isolation", {NULL}},
	{"links", {NULL}},
	{"logging", {"options"}},
	{"name", {NULL}},
	{"network_mode", {NULL}},
	{"networks", {"driver_opts"}},
	{"pid", {NULL}},
	{"platform", {NULL}},
	{"ports", {NULL}},
	{"profiles", {NULL}},
	{"pull_policy", {NULL}},
	{"restart", {NULL}},
	{"runtime", {NULL}},
	{"secrets", {NULL}},
	{"stop_signal", {NULL}},
	{"tmpfs", {NULL}},
	{"user", {NULL}},
	{"userns_mode", {NULL}},
	{"volumes", {"driver_opts", "labels"}},
	{"volumes_from", {NULL}},
	{"working_dir", {NULL}},
};

static const struct structural *find_structural(struct lm_str option)
{
	for (size_t i = 0; i < LM_ARRAY_SIZE(STRUCTURAL); i++)
		if (lm_str_eq(option, lm_str(STRUCTURAL[i].option)))
			return &STRUCTURAL[i];
	return NULL;
}

static bool holds_values(const struct structural *s, struct lm_str member)
{
	for (size_t i = 0; i < LM_ARRAY_SIZE(s->but) && s->but[i]; i++)
		if (lm_str_eq(member, lm_str(s->but[i])))
			return true;
	return false;
}

static void add_key(struct compose_values *v, const struct yaml_node *key)
{
	set_add(&v->names, yaml_text(key), true);
}

/// All scalars below are values.
static void add_values(struct compose_values *v, const struct yaml_node *node)
{
	if (yaml_kind(node) == YAML_SCALAR)
		add_pair(v, yaml_text(node));
	for (size_t i = 0; i < yaml_size(node); i++) {
		if (yaml_kind(node) == YAML_SEQUENCE) {
			add_values(v, yaml_item(node, i));
			continue;
		}
		add_key(v, yaml_key(node, i));
		const struct yaml_node *value = yaml_value(node, i);
		if (yaml_kind(value) == YAML_SCALAR)
			add_text(v, yaml_text(value));
		else
			add_values(v, value);
	}
}

/// All scalars below are names, but for defaults of variables in them.
static void add_names(
	struct compose_values *v, const struct yaml_node *node, const struct structural *s)
{
	if (yaml_kind(node) == YAML_SCALAR)
		set_add(&v->names, yaml_text(node), true);
	for (size_t i = 0; i < yaml_size(node); i++) {
		if (yaml_kind(node) == YAML_SEQUENCE) {
			add_names(v, yaml_item(node, i), s);
			continue;
		}
		add_key(v, yaml_key(node, i));
		if (holds_values(s, yaml_text(yaml_key(node, i))))
			add_values(v, yaml_value(node, i));
		else
			add_names(v, yaml_value(node, i), s);
	}
}

/// The program is named when it cannot be started; what it is called with may be anything.
static void add_command(struct compose_values *v, const struct yaml_node *node)
{
	if (yaml_kind(node) == YAML_SCALAR) {
		struct lm_str rest = lm_str_trim(yaml_text(node));
		struct lm_str program = lm_str_cut(&rest, ' ');

		set_add(&v->names, program, true);
		if (rest.n > 0)
			add_text(v, yaml_text(node));
		return;
	}
	for (size_t i = 0; yaml_kind(node) == YAML_SEQUENCE && i < yaml_size(node); i++) {
		const struct yaml_node *item = yaml_item(node, i);

		if (i == 0)
			set_add(&v->names, yaml_text(item), true);
		else
			add_values(v, item);
	}
	if (yaml_kind(node) == YAML_MAPPING)
		add_values(v, node);
}

/// Paths under `env_file`, and under `file` of `extends` and `include`.
static void note_files(struct compose_values *v, const struct yaml_node *node, bool env)
{
	struct text_set *set = env ? &v->env_files : &v->files;

	if (yaml_kind(node) == YAML_SCALAR && set->n < FILES_MAX)
		set_add(set, yaml_text(node), false);
	for (size_t i = 0; i < yaml_size(node); i++) {
		if (yaml_kind(node) == YAML_SEQUENCE) {
			note_files(v, yaml_item(node, i), env);
			continue;
		}
		struct lm_str key = yaml_text(yaml_key(node, i));
		if (lm_str_eq(key, LM_STR("env_file")))
			note_files(v, yaml_value(node, i), true);
		else if (lm_str_eq(key, LM_STR("file")) || lm_str_eq(key, LM_STR("path")))
			note_files(v, yaml_value(node, i), env);
	}
}

static void add_option(struct compose_values *v, struct lm_str option, const struct yaml_node *node)
{
	const struct structural *s = find_structural(option);

	if (lm_str_eq(option, LM_STR("env_file")))
		note_files(v, node, true);
	else if (lm_str_eq(option, LM_STR("extends")))
		note_files(v, node, false);
	if (s)
		add_names(v, node, s);
	else if (lm_str_eq(option, LM_STR("command")) || lm_str_eq(option, LM_STR("entrypoint")))
		add_command(v, node);
	else
		add_values(v, node);
}

/// A mapping of options, and what is merged into it ("<<"), which may be several of them.
static void add_options(struct compose_values *v, const struct yaml_node *options)
{
	if (yaml_kind(options) == YAML_SCALAR)
		add_values(v, options);
	for (size_t i = 0; i < yaml_size(options); i++) {
		if (yaml_kind(options) == YAML_SEQUENCE) {
			add_options(v, yaml_item(options, i));
			continue;
		}
		struct lm_str option = yaml_text(yaml_key(options, i));
		add_key(v, yaml_key(options, i));
		if (lm_str_eq(option, LM_STR("<<")))
			add_options(v, yaml_value(options, i));
		else
			add_option(v, option, yaml_value(options, i));
	}
}

/// A mapping of names to mappings of options.
static void add_section(struct compose_values *v, const struct yaml_node *section)
{
	for (size_t i = 0; yaml_kind(section) == YAML_MAPPING && i < yaml_size(section); i++) {
		const struct yaml_node *item = yaml_value(section, i);

		add_key(v, yaml_key(section, i));
		if (yaml_kind(item) == YAML_MAPPING)
			add_options(v, item);
		else
			add_values(v, item);
	}
	if (yaml_kind(section) != YAML_MAPPING)
		add_values(v, section);
}

static void add_root(struct compose_values *v, const struct yaml_node *root)
{
	static const char *const sections[] = {
		"services", "networks", "volumes", "secrets", "configs"};

	if (!yaml_get(root, "services") && !yaml_get(root, "include")) {
		add_section(v, root); // format 1, or none
		return;
	}
	for (size_t i = 0; i < yaml_size(root); i++) {
		struct lm_str key = yaml_text(yaml_key(root, i));
		const struct yaml_node *value = yaml_value(root, i);
		bool is_section = false;

		add_key(v, yaml_key(root, i));
		for (size_t j = 0; j < LM_ARRAY_SIZE(sections); j++)
			is_section |= lm_str_eq(key, lm_str(sections[j]));
		if (lm_str_eq(key, LM_STR("include")))
			note_files(v, value, false);
		if (is_section)
			add_section(v, value);
		else if (!lm_str_eq(key, LM_STR("include")) && !lm_str_eq(key, LM_STR("name")) &&
			 !lm_str_eq(key, LM_STR("version")))
			add_values(v, value);
	}
}

static bool is_line_end(char c)
{
	return c == '\n' || c == '\r';
}

/// A line of what is not YAML, maybe "- key: value": also what stands behind the key.
static void add_text_line(struct compose_values *v, struct lm_str line)
{
	const char *colon = memmem(line.p, line.n, ": ", 2);
	struct lm_str value = line;

	add_text(v, line);
	if (colon)
		value = (struct lm_str){colon + 2, (size_t)(line.p + line.n - colon) - 2};
	value = lm_str_trim(value);
	// The first characters of a value may have a meaning in YAML.
	while (value.n > 0 && strchr("-*&!|>@%\"' ", value.p[0]))
		value = (struct lm_str){value.p + 1, value.n - 1};
	while (value.n > 0 && strchr("\"'", value.p[value.n - 1]))
		value.n--;
	add_pair(v, value);
}

void compose_values_add_file(struct compose_values *v, struct lm_str text)
{
	struct yaml_doc **docs = NULL;
	size_t n = 0;

	if (yaml_parse_all(text, &docs, &n, NULL)) {
		split(v, text, is_line_end, add_text_line);
		return;
	}
	for (size_t i = 0; i < n; i++)
		add_root(v, yaml_root(docs[i]));
	yaml_destroy_all(docs, n);
}

static void add_env_line(struct compose_values *v, struct lm_str line)
{
	line = lm_str_trim(line);
	if (line.n == 0 || line.p[0] == '#')
		return;
	if (lm_str_starts(line, LM_STR("export ")))
		line = lm_str_trim((struct lm_str){line.p + 7, line.n - 7});
	struct lm_str name, value;
	if (!read_variable_pair(
		    line, &name, &value)) // the middle of a value of several lines, or rubbish
		value = line;
	value = lm_str_trim(value);
	add_text(v, value);
	// A value may be quoted, and a comment may follow it.
	const char *comment = memmem(value.p, value.n, " #", 2);
	if (comment)
		add_text(v, (struct lm_str){value.p, (size_t)(comment - value.p)});
	if (value.n > 2 && (value.p[0] == '"' || value.p[0] == '\''))
		add_masked(v, (struct lm_str){value.p + 1, value.n - 2});
}

void compose_values_add_env_file(struct compose_values *v, struct lm_str text)
{
	split(v, text, is_line_end, add_env_line);
}

/// Variables that every process has, and those that we set ourselves.
static bool is_common_variable(struct lm_str name)
{
	static const char *const names[] = {"PATH", "HOME", "PWD", "OLDPWD", "SHELL", "SHLVL",
		"USER", "LOGNAME", "LANG", "LANGUAGE", "TERM", "TZ", "HOSTNAME", "DOCKER_HOST",
		"DOCKER_CONFIG", "DOCKER_CONTEXT", "SETUPTOOLS_USE_DISTUTILS", "AWS_REGION",
		"AWS_DEFAULT_REGION"};

	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++)
		if (lm_str_eq(name, lm_str(names[i])))
			return true;
	return lm_str_starts(name, LM_STR("LC_")) || lm_str_starts(name, LM_STR("COMPOSE_"));
}

void compose_values_add_environment(struct compose_values *v, const char *const *env)
{
	for (; env && *env; env++) {
		struct lm_str value = lm_str(*env);

		if (!is_common_variable(lm_str_cut(&value, '=')))
			add_literal(v, value);
	}
}

const char *compose_values_file(const struct compose_values *v, size_t i, bool *ret_env)
{
	*ret_env = i >= v->files.n;
	if (*ret_env)
		i -= v->files.n;
	const struct text_set *set = *ret_env ? &v->env_files : &v->files;
	return i < set->n ? set->items[i] : NULL;
}

/// Words without which messages cannot be understood.
static const char *const WORDS[] = {"address", "already", "always", "bridge", "build", "cannot",
	"command", "conf", "config", "container", "daemon", "data", "debug", "default", "docker",
	"enabled", "environment", "error", "exec", "exist", "failed", "false", "file", "format",
	"found", "host", "image", "info", "invalid", "json-file", "line", "local", "localhost",
	"missing", "name", "network", "never", "no-new-privileges:true", "none", "null", "option",
	"port", "project", "property", "refused", "required", "root", "secret", "service",
	"services", "start", "stopped", "string", "trace", "true", "type", "unknown",
	"unless-stopped", "user", "value", "variable", "version", "volume", "warn", "warning"};

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/// By the first KEY bytes, and then the longest first.
static int compare_values(const void *a, const void *b)
{
	const char *one = *(char *const *)a, *two = *(char *const *)b;
	int by_key = strncmp(one, two, KEY);
	size_t one_n = strlen(one), two_n = strlen(two);

	if (by_key || one_n == two_n)
		return by_key ? by_key : strcmp(one, two);
	return one_n > two_n ? -1 : 1;
}

static bool is_readable(const struct compose_values *v, char *text)
{
	// Without items there is no array, which bsearch does not take.
	if (v->names.n > 0 &&
		bsearch(&text, v->names.items, v->names.n, sizeof(text), compare_texts))
		return true;
	for (size_t i = 0; i < LM_ARRAY_SIZE(WORDS); i++)
		if (strcmp(text, WORDS[i]) == 0)
			return true;
	return false;
}

static void make_ready(struct compose_values *v)
{
	struct text_set *set = &v->values;
	size_t kept = 0;

	v->ready = true;
	if (v->names.n > 0)
		qsort(v->names.items, v->names.n, sizeof(*v->names.items), compare_texts);
	for (size_t i = 0; i < set->n; i++) {
		if (is_readable(v, set->items[i]) || strlen(set->items[i]) < VALUE_MIN)
			free(set->items[i]);
		else
			set->items[kept++] = set->items[i];
	}
	set->n = kept;
	if (kept > 0)
		qsort(set->items, kept, sizeof(*set->items), compare_values);
}

static bool is_word_byte(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/// Whether `value` stands at `at`. Short ones must not be part of a word.
static bool stands_at(struct lm_str line, size_t at, const char *value, size_t n)
{
	if (n > line.n - at || strncasecmp(line.p + at, value, n) != 0)
		return false;
	if (n >= ANYWHERE_MIN)
		return true;
	bool before = at > 0 && is_word_byte(line.p[at - 1]) && is_word_byte(value[0]);
	bool behind = at + n < line.n && is_word_byte(line.p[at + n]) && is_word_byte(value[n - 1]);
	return !before && !behind;
}

/// How much of a value stands at `at` whose end was cut off, with "..." or the end of the line
/// behind; or 0.
static size_t match_cut(struct lm_str line, size_t at, const char *value)
{
	size_t n = 0;

	while (at + n < line.n && value[n] &&
		(char)tolower((unsigned char)line.p[at + n]) == value[n])
		n++;
	struct lm_str behind = {line.p + at + n, line.n - at - n};
	bool cut = behind.n == 0 || lm_str_starts(behind, LM_STR("...")) ||
		   lm_str_starts(behind, LM_STR("\xe2\x80\xa6"));
	return n >= CUT_MIN && cut ? n : 0;
}

/// The length of the longest value that stands at `at`, or 0.
static size_t match(const struct compose_values *v, struct lm_str line, size_t at)
{
	char key[KEY + 1] = {0};
	size_t low = 0, high = v->values.n, cut = 0;

	if (line.n - at < VALUE_MIN)
		return 0;
	for (size_t i = 0; i < KEY; i++)
		key[i] = (char)tolower((unsigned char)line.p[at + i]);
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strncmp(v->values.items[middle], key, KEY) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < v->values.n && strncmp(v->values.items[low], key, KEY) == 0; low++) {
		size_t n = strlen(v->values.items[low]);

		if (stands_at(line, at, v->values.items[low], n))
			return n;
		size_t part = match_cut(line, at, v->values.items[low]);
		cut = part > cut ? part : cut;
	}
	return cut;
}

void compose_values_mask(struct compose_values *v, struct lm_str line, struct lm_buf *out)
{
	if (!v->ready)
		make_ready(v);
	for (size_t at = 0; at < line.n;) {
		size_t n = match(v, line, at);

		if (n > 0)
			(void)lm_buf_puts(out, "***");
		else
			(void)lm_buf_putc(out, line.p[at]);
		at += n > 0 ? n : 1;
	}
}
