// SPDX-License-Identifier: Apache-2.0
#pragma once

/// status.json of the plugin (docs/formats.md): what lightermand reads about clients and messages.
/// Written at most once a second, and only after a change.

#include "base/error.h"
#include "broker/local_clients.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stdint.h>

struct router_counts {
	uint64_t routed;    ///< Messages that somebody was to get.
	uint64_t delivered; ///< Handed to mosquitto for one receiver each.
	uint64_t refused;   ///< Messages that no subscription allows.
	uint64_t refused_connections;
};

struct router_status {
	int64_t started_ms, table_loaded_ms;
	const char *table_error; ///< Of the last reload; NULL: none.
	struct router_counts counts;
	const struct local_clients *clients;
	json_t *shadows, *cloud; ///< Members of these names, borrowed; NULL: null.
};

struct status_file;

/// `path` NULL: none is written. LM_E_SYS and others: its folder cannot be opened.
lm_rc status_file_open(const char *path, struct status_file **ret, struct lm_err *err);
void status_file_close(struct status_file *f);
/// Something of it has changed.
void status_file_touch(struct status_file *f);
/// Whether it is time to write it.
bool status_file_is_due(const struct status_file *f, uint64_t now_mono_ms);
lm_rc status_file_write(struct status_file *f, uint64_t now_mono_ms,
	const struct router_status *status, struct lm_err *err);
