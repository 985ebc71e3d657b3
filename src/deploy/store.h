// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What lightermand remembers of deployments: generations, which of them is current, which was
/// last good, what is under way.
///
///     <dir>/generations/<n>/definition.json   the definition as it was handed over
///                           compose.yml       as fetched, of the attempt that counts
///                           images.json       image -> digest and ID, of the same attempt
///                           copies.json       what it put at the destination: digest and version
///                           outcome.json      how the last attempt ended
///                           reported          the attempt whose status message is in the outbox
///                           quarantine.json   why it is not to be deployed by itself again
///     <dir>/current, <dir>/last-good          links "generations/<n>"
///     <dir>/journal                           the attempt under way
///     <dir>/pulled-images.json              images that may go with their last generation
///     <dir>/pruned-quarantines.json         quarantines that outlive their generation
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

enum { STORE_STAGE_SIZE = 32, STORE_KEEP_DEFAULT = 5, STORE_RELEASED_MAX = 200 };

struct store;

/// Numbers are generations; 0 is none.
struct store_state {
	unsigned current; ///< Last deployed with success.
	/// To go back to. Not `current` while that is on probation; 0 if nothing was before it.
	unsigned last_good;
	unsigned newest; ///< Last begun, whatever became of it.
	/// The attempt under way. Just after store_open: the one that was interrupted. It is to be
	/// run again (store_rerun) or ended (store_finish) before another generation begins.
	unsigned open;
	unsigned open_attempt;
	char open_stage[STORE_STAGE_SIZE]; ///< The last stage recorded, "" if none was.
	/// What shall be, and what shall be instead if a generation that was never deployed with
	/// success changes nothing. They name generations that exist.
	struct lifecycle_target wanted, before;
	bool touched; ///< An attempt has changed what runs, and none has succeeded since.
	/// What is wanted takes the place of this one, which is rolled back; 0: it does not.
	unsigned leaves;
	/// This one had changed what ran and failed, before a stop; 0: none. Not kept with
	/// `leaves`.
	unsigned failed;
};

/// Opens, creating `dir` and its parents (0700) where they are missing, and puts in order what a
/// crash left. LM_E_CONFLICT: another process has it open. LM_E_INVALID: `dir` is a link or no
/// directory. LM_E_SYS, LM_E_DENIED.
lm_rc store_open(const char *dir, struct store **ret, struct lm_err *err);
void store_close(struct store *s);
LM_DEFINE_CLEANUP(struct store, store_close)

/// Always up to date; borrowed.
const struct store_state *store_state(const struct store *s);
/// Sentences for the log on what store_open found damaged and went on without: what it means, and
/// what to do. Borrowed.
const char *const *store_notes(const struct store *s, size_t *ret_n);

/// Begins the deployment of a definition: a new generation, complete and synced before it has its
/// number. With `reuse` a definition whose text is that of the interrupted, the current or the
/// newest generation gets another attempt of that one instead (unless it has a status message that
/// was not reported yet). From the same moment on it is what is wanted, with `before` (unless that
/// is the same generation) and `touched`; it takes the place of none that is rolled back.
/// LM_E_CONFLICT: another attempt is under way.
lm_rc store_begin(struct store *s, struct lm_str definition, bool reuse,
	struct lifecycle_target before, bool touched, unsigned *ret_n, struct lm_err *err);
/// Begins another attempt of generation `n`, which may be the interrupted one. LM_E_NOT_FOUND.
/// LM_E_CONFLICT: another attempt is under way, or a status message of `n` was not reported yet.
lm_rc store_rerun(struct store *s, unsigned n, struct lm_err *err);

/// All below until store_finish: for the attempt under way. LM_E_INVALID if `n` is not it.
///
/// A file for the worker to write the compose file into; the caller closes it. It counts only after
/// store_compose_keep. It is empty, or, with `from_own`, holds what store_read_compose reads.
lm_rc store_compose_open(
	struct store *s, unsigned n, bool from_own, int *ret_fd, struct lm_err *err);
/// The file is complete: syncs it. LM_E_NOT_FOUND: there was no store_compose_open.
/// LM_E_TOO_LARGE: over LIMIT_COMPOSE_FILE.
lm_rc store_compose_keep(struct store *s, unsigned n, struct lm_err *err);
/// Records that a stage is about to act; it may act after LM_OK only.
lm_rc store_journal(struct store *s, unsigned n, const char *stage, struct lm_err *err);
/// The attempt is about to put a compose file of this SHA-256 (hexadecimal digits) and version (""
/// if none is known) at the destination. A generation remembers the last few.
lm_rc store_note_copy(
	struct store *s, unsigned n, const char *sha256, const char *version, struct lm_err *err);
/// Notes an image's digest and ID ("sha256:…"; "" for one that is not known); kept in memory until
/// store_finish. LM_E_TOO_LARGE: too many of them.
lm_rc store_image(struct store *s, unsigned n, struct lm_str ref, struct lm_str digest,
	struct lm_str id, struct lm_err *err);

struct store_outcome {
	bool success;
	bool probation;               ///< A success that is to prove itself until store_confirm.
	const char *stage;            ///< Where it failed; NULL on success.
	const char *error;            ///< "InvalidParameter", "InternalError"; NULL on success.
	const char *message;          ///< NULL on success.
	const char *compose_version;  ///< NULL: none.
	int64_t started_ms, ended_ms; ///< Wall clock.
	struct lm_str status; ///< The status document to send; empty: nothing is to be sent.
};

/// Ends the attempt. With success the generation becomes current and, unless it is on probation,
/// last good, and what was fetched becomes its compose.yml and images.json; a failed attempt leaves
/// those of an earlier one as they were. After an error the attempt is still under way: call again.
lm_rc store_finish(
	struct store *s, unsigned n, const struct store_outcome *outcome, struct lm_err *err);
/// Generation `n`, which is current, has proved itself: it is last good from now on. May be called
/// again. LM_E_INVALID: it is not current.
lm_rc store_confirm(struct store *s, unsigned n, struct lm_err *err);

/// Generation `n` is not to be deployed by itself again, for that reason, whose place the last one
/// takes. The store only remembers it: store_begin and store_rerun do not look. LM_E_NOT_FOUND:
/// there is no such generation.
lm_rc store_quarantine(struct store *s, unsigned n, const char *reason, struct lm_err *err);
/// It may be deployed again. No error if it is in no quarantine. LM_E_NOT_FOUND: as above.
lm_rc store_lift(struct store *s, unsigned n, struct lm_err *err);
/// Why and since when (wall clock) `n` is in quarantine; the caller frees the reason.
/// LM_E_NOT_FOUND: it is not. One whose record is damaged is, with a reason that says so.
lm_rc store_read_quarantine(
	struct store *s, unsigned n, char **ret_reason, int64_t *ret_at_ms, struct lm_err *err);
/// A definition is in quarantine as the newest generation with it is, or was, until it was pruned:
/// that generation and the reason, which the caller frees. LM_E_NOT_FOUND: it is not; `*ret_n` is
/// the newest generation all the same (0: there is none).
lm_rc store_find_quarantined(struct store *s, struct lm_str definition, unsigned *ret_n,
	char **ret_reason, struct lm_err *err);
/// Those whose generation was pruned: [{"generation","reason","at_ms"},…], the caller's.
lm_rc store_list_pruned_quarantines(struct store *s, json_t **ret, struct lm_err *err);
/// The newest generation with that definition; 0: there is none.
lm_rc store_find_definition(
	struct store *s, struct lm_str definition, unsigned *ret_n, struct lm_err *err);

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
/// outcome.json as text: an object with generation, attempt, success, probation, good (an attempt
/// ever succeeded), stage, error, message, compose_version, good_compose_version (of the attempt
/// that compose.yml is of), started_ms, ended_ms, status. The caller frees it. LM_E_NOT_FOUND: no
/// attempt has ended yet.
lm_rc store_read_outcome(struct store *s, unsigned n, char **ret, struct lm_err *err);
/// The definition's text; the caller frees it.
lm_rc store_read_definition(struct store *s, unsigned n, char **ret, struct lm_err *err);
/// A descriptor of the generation's compose.yml, read only; the caller closes it. LM_E_NOT_FOUND.
lm_rc store_read_compose(struct store *s, unsigned n, int *ret_fd, struct lm_err *err);

/// The images of the attempt that compose.yml is of: {"<ref>":{"digest","id"},…}, texts, "" for
/// what is not known; the caller's. "{}" if there are none, or what there is cannot be read.
lm_rc store_read_images(struct store *s, unsigned n, json_t **ret, struct lm_err *err);
/// Images that deployments have brought to this device (deploy/pulled_images.h).
///
/// Generation `n` uses an image under that name; `is_new`: it was not on this device before.
lm_rc store_note_pulled(struct store *s, unsigned n, const char *name, const char *id, bool is_new,
	struct lm_err *err);
/// Those that no generation needs any more, [{"id","names":[…]},…]: the last one that used it is
/// gone, and none has it in images.json. At most STORE_RELEASED_MAX of them. The caller's.
/// LM_E_INVALID: of one generation that is damaged, and nothing else has all that it says; then
/// none may go.
lm_rc store_list_released(struct store *s, json_t **ret, struct lm_err *err);
/// It was removed from this device.
lm_rc store_forget_pulled(struct store *s, const char *id, struct lm_err *err);

/// What store_note_copy noted of a generation, the newest first: [{"sha256","version"},…], the
/// caller's. "[]" if there is nothing, or what there is cannot be read.
lm_rc store_read_copies(struct store *s, unsigned n, json_t **ret, struct lm_err *err);

/// Removes all generations but the newest `keep` (at least one), current, last good, the one under
/// way, what is wanted and those with a message that was not reported. A definition that is in
/// quarantine stays there (store_find_quarantined).
lm_rc store_prune(struct store *s, unsigned keep, struct lm_err *err);

/// What is wanted; its members are as in struct store_state.
struct store_want {
	struct lifecycle_target wanted, before;
	bool touched;
	unsigned leaves, failed;
};

/// Makes what is wanted last. Works on a full disk, too.
lm_rc store_want(struct store *s, const struct store_want *want, struct lm_err *err);
