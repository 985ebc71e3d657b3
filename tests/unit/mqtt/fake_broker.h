// SPDX-License-Identifier: Apache-2.0
#pragma once

/// An MQTT broker on 127.0.0.1, in the test's own loop, that behaves as badly as a test wants, and
/// keeps what it was sent. Stops the loop after each thing that happens to it.

#include "sys/loop.h"

#include <stdbool.h>
#include <stddef.h>

/// How one connection goes. All zero: CONNACK 0, PUBACK and PINGRESP to whoever asks.
struct fake_script {
	const char *greeting; ///< In place of CONNACK 0.
	size_t greeting_n;
	bool silent;         ///< No answer at all.
	bool closes;         ///< Behind the greeting.
	bool resets;         ///< At the first byte that comes.
	unsigned closes_at;  ///< Behind this many PUBACKs; 0: never.
	const char *forbids; ///< A topic: whoever publishes to it is dropped, as AWS IoT Core does.
	bool forbids_wills;  ///< So is, before an answer, whoever has a last will.
	bool refuses_filters; ///< Answers a SUBSCRIBE with 0x80 for the last filter.
	bool drops_subscribers;
	const char *pushes; ///< Sent behind a SUBACK: a PUBLISH packet.
	size_t pushes_n;
	bool no_puback;      ///< Takes messages without a word.
	bool no_pong;        ///< Does not answer pings.
	bool byte_by_byte;   ///< Each answer in pieces of one byte.
	bool reads_on_order; ///< After CONNECT it reads nothing until fake_broker_read_on.
};

enum { FAKE_MESSAGES_MAX = 64 };

struct fake_broker {
	struct loop *loop;
	int listen_fd;
	unsigned port;
	struct loop_fd *watch;
	struct fake_peer *peer; ///< The connection that was accepted last.
	const struct fake_script *scripts;
	unsigned scripts_n; ///< The last one is for all further connections.
	unsigned accepted, pings, goodbyes, lost;
	unsigned subscribes, filters;      ///< SUBSCRIBE packets, and the filters of the last one.
	char *messages[FAKE_MESSAGES_MAX]; ///< "topic payload", in the order they came.
	size_t messages_n;
	size_t bytes; ///< Of PUBLISH packets.
	unsigned char connect[512];
	size_t connect_n; ///< The last CONNECT packet, as it came.
};

void fake_broker_start(
	struct fake_broker *b, struct loop *loop, const struct fake_script *scripts, unsigned n);
void fake_broker_read_on(struct fake_broker *b);
void fake_broker_push(const struct fake_broker *b, const char *bytes, size_t n);
/// Closes the connection and the listening socket.
void fake_broker_stop(struct fake_broker *b);
