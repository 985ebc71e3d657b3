// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Asks registries for the manifests of images, all at the same time, without pulling anything.
/// Connects as the engine does: with TLS, trusting the system's CAs and what /etc/docker/certs.d
/// has for the registry, and without TLS only on this device's own addresses. Sends passwords only
/// to the registry, or to the token server that it names.

#include "base/error.h"
#include "docker/engine_images.h"
#include "docker/registry_auth.h"
#include "registry/manifest.h"
#include "sys/wait.h"

#include <stdbool.h>

struct manifest_question {
	const char *image;                              ///< A reference as in a compose file.
	const char *platform;                           ///< "linux/amd64"
	const struct registry_credentials *credentials; ///< NULL: there are none.
	/// The digest of the image that is here: if the registry has the same, the answer is that
	/// alone. Registries that count pulls do not count such a question. NULL: none is.
	const char *known;
};

struct manifest_answer {
	lm_rc rc;              ///< Why nothing is known, unless LM_OK:
	struct lm_err err;     ///< a sentence.
	char *digest;          ///< "sha256:…" of the image or index that the reference names.
	char *manifest_digest; ///< Of the manifest: another one if the reference names an index.
	struct manifest manifest;
	struct image_layers
		layers; ///< As the engine names them; none if the registry did not send them.
};

struct manifests_options {
	const char *certificates; ///< "/etc/docker/certs.d"
	unsigned attempts;        ///< Of each request; 0: the default.
	unsigned timeout_ms;      ///< For all together.
};

/// Fills `ret`, one for each question. LM_E_CANCELLED; other errors are in the answers.
lm_rc manifests_ask(const struct manifest_question *questions, size_t n,
	const struct manifests_options *options, const struct wait_limit *limit,
	struct manifest_answer *ret, struct lm_err *err);
void manifest_answer_finish(struct manifest_answer *answer);

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
