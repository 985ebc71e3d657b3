// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The discovery endpoint: listens on the ports of discovery.json, on every address, IPv4 and IPv6,
/// and answers each client whose certificate is registered. Of the files in its folder
/// (discovery.json, server.pem, server.key, client-ca.pem), all are used or none.
///
/// What it answers with, in this order:
///   429  the certificate (or, of a client without a registered one, the address) asks too often
///   400, 405, 431, 505  the request is malformed, has another method, is too large, is not HTTP/1
///   401  no certificate; one that no CA of client-ca.pem has issued, or that is not valid at this
///        time; one that is not registered for any thing of the group
///   404  the group has no such thing; no such path
///   403  the certificate is another thing's
///   200  the group: its core, the core's addresses, and the CA of its broker
///
/// Of one address, at most LIMIT_DISCOVERY_CONNECTIONS_EACH connections are open, and 100 at once
/// and then 20 a second are taken; more are closed. Over LIMIT_DISCOVERY_CONNECTIONS in all, the
/// oldest one of the address with the most is closed for a new one.

#include "base/cleanup.h"
#include "base/error.h"
#include "sys/loop.h"

#include <stddef.h>

struct server;

/// Reads the files and listens. A port that is optional and cannot be bound is logged, and tried
/// again every 30 s. LM_E_INVALID, LM_E_TOO_LARGE, LM_E_NOT_FOUND, LM_E_DENIED: a file;
/// LM_E_CONFLICT: another program has a port; LM_E_SYS.
lm_rc server_create(struct loop *loop, const char *folder, struct server **ret, struct lm_err *err);
void server_destroy(struct server *s);
LM_DEFINE_CLEANUP(struct server, server_destroy)

/// Reads the files again, for requests from now on; ports that stay are not closed. After an error
/// everything is as it was. A new port that cannot be bound is logged, and tried again.
lm_rc server_reload(struct server *s, struct lm_err *err);
/// "serves 2 devices on port 8443 and 443": what it does now. The caller frees.
char *server_describe(const struct server *s);
