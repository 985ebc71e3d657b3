// SPDX-License-Identifier: Apache-2.0
#include "discovery/server.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "devices/discovery_document.h"
#include "discovery/client_rate.h"
#include "discovery/http_text.h"
#include "discovery/https_connection.h"
#include "discovery/tls_identity.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

enum {
	BACKLOG = 128,
	ACCEPTS_EACH_TURN = 16,
	RETRY_PORTS_MS = 30 * 1000,
	RESUME_MS = 1000,
};

/// Burst and interval of each rate.
enum {
	CONNECTS_BURST = 100,
	CONNECTS_MS = 50,
	REQUESTS_BURST = 10, ///< Of a registered certificate.
	REQUESTS_MS = 1000,
	STRANGERS_BURST = 20, ///< Of an address, without one.
	STRANGERS_MS = 1000,
	LINES_EACH_BURST = 10, ///< In the log, about one address.
	LINES_EACH_MS = 10 * 1000,
	LINES_BURST = 60,
	LINES_MS = 1000,
};

struct server_port {
	struct server *server;
	struct discovery_port wanted;
	int fd; ///< -1: it cannot be bound yet.
	struct loop_fd *watch;
	bool reported; ///< That it cannot be bound was logged.
};

struct server_settings {
	struct discovery_document doc;
	struct lm_buf answer;
	struct ssl_ctx_st *identity;
};

struct server_client {
	struct server *server;
	struct server_client *next; ///< An older one.
	struct in6_addr address;    ///< IPv4 as ::ffff:192.0.2.1.
	struct https_connection *connection;
};

struct server {
	struct loop *loop;
	char *folder;
	struct server_settings settings;
	struct server_port *ports[DISCOVERY_LISTEN_MAX];
	size_t ports_n;
	struct loop_timer *retry_ports, *resume;
	bool accept_failed;            ///< The last time; that was logged.
	struct server_client *clients; ///< The newest first.
	size_t clients_n;
	struct client_rate *connects, *requests, *strangers, *lines_each, *lines;
	unsigned lines_left_out;
};

// What is logged of clients.

static struct client_key key_of_address(const struct in6_addr *address)
{
	struct client_key key = {0};

	memcpy(key.bytes, address, sizeof(*address));
	return key;
}

static const char *show_address(const struct in6_addr *address, char text[INET6_ADDRSTRLEN])
{
	const char *shown =
		IN6_IS_ADDR_V4MAPPED(address)
			? inet_ntop(AF_INET, &address->s6_addr[12], text, INET6_ADDRSTRLEN)
			: inet_ntop(AF_INET6, address, text, INET6_ADDRSTRLEN);

	return shown ? shown : "an unknown address";
}

/// One line about a client that gets no group. Clients cannot fill the log: what is over a rate is
/// left out, and counted in the next line.
__attribute__((format(printf, 3, 4))) static void log_refusal(
	struct server *s, const struct in6_addr *address, const char *format, ...)
{
	const struct client_key key = key_of_address(address), all = {0};
	uint64_t now_ms = lm_clock_mono_ms();
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_LOG_LINE / 2);
	va_list ap;

	if (!client_rate_take(s->lines_each, &key, now_ms) ||
		!client_rate_take(s->lines, &all, now_ms)) {
		s->lines_left_out++;
		return;
	}
	va_start(ap, format);
	(void)lm_buf_vprintf(&text, format, ap);
	va_end(ap);
	if (s->lines_left_out > 0)
		(void)lm_buf_printf(&text, " (%u more lines about refused clients were left out)",
			s->lines_left_out);
	s->lines_left_out = 0;
	lm_warn("%s", lm_buf_cstr(&text));
}

// Settings.

static void settings_finish(struct server_settings *settings)
{
	discovery_document_finish(&settings->doc);
	lm_buf_finish(&settings->answer);
	tls_identity_free(settings->identity);
	settings->identity = NULL;
}

static lm_rc settings_load(const char *folder, struct server_settings *ret, struct lm_err *err)
{
	lm_auto(settings_finish) struct server_settings loaded = {
		.answer = LM_BUF(LIMIT_DISCOVERY_ANSWER / 2)};
	lm_auto_free char *path = lm_path_join(folder, "discovery.json");
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_DISCOVERY_FILE);
	lm_rc rc = lm_file_read(path, &text, err);

	if (rc)
		return rc;
	rc = discovery_document_parse(lm_buf_str(&text), &loaded.doc, err);
	if (rc)
		return lm_wrap(err, "'%s' cannot be used", path);
	if (!discovery_document_answer(&loaded.doc, &loaded.answer))
		return lm_fail(err, LM_E_TOO_LARGE, 0, "'%s': the answer would be over %d bytes",
			path, LIMIT_DISCOVERY_ANSWER / 2);
	rc = tls_identity_load(folder, &loaded.identity, err);
	if (rc)
		return rc;
	*ret = loaded;
	loaded = (struct server_settings){0};
	return LM_OK;
}

// Requests.

struct verdict {
	int status;
	const char *reason;
};

static struct client_key key_of_fingerprint(const char *fingerprint)
{
	struct client_key key = {0};

	for (size_t i = 0; i < sizeof(key.bytes); i++) {
		unsigned byte = 0;

		(void)sscanf(fingerprint + 2 * i, "%2x", &byte);
		key.bytes[i] = (uint8_t)byte;
	}
	return key;
}

static struct verdict judge(struct server *s, const struct server_client *c,
	const struct http_request *request, const struct tls_client *peer)
{
	const struct discovery_document *doc = &s->settings.doc;
	struct lm_str fingerprint = lm_str(peer->fingerprint);
	bool registered =
		!peer->problem && discovery_document_has_certificate(doc, NULL, fingerprint);
	const struct client_key key =
		registered ? key_of_fingerprint(peer->fingerprint) : key_of_address(&c->address);

	if (!client_rate_take(registered ? s->requests : s->strangers, &key, lm_clock_mono_ms()))
		return (struct verdict){429, "too many requests"};
	if (request->status == 400 || request->status == 405 || request->status == 431 ||
		request->status == 505)
		return (struct verdict){request->status, request->problem};
	if (!registered)
		return (struct verdict){
			401, peer->problem ? peer->problem : "its certificate is not registered"};
	if (request->status != 200)
		return (struct verdict){request->status, request->problem};
	const struct discovery_device *device =
		discovery_document_find(doc, lm_str(request->thing));
	if (!device)
		return (struct verdict){404, "the group has no such thing"};
	if (!discovery_document_has_certificate(doc, device, fingerprint))
		return (struct verdict){403, "its certificate is another thing's"};
	return (struct verdict){200, NULL};
}

static void on_http_request(
	void *ctx, struct lm_str head, const struct tls_client *peer, struct lm_buf *answer)
{
	struct server_client *c = ctx;
	struct server *s = c->server;
	struct http_request request = {.status = 431, .problem = "the request is too large"};
	char address[INET6_ADDRSTRLEN];

	if (head.n > 0)
		request = http_request_parse(head);
	struct verdict verdict = judge(s, c, &request, peer);
	// Always fits: the answer was measured when it was made.
	(void)http_answer_write(
		answer, verdict.status, lm_buf_str(&s->settings.answer), request.no_body);
	const char *shown = show_address(&c->address, address);
	if (verdict.status == 200)
		lm_info("'%s' at %s has discovered the group", request.thing, shown);
	else
		log_refusal(s, &c->address, "answered %s with status %d: %s%s%s%s", shown,
			verdict.status, verdict.reason, request.thing[0] ? " (thing '" : "",
			request.thing, request.thing[0] ? "')" : "");
}

static void on_client_failed(void *ctx, const char *why)
{
	struct server_client *c = ctx;
	char address[INET6_ADDRSTRLEN];

	log_refusal(c->server, &c->address, "closed a connection of %s: %s",
		show_address(&c->address, address), why);
}

// Connections.

static void client_destroy(struct server_client *c)
{
	struct server_client **p = &c->server->clients;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	c->server->clients_n--;
	https_connection_destroy(c->connection);
	free(c);
}

static void on_client_closed(void *ctx)
{
	client_destroy(ctx);
}

static size_t count_connections(const struct server *s, const struct in6_addr *address)
{
	size_t n = 0;

	for (const struct server_client *c = s->clients; c; c = c->next)
		n += IN6_ARE_ADDR_EQUAL(&c->address, address) ? 1 : 0;
	return n;
}

/// The oldest connection of the address with the most.
static struct server_client *find_victim(const struct server *s)
{
	struct server_client *victim = NULL;
	size_t most = 0;

	for (struct server_client *c = s->clients; c; c = c->next) {
		size_t n = count_connections(s, &c->address);

		if (n >= most) {
			most = n;
			victim = c;
		}
	}
	return victim;
}

/// Takes over `fd`.
static void take_client(struct server *s, int fd, const struct in6_addr *address)
{
	struct server_client *c = lm_xcalloc(1, sizeof(*c));
	const struct https_callbacks callbacks = {.request = on_http_request,
		.failed = on_client_failed,
		.closed = on_client_closed,
		.ctx = c};
	struct lm_err err = {LM_OK};
	const int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (https_connection_create(
		    s->loop, s->settings.identity, fd, &callbacks, &c->connection, &err)) {
		free(c);
		log_refusal(s, address, "closed a connection: %s", err.msg);
		return;
	}
	c->server = s;
	c->address = *address;
	c->next = s->clients;
	s->clients = c;
	s->clients_n++;
}

/// Whether there may be one more of this address.
static bool admits(struct server *s, const struct in6_addr *address)
{
	const struct client_key key = key_of_address(address);
	char text[INET6_ADDRSTRLEN];

	if (count_connections(s, address) < LIMIT_DISCOVERY_CONNECTIONS_EACH &&
		client_rate_take(s->connects, &key, lm_clock_mono_ms()))
		return true;
	log_refusal(s, address, "closed a connection of %s: it has too many",
		show_address(address, text));
	return false;
}

static struct in6_addr address_of_client(const struct sockaddr_storage *from)
{
	struct in6_addr address = {.s6_addr = {[10] = 0xff, [11] = 0xff}};

	if (from->ss_family == AF_INET6)
		return ((const struct sockaddr_in6 *)from)->sin6_addr;
	memcpy(&address.s6_addr[12], &((const struct sockaddr_in *)from)->sin_addr, 4);
	return address;
}

static void set_listening(struct server *s, short events)
{
	for (size_t i = 0; i < s->ports_n; i++) {
		if (s->ports[i]->watch)
			loop_fd_set(s->ports[i]->watch, events);
	}
}

static void on_resume(void *ctx)
{
	set_listening(ctx, POLLIN);
}

/// No descriptor or memory, mostly: until that has changed, poll would report the same at once.
static void pause_listening(struct server *s)
{
	if (!s->accept_failed)
		lm_warn("cannot accept connections: %m, retrying every second");
	s->accept_failed = true;
	set_listening(s, 0);
	loop_timer_start(s->resume, RESUME_MS, 0);
}

static void on_knock(void *ctx, short events)
{
	struct server_port *port = ctx;
	struct server *s = port->server;

	(void)events;
	for (int i = 0; i < ACCEPTS_EACH_TURN; i++) {
		struct sockaddr_storage from = {0};
		socklen_t n = sizeof(from);
		int fd = accept4(
			port->fd, (struct sockaddr *)&from, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == ECONNABORTED || errno == EINTR))
			continue;
		if (fd < 0) {
			if (errno != EAGAIN)
				pause_listening(s);
			return;
		}
		s->accept_failed = false;
		const struct in6_addr address = address_of_client(&from);
		if (!admits(s, &address)) {
			(void)close(fd);
			continue;
		}
		if (s->clients_n >= LIMIT_DISCOVERY_CONNECTIONS)
			client_destroy(find_victim(s));
		take_client(s, fd, &address);
	}
}

// Ports.

static lm_rc bind_port(const struct server_port *port, int family, int *ret_fd, struct lm_err *err)
{
	const struct sockaddr_in6 any6 = {
		.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port->wanted.port)};
	const struct sockaddr_in any4 = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port->wanted.port)};
	const struct sockaddr *address = family == AF_INET6 ? (const struct sockaddr *)&any6
							    : (const struct sockaddr *)&any4;
	lm_auto_close int fd =
		socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	const int on = 1, off = 0;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
		(family == AF_INET6 &&
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0) ||
		bind(fd, address, family == AF_INET6 ? sizeof(any6) : sizeof(any4)) != 0 ||
		listen(fd, BACKLOG) != 0)
		return lm_fail(err, errno == EADDRINUSE ? LM_E_CONFLICT : lm_rc_of_errno(errno),
			errno, "cannot listen on port %u: %m", port->wanted.port);
	*ret_fd = lm_take_fd(fd);
	return LM_OK;
}

/// IPv6 with IPv4 in it; IPv4 alone on a device without IPv6.
static lm_rc port_open(struct server_port *port, struct lm_err *err)
{
	lm_rc rc = bind_port(port, AF_INET6, &port->fd, err);

	if (rc && (err->sys == EAFNOSUPPORT || err->sys == EADDRNOTAVAIL))
		rc = bind_port(port, AF_INET, &port->fd, err);
	if (rc)
		return rc;
	rc = loop_fd_create(port->server->loop, port->fd, on_knock, port, &port->watch, err);
	if (rc) {
		(void)close(lm_take_fd(port->fd));
		return rc;
	}
	loop_fd_set(port->watch, POLLIN);
	if (port->reported)
		lm_info("listening on port %u now", port->wanted.port);
	port->reported = false;
	return LM_OK;
}

static void port_destroy(struct server_port *port)
{
	loop_fd_destroy(port->watch);
	if (port->fd >= 0)
		(void)close(port->fd);
	free(port);
}

/// Opens the ports that are not open. At the start, one that is not optional and cannot be bound is
/// an error; else those that cannot are reported once, and tried again.
static lm_rc open_ports(struct server *s, bool starting, struct lm_err *err)
{
	bool retry = false;

	for (size_t i = 0; i < s->ports_n; i++) {
		struct server_port *port = s->ports[i];
		lm_rc rc = port->fd >= 0 ? LM_OK : port_open(port, err);

		if (!rc)
			continue;
		if (starting && !port->wanted.optional)
			return rc;
		if (!port->reported)
			lm_warn("%s, retrying every 30 s", err->msg);
		port->reported = retry = true;
	}
	if (retry)
		loop_timer_start(s->retry_ports, RETRY_PORTS_MS, 0);
	return LM_OK;
}

static void on_retry_ports(void *ctx)
{
	struct lm_err err = {LM_OK};

	(void)!open_ports(ctx, false, &err);
}

/// The port's place, emptied; a new port if it had none.
static struct server_port *claim_port(struct server *s, unsigned number)
{
	for (size_t i = 0; i < s->ports_n; i++) {
		if (s->ports[i] && s->ports[i]->wanted.port == number)
			return lm_take(s->ports[i]);
	}
	struct server_port *port = lm_xcalloc(1, sizeof(*port));
	port->server = s;
	port->fd = -1;
	return port;
}

/// Closes the ports that are not listed any more, and makes a place for those that are.
static void arrange_ports(struct server *s, const struct discovery_document *doc)
{
	struct server_port *arranged[DISCOVERY_LISTEN_MAX] = {NULL};

	for (size_t i = 0; i < doc->listen_n; i++) {
		arranged[i] = claim_port(s, doc->listen[i].port);
		arranged[i]->wanted = doc->listen[i];
	}
	for (size_t i = 0; i < s->ports_n; i++) {
		if (s->ports[i])
			port_destroy(s->ports[i]);
	}
	memcpy(s->ports, arranged, doc->listen_n * sizeof(struct server_port *));
	s->ports_n = doc->listen_n;
}

// The server.

static lm_rc load_and_listen(struct server *s, bool starting, struct lm_err *err)
{
	struct server_settings loaded = {0};
	lm_rc rc = settings_load(s->folder, &loaded, err);

	if (rc)
		return rc;
	settings_finish(&s->settings);
	s->settings = loaded;
	arrange_ports(s, &s->settings.doc);
	return open_ports(s, starting, err);
}

lm_rc server_create(struct loop *loop, const char *folder, struct server **ret, struct lm_err *err)
{
	lm_auto(server_destroy_p) struct server *s = lm_xcalloc(1, sizeof(*s));

	s->loop = loop;
	s->folder = lm_xstrdup(folder);
	s->retry_ports = loop_timer_create(loop, on_retry_ports, s);
	s->resume = loop_timer_create(loop, on_resume, s);
	s->connects = client_rate_create(LIMIT_DISCOVERY_CLIENTS, CONNECTS_BURST, CONNECTS_MS);
	s->requests = client_rate_create(LIMIT_DISCOVERY_CLIENTS, REQUESTS_BURST, REQUESTS_MS);
	s->strangers = client_rate_create(LIMIT_DISCOVERY_CLIENTS, STRANGERS_BURST, STRANGERS_MS);
	s->lines_each =
		client_rate_create(LIMIT_DISCOVERY_CLIENTS, LINES_EACH_BURST, LINES_EACH_MS);
	s->lines = client_rate_create(1, LINES_BURST, LINES_MS);
	lm_rc rc = load_and_listen(s, true, err);
	if (rc)
		return rc;
	*ret = lm_take(s);
	return LM_OK;
}

lm_rc server_reload(struct server *s, struct lm_err *err)
{
	return load_and_listen(s, false, err);
}

void server_destroy(struct server *s)
{
	if (!s)
		return;
	while (s->clients)
		client_destroy(s->clients);
	for (size_t i = 0; i < s->ports_n; i++)
		port_destroy(s->ports[i]);
	loop_timer_destroy(s->retry_ports);
	loop_timer_destroy(s->resume);
	client_rate_destroy(s->connects);
	client_rate_destroy(s->requests);
	client_rate_destroy(s->strangers);
	client_rate_destroy(s->lines_each);
	client_rate_destroy(s->lines);
	settings_finish(&s->settings);
	free(s->folder);
	free(s);
}

char *server_describe(const struct server *s)
{
	lm_auto_buf struct lm_buf text = LM_BUF(256);
	const char *separator = " on port ";

	(void)lm_buf_printf(&text, "serves %zu device%s", s->settings.doc.devices_n,
		s->settings.doc.devices_n == 1 ? "" : "s");
	for (size_t i = 0; i < s->ports_n; i++) {
		if (s->ports[i]->fd < 0)
			continue;
		(void)lm_buf_printf(&text, "%s%u", separator, s->ports[i]->wanted.port);
		separator = " and ";
	}
	return lm_buf_take(&text);
}
