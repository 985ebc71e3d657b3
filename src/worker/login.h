// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Which login a registry gets: of a secret that the definition names; else, for ECR, a token of
/// the role's; else what the user has in ~/.docker/config.json. And the stage `authenticate`.

#include "docker/client_config.h"
#include "docker/image_ref.h"
#include "sys/wait.h"

#include <stdbool.h>
#include <stddef.h>

struct context;

/// A login of ours that a credential helper keeps.
struct user_logins_kept {
	char *suffix, *server;
	struct registry_credentials before; ///< What it had there; username NULL: nothing.
};

/// The user's own logins: those in ~/.docker/config.json, and the credential helpers that it names,
/// which keep logins of ours for as long as the task lasts.
///
/// The file is only read. A file or helper that does not work is warned of once and then left
/// alone: the deployment continues without it.
struct user_logins {
	const char *const *env; ///< For the helpers. Borrowed.
	struct client_config config;
	struct user_logins_kept *kept;
	size_t kept_n;
	char **broken; ///< Helpers that have failed.
	size_t broken_n;
};

/// Reads <home>/.docker/config.json, in place of what was read before; `home` NULL: the user has
/// none.
void user_logins_open(struct user_logins *u, const char *home, const char *const *env);
/// The login for an image, if the user has one; else `*ret` is untouched. LM_E_CANCELLED.
lm_rc user_logins_find(struct user_logins *u, const struct image_ref *image,
	const struct wait_limit *limit, struct registry_credentials *ret, bool *ret_found,
	struct lm_err *err);
/// Appends all logins that the user has. LM_E_CANCELLED.
lm_rc user_logins_list(struct user_logins *u, const struct wait_limit *limit,
	struct registry_list *to, struct lm_err *err);
/// Gives a login of ours to the helper for its registry, if there is one. LM_E_CANCELLED.
lm_rc user_logins_keep(struct user_logins *u, const struct registry_credentials *c,
	const struct wait_limit *limit, struct lm_err *err);
/// Erases our logins from the helpers, and restores what they had before.
void user_logins_restore(struct user_logins *u, const struct wait_limit *limit);
void user_logins_finish(struct user_logins *u);

enum login_source { LOGIN_NONE, LOGIN_SECRET, LOGIN_TOKEN, LOGIN_USER };

/// The stage `authenticate`: logs in to all registries, with retries, and gives the logins to the
/// user's credential helpers.
lm_rc login_to_registries(struct context *cx, struct lm_err *err);
/// Fetches the ECR tokens that are missing, and lists our logins that the images to be pulled need,
/// each once: those of all secrets, and one for each host of ECR. Warns where the user's own login
/// is used instead, and on a device without AWS credentials. As aws_session_open and
/// ecr_start_token.
lm_rc login_list_own(struct context *cx, struct registry_list *to, struct lm_err *err);
/// Logs in with one login, without retries.
lm_rc login_once(struct context *cx, const struct registry_credentials *c, struct lm_err *err);
/// The login for an image; `*ret` is for the caller to finish, and untouched for LOGIN_NONE.
/// LM_E_CANCELLED.
lm_rc login_find(struct context *cx, const struct image_ref *image,
	struct registry_credentials *ret, enum login_source *ret_source, struct lm_err *err);
/// The login for what is fetched before the compose file is known, with these secrets: reads the
/// user's own logins, and fetches the ECR token that is missing. `*ret` is untouched if there is
/// none. As login_find, and as login_list_own.
lm_rc login_find_early(struct context *cx, const struct registry_list *secrets,
	const struct image_ref *image, struct registry_credentials *ret, struct lm_err *err);
/// All logins, also for what images are built from; ours come first. Renews tokens that are due.
/// LM_E_CANCELLED.
lm_rc login_list_all(struct context *cx, struct registry_list *to, struct lm_err *err);
