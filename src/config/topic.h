// SPDX-License-Identifier: Apache-2.0
#pragma once

/// MQTT topics and the subjects of subscriptions, with the ceilings of AWS IoT: at most
/// LIMIT_MQTT_TOPIC bytes.

#include "base/str.h"

#include <stdbool.h>

/// Whether a message can be published to it: UTF-8, not empty, no wildcard, no control character,
/// at most LIMIT_MQTT_TOPIC bytes. `why` (may be NULL) gets the rule that it breaks, static.
bool topic_is_name(struct lm_str topic, const char **why);
/// Whether it can be a subscription's subject, or what a client subscribes to: as a name, but with
/// `+` for a whole level and `#` for the last one.
bool topic_is_filter(struct lm_str filter, const char **why);
bool topic_has_wildcard(struct lm_str filter);
/// Whether the filter matches the name; both are valid. As in MQTT 3.1.1, a wildcard at the first
/// level does not match a name that begins with `$`; as in Greengrass V1 and other than in MQTT,
/// `sensor/#` does not match `sensor` (spec/wire-formats.md section 2).
bool topic_matches(struct lm_str filter, struct lm_str name);
