// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Which login a registry gets: of a secret that the definition names; else, for ECR, by a token of
/// the role's; else what the user has by hand.

#include "docker/images.h"
#include "docker/registry.h"
#include "worker/work_priv.h"

enum login_source { LOGIN_NONE, LOGIN_SECRET, LOGIN_TOKEN, LOGIN_USER };

/// The login for an image; `*ret` is for the caller to finish, and untouched for LOGIN_NONE.
/// LM_E_CANCELLED.
lm_rc registries_find(struct work *w, const struct image_ref *image,
	struct registry_credentials *ret, enum login_source *ret_source, struct lm_err *err);

/// Fetches the tokens that the resolved compose file needs and that are not there yet. Warns where
/// the user's own login has to do instead, and on a device that has no AWS credentials at all.
/// Errors as cloud_open and ecr_start_token.
lm_rc registries_complete(struct work *w, struct lm_err *err);

/// The logins that are ours and that the images to be pulled need, each once: those of all secrets,
/// and one for each host of ECR.
void registries_list(struct work *w, struct registry_list *to);
/// All that there are, also for what images are built from; ours come first. Tokens that are due
/// are renewed. LM_E_CANCELLED.
lm_rc registries_list_all(struct work *w, struct registry_list *to, struct lm_err *err);
