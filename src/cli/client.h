// SPDX-License-Identifier: Apache-2.0
#pragma once

/// lightermand's control socket, from the client's side: one request, then the lines of its answer
/// (docs/formats.md, "Control socket"). Which line is the last one is for the caller to see.

#include "base/cleanup.h"
#include "base/error.h"
#include "sys/json.h"
#include "sys/wait.h"

#include <stdbool.h>

#define CLIENT_SOCKET_DEFAULT "/run/lighterman/control.sock"

struct client;

/// Connects and sends the request (borrowed). Every failure but LM_E_CANCELLED means that
/// lightermand cannot be reached there; the sentence says what to do. If it answers before it has
/// read the whole request, the rest is not sent.
lm_rc client_open(const char *socket_path, const json_t *request, const struct wait_limit *limit,
	struct client **ret, struct lm_err *err);
void client_close(struct client *c);
LM_DEFINE_CLEANUP(struct client, client_close)

/// From now on client_read also ends, with LM_E_CANCELLED and EPIPE, once nobody can read any more
/// what is written to `fd` (borrowed; a negative one is not watched).
void client_watch_output(struct client *c, int fd);

/// Waits for the next line: an object, a new reference. LM_E_NETWORK (the connection ended),
/// LM_E_PROTOCOL (what came is no JSON object), LM_E_TOO_LARGE (a line over LIMIT_CONTROL_REPLY),
/// LM_E_TIMEOUT, LM_E_CANCELLED.
lm_rc client_read(
	struct client *c, const struct wait_limit *limit, json_t **ret, struct lm_err *err);
/// Whether a line is here already: client_read will not wait.
bool client_has_line(const struct client *c);
