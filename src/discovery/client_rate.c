// SPDX-License-Identifier: Apache-2.0
#include "discovery/client_rate.h"

#include "base/memory.h"

#include <string.h>

struct client_rate {
	uint64_t interval_ms, burst_ms;
	size_t places, n;
	struct client_place {
		struct client_key client;
		uint64_t due_ms; ///< When all that it has done is paid for, an interval each.
	} clients[];
};

struct client_rate *client_rate_create(size_t places, unsigned burst, unsigned interval_ms)
{
	struct client_rate *rate =
		lm_xcalloc(1, sizeof(*rate) + places * sizeof(struct client_place));

	rate->places = places;
	rate->interval_ms = interval_ms;
	rate->burst_ms = (uint64_t)(burst - 1) * interval_ms;
	return rate;
}

void client_rate_destroy(struct client_rate *rate)
{
	free(rate);
}

/// The client's place, or the one that it may have.
static struct client_place *find_place(struct client_rate *rate, const struct client_key *client)
{
	struct client_place *least = &rate->clients[0];

	for (size_t i = 0; i < rate->n; i++) {
		struct client_place *p = &rate->clients[i];

		if (memcmp(&p->client, client, sizeof(*client)) == 0)
			return p;
		if (p->due_ms < least->due_ms)
			least = p;
	}
	if (rate->n < rate->places)
		least = &rate->clients[rate->n++];
	*least = (struct client_place){.client = *client};
	return least;
}

bool client_rate_take(struct client_rate *rate, const struct client_key *client, uint64_t now_ms)
{
	struct client_place *place = find_place(rate, client);
	uint64_t due_ms = place->due_ms > now_ms ? place->due_ms : now_ms;

	if (due_ms - now_ms > rate->burst_ms)
		return false;
	place->due_ms = due_ms + rate->interval_ms;
	return true;
}
