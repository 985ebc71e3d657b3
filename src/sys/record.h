// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A small document on disk that shows whether it is whole.
///
/// The first line of the file is {"lighterman":"<kind>","format":2,"sha256":"<digits>"}, the rest
/// the document, whose SHA-256 that is: `jq` reads both. The kind is the file's name up to its
/// first dot, so that no file passes for another. Format 1, of releases before, is the document
/// alone, which always was JSON; it is still read.

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "sys/damage.h"
#include "sys/json.h"

#include <stddef.h>

enum { RECORD_FORMAT = 2, RECORD_HEADER_MAX = 160 };

/// The text of the file `name` with that document. LM_E_INVALID: the document is blank.
/// LM_E_TOO_LARGE: over the ceiling of `out`.
lm_rc record_make(const char *name, struct lm_str document, struct lm_buf *out, struct lm_err *err);
/// Finds the document in the text of the file `name`; it is a part of the text. LM_E_INVALID: the
/// text is damaged.
lm_rc record_parse(const char *name, struct lm_str text, struct lm_str *ret, struct lm_err *err);

/// Reads a document of at most as many bytes as `out` may hold. LM_E_NOT_FOUND; LM_E_INVALID: it is
/// damaged, or no regular file; LM_E_TOO_LARGE, LM_E_DENIED, LM_E_SYS.
lm_rc record_read(int dir_fd, const char *name, struct lm_buf *out, struct lm_err *err);
/// Replaces the file, with mode 0600, as lm_file_replace does.
lm_rc record_replace(int dir_fd, const char *name, struct lm_str document, struct lm_err *err);

/// Reads a document of at most `max` bytes that is JSON. As record_read.
lm_rc record_json_read(int dir_fd, const char *name, size_t max, json_t **ret, struct lm_err *err);
/// The same for a file that nothing depends on: every failure but LM_E_NOT_FOUND is noted, with
/// what it means, and a file that is damaged is set aside.
lm_rc record_json_load(int dir_fd, const char *name, size_t max, const char *meaning,
	struct damage *damage, json_t **ret);
/// Replaces the file by the document. LM_E_TOO_LARGE: that is over `max` bytes.
lm_rc record_json_replace(
	int dir_fd, const char *name, size_t max, const json_t *j, struct lm_err *err);
