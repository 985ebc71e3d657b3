// SPDX-License-Identifier: Apache-2.0
#include "broker/status_file.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
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

/// A client ID: printable ASCII (router_table.h).
static void add_client_id(struct lm_buf *text, const char *id)
{
	size_t n = 0;

	(void)lm_buf_putc(text, '"');
	while (id[n = strcspn(id, "\"\\")]) {
		(void)lm_buf_add(text, id, n);
		(void)lm_buf_putc(text, '\\');
		(void)lm_buf_putc(text, id[n]);
		id += n + 1;
	}
	(void)lm_buf_add(text, id, n);
	(void)lm_buf_putc(text, '"');
}

static void add_client(struct lm_buf *text, const struct local_client *client)
{
	char rest[160];
	int n = snprintf(rest, sizeof(rest),
		",\"connected\":%s,\"since_ms\":%" PRId64 ",\"routed\":%" PRIu64
		",\"refused\":%" PRIu64 "}",
		client->token ? "true" : "false", client->since_ms, client->routed,
		client->refused);

	(void)lm_buf_puts(text, "{\"name\":");
	add_client_id(text, client->id);
	(void)lm_buf_add(text, rest, (size_t)n);
}

/// By hand: as values of jansson, 2,500 clients would stop the broker for 30 ms in each second.
static void add_clients(struct lm_buf *text, const struct local_clients *clients)
{
	const struct local_client *client = NULL;
	bool first = true;

	(void)lm_buf_puts(text, ",\"connected\":[");
	for (size_t i = 0; (client = local_clients_at(clients, i)); i++) {
		if (!client->token)
			continue;
		if (!first)
			(void)lm_buf_putc(text, ',');
		add_client_id(text, client->id);
		first = false;
	}
	(void)lm_buf_puts(text, "],\"clients\":[");
	for (size_t i = 0; (client = local_clients_at(clients, i)); i++) {
		if (i > 0)
			(void)lm_buf_putc(text, ',');
		add_client(text, client);
	}
	(void)lm_buf_puts(text, "]}");
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
	(void)json_write(document, &text);
	if (text.len > 0)
		text.len--; // its closing brace
	add_clients(&text, s->clients);
	if (text.overflow)
		return lm_fail(err, LM_E_TOO_LARGE, 0, "the status of the clients is over %d bytes",
			LIMIT_ROUTER_STATUS);
	lm_rc rc = lm_file_replace(f->dir_fd, f->name, lm_buf_str(&text), 0644, err);
	f->changed = rc != LM_OK;
	return rc;
}
