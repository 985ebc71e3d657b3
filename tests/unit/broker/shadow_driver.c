// SPDX-License-Identifier: Apache-2.0
//
// A program to be killed: it does with the shadow service what the broker does, and says on stdout
// what was published. tests/e2e/shadow_kill_test.py runs it.
//
//     shadow_driver run DATABASE      updates and deletes, in turns of several; ends with "done"
//     shadow_driver beside DATABASE   the same, committed on another thread
//     shadow_driver check DATABASE    "X <version> <value>" for each thing
//
// The value of an update is the version that it should get. Published is said as "accepted X
// <version>" or "rejected X <code>".

#include "base/memory.h"
#include "broker/shadow_service.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TURNS = 12, THINGS = 3, FILLER = 3000 };

void mosquitto_log_printf(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/// In place of mosquitto's.
void mosquitto_log_printf(int level, const char *format, ...)
{
	char line[1024];
	va_list ap;

	(void)level;
	va_start(ap, format);
	int n = vsnprintf(line, sizeof(line) - 1, format, ap);
	va_end(ap);
	line[n < (int)sizeof(line) - 1 ? n++ : (int)sizeof(line) - 2] = '\n';
	(void)!write(STDERR_FILENO, line, (size_t)n);
}

/// By its own call, which a kill leaves whole.
static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...)
{
	char line[256];
	va_list ap;

	va_start(ap, format);
	int n = vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	for (int tries = 0; tries < 2;
		tries++) // a fault that hits these words is not the service's
		if (write(STDOUT_FILENO, line, (size_t)n) == n)
			return;
}

static unsigned published;
static int woken[2] = {-1, -1};

static void note_wake(void *ctx)
{
	(void)ctx;
	(void)!write(woken[1], "", 1);
}

static char thing_of(const char *topic)
{
	return topic[strlen("$aws/things/")];
}

static void take_reply(void *ctx, const char *topic, struct lm_str payload)
{
	lm_auto_json json_t *reply = NULL;

	(void)ctx;
	published++;
	if (!strstr(topic, "/accepted") && !strstr(topic, "/rejected"))
		return;
	if (json_parse(payload, &reply, NULL) != LM_OK)
		say("garbage\n");
	else if (strstr(topic, "/accepted"))
		say("%s %c %lld\n", strstr(topic, "/delete/") ? "deleted" : "accepted",
			thing_of(topic), (long long)json_get_int(reply, "version", -1));
	else
		say("rejected %c %lld\n", thing_of(topic),
			(long long)json_get_int(reply, "code", -1));
}

static void send(struct shadow_service *s, char thing, const char *operation, const char *payload)
{
	lm_auto_free char *topic = lm_xasprintf("$aws/things/%c/shadow/%s", thing, operation);

	shadow_service_request(s, "driver", lm_str(topic), lm_str(payload));
}

static uint64_t version_of(struct shadow_service *s, const char *thing)
{
	lm_auto(shadow_document_finish) struct shadow_document d = {0};

	return shadow_service_read(s, thing, &d, NULL) == LM_OK ? d.version : 0;
}

static void run_turn(struct shadow_service *s, unsigned turn)
{
	char filler[FILLER + 1], byte;
	unsigned before = published;

	memset(filler, 'f', FILLER);
	filler[FILLER] = '\0';
	for (unsigned i = 0; i < THINGS; i++) {
		const char name[2] = {(char)('A' + i)};
		lm_auto_free char *update = lm_xasprintf(
			"{\"state\":{\"reported\":{\"value\":%llu,\"filler\":\"%s\"}}}",
			(unsigned long long)version_of(s, name) + 1, filler);

		send(s, name[0], "update", update);
		if (turn % 4 == 3 && i == 1)
			send(s, name[0], "delete", "");
	}
	shadow_service_commit(s);
	while (published == before && read(woken[0], &byte, 1) == 1)
		shadow_service_commit(s);
}

static void check(struct shadow_service *s)
{
	for (unsigned i = 0; i < THINGS; i++) {
		const char name[2] = {(char)('A' + i)};
		lm_auto(shadow_document_finish) struct shadow_document d = {0};

		if (shadow_service_read(s, name, &d, NULL) != LM_OK)
			say("unreadable %s\n", name);
		say("%s %llu %lld\n", name, (unsigned long long)d.version,
			d.exists ? (long long)json_get_int(d.reported, "value", -1) : 0);
	}
	shadow_service_commit(s);
}

int main(int argc, char **argv)
{
	static const char *const things[THINGS] = {"A", "B", "C"};
	struct lm_err err = {0};

	if (argc != 3)
		return 64;
	struct shadow_service *s = shadow_service_open(argv[2], take_reply, NULL, &err);
	if (err.rc)
		say("unusable\n");
	shadow_service_set_things(s, things, THINGS);
	if (strcmp(argv[1], "beside") == 0 && pipe2(woken, O_CLOEXEC) == 0)
		shadow_service_commit_beside(s, note_wake, NULL);
	if (strcmp(argv[1], "check") == 0)
		check(s);
	for (unsigned turn = 0; turn < TURNS && strcmp(argv[1], "check") != 0; turn++)
		run_turn(s, turn);
	shadow_service_close(s);
	say("done\n");
	return 0;
}
