// SPDX-License-Identifier: Apache-2.0
#pragma once

/// An engine for tests: a thread that listens on a unix socket in a folder of its own and gives
/// recorded bytes for an answer. Each connection is answered by the first entry whose `request`
/// the request begins with, and that has not answered `times` already.

#include <pthread.h>
#include <stddef.h>

enum fake_end {
	FAKE_CLOSE,  ///< Close behind the bytes.
	FAKE_HANG,   ///< Send nothing more, until the client goes.
	FAKE_PIECES, ///< Send byte by byte, then close.
};

struct fake_answer {
	const char *request; ///< "GET /version"
	const char *bytes;
	enum fake_end end;
	unsigned times; ///< 0: always.
};

enum { FAKE_REQUESTS_MAX = 64, FAKE_REQUEST_SIZE = 4096, FAKE_ANSWERS_MAX = 32 };

struct fake_engine {
	char dir[64];
	char path[96];
	int listener;
	int stop[2];
	pthread_t thread;
	const struct fake_answer *answers;
	size_t n;
	unsigned given[FAKE_ANSWERS_MAX]; ///< How often each was given.
	/// What was asked, in order; read it after fake_engine_stop.
	char requests[FAKE_REQUESTS_MAX][FAKE_REQUEST_SIZE];
	size_t requests_n;
	size_t open_most; ///< The most connections open at a time.
	pthread_mutex_t lock;
	struct {
		int fd;
		const char *request; ///< Of the client, in `requests`.
	} hanging[16];
	size_t hanging_n;
};

/// The caller frees with fake_engine_destroy.
struct fake_engine *fake_engine_create(const struct fake_answer *answers, size_t n);
/// Sends more to the one client whose answer hangs and whose request begins so; cuts it off if
/// `bytes` is NULL. The client has had the answer's first bytes.
void fake_engine_push(struct fake_engine *f, const char *request, const char *bytes);
/// Ends the thread; `requests` may then be read.
void fake_engine_stop(struct fake_engine *f);
void fake_engine_destroy(struct fake_engine *f);
