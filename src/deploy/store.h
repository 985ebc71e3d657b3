// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What lightermand remembers of deployments: generations, which of them is current, which was
/// last good, what is under way.
///
///     <dir>/generations/<n>/definition.json   the definition as it was handed over
///                           compose.yml       as fetched, of the attempt that counts
///                           images.json       image -> digest, of the same attempt
///                           copies.json       what it put at the destination: digest and version
///                           outcome.json      how the last attempt ended
///                           reported          the attempt whose status message is in the outbox
///     <dir>/current, <dir>/last-good          links "generations/<n>"
///     <dir>/journal                           the attempt under way
///     <dir>/wanted                            what shall be: a link with the text "up <n>" or
///                                             "down <n>" (deploy/wanted.h)
///
/// A generation is one definition. It is deployed by one or more attempts (again after an
/// interruption, again at each start of the daemon). What an attempt fetched lies beside as
/// *.new until outcome.json is put in place, which is the one moment at which an attempt has
/// ended; all that follows is done again by the next store_open if it was cut short.
/// So after a kill or a power cut at any point: `current` and `last-good` name complete
/// generations, an attempt without an outcome is found and named, and an outcome whose status
/// message is not known to be in the outbox is listed until store_reported.
///
/// One owner: the directory is locked. Blocking file I/O, no Docker, no loop, never logs. Nothing
/// of a file's content is kept in memory. Links inside the directory are never followed. After an
/// error (disk full, I/O error) the store is as it was, or the call may simply be made again.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "deploy/lifecycle.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STORE_STAGE_SIZE = 32, STORE_KEEP_DEFAULT = 5 };

struct store;

/// Numbers are generations; 0 is none.
struct store_state {
	unsigned current;   ///< Last deployed with success.
	unsigned last_good; ///< To go back to.
	unsigned newest;    ///< Last begun, whatever became of it.
	/// The attempt under way. Just after store_open: the one that was interrupted. It is to be
	/// run again (store_rerun) or ended (store_finish) before another generation begins.
	unsigned open;
	unsigned open_attempt;
	char open_stage[STORE_STAGE_SIZE]; ///< The last stage recorded, "" if none was.
	/// What shall be, and what shall be instead if a generation that was never deployed with
	/// success changes nothing. They name generations that exist.
	struct lifecycle_target wanted, before;
	bool touched; ///< An attempt has changed what runs, and none has succeeded since.
};

/// Opens, creating `dir` and its parents (0700) where they are missing, and puts in order what a
/// crash left. LM_E_CONFLICT: another process has it open. LM_E_INVALID: `dir` is a link or no
/// directory. LM_E_SYS, LM_E_DENIED.
lm_rc store_open(const char *dir, struct store **ret, struct lm_err *err);
void store_close(struct store *s);
LM_DEFINE_CLEANUP(struct store, store_close)

/// Always up to date; borrowed.
const struct store_state *store_state(const struct store *s);
/// A sentence on something store_open found damaged and went on without, for the log; NULL:
/// nothing.
const char *store_note(const struct store *s);

/// Begins the deployment of a definition: a new generation, complete and synced before it has its
/// number. With `reuse` a definition whose text is that of the interrupted, the current or the
/// newest generation gets another attempt of that one instead (unless it has a status message that
/// was not reported yet). From the same moment on it is what is wanted, with `before` (unless that
/// is the same generation) and `touched`. LM_E_CONFLICT: another attempt is under way.
lm_rc store_begin(struct store *s, struct lm_str definition, bool reuse,
	struct lifecycle_target before, bool touched, unsigned *ret_n, struct lm_err *err);
/// Begins another attempt of generation `n`, which may be the interrupted one. LM_E_NOT_FOUND.
/// LM_E_CONFLICT: another attempt is under way, or a status message of `n` was not reported yet.
lm_rc store_rerun(struct store *s, unsigned n, struct lm_err *err);

/// All below until store_finish: for the attempt under way. LM_E_INVALID if `n` is not it.
///
/// A file for the worker to write the compose file into; the caller closes it. It counts only after
/// store_compose_keep. It is empty, or, with `from_kept`, holds what store_read_compose reads.
lm_rc store_compose_open(
	struct store *s, unsigned n, bool from_kept, int *ret_fd, struct lm_err *err);
/// The file is complete: syncs it. LM_E_NOT_FOUND: there was no store_compose_open.
/// LM_E_TOO_LARGE: over LIMIT_COMPOSE_FILE.
lm_rc store_compose_keep(struct store *s, unsigned n, struct lm_err *err);
/// Records that a stage is about to act; it may act after LM_OK only.
lm_rc store_journal(struct store *s, unsigned n, const char *stage, struct lm_err *err);
/// The attempt is about to put a compose file of this SHA-256 (hexadecimal digits) and version (""
/// if none is known) at the destination. A generation remembers the last few.
lm_rc store_note_copy(
	struct store *s, unsigned n, const char *sha256, const char *version, struct lm_err *err);
/// Notes an image's digest; kept in memory until store_finish. LM_E_TOO_LARGE: too many of them.
lm_rc store_image(
	struct store *s, unsigned n, struct lm_str ref, struct lm_str digest, struct lm_err *err);

struct store_outcome {
	bool success;
	const char *stage;            ///< Where it failed; NULL on success.
	const char *error;            ///< "InvalidParameter", "InternalError"; NULL on success.
	const char *message;          ///< NULL on success.
	const char *compose_version;  ///< NULL: none.
	int64_t started_ms, ended_ms; ///< Wall clock.
	struct lm_str status; ///< The status document to send; empty: nothing is to be sent.
};

/// Ends the attempt. With success the generation becomes current and last good, and what was
/// fetched becomes its compose.yml and images.json; a failed attempt leaves those of an earlier
/// one as they were. After an error the attempt is still under way: call again.
lm_rc store_finish(
	struct store *s, unsigned n, const struct store_outcome *outcome, struct lm_err *err);

/// A status message that is not known to be in the outbox.
struct store_message {
	unsigned generation, attempt; ///< Together they identify the message.
};

/// All of them that can be read, oldest generation first, also with an error; the caller frees the
/// array (NULL if there are none).
lm_rc store_unreported(
	struct store *s, struct store_message **ret, size_t *ret_count, struct lm_err *err);
/// The document to send for generation `n`'s last outcome. The caller frees it.
/// LM_E_NOT_FOUND: no outcome, or one without a document.
lm_rc store_read_status(struct store *s, unsigned n, char **ret, struct lm_err *err);
/// The message of `n`'s last outcome is safely in the outbox.
lm_rc store_reported(struct store *s, unsigned n, struct lm_err *err);

/// The numbers of all generations, newest first; the caller frees (NULL if there are none).
lm_rc store_list(struct store *s, unsigned **ret, size_t *ret_count, struct lm_err *err);
/// outcome.json as text: an object with generation, attempt, success, good (an attempt ever
/// succeeded), stage, error, message, compose_version, good_compose_version (of the attempt that
/// compose.yml is of), started_ms, ended_ms, status. The caller frees it. LM_E_NOT_FOUND: no
/// attempt has ended yet.
lm_rc store_read_outcome(struct store *s, unsigned n, char **ret, struct lm_err *err);
/// The definition's text; the caller frees it.
lm_rc store_read_definition(struct store *s, unsigned n, char **ret, struct lm_err *err);
/// A descriptor of the generation's compose.yml, read only; the caller closes it. LM_E_NOT_FOUND.
lm_rc store_read_compose(struct store *s, unsigned n, int *ret_fd, struct lm_err *err);

/// What store_note_copy noted of a generation, the newest first: [{"sha256","version"},…], the
/// caller's. "[]" if there is nothing, or what there is cannot be read.
lm_rc store_read_copies(struct store *s, unsigned n, json_t **ret, struct lm_err *err);

/// Removes all generations but the newest `keep` (at least one), current, last good, the one under
/// way, what is wanted and those with a message that was not reported.
lm_rc store_prune(struct store *s, unsigned keep, struct lm_err *err);

/// Makes what is wanted last. Works on a full disk, too.
lm_rc store_want(struct store *s, struct lifecycle_target wanted, struct lifecycle_target before,
	bool touched, struct lm_err *err);
