// SPDX-License-Identifier: Apache-2.0
/// A load for an MQTT broker: see usage(). One thread, so that it takes one processor at most and
/// the broker the other. It speaks MQTT 3.1.1 by itself: a client library would cost more for a
/// message than the broker that is measured.

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/memory.h"
#include "base/str.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

enum {
	STAMP_SIZE = 8, ///< When it was sent, in front of each payload.
	READ_SIZE = 64 << 10,
	OUT_MAX = 1 << 20, ///< What waits for a broker that does not read.
	FILTERS_A_PACKET = 8,
	EVENTS = 256,
	TYPE_CONNACK = 2,
	TYPE_PUBLISH = 3,
	TYPE_SUBACK = 9,
	KEEPALIVE_S = 1200,
	WARM_UP_MS = 500,
	LOST_AFTER_MS = 5000,
	NS_PER_MS = 1000000,
};
#define NS_PER_S 1000000000ULL

struct load_client {
	const char *id;
	int fd;
	SSL *ssl;
	struct lm_buf in; ///< The begin of a packet whose rest has not arrived.
	struct lm_buf out;
	bool waits_to_write;
	char **filters;
	size_t filters_n;
	uint64_t publishes; ///< PUBLISH packets received.
};

struct load_message {
	struct load_client *publisher;
	const char *topic;
	unsigned receivers;
	char *packet;
	size_t packet_n, stamp_at;
};

struct load {
	const char *socket_path, *ca, *certificate, *key;
	unsigned port, seconds, window, rate, payload_n;
	pid_t broker;
	SSL_CTX *tls;
	int poll;
	struct load_client *clients;
	size_t clients_n;
	struct load_message *messages;
	size_t messages_n, next;
	uint64_t published, received, expected;
	uint32_t *latencies_us10; ///< Tenths of a microsecond.
	size_t latencies_n, latencies_max;
	bool records;
	char read[READ_SIZE];
};

static void usage(FILE *out)
{
	fputs("usage: mqtt_load (--socket PATH | --port PORT [--tls CA CERTIFICATE KEY]) "
	      "[--seconds N]\n"
	      "                 [--window N] [--rate N] [--payload BYTES] [--pid BROKER] PLAN\n"
	      "\n"
	      "Connects the clients of PLAN to a broker on this machine, subscribes, and publishes "
	      "at\n"
	      "QoS 0: first as fast as the broker can, then, with --rate, evenly. Prints a JSON "
	      "object:\n"
	      "messages, seconds, CPU time, latencies. Ends with 1 if a message was lost or came "
	      "twice.\n"
	      "\n"
	      "  --seconds N  of each (default 5)\n"
	      "  --window N   deliveries that are on the way at a time (default 1500)\n"
	      "  --rate N     messages a second of the second part\n"
	      "  --payload N  bytes of a message (default 128)\n"
	      "  --pid N      the broker's process, whose CPU time is measured\n"
	      "\n"
	      "PLAN has these lines, in this order, with tabs between the words:\n"
	      "  client ID\n"
	      "  subscribe ID FILTER\n"
	      "  publish ID TOPIC RECEIVERS   in turns; RECEIVERS is how many clients will get "
	      "it\n",
		out);
}

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fputs("mqtt_load: ", stderr);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	va_end(ap);
	ERR_print_errors_fp(stderr);
	exit(1);
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t = {0};

	(void)clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

// ---------------------------------------------------------------------- packets

static void add_u16(struct lm_buf *b, size_t n)
{
	lm_buf_putc(b, (char)(n >> 8));
	lm_buf_putc(b, (char)n);
}

static void add_text(struct lm_buf *b, struct lm_str text)
{
	add_u16(b, text.n);
	lm_buf_add_str(b, text);
}

static void add_packet(struct lm_buf *b, unsigned char first, const struct lm_buf *body)
{
	size_t n = body->len;

	lm_buf_putc(b, (char)first);
	do {
		lm_buf_putc(b, (char)((n & 127) | (n > 127 ? 128 : 0)));
		n >>= 7;
	} while (n > 0);
	lm_buf_add_str(b, lm_buf_str(body));
}

/// The length of the packet at the begin of `n` bytes and of its head; 0: it is not all there.
static size_t packet_length(const char *p, size_t n, size_t *ret_head)
{
	size_t length = 0;

	for (size_t i = 1; i < n && i < 5; i++) {
		length |= (size_t)(p[i] & 127) << (7 * (i - 1));
		if (!(p[i] & 128)) {
			*ret_head = i + 1;
			return length + i + 1 <= n ? length + i + 1 : 0;
		}
	}
	return 0;
}

// ---------------------------------------------------------------------- connections

static int open_socket(const struct load *load)
{
	struct sockaddr_un where_path = {.sun_family = AF_UNIX};
	struct sockaddr_in where_port = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)load->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	bool local = load->socket_path != NULL;
	int on = 1, fd = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket: %m");
	if (local)
		(void)snprintf(
			where_path.sun_path, sizeof(where_path.sun_path), "%s", load->socket_path);
	if (connect(fd, local ? (struct sockaddr *)&where_path : (struct sockaddr *)&where_port,
		    local ? sizeof(where_path) : sizeof(where_port)) != 0)
		die("connect: %m");
	if (!local)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

/// How many bytes went; 0: none can, at the moment.
static size_t client_write(struct load_client *c, const char *p, size_t n)
{
	ssize_t done = c->ssl ? SSL_write(c->ssl, p, (int)n) : send(c->fd, p, n, MSG_NOSIGNAL);

	if (done > 0)
		return (size_t)done;
	if (c->ssl ? SSL_get_error(c->ssl, (int)done) == SSL_ERROR_WANT_WRITE : errno == EAGAIN)
		return 0;
	die("write to the broker as %s: %m", c->id);
}

/// 0: nothing has arrived.
static size_t client_read(struct load_client *c, char *p, size_t n)
{
	ssize_t done = c->ssl ? SSL_read(c->ssl, p, (int)n) : recv(c->fd, p, n, 0);

	if (done > 0)
		return (size_t)done;
	if (done < 0 && (c->ssl ? SSL_get_error(c->ssl, (int)done) == SSL_ERROR_WANT_READ
				: errno == EAGAIN))
		return 0;
	die("the broker closed the connection of %s", c->id);
}

static void client_send_all(struct load_client *c, const struct lm_buf *b)
{
	for (size_t at = 0; at < b->len;)
		at += client_write(c, b->data + at, b->len - at);
}

/// One packet of that type, while the socket still blocks.
static void client_expect(struct load_client *c, unsigned type)
{
	char packet[64];
	size_t n = 0, head;

	do {
		if (n == sizeof(packet))
			die("the broker's answer to %s is too long", c->id);
		n += client_read(c, packet + n, 1);
	} while (packet_length(packet, n, &head) == 0);
	if ((unsigned char)packet[0] >> 4 != type)
		die("%s got a packet of type %d, not %u", c->id, (unsigned char)packet[0] >> 4,
			type);
	// CONNACK: a return code at the end; SUBACK: one for each filter, 0x80 says no.
	for (size_t i = head + (type == TYPE_CONNACK ? 1 : 2); i < n; i++) {
		if (type == TYPE_CONNACK ? packet[i] != 0 : packet[i] & 0x80)
			die("the broker refuses %s (packet type %u, code %d)", c->id, type,
				packet[i]);
	}
}

static void client_connect(struct load *load, struct load_client *c)
{
	lm_auto_buf struct lm_buf body = LM_BUF(OUT_MAX), out = LM_BUF(OUT_MAX);

	c->fd = open_socket(load);
	if (load->tls) {
		c->ssl = SSL_new(load->tls);
		if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1 || SSL_connect(c->ssl) != 1)
			die("the TLS handshake of %s failed", c->id);
	}
	add_text(&body, LM_STR("MQTT"));
	lm_buf_putc(&body, 4);
	lm_buf_putc(&body, 2); // a clean session
	add_u16(&body, KEEPALIVE_S);
	add_text(&body, lm_str(c->id));
	add_packet(&out, 0x10, &body);
	client_send_all(c, &out);
}

static void client_subscribe(struct load_client *c)
{
	client_expect(c, TYPE_CONNACK);
	for (size_t i = 0; i < c->filters_n; i += FILTERS_A_PACKET) {
		lm_auto_buf struct lm_buf body = LM_BUF(OUT_MAX), out = LM_BUF(OUT_MAX);

		add_u16(&body, i / FILTERS_A_PACKET + 1);
		for (size_t k = i; k < c->filters_n && k < i + FILTERS_A_PACKET; k++) {
			add_text(&body, lm_str(c->filters[k]));
			lm_buf_putc(&body, 0);
		}
		add_packet(&out, 0x82, &body);
		client_send_all(c, &out);
	}
}

static void client_subscribed(struct load *load, struct load_client *c)
{
	for (size_t i = 0; i < c->filters_n; i += FILTERS_A_PACKET)
		client_expect(c, TYPE_SUBACK);
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0 ||
		epoll_ctl(load->poll, EPOLL_CTL_ADD, c->fd,
			&(struct epoll_event){.events = EPOLLIN, .data.ptr = c}) != 0)
		die("wait for %s: %m", c->id);
}

static void client_flush(struct load *load, struct load_client *c)
{
	while (c->out.len > 0) {
		size_t done = client_write(c, c->out.data, c->out.len);

		if (done == 0)
			break;
		lm_buf_consume(&c->out, done);
	}
	if ((c->out.len > 0) != c->waits_to_write) {
		c->waits_to_write = c->out.len > 0;
		(void)epoll_ctl(load->poll, EPOLL_CTL_MOD, c->fd,
			&(struct epoll_event){
				.events = EPOLLIN | (c->waits_to_write ? EPOLLOUT : 0U),
				.data.ptr = c});
	}
}

// ---------------------------------------------------------------------- messages

static void message_encode(struct load *load, struct load_message *m)
{
	lm_auto_buf struct lm_buf body = LM_BUF(OUT_MAX), packet = LM_BUF(OUT_MAX);

	add_text(&body, lm_str(m->topic));
	for (unsigned i = 0; i < load->payload_n; i++)
		lm_buf_putc(&body, (char)('a' + i % 26));
	add_packet(&packet, TYPE_PUBLISH << 4, &body);
	m->packet_n = packet.len;
	m->stamp_at = packet.len - load->payload_n;
	m->packet = lm_buf_take(&packet);
}

/// The next message of the plan goes into its publisher's buffer. False: that is full.
static bool publish_next(struct load *load)
{
	struct load_message *m = &load->messages[load->next];
	uint64_t now = now_ns(CLOCK_MONOTONIC);

	if (m->publisher->out.len + m->packet_n > OUT_MAX / 2)
		return false;
	memcpy(m->packet + m->stamp_at, &now, STAMP_SIZE);
	if (!lm_buf_add(&m->publisher->out, m->packet, m->packet_n))
		return false;
	load->next = (load->next + 1) % load->messages_n;
	load->published++;
	load->expected += m->receivers;
	return true;
}

static void received(struct load *load, struct load_client *c, const char *payload)
{
	uint64_t sent;

	c->publishes++;
	load->received++;
	if (!load->records || load->latencies_n == load->latencies_max)
		return;
	memcpy(&sent, payload, STAMP_SIZE);
	load->latencies_us10[load->latencies_n++] =
		(uint32_t)((now_ns(CLOCK_MONOTONIC) - sent) / 100);
}

/// Counts the packets in `n` bytes. Returns how many bytes were whole packets.
static size_t count_packets(struct load *load, struct load_client *c, const char *p, size_t n)
{
	size_t at = 0, head, length;

	while ((length = packet_length(p + at, n - at, &head)) > 0) {
		if ((unsigned char)p[at] >> 4 != TYPE_PUBLISH)
			die("%s got a packet of type %d", c->id, (unsigned char)p[at] >> 4);
		if (length < head + load->payload_n)
			die("%s got a packet that is too short", c->id);
		received(load, c, p + at + length - load->payload_n);
		at += length;
	}
	return at;
}

static void client_readable(struct load *load, struct load_client *c)
{
	size_t n;

	do {
		n = client_read(c, load->read, READ_SIZE);
		if (n == 0)
			return;
		if (c->in.len == 0) {
			size_t whole = count_packets(load, c, load->read, n);

			lm_buf_add(&c->in, load->read + whole, n - whole);
		} else {
			lm_buf_add(&c->in, load->read, n);
			lm_buf_consume(&c->in, count_packets(load, c, c->in.data, c->in.len));
		}
		// A TLS record at a time; what the library has read, epoll does not tell again.
	} while (c->ssl || n == READ_SIZE);
}

static void turn(struct load *load, uint64_t wait_ns)
{
	struct epoll_event events[EVENTS];
	struct timespec wait = {(time_t)(wait_ns / NS_PER_S), (long)(wait_ns % NS_PER_S)};
	int n = epoll_pwait2(load->poll, events, EVENTS, &wait, NULL);

	if (n < 0 && errno != EINTR)
		die("wait: %m");
	for (int i = 0; i < n; i++) {
		struct load_client *c = events[i].data.ptr;

		if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			client_readable(load, c);
		if (events[i].events & EPOLLOUT)
			client_flush(load, c);
	}
}

static void flush_all(struct load *load)
{
	for (size_t i = 0; i < load->messages_n; i++) {
		if (load->messages[i].publisher->out.len > 0)
			client_flush(load, load->messages[i].publisher);
	}
}

/// Until `end_ns`, as fast as the answers come.
static void run_window(struct load *load, uint64_t end_ns)
{
	uint64_t now;

	while ((now = now_ns(CLOCK_MONOTONIC)) < end_ns) {
		bool any = false;

		// Half a window at a time: a write for each message would cost more than the rest.
		if (load->expected - load->received <= load->window / 2) {
			while (load->expected - load->received < load->window && publish_next(load))
				any = true;
		}
		if (any)
			flush_all(load);
		turn(load, end_ns - now);
	}
}

/// Until `end_ns`, evenly.
static void run_rate(struct load *load, uint64_t end_ns)
{
	uint64_t gap = NS_PER_S / load->rate, due = now_ns(CLOCK_MONOTONIC), now;

	while ((now = now_ns(CLOCK_MONOTONIC)) < end_ns) {
		while (due <= now) {
			if (!publish_next(load))
				die("the broker is too slow for that rate");
			client_flush(load, load->messages[(load->next + load->messages_n - 1) %
							  load->messages_n]
						   .publisher);
			due += gap;
		}
		turn(load, (due < end_ns ? due : end_ns) - now);
	}
}

/// Waits for what is on the way.
static void drain(struct load *load)
{
	uint64_t before = load->received, since = now_ns(CLOCK_MONOTONIC);

	while (load->received < load->expected) {
		turn(load, 100ULL * NS_PER_MS);
		if (load->received != before)
			since = now_ns(CLOCK_MONOTONIC);
		else if (now_ns(CLOCK_MONOTONIC) - since > (uint64_t)LOST_AFTER_MS * NS_PER_MS)
			break;
		before = load->received;
	}
}

static int by_value(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static unsigned most_receivers(const struct load *load)
{
	unsigned most = 1;

	for (size_t i = 0; i < load->messages_n; i++)
		most = load->messages[i].receivers > most ? load->messages[i].receivers : most;
	return most;
}

static double percentile_us(const struct load *load, unsigned per_mille)
{
	if (load->latencies_n == 0)
		return 0;
	size_t at = (load->latencies_n - 1) * per_mille / 1000;

	return load->latencies_us10[at] / 10.0;
}

static uint64_t in_ms(uint64_t ms)
{
	return now_ns(CLOCK_MONOTONIC) + ms * NS_PER_MS;
}

/// As fast as the broker can.
static void measure_throughput(struct load *load, clockid_t broker)
{
	uint64_t at, cpu, own, before;

	run_window(load, in_ms(WARM_UP_MS));
	before = load->received;
	at = now_ns(CLOCK_MONOTONIC), cpu = now_ns(broker), own = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	run_window(load, in_ms(load->seconds * 1000ULL));
	at = now_ns(CLOCK_MONOTONIC) - at, cpu = now_ns(broker) - cpu;
	own = now_ns(CLOCK_PROCESS_CPUTIME_ID) - own;
	printf("{\"received\":%" PRIu64
	       ",\"seconds\":%.6f,\"broker_cpu_s\":%.6f,\"own_cpu_s\":%.6f",
		load->received - before, (double)at / 1e9, (double)cpu / 1e9, (double)own / 1e9);
	drain(load);
}

static void measure_latency(struct load *load)
{
	load->latencies_max = (size_t)load->rate * (load->seconds + 1) * most_receivers(load);
	load->latencies_us10 = lm_xcalloc(load->latencies_max, sizeof(uint32_t));
	run_rate(load, in_ms(WARM_UP_MS));
	drain(load);
	load->records = true;
	run_rate(load, in_ms(load->seconds * 1000ULL));
	drain(load);
	qsort(load->latencies_us10, load->latencies_n, sizeof(uint32_t), by_value);
	printf(",\"us_p50\":%.1f,\"us_p99\":%.1f,\"us_most\":%.1f", percentile_us(load, 500),
		percentile_us(load, 990), percentile_us(load, 1000));
}

static int measure(struct load *load)
{
	clockid_t broker = CLOCK_MONOTONIC;

	if (load->broker && clock_getcpuclockid(load->broker, &broker) != 0)
		die("there is no process %d", (int)load->broker);
	measure_throughput(load, broker);
	if (load->rate)
		measure_latency(load);
	printf(",\"published\":%" PRIu64 ",\"lost\":%" PRId64 "}\n", load->published,
		(int64_t)(load->expected - load->received));
	return load->expected == load->received ? 0 : 1;
}

// ---------------------------------------------------------------------- the plan

static struct load_client *client_of(struct load *load, struct lm_str id)
{
	for (size_t i = 0; i < load->clients_n; i++) {
		if (lm_str_eq(lm_str(load->clients[i].id), id))
			return &load->clients[i];
	}
	die("the plan has no client '%.*s'", LM_STR_ARG(id));
}

static void *grow(void *list, size_t n, size_t size)
{
	// At each power of two.
	return n & (n - 1) ? list : lm_xrealloc(list, (n ? 2 * n : 1) * size);
}

static void plan_line(struct load *load, struct lm_str line)
{
	struct lm_str rest = line, kind = lm_str_cut(&rest, '\t'), id = lm_str_cut(&rest, '\t');

	if (lm_str_eq(kind, LM_STR("client"))) {
		load->clients = grow(load->clients, load->clients_n, sizeof(struct load_client));
		load->clients[load->clients_n++] =
			(struct load_client){.id = lm_xmemdup0(id.p, id.n),
				.in = LM_BUF(2 * READ_SIZE),
				.out = LM_BUF(OUT_MAX)};
	} else if (lm_str_eq(kind, LM_STR("subscribe"))) {
		struct load_client *c = client_of(load, id);

		c->filters = grow(c->filters, c->filters_n, sizeof(char *));
		c->filters[c->filters_n++] = lm_xmemdup0(rest.p, rest.n);
	} else if (lm_str_eq(kind, LM_STR("publish"))) {
		struct lm_str topic = lm_str_cut(&rest, '\t');
		uint64_t receivers;

		if (!lm_str_to_u64(rest, 100000, &receivers))
			die("the plan's line '%.*s' has no number of receivers", LM_STR_ARG(line));
		load->messages =
			grow(load->messages, load->messages_n, sizeof(struct load_message));
		load->messages[load->messages_n++] =
			(struct load_message){.publisher = client_of(load, id),
				.topic = lm_xmemdup0(topic.p, topic.n),
				.receivers = (unsigned)receivers};
	} else {
		die("the plan has the line '%.*s'", LM_STR_ARG(line));
	}
}

static void plan_read(struct load *load, const char *path)
{
	lm_auto_fclose FILE *file = fopen(path, "re");
	lm_auto_free char *line = NULL;
	size_t size = 0;
	ssize_t n;

	if (!file)
		die("open '%s': %m", path);
	while ((n = getline(&line, &size, file)) > 0)
		plan_line(load, (struct lm_str){line, (size_t)n - (line[n - 1] == '\n')});
	if (load->messages_n == 0)
		die("the plan publishes nothing");
	for (size_t i = 0; i < load->messages_n; i++)
		message_encode(load, &load->messages[i]);
}

// ---------------------------------------------------------------------- start

static unsigned number(const char *text)
{
	uint64_t value;

	if (!text || !lm_str_to_u64(lm_str(text), 100000000, &value)) {
		usage(stderr);
		exit(64);
	}
	return (unsigned)value;
}

static void options_read(struct load *load, int argc, char **argv, const char **ret_plan)
{
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(argv[i], "--tls") == 0 && i + 3 < argc) {
			load->ca = argv[i + 1], load->certificate = argv[i + 2];
			load->key = argv[i + 3];
			i += 3;
		} else if (strcmp(argv[i], "--socket") == 0 && value) {
			load->socket_path = argv[++i];
		} else if (strcmp(argv[i], "--port") == 0) {
			load->port = number(value), i++;
		} else if (strcmp(argv[i], "--seconds") == 0) {
			load->seconds = number(value), i++;
		} else if (strcmp(argv[i], "--window") == 0) {
			load->window = number(value), i++;
		} else if (strcmp(argv[i], "--rate") == 0) {
			load->rate = number(value), i++;
		} else if (strcmp(argv[i], "--payload") == 0) {
			load->payload_n = number(value), i++;
		} else if (strcmp(argv[i], "--pid") == 0) {
			load->broker = (pid_t)number(value), i++;
		} else if (argv[i][0] != '-' && !*ret_plan) {
			*ret_plan = argv[i];
		} else {
			usage(strcmp(argv[i], "--help") == 0 ? stdout : stderr);
			exit(strcmp(argv[i], "--help") == 0 ? 0 : 64);
		}
	}
	if (!*ret_plan || (!load->socket_path && !load->port) || load->payload_n < STAMP_SIZE) {
		usage(stderr);
		exit(64);
	}
}

static void tls_prepare(struct load *load)
{
	if (!load->ca)
		return;
	load->tls = SSL_CTX_new(TLS_client_method());
	if (!load->tls || SSL_CTX_load_verify_locations(load->tls, load->ca, NULL) != 1 ||
		SSL_CTX_use_certificate_chain_file(load->tls, load->certificate) != 1 ||
		SSL_CTX_use_PrivateKey_file(load->tls, load->key, SSL_FILETYPE_PEM) != 1)
		die("TLS cannot be set up");
	SSL_CTX_set_verify(load->tls, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(load->tls, SSL_MODE_ENABLE_PARTIAL_WRITE |
					    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					    SSL_MODE_RELEASE_BUFFERS);
}

int main(int argc, char **argv)
{
	static struct load load = {.seconds = 5, .window = 1500, .payload_n = 128};
	struct rlimit files = {0};
	const char *plan = NULL;

	options_read(&load, argc, argv, &plan);
	(void)signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	plan_read(&load, plan);
	tls_prepare(&load);
	load.poll = epoll_create1(EPOLL_CLOEXEC);
	// All are there before the first message: a later one's subscription would change the load.
	for (size_t i = 0; i < load.clients_n; i++)
		client_connect(&load, &load.clients[i]);
	for (size_t i = 0; i < load.clients_n; i++)
		client_subscribe(&load.clients[i]);
	for (size_t i = 0; i < load.clients_n; i++)
		client_subscribed(&load, &load.clients[i]);
	return measure(&load);
}
