// SPDX-License-Identifier: Apache-2.0
#include "mqtt/link_priv.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/str.h"
#include "mqtt/fault_priv.h"
#include "mqtt/tls_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	/// The resolver and OpenSSL's file readers need some tens of KB.
	STACK_SIZE = 512 << 10,
	/// As many as libmosquitto may have in flight; the publisher's own window is not larger.
	IN_FLIGHT_MAX = 20,
};

/// Threads that nobody waits for and that have not ended yet.
static atomic_uint hanging;

static void free_link(struct link *l)
{
	mosquitto_destroy(l->mosq);
	SSL_CTX_free(l->tls);
	mqtt_settings_finish(&l->settings);
	free(l->name);
	free(l->will_topic);
	free(l->will_payload);
	(void)pthread_mutex_destroy(&l->lock);
	free(l);
}

static void on_connack(struct mosquitto *mosq, void *ctx, int code)
{
	struct link *l = ctx;

	(void)mosq;
	l->connack = code;
}

static void on_puback(struct mosquitto *mosq, void *ctx, int id)
{
	struct link *l = ctx;

	(void)mosq;
	l->acknowledged(l->ctx, id);
}

/// OpenSSL's complaints come this way only: "OpenSSL Error[0]: error:<code>:<library>::<reason>".
static void on_log(struct mosquitto *mosq, void *ctx, int level, const char *text)
{
	struct link *l = ctx;
	const char *reason = strrchr(text, ':');

	(void)mosq;
	if (level == MOSQ_LOG_ERR && reason &&
		lm_str_starts(lm_str(text), LM_STR("OpenSSL Error[0]")))
		(void)snprintf(l->reason, sizeof(l->reason), "%s", reason + 1);
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

static lm_rc set_password(struct link *l, struct lm_err *err)
{
	lm_auto_buf struct lm_buf password = LM_BUF_SECRET(LIMIT_MQTT_PASSWORD);
	const char *path = l->settings.password_file;

	if (!l->settings.username)
		return LM_OK;
	lm_rc rc = path ? read_password(path, &password, err) : LM_OK;
	if (rc != LM_OK)
		return rc;
	// libmosquitto copies it, twice, and frees the copies unwiped: after the CONNECT was
	// written, and in link_shed.
	int code = mosquitto_username_pw_set(
		l->mosq, l->settings.username, path ? lm_buf_cstr(&password) : NULL);
	if (code != MOSQ_ERR_SUCCESS)
		return lm_fail(err, LM_E_INVALID, 0, "mqtt: username and passwordFile: %s",
			mosquitto_strerror(code));
	return LM_OK;
}

static lm_rc set_tls(struct link *l, struct lm_err *err)
{
	if (!mqtt_settings_want_tls(&l->settings))
		return LM_OK;
	lm_rc rc = tls_create(&l->settings, &l->verify_error, &l->tls, err);
	if (rc != LM_OK)
		return rc;
	(void)mosquitto_void_option(l->mosq, MOSQ_OPT_SSL_CTX, l->tls);
	(void)mosquitto_int_option(l->mosq, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, 0);
	return LM_OK;
}

static lm_rc set_will(struct link *l, struct lm_err *err)
{
	if (!l->will_topic)
		return LM_OK;
	int code = mosquitto_will_set(
		l->mosq, l->will_topic, (int)strlen(l->will_payload), l->will_payload, 1, false);
	if (code != MOSQ_ERR_SUCCESS)
		return lm_fail(err, LM_E_INVALID, 0, "the last will for the topic '%s': %s",
			l->will_topic, mosquitto_strerror(code));
	return LM_OK;
}

static lm_rc make_handle(struct link *l, struct lm_err *err)
{
	l->mosq = mosquitto_new(l->settings.client_id, true, l);
	if (!l->mosq)
		return lm_fail(err, LM_E_INVALID, errno, "mqtt: clientId: '%s': %m",
			l->settings.client_id);
	mosquitto_connect_callback_set(l->mosq, on_connack);
	mosquitto_publish_callback_set(l->mosq, on_puback);
	mosquitto_log_callback_set(l->mosq, on_log);
	(void)mosquitto_int_option(l->mosq, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V311);
	(void)mosquitto_int_option(l->mosq, MOSQ_OPT_SEND_MAXIMUM, IN_FLIGHT_MAX);
	(void)mosquitto_int_option(l->mosq, MOSQ_OPT_TCP_NODELAY, !l->settings.socket);
	return LM_OK;
}

static lm_rc attempt(struct link *l, struct lm_err *err)
{
	const struct mqtt_settings *s = &l->settings;
	lm_rc rc = make_handle(l, err);

	if (rc == LM_OK)
		rc = set_will(l, err);
	if (rc == LM_OK)
		rc = set_password(l, err);
	if (rc == LM_OK)
		rc = set_tls(l, err);
	if (rc != LM_OK)
		return rc;
	errno = 0;
	// With port 0 the host is a socket's path. Returns once TCP is connected.
	int code = mosquitto_connect(l->mosq, s->socket ? s->socket : s->host,
		s->socket ? 0 : (int)s->port, (int)l->keep_alive_s);
	if (code != MOSQ_ERR_SUCCESS)
		return fault_connect(l, code, errno, err);
	(void)fcntl(mosquitto_socket(l->mosq), F_SETFD, FD_CLOEXEC);
	return LM_OK;
}

static void *run(void *arg)
{
	struct link *l = arg;

	l->rc = attempt(l, &l->err);
	(void)pthread_mutex_lock(&l->lock);
	bool left = l->left;
	l->done = true;
	if (!left)
		loop_wakeup_send(l->wakeup);
	(void)pthread_mutex_unlock(&l->lock);
	if (left) {
		free_link(l);
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

static lm_rc start_thread(struct link *l, struct lm_err *err)
{
	pthread_attr_t attr;
	sigset_t all;
	sigset_t before;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK_SIZE);
	// Signals are the loop's; here they would interrupt connect().
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	int code = pthread_create(&l->thread, &attr, run, l);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attr);
	if (code != 0)
		return lm_fail(err, LM_E_SYS, code,
			"start a thread to connect to the MQTT broker %s: %m", l->name);
	return LM_OK;
}

lm_rc link_start(const struct link_spec *spec, struct link **ret, struct lm_err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	lm_auto_free char *name = mqtt_settings_name(spec->settings);

	if (atomic_load(&hanging) >= LIMIT_MQTT_HANGING)
		return lm_fail(err, LM_E_TIMEOUT, 0,
			"the MQTT broker %s was not reached, and earlier attempts still hang; "
			"check the network and DNS",
			name);
	(void)pthread_once(&once, init_libraries);

	struct link *l = lm_xcalloc(1, sizeof(*l));
	l->settings = mqtt_settings_copy(spec->settings);
	l->name = lm_take(name);
	l->keep_alive_s = spec->keep_alive_s;
	if (spec->will_topic) {
		l->will_topic = lm_xstrdup(spec->will_topic);
		l->will_payload = lm_xstrdup(spec->will_payload);
	}
	l->connack = LINK_UNANSWERED;
	l->verify_error = X509_V_OK;
	l->acknowledged = spec->acknowledged;
	l->ctx = spec->ctx;
	l->wakeup = spec->wakeup;
	(void)pthread_mutex_init(&l->lock, NULL);
	lm_rc rc = start_thread(l, err);
	if (rc != LM_OK) {
		free_link(l);
		return rc;
	}
	*ret = l;
	return LM_OK;
}

bool link_is_done(struct link *l)
{
	(void)pthread_mutex_lock(&l->lock);
	bool done = l->done;
	(void)pthread_mutex_unlock(&l->lock);
	return done;
}

void link_shed(struct link *l)
{
	X509_STORE *none = l->tls ? X509_STORE_new() : NULL;

	(void)mosquitto_username_pw_set(l->mosq, NULL, NULL);
	// A bundle of CAs is more than a megabyte once it has been read.
	if (none)
		SSL_CTX_set_cert_store(l->tls, none);
}

void link_release(struct link *l, bool goodbye)
{
	if (!l)
		return;
	(void)pthread_mutex_lock(&l->lock);
	bool done = l->done;
	// Before the thread can see it, or it would count itself off first.
	if (!done)
		(void)atomic_fetch_add(&hanging, 1);
	l->left = !done;
	pthread_t thread = l->thread;
	(void)pthread_mutex_unlock(&l->lock);
	if (!done) {
		(void)pthread_detach(thread);
		return;
	}
	(void)pthread_join(thread, NULL); // at its end: does not wait
	if (goodbye && l->connack == 0)
		(void)mosquitto_disconnect(l->mosq);
	free_link(l);
}
