// SPDX-License-Identifier: Apache-2.0
//
// A plugin of mosquitto whose callback for messages never returns from one with the payload "hang".

#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>
#include <stdbool.h>
#include <string.h>

static const char HANG[] = "hang";
static mosquitto_plugin_id_t *own_id;

static int hang_on_message(int event, void *data, void *userdata)
{
	const struct mosquitto_evt_message *e = data;
	volatile bool forever = e->payloadlen == sizeof(HANG) - 1 &&
				memcmp(e->payload, HANG, sizeof(HANG) - 1) == 0;

	(void)event;
	(void)userdata;
	while (forever)
		;
	return MOSQ_ERR_SUCCESS;
}

int mosquitto_plugin_version(int supported_version_count, const int *supported_versions)
{
	for (int i = 0; i < supported_version_count; i++)
		if (supported_versions[i] == MOSQ_PLUGIN_VERSION)
			return MOSQ_PLUGIN_VERSION;
	return -1;
}

int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **userdata,
	struct mosquitto_opt *options, int option_count)
{
	(void)userdata;
	(void)options;
	(void)option_count;
	own_id = identifier;
	return mosquitto_callback_register(own_id, MOSQ_EVT_MESSAGE, hang_on_message, NULL, NULL);
}

int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options, int option_count)
{
	(void)userdata;
	(void)options;
	(void)option_count;
	return mosquitto_callback_unregister(own_id, MOSQ_EVT_MESSAGE, hang_on_message, NULL);
}
