// SPDX-License-Identifier: Apache-2.0
#include "registry/tar_stream.h"

#include <string.h>

enum { PAX_MAX = 64 << 10 };

/// POSIX.1-2001, "ustar Interchange Format", and GNU's.
struct tar_header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type;
	char link[100], magic[6], version[2], user[32], group[32], major[8], minor[8];
	char prefix[155], unused[12];
};
_Static_assert(sizeof(struct tar_header) == TAR_BLOCK, "a header is one block");

void tar_stream_init(struct tar_stream *t, const struct tar_handler *handler)
{
	*t = (struct tar_stream){
		.handler = *handler, .extra = LM_BUF(PAX_MAX), .name = LM_BUF(TAR_NAME_MAX)};
}

void tar_stream_finish(struct tar_stream *t)
{
	lm_buf_finish(&t->extra);
	lm_buf_finish(&t->name);
}

bool tar_stream_has_ended(const struct tar_stream *t)
{
	return t->part == TAR_PART_ENDED;
}

/// Octal digits, or GNU's base 256 for what they cannot hold.
static bool tar_read_number(const char *field, size_t n, uint64_t *ret)
{
	const unsigned char *bytes = (const unsigned char *)field;
	uint64_t value = 0;
	size_t i = 0;

	if (bytes[0] & 0x80) {
		for (i = 1; i < n; i++) {
			if (value >> 55) // no size is that large
				return false;
			value = value << 8 | bytes[i];
		}
		*ret = value;
		return bytes[0] == 0x80;
	}
	while (i < n && field[i] == ' ')
		i++;
	for (; i < n && field[i] >= '0' && field[i] <= '7'; i++)
		value = value << 3 | (uint64_t)(field[i] - '0');
	*ret = value; // 12 digits fit
	return i == n || field[i] == ' ' || field[i] == '\0';
}

static bool is_checksum_right(const char *block)
{
	const size_t at = offsetof(struct tar_header, checksum);
	uint64_t wanted = 0;
	uint64_t sum = 0;

	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += i >= at && i < at + 8 ? ' ' : (unsigned char)block[i];
	return tar_read_number(block + at, 8, &wanted) && wanted == sum;
}

static bool is_zero(const char *block)
{
	for (size_t i = 0; i < TAR_BLOCK; i++)
		if (block[i])
			return false;
	return true;
}

static lm_rc fail_name(struct lm_err *err)
{
	return lm_fail(
		err, LM_E_TOO_LARGE, 0, "the archive has a name over %d bytes", TAR_NAME_MAX);
}

/// The entry's name, if none came in front of its header.
static lm_rc tar_take_name(struct tar_stream *t, const struct tar_header *h, struct lm_err *err)
{
	if (t->name.len > 0)
		return LM_OK;
	if (memcmp(h->magic, "ustar", sizeof("ustar")) == 0 && h->prefix[0])
		(void)lm_buf_printf(
			&t->name, "%.*s/", (int)strnlen(h->prefix, sizeof(h->prefix)), h->prefix);
	(void)lm_buf_add(&t->name, h->name, strnlen(h->name, sizeof(h->name)));
	return t->name.overflow ? fail_name(err) : LM_OK;
}

static enum tar_kind tar_kind_of(char type)
{
	switch (type) {
	case '\0':
	case '0':
	case '7':
		return TAR_FILE;
	case '1':
	case '2':
		return TAR_LINK;
	case '5':
		return TAR_DIRECTORY;
	default:
		return TAR_OTHER;
	}
}

static void begin_content(struct tar_stream *t, enum tar_part part, uint64_t size)
{
	t->part = part;
	t->left = size;
	t->padding = (unsigned)((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
}

static lm_rc begin_entry(
	struct tar_stream *t, const struct tar_header *h, uint64_t size, struct lm_err *err)
{
	lm_rc rc = tar_take_name(t, h, err);
	// Links and directories have no content, whatever they say.
	enum tar_kind kind = tar_kind_of(h->type);

	if (rc)
		return rc;
	if (t->has_size)
		size = t->size;
	if (kind == TAR_LINK || kind == TAR_DIRECTORY)
		size = 0;
	const struct tar_entry entry = {.kind = kind, .name = lm_buf_cstr(&t->name), .size = size};
	rc = t->handler.begin(t->handler.ctx, &entry, err);
	lm_buf_clear(&t->name);
	t->has_size = false;
	begin_content(t, TAR_PART_CONTENT, size);
	return rc;
}

static lm_rc take_header(struct tar_stream *t, struct lm_err *err)
{
	struct tar_header h;
	uint64_t size = 0;

	if (is_zero(t->block)) {
		t->part = TAR_PART_ENDED;
		return LM_OK;
	}
	memcpy(&h, t->block, sizeof(h));
	if (!is_checksum_right(t->block) || !tar_read_number(h.size, sizeof(h.size), &size))
		return lm_fail(err, LM_E_PROTOCOL, 0, "that is no tar archive");
	switch (h.type) {
	case 'S':
		return lm_fail(err, LM_E_PROTOCOL, 0, "the archive has a sparse file");
	case 'L':
	case 'x':
		if (size > t->extra.max)
			return lm_fail(err, LM_E_TOO_LARGE, 0,
				"the archive has attributes over %d bytes", PAX_MAX);
		lm_buf_clear(&t->extra);
		begin_content(t, h.type == 'L' ? TAR_PART_LONG_NAME : TAR_PART_PAX, size);
		return LM_OK;
	case 'K': // the target of a link
	case 'g':
		begin_content(t, TAR_PART_IGNORED, size);
		return LM_OK;
	default:
		return begin_entry(t, &h, size, err);
	}
}

static lm_rc set_name(struct tar_stream *t, struct lm_str name, struct lm_err *err)
{
	lm_buf_clear(&t->name);
	return lm_buf_add(&t->name, name.p, strnlen(name.p, name.n)) ? LM_OK : fail_name(err);
}

static lm_rc take_attribute(
	struct tar_stream *t, struct lm_str key, struct lm_str value, struct lm_err *err)
{
	if (lm_str_starts(key, LM_STR("GNU.sparse.")))
		return lm_fail(err, LM_E_PROTOCOL, 0, "the archive has a sparse file");
	if (lm_str_eq(key, LM_STR("path")))
		return set_name(t, value, err);
	if (!lm_str_eq(key, LM_STR("size")))
		return LM_OK;
	t->has_size = lm_str_to_u64(value, INT64_MAX, &t->size);
	return t->has_size
		       ? LM_OK
		       : lm_fail(err, LM_E_PROTOCOL, 0, "the archive has a file without a size");
}

/// "<length> <key>=<value>\n", where the length counts all of it.
static lm_rc take_attributes(struct tar_stream *t, struct lm_err *err)
{
	struct lm_str rest = lm_buf_str(&t->extra);

	while (rest.n > 0) {
		struct lm_str record = rest;
		size_t digits = lm_str_find(rest, ' ');
		uint64_t n = 0;

		if (!lm_str_to_u64((struct lm_str){rest.p, digits}, rest.n, &n) || n < digits + 2 ||
			rest.p[n - 1] != '\n')
			return lm_fail(err, LM_E_PROTOCOL, 0,
				"the archive has attributes that cannot be read");
		record = (struct lm_str){rest.p + digits + 1, (size_t)n - digits - 2};
		struct lm_str key = lm_str_cut(&record, '=');
		lm_rc rc = take_attribute(t, key, record, err);
		if (rc)
			return rc;
		rest = (struct lm_str){rest.p + n, rest.n - (size_t)n};
	}
	return LM_OK;
}

/// The content of what began last is complete.
static lm_rc end_content(struct tar_stream *t, struct lm_err *err)
{
	enum tar_part part = t->part;

	t->part = t->padding ? TAR_PART_PADDING : TAR_PART_HEADER;
	if (part == TAR_PART_CONTENT)
		return t->handler.end(t->handler.ctx, err);
	if (part == TAR_PART_LONG_NAME)
		return set_name(t, lm_buf_str(&t->extra), err);
	return part == TAR_PART_PAX ? take_attributes(t, err) : LM_OK;
}

static struct lm_str tar_cut_piece(struct lm_str *rest, uint64_t max)
{
	struct lm_str piece = {rest->p, rest->n < max ? rest->n : (size_t)max};

	*rest = (struct lm_str){rest->p + piece.n, rest->n - piece.n};
	return piece;
}

static lm_rc feed_header(struct tar_stream *t, struct lm_str *rest, struct lm_err *err)
{
	struct lm_str piece = tar_cut_piece(rest, TAR_BLOCK - t->block_n);

	memcpy(t->block + t->block_n, piece.p, piece.n);
	t->block_n += piece.n;
	if (t->block_n < TAR_BLOCK)
		return LM_OK;
	t->block_n = 0;
	lm_rc rc = take_header(t, err);
	bool begins = t->part != TAR_PART_HEADER && t->part != TAR_PART_ENDED;
	return rc == LM_OK && begins && t->left == 0 ? end_content(t, err) : rc;
}

static lm_rc feed_content(struct tar_stream *t, struct lm_str *rest, struct lm_err *err)
{
	struct lm_str piece = tar_cut_piece(rest, t->left);
	lm_rc rc = LM_OK;

	if (t->part == TAR_PART_CONTENT)
		rc = t->handler.content(t->handler.ctx, piece, err);
	else if (t->part != TAR_PART_IGNORED)
		(void)lm_buf_add_str(&t->extra, piece); // its size was checked
	t->left -= piece.n;
	return rc == LM_OK && t->left == 0 ? end_content(t, err) : rc;
}

lm_rc tar_stream_feed(struct tar_stream *t, struct lm_str piece, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	while (rc == LM_OK && piece.n > 0 && t->part != TAR_PART_ENDED) {
		if (t->part == TAR_PART_HEADER) {
			rc = feed_header(t, &piece, err);
		} else if (t->part == TAR_PART_PADDING) {
			t->padding -= (unsigned)tar_cut_piece(&piece, t->padding).n;
			if (t->padding == 0)
				t->part = TAR_PART_HEADER;
		} else {
			rc = feed_content(t, &piece, err);
		}
	}
	return rc;
}
