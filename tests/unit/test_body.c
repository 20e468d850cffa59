/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "body.h"
#include "text.h"

#define CEILING ((size_t)8 << 20)

static const struct family values = {
    .name = "values", .help = "Values.", .unit = "", .type = METRIC_GAUGE, .order = 0};

static void fill(struct snapshot *snapshot, size_t count)
{
	unsigned int seed = 20260803;

	snapshot_init(snapshot, 0);
	for (size_t i = 0; i < count; i++) {
		char *text = snapshot_alloc(snapshot, 24);
		struct label label = {"i", text};

		snprintf(text, 24, "%zu", i);
		snapshot_value(snapshot, &values, snapshot_labels(snapshot, &label, 1),
			       rand_r(&seed) / 2147483648.0);
	}
	assert_int_equal(snapshot_finish(snapshot), 0);
}

/* Reads to the end by pieces of that size; the result of the last read. */
static ssize_t read_all(struct body *body, size_t size, struct buf *ret_bytes)
{
	char *piece = malloc(size); /* of the exact size, for ASan */
	ssize_t len;

	assert_non_null(piece);
	while ((len = body_read(body, piece, size)) > 0) {
		assert_true((size_t)len <= size);
		buf_append(ret_bytes, piece, (size_t)len);
	}
	free(piece);
	return len;
}

static void unpack(struct buf *bytes)
{
	struct buf plain = BUF_INIT(CEILING);
	char *text = malloc(CEILING);
	z_stream stream = {
	    .next_in = (unsigned char *)bytes->data,
	    .avail_in = (unsigned int)bytes->len,
	    .next_out = (unsigned char *)text,
	    .avail_out = CEILING,
	};

	assert_non_null(text);
	assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
	assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
	assert_int_equal(stream.avail_in, 0); /* nothing behind its end */
	buf_append(&plain, text, stream.total_out);
	inflateEnd(&stream);
	free(text);
	buf_free(bytes);
	*bytes = plain;
}

static void assert_bytes(struct body *body, bool is_gzip, size_t size,
			 const struct buf *wanted)
{
	struct buf bytes = BUF_INIT(CEILING);
	char byte;

	assert_int_equal(read_all(body, size, &bytes), 0);
	assert_int_equal(body_read(body, &byte, 1), 0); /* and stays at its end */
	if (is_gzip)
		unpack(&bytes);
	assert_int_equal(bytes.len, wanted->len);
	if (wanted->len)
		assert_memory_equal(bytes.data, wanted->data, wanted->len);
	buf_free(&bytes);
}

static void write_whole(struct buf *out, const struct snapshot *snapshot,
			enum exposition_format format)
{
	struct exposition_writer *writer = NULL;

	if (format != EXPOSITION_PROTOBUF) {
		text_write(out, snapshot,
			   format == EXPOSITION_OPENMETRICS ? TEXT_OPENMETRICS_1_0
							    : TEXT_PROMETHEUS_0_0_4);
		return;
	}
	assert_int_equal(exposition_writer_create(snapshot, &writer), 0);
	assert_false(exposition_writer_next(writer, out, SIZE_MAX));
	exposition_writer_free(&writer);
}

/* From none of a piece to several. */
static void a_snapshot_is_read_as_its_writer_writes_it(void **state)
{
	static const size_t counts[] = {0, 1, 3, 2000, 100000};
	static const size_t sizes[] = {1, 7, 4096, 1 << 20};

	(void)state;
	for (size_t i = 0; i < 5 * 4 * 3 * 2; i++) {
		enum exposition_format format = i % 3;
		bool is_gzip = i / 3 % 2;
		struct buf wanted = BUF_INIT(CEILING);
		struct body *body = NULL;
		struct snapshot snapshot;

		fill(&snapshot, counts[i / 24]);
		write_whole(&wanted, &snapshot, format);
		assert_int_equal(wanted.error, 0);
		assert_int_equal(body_of_snapshot(&snapshot, format, is_gzip, &body),
				 0);
		assert_null(snapshot.metrics); /* taken over */
		assert_bytes(body, is_gzip, sizes[i / 6 % 4], &wanted);
		body_free(&body);
		assert_null(body);
		buf_free(&wanted);
	}
}

static void a_text_is_read_as_it_is(void **state)
{
	static const size_t lengths[] = {0, 1, 100, 300000};

	(void)state;
	for (size_t i = 0; i < 4 * 2; i++) {
		struct buf text = BUF_INIT(CEILING), wanted = BUF_INIT(CEILING);
		struct body *body = NULL;

		for (size_t j = 0; j < lengths[i / 2]; j++)
			buf_append(&text, &"abc\n"[j % 4], 1);
		buf_append(&wanted, text.data, text.len);
		assert_int_equal(body_of_text(&text, i % 2, &body), 0);
		assert_null(text.data); /* taken over */
		assert_bytes(body, i % 2, 1000, &wanted);
		body_free(&body);
		buf_free(&wanted);
	}
}

static void what_the_writer_refuses_ends_the_reading(void **state)
{
	size_t len = (size_t)2 << 20;

	(void)state;
	for (int is_gzip = 0; is_gzip < 2; is_gzip++) {
		struct buf bytes = BUF_INIT(CEILING);
		struct snapshot snapshot;
		struct body *body = NULL;
		struct label label;

		fill(&snapshot, 100000);
		label = (struct label){
		    "x", memset(snapshot_alloc(&snapshot, len + 1), 'x', len)};
		snapshot_value(&snapshot, &values,
			       snapshot_labels(&snapshot, &label, 1), 1);
		assert_int_equal(
		    body_of_snapshot(&snapshot, EXPOSITION_TEXT, is_gzip, &body), 0);
		assert_int_equal(read_all(body, 4096, &bytes), -E2BIG);
		assert_true(bytes.len > 65536);
		body_free(&body);
		buf_free(&bytes);
	}
}

/* LeakSanitizer sees what is left. */
static void a_body_that_is_not_read_to_its_end_leaves_nothing(void **state)
{
	(void)state;
	for (int is_gzip = 0; is_gzip < 2; is_gzip++) {
		struct snapshot snapshot;
		struct body *body = NULL;
		char bytes[100];

		fill(&snapshot, 10000);
		assert_int_equal(
		    body_of_snapshot(&snapshot, EXPOSITION_TEXT, is_gzip, &body), 0);
		assert_int_equal(body_read(body, bytes, sizeof(bytes)), sizeof(bytes));
		body_free(&body);
		body_free(&body);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_snapshot_is_read_as_its_writer_writes_it),
	    cmocka_unit_test(a_text_is_read_as_it_is),
	    cmocka_unit_test(what_the_writer_refuses_ends_the_reading),
	    cmocka_unit_test(a_body_that_is_not_read_to_its_end_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
