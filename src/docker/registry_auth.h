// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Registries and the credentials for them: which belong to which image, and the two texts in which
/// Docker wants them. Pure; secrets are only ever in buffers that are wiped.

#include "base/buf.h"
#include "base/error.h"
#include "base/secret.h"
#include "base/str.h"
#include "docker/image_ref.h"

#include <stdbool.h>
#include <stddef.h>

/// The user name of an identity token, by the convention of Docker's credential helpers.
#define REGISTRY_TOKEN_USER "<token>"

struct registry_credentials {
	char *registry; ///< As given: "https://docker.io", "localhost:5000/demo", …
	char *username;
	struct lm_secret password;
};

void registry_credentials_finish(struct registry_credentials *c);
/// A copy, for the caller to finish.
struct registry_credentials registry_credentials_copy(const struct registry_credentials *c);

struct registry_list {
	struct registry_credentials *items;
	size_t n;
};

/// Appends `c`, which is empty afterwards.
void registry_list_add(struct registry_list *list, struct registry_credentials *c);
/// Wipes and frees.
void registry_list_finish(struct registry_list *list);
#define lm_auto_registry_list lm_auto(registry_list_finish)

/// A registry address as a user writes it, parsed.
struct registry_address {
	char *host; ///< "docker.io" for all of Docker Hub's names; else host[:port], lower case.
	char *path; ///< What of a repository's name it is limited to ("demo"), or "".
};

/// Takes texts with and without scheme, path and trailing slash; "/v1/" and "/v2/" are the API's
/// own paths and mean the whole registry. LM_E_INVALID.
lm_rc registry_address_parse(struct lm_str given, struct registry_address *ret, struct lm_err *err);
void registry_address_finish(struct registry_address *a);

/// The credentials for an image: those of its registry with the longest path that the repository
/// begins with; else those without a path; else any of the same registry (docker login, too, looks
/// at the host alone). NULL if none is of that registry.
const struct registry_credentials *registry_match(
	const struct registry_credentials *list, size_t n, const struct image_ref *image);

/// Docker's own address of the registry: "https://index.docker.io/v1/" or the host.
/// The caller frees.
lm_rc registry_server_address(const struct registry_credentials *c, char **ret, struct lm_err *err);
/// {"username":…,"password":…,"serveraddress":…}, or {"identitytoken":…,"serveraddress":…}: the
/// body of POST /auth.
lm_rc registry_auth_json(
	const struct registry_credentials *c, struct lm_secret *ret, struct lm_err *err);
/// The value of X-Registry-Auth: that document in URL-safe base64.
lm_rc registry_auth_header(
	const struct registry_credentials *c, struct lm_secret *ret, struct lm_err *err);
/// Whether list[i] is the one that is used for its host where only hosts count: of several, the one
/// for the whole registry; else the first.
bool registry_stands_for_host(const struct registry_credentials *list, size_t n, size_t i);
/// A docker config.json with one login for each host, under "auths".
lm_rc registry_config_json(const struct registry_credentials *list, size_t n, struct lm_secret *ret,
	struct lm_err *err);

/// Appends a JSON string. Written here, as jansson would leave copies of a password on the heap.
void registry_add_json_string(struct lm_buf *out, struct lm_str s);
