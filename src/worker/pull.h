// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The stage `pull`: pulls or builds the images of a deployment, and what registries say of them
/// beforehand.

#include "worker/images.h"
#include "worker/login.h"
#include "worker/manifests.h"

lm_rc pull_images(struct context *cx, enum deploy_pull mode, struct lm_err *err);
/// Pulls one image, whatever is here, by `by_digest` ("demo/web@sha256:…") with the login for it.
lm_rc pull_by_digest(struct context *cx, const struct compose_image *image, const char *by_digest,
	struct lm_err *err);

/// Questions to registries about images, with the logins for them, and their answers.
struct pull_inquiry {
	struct manifest_question *questions;
	struct registry_credentials *logins;
	struct manifest_answer *answers;
	size_t n;
};

/// Has room for `most` questions.
void pull_inquiry_init(struct pull_inquiry *q, size_t most);
/// Adds an image; `platform` NULL: the engine's; `known` as in struct manifest_question. Borrows
/// all. LM_E_CANCELLED.
lm_rc pull_inquiry_add(struct pull_inquiry *q, struct context *cx, const char *image,
	const char *platform, const char *known, struct lm_err *err);
/// Asks all; `attempts` and `timeout_ms` as in struct manifests_options. LM_E_CANCELLED.
lm_rc pull_inquiry_ask(struct pull_inquiry *q, const struct context *cx, unsigned attempts,
	unsigned timeout_ms, struct lm_err *err);
void pull_inquiry_finish(struct pull_inquiry *q);
