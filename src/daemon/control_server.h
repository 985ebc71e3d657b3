// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The control socket: clients that each send one request, a JSON object on a line, and get JSON
/// objects, one a line, until the last (docs/formats.md). Independent of the requests' content.
///
/// No client can harm another or the daemon: at most LIMIT_CONTROL_CLIENTS at a time (a further one
/// takes the place of one that has not sent its request yet, or is rejected), and some more for
/// trusted ones, which are root's and lightermand's own user's; a request has a ceiling and a time
/// limit; and a client that reads slowly loses progress lines, then its connection. Root and
/// lightermand's own user may do everything, members of two groups as in struct control_groups, and
/// others nothing.

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "sys/json.h"
#include "sys/loop.h"

#include <stdbool.h>

struct control_server;
struct control_client;

/// Who may connect beside root and lightermand's own user; NULL: nobody.
struct control_groups {
	const char *all; ///< Its members may do everything: with a definition that is root's power.
	const char *read; ///< Its members may only ask.
};

struct control_handler {
	/// A complete request (an object; borrowed for the call). The handler answers, now or
	/// later, with control_client_send and finally control_client_finish.
	void (*request)(void *ctx, struct control_client *client, const json_t *request);
	/// The client has gone before control_client_finish, or the server is destroyed; it is
	/// freed after this call. Only for clients whose request was handed over.
	void (*gone)(void *ctx, struct control_client *client);
	void *ctx;
};

/// Makes the socket `path`: mode 0600, or 0660 with the group that is named, or 0666 with two, as a
/// file has one group only. Who may do what depends on the credentials of each client, never on
/// that mode alone. LM_E_CONFLICT: another program answers there. LM_E_NOT_FOUND: no such group. As
/// socket_unix_listen.
lm_rc control_server_create(struct loop *loop, const char *path,
	const struct control_groups *groups, const struct control_handler *handler,
	struct control_server **ret, struct lm_err *err);
/// Removes the socket and closes all clients: whose request was handed over is `gone`. Takes NULL.
void control_server_destroy(struct control_server *c);
LM_DEFINE_CLEANUP(struct control_server, control_server_destroy)

/// Sends a line and drops the reference. `droppable`: may be left out if the client reads slowly.
void control_client_send(struct control_client *client, json_t *line, bool droppable);
/// How many bytes wait for the client to read on.
size_t control_client_waiting(const struct control_client *client);
/// Sends the last line (drops the reference), and closes the client once it has been written; it is
/// not to be used any more.
void control_client_finish(struct control_client *client, json_t *line);
/// {"exit":N,"message":…}, what every last line has; `message` may be NULL, and need not be UTF-8.
/// A new reference.
json_t *control_last_line(int status, const char *message);
/// The handler's own data of a client; NULL at first.
void control_client_set_data(struct control_client *client, void *data);
void *control_client_data(const struct control_client *client);
bool control_client_is_trusted(const struct control_client *client);
/// Whether the client may do more than ask.
bool control_client_may_act(const struct control_client *client);

// A request, from the pieces in which it comes to the JSON object that it is. Pure.

/// Adds what a client sent to `in`, whose ceiling counts, up to the end of the line. What is behind
/// it belongs to no request and is left out. `*ret_complete`: `in` is the whole line.
/// LM_E_TOO_LARGE: the line is over the ceiling.
lm_rc control_request_add(
	struct lm_buf *in, struct lm_str piece, bool *ret_complete, struct lm_err *err);
/// Reads the line. LM_E_INVALID: it is no JSON object, or has more values than requests have.
/// `*ret` is the caller's.
lm_rc control_request_parse(struct lm_str line, json_t **ret, struct lm_err *err);
