// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Between manifests.c, which asks many registries, and manifest_inquiry.c, which talks with one.

#include "docker/images.h"
#include "http/https.h"
#include "worker/manifests.h"
#include "worker/registry_route.h"

enum step {
	STEP_NAMED,  ///< What the reference names: an index, or the manifest itself.
	STEP_CHILD,  ///< The manifest for the platform.
	STEP_CONFIG, ///< The configuration. Without it, less is known, but enough.
};

struct manifests;

/// The questions to one registry about one image.
struct inquiry {
	struct manifests *all;
	const struct manifest_question *question;
	struct manifest_answer *answer;
	struct manifest_platform platform;
	struct image_ref ref;
	struct registry_route route;
	enum step step;
	bool at_token_server;
	bool challenged;                ///< It has asked for credentials once.
	struct lm_secret authorization; ///< For the registry; empty: none.
	unsigned redirects;
	bool over;
};

struct manifests {
	struct https *https;
	const struct manifests_options *options;
	struct inquiry *inquiries;
	size_t n, begun;
};

/// Asks for what the step needs.
lm_rc inquiry_ask(struct inquiry *q, struct lm_err *err);
/// Takes an answer to it. After LM_OK it is over, or the next request has been started.
lm_rc inquiry_take(struct inquiry *q, const struct https_answer *answer, struct lm_err *err);

// manifests.c
/// The end of each request.
void manifests_done(void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err);
