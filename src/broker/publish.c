// SPDX-License-Identifier: Apache-2.0
#include "broker/publish.h"

#include "base/limits.h"

#include <mosquitto.h>
#include <mosquitto_broker.h>

bool broker_publish(const char *topic, struct lm_str payload, int qos)
{
	if (payload.n > LIMIT_MQTT_PAYLOAD)
		return false;
	return mosquitto_broker_publish_copy(NULL, topic, (int)payload.n,
		       payload.n ? payload.p : "", qos, false, NULL) == MOSQ_ERR_SUCCESS;
}
