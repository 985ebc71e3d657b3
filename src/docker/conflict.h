// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Who holds what a compose file wants: container names, host ports, networks, address ranges.
/// Compares what was asked of the engine and of the kernel; matches no messages. Removes nothing.

#include "base/buf.h"
#include "docker/compose_requirements.h"
#include "docker/engine.h"
#include "sys/listeners.h"

enum conflict_kind {
	CONFLICT_NAME,
	CONFLICT_PORT,
	CONFLICT_NETWORK,         ///< Its name is taken by one that docker-compose will not use.
	CONFLICT_NETWORK_CHANGED, ///< The same: as it has another definition than in the file.
	CONFLICT_SUBNET,
	CONFLICT_NETWORK_GONE, ///< A stopped container refers to a network that was removed.
};

enum conflict_holder {
	CONFLICT_OURS,     ///< It carries our project's label.
	CONFLICT_STRANGER, ///< A container or network that does not.
	CONFLICT_PROGRAM,  ///< Nothing of the engine's.
	CONFLICT_FILE,     ///< Another service of the same file wants the same.
};

/// One thing that is in the way. Borrows from what it was found in.
struct conflict {
	enum conflict_kind kind;
	enum conflict_holder holder;
	const char *service; ///< Who wants it; NULL for networks.
	const char *wanted;  ///< The container name, the network's name, the subnet, the address.
	unsigned port;
	const char *protocol;
	/// What holds it, or the container of another application that uses a network of ours.
	const struct engine_container *container;
	const struct engine_network *network;
	const struct listener *listener;
	const char *other_service; ///< CONFLICT_FILE.
	const char *difference;    ///< CONFLICT_NETWORK_CHANGED: what of it, the first.
};

struct conflicts {
	struct conflict *items;
	size_t n;
};

struct conflict_search {
	const char *project; ///< Ours.
	unsigned generation; ///< Of docker-compose: 2 refuses networks by their labels, 1 by their
			     ///< definition.
	const struct compose_resources *wanted;
	const struct engine_inventory *inventory;
	const struct listeners *listeners; ///< NULL: not known.
};

/// Finds what is held at this moment; what a service's own containers hold for it is no conflict.
/// Pure.
void conflict_find(const struct conflict_search *search, struct conflicts *ret);
void conflicts_finish(struct conflicts *list);
/// Appends one sentence: who holds what, and what to run. Looks for the program of a listener.
void conflict_describe(
	const struct conflict *c, const struct engine_inventory *inventory, struct lm_buf *out);
/// All of them in one sentence, the first few in full.
void conflicts_describe(
	const struct conflicts *list, const struct engine_inventory *inventory, struct lm_buf *out);
