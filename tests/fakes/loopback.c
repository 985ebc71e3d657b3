// SPDX-License-Identifier: Apache-2.0
#include "loopback.h"

#include "base/cleanup.h"
#include "base/memory.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

enum { REQUESTS_MAX = 16, REQUEST_SIZE = 16384, ENDLESS_UNIT = 1000 };

struct loopback {
	int listen_fd, stop_fd;
	pthread_t thread;
	bool stopped;
	char origin[64];
	const struct loopback_answer *answers;
	unsigned answers_n, count;
	char requests[REQUESTS_MAX][REQUEST_SIZE];
	SSL_CTX *tls;
};

struct connection {
	int fd;
	SSL *ssl;
};

static void must(bool ok, const char *what)
{
	if (!ok) {
		(void)fprintf(stderr, "loopback server: %s\n", what);
		abort();
	}
}

static ssize_t receive(struct connection *c, char *p, size_t n)
{
	return c->ssl ? SSL_read(c->ssl, p, (int)n) : recv(c->fd, p, n, 0);
}

static bool transmit(struct connection *c, const char *p, size_t n)
{
	while (n) {
		ssize_t sent =
			c->ssl ? SSL_write(c->ssl, p, (int)n) : send(c->fd, p, n, MSG_NOSIGNAL);
		if (sent <= 0)
			return false;
		p += sent;
		n -= (size_t)sent;
	}
	return true;
}

static bool is_complete(const char *request)
{
	const char *end = strstr(request, "\r\n\r\n");
	const char *length = strcasestr(request, "content-length:");

	if (!end)
		return false;
	return !length || strlen(end + 4) >= strtoul(length + 15, NULL, 10);
}

static void serve(struct loopback *l, struct connection *c)
{
	must(l->count < REQUESTS_MAX, "too many requests");
	char *request = l->requests[l->count];
	const struct loopback_answer *a =
		&l->answers[l->count < l->answers_n ? l->count : l->answers_n - 1];
	size_t have = 0;

	while (!is_complete(request)) {
		ssize_t n = receive(c, request + have, REQUEST_SIZE - 1 - have);
		if (n <= 0)
			return; // a handshake that the client broke off is no request
		have += (size_t)n;
	}
	l->count++;
	size_t size = a->n ? a->n : a->bytes ? strlen(a->bytes) : 0;
	if (!transmit(c, a->bytes, size))
		return;
	while (a->endless && transmit(c, a->bytes + size - ENDLESS_UNIT, ENDLESS_UNIT))
		;
	if (a->hold) {
		struct pollfd fds[2] = {
			{.fd = c->fd, .events = POLLIN}, {.fd = l->stop_fd, .events = POLLIN}};
		(void)poll(fds, 2, -1);
	}
}

static void *run(void *ctx)
{
	struct loopback *l = ctx;

	for (;;) {
		struct pollfd fds[2] = {{.fd = l->listen_fd, .events = POLLIN},
			{.fd = l->stop_fd, .events = POLLIN}};

		if (poll(fds, 2, -1) < 0 || fds[1].revents)
			return NULL;
		lm_auto_close int fd = accept4(l->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		struct connection c = {.fd = fd};

		if (l->tls) {
			c.ssl = SSL_new(l->tls);
			(void)SSL_set_fd(c.ssl, fd);
		}
		if (!c.ssl || SSL_accept(c.ssl) == 1)
			serve(l, &c);
		if (c.ssl) {
			(void)SSL_shutdown(c.ssl);
			SSL_free(c.ssl);
		}
	}
}

static struct loopback *create(const struct loopback_answer *answers, unsigned n)
{
	struct loopback *l = lm_xcalloc(1, sizeof(*l));
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);

	l->answers = answers;
	l->answers_n = n;
	l->stop_fd = eventfd(0, EFD_CLOEXEC);
	l->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(bind(l->listen_fd, (struct sockaddr *)&at, size) == 0, "bind");
	must(listen(l->listen_fd, 8) == 0, "listen");
	must(getsockname(l->listen_fd, (struct sockaddr *)&at, &size) == 0, "getsockname");
	(void)snprintf(l->origin, sizeof(l->origin), "http://127.0.0.1:%d", ntohs(at.sin_port));
	return l;
}

static void start(struct loopback *l)
{
	// SSL_write has no MSG_NOSIGNAL.
	(void)signal(SIGPIPE, SIG_IGN);
	must(pthread_create(&l->thread, NULL, run, l) == 0, "pthread_create");
}

struct loopback *loopback_start(const struct loopback_answer *answers, unsigned n)
{
	struct loopback *l = create(answers, n);

	start(l);
	return l;
}

static X509 *make_certificate(EVP_PKEY *key, const char *subject)
{
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, subject);

	must(san && X509_add_ext(x, san, -1), "subjectAltName");
	X509_EXTENSION_free(san);
	(void)X509_set_version(x, 2);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	(void)X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	(void)X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	(void)X509_NAME_add_entry_by_txt(
		name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
	(void)X509_set_issuer_name(x, name);
	(void)X509_set_pubkey(x, key);
	must(X509_sign(x, key, EVP_sha256()) > 0, "X509_sign");
	return x;
}

static void write_certificate(const char *path, X509 *x, EVP_PKEY *key)
{
	lm_auto_fclose FILE *file = fopen(path, "w");

	must(file && PEM_write_X509(file, x), "certificate file");
	must(!key || PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), "key file");
}

static struct loopback *create_tls(const struct loopback_answer *answers, unsigned n,
	const char *subject, const char *certificate_path)
{
	struct loopback *l = create(answers, n);
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = make_certificate(key, subject);

	write_certificate(certificate_path, x, NULL);
	l->tls = SSL_CTX_new(TLS_server_method());
	must(SSL_CTX_use_certificate(l->tls, x) == 1 && SSL_CTX_use_PrivateKey(l->tls, key) == 1,
		"SSL_CTX");
	X509_free(x);
	EVP_PKEY_free(key);
	memmove(l->origin + 5, l->origin + 4, strlen(l->origin + 4) + 1);
	l->origin[4] = 's';
	return l;
}

struct loopback *loopback_start_tls(const struct loopback_answer *answers, unsigned n,
	const char *subject, const char *certificate_path)
{
	struct loopback *l = create_tls(answers, n, subject, certificate_path);

	start(l);
	return l;
}

struct loopback *loopback_start_mutual_tls(const struct loopback_answer *answers, unsigned n,
	const char *subject, const char *certificate_path, const char *client_path)
{
	struct loopback *l = create_tls(answers, n, subject, certificate_path);
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = make_certificate(key, "DNS:client.example");

	write_certificate(client_path, x, key);
	must(X509_STORE_add_cert(SSL_CTX_get_cert_store(l->tls), x) == 1, "client certificate");
	SSL_CTX_set_verify(l->tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	// Else a client that resumes a session is refused.
	must(SSL_CTX_set_session_id_context(l->tls, (const unsigned char *)"loopback", 8) == 1,
		"session");
	X509_free(x);
	EVP_PKEY_free(key);
	start(l);
	return l;
}

const char *loopback_origin(const struct loopback *l)
{
	return l->origin;
}

void loopback_stop(struct loopback *l)
{
	if (l->stopped)
		return;
	must(eventfd_write(l->stop_fd, 1) == 0, "eventfd");
	(void)pthread_join(l->thread, NULL);
	l->stopped = true;
}

unsigned loopback_count(const struct loopback *l)
{
	return l->count;
}

const char *loopback_request(const struct loopback *l, unsigned i)
{
	return i < l->count ? l->requests[i] : "";
}

void loopback_destroy(struct loopback *l)
{
	if (!l)
		return;
	loopback_stop(l);
	(void)close(l->listen_fd);
	(void)close(l->stop_fd);
	SSL_CTX_free(l->tls);
	free(l);
}
