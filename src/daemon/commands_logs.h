// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The request `logs` (docs/formats.md, "Control socket").

#include "daemon/control.h"

struct logs_request;

/// Answers with the last lines. NULL: that was all, and the client is ended. Otherwise it follows,
/// and hears each further line until logs_end.
struct logs_request *logs_begin(struct control_client *client, const json_t *request);
/// The client has gone. Takes NULL.
void logs_end(struct logs_request *r);
