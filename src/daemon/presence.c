// SPDX-License-Identifier: Apache-2.0
#include "daemon/presence.h"

#include "base/clock.h"
#include "base/limits.h"
#include "sys/json.h"

#include <inttypes.h>
#include <stdio.h>

char *presence_make_id(char out[PRESENCE_ID_SIZE])
{
	(void)snprintf(out, PRESENCE_ID_SIZE, "%016" PRIx64 "%016" PRIx64,
		lm_random_below(UINT64_MAX), lm_random_below(UINT64_MAX));
	return out;
}

char *presence_message(
	enum publisher_presence what, const char *connection, const char *thing, int64_t wall_ms)
{
	static const char *const states[] = {"connected", "ended", "lost"};
	char id[PRESENCE_ID_SIZE], time[LM_TIME_SIZE];
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_MQTT_PAYLOAD);
	lm_auto_json json_t *message = json_pack("{s:s, s:s?, s:s, s:s, s:s?, s:s}", "id",
		presence_make_id(id), "time",
		what == PUBLISHER_LOST ? NULL : lm_time_format_iso(wall_ms, time), "state",
		states[what], "connection", connection, "thing", thing, "version", LM_VERSION);

	(void)json_write(message, &text);
	return lm_buf_take(&text);
}
