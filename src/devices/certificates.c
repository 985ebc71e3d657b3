// SPDX-License-Identifier: Apache-2.0
#include "devices/certificates.h"

#include "base/encoding.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/openssl.h"
#include "config/schema.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

enum {
	KEY_BITS = 2048,
	REQUEST_BITS_MAX = 8192, ///< Above, each handshake would cost the broker too much.
	SERIAL_BITS = 128,
	/// A certificate made while the clock was wrong, from the floor of the clock on.
	CLOCKLESS_DAYS = CERTIFICATE_AUTHORITY_DAYS,
	DNS_NAME_MAX = 253,
	DNS_LABEL_MAX = 63,
	DEVICE_NAME_MAX = 256,
};

#define THING_URN "urn:lighterman:thing:"

struct certificate_authority {
	EVP_PKEY *key;
	X509 *certificate;
};

LM_DEFINE_CLEANUP(BIO, BIO_free_all)
LM_DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free)
LM_DEFINE_CLEANUP(X509, X509_free)
LM_DEFINE_CLEANUP(X509_REQ, X509_REQ_free)
LM_DEFINE_CLEANUP(X509_EXTENSION, X509_EXTENSION_free)
LM_DEFINE_CLEANUP(GENERAL_NAMES, GENERAL_NAMES_free)
LM_DEFINE_CLEANUP(GENERAL_NAME, GENERAL_NAME_free)
LM_DEFINE_CLEANUP(ASN1_TIME, ASN1_TIME_free)
LM_DEFINE_CLEANUP(BIGNUM, BN_free)
LM_DEFINE_CLEANUP(X509_STORE, X509_STORE_free)
LM_DEFINE_CLEANUP(X509_STORE_CTX, X509_STORE_CTX_free)

static const char *certificates_reason(void)
{
	const char *reason = lm_openssl_reason();

	return reason ? reason : "no reason is given";
}

static lm_rc fail_openssl(struct lm_err *err, const char *what)
{
	return lm_fail(err, LM_E_SYS, 0, "%s: OpenSSL failed: %s", what, certificates_reason());
}

/// Without it OpenSSL would ask for the passphrase on a terminal.
static int give_no_passphrase(char *buf, int size, int rwflag, void *userdata)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)userdata;
	return -1;
}

static BIO *open_text(struct lm_str text)
{
	return text.n > 0 && text.n <= INT32_MAX ? BIO_new_mem_buf(text.p, (int)text.n) : NULL;
}

/// NULL: there is none in the text, or it is encrypted.
static EVP_PKEY *read_key_text(struct lm_str text)
{
	lm_auto(BIO_free_all_p) BIO *bio = open_text(text);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, give_no_passphrase, NULL) : NULL;

	ERR_clear_error();
	return key;
}

/// NULL: there is none in the text.
static X509 *read_certificate(struct lm_str text)
{
	lm_auto(BIO_free_all_p) BIO *bio = open_text(text);
	X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, give_no_passphrase, NULL) : NULL;

	ERR_clear_error();
	return certificate;
}

static lm_rc write_certificate(X509 *certificate, char **ret, struct lm_err *err)
{
	lm_auto(BIO_free_all_p) BIO *bio = BIO_new(BIO_s_mem());
	char *text = NULL;

	if (!bio || !PEM_write_bio_X509(bio, certificate))
		return fail_openssl(err, "write a certificate");
	long n = BIO_get_mem_data(bio, &text);
	*ret = lm_xmemdup0(text, (size_t)n);
	return LM_OK;
}

lm_rc certificate_make_key(struct lm_secret *ret, struct lm_err *err)
{
	lm_auto(EVP_PKEY_free_p) EVP_PKEY *key = EVP_RSA_gen(KEY_BITS);
	lm_auto(BIO_free_all_p) BIO *bio = BIO_new(BIO_s_secmem()); // wiped when it is freed
	char *text = NULL;

	if (!key || !bio ||
		!PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL))
		return fail_openssl(err, "make a private key");
	long n = BIO_get_mem_data(bio, &text);
	lm_secret_set(ret, (struct lm_str){text, (size_t)n});
	return LM_OK;
}

bool certificate_is_key(struct lm_str text)
{
	lm_auto(EVP_PKEY_free_p) EVP_PKEY *key = read_key_text(text);

	return key != NULL;
}

// Certificates.

/// `now_s` and a number of days as a time; independent of what time_t can hold.
static ASN1_TIME *make_time(int64_t now_s, int days)
{
	return ASN1_TIME_adj(NULL, 0, (int)(now_s / CERTIFICATE_DAY_S) + days,
		(long)(now_s % CERTIFICATE_DAY_S));
}

/// A clock that is ahead must not make a certificate that nobody takes once the clock is right: a
/// server's is made anew then, but the others are on devices already.
static ASN1_TIME *make_begin(enum certificate_kind kind, int64_t now_s)
{
	if (now_s < CERTIFICATE_CLOCK_FLOOR)
		return make_time(0, 0);
	return kind == CERTIFICATE_SERVER ? make_time(now_s, -1)
					  : make_time(CERTIFICATE_CLOCK_FLOOR, 0);
}

static bool set_validity(
	X509 *certificate, enum certificate_kind kind, int64_t now_s, int days, const X509 *issuer)
{
	lm_auto(ASN1_TIME_free_p) ASN1_TIME *before = make_begin(kind, now_s);
	lm_auto(ASN1_TIME_free_p) ASN1_TIME *after =
		now_s < CERTIFICATE_CLOCK_FLOOR ? make_time(CERTIFICATE_CLOCK_FLOOR, CLOCKLESS_DAYS)
						: make_time(now_s, days);

	if (!before || !after || !X509_set1_notBefore(certificate, before))
		return false;
	const ASN1_TIME *end = issuer ? X509_get0_notAfter(issuer) : NULL;
	return X509_set1_notAfter(
		certificate, end && ASN1_TIME_compare(end, after) < 0 ? end : after);
}

static bool set_serial(X509 *certificate)
{
	lm_auto(BN_free_p) BIGNUM *number = BN_new();

	return number && BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) &&
	       BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
}

static bool set_subject(X509 *certificate, const char *name)
{
	size_t n = strnlen(name, CERTIFICATE_CN_MAX);

	return X509_NAME_add_entry_by_NID(X509_get_subject_name(certificate), NID_commonName,
		MBSTRING_UTF8, (const unsigned char *)name, (int)n, -1, 0);
}

/// The values are constants: OpenSSL would take commands in them.
static bool add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	lm_auto(X509_EXTENSION_free_p) X509_EXTENSION *extension =
		X509V3_EXT_conf_nid(NULL, &context, nid, value);
	return extension && X509_add_ext(certificate, extension, -1);
}

static bool add_alternative_names(X509 *certificate, const GENERAL_NAMES *names)
{
	return !names || X509_add1_ext_i2d(certificate, NID_subject_alt_name, (void *)names, 0,
				 X509V3_ADD_DEFAULT) == 1;
}

static GENERAL_NAME *make_general_name(int type, const void *bytes, size_t n)
{
	lm_auto(GENERAL_NAME_free_p) GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_STRING *text =
		ASN1_STRING_type_new(type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);

	if (!name || !text || !ASN1_STRING_set(text, bytes, (int)n)) {
		ASN1_STRING_free(text);
		return NULL;
	}
	GENERAL_NAME_set0_value(name, type, text);
	return lm_take(name);
}

/// Appends to the list; takes the name, which may be NULL.
static bool push_name(GENERAL_NAMES *names, GENERAL_NAME *name)
{
	if (name && sk_GENERAL_NAME_push(names, name) > 0)
		return true;
	GENERAL_NAME_free(name);
	return false;
}

struct profile {
	int days;
	const char *constraints, *usage, *extended_usage;
};

static const struct profile profiles[] = {
	[CERTIFICATE_AUTHORITY] = {CERTIFICATE_AUTHORITY_DAYS, "critical,CA:TRUE,pathlen:0",
		"critical,keyCertSign,cRLSign", NULL},
	[CERTIFICATE_DEVICE] = {CERTIFICATE_DEVICE_DAYS, "critical,CA:FALSE",
		"critical,digitalSignature,keyEncipherment", "clientAuth"},
	[CERTIFICATE_SERVER] = {CERTIFICATE_SERVER_DAYS, "critical,CA:FALSE",
		"critical,digitalSignature,keyEncipherment", "serverAuth"},
};

/// Key encipherment is of RSA keys only.
static const char *find_usage(const struct profile *p, const EVP_PKEY *key)
{
	return p->extended_usage && !EVP_PKEY_is_a(key, "RSA") ? "critical,digitalSignature"
							       : p->usage;
}

struct subject {
	enum certificate_kind kind;
	EVP_PKEY *key;
	const char *name;
	const GENERAL_NAMES *names; ///< NULL: no SAN.
};

/// Makes and signs a certificate; `ca` NULL: with its own key.
static lm_rc make_certificate(const struct certificate_authority *ca, const struct subject *s,
	int64_t now_s, char **ret_pem, struct lm_err *err)
{
	const struct profile *p = &profiles[s->kind];
	lm_auto(X509_free_p) X509 *x = X509_new();
	X509 *issuer = ca ? ca->certificate : x;

	bool ok = x && X509_set_version(x, X509_VERSION_3) && set_serial(x) &&
		  set_validity(x, s->kind, now_s, p->days, ca ? issuer : NULL) &&
		  set_subject(x, s->name) &&
		  X509_set_issuer_name(x, X509_get_subject_name(issuer)) &&
		  X509_set_pubkey(x, s->key) &&
		  add_extension(x, issuer, NID_basic_constraints, p->constraints) &&
		  add_extension(x, issuer, NID_key_usage, find_usage(p, s->key)) &&
		  (!p->extended_usage ||
			  add_extension(x, issuer, NID_ext_key_usage, p->extended_usage)) &&
		  add_extension(x, issuer, NID_subject_key_identifier, "hash") &&
		  (!ca || add_extension(x, issuer, NID_authority_key_identifier, "keyid:always")) &&
		  add_alternative_names(x, s->names) &&
		  X509_sign(x, ca ? ca->key : s->key, EVP_sha256());
	if (!ok)
		return fail_openssl(err, "make a certificate");
	return write_certificate(x, ret_pem, err);
}

static lm_rc fail_key(struct lm_err *err)
{
	return lm_fail(
		err, LM_E_INVALID, 0, "the private key is no PEM text of a key, or is encrypted");
}

lm_rc certificate_make_authority(
	struct lm_str key_text, const char *name, int64_t now_s, char **ret_pem, struct lm_err *err)
{
	lm_auto(EVP_PKEY_free_p) EVP_PKEY *key = read_key_text(key_text);

	if (!key)
		return fail_key(err);
	return make_certificate(NULL,
		&(struct subject){.kind = CERTIFICATE_AUTHORITY, .key = key, .name = name}, now_s,
		ret_pem, err);
}

lm_rc certificate_authority_open(struct lm_str key_text, struct lm_str pem,
	struct certificate_authority **ret, struct lm_err *err)
{
	lm_auto(EVP_PKEY_free_p) EVP_PKEY *key = read_key_text(key_text);
	lm_auto(X509_free_p) X509 *x = read_certificate(pem);

	if (!key)
		return fail_key(err);
	if (!x)
		return lm_fail(err, LM_E_INVALID, 0, "the certificate is no PEM text of one");
	if (X509_check_private_key(x, key) != 1) {
		ERR_clear_error();
		return lm_fail(err, LM_E_INVALID, 0,
			"the certificate is not one for the private key beside it");
	}
	if (X509_check_ca(x) != 1)
		return lm_fail(err, LM_E_INVALID, 0,
			"the certificate is not one of a CA (its basic constraints say so)");
	struct certificate_authority *ca = lm_xcalloc(1, sizeof(*ca));
	*ca = (struct certificate_authority){lm_take(key), lm_take(x)};
	*ret = ca;
	return LM_OK;
}

void certificate_authority_close(struct certificate_authority *ca)
{
	if (!ca)
		return;
	EVP_PKEY_free(ca->key);
	X509_free(ca->certificate);
	free(ca);
}

/// Nothing in a subject or a URI that would have to be escaped.
static bool is_plain(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++)
		if (name[i] <= ' ' || name[i] > '~')
			return false;
	return n > 0 && n <= DEVICE_NAME_MAX;
}

static lm_rc issue_device_certificate(const struct certificate_authority *ca, EVP_PKEY *key,
	const char *name, int64_t now_s, char **ret_pem, struct lm_err *err)
{
	lm_auto(GENERAL_NAMES_free_p) GENERAL_NAMES *names = NULL;

	if (!is_plain(name))
		return lm_fail(err, LM_E_INVALID, 0,
			"the name of a device is 1 to %d printable ASCII characters, without space",
			DEVICE_NAME_MAX);
	if (strlen(name) > CERTIFICATE_CN_MAX) {
		lm_auto_free char *urn = lm_xasprintf(THING_URN "%s", name);

		names = GENERAL_NAMES_new();
		if (!names || !push_name(names, make_general_name(GEN_URI, urn, strlen(urn))))
			return fail_openssl(err, "make a certificate");
	}
	return make_certificate(ca,
		&(struct subject){
			.kind = CERTIFICATE_DEVICE, .key = key, .name = name, .names = names},
		now_s, ret_pem, err);
}

lm_rc certificate_issue_device(const struct certificate_authority *ca, struct lm_str key_text,
	const char *name, int64_t now_s, char **ret_pem, struct lm_err *err)
{
	lm_auto(EVP_PKEY_free_p) EVP_PKEY *key = read_key_text(key_text);

	return key ? issue_device_certificate(ca, key, name, now_s, ret_pem, err) : fail_key(err);
}

// Signing requests.

static bool is_taken_curve(EVP_PKEY *key)
{
	char curve[32] = "";
	int is_explicit = 0;

	// A key with the parameters of its curve written out is refused by TLS later.
	if (!EVP_PKEY_get_utf8_string_param(
		    key, OSSL_PKEY_PARAM_GROUP_NAME, curve, sizeof(curve), NULL) ||
		(EVP_PKEY_get_int_param(
			 key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &is_explicit) &&
			is_explicit))
		return false;
	return strcmp(curve, SN_X9_62_prime256v1) == 0 || strcmp(curve, SN_secp384r1) == 0;
}

static bool is_sound(EVP_PKEY *key)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	bool sound = context && EVP_PKEY_public_check(context) == 1;

	EVP_PKEY_CTX_free(context);
	return sound;
}

static lm_rc check_request_key(EVP_PKEY *key, struct lm_err *err)
{
	int bits = EVP_PKEY_get_bits(key);
	bool is_rsa = EVP_PKEY_is_a(key, "RSA");

	if (!is_rsa && !(EVP_PKEY_is_a(key, "EC") && is_taken_curve(key)))
		return lm_fail(err, LM_E_INVALID, 0,
			"the request has a key of a kind that is not taken: RSA, and EC with the "
			"curve P-256 or P-384, are");
	if (is_rsa && (bits < KEY_BITS || bits > REQUEST_BITS_MAX))
		return lm_fail(err, LM_E_INVALID, 0,
			"the request has an RSA key with %d bits: %d to %d are taken", bits,
			KEY_BITS, REQUEST_BITS_MAX);
	if (!is_sound(key))
		return lm_fail(err, LM_E_INVALID, 0,
			"the request has a key that is not sound: make another");
	return LM_OK;
}

static lm_rc read_request(struct lm_str text, X509_REQ **ret, struct lm_err *err)
{
	lm_auto(BIO_free_all_p) BIO *bio = open_text(text);
	X509_REQ *request = NULL;

	if (text.n > LIMIT_SIGNING_REQUEST)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the request is %zu bytes long, more than the %d that are read", text.n,
			LIMIT_SIGNING_REQUEST);
	if (bio)
		request = PEM_read_bio_X509_REQ(bio, NULL, give_no_passphrase, NULL);
	if (!request)
		return lm_fail(err, LM_E_INVALID, 0,
			"the request is no PEM text of a signing request (PKCS #10, 'openssl req "
			"-new'): %s",
			certificates_reason());
	*ret = request;
	return LM_OK;
}

lm_rc certificate_sign_request(const struct certificate_authority *ca, struct lm_str text,
	const char *name, int64_t now_s, char **ret_pem, struct lm_err *err)
{
	lm_auto(X509_REQ_free_p) X509_REQ *request = NULL;
	lm_rc rc = read_request(text, &request, err);

	if (rc)
		return rc;
	EVP_PKEY *key = X509_REQ_get0_pubkey(request); // borrowed
	if (!key)
		return lm_fail(err, LM_E_INVALID, 0, "the request's public key cannot be read: %s",
			certificates_reason());
	rc = check_request_key(key, err);
	if (!rc && X509_REQ_verify(request, key) != 1)
		rc = lm_fail(err, LM_E_INVALID, 0,
			"the request is not signed with its own key: the device may not have "
			"the key");
	ERR_clear_error();
	return rc ? rc : issue_device_certificate(ca, key, name, now_s, ret_pem, err);
}

// Servers.

/// The bytes of an address; 0: the text is none.
static size_t read_address_bytes(const char *text, unsigned char out[sizeof(struct in6_addr)])
{
	if (inet_pton(AF_INET, text, out) == 1)
		return sizeof(struct in_addr);
	return inet_pton(AF_INET6, text, out) == 1 ? sizeof(struct in6_addr) : 0;
}

static bool is_label(struct lm_str label)
{
	return label.n > 0 && label.n <= DNS_LABEL_MAX && label.p[0] != '-' &&
	       label.p[label.n - 1] != '-' && schema_is_alnum(label, "-");
}

static bool is_host_name(struct lm_str name)
{
	struct lm_str rest = name;
	struct lm_str label = lm_str_cut(&rest, '.');

	if (name.n == 0 || name.n > DNS_NAME_MAX || name.p[name.n - 1] == '.')
		return false;
	if (lm_str_eq(label, LM_STR("*"))) {
		if (lm_str_find(rest, '.') >= rest.n) // nobody takes "*" or "*.com"
			return false;
		label = lm_str_cut(&rest, '.');
	}
	while (is_label(label)) {
		if (rest.n == 0)
			return true;
		label = lm_str_cut(&rest, '.');
	}
	return false;
}

bool certificate_is_name(struct lm_str name)
{
	unsigned char address[sizeof(struct in6_addr)];

	if (name.n == 0 || name.n > DNS_NAME_MAX || memchr(name.p, '\0', name.n))
		return false;
	lm_auto_free char *text = lm_xmemdup0(name.p, name.n);
	return read_address_bytes(text, address) > 0 || is_host_name(name);
}

static lm_rc add_server_name(GENERAL_NAMES *names, const char *name, struct lm_err *err)
{
	unsigned char address[sizeof(struct in6_addr)];
	size_t n = read_address_bytes(name, address);

	if (!certificate_is_name(lm_str(name))) {
		char shown[4 * 80 + 32];

		return lm_fail(err, LM_E_INVALID, 0,
			"'%s' is neither an address nor a host name, so it cannot be in a "
			"certificate",
			lm_str_shorten(lm_str(name), 80, shown, sizeof(shown)));
	}
	GENERAL_NAME *made = n ? make_general_name(GEN_IPADD, address, n)
			       : make_general_name(GEN_DNS, name, strlen(name));
	return push_name(names, made) ? LM_OK : fail_openssl(err, "make a certificate");
}

/// The text in the form in which names are compared; the caller frees.
static char *normalise(const char *name)
{
	unsigned char address[sizeof(struct in6_addr)];
	char text[INET6_ADDRSTRLEN];
	size_t n = read_address_bytes(name, address);

	if (n && inet_ntop(n == sizeof(struct in_addr) ? AF_INET : AF_INET6, address, text,
			 sizeof(text)))
		return lm_xstrdup(text);
	char *lower = lm_xstrdup(name);
	for (char *p = lower; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	return lower;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/// Sorts a list of texts and frees those that are there twice. Returns how many are left.
static size_t sort_unique(char **texts, size_t n)
{
	size_t kept = 0;

	qsort(texts, n, sizeof(*texts), compare_names);
	for (size_t i = 0; i < n; i++) {
		if (kept > 0 && strcmp(texts[kept - 1], texts[i]) == 0)
			free(texts[i]);
		else
			texts[kept++] = texts[i];
	}
	texts[kept] = NULL;
	return kept;
}

static void free_texts(char **texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(texts[i]);
	free(texts);
}

/// The names in the form that is compared, sorted, each once.
static char **normalise_all(const char *const *names, size_t names_n, size_t *ret_n)
{
	char **texts = lm_xcalloc(names_n + 1, sizeof(*texts));

	for (size_t i = 0; i < names_n; i++)
		texts[i] = normalise(names[i]);
	*ret_n = sort_unique(texts, names_n);
	return texts;
}

static lm_rc make_server_names(
	char *const *names, size_t names_n, GENERAL_NAMES **ret, struct lm_err *err)
{
	lm_auto(GENERAL_NAMES_free_p) GENERAL_NAMES *list = GENERAL_NAMES_new();

	if (!list)
		return fail_openssl(err, "make a certificate");
	if (names_n == 0 || names_n > LIMIT_SERVER_NAMES)
		return lm_fail(err, LM_E_INVALID, 0,
			"%zu addresses and names for one certificate: 1 to %d are taken", names_n,
			LIMIT_SERVER_NAMES);
	for (size_t i = 0; i < names_n; i++) {
		lm_rc rc = add_server_name(list, names[i], err);

		if (rc)
			return rc;
	}
	*ret = lm_take(list);
	return LM_OK;
}

lm_rc certificate_issue_server(const struct certificate_authority *ca, struct lm_str key_text,
	const char *name, const char *const *names, size_t names_n, int64_t now_s, char **ret_pem,
	struct lm_err *err)
{
	lm_auto(EVP_PKEY_free_p) EVP_PKEY *key = read_key_text(key_text);
	lm_auto(GENERAL_NAMES_free_p) GENERAL_NAMES *list = NULL;
	size_t n = 0;

	if (!key)
		return fail_key(err);
	char **texts = normalise_all(names, names_n, &n);
	lm_rc rc = make_server_names(texts, n, &list, err);
	free_texts(texts, n);
	if (rc)
		return rc;
	return make_certificate(ca,
		&(struct subject){
			.kind = CERTIFICATE_SERVER, .key = key, .name = name, .names = list},
		now_s, ret_pem, err);
}

// Reading.

static bool read_certificate_time(const ASN1_TIME *time, int64_t *ret_s)
{
	lm_auto(ASN1_TIME_free_p) ASN1_TIME *epoch = make_time(0, 0);
	int days = 0, seconds = 0;

	if (!epoch || !time || !ASN1_TIME_diff(&days, &seconds, epoch, time))
		return false;
	*ret_s = (int64_t)days * CERTIFICATE_DAY_S + seconds;
	return true;
}

static bool write_sha256(const unsigned char *digest, unsigned n, char out[CERTIFICATE_SHA256_SIZE])
{
	lm_auto_buf struct lm_buf text = LM_BUF(CERTIFICATE_SHA256_SIZE);

	if (!lm_hex_encode(&text, (struct lm_str){(const char *)digest, n}) ||
		text.len + 1 != CERTIFICATE_SHA256_SIZE)
		return false;
	memcpy(out, lm_buf_cstr(&text), CERTIFICATE_SHA256_SIZE);
	return true;
}

bool certificate_fingerprint(const struct x509_st *x, char ret[CERTIFICATE_SHA256_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	return X509_digest(x, EVP_sha256(), digest, &n) == 1 && write_sha256(digest, n, ret);
}

static char *read_cn(const X509 *x)
{
	const X509_NAME *subject = X509_get_subject_name(x);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	X509_NAME_ENTRY *entry = at < 0 ? NULL : X509_NAME_get_entry(subject, at);
	unsigned char *utf8 = NULL;
	int n = entry ? ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry)) : -1;
	bool is_text = n > 0 && !memchr(utf8, '\0', (size_t)n);
	char *cn = lm_xmemdup0(is_text ? (const char *)utf8 : "", is_text ? (size_t)n : 0);

	OPENSSL_free(utf8);
	return cn;
}

/// A DNS name or an address as text; NULL: it is another kind of name, or none that could have been
/// asked for.
static char *read_alternative_name(const GENERAL_NAME *name)
{
	int type = 0;
	const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);

	if (type != GEN_DNS && type != GEN_IPADD)
		return NULL;
	size_t n = (size_t)ASN1_STRING_length(value);
	const char *bytes = (const char *)ASN1_STRING_get0_data(value);
	char text[INET6_ADDRSTRLEN];

	if (type == GEN_IPADD)
		return (n == sizeof(struct in_addr) || n == sizeof(struct in6_addr)) &&
				       inet_ntop(n == sizeof(struct in_addr) ? AF_INET : AF_INET6,
					       bytes, text, sizeof(text))
			       ? lm_xstrdup(text)
			       : NULL;
	if (memchr(bytes, '\0', n))
		return NULL;
	lm_auto_free char *dns = lm_xmemdup0(bytes, n);
	return normalise(dns);
}

static void read_alternative_names(const X509 *x, struct certificate *c)
{
	lm_auto(GENERAL_NAMES_free_p) GENERAL_NAMES *names =
		X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	int n = names ? sk_GENERAL_NAME_num(names) : 0;
	size_t kept = 0;

	c->names = lm_xcalloc((size_t)n + 1, sizeof(*c->names));
	for (int i = 0; i < n; i++) {
		char *text = read_alternative_name(sk_GENERAL_NAME_value(names, i));

		if (text)
			c->names[kept++] = text;
	}
	c->names_n = sort_unique(c->names, kept);
}

lm_rc certificate_read(struct lm_str pem, struct certificate *ret, struct lm_err *err)
{
	lm_auto(X509_free_p) X509 *x = read_certificate(pem);
	lm_auto_certificate struct certificate c = {0};

	if (!x)
		return lm_fail(err, LM_E_INVALID, 0, "it is no PEM text of a certificate");
	if (!read_certificate_time(X509_get0_notBefore(x), &c.not_before_s) ||
		!read_certificate_time(X509_get0_notAfter(x), &c.not_after_s) ||
		!certificate_fingerprint(x, c.sha256))
		return lm_fail(err, LM_E_INVALID, 0, "the certificate cannot be read: %s",
			certificates_reason());
	c.cn = read_cn(x);
	c.is_authority = X509_check_ca(x) == 1;
	read_alternative_names(x, &c);
	ERR_clear_error();
	*ret = c;
	c = (struct certificate){0};
	return LM_OK;
}

void certificate_finish(struct certificate *c)
{
	free(c->cn);
	if (c->names)
		free_texts(c->names, c->names_n);
	*c = (struct certificate){0};
}

bool certificate_is_of_key(struct lm_str pem, struct lm_str key_text)
{
	lm_auto(X509_free_p) X509 *x = read_certificate(pem);
	lm_auto(EVP_PKEY_free_p) EVP_PKEY *key = read_key_text(key_text);
	bool is = x && key && X509_check_private_key(x, key) == 1;

	ERR_clear_error();
	return is;
}

bool certificate_is_of_authority(struct lm_str pem, const struct certificate_authority *ca)
{
	lm_auto(X509_free_p) X509 *x = read_certificate(pem);
	bool is = x &&
		  X509_NAME_cmp(X509_get_issuer_name(x), X509_get_subject_name(ca->certificate)) ==
			  0 &&
		  X509_verify(x, ca->key) == 1;

	ERR_clear_error();
	return is;
}

bool certificate_is_trusted(struct lm_str pem, struct lm_str roots)
{
	lm_auto(X509_free_p) X509 *x = read_certificate(pem);
	lm_auto(BIO_free_all_p) BIO *bio = open_text(roots);
	lm_auto(X509_STORE_free_p) X509_STORE *store = X509_STORE_new();
	lm_auto(X509_STORE_CTX_free_p) X509_STORE_CTX *context = X509_STORE_CTX_new();

	for (X509 *root;
		bio && store && (root = PEM_read_bio_X509(bio, NULL, give_no_passphrase, NULL));) {
		(void)X509_STORE_add_cert(store, root);
		X509_free(root);
	}
	bool is = x && context && X509_STORE_CTX_init(context, store, x, NULL) == 1 &&
		  X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_CLIENT) == 1;
	if (is) {
		X509_STORE_CTX_set_flags(context, X509_V_FLAG_NO_CHECK_TIME);
		is = X509_verify_cert(context) == 1;
	}
	ERR_clear_error();
	return is;
}

/// Whether the last reading ended because the text has no more of what was looked for.
static bool is_end_of_text(void)
{
	unsigned long code = ERR_peek_last_error();

	return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

lm_rc certificate_copy_all(struct lm_str pem, struct lm_buf *out, struct lm_err *err)
{
	lm_auto(BIO_free_all_p) BIO *bio = open_text(pem);
	size_t n = 0;

	for (X509 *x; bio && (x = PEM_read_bio_X509(bio, NULL, give_no_passphrase, NULL)); n++) {
		char *text = NULL;
		lm_rc rc = write_certificate(x, &text, err);

		X509_free(x);
		if (rc)
			return rc;
		bool fits = lm_buf_puts(out, text);
		free(text);
		if (!fits)
			return lm_fail(err, LM_E_TOO_LARGE, 0,
				"the certificates are over %zu bytes, the most that is taken",
				out->max);
	}
	if (bio && !is_end_of_text())
		return lm_fail(err, LM_E_INVALID, 0, "certificate %zu in it cannot be read: %s",
			n + 1, certificates_reason());
	ERR_clear_error();
	return n > 0 ? LM_OK : lm_fail(err, LM_E_INVALID, 0, "there is no certificate in it");
}

bool certificate_is_due(const struct certificate *c, enum certificate_kind kind, int64_t now_s)
{
	// Not of its own time: it may begin long before it was made (make_begin).
	int64_t days = profiles[kind].days;
	int64_t least = days * CERTIFICATE_DAY_S / (kind == CERTIFICATE_AUTHORITY ? 2 : 3);

	if (now_s <
		CERTIFICATE_CLOCK_FLOOR) // what is there may be right; another would be no better
		return false;
	return c->not_before_s <= 0 || c->not_before_s > now_s || c->not_after_s - now_s < least;
}

bool certificate_has_names(const struct certificate *c, const char *const *names, size_t names_n)
{
	size_t n = 0;
	char **texts = normalise_all(names, names_n, &n);
	bool same = n == c->names_n;

	for (size_t i = 0; same && i < n; i++)
		same = strcmp(texts[i], c->names[i]) == 0;
	free_texts(texts, n);
	return same;
}
