// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A file as a bad disk, a power cut or a person may leave it.

/// Puts each kind of damage in the place of the file `path` in turn: cut off at each byte, with a
/// bit of each byte flipped, zeros, a gigabyte, a directory, a FIFO, a link; and calls `check`
/// after each, with what it is. What is at `path` and at "<path>.damaged" then is removed. At last
/// the file is there again as it was.
void damaged_file_each(const char *path, void (*check)(const char *damage));
