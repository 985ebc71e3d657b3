// SPDX-License-Identifier: Apache-2.0
#include "aws/sigv4.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/encoding.h"
#include "base/memory.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

enum {
	HASH_SIZE = 32,
	CANONICAL_MAX = 1 << 20,
	DATE_LEN = 8, ///< "20130524" of "20130524T000000Z"
};

/// What a signature is made from, in canonical form.
struct canonical {
	char date[LM_TIME_SIZE];
	struct lm_buf request;        ///< The canonical request; holds the session token.
	struct lm_buf signed_headers; ///< "host;x-amz-date"
};

/// A header or query pair in canonical form, with its place in the request, so that sorting is
/// stable.
struct entry {
	struct lm_buf name;
	struct lm_buf value;
	size_t place;
};

struct entries {
	struct entry *items;
	size_t n;
};

static void entries_finish(struct entries *e)
{
	for (size_t i = 0; i < e->n; i++) {
		lm_buf_finish(&e->items[i].name);
		lm_buf_finish(&e->items[i].value);
	}
	free(e->items);
}

static struct entry *entries_add(struct entries *e)
{
	e->items = lm_xrealloc(e->items, (e->n + 1) * sizeof(*e->items));
	struct entry *entry = &e->items[e->n];

	*entry = (struct entry){
		.name = LM_BUF(CANONICAL_MAX),
		.value = LM_BUF_SECRET(CANONICAL_MAX),
		.place = e->n++,
	};
	return entry;
}

static int compare_bytes(struct lm_str a, struct lm_str b)
{
	int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	return order ? order : (a.n > b.n) - (a.n < b.n);
}

static int compare_headers(const void *pa, const void *pb)
{
	const struct entry *a = pa, *b = pb;
	int order = compare_bytes(lm_buf_str(&a->name), lm_buf_str(&b->name));

	return order ? order : (a->place > b->place) - (a->place < b->place);
}

static int compare_query(const void *pa, const void *pb)
{
	const struct entry *a = pa, *b = pb;
	int order = compare_bytes(lm_buf_str(&a->name), lm_buf_str(&b->name));

	return order ? order : compare_bytes(lm_buf_str(&a->value), lm_buf_str(&b->value));
}

static void sort_entries(struct entries *e, int (*compare)(const void *, const void *))
{
	if (e->n > 1) // qsort() must not be given NULL
		qsort(e->items, e->n, sizeof(*e->items), compare);
}

static void hmac(
	const unsigned char *key, size_t key_n, struct lm_str text, unsigned char ret[HASH_SIZE])
{
	if (!HMAC(EVP_sha256(), key, (int)key_n, (const unsigned char *)text.p, text.n, ret, NULL))
		lm_out_of_memory();
}

static bool is_s3(const struct sigv4_request *r)
{
	return strcmp(r->service, "s3") == 0;
}

/// Removes "." and ".." parts and doubled slashes of a path, as every service but S3 does before it
/// checks a signature (RFC 3986 5.2.4, and AWS: "Create a canonical request").
static void normalize_path(struct lm_str path, struct lm_buf *ret)
{
	bool directory = path.n > 0 && path.p[path.n - 1] == '/';
	struct lm_str rest = path;

	while (rest.n) {
		struct lm_str part = lm_str_cut(&rest, '/');

		if (!part.n || lm_str_eq(part, LM_STR(".")))
			continue;
		if (!lm_str_eq(part, LM_STR(".."))) {
			(void)lm_buf_putc(ret, '/');
			(void)lm_buf_add_str(ret, part);
			continue;
		}
		while (ret->len && ret->data[ret->len - 1] != '/')
			ret->len--;
		if (ret->len)
			ret->len--;
	}
	if (directory || !ret->len)
		(void)lm_buf_putc(ret, '/');
}

static void add_canonical_path(const struct sigv4_request *r, struct lm_buf *out)
{
	lm_auto_buf struct lm_buf once = LM_BUF(CANONICAL_MAX);
	lm_auto_buf struct lm_buf normal = LM_BUF(CANONICAL_MAX);

	if (is_s3(r)) {
		(void)lm_percent_encode(out, r->path, true);
		return;
	}
	normalize_path(r->path, &normal);
	(void)lm_percent_encode(&once, lm_buf_str(&normal), true);
	(void)lm_percent_encode(out, lm_buf_str(&once), true);
}

static void add_canonical_query(const struct sigv4_request *r, struct lm_buf *out)
{
	lm_auto(entries_finish) struct entries e = {0};

	for (size_t i = 0; i < r->query_n; i++) {
		struct entry *entry = entries_add(&e);

		(void)lm_percent_encode(&entry->name, r->query[i].name, false);
		(void)lm_percent_encode(&entry->value, r->query[i].value, false);
	}
	sort_entries(&e, compare_query);
	for (size_t i = 0; i < e.n; i++) {
		if (i)
			(void)lm_buf_putc(out, '&');
		(void)lm_buf_add_str(out, lm_buf_str(&e.items[i].name));
		(void)lm_buf_putc(out, '=');
		(void)lm_buf_add_str(out, lm_buf_str(&e.items[i].value));
	}
}

/// Headers that proxies may change.
static bool is_signed(struct lm_str name)
{
	static const char *const left_out[] = {
		"authorization",
		"connection",
		"expect",
		"keep-alive",
		"proxy-authenticate",
		"proxy-authorization",
		"te",
		"trailer",
		"transfer-encoding",
		"upgrade",
		"user-agent",
		"x-amzn-trace-id",
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(left_out); i++) {
		if (lm_str_eq_nocase(name, lm_str(left_out[i])))
			return false;
	}
	return true;
}

static void add_canonical_header(struct entries *e, struct lm_str name, struct lm_str value)
{
	if (!is_signed(name))
		return;
	struct entry *entry = entries_add(e);
	bool space = false;

	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		(void)lm_buf_putc(&entry->name, c >= 'A' && c <= 'Z' ? (char)(c + 32) : c);
	}
	// Runs of spaces become one, those at the ends are removed.
	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];

		if (c == ' ' || c == '\t') {
			space = entry->value.len > 0;
			continue;
		}
		if (space)
			(void)lm_buf_putc(&entry->value, ' ');
		space = false;
		(void)lm_buf_putc(&entry->value, c);
	}
}

static void collect_headers(const struct sigv4_request *r, const struct aws_credentials *c,
	const char *date, struct entries *e)
{
	add_canonical_header(e, LM_STR("host"), r->host);
	add_canonical_header(e, LM_STR("x-amz-date"), lm_str(date));
	if (is_s3(r))
		add_canonical_header(e, LM_STR("x-amz-content-sha256"), lm_str(r->body_sha256));
	if (c->session_token.len)
		add_canonical_header(
			e, LM_STR("x-amz-security-token"), lm_secret_str(&c->session_token));
	for (size_t i = 0; i < r->headers_n; i++)
		add_canonical_header(e, r->headers[i].name, r->headers[i].value);
	sort_entries(e, compare_headers);
}

static void add_canonical_headers(const struct entries *e, struct canonical *k)
{
	for (size_t i = 0; i < e->n; i++) {
		struct lm_str name = lm_buf_str(&e->items[i].name);

		if (i && lm_str_eq(name, lm_buf_str(&e->items[i - 1].name))) {
			// Several headers of one name count as one, joined by commas.
			(void)lm_buf_putc(&k->request, ',');
		} else {
			if (i) {
				(void)lm_buf_putc(&k->request, '\n');
				(void)lm_buf_putc(&k->signed_headers, ';');
			}
			(void)lm_buf_add_str(&k->request, name);
			(void)lm_buf_putc(&k->request, ':');
			(void)lm_buf_add_str(&k->signed_headers, name);
		}
		(void)lm_buf_add_str(&k->request, lm_buf_str(&e->items[i].value));
	}
	(void)lm_buf_puts(&k->request, "\n\n");
}

static void canonical_init(
	struct canonical *k, const struct sigv4_request *r, const struct aws_credentials *c)
{
	lm_auto(entries_finish) struct entries headers = {0};

	*k = (struct canonical){
		.request = LM_BUF_SECRET(CANONICAL_MAX),
		.signed_headers = LM_BUF(CANONICAL_MAX),
	};
	(void)lm_time_format_amz(r->wall_ms, k->date);
	(void)lm_buf_printf(&k->request, "%s\n", r->method);
	add_canonical_path(r, &k->request);
	(void)lm_buf_putc(&k->request, '\n');
	add_canonical_query(r, &k->request);
	(void)lm_buf_putc(&k->request, '\n');
	collect_headers(r, c, k->date, &headers);
	add_canonical_headers(&headers, k);
	(void)lm_buf_add_str(&k->request, lm_buf_str(&k->signed_headers));
	(void)lm_buf_printf(&k->request, "\n%s", r->body_sha256);
	// Inputs are an S3 key, a few headers and a token, each under a ceiling far below ours.
	if (k->request.overflow)
		lm_out_of_memory();
}

static void canonical_finish(struct canonical *k)
{
	lm_buf_finish(&k->request);
	lm_buf_finish(&k->signed_headers);
}

/// HMAC over HMAC: date, region, service, "aws4_request".
static void signing_key(const struct sigv4_request *r, const struct aws_credentials *c,
	const char *date, unsigned char key[HASH_SIZE])
{
	lm_auto_secret struct lm_secret first = {0};
	lm_auto_buf struct lm_buf text = LM_BUF_SECRET(CANONICAL_MAX);

	(void)lm_buf_puts(&text, "AWS4");
	(void)lm_buf_add_str(&text, lm_secret_str(&c->secret));
	lm_secret_set(&first, lm_buf_str(&text));
	hmac((const unsigned char *)first.data, first.len, (struct lm_str){date, DATE_LEN}, key);
	hmac(key, HASH_SIZE, lm_str(r->region), key);
	hmac(key, HASH_SIZE, lm_str(r->service), key);
	hmac(key, HASH_SIZE, LM_STR("aws4_request"), key);
}

static void add_signature(const struct sigv4_request *r, const struct aws_credentials *c,
	const struct canonical *k, const char *scope, struct lm_buf *out)
{
	unsigned char key[HASH_SIZE], signature[HASH_SIZE];
	char hash[LM_SHA256_HEX + 1];
	lm_auto_buf struct lm_buf text = LM_BUF(CANONICAL_MAX);

	lm_sha256_hex(lm_buf_str(&k->request), hash);
	(void)lm_buf_printf(&text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", k->date, scope, hash);
	signing_key(r, c, k->date, key);
	hmac(key, HASH_SIZE, lm_buf_str(&text), signature);
	(void)lm_hex_encode(out, (struct lm_str){(const char *)signature, sizeof(signature)});
	lm_wipe(key, sizeof(key));
	lm_wipe(signature, sizeof(signature));
}

void sigv4_sign(const struct sigv4_request *request, const struct aws_credentials *credentials,
	struct header_list *ret_headers)
{
	lm_auto(canonical_finish) struct canonical k;
	lm_auto_buf struct lm_buf authorization = LM_BUF_SECRET(CANONICAL_MAX);

	canonical_init(&k, request, credentials);
	lm_auto_free char *scope = lm_xasprintf(
		"%.*s/%s/%s/aws4_request", DATE_LEN, k.date, request->region, request->service);

	(void)lm_buf_printf(&authorization,
		"AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=",
		credentials->access_key_id, scope, lm_buf_cstr(&k.signed_headers));
	add_signature(request, credentials, &k, scope, &authorization);

	header_list_add(ret_headers, LM_STR("X-Amz-Date"), lm_str(k.date));
	if (is_s3(request))
		header_list_add(
			ret_headers, LM_STR("X-Amz-Content-SHA256"), lm_str(request->body_sha256));
	if (credentials->session_token.len)
		header_list_add(ret_headers, LM_STR("X-Amz-Security-Token"),
			lm_secret_str(&credentials->session_token));
	header_list_add(ret_headers, LM_STR("Authorization"), lm_buf_str(&authorization));
}

void sigv4_canonical_request(const struct sigv4_request *request,
	const struct aws_credentials *credentials, struct lm_buf *ret)
{
	lm_auto(canonical_finish) struct canonical k;

	canonical_init(&k, request, credentials);
	(void)lm_buf_add_str(ret, lm_buf_str(&k.request));
}
