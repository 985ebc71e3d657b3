// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What we read in compose files: whether docker-compose may take one as it was written, and which
/// services and images the resolved one has. Pure.

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

/// Checks a compose file as a person wrote it: YAML, mappings, at least one service. Format 1
/// (services at the top) and files that only `include` others pass: compose decides about them, as
/// it does about everything that is not checked here. `generation` 1 takes one
/// document; 0: not known. LM_E_INVALID: the message names line and column. LM_E_TOO_LARGE: it is
/// not to be given to compose.
lm_rc compose_file_check(struct lm_str text, unsigned generation, struct lm_err *err);

enum compose_pull_policy {
	COMPOSE_PULL_DEFAULT, ///< None, or one that is not known here.
	COMPOSE_PULL_ALWAYS,
	COMPOSE_PULL_MISSING, ///< "missing", "if_not_present"
	COMPOSE_PULL_NEVER,
	COMPOSE_PULL_BUILD,
};

/// The health check of a service, by the compose file.
enum compose_health {
	COMPOSE_HEALTH_OF_IMAGE, ///< The file has none: that of the image, if it has one.
	COMPOSE_HEALTH_ON,
	COMPOSE_HEALTH_OFF,
};

struct compose_service {
	char *name;
	char *image;    ///< NULL if it has none.
	char *platform; ///< NULL if none is asked for.
	enum compose_pull_policy pull_policy;
	bool has_build;
	enum compose_health health;
	bool restarts;        ///< Something starts its containers again when they exit, or may.
	bool builds_for_many; ///< `build.platforms` names more than one.
	unsigned replicas;    ///< `scale`, else `deploy.replicas`, else 1.
	/// Generation 1 counts `deploy.replicas` in the mode `replicated` alone, and no more than
	/// `deploy.placement.max_replicas_per_node`.
	unsigned replicas_in_1;
	bool has_profiles; ///< The key is there, be its list empty.
	char **profiles;
	size_t profiles_n;
	char **needs; ///< Services without which `up` does not start it.
	size_t needs_n;
	/// `up` starts it. All are, until compose_services_activate.
	bool active;
};

struct compose_services {
	struct compose_service *items;
	size_t n;
};

/// Reads the services out of what `config` printed. LM_E_INVALID, LM_E_TOO_LARGE (over
/// LIMIT_SERVICES).
lm_rc compose_services_parse(
	struct lm_str config, struct compose_services *ret, struct lm_err *err);
void compose_services_finish(struct compose_services *services);

/// Sets which services are active, and how many replicas they have. Generation 2 prints none but
/// those; 1 prints all, and starts those that have no profiles or one of `profiles` (the value of
/// COMPOSE_PROFILES). LM_E_INVALID: none is active, or one needs another that is not.
lm_rc compose_services_activate(struct compose_services *services, unsigned generation,
	struct lm_str profiles, struct lm_err *err);
/// What docker-compose 2 makes of a compose file all of whose services have profiles, none of them
/// active, has no services. If `text`, the compose file, is one, `err` gets that error instead.
void compose_file_explain_inactive(struct lm_str text, struct lm_err *err);

/// One image of the active services, for one platform. Several services may share it.
struct compose_image {
	char *name;           ///< Without `image`, the name that docker-compose gives to it.
	char *key;            ///< The same for all names of the image.
	const char *platform; ///< NULL if none is asked for. Borrowed.
	const char *builder;  ///< The service that builds it; NULL: none. Borrowed.
	bool builds_for_many; ///< Of the builder.
	bool is_named;        ///< The compose file names it: a registry may have it.
	unsigned policies;    ///< Of the services: a set of 1 << COMPOSE_PULL_…
};

struct compose_images {
	struct compose_image *items;
	size_t n;
};

struct compose_images_options {
	const char *project;
	unsigned generation;
	const char *default_platform; ///< Of services that ask for none; NULL: the engine's own.
};

/// The images of the active services, each once for each platform, those that are built too. What
/// is borrowed is the services' and the options'.
void compose_images_make(const struct compose_services *services,
	const struct compose_images_options *options, struct compose_images *ret);
void compose_images_finish(struct compose_images *images);

/// The name that docker-compose gives to the image of a service that is built and names none. The
/// caller frees.
char *compose_built_name(const char *project, const char *service, unsigned generation);

/// Finds what docker-compose silently reads in another way than the author most likely meant it;
/// docker-compose 1 has more such habits than 2. Calls `found` with a sentence for each place; it
/// starts with line and column and has no values but of ports. Each place is reported once, and of
/// many only the first. Nothing is found in a text that cannot be read.
void compose_lint(struct lm_str text, unsigned generation,
	void (*found)(void *ctx, const char *message), void *ctx);
