// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What a publisher subscribes to, and what goes over a connection besides the outbox: requests to
/// be sent on it, and messages that came and were not handed over yet. None of them outlives the
/// connection. Pure; never logs.

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum {
	SUBSCRIPTION_WAITING = 4,  ///< Requests that wait to be sent.
	SUBSCRIPTION_RECEIVED = 8, ///< Messages that wait to be handed over; more are dropped.
};

struct subscription_message {
	char *topic, *payload; ///< Owned; the payload is NULL if it exceeded LIMIT_MQTT_PAYLOAD.
	size_t n;
};

void subscription_message_finish(struct subscription_message *m);

struct subscription;

/// Both are copied: at most eight filters.
struct subscription *subscription_create(const char *const *filters, size_t n);
/// Takes NULL.
void subscription_destroy(struct subscription *s);
/// Borrowed.
const char *const *subscription_filters(const struct subscription *s, size_t *ret_n);
/// Forgets all that was for the connection.
void subscription_reset(struct subscription *s);

/// Takes a request; false: too many wait.
bool subscription_add_request(struct subscription *s, const char *topic, struct lm_str payload);
/// The oldest request, for the caller to free; false: none waits.
bool subscription_take_request(struct subscription *s, struct subscription_message *ret);
bool subscription_has_request(const struct subscription *s);
/// Takes a copy of a message that came.
void subscription_add_received(struct subscription *s, const char *topic, struct lm_str payload);
/// The oldest message, for the caller to free; false: there is none.
bool subscription_take_received(struct subscription *s, struct subscription_message *ret);
