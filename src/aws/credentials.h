// SPDX-License-Identifier: Apache-2.0
#pragma once

/// AWS credentials, what they are made from, and the settings by which they are found.
/// aws/credentials_provider.h loads, keeps and renews them.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/secret.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct aws_credentials {
	char *access_key_id;            ///< Not a secret: it may stand in messages.
	struct lm_secret secret;        ///< The secret access key.
	struct lm_secret session_token; ///< Empty for lasting credentials.
	int64_t expires_ms;             ///< Wall clock; 0: unknown or never.
	/// The same on lm_clock_mono_ms(), by the source's own time where it is known, so
	/// that a wrong clock of ours does not count. 0: unknown or never.
	uint64_t expires_mono_ms;
	const char *source; ///< For messages: "the environment". Static storage.
	unsigned serial;    ///< Which of a credentials_provider's these are, from 1; 0: of none.
};

struct credentials_settings {
	/// The AWS IoT credentials provider; NULL: it is not used.
	const char *role_alias;
	const char *endpoint; ///< Its host: "<prefix>.credentials.iot.<region>.amazonaws.com".
	const char *certificate, *private_key; ///< The device's, PEM files.
	/// Their texts instead, where we may not read the files; empty: read them. The names are
	/// needed all the same, for messages.
	struct lm_str certificate_text, private_key_text;
	const char *ca;         ///< PEM file; NULL: AWS_CA_BUNDLE's or the system's.
	const char *thing_name; ///< Must be attached to the certificate; NULL: not sent.

	const char *region; ///< Where STS is asked; NULL: as the SDKs' settings have it.

	// Of requests to any source; 0 stands for the source's own.
	unsigned timeout_ms; ///< An attempt's.
	unsigned attempts;
	unsigned backoff_max_ms;
	/// How long before they expire a provider renews credentials; 0: 5 minutes.
	unsigned refresh_early_ms;
};

/// Wipes and frees.
void credentials_finish(struct aws_credentials *c);
#define lm_auto_credentials lm_auto(credentials_finish)

/// Credentials as a source wrote them down. Borrowed.
struct credentials_parts {
	struct lm_str id, secret, token;                ///< Empty: absent.
	const char *id_name, *secret_name, *token_name; ///< What the source calls them.
	const char *where;  ///< Behind a name, for messages: " in profile 'x' of '/y'", or "".
	const char *source; ///< As in struct aws_credentials.
};

/// LM_E_NOT_FOUND: neither id nor secret. LM_E_INVALID: one without the other, or a character that
/// no header can carry.
lm_rc credentials_assemble(
	const struct credentials_parts *parts, struct aws_credentials *ret, struct lm_err *err);

/// Whether `s` can stand in an HTTP header and has no space: a line end in a variable (a common
/// slip with "$(cat file)" done by hand) must not become a header of its own.
bool credentials_is_token(struct lm_str s);

/// How a source names what it answers.
struct credentials_names {
	const char *object; ///< The member that holds the others; NULL: the document itself.
	const char *id, *secret, *token, *expiration;
	bool needs_token;
	int version;        ///< Of the document, in its member "Version"; 0: it has none.
	const char *source; ///< As in struct aws_credentials.
};

/// Reads a document that holds credentials. `server_ms`: its sender's time; 0: unknown, ours is
/// taken. LM_E_PROTOCOL: it is not what it should be; the message is short and has nothing of its
/// content.
lm_rc credentials_parse(struct lm_str text, const struct credentials_names *names,
	int64_t server_ms, struct aws_credentials *ret, struct lm_err *err);
/// A time as AWS writes it, "2018-01-18T09:18:06Z" or with an offset; 0 if it is anything else.
int64_t credentials_parse_time_ms(struct lm_str s);
/// Notes when credentials expire by the clock of their source (`server_ms`; 0: by ours).
void credentials_set_expiry(struct aws_credentials *c, int64_t expires_ms, int64_t server_ms);
