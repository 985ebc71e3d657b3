// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A server on 127.0.0.1 for tests: a thread that answers each connection from a list, in turn, and
/// keeps what it was asked. TLS if a certificate is given.

#include <stdbool.h>
#include <stddef.h>

struct loopback;

struct loopback_answer {
	const char *bytes; ///< The whole answer; NULL: close without one.
	size_t n;          ///< 0: up to NUL.
	bool hold;         ///< Keep the connection open behind it, until the client closes it.
	bool endless;      ///< Send the answer's last 1000 bytes again and again until it does.
};

struct loopback *loopback_start(const struct loopback_answer *answers, unsigned n);
/// With a certificate of its own for `subject` ("IP:127.0.0.1", "DNS:store.example"), which is
/// written to `certificate_path` in PEM.
struct loopback *loopback_start_tls(const struct loopback_answer *answers, unsigned n,
	const char *subject, const char *certificate_path);
/// As loopback_start_tls, but the client must show a certificate, too. The one that is accepted is
/// written to `client_path` in PEM, with its key behind it.
struct loopback *loopback_start_mutual_tls(const struct loopback_answer *answers, unsigned n,
	const char *subject, const char *certificate_path, const char *client_path);
/// "http://127.0.0.1:PORT" or "https://…". Borrowed.
const char *loopback_origin(const struct loopback *l);
/// Ends the thread; then what was asked can be read.
void loopback_stop(struct loopback *l);
unsigned loopback_count(const struct loopback *l);
/// Head and body of request `i` as they came.
const char *loopback_request(const struct loopback *l, unsigned i);
void loopback_destroy(struct loopback *l);
