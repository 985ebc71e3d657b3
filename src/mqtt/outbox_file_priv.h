// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Inside the outbox: one message as a file.

#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"
#include "mqtt/outbox.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	OUTBOX_NAME_SIZE = 64,
	OUTBOX_HEADER_MAX = 96,
	OUTBOX_FILE_MAX = LIMIT_MQTT_PAYLOAD + LIMIT_MQTT_TOPIC + OUTBOX_HEADER_MAX,
};

/// Returns `out`.
char *outbox_file_name(uint64_t seq, enum outbox_class class, char out[OUTBOX_NAME_SIZE]);
/// False if it is not the name of a message on disk.
bool outbox_file_parse_name(const char *name, uint64_t *ret_seq, enum outbox_class *ret_class);
/// A line "lighterman-message 1 <checksum of what follows>", a line with the topic, the payload.
void outbox_file_write(struct lm_buf *out, const char *topic, struct lm_str payload);
/// False if the text is not a whole message. The parts are borrowed from `text`.
bool outbox_file_parse(struct lm_str text, struct lm_str *ret_topic, struct lm_str *ret_payload);
enum outbox_file_state {
	OUTBOX_FILE_WHOLE,
	OUTBOX_FILE_BAD,        ///< There is no message of that name, nor will be.
	OUTBOX_FILE_UNREADABLE, ///< For now: no descriptors, the disk fails, no rights.
};

/// Reads a message; its parts are borrowed from `text`, and only there if it is WHOLE.
enum outbox_file_state outbox_file_read(int dir_fd, const char *name, struct lm_buf *text,
	struct lm_str *ret_topic, struct lm_str *ret_payload);
/// The size of the file, whether it can be read or not; 0: not even that is known.
size_t outbox_file_size(int dir_fd, const char *name);

/// Renames it to "*.bad".
void outbox_file_set_aside(int dir_fd, const char *name);
/// Whether it is the name of a file that was set aside. Its number, 0 if it never was a message.
bool outbox_file_is_bad(const char *name, uint64_t *ret_seq);
/// Removes those that were set aside but for the LIMIT_OUTBOX_BAD newest. Returns how many; 0 also
/// if it cannot look, until next time.
size_t outbox_file_limit_bad(int dir_fd);
