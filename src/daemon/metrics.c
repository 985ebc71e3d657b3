// SPDX-License-Identifier: Apache-2.0
#include "daemon/metrics.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/str.h"
#include "daemon/container_list.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const STATES[METRICS_STATES] = {
	"created", "running", "paused", "restarting", "removing", "exited", "dead"};
static const char *const OUTCOMES[METRICS_OUTCOMES] = {"success", "invalid", "failed", "cancelled"};

void metrics_count_container(
	struct metrics_containers *counts, const char *state, enum engine_health health)
{
	for (size_t i = 0; i < METRICS_STATES; i++)
		counts->by_state[i] += strcmp(state, STATES[i]) == 0;
	counts->by_health[health]++;
}

static struct metrics_restarts *metrics_find_service(
	const struct metrics_restart_list *r, const char *service)
{
	for (size_t i = 0; i < r->n; i++) {
		if (strcmp(r->items[i].service, service) == 0)
			return &r->items[i];
	}
	return NULL;
}

static struct metrics_restarts *append_service(struct metrics_restart_list *r, const char *service)
{
	r->items = lm_xrealloc(r->items, (r->n + 1) * sizeof(*r->items));
	r->items[r->n] = (struct metrics_restarts){.service = lm_xstrdup(service)};
	return &r->items[r->n++];
}

void metrics_restarts_add(struct metrics_restart_list *r, const char *service, uint64_t n)
{
	struct metrics_restarts *found = metrics_find_service(r, service);

	if (!found && r->n >= LIMIT_SERVICES) {
		service = "";
		found = metrics_find_service(r, service);
	}
	if (!found)
		found = append_service(r, service);
	found->n += n;
}

void metrics_restarts_finish(struct metrics_restart_list *r)
{
	for (size_t i = 0; i < r->n; i++)
		free((char *)r->items[i].service);
	free(r->items);
	*r = (struct metrics_restart_list){0};
}

/// A family's two lines; `name` without the "lighterman_" that all have in front.
static void add_family(struct lm_buf *out, const char *name, const char *type, const char *help)
{
	(void)lm_buf_printf(
		out, "# HELP lighterman_%s %s\n# TYPE lighterman_%s %s\n", name, help, name, type);
}

static void add_name(struct lm_buf *out, const char *name)
{
	(void)lm_buf_printf(out, "lighterman_%s", name);
}

/// Bytes of a control character; 0: it begins with none.
static size_t control_bytes(const char *text)
{
	unsigned char first = (unsigned char)text[0], second = 0;

	if (first == 0xc2)
		second = (unsigned char)text[1];
	if (second >= 0x80 && second < 0xa0) // U+0080 to U+009F
		return 2;
	return first < 0x20 || first == 0x7f;
}

/// As the format wants it, and without control characters, which any image may have in a
/// label, and which would reach a terminal: their bytes become \xNN, with an escaped backslash.
static void add_escaped(struct lm_buf *out, const char *value)
{
	while (*value) {
		size_t control = control_bytes(value);

		if (*value == '\n')
			(void)lm_buf_puts(out, "\\n");
		else if (*value == '\\' || *value == '"')
			(void)lm_buf_printf(out, "\\%c", *value);
		else if (control == 0)
			(void)lm_buf_putc(out, *value);
		else
			for (size_t i = 0; i < control; i++)
				(void)lm_buf_printf(out, "\\\\x%02x", (unsigned char)value[i]);
		value += control > 0 ? control : 1;
	}
}

/// `first`: opens the braces, which the caller closes.
static void add_label(struct lm_buf *out, bool first, const char *name, const char *value)
{
	(void)lm_buf_printf(out, "%s%s=\"", first ? "{" : ",", name);
	add_escaped(out, value);
	(void)lm_buf_putc(out, '"');
}

static void metrics_add_number(struct lm_buf *out, uint64_t value)
{
	(void)lm_buf_printf(out, " %" PRIu64 "\n", value);
}

static void add_seconds(struct lm_buf *out, uint64_t ms)
{
	(void)lm_buf_printf(out, " %" PRIu64 ".%03u\n", ms / 1000, (unsigned)(ms % 1000));
}

static void add_plain(struct lm_buf *out, const char *name, uint64_t value)
{
	add_name(out, name);
	metrics_add_number(out, value);
}

static void add_plain_seconds(struct lm_buf *out, const char *name, int64_t ms)
{
	add_name(out, name);
	add_seconds(out, ms > 0 ? (uint64_t)ms : 0);
}

static void add_labelled(
	struct lm_buf *out, const char *name, const char *label, const char *value, uint64_t number)
{
	add_name(out, name);
	add_label(out, true, label, value);
	(void)lm_buf_putc(out, '}');
	metrics_add_number(out, number);
}

static void add_program(struct lm_buf *out, const struct metrics *m)
{
	add_family(
		out, "build_info", "gauge", "Always 1; the label is the version of lightermand.");
	add_labelled(out, "build_info", "version", LM_VERSION, 1);
	add_family(out, "up", "gauge", "0 once lightermand has shut down.");
	add_plain(out, "up", !m->exited);
	add_family(out, "start_time_seconds", "gauge",
		"When lightermand started, in seconds since 1970.");
	add_plain_seconds(out, "start_time_seconds", m->started_ms);
}

static void add_activities(struct lm_buf *out, enum lifecycle_activity present)
{
	add_family(out, "activity", "gauge", "1 for what lightermand is doing, else 0.");
	for (unsigned i = 0; i < ACTIVITY_COUNT; i++)
		add_labelled(out, "activity", "activity",
			lifecycle_activity_name((enum lifecycle_activity)i), i == present);
}

static void add_stages(struct lm_buf *out, const struct metrics_stage *stages)
{
	add_family(out, "stage_duration_seconds", "summary",
		"How long completed stages of deployments took.");
	for (size_t i = 0; i < DEPLOY_STAGES; i++) {
		const char *stage = deploy_stage_name((enum deploy_stage)i);

		add_name(out, "stage_duration_seconds_sum");
		add_label(out, true, "stage", stage);
		(void)lm_buf_putc(out, '}');
		add_seconds(out, stages[i].ms);
		add_labelled(out, "stage_duration_seconds_count", "stage", stage, stages[i].n);
	}
}

static void add_deployments(struct lm_buf *out, const struct metrics_deployments *d)
{
	add_family(out, "deployments_total", "counter", "Finished attempts to deploy, by outcome.");
	for (size_t i = 0; i < METRICS_OUTCOMES; i++)
		add_labelled(out, "deployments_total", "outcome", OUTCOMES[i], d->by_outcome[i]);
	add_stages(out, d->stages);
	add_family(out, "last_success_timestamp_seconds", "gauge",
		"When a deployment last succeeded, in seconds since 1970; 0: never.");
	add_plain_seconds(out, "last_success_timestamp_seconds", d->last_success_ms);
	add_family(out, "generation", "gauge", "The generation that is deployed; 0: none.");
	add_plain(out, "generation", d->generation);
	add_family(out, "stopped", "gauge", "1 while the application is to stay down.");
	add_plain(out, "stopped", d->stopped);
	add_family(
		out, "on_probation", "gauge", "1 while the deployed generation is on probation.");
	add_plain(out, "on_probation", d->on_probation);
	add_family(out, "activation_waiting", "gauge",
		"1 while a deployment is ready and waits for its ActivateAt or HoldFile.");
	add_plain(out, "activation_waiting", d->awaits_activation);
	add_family(out, "quarantined_generations", "gauge", "Generations in quarantine.");
	add_plain(out, "quarantined_generations", d->quarantined);
	add_family(
		out, "rollbacks_total", "counter", "Attempts to go back to an earlier generation.");
	add_plain(out, "rollbacks_total", d->rollbacks);
	add_activities(out, d->activity);
}

static void metrics_add_containers(struct lm_buf *out, const struct metrics_containers *c)
{
	if (!c->known)
		return;
	add_family(out, "engine_up", "gauge", "Whether the Docker daemon answers.");
	add_plain(out, "engine_up", c->answered);
	if (!c->answered)
		return;
	add_family(out, "containers", "gauge", "The application's containers, by state.");
	for (size_t i = 0; i < METRICS_STATES; i++)
		add_labelled(out, "containers", "state", STATES[i], c->by_state[i]);
	add_family(out, "containers_health", "gauge", "The application's containers, by health.");
	for (size_t i = 0; i < METRICS_HEALTHS; i++)
		add_labelled(out, "containers_health", "health",
			container_list_health_name((enum engine_health)i), c->by_health[i]);
}

static void add_restart_family(struct lm_buf *out, const char *name, const char *help,
	const struct metrics_restarts *items, size_t n)
{
	if (n == 0)
		return;
	add_family(out, name, "counter", help);
	for (size_t i = 0; i < n; i++)
		add_labelled(out, name, "service", items[i].service, items[i].n);
}

static void metrics_add_restarts(struct lm_buf *out, const struct metrics *m)
{
	add_restart_family(out, "container_restarts_total",
		"How often the restart policy restarted the containers of a service.", m->restarts,
		m->restarts_n);
	add_restart_family(out, "unhealthy_restarts_total",
		"How often lightermand restarted unhealthy containers of a service.",
		m->unhealthy_restarts.items, m->unhealthy_restarts.n);
}

static uint64_t connected(const struct metrics_broker *b)
{
	return b->connected;
}

static uint64_t waiting(const struct metrics_broker *b)
{
	return b->outbox.messages;
}

static uint64_t metrics_bytes(const struct metrics_broker *b)
{
	return b->outbox.bytes;
}

static uint64_t set_aside(const struct metrics_broker *b)
{
	return b->outbox.bad;
}

static uint64_t refused(const struct metrics_broker *b)
{
	return b->refused_topics;
}

static uint64_t removed(const struct metrics_broker *b)
{
	return b->outbox.bad_removed;
}

static void add_dropped(
	struct lm_buf *out, const struct metrics_broker *b, const char *class, uint64_t n)
{
	add_name(out, "messages_dropped_total");
	add_label(out, true, "broker", b->name);
	add_label(out, false, "class", class);
	(void)lm_buf_putc(out, '}');
	metrics_add_number(out, n);
}

static void metrics_add_brokers(struct lm_buf *out, const struct metrics *m)
{
	static const struct broker_family {
		const char *name, *type, *help;
		uint64_t (*value)(const struct metrics_broker *b);
	} families[] = {
		{"broker_connected", "gauge", "Whether there is a connection to the MQTT broker.",
			connected},
		{"outbox_messages", "gauge", "Messages that the MQTT broker has not taken yet.",
			waiting},
		{"broker_refused_topics", "gauge",
			"Topics that the MQTT broker refuses by closing the connection.", refused},
		{"outbox_bytes", "gauge", "What they take of the outbox's bound.", metrics_bytes},
		{"messages_set_aside_total", "counter",
			"Files of the outbox that are damaged or could never be sent, renamed to "
			"*.bad.",
			set_aside},
		{"messages_set_aside_removed_total", "counter",
			"Files *.bad of the outbox that were removed, as only the newest are kept.",
			removed},
	};

	if (m->brokers_n == 0)
		return;
	for (size_t k = 0; k < LM_ARRAY_SIZE(families); k++) {
		add_family(out, families[k].name, families[k].type, families[k].help);
		for (size_t i = 0; i < m->brokers_n; i++)
			add_labelled(out, families[k].name, "broker", m->brokers[i].name,
				families[k].value(&m->brokers[i]));
	}
	add_family(out, "messages_dropped_total", "counter",
		"Messages dropped because the outbox was full; status messages never are.");
	for (size_t i = 0; i < m->brokers_n; i++) {
		const struct outbox_counts *counts = &m->brokers[i].outbox;

		add_dropped(out, &m->brokers[i], "event", counts->dropped_event);
		add_dropped(out, &m->brokers[i], "progress", counts->dropped_progress);
	}
}

static void metrics_add_services(struct lm_buf *out, const struct metrics_devices *d)
{
	add_family(
		out, "device_service_up", "gauge", "Whether the service for client devices runs.");
	add_labelled(out, "device_service_up", "service", "broker", d->broker_up);
	add_labelled(out, "device_service_up", "service", "discovery", d->discovery_up);
	add_family(out, "device_service_failures_total", "counter",
		"How often the service for client devices ended by itself.");
	add_labelled(out, "device_service_failures_total", "service", "broker", d->broker_failures);
	add_labelled(out, "device_service_failures_total", "service", "discovery",
		d->discovery_failures);
}

/// Counters of the broker begin anew when it is started, as those of any program do.
static void metrics_add_devices(struct lm_buf *out, const struct metrics_devices *d)
{
	const struct {
		const char *name, *type, *help;
		uint64_t value;
		bool left_out;
	} families[] = {
		{"device_files_failed", "gauge",
			"1 while certificates or configuration of the client devices cannot be "
			"renewed.",
			d->fault},
		{"devices", "gauge", "Client devices of the group.", d->devices},
		{"device_connections", "gauge", "Clients that are connected to the broker.",
			d->connected},
		{"device_messages_routed_total", "counter", "Messages that a subscription allows.",
			d->routed},
		{"device_messages_delivered_total", "counter",
			"Messages that were given to a receiver, once for each.", d->delivered},
		{"device_messages_refused_total", "counter",
			"Messages that no subscription allows.", d->refused},
		{"device_connections_refused_total", "counter", "Connections that were refused.",
			d->refused_connections},
		{"device_shadow_updates_total", "counter", "Updates of shadows.",
			d->shadow_updates},
		{"device_shadow_rejected_total", "counter", "Requests to shadows that failed.",
			d->shadow_rejected},
		{"device_cloud_connected", "gauge", "Whether the broker is connected to the cloud.",
			d->cloud > 0, d->cloud < 0},
		{"device_cloud_sent_total", "counter", "Messages for the cloud.", d->cloud_sent,
			d->cloud < 0},
		{"device_cloud_received_total", "counter", "Messages of the cloud.",
			d->cloud_received, d->cloud < 0},
	};

	if (!d->known)
		return;
	metrics_add_services(out, d);
	for (size_t i = 0; i < LM_ARRAY_SIZE(families); i++) {
		if (families[i].left_out)
			continue;
		add_family(out, families[i].name, families[i].type, families[i].help);
		add_plain(out, families[i].name, families[i].value);
	}
}

static void metrics_add_images(struct lm_buf *out, const struct metrics_images *i)
{
	if (i->verified_ms == 0)
		return;
	add_family(out, "images_verified_timestamp_seconds", "gauge",
		"When the images of the generations kept were verified last.");
	add_plain(out, "images_verified_timestamp_seconds", (uint64_t)i->verified_ms / 1000);
	add_family(out, "images_not_ok", "gauge", "What was found of those that are not ok.");
	add_labelled(out, "images_not_ok", "state", "damaged", i->damaged);
	add_labelled(out, "images_not_ok", "state", "missing", i->missing);
	add_labelled(out, "images_not_ok", "state", "unreadable", i->unreadable);
}

static void metrics_add_jobs(struct lm_buf *out, const struct metrics_jobs *j)
{
	if (!j->known)
		return;
	add_family(out, "jobs_connected", "gauge", "Whether jobs are subscribed to.");
	add_plain(out, "jobs_connected", j->connected);
	add_family(out, "jobs_in_progress", "gauge", "Jobs that are carried out.");
	add_plain(out, "jobs_in_progress", j->in_progress);
	add_family(out, "jobs_unreported", "gauge", "Jobs whose outcome the cloud does not know.");
	add_plain(out, "jobs_unreported", j->unreported);
	add_family(out, "jobs_total", "counter", "Jobs that have ended.");
	add_labelled(out, "jobs_total", "status", "succeeded", j->succeeded);
	add_labelled(out, "jobs_total", "status", "failed", j->failed);
	add_labelled(out, "jobs_total", "status", "rejected", j->rejected);
}

bool metrics_write(const struct metrics *m, struct lm_buf *out)
{
	add_program(out, m);
	add_deployments(out, &m->deployments);
	metrics_add_containers(out, &m->containers);
	metrics_add_restarts(out, m);
	metrics_add_images(out, &m->images);
	metrics_add_brokers(out, m);
	metrics_add_jobs(out, &m->jobs);
	metrics_add_devices(out, &m->devices);
	return !out->overflow;
}
