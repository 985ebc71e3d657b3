// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Shared by spool.c (what waits, and the cursor) and spool_files.c (the files and their bound).

#include "daemon/spool.h"

#include <stddef.h>
#include <stdint.h>

#define SPOOL_PLACE_MAX ((uint64_t)INT64_MAX / 2) ///< In names and in the cursor: no sum overflows.

struct spool_file {
	uint64_t place; ///< Of its first byte.
	uint64_t size;
};

struct spool {
	char *directory;
	int dir_fd;
	int fd; ///< Of the last file, for writing; -1: not open.
	uint64_t space, file_max;
	struct spool_file *files; ///< In the order of their places.
	size_t n;
	uint64_t cursor; ///< What is before this place is shipped, or lost.
	uint64_t lost;   ///< Lines.

	int taken_fd;  ///< -1: nothing is taken out.
	int reader_fd; ///< The same file, for whoever ships it.
	uint64_t taken, taken_end;
	uint64_t done;    ///< Up to here what was taken is shipped.
	uint64_t dropped; ///< Up to here it was pushed out meanwhile, and counted as lost.
};

/// The place behind the last line.
uint64_t spool_end(const struct spool *s);
/// Writes cursor and count, and syncs them.
lm_rc spool_save(const struct spool *s, struct lm_err *err);

// spool_files.c
/// Finds the files, and brings them into order: the cursor is already there.
lm_rc spool_files_open(struct spool *s, struct lm_err *err);
/// Appends; false if the disk refuses it, and then nothing of it is there.
bool spool_files_append(struct spool *s, struct lm_str line);
/// Pushes out the oldest files until `n` bytes more are under the bound.
void spool_files_make_room(struct spool *s, size_t n);
/// Removes files of which everything is shipped, but for the last.
void spool_files_remove_shipped(struct spool *s);
/// Whether there is a line at that place.
bool spool_files_have(const struct spool *s, uint64_t place);
/// A power cut may have taken the end of a file that has a successor: moves the cursor across.
void spool_files_skip_gap(struct spool *s);
/// The file with that place has turned out to end there.
void spool_files_cut(struct spool *s, uint64_t place);
/// Opens the file of that place for reading; `*ret_offset` is where the place is in it, `*ret_n`
/// how many bytes are behind it.
lm_rc spool_files_open_at(const struct spool *s, uint64_t place, int *ret_fd, off_t *ret_offset,
	size_t *ret_n, struct lm_err *err);
/// How many lines end within that part of a file.
uint64_t spool_count_lines(int fd, off_t offset, uint64_t n);
