// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the tests of an AWS service need around a call: a loopback server that the service's
/// endpoint variable names, credentials, and a struct https.

#include "aws/credentials_provider.h"
#include "aws/request.h"
#include "http/https.h"
#include "loopback.h"

struct exchange {
	struct loopback *server;
	struct https *https;
	/// Of AKIDEXAMPLE / hunter2, from "the environment".
	struct credentials_provider *credentials;
	struct request_limits limits; ///< Two attempts, without waiting.
};

/// `variable`: "AWS_ENDPOINT_URL_ECR".
void exchange_begin(struct exchange *x, const char *variable, const struct loopback_answer *answers,
	unsigned n);
/// Carries out what was started and stops the server.
void exchange_run(struct exchange *x);
void exchange_finish(struct exchange *x);
/// Fails the test if request `i` has no `what` in it.
void exchange_assert_asked(const struct exchange *x, unsigned i, const char *what);
/// Fails the test if the sentence lacks `what`, or holds the secret key.
void exchange_assert_says(const struct lm_err *err, const char *what);

/// An answer with this status, further headers, and body; the connection's end ends it.
#define ANSWER(status, headers, body) "HTTP/1.0 " status "\r\n" headers "\r\n" body
#define ERROR_ANSWER(status, type, message)                                                        \
	ANSWER(status, "", "{\"__type\":\"" type "\",\"message\":\"" message "\"}")
