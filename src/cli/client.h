// SPDX-License-Identifier: Apache-2.0
#pragma once

/// lightermand's control socket, from the client's side: one request, then the lines of its answer
/// (docs/formats.md, "Control socket"), the last of which has `exit`.

#include "base/cleanup.h"
#include "base/error.h"
#include "cli/options.h"
#include "sys/json.h"
#include "sys/wait.h"

#include <stdbool.h>

struct client;

/// Connects and sends the request (borrowed). Every failure but LM_E_CANCELLED means that
/// lightermand cannot be reached there; the error says what to do. If it answers before it has
/// read the whole request, the rest is not sent.
lm_rc client_open(const char *socket_path, const json_t *request, const struct wait_limit *limit,
	struct client **ret, struct lm_err *err);
void client_close(struct client *c);
LM_DEFINE_CLEANUP(struct client, client_close)

/// From now on client_read also returns, with LM_E_CANCELLED and EPIPE, once nobody can read any
/// more what is written to `fd` (borrowed; a negative one is not watched).
void client_watch_output(struct client *c, int fd);

/// Waits for the next line: an object, a new reference. LM_E_NETWORK (the connection was closed),
/// LM_E_PROTOCOL (what came is no JSON object), LM_E_TOO_LARGE (a line over LIMIT_CONTROL_REPLY),
/// LM_E_TIMEOUT, LM_E_CANCELLED.
lm_rc client_read(
	struct client *c, const struct wait_limit *limit, json_t **ret, struct lm_err *err);
/// Whether a line is here already: client_read will not wait.
bool client_has_line(const struct client *c);

/// The socket that the call names; else that of the default host file. The caller frees.
char *client_socket_path(const struct call *call) __attribute__((returns_nonnull));
/// control.sock in the runtimeDirectory of that host file; in the default one if the file does not
/// set it, is missing, is not valid, or may not be read. The caller frees.
char *client_socket_path_of(const char *host_file) __attribute__((returns_nonnull));

/// Sends a request (borrowed) and reads to the last line of the answer, a new reference.
/// `*ret_exit` is the exit status of the program, on failure only. Waits no longer than `limit`
/// allows (LM_E_CANCELLED), and 30 s at most.
lm_rc client_ask(const char *socket_path, const json_t *request, const struct wait_limit *limit,
	json_t **ret_last, int *ret_exit, struct lm_err *err);
/// Sends the command `name` and hands over the member of the same name in the answer, which must be
/// of that type: a new reference. A failure is reported. Returns the exit status.
int client_query(const struct call *call, const char *name, json_type type, json_t **ret);
/// As client_query, with a whole request (borrowed), for the member `name` of its answer.
/// EXIT_INVALID: lightermand says that the request is to blame.
int client_request(const struct call *call, const json_t *request, const char *name, json_type type,
	json_t **ret);
