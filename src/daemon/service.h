// SPDX-License-Identifier: Apache-2.0
#pragma once

/// lightermand as a service: what the manager that started it (systemd, say) is told, and the sign
/// of life that it may ask for, which comes from the loop, so that a loop that hangs is noticed.
/// Without a manager all of this does nothing. Logs.

#include "base/cleanup.h"
#include "sys/loop.h"

struct service;

/// Before any child is started: takes the manager's variables out of the environment.
struct service *service_create(struct loop *loop);
void service_destroy(struct service *s);
LM_DEFINE_CLEANUP(struct service, service_destroy)

/// All is set up: orders are taken.
void service_ready(struct service *s);
/// A sentence for people, without control characters. Told if it is not what was told last.
void service_status(struct service *s, const char *sentence);
/// The end has begun; it may take long.
void service_stopping(struct service *s);
