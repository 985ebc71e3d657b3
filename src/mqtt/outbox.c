// SPDX-License-Identifier: Apache-2.0
#include "mqtt/outbox.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "sys/numbered_dir.h"
#include "sys/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TAKEN_FILE "taken"

enum {
	HEADER_MAX = 96,
	FILE_MAX = LIMIT_MQTT_PAYLOAD + LIMIT_MQTT_TOPIC + HEADER_MAX,
	/// Charged beside topic and payload: header, index, part of a disk block. It also bounds
	/// how many small messages there can be.
	OVERHEAD = 256,
	TAKEN_KEY_MAX = 64,
	TAKEN_MAX = LIMIT_OUTBOX_TAKEN * (TAKEN_KEY_MAX + 1),
};

/// By class; a PROGRESS message has no file.
static const char *const SUFFIXES[] = {".status", ".event", NULL};

struct outbox_entry {
	uint64_t seq;
	enum outbox_class class;
	bool in_flight;
	size_t charge;
	/// The whole file as it would be on disk; NULL: it is on disk.
	char *text;
	size_t text_n;
};

struct outbox {
	struct numbered_dir dir;
	struct outbox_entry *entries; ///< By `seq`, ascending.
	size_t n;
	size_t size;
	size_t bytes;
	bool set_aside[OUTBOX_CLASSES];
	char *redirects[OUTBOX_CLASSES]; ///< NULL: to the topic that a message has.
	char **taken;                    ///< Keys, the oldest first.
	size_t taken_n;
	uint64_t dropped_event;
	uint64_t dropped_progress;
	uint64_t bad;
	uint64_t bad_removed;
};

enum file_state {
	FILE_WHOLE,
	FILE_BAD,        ///< There is no message of that name, nor will be.
	FILE_UNREADABLE, ///< For now: no descriptors, the disk fails, no rights.
};

/// FNV-1a, 64 bits: against torn and damaged files, not against people.
static uint64_t checksum(struct lm_str bytes)
{
	uint64_t sum = 0xcbf29ce484222325u;

	for (size_t i = 0; i < bytes.n; i++)
		sum = (sum ^ (unsigned char)bytes.p[i]) * 0x100000001b3u;
	return sum;
}

/// A line "lighterman-message 1 <checksum of what follows>", a line with the topic, the payload.
static void write_message(struct lm_buf *out, const char *topic, struct lm_str payload)
{
	lm_auto_buf struct lm_buf body = LM_BUF(FILE_MAX);

	(void)lm_buf_printf(&body, "%s\n", topic);
	(void)lm_buf_add_str(&body, payload);
	(void)lm_buf_printf(
		out, "lighterman-message 1 %016" PRIx64 "\n", checksum(lm_buf_str(&body)));
	(void)lm_buf_add_str(out, lm_buf_str(&body));
}

/// False if the text is not a whole message. The parts are borrowed from `text`.
static bool parse_message(struct lm_str text, struct lm_str *ret_topic, struct lm_str *ret_payload)
{
	char expected[HEADER_MAX];
	struct lm_str rest = text;
	struct lm_str header = lm_str_cut(&rest, '\n');

	(void)snprintf(
		expected, sizeof(expected), "lighterman-message 1 %016" PRIx64, checksum(rest));
	if (!lm_str_eq(header, lm_str(expected)) || lm_str_find(rest, '\n') == rest.n)
		return false;
	*ret_topic = lm_str_cut(&rest, '\n');
	*ret_payload = rest;
	return true;
}

/// True also if that cannot be seen.
static bool may_be_regular(int dir_fd, const char *name)
{
	struct stat st;

	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ? errno != ENOENT
								    : S_ISREG(st.st_mode);
}

static enum file_state explain_unread(int dir_fd, const char *name)
{
	return may_be_regular(dir_fd, name) ? FILE_UNREADABLE : FILE_BAD;
}

/// Reads a message; its parts are borrowed from `text`, and only there if it is WHOLE.
static enum file_state read_message(int dir_fd, const char *name, struct lm_buf *text,
	struct lm_str *ret_topic, struct lm_str *ret_payload)
{
	lm_auto_close int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return explain_unread(dir_fd, name);
	lm_rc rc = lm_fd_read_all(fd, name, text, NULL);
	if (rc == LM_E_TOO_LARGE)
		return FILE_BAD;
	if (rc != LM_OK)
		return explain_unread(dir_fd, name);
	return parse_message(lm_buf_str(text), ret_topic, ret_payload) ? FILE_WHOLE : FILE_BAD;
}

/// The size of the file, whether it can be read or not; 0: not even that is known.
static size_t file_size(int dir_fd, const char *name)
{
	struct stat st;

	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? (size_t)st.st_size : 0;
}

/// Renames it to "*.bad".
static void rename_bad(int dir_fd, const char *name)
{
	char bad[NAME_MAX + 8];

	(void)snprintf(bad, sizeof(bad), "%s.bad", name);
	(void)renameat(dir_fd, name, dir_fd, bad);
}

/// Whether it is the name of a file that was set aside. Its number, 0 if it never was a message.
static bool is_bad_name(const struct outbox *o, const char *name, uint64_t *ret_seq)
{
	struct numbered_file file = {0};
	struct lm_str all = lm_str(name);

	if (!lm_str_ends(all, LM_STR(".bad")))
		return false;
	lm_auto_free char *message = lm_xmemdup0(name, all.n - strlen(".bad"));
	(void)numbered_file_parse_name(&o->dir, message, &file);
	*ret_seq = file.number;
	return true;
}

struct bad_file {
	uint64_t seq;
	char name[NAME_MAX + 1];
};

/// Puts `next` in the place of the oldest of those that stay, if it is newer than that one, which
/// it then is.
static void keep_newer(struct bad_file kept[LIMIT_OUTBOX_BAD], struct bad_file *next)
{
	size_t oldest = 0;

	for (size_t i = 1; i < LIMIT_OUTBOX_BAD; i++) {
		if (kept[i].seq < kept[oldest].seq)
			oldest = i;
	}
	if (next->seq <= kept[oldest].seq)
		return;
	struct bad_file was = kept[oldest];
	kept[oldest] = *next;
	*next = was;
}

struct bad_files {
	struct outbox *outbox;
	struct bad_file kept[LIMIT_OUTBOX_BAD];
	size_t n;
};

static void limit_bad_file(void *ctx, const char *name, const struct numbered_file *file)
{
	struct bad_files *b = ctx;
	struct bad_file next;

	if (file || !is_bad_name(b->outbox, name, &next.seq))
		return;
	(void)snprintf(next.name, sizeof(next.name), "%s", name);
	if (b->n < LIMIT_OUTBOX_BAD) {
		b->kept[b->n++] = next;
		return;
	}
	keep_newer(b->kept, &next);
	b->outbox->bad_removed += lm_tree_remove(b->outbox->dir.fd, next.name, NULL) == LM_OK;
}

/// Removes those that were set aside but for the LIMIT_OUTBOX_BAD newest; none if it cannot look,
/// until next time.
static void limit_bad(struct outbox *o)
{
	struct bad_files files = {.outbox = o};
	struct lm_err ignored;

	(void)!numbered_dir_list(&o->dir, limit_bad_file, &files, &ignored);
}

static struct numbered_file file_of(const struct outbox_entry *e)
{
	return (struct numbered_file){.number = e->seq, .suffix = e->class};
}

/// Takes over what `e` owns.
static void outbox_insert(struct outbox *o, struct outbox_entry e)
{
	size_t at = o->n;

	if (o->n == o->size) {
		o->size = o->size ? o->size * 2 : 16;
		o->entries = lm_xrealloc(o->entries, o->size * sizeof(*o->entries));
	}
	while (at > 0 && o->entries[at - 1].seq > e.seq)
		at--;
	memmove(&o->entries[at + 1], &o->entries[at], (o->n - at) * sizeof(*o->entries));
	o->entries[at] = e;
	o->n++;
	o->bytes += e.charge;
	numbered_dir_reserve(&o->dir, e.seq);
}

/// The entry `at`; its file stays.
static void forget_entry(struct outbox *o, size_t at)
{
	free(o->entries[at].text);
	o->bytes -= o->entries[at].charge;
	o->n--;
	memmove(&o->entries[at], &o->entries[at + 1], (o->n - at) * sizeof(*o->entries));
}

/// Removes entry `at` with its file.
static lm_rc remove_entry(struct outbox *o, size_t at, struct lm_err *err)
{
	const struct outbox_entry *e = &o->entries[at];
	lm_rc rc = LM_OK;

	if (e->class != OUTBOX_PROGRESS)
		rc = numbered_dir_remove(&o->dir, file_of(e), err);
	forget_entry(o, at);
	return rc;
}

/// Gives up the oldest message of a class that is not in flight; false if there is none.
static bool drop_oldest(struct outbox *o, enum outbox_class class)
{
	for (size_t i = 0; i < o->n; i++) {
		if (o->entries[i].class != class || o->entries[i].in_flight)
			continue;
		// A file that stays is sent after the next start: late, but not lost.
		if (remove_entry(o, i, NULL) != LM_OK)
			return true;
		*(class == OUTBOX_EVENT ? &o->dropped_event : &o->dropped_progress) += 1;
		return true;
	}
	return false;
}

/// Charged to messages that one of this class may push out.
static size_t count_yielding(const struct outbox *o, enum outbox_class class)
{
	size_t bytes = 0;

	for (size_t i = 0; i < o->n; i++) {
		const struct outbox_entry *e = &o->entries[i];

		if (!e->in_flight && e->class != OUTBOX_STATUS && e->class >= class)
			bytes += e->charge;
	}
	return bytes;
}

static lm_rc check_room(
	struct outbox *o, enum outbox_class class, size_t charge, struct lm_err *err)
{
	size_t max = class == OUTBOX_STATUS ? 2 * LIMIT_OUTBOX_BYTES : LIMIT_OUTBOX_BYTES;

	if (o->bytes - count_yielding(o, class) + charge <= max)
		return LM_OK;
	if (class == OUTBOX_EVENT)
		o->dropped_event++;
	if (class == OUTBOX_PROGRESS)
		o->dropped_progress++;
	return lm_fail(err, LM_E_TOO_LARGE, 0,
		"the outbox '%s' is full: %zu messages of %zu bytes wait for the broker",
		o->dir.path, o->n, o->bytes);
}

/// Makes up for a message of this class, for which there is room by check_room.
static void outbox_make_room(struct outbox *o, enum outbox_class class)
{
	while (o->bytes > LIMIT_OUTBOX_BYTES && drop_oldest(o, OUTBOX_PROGRESS))
		;
	while (class != OUTBOX_PROGRESS && o->bytes > LIMIT_OUTBOX_BYTES &&
		drop_oldest(o, OUTBOX_EVENT))
		;
}

static struct outbox_entry *outbox_find(const struct outbox *o, uint64_t seq)
{
	for (size_t i = 0; i < o->n; i++) {
		if (o->entries[i].seq == seq)
			return &o->entries[i];
	}
	return NULL;
}

/// Takes a message into memory, which may be over the bound then, until make_room.
static lm_rc outbox_take(struct outbox *o, enum outbox_class class, const char *topic,
	struct lm_str payload, uint64_t *ret_seq, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(FILE_MAX);
	size_t topic_n = strlen(topic);
	struct outbox_entry e = {
		.seq = o->dir.last + 1, .class = class, .charge = topic_n + payload.n + OVERHEAD};

	if (topic_n == 0 || strchr(topic, '\n'))
		return lm_fail(
			err, LM_E_INVALID, 0, "'%s' is not a valid topic to publish to", topic);
	if (topic_n > LIMIT_MQTT_TOPIC || payload.n > LIMIT_MQTT_PAYLOAD)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"a message of %zu bytes to '%s' is over the ceiling of %d", payload.n,
			topic, LIMIT_MQTT_PAYLOAD);
	lm_rc rc = check_room(o, class, e.charge, err);
	if (rc != LM_OK)
		return rc;
	write_message(&text, topic, payload);
	e.text_n = text.len;
	e.text = lm_buf_take(&text);
	*ret_seq = e.seq;
	outbox_insert(o, e);
	return LM_OK;
}

static bool is_unsaved(const struct outbox_entry *e)
{
	return e->text && e->class != OUTBOX_PROGRESS;
}

static lm_rc save_message(struct outbox *o, struct outbox_entry *e, struct lm_err *err)
{
	lm_rc rc = numbered_dir_put(&o->dir, file_of(e), (struct lm_str){e->text, e->text_n}, err);

	if (rc != LM_OK)
		return lm_wrap(err, "keep a message in the outbox");
	free(lm_take(e->text));
	e->text_n = 0;
	return LM_OK;
}

lm_rc outbox_hold(struct outbox *o, enum outbox_class class, const char *topic,
	struct lm_str payload, uint64_t *ret_seq, struct lm_err *err)
{
	lm_rc rc = outbox_take(o, class, topic, payload, ret_seq, err);

	if (rc == LM_OK)
		outbox_make_room(o, class);
	return rc;
}

lm_rc outbox_save(struct outbox *o, uint64_t seq, struct lm_err *err)
{
	struct outbox_entry *e = outbox_find(o, seq);

	return e && is_unsaved(e) ? save_message(o, e, err) : LM_OK;
}

lm_rc outbox_save_held(struct outbox *o, size_t max, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	for (size_t i = 0; i < o->n && max > 0 && rc == LM_OK; i++) {
		if (!is_unsaved(&o->entries[i]))
			continue;
		rc = save_message(o, &o->entries[i], err);
		max--;
	}
	return rc;
}

bool outbox_is_saved(const struct outbox *o)
{
	for (size_t i = 0; i < o->n; i++) {
		if (is_unsaved(&o->entries[i]))
			return false;
	}
	return true;
}

lm_rc outbox_add(struct outbox *o, enum outbox_class class, const char *topic,
	struct lm_str payload, struct lm_err *err)
{
	uint64_t seq;
	lm_rc rc = outbox_take(o, class, topic, payload, &seq, err);

	if (rc != LM_OK)
		return rc;
	rc = outbox_save(o, seq, err);
	if (rc == LM_OK)
		outbox_make_room(
			o, class); // not before: the disk may refuse what others would go for
	else
		(void)remove_entry(o, (size_t)(outbox_find(o, seq) - o->entries), NULL);
	return rc;
}

bool outbox_is_sent(const struct outbox *o)
{
	for (size_t i = 0; i < o->n; i++) {
		if (!o->entries[i].in_flight && !o->set_aside[o->entries[i].class])
			return false;
	}
	return true;
}

void outbox_set_aside(struct outbox *o, enum outbox_class class, bool set_aside)
{
	o->set_aside[class] = set_aside;
}

void outbox_redirect(struct outbox *o, enum outbox_class class, const char *topic)
{
	free(o->redirects[class]);
	o->redirects[class] = topic ? lm_xstrdup(topic) : NULL;
	while (!topic && drop_oldest(o, class))
		;
}

/// Whether it may be sent, in the first round if it is a STATUS, in the second if it is not.
static bool outbox_is_due(const struct outbox *o, const struct outbox_entry *e, unsigned round)
{
	return !e->in_flight && !o->set_aside[e->class] &&
	       (e->class == OUTBOX_STATUS) == (round == 0);
}

enum outbox_class outbox_next_class(const struct outbox *o)
{
	for (unsigned round = 0; round < 2; round++) {
		for (size_t i = 0; i < o->n; i++) {
			if (outbox_is_due(o, &o->entries[i], round))
				return o->entries[i].class;
		}
	}
	return OUTBOX_CLASSES;
}

static enum file_state load_message(
	struct outbox *o, const struct outbox_entry *e, struct outbox_message *ret)
{
	lm_auto_buf struct lm_buf file = LM_BUF(FILE_MAX);
	char name[NUMBERED_FILE_NAME_SIZE];
	struct lm_str topic;
	struct lm_str payload;
	enum file_state state = FILE_WHOLE;

	if (!e->text)
		state = read_message(o->dir.fd, numbered_file_name(&o->dir, file_of(e), name),
			&file, &topic, &payload);
	else if (!parse_message((struct lm_str){e->text, e->text_n}, &topic, &payload))
		state = FILE_BAD;
	if (state != FILE_WHOLE)
		return state;
	*ret = (struct outbox_message){
		.seq = e->seq,
		.class = e->class,
		.topic = o->redirects[e->class] ? lm_xstrdup(o->redirects[e->class])
						: lm_xmemdup0(topic.p, topic.n),
		.payload = lm_xmemdup0(payload.p, payload.n),
		.payload_n = payload.n,
	};
	return FILE_WHOLE;
}

static void reject_entry(struct outbox *o, size_t at)
{
	const struct outbox_entry *e = &o->entries[at];
	char name[NUMBERED_FILE_NAME_SIZE];

	if (e->class != OUTBOX_PROGRESS)
		rename_bad(o->dir.fd, numbered_file_name(&o->dir, file_of(e), name));
	o->bad++;
	limit_bad(o);
	forget_entry(o, at);
}

static bool next_of_round(struct outbox *o, unsigned round, struct outbox_message *ret)
{
	size_t i = 0;

	while (i < o->n) {
		struct outbox_entry *e = &o->entries[i];
		enum file_state state =
			outbox_is_due(o, e, round) ? load_message(o, e, ret) : FILE_UNREADABLE;

		if (state == FILE_WHOLE) {
			e->in_flight = true;
			return true;
		}
		if (state == FILE_BAD)
			reject_entry(o, i);
		else
			i++;
	}
	return false;
}

bool outbox_next(struct outbox *o, struct outbox_message *ret)
{
	return next_of_round(o, 0, ret) || next_of_round(o, 1, ret);
}

void outbox_message_finish(struct outbox_message *m)
{
	free(m->topic);
	free(m->payload);
	*m = (struct outbox_message){0};
}

lm_rc outbox_done(struct outbox *o, uint64_t seq, struct lm_err *err)
{
	const struct outbox_entry *e = outbox_find(o, seq);

	return e ? remove_entry(o, (size_t)(e - o->entries), err) : LM_OK;
}

void outbox_reject(struct outbox *o, uint64_t seq)
{
	const struct outbox_entry *e = outbox_find(o, seq);

	if (e)
		reject_entry(o, (size_t)(e - o->entries));
}

void outbox_return_all(struct outbox *o)
{
	for (size_t i = 0; i < o->n; i++)
		o->entries[i].in_flight = false;
}

static void add_taken(struct outbox *o, struct lm_str key)
{
	if (!o->taken)
		o->taken = lm_xcalloc(LIMIT_OUTBOX_TAKEN, sizeof(*o->taken));
	if (o->taken_n == LIMIT_OUTBOX_TAKEN) {
		free(o->taken[0]);
		o->taken_n--;
		memmove(o->taken, o->taken + 1, o->taken_n * sizeof(*o->taken));
	}
	o->taken[o->taken_n++] = lm_xmemdup0(key.p, key.n);
}

static bool is_taken_key(struct lm_str key)
{
	return key.n > 0 && key.n <= TAKEN_KEY_MAX;
}

/// The keys, a line each. False: that is not what it is; then none is added.
static bool add_taken_lines(struct outbox *o, struct lm_str text)
{
	size_t n = 0;

	for (struct lm_str rest = text; rest.n > 0; n++)
		if (!is_taken_key(lm_str_cut(&rest, '\n')))
			return false;
	while (text.n > 0)
		add_taken(o, lm_str_cut(&text, '\n'));
	return n > 0;
}

static enum file_state read_taken(struct outbox *o)
{
	lm_auto_close int fd =
		openat(o->dir.fd, TAKEN_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	lm_auto_buf struct lm_buf text = LM_BUF(TAKEN_MAX + RECORD_HEADER_MAX);
	struct lm_err ignored;

	if (fd < 0)
		return explain_unread(o->dir.fd, TAKEN_FILE);
	lm_rc rc = lm_fd_read_all(fd, TAKEN_FILE, &text, NULL);
	if (rc != LM_OK)
		return rc == LM_E_TOO_LARGE ? FILE_BAD : explain_unread(o->dir.fd, TAKEN_FILE);
	struct lm_str lines = lm_buf_str(&text);
	// A release before this one wrote the lines alone, which are shorter than a header.
	if (record_parse(TAKEN_FILE, lines, &lines, &ignored) && lm_str_starts(lines, LM_STR("{")))
		return FILE_BAD;
	return add_taken_lines(o, lines) ? FILE_WHOLE : FILE_BAD;
}

/// Reads the keys that an earlier run noted; a file that is damaged has none and is set aside.
static void load_taken(struct outbox *o)
{
	if (read_taken(o) != FILE_BAD)
		return;
	rename_bad(o->dir.fd, TAKEN_FILE);
	o->bad++;
}

bool outbox_has_taken(const struct outbox *o, const char *key)
{
	for (size_t i = 0; i < o->taken_n; i++) {
		if (strcmp(o->taken[i], key) == 0)
			return true;
	}
	return false;
}

lm_rc outbox_note_taken(struct outbox *o, const char *key, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(TAKEN_MAX);

	if (!*key || strlen(key) > TAKEN_KEY_MAX || strchr(key, '\n'))
		return lm_fail(err, LM_E_INVALID, 0, "'%s' is no key of a message", key);
	if (!outbox_has_taken(o, key))
		add_taken(o, lm_str(key));
	for (size_t i = 0; i < o->taken_n; i++)
		(void)lm_buf_printf(&text, "%s\n", o->taken[i]);
	return record_replace(o->dir.fd, TAKEN_FILE, lm_buf_str(&text), err);
}

void outbox_forget_taken(struct outbox *o)
{
	if (o->taken_n == 0)
		return;
	while (o->taken_n > 0)
		free(o->taken[--o->taken_n]);
	// One that stays is forgotten again after the next start.
	(void)unlinkat(o->dir.fd, TAKEN_FILE, 0);
}

static size_t count_set_aside(const struct outbox *o)
{
	size_t n = 0;

	for (size_t i = 0; i < o->n; i++)
		n += o->set_aside[o->entries[i].class];
	return n;
}

static size_t count_lasting(const struct outbox *o)
{
	size_t n = 0;

	for (size_t i = 0; i < o->n; i++)
		n += !o->entries[i].text;
	return n;
}

struct outbox_counts outbox_counts(const struct outbox *o)
{
	return (struct outbox_counts){
		.messages = o->n,
		.set_aside = count_set_aside(o),
		.lasting = count_lasting(o),
		.bytes = o->bytes,
		.dropped_event = o->dropped_event,
		.dropped_progress = o->dropped_progress,
		.bad = o->bad,
		.bad_removed = o->bad_removed,
	};
}

static void load_file(struct outbox *o, const char *name, const struct numbered_file *file)
{
	lm_auto_buf struct lm_buf text = LM_BUF(FILE_MAX);
	struct lm_str topic;
	struct lm_str payload;
	enum file_state state =
		file ? read_message(o->dir.fd, name, &text, &topic, &payload) : FILE_BAD;

	if (state == FILE_BAD) {
		rename_bad(o->dir.fd, name);
		o->bad++;
		return;
	}
	outbox_insert(
		o, (struct outbox_entry){
			   .seq = file->number,
			   .class = file->suffix,
			   .charge = OVERHEAD + (state == FILE_WHOLE ? topic.n + payload.n
								     : file_size(o->dir.fd, name)),
		   });
}

static void outbox_on_file(void *ctx, const char *name, const struct numbered_file *file)
{
	struct outbox *o = ctx;
	uint64_t seq;

	if (strcmp(name, TAKEN_FILE) == 0)
		load_taken(o);
	else if (is_bad_name(o, name, &seq))
		numbered_dir_reserve(&o->dir, seq); // its name is not to be taken by another
	else
		load_file(o, name, file);
}

lm_rc outbox_open(const char *directory, struct outbox **ret, struct lm_err *err)
{
	lm_auto(outbox_close_p) struct outbox *o = lm_xcalloc(1, sizeof(*o));
	lm_rc rc = numbered_dir_open(directory, SUFFIXES, &o->dir, err);

	if (rc == LM_OK)
		rc = numbered_dir_list(&o->dir, outbox_on_file, o, err);
	if (rc != LM_OK)
		return lm_wrap(err, "open the outbox");
	limit_bad(o);
	*ret = lm_take(o);
	return LM_OK;
}

void outbox_close(struct outbox *o)
{
	if (!o)
		return;
	while (o->n > 0)
		forget_entry(o, o->n - 1);
	for (size_t i = 0; i < o->taken_n; i++)
		free(o->taken[i]);
	free(o->taken);
	for (size_t i = 0; i < OUTBOX_CLASSES; i++)
		free(o->redirects[i]);
	free(o->entries);
	numbered_dir_finish(&o->dir);
	free(o);
}
