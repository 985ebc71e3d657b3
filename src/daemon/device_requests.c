// SPDX-License-Identifier: Apache-2.0
#include "daemon/device_requests.h"

#include "base/limits.h"
#include "base/memory.h"
#include "daemon/control_server.h"
#include "daemon/device_status.h"
#include "daemon/device_task.h"
#include "daemon/generation.h"

#include <string.h>

/// A request of a client that waits for its task.
struct device_request {
	struct device_requests *owner;
	device_requests_answer *done;
	void *ctx;
	bool lists, removes;
	struct device_request *next;
};

struct device_requests {
	struct device_requests_sources from;
	struct device_request *first;
};

static void drop_request(struct device_request *r)
{
	struct device_request **at = &r->owner->first;

	while (*at && *at != r)
		at = &(*at)->next;
	if (*at)
		*at = r->next;
	free(r);
}

/// What the worker found, for the client; whether a device is connected only the broker knows.
static json_t *answer_list(const struct device_requests *c, const json_t *lines)
{
	lm_auto_json json_t *status = c->from.status(c->from.ctx);
	json_t *list = json_array();
	size_t i;
	json_t *line;

	json_array_foreach(lines, i, line)
	{
		json_t *device = json_object_get(line, "device");
		const char *name = json_get_text(device, "name");

		if (!name)
			continue;
		json_object_set_new(device, "connected",
			status ? json_boolean(device_status_is_connected(status, name))
			       : json_null());
		json_array_append(list, device);
	}
	return list;
}

static void on_asked(void *ctx, const struct own_task_result *result)
{
	struct device_request *r = ctx;
	struct device_requests *c = r->owner;
	json_t *device = own_tasks_find(result->lines, "device");
	json_t *last = control_last_line(result->rc == LM_OK  ? 0
					 : result->is_invalid ? 2
							      : 1,
		result->message);

	if (result->rc == LM_OK && r->lists)
		json_object_set_new(last, "devices", answer_list(c, result->lines));
	else if (result->rc == LM_OK && device)
		json_object_set(last, "device", device);
	// A removal may have come as far as the files of the services before it failed.
	if (r->removes ? !result->is_invalid : result->rc == LM_OK && !r->lists)
		c->from.changed(c->from.ctx, r->removes);
	if (json_dumpb(last, NULL, 0, JSON_COMPACT) >= LIMIT_CONTROL_REPLY) {
		json_decref(last);
		last = control_last_line(1, "the list of devices is too long to be sent; the files "
					    "are in the state directory, below devices/things");
	}
	device_requests_answer *done = r->done;
	void *done_ctx = r->ctx;
	drop_request(r);
	done(done_ctx, last);
	json_decref(last);
}

/// The rule that a request breaks; NULL: none.
static const char *check_device_request(const json_t *request)
{
	const char *action = json_get_text(request, "action");
	bool lists = action && strcmp(action, "list") == 0;
	const json_t *csr = json_object_get(request, "csr");
	const json_t *certificate = json_object_get(request, "certificate");

	if (!lists && (!action || (strcmp(action, "add") != 0 && strcmp(action, "remove") != 0)))
		return "the action of 'device' must be add, list or remove";
	if (!lists && !json_get_text(request, "name"))
		return "the name of the device is missing";
	if ((csr && !json_is_string(csr)) || (certificate && !json_is_string(certificate)) ||
		(csr && certificate))
		return "a device has either a signing request or a certificate, as PEM text";
	if (json_string_length(csr) > LIMIT_PEM_FILE ||
		json_string_length(certificate) > LIMIT_PEM_FILE)
		return "a signing request or certificate has at most 64 KiB";
	return NULL;
}

static void refuse_request(device_requests_answer *done, void *ctx, int status, const char *why)
{
	json_t *last = control_last_line(status, why);

	done(ctx, last);
	json_decref(last);
}

void device_requests_ask(struct device_requests *c, unsigned generation, const json_t *request,
	device_requests_answer *done, void *ctx)
{
	static const char *const members[] = {"name", "csr", "certificate"};
	const char *rule = check_device_request(request);
	lm_auto(group_destroy_p) struct group *group = NULL;
	struct lm_err err = {LM_OK};

	if (rule || (generation && generation_read(c->from.store, generation, &group, &err))) {
		refuse_request(done, ctx, rule ? 2 : 1, rule ? rule : err.msg);
		return;
	}
	const char *action = json_get_text(request, "action");
	const struct own_task_spec task = device_task(action, group);
	for (size_t i = 0; i < LM_ARRAY_SIZE(members); i++) {
		json_t *member = json_object_get(request, members[i]);

		if (member)
			json_object_set(task.document, members[i], member);
	}
	struct device_request *r = lm_xcalloc(1, sizeof(*r));
	*r = (struct device_request){.owner = c,
		.done = done,
		.ctx = ctx,
		.lists = strcmp(action, "list") == 0,
		.removes = strcmp(action, "remove") == 0,
		.next = c->first};
	c->first = r;
	own_tasks_add(c->from.tasks, &task, on_asked, r);
}

/// What it asked for is done all the same.
static void on_unasked(void *ctx, json_t *last)
{
	(void)ctx;
	(void)last;
}

void device_requests_forget(struct device_requests *c, const void *ctx)
{
	for (struct device_request *r = c->first; r; r = r->next) {
		if (r->ctx == ctx) {
			r->done = on_unasked;
			r->ctx = NULL;
		}
	}
}

struct device_requests *device_requests_create(const struct device_requests_sources *from)
{
	struct device_requests *c = lm_xcalloc(1, sizeof(*c));

	c->from = *from;
	return c;
}

void device_requests_destroy(struct device_requests *c)
{
	if (!c)
		return;
	while (c->first) {
		struct device_request *r = c->first;

		own_tasks_forget(c->from.tasks, r);
		c->first = r->next;
		free(r);
	}
	free(c);
}
