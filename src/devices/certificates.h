// SPDX-License-Identifier: Apache-2.0
#pragma once

/// X.509 for a group with client devices: its certificate authority (CA), the certificates of
/// devices, and that of the broker and of discovery. Keys and certificates are PEM text, in and
/// out. Pure: no file, no clock; times are seconds since 1970 (UTC).
///
/// All keys that are made here are RSA with 2048 bits, and all signatures RSA with SHA-256, as in
/// Greengrass V1: old device SDKs take nothing else.
///
/// A device may have no clock before it has a network. A certificate that is made while the clock
/// is before CERTIFICATE_CLOCK_FLOOR is valid from 1970 on, and long enough for the time after the
/// clock was set; certificate_is_due then asks for another. Otherwise a server's certificate is
/// valid from a day before on, and one of a CA or a device from CERTIFICATE_CLOCK_FLOOR on.

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/encoding.h"
#include "base/error.h"
#include "base/secret.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct x509_st; // OpenSSL's X509

enum {
	CERTIFICATE_DAY_S = 24 * 60 * 60,
	CERTIFICATE_SHA256_SIZE = LM_SHA256_HEX + 1, ///< Lower-case hexadecimal digits and a NUL.
	CERTIFICATE_CN_MAX = 64,                     ///< X.520's ub-common-name.
	CERTIFICATE_AUTHORITY_DAYS = 20 * 365,
	CERTIFICATE_DEVICE_DAYS = 10 * 365,
	CERTIFICATE_SERVER_DAYS = 90,
	CERTIFICATE_CLOCK_FLOOR = 1735689600, ///< 2025-01-01: no clock that is right is before it.
};

enum certificate_kind { CERTIFICATE_AUTHORITY, CERTIFICATE_DEVICE, CERTIFICATE_SERVER };

/// A new private key, "BEGIN RSA PRIVATE KEY". Takes a good part of a second on a small device.
lm_rc certificate_make_key(struct lm_secret *ret, struct lm_err *err);
/// Whether the text is a private key, in a form that is not encrypted.
bool certificate_is_key(struct lm_str key);

/// A CA's certificate for its own key, valid for CERTIFICATE_AUTHORITY_DAYS. A later one for the
/// same key and name may take its place: what was signed before stays valid under both.
lm_rc certificate_make_authority(
	struct lm_str key, const char *name, int64_t now_s, char **ret_pem, struct lm_err *err);

/// A CA that is ready to sign.
struct certificate_authority;
/// LM_E_INVALID: one of the two is not what it should be, the certificate is of another key or of
/// no CA. Close with certificate_authority_close.
lm_rc certificate_authority_open(struct lm_str key, struct lm_str pem,
	struct certificate_authority **ret, struct lm_err *err);
void certificate_authority_close(struct certificate_authority *ca);
LM_DEFINE_CLEANUP(struct certificate_authority, certificate_authority_close)

/// A device's certificate, for CERTIFICATE_DEVICE_DAYS but no longer than the CA's. The name is the
/// subject's CN; one of more than CERTIFICATE_CN_MAX bytes is cut there, and stands whole in a SAN
/// as "urn:lighterman:thing:<name>". LM_E_INVALID: the key cannot be read.
lm_rc certificate_issue_device(const struct certificate_authority *ca, struct lm_str key,
	const char *name, int64_t now_s, char **ret_pem, struct lm_err *err);
/// The same for the public key of a signing request (PKCS #10, PEM, at most LIMIT_SIGNING_REQUEST),
/// of which nothing else is taken: neither subject nor extensions. LM_E_INVALID: it is none, its
/// signature is wrong, or its key is weak or of a kind that is not taken (RSA with 2048 to 8192
/// bits, P-256 and P-384 are). LM_E_TOO_LARGE.
lm_rc certificate_sign_request(const struct certificate_authority *ca, struct lm_str request,
	const char *name, int64_t now_s, char **ret_pem, struct lm_err *err);
/// The certificate of a server with these DNS names and addresses (see certificate_is_name) as its
/// SAN and `name` as its CN, for CERTIFICATE_SERVER_DAYS but no longer than the CA's.
/// LM_E_INVALID: a name is none, there are none or more than LIMIT_SERVER_NAMES, or the key cannot
/// be read.
lm_rc certificate_issue_server(const struct certificate_authority *ca, struct lm_str key,
	const char *name, const char *const *names, size_t names_n, int64_t now_s, char **ret_pem,
	struct lm_err *err);

/// The SHA-256 of an X509's DER, by which a registered certificate is known. False: OpenSSL failed.
bool certificate_fingerprint(const struct x509_st *x, char ret[CERTIFICATE_SHA256_SIZE]);

/// What a certificate says.
struct certificate {
	char sha256[CERTIFICATE_SHA256_SIZE]; ///< Of its DER.
	char *cn;                             ///< "" if it has none, or one with a NUL in it.
	int64_t not_before_s, not_after_s;
	bool is_authority;
	char **names; ///< DNS names and addresses of its SAN, as text, sorted; NULL-ended.
	size_t names_n;
};

#define lm_auto_certificate lm_auto(certificate_finish)

/// Reads the first certificate of the text. LM_E_INVALID: there is none.
lm_rc certificate_read(struct lm_str pem, struct certificate *ret, struct lm_err *err);
void certificate_finish(struct certificate *c);
/// Whether the certificate is one for the key. False, too, if one of them cannot be read.
bool certificate_is_of_key(struct lm_str pem, struct lm_str key);
/// Whether the CA signed it; its validity in time does not matter.
bool certificate_is_of_authority(struct lm_str pem, const struct certificate_authority *ca);
/// Whether a TLS server that trusts the issuers in `roots` (PEM, one or more) takes it for a
/// client's; its validity in time does not matter.
bool certificate_is_trusted(struct lm_str pem, struct lm_str roots);
/// Appends every certificate of the text, and nothing else that may be in it. LM_E_INVALID: one
/// cannot be read, or there is none. LM_E_TOO_LARGE: over the buffer's ceiling.
lm_rc certificate_copy_all(struct lm_str pem, struct lm_buf *out, struct lm_err *err);

/// Whether it should be made anew: it expires within a third of its time (of a CA: half, so that it
/// outlives each device's), it is not valid yet, or the clock was wrong when it was made.
bool certificate_is_due(const struct certificate *c, enum certificate_kind kind, int64_t now_s);
/// Whether its SAN has exactly these DNS names and addresses, in any order and with repetitions.
bool certificate_has_names(const struct certificate *c, const char *const *names, size_t names_n);
/// Whether it can be one of a server's names: a host name of at most 253 letters, digits, `-` and
/// `.`, perhaps with `*` as its first label, or an address.
bool certificate_is_name(struct lm_str name);
