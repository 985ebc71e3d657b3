// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the plugin itself publishes: mosquitto hands it out at the begin of its next turn.

#include "base/str.h"

#include <stdbool.h>

/// False: mosquitto has no memory for it, or it cannot be a message.
bool broker_publish(const char *topic, struct lm_str payload, int qos);
