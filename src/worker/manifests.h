// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Asks registries for the manifests of images, all at the same time, without pulling anything.

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
