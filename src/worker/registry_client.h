// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Requests for manifests and blobs of one repository of a registry. Connects as the engine does:
/// with TLS, trusting the system's CAs and what /etc/docker/certs.d has for the registry, and
/// without TLS only on this device's own addresses. Answers the registry's challenges; sends
/// passwords only to the registry, or to the token server that it names, and follows redirects to
/// blob stores without them.

#include "base/error.h"
#include "base/secret.h"
#include "base/str.h"
#include "docker/image_ref.h"
#include "docker/registry_auth.h"
#include "http/https.h"

#include <stdbool.h>
#include <stddef.h>

/// The engine's certificates for registries.
#define REGISTRY_CERTIFICATES "/etc/docker/certs.d"

/// How to connect to a registry, as the engine does: with TLS, and the CA that the engine has for
/// it; without TLS on this device's own addresses, unless the engine has a CA for it.
struct registry_route {
	char *origin; ///< "https://registry.example:5000"
	char *ca;     ///< PEM file; NULL: the system's CAs.
	bool plain;
};

/// `registry` is as in struct image_ref; `certificates` is the engine's directory of them.
void registry_route_find(
	const char *registry, const char *certificates, struct registry_route *ret);
void registry_route_finish(struct registry_route *route);

/// Whether "host[:port]" is an address of this device.
bool registry_route_is_local(struct lm_str host);

struct registry_question {
	const char *kind;          ///< "manifests" or "blobs". Static storage.
	const char *name;          ///< A tag or a digest. Borrowed for the call.
	const char *const *accept; ///< Media types, NULL-terminated; NULL: any.
	size_t body_max;           ///< Ceiling of the answer's body.
	bool is_head;              ///< Only for the headers.
};

/// The answer to a question. LM_OK: it has status 200, or is one of any status to a question for
/// the headers. LM_E_NOT_FOUND, LM_E_DENIED, LM_E_REFUSED: the registry says so; LM_E_NETWORK: no
/// answer, or a server error; LM_E_PROTOCOL, LM_E_INVALID. Both are borrowed for the call, which
/// may ask the next question; the body may be moved out.
typedef void registry_done(
	void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err);

/// One question at a time. The members up to `ctx` are the caller's, and borrowed.
struct registry_client {
	struct https *https;
	const struct image_ref *ref;
	const struct registry_credentials *credentials; ///< NULL: there are none.
	unsigned attempts;                              ///< Of each request; 0: the default.
	registry_done *done;
	void *ctx;

	// Private state
	struct registry_route route;
	struct registry_question question;
	char *path; ///< Of the question.
	bool at_token_server;
	bool challenged;                ///< It has required credentials once.
	struct lm_secret authorization; ///< For the registry; empty: none.
	unsigned redirects;
	bool lacks_login; ///< The question has failed as the registry requires one: to be read.
};

/// Completes a client whose own members are set; `certificates` is the engine's directory of them.
void registry_client_open(struct registry_client *c, const char *certificates);
/// Starts a question, whose answer comes from https_run. LM_E_INVALID: the name is too long.
lm_rc registry_client_ask(
	struct registry_client *c, const struct registry_question *question, struct lm_err *err);
/// Wipes what authorizes us.
void registry_client_finish(struct registry_client *c);
