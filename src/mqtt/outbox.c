// SPDX-License-Identifier: Apache-2.0
#include "mqtt/outbox.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "mqtt/outbox_file_priv.h"
#include "mqtt/outbox_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { TAKEN_KEY_MAX = 64, TAKEN_MAX = LIMIT_OUTBOX_TAKEN * (TAKEN_KEY_MAX + 1) };

void outbox_reserve(struct outbox *o, uint64_t seq)
{
	if (o->next_seq <= seq)
		o->next_seq = seq + 1;
}

void outbox_insert(struct outbox *o, struct entry e)
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
	outbox_reserve(o, e.seq);
}

void outbox_forget(struct outbox *o, size_t at)
{
	free(o->entries[at].text);
	o->bytes -= o->entries[at].charge;
	o->n--;
	memmove(&o->entries[at], &o->entries[at + 1], (o->n - at) * sizeof(*o->entries));
}

/// Removes entry `at` with its file.
static lm_rc remove_entry(struct outbox *o, size_t at, struct lm_err *err)
{
	char name[OUTBOX_NAME_SIZE];
	lm_rc rc = LM_OK;

	(void)outbox_file_name(o->entries[at].seq, o->entries[at].class, name);
	if (o->entries[at].class != OUTBOX_PROGRESS && unlinkat(o->dir_fd, name, 0) != 0 &&
		errno != ENOENT)
		rc = lm_fail(
			err, LM_E_SYS, errno, "remove the sent message '%s/%s': %m", o->path, name);
	outbox_forget(o, at);
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
		const struct entry *e = &o->entries[i];

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
		"the outbox '%s' is full: %zu messages of %zu bytes wait for the broker", o->path,
		o->n, o->bytes);
}

/// Makes up for a message of this class, for which there is room by check_room.
static void make_room(struct outbox *o, enum outbox_class class)
{
	while (o->bytes > LIMIT_OUTBOX_BYTES && drop_oldest(o, OUTBOX_PROGRESS))
		;
	while (class != OUTBOX_PROGRESS && o->bytes > LIMIT_OUTBOX_BYTES &&
		drop_oldest(o, OUTBOX_EVENT))
		;
}

static struct entry *find(const struct outbox *o, uint64_t seq)
{
	for (size_t i = 0; i < o->n; i++) {
		if (o->entries[i].seq == seq)
			return &o->entries[i];
	}
	return NULL;
}

/// Takes a message into memory, which may be over the bound then, until make_room.
static lm_rc take(struct outbox *o, enum outbox_class class, const char *topic,
	struct lm_str payload, uint64_t *ret_seq, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(OUTBOX_FILE_MAX);
	size_t topic_n = strlen(topic);
	struct entry e = {.seq = o->next_seq,
		.class = class,
		.charge = topic_n + payload.n + OUTBOX_OVERHEAD};

	if (topic_n == 0 || strchr(topic, '\n'))
		return lm_fail(err, LM_E_INVALID, 0, "'%s' is no topic to publish to", topic);
	if (topic_n > LIMIT_MQTT_TOPIC || payload.n > LIMIT_MQTT_PAYLOAD)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"a message of %zu bytes to '%s' is over the ceiling of %d", payload.n,
			topic, LIMIT_MQTT_PAYLOAD);
	lm_rc rc = check_room(o, class, e.charge, err);
	if (rc != LM_OK)
		return rc;
	outbox_file_write(&text, topic, payload);
	e.text_n = text.len;
	e.text = lm_buf_take(&text);
	*ret_seq = e.seq;
	outbox_insert(o, e);
	return LM_OK;
}

static bool is_unsaved(const struct entry *e)
{
	return e->text && e->class != OUTBOX_PROGRESS;
}

static lm_rc save(struct outbox *o, struct entry *e, struct lm_err *err)
{
	char name[OUTBOX_NAME_SIZE];
	lm_rc rc = lm_file_replace(o->dir_fd, outbox_file_name(e->seq, e->class, name),
		(struct lm_str){e->text, e->text_n}, 0600, err);

	if (rc != LM_OK)
		return lm_wrap(err, "keep a message in the outbox '%s'", o->path);
	free(lm_take(e->text));
	e->text_n = 0;
	return LM_OK;
}

lm_rc outbox_hold(struct outbox *o, enum outbox_class class, const char *topic,
	struct lm_str payload, uint64_t *ret_seq, struct lm_err *err)
{
	lm_rc rc = take(o, class, topic, payload, ret_seq, err);

	if (rc == LM_OK)
		make_room(o, class);
	return rc;
}

lm_rc outbox_save(struct outbox *o, uint64_t seq, struct lm_err *err)
{
	struct entry *e = find(o, seq);

	return e && is_unsaved(e) ? save(o, e, err) : LM_OK;
}

lm_rc outbox_save_held(struct outbox *o, size_t max, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	for (size_t i = 0; i < o->n && max > 0 && rc == LM_OK; i++) {
		if (!is_unsaved(&o->entries[i]))
			continue;
		rc = save(o, &o->entries[i], err);
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
	lm_rc rc = take(o, class, topic, payload, &seq, err);

	if (rc != LM_OK)
		return rc;
	rc = outbox_save(o, seq, err);
	if (rc == LM_OK)
		make_room(o, class); // not before: the disk may refuse what others would go for
	else
		(void)remove_entry(o, (size_t)(find(o, seq) - o->entries), NULL);
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
static bool is_due(const struct outbox *o, const struct entry *e, unsigned round)
{
	return !e->in_flight && !o->set_aside[e->class] &&
	       (e->class == OUTBOX_STATUS) == (round == 0);
}

enum outbox_class outbox_next_class(const struct outbox *o)
{
	for (unsigned round = 0; round < 2; round++) {
		for (size_t i = 0; i < o->n; i++) {
			if (is_due(o, &o->entries[i], round))
				return o->entries[i].class;
		}
	}
	return OUTBOX_CLASSES;
}

static enum outbox_file_state load_message(
	struct outbox *o, const struct entry *e, struct outbox_message *ret)
{
	lm_auto_buf struct lm_buf file = LM_BUF(OUTBOX_FILE_MAX);
	char name[OUTBOX_NAME_SIZE];
	struct lm_str topic;
	struct lm_str payload;
	enum outbox_file_state state = OUTBOX_FILE_WHOLE;

	if (!e->text)
		state = outbox_file_read(o->dir_fd, outbox_file_name(e->seq, e->class, name), &file,
			&topic, &payload);
	else if (!outbox_file_parse((struct lm_str){e->text, e->text_n}, &topic, &payload))
		state = OUTBOX_FILE_BAD;
	if (state != OUTBOX_FILE_WHOLE)
		return state;
	*ret = (struct outbox_message){
		.seq = e->seq,
		.class = e->class,
		.topic = o->redirects[e->class] ? lm_xstrdup(o->redirects[e->class])
						: lm_xmemdup0(topic.p, topic.n),
		.payload = lm_xmemdup0(payload.p, payload.n),
		.payload_n = payload.n,
	};
	return OUTBOX_FILE_WHOLE;
}

static void reject_entry(struct outbox *o, size_t at)
{
	char name[OUTBOX_NAME_SIZE];

	outbox_file_set_aside(
		o->dir_fd, outbox_file_name(o->entries[at].seq, o->entries[at].class, name));
	o->bad++;
	o->bad_removed += outbox_file_limit_bad(o->dir_fd);
	outbox_forget(o, at);
}

static bool next_of_round(struct outbox *o, unsigned round, struct outbox_message *ret)
{
	size_t i = 0;

	while (i < o->n) {
		struct entry *e = &o->entries[i];
		enum outbox_file_state state =
			is_due(o, e, round) ? load_message(o, e, ret) : OUTBOX_FILE_UNREADABLE;

		if (state == OUTBOX_FILE_WHOLE) {
			e->in_flight = true;
			return true;
		}
		if (state == OUTBOX_FILE_BAD)
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
	const struct entry *e = find(o, seq);

	return e ? remove_entry(o, (size_t)(e - o->entries), err) : LM_OK;
}

void outbox_reject(struct outbox *o, uint64_t seq)
{
	const struct entry *e = find(o, seq);

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

void outbox_load_taken(struct outbox *o)
{
	lm_auto_close int fd =
		openat(o->dir_fd, OUTBOX_TAKEN, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	lm_auto_buf struct lm_buf text = LM_BUF(TAKEN_MAX);

	if (fd < 0 || lm_fd_read_all(fd, OUTBOX_TAKEN, &text, NULL) != LM_OK)
		return;
	struct lm_str rest = lm_buf_str(&text);
	while (rest.n) {
		struct lm_str key = lm_str_cut(&rest, '\n');
		if (key.n > 0 && key.n <= TAKEN_KEY_MAX)
			add_taken(o, key);
	}
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
	return lm_file_replace(o->dir_fd, OUTBOX_TAKEN, lm_buf_str(&text), 0600, err);
}

void outbox_forget_taken(struct outbox *o)
{
	if (o->taken_n == 0)
		return;
	while (o->taken_n > 0)
		free(o->taken[--o->taken_n]);
	// One that stays is forgotten again after the next start.
	(void)unlinkat(o->dir_fd, OUTBOX_TAKEN, 0);
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
