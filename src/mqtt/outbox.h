// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Messages that wait to be sent: a directory with one file a message, named after its sequence
/// number and class ("00000000000000000001.status").
///
/// STATUS and EVENT messages are on disk before outbox_add returns, and survive a kill or a power
/// cut; their payloads are not kept in memory. One that is not to wait for the disk, or that the
/// disk refuses, is held in memory until it is saved, or acknowledged. PROGRESS messages are in
/// memory only, to spare the flash: after a restart they are of no interest. A message may be sent
/// twice (its file is removed after it was acknowledged, without a sync), never lost unseen. One
/// thread; it sends nothing.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct outbox;

/// In the order in which a full outbox gives them up, last first.
enum outbox_class { OUTBOX_STATUS, OUTBOX_EVENT, OUTBOX_PROGRESS, OUTBOX_CLASSES };

struct outbox_counts {
	size_t messages;        ///< Waiting or in flight.
	size_t set_aside;       ///< Of these: of a class that is set aside.
	size_t lasting;         ///< Of these: on disk, so that they outlive us.
	size_t bytes;           ///< What they are charged: topic, payload and a fixed overhead.
	uint64_t dropped_event; ///< Given up since outbox_open because the outbox was full.
	uint64_t dropped_progress;
	uint64_t bad;         ///< Files set aside as "*.bad" since outbox_open.
	uint64_t bad_removed; ///< Of such files, whenever set aside: removed since outbox_open.
};

struct outbox_message {
	uint64_t seq;
	enum outbox_class class;
	char *topic;
	char *payload; ///< `payload_n` bytes, and a NUL behind them.
	size_t payload_n;
};

/// Opens the directory, creating it with mode 0700. Temporary files that a crash left are removed,
/// files that are no messages are renamed to "*.bad" and counted, and of these the LIMIT_OUTBOX_BAD
/// newest kept; the others wait in their old order. A file that cannot be read now (no descriptors,
/// the disk fails) may be a message, and waits too. LM_E_DENIED, LM_E_SYS, LM_E_INVALID (not a
/// directory).
lm_rc outbox_open(const char *directory, struct outbox **ret, struct lm_err *err);
void outbox_close(struct outbox *o);
LM_DEFINE_CLEANUP(struct outbox, outbox_close)

/// Takes a message. Over LIMIT_OUTBOX_BYTES the oldest PROGRESS, then the oldest EVENT messages
/// that are not in flight make room, but none of a higher class than the new one. A STATUS message
/// is then still taken up to twice the bound.
/// LM_E_TOO_LARGE: no room, or topic or payload over its ceiling; nothing was taken (and an EVENT
/// or PROGRESS message is counted as dropped if there was no room). LM_E_SYS and as
/// lm_file_replace: the disk refused it; nothing was taken nor dropped, the caller tries again.
lm_rc outbox_add(struct outbox *o, enum outbox_class class, const char *topic,
	struct lm_str payload, struct lm_err *err);
/// The same, but into memory only, whatever its class: there is no error of the disk.
lm_rc outbox_hold(struct outbox *o, enum outbox_class class, const char *topic,
	struct lm_str payload, uint64_t *ret_seq, struct lm_err *err);
/// Puts a message that is held on disk, unless it is of a class that stays in memory. One that is
/// no more, acknowledged already, is ignored. As lm_file_replace: the disk refused it, and it is
/// still held.
lm_rc outbox_save(struct outbox *o, uint64_t seq, struct lm_err *err);
/// The same for those that are held, the oldest first, at most `max` of them. Ends at the first
/// that the disk refuses.
lm_rc outbox_save_held(struct outbox *o, size_t max, struct lm_err *err);
/// Whether no message is held that is to be on disk.
bool outbox_is_saved(const struct outbox *o);
/// Whether all messages that there are are in flight, but for those of a class that is set aside.
bool outbox_is_sent(const struct outbox *o);

/// Messages of that class wait until it is set aside no more.
void outbox_set_aside(struct outbox *o, enum outbox_class class, bool set_aside);
/// Messages of that class go to `topic`, whatever they were taken for; NULL: those that wait are
/// dropped, and counted.
void outbox_redirect(struct outbox *o, enum outbox_class class, const char *topic);
/// The class of the message that outbox_next would take; OUTBOX_CLASSES: there is none.
enum outbox_class outbox_next_class(const struct outbox *o);

/// The oldest STATUS message that is not in flight, or else the oldest other one, which from now on
/// is in flight. False if there is none. A file that is missing, damaged or too large is set aside,
/// counted, and the next one taken; one that cannot be read now is left for a later call. `ret` is
/// the caller's, for outbox_message_finish.
bool outbox_next(struct outbox *o, struct outbox_message *ret);
void outbox_message_finish(struct outbox_message *m);
/// The message was acknowledged: removes it. An unknown number is ignored.
/// LM_E_SYS: its file could not be removed, and comes again after a restart.
lm_rc outbox_done(struct outbox *o, uint64_t seq, struct lm_err *err);
/// The message can never be sent: its file is set aside as "*.bad" and counted.
void outbox_reject(struct outbox *o, uint64_t seq);
/// The connection was lost: nothing is in flight any more.
void outbox_return_all(struct outbox *o);

/// Which messages were taken, by keys of the caller's, in the file "taken": for messages that are
/// given again until every outbox has taken them. At most LIMIT_OUTBOX_TAKEN are known, the oldest
/// goes.
bool outbox_has_taken(const struct outbox *o, const char *key);
/// Keeps the key, of printable characters. As lm_file_replace: it is known until outbox_close only.
lm_rc outbox_note_taken(struct outbox *o, const char *key, struct lm_err *err);
/// Forgets all of them, on disk too.
void outbox_forget_taken(struct outbox *o);

struct outbox_counts outbox_counts(const struct outbox *o);
