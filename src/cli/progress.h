// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The progress of a task as text: the `progress` objects of lightermand in, lines for people
/// out. Pure: no terminal, no clock.
///
/// On a terminal that moves, lines that are final scroll up as usual; below them stand the live
/// lines (the stage under way, its images), which are erased and drawn again. Elsewhere there are
/// only final lines, without control characters. What is printed goes to the end of `out`.

#include "base/buf.h"
#include "base/cleanup.h"
#include "cli/terminal.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stdint.h>

struct progress;

struct progress *progress_create(void);
void progress_destroy(struct progress *p);
LM_DEFINE_CLEANUP(struct progress, progress_destroy)

/// Takes one `progress` object (borrowed). Ignores unknown members.
void progress_take(struct progress *p, const struct terminal_style *style, const json_t *event,
	uint64_t now_ms, struct lm_buf *out);
/// Removes the live lines, so that something else can be printed there.
void progress_erase(struct progress *p, struct lm_buf *out);
/// Redraws the live lines; nothing unless `moving`.
void progress_draw(struct progress *p, const struct terminal_style *style, uint64_t now_ms,
	struct lm_buf *out);
/// Whether live lines are on the screen.
bool progress_is_drawn(const struct progress *p);

/// The stage that failed, or NULL. Borrowed.
const char *progress_failed_stage(const struct progress *p);
/// [{"stage":S,"ms":N},…] of the finished stages, in order. Borrowed.
json_t *progress_stages(const struct progress *p);
