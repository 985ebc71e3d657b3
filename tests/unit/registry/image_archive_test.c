// SPDX-License-Identifier: Apache-2.0
#include "registry/image_archive.h"

#include "base/digest.h"
#include "tar_maker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

enum { TEXT_MAX = 64 << 10, UNPACKED_MAX = 3 << 20 };

static const char BASE[] = "the content of the base layer";
static const char TOP[] = "the content of the layer on top";

struct id {
	char text[sizeof("sha256:") + LM_SHA256_HEX];
};

static struct id id_of(struct lm_str content)
{
	lm_auto(lm_sha256_destroy_p) struct lm_sha256 *s = lm_sha256_create();
	struct id id = {"sha256:"};

	lm_sha256_add(s, content);
	lm_sha256_end(s, id.text + strlen("sha256:"));
	return id;
}

static void write_config(struct lm_buf *out)
{
	struct id base = id_of(lm_str(BASE));
	struct id top = id_of(lm_str(TOP));

	(void)lm_buf_printf(out,
		"{\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%s\",\"%s\"]}}",
		base.text, top.text);
}

/// blobs/sha256/<its own digest>
static void add_blob(struct lm_buf *tar, struct lm_str content)
{
	struct id id = id_of(content);
	char name[128];

	(void)snprintf(name, sizeof(name), "blobs/sha256/%s", id.text + strlen("sha256:"));
	tar_file(tar, name, content);
}

static lm_rc verify(
	const struct lm_buf *tar, const char *id, struct image_verdict *ret, struct lm_err *err)
{
	lm_auto(image_archive_destroy_p) struct image_archive *a = NULL;
	lm_rc rc = image_archive_create(id, UNPACKED_MAX, &a, err);

	for (size_t at = 0; at < tar->len && rc == LM_OK; at += 100) {
		size_t n = tar->len - at < 100 ? tar->len - at : 100;

		rc = image_archive_feed(a, (struct lm_str){tar->data + at, n}, err);
	}
	return rc ? rc : image_archive_end(a, ret, err);
}

static struct image_verdict verdict_of(struct lm_buf *tar, const char *id)
{
	struct image_verdict verdict = {0};
	struct lm_err err = {0};

	tar_end(tar);
	assert_int_equal(verify(tar, id, &verdict, &err), LM_OK);
	return verdict;
}

/// As Engine 20.10 exports: a folder for each layer, in no order, and the configuration last.
static struct image_verdict verify_old(const char *base, const char *top)
{
	lm_auto_buf struct lm_buf tar = LM_BUF(TAR_MAKER_MAX);
	lm_auto_buf struct lm_buf config = LM_BUF(TEXT_MAX);

	write_config(&config);
	struct id id = id_of(lm_buf_str(&config));
	tar_header(&tar, "8efc/", '5', 0);
	tar_file(&tar, "8efc/VERSION", LM_STR("1.0"));
	tar_file(&tar, "8efc/json", LM_STR("{\"id\":\"8efc\"}"));
	if (top)
		tar_file(&tar, "8efc/layer.tar", lm_str(top));
	tar_file(&tar, "0166/layer.tar", lm_str(base));
	tar_header(&tar, "0267/layer.tar", '2', 0);
	tar_file(&tar, "f729.json", lm_buf_str(&config));
	tar_file(&tar, "manifest.json", LM_STR("[{\"Config\":\"f729.json\",\"Layers\":[]}]"));
	return verdict_of(&tar, id.text);
}

static void an_image_of_an_old_engine_is_sound(void **state)
{
	(void)state;
	struct image_verdict v = verify_old(BASE, TOP);

	assert_true(v.is_sound);
	assert_int_equal(v.layers, 2);
	assert_int_equal(v.layer, 0);
	assert_string_equal(v.why, "");
}

static void one_bit_in_a_layer_is_found(void **state)
{
	char flipped[sizeof(TOP)];
	(void)state;

	memcpy(flipped, TOP, sizeof(TOP));
	flipped[3] ^= 1;
	struct image_verdict v = verify_old(BASE, flipped);
	assert_false(v.is_sound);
	assert_int_equal(v.layer, 2);
	assert_string_equal(v.diff_id, id_of(lm_str(TOP)).text);
	assert_non_null(strstr(v.why, "layer 2 of 2 (sha256:"));
}

static void a_missing_or_empty_layer_is_found(void **state)
{
	(void)state;
	assert_int_equal(verify_old(BASE, NULL).layer, 2);
	assert_int_equal(verify_old("", TOP).layer, 1);
}

static void a_configuration_that_is_not_the_ids_is_found(void **state)
{
	lm_auto_buf struct lm_buf tar = LM_BUF(TAR_MAKER_MAX);
	lm_auto_buf struct lm_buf config = LM_BUF(TEXT_MAX);
	(void)state;

	write_config(&config);
	struct id id = id_of(lm_buf_str(&config));
	config.data[8] = 'L';
	tar_file(&tar, "a/layer.tar", LM_STR("x"));
	tar_file(&tar, "f729.json", lm_buf_str(&config));
	struct image_verdict v = verdict_of(&tar, id.text);
	assert_false(v.is_sound);
	assert_non_null(strstr(v.why, "its configuration (sha256:"));
}

static void gzip(struct lm_str in, struct lm_buf *out)
{
	z_stream z = {0};

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)in.p;
	z.avail_in = (uInt)in.n;
	z.next_out = (Bytef *)lm_buf_reserve(out, 4096);
	z.avail_out = 4096;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	out->len += z.total_out;
	(void)deflateEnd(&z);
}

static void zstd(struct lm_str in, struct lm_buf *out)
{
	size_t n = ZSTD_compress(lm_buf_reserve(out, 4096), 4096, in.p, in.n, 3);

	assert_false(ZSTD_isError(n));
	out->len += n;
}

/// As Engine 25 exports with containerd's image store: the ID is that of an index; layers are as
/// they were pulled.
static struct image_verdict verify_index(struct lm_str base, struct lm_str top)
{
	lm_auto_buf struct lm_buf tar = LM_BUF(TAR_MAKER_MAX);
	lm_auto_buf struct lm_buf config = LM_BUF(TEXT_MAX);
	lm_auto_buf struct lm_buf manifest = LM_BUF(TEXT_MAX);
	lm_auto_buf struct lm_buf index = LM_BUF(TEXT_MAX);

	write_config(&config);
	(void)lm_buf_printf(&manifest, "{\"config\":{\"digest\":\"%s\",\"size\":1},\"layers\":[]}",
		id_of(lm_buf_str(&config)).text);
	(void)lm_buf_printf(&index,
		"{\"manifests\":[{\"digest\":\"%s\",\"size\":1},{\"digest\":\"%s\",\"size\":1}]}",
		id_of(LM_STR("of another platform, not here")).text,
		id_of(lm_buf_str(&manifest)).text);
	struct id id = id_of(lm_buf_str(&index));
	tar_header(&tar, "blobs/sha256/", '5', 0);
	add_blob(&tar, top);
	add_blob(&tar, lm_buf_str(&index));
	add_blob(&tar, base);
	add_blob(&tar, lm_buf_str(&manifest));
	add_blob(&tar, lm_buf_str(&config));
	tar_file(&tar, "index.json", LM_STR("{\"manifests\":[]}"));
	tar_file(&tar, "oci-layout", LM_STR("{\"imageLayoutVersion\":\"1.0.0\"}"));
	return verdict_of(&tar, id.text);
}

static void an_index_with_compressed_layers_is_sound(void **state)
{
	lm_auto_buf struct lm_buf base = LM_BUF(TEXT_MAX);
	lm_auto_buf struct lm_buf top = LM_BUF(TEXT_MAX);
	(void)state;

	gzip(lm_str(BASE), &base);
	zstd(lm_str(TOP), &top);
	struct image_verdict v = verify_index(lm_buf_str(&base), lm_buf_str(&top));
	assert_true(v.is_sound);
	assert_int_equal(v.layers, 2);
}

static void a_damaged_compressed_layer_is_found(void **state)
{
	lm_auto_buf struct lm_buf base = LM_BUF(TEXT_MAX);
	lm_auto_buf struct lm_buf top = LM_BUF(TEXT_MAX);
	(void)state;

	gzip(lm_str(BASE), &base);
	zstd(lm_str(TOP), &top);
	struct lm_str cut = {base.data, base.len - 4};
	assert_int_equal(verify_index(cut, lm_buf_str(&top)).layer, 1);
	top.data[top.len - 3] ^= 4;
	assert_int_equal(verify_index(lm_buf_str(&base), lm_buf_str(&top)).layer, 2);
}

static void an_incomplete_archive_is_no_damage(void **state)
{
	lm_auto_buf struct lm_buf tar = LM_BUF(TAR_MAKER_MAX);
	struct image_verdict v;
	struct lm_err err = {0};
	struct id id = id_of(LM_STR("x"));
	(void)state;

	tar_file(&tar, "a/layer.tar", LM_STR("x"));
	assert_int_equal(verify(&tar, id.text, &v, &err), LM_E_PROTOCOL);
	assert_string_equal(err.msg, "the archive is incomplete");
}

static void what_is_no_id_is_refused(void **state)
{
	static const char *const bad[] = {"", "sha256:", "sha256:xyz", "md5:00", "web:1"};
	(void)state;

	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		struct image_archive *a = NULL;
		struct lm_err err = {0};

		assert_int_equal(
			image_archive_create(bad[i], UNPACKED_MAX, &a, &err), LM_E_INVALID);
	}
}

/// As many as engines take, each with its own description, as Engine 20.10 exports them.
static void an_image_of_many_layers_is_read(void **state)
{
	enum { LAYERS = 127 };
	lm_auto_buf struct lm_buf tar = LM_BUF(TAR_MAKER_MAX);
	lm_auto_buf struct lm_buf config = LM_BUF(TEXT_MAX);
	(void)state;

	(void)lm_buf_puts(&config, "{\"rootfs\":{\"diff_ids\":[");
	for (int i = 0; i < LAYERS; i++) {
		char text[32];

		(void)snprintf(text, sizeof(text), "layer %d", i);
		(void)lm_buf_printf(&config, "%s\"%s\"", i ? "," : "", id_of(lm_str(text)).text);
		tar_file(&tar, "a/json", LM_STR("{\"id\":\"a\"}"));
		tar_file(&tar, "a/VERSION", LM_STR("1.0"));
		tar_file(&tar, "a/layer.tar", lm_str(text));
	}
	(void)lm_buf_puts(&config, "]}}");
	tar_file(&tar, "b.json", lm_buf_str(&config));
	struct image_verdict v = verdict_of(&tar, id_of(lm_buf_str(&config)).text);
	assert_true(v.is_sound);
	assert_int_equal(v.layers, LAYERS);
}

static void bounds_the_number_of_entries_and_documents(void **state)
{
	lm_auto_buf struct lm_buf tar = LM_BUF(TAR_MAKER_MAX);
	lm_auto_buf struct lm_buf documents = LM_BUF(TAR_MAKER_MAX);
	struct id id = id_of(LM_STR("x"));
	struct image_verdict v;
	struct lm_err err = {0};
	(void)state;

	for (int i = 0; i < 3000; i++)
		tar_header(&tar, "a/", '5', 0);
	assert_int_equal(verify(&tar, id.text, &v, &err), LM_E_TOO_LARGE);
	for (int i = 0; i < 565; i++)
		tar_file(&documents, "a", LM_STR("{\"a\":1}"));
	assert_int_equal(verify(&documents, id.text, &v, &err), LM_E_TOO_LARGE);
}

/// `n` zeros, as gzip and as zstd packs them.
static void pack_zeros(size_t n, struct lm_buf *gzipped, struct lm_buf *zstded)
{
	char *zeros = calloc(1, n);

	assert_non_null(zeros);
	gzip((struct lm_str){zeros, n}, gzipped);
	zstd((struct lm_str){zeros, n}, zstded);
	free(zeros);
}

static lm_rc verify_zeros(size_t gzipped_n, size_t zstded_n, struct lm_err *err)
{
	lm_auto_buf struct lm_buf tar = LM_BUF(TAR_MAKER_MAX);
	lm_auto_buf struct lm_buf gzipped = LM_BUF(TEXT_MAX);
	lm_auto_buf struct lm_buf zstded = LM_BUF(TEXT_MAX);
	lm_auto_buf struct lm_buf none = LM_BUF(TEXT_MAX);
	struct image_verdict v = {0};

	pack_zeros(gzipped_n, &gzipped, &none);
	lm_buf_clear(&none);
	pack_zeros(zstded_n, &none, &zstded);
	add_blob(&tar, lm_buf_str(&gzipped));
	add_blob(&tar, lm_buf_str(&zstded));
	tar_end(&tar);
	return verify(&tar, id_of(LM_STR("x")).text, &v, err);
}

static void what_unpacks_to_more_than_an_image_has_is_not_unpacked(void **state)
{
	static const size_t most = UNPACKED_MAX, less = 1 << 20;
	struct lm_err err = {0};
	(void)state;

	assert_int_equal(verify_zeros(most - less, less, &err), LM_OK);
	assert_int_equal(verify_zeros(most - less, less + 1, &err), LM_E_TOO_LARGE);
	assert_string_equal(err.msg,
		"its compressed files unpack to more than 3 MB, which those of no image of its "
		"size do: remove it, and pull one from a source that you trust");
	assert_int_equal(verify_zeros(most + 1, 1, &err), LM_E_TOO_LARGE);
	assert_int_equal(verify_zeros(1, most + 1, &err), LM_E_TOO_LARGE);
}

/// An image whose configuration has this text, whatever it is.
static lm_rc verify_config(struct lm_str config, struct image_verdict *v, struct lm_err *err)
{
	lm_auto_buf struct lm_buf tar = LM_BUF(2 * TAR_MAKER_MAX);

	*v = (struct image_verdict){0};
	tar_file(&tar, "a/layer.tar", lm_str(BASE));
	tar_file(&tar, "b/layer.tar", lm_str(TOP));
	tar_file(&tar, "c.json", config);
	tar_end(&tar);
	return verify(&tar, id_of(config).text, v, err);
}

static void a_configuration_may_begin_with_white_space(void **state)
{
	static const char *const blanks[] = {" ", "\n", "\r\n\t ", "        \n"};
	(void)state;

	for (size_t i = 0; i < LM_ARRAY_SIZE(blanks); i++) {
		lm_auto_buf struct lm_buf config = LM_BUF(TEXT_MAX);
		struct image_verdict v;
		struct lm_err err = {0};

		(void)lm_buf_puts(&config, blanks[i]);
		write_config(&config);
		assert_int_equal(verify_config(lm_buf_str(&config), &v, &err), LM_OK);
		assert_true(v.is_sound);
		assert_int_equal(v.layers, 2);
	}
}

/// Another copy of it would be the same: it is no damage, and no success.
static void a_configuration_that_is_whole_and_none_is_neither_sound_nor_damaged(void **state)
{
	static const char *const configs[] = {"", "[]", "[{}]", "null", "\"{}\"", "\xef\xbb\xbf{}",
		"{", "{}}", "{}", "{\"rootfs\":{}}", "{\"rootfs\":{\"diff_ids\":[7]}}",
		"{\"rootfs\":{\"diff_ids\":[\"sha512:00\"]}}", "rubbish", "\n\n[", "     ",
		"\x1f\x8b", "{\"config\":{\"digest\":\"sha512:00\"}}"};
	struct image_verdict v;
	(void)state;

	for (size_t i = 0; i < LM_ARRAY_SIZE(configs); i++) {
		struct lm_err err = {0};

		if (verify_config(lm_str(configs[i]), &v, &err) != LM_E_INVALID ||
			!strstr(err.msg, "is as it was pulled or built, and cannot be read: ") ||
			!strstr(err.msg, ": pull or build another image"))
			fail_msg("%s: %s", configs[i], err.msg);
	}
}

static void four_megabytes_of_blanks_are_no_configuration(void **state)
{
	enum { SIZE = 4 << 20 };
	lm_auto_buf struct lm_buf blanks = LM_BUF(SIZE + 1);
	struct image_verdict v;
	struct lm_err err = {0};
	(void)state;

	memset(lm_buf_reserve(&blanks, SIZE), ' ', SIZE);
	blanks.len = SIZE;
	assert_int_equal(verify_config(lm_buf_str(&blanks), &v, &err), LM_E_INVALID);
	assert_non_null(strstr(err.msg, "it is not a JSON object of at most 4 MB"));
	(void)lm_buf_putc(&blanks, ' ');
	assert_int_equal(verify_config(lm_buf_str(&blanks), &v, &err), LM_E_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_image_of_an_old_engine_is_sound),
		cmocka_unit_test(one_bit_in_a_layer_is_found),
		cmocka_unit_test(a_missing_or_empty_layer_is_found),
		cmocka_unit_test(a_configuration_that_is_not_the_ids_is_found),
		cmocka_unit_test(an_index_with_compressed_layers_is_sound),
		cmocka_unit_test(a_damaged_compressed_layer_is_found),
		cmocka_unit_test(an_incomplete_archive_is_no_damage),
		cmocka_unit_test(what_is_no_id_is_refused),
		cmocka_unit_test(an_image_of_many_layers_is_read),
		cmocka_unit_test(bounds_the_number_of_entries_and_documents),
		cmocka_unit_test(what_unpacks_to_more_than_an_image_has_is_not_unpacked),
		cmocka_unit_test(a_configuration_may_begin_with_white_space),
		cmocka_unit_test(
			a_configuration_that_is_whole_and_none_is_neither_sound_nor_damaged),
		cmocka_unit_test(four_megabytes_of_blanks_are_no_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
