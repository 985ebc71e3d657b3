// SPDX-License-Identifier: Apache-2.0
#include "docker/registry_auth.h"

#include "base/encoding.h"
#include "base/limits.h"
#include "base/memory.h"

enum {
	AUTH_MAX = LIMIT_SECRET_VALUE * 8, ///< A password may grow sixfold by JSON's escapes.
	CONFIG_MAX = 16 << 20,
};

#define HUB "docker.io"

void registry_credentials_finish(struct registry_credentials *c)
{
	free(c->registry);
	free(c->username);
	lm_secret_finish(&c->password);
	c->registry = NULL;
	c->username = NULL;
}

struct registry_credentials registry_credentials_copy(const struct registry_credentials *c)
{
	struct registry_credentials copy = {
		.registry = lm_xstrdup(c->registry), .username = lm_xstrdup(c->username)};
	lm_secret_set(&copy.password, lm_secret_str(&c->password));
	return copy;
}

void registry_list_add(struct registry_list *list, struct registry_credentials *c)
{
	list->items = lm_xrealloc(list->items, (list->n + 1) * sizeof(*list->items));
	list->items[list->n++] = *c;
	*c = (struct registry_credentials){0};
}

void registry_list_finish(struct registry_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		registry_credentials_finish(&list->items[i]);
	free(list->items);
	*list = (struct registry_list){0};
}

void registry_address_finish(struct registry_address *a)
{
	free(a->host);
	free(a->path);
	*a = (struct registry_address){0};
}

static bool is_hub_name(struct lm_str host)
{
	static const char *const names[] = {"docker.io", "www.docker.io", "index.docker.io",
		"registry-1.docker.io", "registry.hub.docker.com", "hub.docker.com"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++)
		if (lm_str_eq_nocase(host, lm_str(names[i])))
			return true;
	return false;
}

static struct lm_str without_slashes(struct lm_str s)
{
	while (s.n > 0 && s.p[0] == '/')
		s = (struct lm_str){s.p + 1, s.n - 1};
	while (s.n > 0 && s.p[s.n - 1] == '/')
		s.n--;
	return s;
}

/// Without the scheme; LM_E_INVALID with one that is not a registry's.
static bool strip_scheme(struct lm_str *s)
{
	for (size_t i = 0; i + 2 < s->n; i++) {
		if (memcmp(s->p + i, "://", 3) != 0)
			continue;
		struct lm_str scheme = {s->p, i};
		*s = (struct lm_str){s->p + i + 3, s->n - i - 3};
		return lm_str_eq_nocase(scheme, LM_STR("https")) ||
		       lm_str_eq_nocase(scheme, LM_STR("http"));
	}
	return true;
}

static bool is_registry_host_name(struct lm_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool alnum =
			(c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		if (!alnum && (c == '\0' || !strchr(".-_:[]", c)))
			return false;
	}
	return s.n > 0 && s.p[0] != ':';
}

static char *copy_lower_case(struct lm_str s)
{
	char *copy = lm_xmemdup0(s.p, s.n);
	for (size_t i = 0; i < s.n; i++)
		if (copy[i] >= 'A' && copy[i] <= 'Z')
			copy[i] = (char)(copy[i] - 'A' + 'a');
	return copy;
}

lm_rc registry_address_parse(struct lm_str given, struct registry_address *ret, struct lm_err *err)
{
	struct lm_str rest = lm_str_trim(given);
	bool scheme_fits = strip_scheme(&rest);
	struct lm_str host = lm_str_cut(&rest, '/');
	if (!scheme_fits || !is_registry_host_name(host)) {
		char shown[640];
		return lm_fail(err, LM_E_INVALID, 0, "registryUrl '%s' is not a registry address",
			lm_str_shorten(given, 120, shown, sizeof(shown)));
	}
	struct lm_str path = without_slashes(rest);
	if (lm_str_eq(path, LM_STR("v1")) || lm_str_eq(path, LM_STR("v2")))
		path.n = 0;
	ret->host = is_hub_name(host) ? lm_xstrdup(HUB) : copy_lower_case(host);
	ret->path = lm_xmemdup0(path.p, path.n);
	return LM_OK;
}

/// A registry's host with ":443" is the same registry as without.
static struct lm_str without_default_port(struct lm_str host)
{
	if (lm_str_ends(host, LM_STR(":443")))
		host.n -= 4;
	return host;
}

static bool same_host(const char *a, const char *b)
{
	struct lm_str b_str = lm_str(b);
	if (is_hub_name(b_str))
		b_str = LM_STR(HUB);
	return lm_str_eq_nocase(without_default_port(lm_str(a)), without_default_port(b_str));
}

/// How well credentials fit an image: 0 not at all, 1 the host alone, 2 the whole registry,
/// more with the length of the path.
static size_t match_rank(const struct registry_address *a, const struct image_ref *image)
{
	if (!same_host(a->host, image->registry))
		return 0;
	size_t n = strlen(a->path);
	if (n == 0)
		return 2;
	if (strncmp(image->repository, a->path, n) != 0)
		return 1;
	char next = image->repository[n];
	return next == '/' || next == '\0' ? 2 + n : 1;
}

const struct registry_credentials *registry_match(
	const struct registry_credentials *list, size_t n, const struct image_ref *image)
{
	const struct registry_credentials *best = NULL;
	size_t best_rank = 0;
	for (size_t i = 0; i < n; i++) {
		lm_auto(registry_address_finish) struct registry_address a = {0};
		if (registry_address_parse(lm_str(list[i].registry), &a, NULL) != LM_OK)
			continue;
		size_t rank = match_rank(&a, image);
		if (rank > best_rank) {
			best = &list[i];
			best_rank = rank;
		}
	}
	return best;
}

lm_rc registry_server_address(const struct registry_credentials *c, char **ret, struct lm_err *err)
{
	lm_auto(registry_address_finish) struct registry_address a = {0};
	lm_rc rc = registry_address_parse(lm_str(c->registry), &a, err);
	if (rc != LM_OK)
		return rc;
	*ret = strcmp(a.host, HUB) == 0 ? lm_xstrdup("https://index.docker.io/v1/")
					: lm_take(a.host);
	return LM_OK;
}

void registry_add_json_string(struct lm_buf *out, struct lm_str s)
{
	(void)lm_buf_putc(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '"' || c == '\\') {
			(void)lm_buf_putc(out, '\\');
			(void)lm_buf_putc(out, (char)c);
		} else if (c < 0x20) {
			(void)lm_buf_printf(out, "\\u%04x", c);
		} else {
			(void)lm_buf_putc(out, (char)c);
		}
	}
	(void)lm_buf_putc(out, '"');
}

static lm_rc registry_auth_take_secret(struct lm_buf *b, struct lm_secret *ret, struct lm_err *err)
{
	if (b->overflow)
		return lm_fail(
			err, LM_E_TOO_LARGE, 0, "registry credentials are over %zu bytes", b->max);
	lm_secret_set(ret, lm_buf_str(b));
	return LM_OK;
}

static bool is_token(const struct registry_credentials *c)
{
	return strcmp(c->username, REGISTRY_TOKEN_USER) == 0;
}

static lm_rc write_auth_json(
	const struct registry_credentials *c, struct lm_buf *out, struct lm_err *err)
{
	lm_auto_free char *address = NULL;
	lm_rc rc = registry_server_address(c, &address, err);
	if (rc != LM_OK)
		return rc;
	if (is_token(c)) {
		(void)lm_buf_puts(out, "{\"identitytoken\":");
	} else {
		(void)lm_buf_puts(out, "{\"username\":");
		registry_add_json_string(out, lm_str(c->username));
		(void)lm_buf_puts(out, ",\"password\":");
	}
	registry_add_json_string(out, lm_secret_str(&c->password));
	(void)lm_buf_puts(out, ",\"serveraddress\":");
	registry_add_json_string(out, lm_str(address));
	(void)lm_buf_putc(out, '}');
	return LM_OK;
}

lm_rc registry_auth_json(
	const struct registry_credentials *c, struct lm_secret *ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf json = LM_BUF_SECRET(AUTH_MAX);
	lm_rc rc = write_auth_json(c, &json, err);
	return rc == LM_OK ? registry_auth_take_secret(&json, ret, err) : rc;
}

lm_rc registry_auth_header(
	const struct registry_credentials *c, struct lm_secret *ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf json = LM_BUF_SECRET(AUTH_MAX);
	lm_rc rc = write_auth_json(c, &json, err);
	if (rc != LM_OK)
		return rc;
	lm_auto_buf struct lm_buf encoded = LM_BUF_SECRET(AUTH_MAX * 2);
	(void)lm_base64_encode(&encoded, lm_buf_str(&json), LM_BASE64_URL);
	encoded.overflow = encoded.overflow || json.overflow;
	return registry_auth_take_secret(&encoded, ret, err);
}

bool registry_stands_for_host(const struct registry_credentials *list, size_t n, size_t i)
{
	lm_auto(registry_address_finish) struct registry_address mine = {0};
	if (registry_address_parse(lm_str(list[i].registry), &mine, NULL) != LM_OK)
		return false;
	for (size_t k = 0; k < n; k++) {
		lm_auto(registry_address_finish) struct registry_address other = {0};
		if (k == i ||
			registry_address_parse(lm_str(list[k].registry), &other, NULL) != LM_OK ||
			strcmp(mine.host, other.host) != 0)
			continue;
		bool more_general = !*other.path && *mine.path;
		bool as_general = !*other.path == !*mine.path;
		if (more_general || (as_general && k < i))
			return false;
	}
	return true;
}

static void add_auth_entry(
	struct lm_buf *out, const char *address, const struct registry_credentials *c)
{
	lm_auto_buf struct lm_buf pair = LM_BUF_SECRET(AUTH_MAX);
	if (is_token(c)) {
		registry_add_json_string(out, lm_str(address));
		(void)lm_buf_puts(out, ":{\"identitytoken\":");
		registry_add_json_string(out, lm_secret_str(&c->password));
		(void)lm_buf_putc(out, '}');
		return;
	}
	(void)lm_buf_puts(&pair, c->username);
	(void)lm_buf_putc(&pair, ':');
	(void)lm_buf_add_str(&pair, lm_secret_str(&c->password));
	registry_add_json_string(out, lm_str(address));
	(void)lm_buf_puts(out, ":{\"auth\":\"");
	(void)lm_base64_encode(out, lm_buf_str(&pair), LM_BASE64_STANDARD);
	(void)lm_buf_puts(out, "\"}");
	out->overflow = out->overflow || pair.overflow;
}

lm_rc registry_config_json(const struct registry_credentials *list, size_t n, struct lm_secret *ret,
	struct lm_err *err)
{
	lm_auto_buf struct lm_buf json = LM_BUF_SECRET(CONFIG_MAX);
	(void)lm_buf_puts(&json, "{\"auths\":{");
	bool first = true;
	for (size_t i = 0; i < n; i++) {
		lm_auto_free char *address = NULL;
		lm_rc rc = registry_server_address(&list[i], &address, err);
		if (rc != LM_OK)
			return rc;
		if (!registry_stands_for_host(list, n, i))
			continue;
		if (!first)
			(void)lm_buf_putc(&json, ',');
		first = false;
		add_auth_entry(&json, address, &list[i]);
	}
	(void)lm_buf_puts(&json, "}}");
	return registry_auth_take_secret(&json, ret, err);
}
