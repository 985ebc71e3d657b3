// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What decides whether `up` recreates a service's containers: the hashes that `docker-compose
/// config
/// --hash` prints, which each container has in its label com.docker.compose.config-hash, and what
/// is not in the hashes: the number of replicas, and the services whose containers a service is
/// tied to. Pure.

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct compose_hash {
	char *service;
	char *hash;
};

struct compose_hashes {
	struct compose_hash *items;
	size_t n;
};

/// Reads "SERVICE HASH" lines. LM_E_PROTOCOL: a line is something else. LM_E_TOO_LARGE: over
/// LIMIT_SERVICES.
lm_rc compose_hashes_parse(struct lm_str text, struct compose_hashes *ret, struct lm_err *err);
void compose_hashes_finish(struct compose_hashes *hashes);
/// The hash of a service, or NULL. Borrowed.
const char *compose_hashes_get(const struct compose_hashes *hashes, const char *service);

struct compose_tie {
	char *service;
	unsigned replicas; ///< Containers that there are to be.
	/// Services whose recreated containers cause this one's to be recreated.
	char **follows;
	size_t follows_n;
	/// Its hash depends on the ids of other containers, and is not known beforehand.
	bool hash_is_late;
};

struct compose_ties {
	struct compose_tie *items;
	size_t n;
};

/// Reads what `config` printed. The generations differ: 2 recreates everything that depends on
/// something recreated, 1 only what is linked to it or shares its processes. LM_E_INVALID,
/// LM_E_TOO_LARGE.
lm_rc compose_ties_parse(
	struct lm_str config, unsigned generation, struct compose_ties *ret, struct lm_err *err);
void compose_ties_finish(struct compose_ties *ties);
/// Borrowed; NULL if there is no such service.
const struct compose_tie *compose_ties_get(const struct compose_ties *ties, const char *service);
