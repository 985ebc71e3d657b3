// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One log for a program: lines "[<UTC>Z][<LEVEL>]-<file>:<line>,<message>", as Greengrass V1 and
/// the connector in it wrote them.
///
/// Only layer 5 logs what went wrong; lower layers return errors. A line never holds a secret and
/// never a raw control character.

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum lm_level { LM_DEBUG, LM_INFO, LM_WARN, LM_ERROR };

/// Where lines go beside stderr: called with the finished line, ended by a newline.
typedef void lm_log_sink(void *ctx, enum lm_level level, struct lm_str line);

void lm_log_set_level(enum lm_level level);
/// Replaces stderr by `sink` (NULL: stderr again).
void lm_log_set_sink(lm_log_sink *sink, void *ctx);
/// Use the macros, which add file and line. `file` has no folder.
void lm_log_from(const char *file, int number, enum lm_level level, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/// Reads the head of a line that lm_log wrote, in this program or another. False if the line has
/// none.
bool lm_log_parse(struct lm_str line, int64_t *ret_wall_ms, enum lm_level *ret_level);
/// "DEBUG", "INFO", "WARN", "ERROR".
const char *lm_level_name(enum lm_level level);

#define lm_log(level, ...) lm_log_from(__FILE_NAME__, __LINE__, level, __VA_ARGS__)
#define lm_debug(...) lm_log(LM_DEBUG, __VA_ARGS__)
#define lm_info(...) lm_log(LM_INFO, __VA_ARGS__)
#define lm_warn(...) lm_log(LM_WARN, __VA_ARGS__)
#define lm_error(...) lm_log(LM_ERROR, __VA_ARGS__)
