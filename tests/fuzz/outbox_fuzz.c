// SPDX-License-Identifier: Apache-2.0

/// A file of the outbox: read as it is, whatever is in it; and written with the input's first line
/// as its topic and the rest as its payload, then with a byte of it changed.

#include "base/cleanup.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "mqtt/outbox.h"
#include "sys/numbered_dir.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILE_NAME "00000000000000000001.status"

static char directory[] = "/dev/shm/outbox_fuzz.XXXXXX";
static int directory_fd = -1;

static struct outbox *open_outbox(void)
{
	struct outbox *o = NULL;

	if (outbox_open(directory, &o, NULL) != LM_OK)
		abort();
	return o;
}

static void remove_directory(void)
{
	(void)rmdir(directory);
}

static void remove_files(void)
{
	(void)unlinkat(directory_fd, FILE_NAME, 0);
	(void)unlinkat(directory_fd, FILE_NAME ".bad", 0);
}

static void write_file(struct lm_str text)
{
	lm_auto_close int fd =
		openat(directory_fd, FILE_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || lm_fd_write_all(fd, FILE_NAME, text, NULL) != LM_OK)
		abort();
}

/// A name that is taken is the one that would be given.
static void check_name(const char *name)
{
	static const char *const suffixes[] = {".status", ".event", NULL};
	const struct numbered_dir dir = {.suffixes = suffixes};
	struct numbered_file file;
	char again[NUMBERED_FILE_NAME_SIZE];

	if (numbered_file_parse_name(&dir, name, &file) &&
		strcmp(numbered_file_name(&dir, file, again), name) != 0)
		abort();
}

/// Whether the outbox has a message from the file; if not, the file was set aside.
static bool has_message(void)
{
	lm_auto(outbox_close_p) struct outbox *o = open_outbox();
	struct outbox_message m;
	bool found = outbox_next(o, &m);

	if (outbox_counts(o).bad != !found)
		abort();
	if (found)
		outbox_message_finish(&m);
	return found;
}

/// What is written is read; with any byte of it changed it is not.
static void check_message(const char *topic, struct lm_str payload, size_t change)
{
	lm_auto(outbox_close_p) struct outbox *o = open_outbox();
	lm_auto_buf struct lm_buf file =
		LM_BUF(LIMIT_MQTT_PAYLOAD + LIMIT_MQTT_TOPIC + (size_t)1024);
	struct outbox_message m;

	if (outbox_add(o, OUTBOX_STATUS, topic, payload, NULL) != LM_OK || !outbox_next(o, &m))
		abort();
	if (strcmp(m.topic, topic) != 0 ||
		!lm_str_eq((struct lm_str){m.payload, m.payload_n}, payload))
		abort();
	outbox_message_finish(&m);
	lm_auto_close int fd = openat(directory_fd, FILE_NAME, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || lm_fd_read_all(fd, FILE_NAME, &file, NULL) != LM_OK || file.len == 0)
		abort();
	file.data[change % file.len] ^= 1;
	write_file(lm_buf_str(&file));
	if (has_message())
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto_free char *copy = lm_xmemdup0(data, size);
	struct lm_str rest = {copy, size};

	if (directory_fd < 0) {
		if (!mkdtemp(directory))
			abort();
		(void)atexit(remove_directory);
		directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	check_name(copy);
	write_file(rest);
	(void)has_message();
	remove_files();
	struct lm_str topic = lm_str_cut(&rest, '\n');
	if (topic.n == 0 || topic.n > LIMIT_MQTT_TOPIC || memchr(topic.p, '\0', topic.n) ||
		rest.n > LIMIT_MQTT_PAYLOAD)
		return 0;
	lm_auto_free char *text = lm_xmemdup0(topic.p, topic.n);
	check_message(text, rest, data[size - 1]);
	remove_files();
	return 0;
}
