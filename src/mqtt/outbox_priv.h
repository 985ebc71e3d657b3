// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Inside the outbox: what it knows of its messages. outbox_open.c opens and closes it, outbox.c
/// does the rest.

#include "mqtt/outbox.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Charged beside topic and payload: header, index, part of a disk block. It also bounds how many
/// small messages there can be.
enum { OUTBOX_OVERHEAD = 256 };

#define OUTBOX_TAKEN "taken"

struct entry {
	uint64_t seq;
	enum outbox_class class;
	bool in_flight;
	size_t charge;
	/// The whole file as it would be on disk; NULL: it is on disk.
	char *text;
	size_t text_n;
};

struct outbox {
	int dir_fd;
	char *path;
	struct entry *entries; ///< By `seq`, ascending.
	size_t n;
	size_t size;
	size_t bytes;
	uint64_t next_seq;
	bool set_aside[OUTBOX_CLASSES];
	char *redirects[OUTBOX_CLASSES]; ///< NULL: to the topic that a message has.
	char **taken;                    ///< Keys, the oldest first.
	size_t taken_n;
	uint64_t dropped_event;
	uint64_t dropped_progress;
	uint64_t bad;
	uint64_t bad_removed;
};

/// No message to come gets this number, or a lower one.
void outbox_reserve(struct outbox *o, uint64_t seq);
/// Reads the keys that an earlier run noted; a file that is damaged has none.
void outbox_load_taken(struct outbox *o);
/// Takes over what `e` owns.
void outbox_insert(struct outbox *o, struct entry e);
/// The entry `at`; its file stays.
void outbox_forget(struct outbox *o, size_t at);
