// SPDX-License-Identifier: Apache-2.0
#include "mqtt/connection.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "mqtt/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <mosquitto.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	/// The resolver and OpenSSL's file readers need some tens of KB.
	STACK_SIZE = 512 << 10,
	/// As many as libmosquitto may have in flight; the publisher's own window is not larger.
	IN_FLIGHT_MAX = 20,
	UNANSWERED = -1,
	REFUSED_FILTER = 0x80, ///< In a SUBACK.
};

struct mqtt_connection {
	struct mqtt_settings settings;
	char *name;
	char *will_topic, *will_payload;
	unsigned keep_alive_s;
	struct mosquitto *mosq;
	SSL_CTX *tls; ///< NULL: no TLS.

	int connack;          ///< CONNACK's return code, or UNANSWERED.
	int verify_error;     ///< Why the broker's certificate is not accepted; X509_V_OK.
	char reason[128];     ///< What OpenSSL last complained of, or "".
	bool ended_by_broker; ///< Once the connection is lost.
	void (*acknowledged)(void *ctx, int id);
	void (*subscribed)(void *ctx, int id, bool granted);
	void (*received)(void *ctx, const char *topic, struct lm_str payload, bool acknowledges);
	void (*pinged)(void *ctx);
	void (*answered)(void *ctx);
	void *ctx;

	pthread_t thread;
	struct loop_wakeup *wakeup; ///< Borrowed while `left` is false.
	pthread_mutex_t lock;       ///< For the two below.
	bool done;                  ///< The thread is at its end.
	bool left;                  ///< Nobody waits for the thread: it frees the connection.
	lm_rc rc;                   ///< What came of the attempt, once it is done.
	struct lm_err err;
};

/// Threads that nobody waits for and that have not ended yet.
static atomic_uint hanging;

/// By CONNACK's return code (MQTT 3.1.1, table 3.1).
static const char *const REFUSALS[] = {
	[1] = "it does not support MQTT 3.1.1",
	[2] = "it rejects the client identifier; check clientId",
	[3] = "its service is not available at the moment",
	[4] = "bad user name or password; check username and passwordFile",
	[5] = "not authorised; check username and passwordFile, or certificate",
};

static lm_rc connection_fail_refused(const struct mqtt_connection *c, struct lm_err *err)
{
	size_t code = (size_t)c->connack;

	if (code >= LM_ARRAY_SIZE(REFUSALS))
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the MQTT broker %s refuses us with %d, which is no code of MQTT 3.1.1",
			c->name, c->connack);
	return lm_fail(
		err, LM_E_REFUSED, 0, "the MQTT broker %s refuses us: %s", c->name, REFUSALS[code]);
}

/// A connection that was cut is also a complaint of OpenSSL, but TLS is not at fault.
static bool is_tls_problem(const struct mqtt_connection *c)
{
	return c->verify_error != X509_V_OK ||
	       (c->connack != 0 && c->reason[0] && !strstr(c->reason, "unexpected eof"));
}

static lm_rc fail_tls(const struct mqtt_connection *c, struct lm_err *err)
{
	if (c->verify_error != X509_V_OK)
		return lm_fail(err, LM_E_NETWORK, 0,
			"the certificate of the MQTT broker %s is not accepted (%s); %s", c->name,
			X509_verify_cert_error_string(c->verify_error),
			tls_advice(c->verify_error));
	return lm_fail(err, LM_E_NETWORK, 0,
		"TLS with the MQTT broker %s failed (%s); check that its port speaks TLS, and "
		"accepts our certificate (certificate, privateKey)",
		c->name, c->reason[0] ? c->reason : "no reason given");
}

static lm_rc fail_socket(const struct mqtt_connection *c, int sys, struct lm_err *err)
{
	switch (sys) {
	case ENOENT:
	case ECONNREFUSED:
		return lm_fail(err, LM_E_NETWORK, sys,
			"no MQTT broker listens on the socket %s (%m); check that it runs, and "
			"socket",
			c->name);
	case EACCES:
		return lm_fail(err, LM_E_DENIED, sys,
			"the socket %s of the MQTT broker may not be used (%m); check its mode",
			c->name);
	default:
		return lm_fail(err, LM_E_NETWORK, sys, "the MQTT broker %s cannot be reached: %m",
			c->name);
	}
}

static lm_rc fail_host(const struct mqtt_connection *c, int sys, struct lm_err *err)
{
	if (sys == ECONNREFUSED)
		return lm_fail(err, LM_E_NETWORK, sys,
			"no MQTT broker listens on %s (%m); check that it runs, and host and port",
			c->name);
	return lm_fail(err, LM_E_NETWORK, sys,
		"the MQTT broker %s cannot be reached (%m); check the network, and host and port",
		c->name);
}

static lm_rc fail_closed(const struct mqtt_connection *c, int sys, struct lm_err *err)
{
	if (c->connack == 0)
		return lm_fail(err, LM_E_NETWORK, sys,
			"the MQTT broker %s closed the connection; if this persists, see its log: "
			"it may not let us publish, or another client has our clientId",
			c->name);
	return lm_fail(err, LM_E_NETWORK, sys,
		"the MQTT broker %s closed the connection before it answered; check port, and "
		"whether %s",
		c->name,
		!c->tls                   ? "it asks for TLS (ca, certificate)"
		: c->settings.certificate ? "it accepts our certificate (certificate, privateKey)"
					  : "it asks for a certificate (certificate, privateKey)");
}

/// mosquitto_loop or mosquitto_publish returned `rc`, and `sys` in errno.
static lm_rc fail_lost(const struct mqtt_connection *c, int rc, int sys, struct lm_err *err)
{
	if (c->connack > 0)
		return connection_fail_refused(c, err);
	if (is_tls_problem(c) || rc == MOSQ_ERR_TLS)
		return fail_tls(c, err);
	switch (rc) {
	case MOSQ_ERR_KEEPALIVE:
		return lm_fail(err, LM_E_TIMEOUT, 0,
			"the MQTT broker %s did not respond for %u s; check the network, and "
			"that it runs",
			c->name, c->keep_alive_s);
	case MOSQ_ERR_PROTOCOL:
	case MOSQ_ERR_MALFORMED_PACKET:
	case MOSQ_ERR_NOT_SUPPORTED:
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"what answers at %s does not speak MQTT 3.1.1; check host and port",
			c->name);
	case MOSQ_ERR_NOMEM:
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the MQTT broker %s sends a message that is too large; check host and port",
			c->name);
	case MOSQ_ERR_CONN_LOST:
	case MOSQ_ERR_NO_CONN:
	case MOSQ_ERR_ERRNO:
		return fail_closed(c, sys, err);
	default:
		return lm_fail(err, LM_E_NETWORK, sys, "the connection to the MQTT broker %s: %s",
			c->name, mosquitto_strerror(rc));
	}
}

/// mosquitto_connect returned `rc`, and `sys` in errno.
static lm_rc connection_fail_connect(
	const struct mqtt_connection *c, int rc, int sys, struct lm_err *err)
{
	switch (rc) {
	case MOSQ_ERR_EAI:
		return lm_fail(err, LM_E_NETWORK, 0,
			"the address of the MQTT broker '%s' cannot be found (%s); check the "
			"network, DNS, and host",
			c->settings.host, gai_strerror(sys));
	case MOSQ_ERR_ERRNO:
		// When sending CONNECT already failed; EPROTO stands for any failure of TLS.
		if (sys == EPROTO || sys == ECONNRESET || sys == EPIPE)
			return fail_lost(c, rc, sys, err);
		return c->settings.socket ? fail_socket(c, sys, err) : fail_host(c, sys, err);
	default:
		return fail_lost(c, rc, sys, err);
	}
}

static void connection_destroy(struct mqtt_connection *c)
{
	mosquitto_destroy(c->mosq);
	SSL_CTX_free(c->tls);
	mqtt_settings_finish(&c->settings);
	free(c->name);
	free(c->will_topic);
	free(c->will_payload);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

static void on_connack(struct mosquitto *mosq, void *ctx, int code)
{
	struct mqtt_connection *c = ctx;

	(void)mosq;
	c->connack = code;
}

static void on_puback(struct mosquitto *mosq, void *ctx, int id)
{
	struct mqtt_connection *c = ctx;

	(void)mosq;
	c->acknowledged(c->ctx, id);
}

static void on_suback(struct mosquitto *mosq, void *ctx, int id, int answers_n, const int *answers)
{
	struct mqtt_connection *c = ctx;
	bool granted = true;

	(void)mosq;
	for (int i = 0; i < answers_n; i++)
		granted = granted && answers[i] < REFUSED_FILTER;
	c->subscribed(c->ctx, id, granted);
}

static void connection_on_message(
	struct mosquitto *mosq, void *ctx, const struct mosquitto_message *message)
{
	struct mqtt_connection *c = ctx;

	(void)mosq;
	if (message->payloadlen >= 0)
		c->received(c->ctx, message->topic,
			(struct lm_str){message->payload, (size_t)message->payloadlen},
			message->qos > 0);
}

/// Pings and their answers come this way only: "Client <clientId> sending PINGREQ", "… received
/// PINGRESP". And so do OpenSSL's complaints:
/// "OpenSSL Error[0]: error:<code>:<library>::<reason>".
static void on_log(struct mosquitto *mosq, void *ctx, int level, const char *text)
{
	struct mqtt_connection *c = ctx;
	const char *reason = strrchr(text, ':');

	(void)mosq;
	if (level == MOSQ_LOG_DEBUG && lm_str_ends(lm_str(text), LM_STR(" sending PINGREQ")))
		c->pinged(c->ctx);
	if (level == MOSQ_LOG_DEBUG && lm_str_ends(lm_str(text), LM_STR(" received PINGRESP")))
		c->answered(c->ctx);
	if (level == MOSQ_LOG_ERR && reason &&
		lm_str_starts(lm_str(text), LM_STR("OpenSSL Error[0]")))
		(void)snprintf(c->reason, sizeof(c->reason), "%s", reason + 1);
}

static lm_rc read_password(const char *path, struct lm_buf *out, struct lm_err *err)
{
	lm_rc rc = lm_file_read(path, out, err);

	if (rc != LM_OK)
		return lm_wrap(err, "mqtt: passwordFile");
	while (out->len > 0 && strchr("\r\n", out->data[out->len - 1]))
		out->data[--out->len] = '\0';
	if (out->len == 0 || strlen(out->data) != out->len || strpbrk(out->data, "\r\n"))
		return lm_fail(err, LM_E_INVALID, 0,
			"mqtt: passwordFile: '%s' must hold one line, the password", path);
	return LM_OK;
}

static lm_rc set_password(struct mqtt_connection *c, struct lm_err *err)
{
	lm_auto_buf struct lm_buf password = LM_BUF_SECRET(LIMIT_MQTT_PASSWORD);
	const char *path = c->settings.password_file;

	if (!c->settings.username)
		return LM_OK;
	lm_rc rc = path ? read_password(path, &password, err) : LM_OK;
	if (rc != LM_OK)
		return rc;
	// libmosquitto copies it, twice, and frees the copies unwiped: after the CONNECT was
	// written, and in mqtt_connection_shed.
	int code = mosquitto_username_pw_set(
		c->mosq, c->settings.username, path ? lm_buf_cstr(&password) : NULL);
	if (code != MOSQ_ERR_SUCCESS)
		return lm_fail(err, LM_E_INVALID, 0, "mqtt: username and passwordFile: %s",
			mosquitto_strerror(code));
	return LM_OK;
}

static lm_rc set_tls(struct mqtt_connection *c, struct lm_err *err)
{
	if (!mqtt_settings_want_tls(&c->settings))
		return LM_OK;
	lm_rc rc = tls_create(&c->settings, &c->verify_error, &c->tls, err);
	if (rc != LM_OK)
		return rc;
	(void)mosquitto_void_option(c->mosq, MOSQ_OPT_SSL_CTX, c->tls);
	(void)mosquitto_int_option(c->mosq, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, 0);
	return LM_OK;
}

static lm_rc set_will(struct mqtt_connection *c, struct lm_err *err)
{
	if (!c->will_topic)
		return LM_OK;
	int code = mosquitto_will_set(
		c->mosq, c->will_topic, (int)strlen(c->will_payload), c->will_payload, 1, false);
	if (code != MOSQ_ERR_SUCCESS)
		return lm_fail(err, LM_E_INVALID, 0, "the last will for the topic '%s': %s",
			c->will_topic, mosquitto_strerror(code));
	return LM_OK;
}

static lm_rc make_handle(struct mqtt_connection *c, struct lm_err *err)
{
	c->mosq = mosquitto_new(c->settings.client_id, true, c);
	if (!c->mosq)
		return lm_fail(err, LM_E_INVALID, errno, "mqtt: clientId: '%s': %m",
			c->settings.client_id);
	mosquitto_connect_callback_set(c->mosq, on_connack);
	mosquitto_publish_callback_set(c->mosq, on_puback);
	mosquitto_subscribe_callback_set(c->mosq, on_suback);
	mosquitto_message_callback_set(c->mosq, connection_on_message);
	mosquitto_log_callback_set(c->mosq, on_log);
	(void)mosquitto_int_option(c->mosq, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V311);
	(void)mosquitto_int_option(c->mosq, MOSQ_OPT_SEND_MAXIMUM, IN_FLIGHT_MAX);
	(void)mosquitto_int_option(c->mosq, MOSQ_OPT_TCP_NODELAY, !c->settings.socket);
	return LM_OK;
}

static lm_rc attempt(struct mqtt_connection *c, struct lm_err *err)
{
	const struct mqtt_settings *s = &c->settings;
	lm_rc rc = make_handle(c, err);

	if (rc == LM_OK)
		rc = set_will(c, err);
	if (rc == LM_OK)
		rc = set_password(c, err);
	if (rc == LM_OK)
		rc = set_tls(c, err);
	if (rc != LM_OK)
		return rc;
	errno = 0;
	// With port 0 the host is a socket's path. Returns once TCP is connected.
	int code = mosquitto_connect(c->mosq, s->socket ? s->socket : s->host,
		s->socket ? 0 : (int)s->port, (int)c->keep_alive_s);
	if (code != MOSQ_ERR_SUCCESS)
		return connection_fail_connect(c, code, errno, err);
	(void)fcntl(mosquitto_socket(c->mosq), F_SETFD, FD_CLOEXEC);
	return LM_OK;
}

static void *connection_run(void *arg)
{
	struct mqtt_connection *c = arg;

	c->rc = attempt(c, &c->err);
	(void)pthread_mutex_lock(&c->lock);
	bool left = c->left;
	c->done = true;
	if (!left)
		loop_wakeup_send(c->wakeup);
	(void)pthread_mutex_unlock(&c->lock);
	if (left) {
		connection_destroy(c);
		(void)atomic_fetch_sub(&hanging, 1);
	}
	return NULL;
}

/// Once in a process, and never undone: a thread that was left behind may use them to the very end,
/// which is also why OpenSSL must not clear up in exit().
static void init_libraries(void)
{
	(void)OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL);
	(void)mosquitto_lib_init();
}

static lm_rc start_thread(struct mqtt_connection *c, struct lm_err *err)
{
	pthread_attr_t attr;
	sigset_t all;
	sigset_t before;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK_SIZE);
	// Signals are the loop's; here they would interrupt connect().
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	int code = pthread_create(&c->thread, &attr, connection_run, c);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attr);
	if (code != 0)
		return lm_fail(err, LM_E_SYS, code,
			"start a thread to connect to the MQTT broker %s: %m", c->name);
	return LM_OK;
}

lm_rc mqtt_connection_start(
	const struct mqtt_connection_spec *spec, struct mqtt_connection **ret, struct lm_err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	lm_auto_free char *name = mqtt_settings_name(spec->settings);

	if (atomic_load(&hanging) >= LIMIT_MQTT_HANGING)
		return lm_fail(err, LM_E_TIMEOUT, 0,
			"the MQTT broker %s was not reached, and earlier attempts are still "
			"waiting; "
			"check the network and DNS",
			name);
	(void)pthread_once(&once, init_libraries);

	struct mqtt_connection *c = lm_xcalloc(1, sizeof(*c));
	c->settings = mqtt_settings_copy(spec->settings);
	c->name = lm_take(name);
	c->keep_alive_s = spec->keep_alive_s;
	if (spec->will_topic) {
		c->will_topic = lm_xstrdup(spec->will_topic);
		c->will_payload = lm_xstrdup(spec->will_payload);
	}
	c->connack = UNANSWERED;
	c->verify_error = X509_V_OK;
	c->acknowledged = spec->acknowledged;
	c->subscribed = spec->subscribed;
	c->received = spec->received;
	c->pinged = spec->pinged;
	c->answered = spec->answered;
	c->ctx = spec->ctx;
	c->wakeup = spec->wakeup;
	(void)pthread_mutex_init(&c->lock, NULL);
	lm_rc rc = start_thread(c, err);
	if (rc != LM_OK) {
		connection_destroy(c);
		return rc;
	}
	*ret = c;
	return LM_OK;
}

bool mqtt_connection_is_done(struct mqtt_connection *c)
{
	(void)pthread_mutex_lock(&c->lock);
	bool done = c->done;
	(void)pthread_mutex_unlock(&c->lock);
	return done;
}

lm_rc mqtt_connection_result(const struct mqtt_connection *c, struct lm_err *err)
{
	if (c->rc != LM_OK)
		*err = c->err;
	return c->rc;
}

int mqtt_connection_fd(const struct mqtt_connection *c)
{
	return mosquitto_socket(c->mosq);
}

bool mqtt_connection_wants_write(const struct mqtt_connection *c)
{
	return mosquitto_want_write(c->mosq);
}

bool mqtt_connection_is_accepted(const struct mqtt_connection *c)
{
	return c->connack == 0;
}

bool mqtt_connection_ended_by_broker(const struct mqtt_connection *c)
{
	return c->ended_by_broker;
}

/// libmosquitto 2.0.11 does not see that a connection was reset during the TLS handshake.
static bool is_closed_by_broker(const struct mqtt_connection *c)
{
	char byte;
	ssize_t n = recv(mosquitto_socket(c->mosq), &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

static lm_rc connection_lose(struct mqtt_connection *c, int code, int sys, struct lm_err *err)
{
	c->ended_by_broker = code == MOSQ_ERR_CONN_LOST || code == MOSQ_ERR_ERRNO ||
			     code == MOSQ_ERR_CONN_REFUSED;
	return fail_lost(c, code, sys, err);
}

/// Bytes of memory that this process may write to, as RLIMIT_DATA counts them or more; 0: unknown.
static uint64_t writable_memory(void)
{
	lm_auto_buf struct lm_buf text = LM_BUF(256);
	struct lm_str rest, field = LM_STR("");
	uint64_t pages = 0;

	if (lm_file_read("/proc/self/statm", &text, NULL) != LM_OK)
		return 0;
	rest = lm_str_trim(lm_buf_str(&text));
	for (int i = 0; i < 6; i++) // size resident shared text lib data dt
		field = lm_str_cut(&rest, ' ');
	return lm_str_to_u64(field, INT64_MAX / getpagesize(), &pages)
		       ? pages * (uint64_t)getpagesize()
		       : 0;
}

/// mosquitto_loop. libmosquitto takes messages of up to 256 MB, which nobody should send to us, and
/// has no ceiling to set: so it gets no memory for one.
static int run_loop(struct mqtt_connection *c)
{
	uint64_t now = writable_memory();
	struct rlimit before, bounded;

	if (now == 0 || getrlimit(RLIMIT_DATA, &before) != 0)
		return mosquitto_loop(c->mosq, 0, 1);
	bounded = before;
	if (bounded.rlim_cur > now + LIMIT_MQTT_RECEIVED)
		bounded.rlim_cur = now + LIMIT_MQTT_RECEIVED;
	(void)setrlimit(RLIMIT_DATA, &bounded);
	errno = 0;
	int code = mosquitto_loop(c->mosq, 0, 1);
	int sys = errno;
	(void)setrlimit(RLIMIT_DATA, &before);
	errno = sys;
	return code;
}

lm_rc mqtt_connection_step(struct mqtt_connection *c, struct lm_err *err)
{
	errno = 0;
	// With no time to wait this is mosquitto_loop_read, _write and _misc, and goes on with a
	// TLS handshake in either direction, which those by themselves do not.
	int code = run_loop(c);
	int sys = errno;
	if (code == MOSQ_ERR_SUCCESS && mosquitto_socket(c->mosq) < 0)
		code = MOSQ_ERR_CONN_LOST;
	if (code == MOSQ_ERR_SUCCESS && c->connack != 0 && is_closed_by_broker(c)) {
		code = MOSQ_ERR_CONN_LOST;
		sys = 0;
	}
	return code == MOSQ_ERR_SUCCESS ? LM_OK : connection_lose(c, code, sys, err);
}

/// What became of a packet that was to be sent.
static lm_rc check_sent(struct mqtt_connection *c, int code, int sys, const char *what,
	const char *topic, struct lm_err *err)
{
	switch (code) {
	case MOSQ_ERR_SUCCESS:
		return LM_OK;
	case MOSQ_ERR_INVAL:
	case MOSQ_ERR_MALFORMED_UTF8:
	case MOSQ_ERR_PAYLOAD_SIZE:
		return lm_fail(
			err, LM_E_INVALID, 0, "%s '%s': %s", what, topic, mosquitto_strerror(code));
	default:
		return connection_lose(c, code, sys, err);
	}
}

lm_rc mqtt_connection_publish(struct mqtt_connection *c, const char *topic, struct lm_str payload,
	int *ret_id, struct lm_err *err)
{
	errno = 0;
	int code = mosquitto_publish(c->mosq, ret_id, topic, (int)payload.n, payload.p, 1, false);

	return check_sent(c, code, errno, "publish to", topic, err);
}

lm_rc mqtt_connection_subscribe(struct mqtt_connection *c, const char *const *filters, size_t n,
	int *ret_id, struct lm_err *err)
{
	errno = 0;
	// libmosquitto only reads them.
	int code = mosquitto_subscribe_multiple(
		c->mosq, ret_id, (int)n, (char *const *)(uintptr_t)filters, 1, 0, NULL);

	return check_sent(c, code, errno, "subscribe to", filters[0], err);
}

void mqtt_connection_shed(struct mqtt_connection *c)
{
	X509_STORE *none = c->tls ? X509_STORE_new() : NULL;

	(void)mosquitto_username_pw_set(c->mosq, NULL, NULL);
	// A bundle of CAs is more than a megabyte once it has been read.
	if (none)
		SSL_CTX_set_cert_store(c->tls, none);
}

void mqtt_connection_release(struct mqtt_connection *c, bool disconnect)
{
	if (!c)
		return;
	(void)pthread_mutex_lock(&c->lock);
	bool done = c->done;
	// Before the thread can see it, or it would count itself off first.
	if (!done)
		(void)atomic_fetch_add(&hanging, 1);
	c->left = !done;
	pthread_t thread = c->thread;
	(void)pthread_mutex_unlock(&c->lock);
	if (!done) {
		(void)pthread_detach(thread);
		return;
	}
	(void)pthread_join(thread, NULL); // at its end: does not wait
	if (disconnect && c->connack == 0)
		(void)mosquitto_disconnect(c->mosq);
	connection_destroy(c);
}
