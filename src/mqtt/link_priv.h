// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One attempt to connect to a broker, and the connection that came of it. The attempt (files,
/// name, TCP) runs in a thread of its own, which owns the link meanwhile; then the loop's thread
/// does. TLS and MQTT handshakes are the loop's.

#include "base/error.h"
#include "mqtt/settings.h"
#include "sys/loop.h"

#include <mosquitto.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>

enum { LINK_UNANSWERED = -1, LINK_REASON_SIZE = 128 };

struct link {
	struct mqtt_settings settings;
	char *name;
	char *will_topic, *will_payload;
	unsigned keep_alive_s;
	struct mosquitto *mosq;
	SSL_CTX *tls; ///< NULL: no TLS.

	int connack;                   ///< CONNACK's return code, or LINK_UNANSWERED.
	int verify_error;              ///< Why the broker's certificate is not accepted; X509_V_OK.
	char reason[LINK_REASON_SIZE]; ///< What OpenSSL last complained of, or "".
	/// Called inside of mosquitto_loop: the broker has taken message `id`.
	void (*acknowledged)(void *ctx, int id);
	void *ctx;

	pthread_t thread;
	struct loop_wakeup *wakeup; ///< Borrowed while `left` is false.
	pthread_mutex_t lock;       ///< For the two below.
	bool done;                  ///< The thread is at its end.
	bool left;                  ///< Nobody waits for the thread: it frees the link.
	lm_rc rc;                   ///< What came of the attempt, once it is done.
	struct lm_err err;
};

struct link_spec {
	const struct mqtt_settings *settings; ///< Copied; with a client_id.
	unsigned keep_alive_s;
	const char *will_topic, *will_payload; ///< Copied; NULL: no last will.
	struct loop_wakeup *wakeup;            ///< Sent to when the attempt is done.
	void (*acknowledged)(void *ctx, int id);
	void *ctx;
};

/// Starts an attempt. LM_E_SYS: no thread. LM_E_TIMEOUT: too many earlier attempts, of this process
/// and given up, still hang in the system.
lm_rc link_start(const struct link_spec *spec, struct link **ret, struct lm_err *err);
/// True once the attempt has ended; from then on the link is the loop's.
bool link_is_done(struct link *l);
/// The broker has accepted us: what was needed for that only is given back.
void link_shed(struct link *l);
/// Closes the connection, or leaves the link to its thread, without waiting. With `goodbye` the
/// broker is told that this is meant, and forgets the last will. Takes NULL.
void link_release(struct link *l, bool goodbye);
