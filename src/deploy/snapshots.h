// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The folder of the snapshots of named volumes, <stateDirectory>/volumes/:
///
///     <n>/data/<volume>/      the content of a volume as generation <n> left it
///     .new-<n>/data/<volume>/ a snapshot that is being made, or of a deployment under way
///     .new-<n>/containers.json when the containers that use the volumes had started
///     .old-<k>/               what is to be removed
///     left-<k>/data/<volume>/ what could not be put back, as the volume was removed
///     restore.json            the restore that is under way (worker/volume_restore.h), or what
///                             one has left to be removed
///
/// What is in it belongs to root, and is made, put back and removed by the worker's task `volumes`;
/// lightermand only looks and drops. <n> is there from the moment on at which another generation
/// may start: what it holds is what to go back to when generation <n> starts again. Of no `.new-`
/// it is known what became of the volumes since, unless by the deployment that has made it.
///
/// Blocking file I/O, a few small calls each. Never follows a link, never logs.

#include "base/cleanup.h"
#include "base/error.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stddef.h>

#define SNAPSHOT_DATA "data"

enum { SNAPSHOT_NAME_SIZE = 32 };

struct snapshots {
	char *path; ///< Owned.
	int fd;
};

/// LM_E_NOT_FOUND: there is none yet, and it is not to be made. LM_E_DENIED: it is another user's.
lm_rc snapshots_open(
	const char *state_directory, bool make, struct snapshots *ret, struct lm_err *err);
void snapshots_finish(struct snapshots *s);
#define lm_auto_snapshots lm_auto(snapshots_finish)

/// Whether generation `n` has one; 0 has none.
lm_rc snapshots_have(const struct snapshots *s, unsigned n, bool *ret, struct lm_err *err);
/// The generations that have one, in any order; the caller frees.
lm_rc snapshots_list(
	const struct snapshots *s, unsigned **ret, size_t *ret_count, struct lm_err *err);
/// That of `n` counts no more, lastingly; its content is removed later. No error if there is none.
lm_rc snapshots_drop(const struct snapshots *s, unsigned n, struct lm_err *err);
/// The same, but what it holds stays, in the folder `ret_name`.
lm_rc snapshots_set_aside(const struct snapshots *s, unsigned n, char ret_name[SNAPSHOT_NAME_SIZE],
	struct lm_err *err);

/// "<n>", into `out`, and ".new-<n>", where one of `n` is made. Returns `out`.
char *snapshot_name(unsigned n, char out[SNAPSHOT_NAME_SIZE]);
char *snapshot_new_name(unsigned n, char out[SNAPSHOT_NAME_SIZE]);
/// The one that was made takes its place, lastingly. LM_E_CONFLICT: there is one, which stays.
lm_rc snapshots_adopt(const struct snapshots *s, unsigned n, struct lm_err *err);
/// The one that is made, or was, is rubbish from now on. No error if there is none.
lm_rc snapshots_discard(const struct snapshots *s, unsigned n, struct lm_err *err);
/// The first name, in the order of strcmp, behind `after` ("": of all) of something that is to be
/// removed, in `out`, also of a snapshot that was made and not adopted. False: there is none.
bool snapshots_find_rubbish(
	const struct snapshots *s, const char *after, char out[SNAPSHOT_NAME_SIZE]);

/// The restore under way; `*ret` is NULL if none is, the caller's. LM_E_CONFLICT: the record is
/// damaged; the message has what to do.
lm_rc snapshots_read_restore(const struct snapshots *s, json_t **ret, struct lm_err *err);
/// Records how far it is, lastingly.
lm_rc snapshots_note_restore(const struct snapshots *s, const json_t *restore, struct lm_err *err);
/// It is over, lastingly.
lm_rc snapshots_end_restore(const struct snapshots *s, struct lm_err *err);
