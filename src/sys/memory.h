// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What a program that is to stay small for years does about its own memory.

#include <stddef.h>

/// Gives back to the system what is not needed at the moment: free pages of the heap, and the pages
/// of the program and its libraries that are as they are on disk. When one of those is used again
/// it comes back from the system's cache of files. Takes well under a millisecond; the next use
/// of each piece of code costs a page fault, so this is for the end of a piece of work, not for
/// every turn of a loop. Returns how many bytes of mappings were offered.
size_t memory_give_back(void);
