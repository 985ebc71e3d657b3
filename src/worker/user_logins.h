// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the job's user has by hand: the logins of ~/.docker/config.json and the credential helpers
/// that it names. Ours are put into such a helper's keeping for as long as the job lasts.
///
/// The file and the logins in it are only read. A file or helper that does not work is warned of
/// once and then left alone: the deployment goes on without.

#include "docker/client_config.h"
#include "docker/images.h"
#include "sys/wait.h"

#include <stdbool.h>
#include <stddef.h>

/// One of ours that a helper has been given.
struct user_logins_kept {
	char *suffix, *server;
	struct registry_credentials before; ///< What it had there; username NULL: nothing.
};

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
/// The login for an image, if the user has one; `*ret` is else untouched. LM_E_CANCELLED.
lm_rc user_logins_find(struct user_logins *u, const struct image_ref *image,
	const struct wait_limit *limit, struct registry_credentials *ret, bool *ret_found,
	struct lm_err *err);
/// Appends all logins that the user has. LM_E_CANCELLED.
lm_rc user_logins_list(struct user_logins *u, const struct wait_limit *limit,
	struct registry_list *to, struct lm_err *err);
/// Gives a login of ours to the helper for its registry, if there is one. LM_E_CANCELLED.
lm_rc user_logins_keep(struct user_logins *u, const struct registry_credentials *c,
	const struct wait_limit *limit, struct lm_err *err);
/// Makes the helpers forget ours; what they had before they have again.
void user_logins_restore(struct user_logins *u, const struct wait_limit *limit);
void user_logins_finish(struct user_logins *u);
