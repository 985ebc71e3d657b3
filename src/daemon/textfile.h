// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A file that shows the metrics to a program that reads files (the textfile collector of
/// node_exporter): replaced as a whole when its text has changed, at most every 15 s, to spare the
/// disk, or when something has changed and it is not there. Wakes up for nothing else. Logs, once,
/// that it cannot be written.

#include "base/buf.h"
#include "base/cleanup.h"
#include "sys/loop.h"

struct textfile;

/// Appends the file's text.
typedef bool textfile_text(void *ctx, struct lm_buf *out);

/// `path` is copied. Its directory must be there; the file is readable for all.
struct textfile *textfile_create(
	struct loop *loop, const char *path, textfile_text *text, void *ctx);
/// Writes it a last time, if it is not what was written. Takes NULL.
void textfile_destroy(struct textfile *t);
LM_DEFINE_CLEANUP(struct textfile, textfile_destroy)

/// The text may no longer be what was written. Takes NULL.
void textfile_changed(struct textfile *t);
