// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What a group's loggers want of the connector log: those of the component Lambda, as the
/// connector was one. Without any, there is Greengrass's default: a file, INFO, 128 KB. Pure.

#include "base/log.h"
#include "config/definition.h"

#include <stdbool.h>

struct logger {
	bool on;
	enum lm_level level;
	unsigned space_kb;
};

struct loggers {
	struct logger file;  ///< Type FileSystem.
	struct logger cloud; ///< Type AWSCloudWatch.
};

/// Of several of one type the last counts. `items` may be NULL if `n` is 0.
struct loggers loggers_read(const struct group_logger *items, size_t n);
