// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What a deployment would do, derived from what is wanted and what exists: `lighterman plan`.
/// Pure.

#include "docker/compose_file.h"
#include "docker/compose_hashes.h"
#include "docker/engine_images.h"
#include "docker/engine_json.h"
#include "worker/images.h"
#include "worker/manifests.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct plan_image {
	char *image;    ///< Owned, like all texts.
	char *platform; ///< NULL: none is asked for.
	enum image_action action;
	bool is_built;        ///< If it cannot be pulled.
	char *id;             ///< Of the image that has that name here; NULL: none has.
	char *digest;         ///< Of what its registry has, else of what is here; NULL: not known.
	bool replaced;        ///< `up` finds another image of that name than the local one.
	bool unsure;          ///< Whether it is replaced is unknown.
	bool known;           ///< The sizes are known.
	uint64_t bytes;       ///< To be downloaded.
	uint64_t bytes_total; ///< Of all its layers, as they are downloaded.
	uint64_t bytes_disk;  ///< That it takes at most while it is pulled; an estimate.
	char *reason; ///< Why sizes are unknown, or why the image is missing; NULL: neither.
};

struct plan_images {
	struct plan_image *items;
	size_t n;
};

void plan_images_finish(struct plan_images *images);

enum {
	/// Unpacked, a compressed layer takes about so many times its bytes.
	PLAN_UNPACKED_FACTOR = 3,
};

/// Takes the registries' answers for the images to be pulled: `answers[i]` is for `asked[i]`.
/// Layers that are in `here` do not count, and those of several images count for the first.
void plan_take_answers(struct plan_image *const *asked, const struct manifest_answer *answers,
	size_t n, const struct engine_layers *here);

enum plan_action {
	PLAN_CREATED,
	PLAN_RECREATED,
	PLAN_STARTED, ///< Its containers exist and do not run.
	PLAN_REMOVED,
	PLAN_LEFT_ALONE,
	PLAN_UNKNOWN,
};

enum plan_reason {
	PLAN_NEW,               ///< There is no container of it.
	PLAN_DOWN,              ///< Everything is stopped first.
	PLAN_COMPOSE,           ///< Another generation of docker-compose created its containers.
	PLAN_DEFINITION,        ///< The compose file defines it differently.
	PLAN_IMAGE,             ///< Its image is another.
	PLAN_DEPENDENCY,        ///< A service that it depends on is recreated.
	PLAN_SCALE,             ///< It is to have more containers, or fewer.
	PLAN_STOPPED,           ///< They do not run.
	PLAN_GONE,              ///< The compose file no longer has it.
	PLAN_UNCHANGED,         ///< Nothing.
	PLAN_UNSURE_IMAGE,      ///< Which image its registry has is unknown.
	PLAN_UNSURE_DEFINITION, ///< docker-compose gave no hash.
};

/// "created", … and "new", …: as in docs/formats.md.
const char *plan_action_name(enum plan_action action);
const char *plan_reason_name(enum plan_reason reason);

struct plan_service {
	char *name;
	char *image; ///< NULL: the compose file names none.
	enum plan_action action;
	enum plan_reason reason;
	/// What has changed since its containers were created: a set of 1 << PLAN_COMPOSE,
	/// PLAN_DEFINITION, PLAN_IMAGE. Valid if `changes_known`.
	unsigned changes;
	bool changes_known;
	size_t containers; ///< That it has now.
};

struct plan_services {
	struct plan_service *items;
	size_t n;
};

/// What is wanted, and what is there; borrowed.
struct plan_input {
	const struct compose_services *services;
	const struct compose_ties *ties;
	/// Of the new file, and of the local copy; n 0: unknown.
	const struct compose_hashes *hashes, *old_hashes;
	unsigned generation; ///< Of docker-compose.
	const struct engine_containers *containers;
	const struct plan_images *images;
	bool takes_down;
};

/// What the deployment does with each service, in the order of the compose file; then those that
/// only have containers.
void plan_services_make(const struct plan_input *input, struct plan_services *ret);
void plan_services_finish(struct plan_services *services);
