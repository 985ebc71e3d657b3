// SPDX-License-Identifier: Apache-2.0
#include "broker/status_file.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
	STATUS_FORMAT = 1,
	STATUS_PAUSE_MS = 1000,
};

struct status_file {
	int dir_fd;
	char *name;
	bool changed;
	uint64_t next_mono_ms;
};

lm_rc status_file_open(const char *path, struct status_file **ret, struct lm_err *err)
{
	struct status_file *f = lm_xcalloc(1, sizeof(*f));

	*f = (struct status_file){.dir_fd = -1, .changed = true};
	if (path) {
		const char *name = lm_path_base(path);
		lm_auto_free char *folder = lm_xmemdup0(path, (size_t)(name - path));

		f->name = lm_xstrdup(name);
		f->dir_fd = open(folder[0] ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (f->dir_fd < 0) {
			int sys = errno;

			status_file_close(f);
			return lm_fail(err, lm_rc_of_errno(sys), sys, "open '%s': %m", folder);
		}
	}
	*ret = f;
	return LM_OK;
}

void status_file_close(struct status_file *f)
{
	if (!f)
		return;
	if (f->dir_fd >= 0)
		(void)close(f->dir_fd);
	free(f->name);
	free(f);
}

void status_file_touch(struct status_file *f)
{
	f->changed = true;
}

bool status_file_is_due(const struct status_file *f, uint64_t now_mono_ms)
{
	return f->name && f->changed && now_mono_ms >= f->next_mono_ms;
}

static void add_clients(json_t *document, const struct local_clients *clients)
{
	json_t *connected = json_array(), *all = json_array();
	const struct local_client *client = NULL;

	for (size_t i = 0; (client = local_clients_at(clients, i)); i++) {
		if (client->token)
			json_array_append_new(connected, json_string(client->id));
		json_array_append_new(all,
			json_pack("{s:s, s:b, s:I, s:I, s:I}", "name", client->id, "connected",
				client->token != NULL, "since_ms", (json_int_t)client->since_ms,
				"routed", (json_int_t)client->routed, "refused",
				(json_int_t)client->refused));
	}
	json_object_set_new(document, "connected", connected);
	json_object_set_new(document, "clients", all);
}

lm_rc status_file_write(struct status_file *f, uint64_t now_mono_ms, const struct router_status *s,
	struct lm_err *err)
{
	const struct router_counts *n = &s->counts;
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_ROUTER_STATUS);
	lm_auto_json json_t *document = json_pack(
		"{s:i, s:i, s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:O?, s:O?}", "format",
		STATUS_FORMAT, "pid", (int)getpid(), "started_ms", (json_int_t)s->started_ms,
		"table_loaded_ms", (json_int_t)s->table_loaded_ms, "table_error",
		json_from_text(s->table_error), "routed", (json_int_t)n->routed, "delivered",
		(json_int_t)n->delivered, "refused", (json_int_t)n->refused, "refused_connections",
		(json_int_t)n->refused_connections, "shadows", s->shadows, "cloud", s->cloud);

	// A failure is tried again as seldom as a success.
	f->next_mono_ms = now_mono_ms + STATUS_PAUSE_MS;
	add_clients(document, s->clients);
	if (!json_write(document, &text))
		return lm_fail(err, LM_E_TOO_LARGE, 0, "the status of %zu clients is over %d bytes",
			json_array_size(json_object_get(document, "clients")), LIMIT_ROUTER_STATUS);
	lm_rc rc = lm_file_replace(f->dir_fd, f->name, lm_buf_str(&text), 0644, err);
	f->changed = rc != LM_OK;
	return rc;
}
