/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "wire_case.h"
#include "wire_downgrade.h"

/* Series of all kinds. */
static void write_all_kinds(struct received *received)
{
	static const uint64_t native[NATIVE_BUCKETS] = {5, [70] = 1, [90] = 7};

	add(received, &requests, "requests_total", "200", bits_of(3));
	add(received, &requests, "requests_total", "404", STALE);
	add(received, &duration, "duration_seconds_sum", "200", bits_of(0.25));
	add_histogram(received, native, 0.25);
	add_histogram(received, NULL, 0);
	add(received, &open_files, "open_files", "7", bits_of(-1));
	add_with_example(received, "500", false, &example);
	assert_int_equal(wire_finish(received->writer), 0);
}

static void downgraded_series_are_those_of_a_1_0_writer(void **state)
{
	(void)state;
	for (int native = 0; native <= 1; native++) {
		struct received *v1 = receive(WIRE_V1, native, 100);
		struct received *v2 = receive(WIRE_V2, true, 100);
		struct wire_batch *batch;
		size_t len, expected_len;
		char *packed, *expected;

		v1->keeps = true;
		v2->keeps = true;
		write_all_kinds(v1);
		write_all_kinds(v2);
		assert_int_equal(v2->count, 7);
		assert_string_equal(v2->series[6].example, EXAMPLE);
		assert_int_equal(wire_downgrade(v2->kept, native, &batch), 0);
		packed = decompress(batch, &len);
		expected = decompress(v1->kept, &expected_len);
		assert_int_equal(len, expected_len);
		assert_memory_equal(packed, expected, len);
		assert_int_equal(batch->message, WIRE_V1);
		assert_int_equal(batch->samples, 5);
		assert_int_equal(batch->histograms, native ? 2 : 0);
		assert_int_equal(batch->time_ms, TIME);
		assert_int_equal(batch->references, 1);
		assert_false(batch->is_metadata);
		assert_int_equal(v2->kept->references, 1);
		free(packed);
		free(expected);
		wire_batch_put(&batch);
		end(v1);
		end(v2);
	}
}

static void nothing_is_left_of_native_histograms_alone(void **state)
{
	static const uint64_t native[NATIVE_BUCKETS] = {5};
	struct received *received = receive(WIRE_V2, true, 100);
	struct wire_batch *batch = (void *)&received;

	(void)state;
	received->keeps = true;
	add_histogram(received, native, 1);
	assert_int_equal(wire_finish(received->writer), 0);
	assert_int_equal(wire_downgrade(received->kept, false, &batch), 0);
	assert_null(batch);
	end(received);
}

static struct wire_batch *make_batch(enum wire_message message, const char *bytes,
				     size_t len)
{
	size_t compressed = snappy_max_compressed_length(len);
	struct wire_batch *batch = calloc(1, sizeof(*batch) + compressed);

	assert_int_equal(snappy_compress(bytes, len, (char *)batch->bytes, &compressed),
			 SNAPPY_OK);
	batch->references = 1;
	batch->message = message;
	batch->len = compressed;
	return batch;
}

/* symbols "", "a"; one series with a sample and these refs. */
#define WITH_REFS(len, refs) "\x22\x00\x22\x01\x61\x2a" len refs "\x12\x02\x10\x01"
/* The same, and an exemplar with these. */
#define WITH_EXAMPLE(len, refs)                                                        \
	WITH_REFS(len, "\x0a\x02\x01\x01"                                              \
		       "\x22" refs)
#define BYTES(literal) (literal), sizeof(literal) - 1

static void a_batch_that_is_none_of_ours_is_refused(void **state)
{
	static const struct {
		enum wire_message message;
		const char *bytes;
		size_t len;
		int err;
	} cases[] = {
	    {WIRE_V2, BYTES(WITH_REFS("\x08", "\x0a\x02\x01\x01")), 0},
	    {WIRE_V1, BYTES(WITH_REFS("\x08", "\x0a\x02\x01\x01")), -EBADMSG},
	    {WIRE_V2, BYTES(WITH_REFS("\x08", "\x0a\x02\x01\x02")), -EBADMSG},
	    {WIRE_V2, BYTES(WITH_REFS("\x08", "\x0a\x02\x02\x01")), -EBADMSG},
	    {WIRE_V2, BYTES(WITH_REFS("\x09", "\x0a\x03\x01\x01\x01")), -EBADMSG},
	    {WIRE_V2, BYTES(WITH_REFS("\x0c", "\x0a\x06\x01\xff\xff\xff\xff\x0f")),
	     -EBADMSG},
	    {WIRE_V2, BYTES(WITH_REFS("\x7f", "\x0a\x02\x01\x01")), -EBADMSG},
	    {WIRE_V2, BYTES(WITH_EXAMPLE("\x0e", "\x04\x0a\x02\x01\x01")), 0},
	    {WIRE_V2, BYTES(WITH_EXAMPLE("\x0e", "\x04\x0a\x02\x01\x02")), -EBADMSG},
	    {WIRE_V2, BYTES(WITH_EXAMPLE("\x0d", "\x03\x0a\x01\x01")), -EBADMSG},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct wire_batch *batch =
		    make_batch(cases[i].message, cases[i].bytes, cases[i].len);
		struct wire_batch *v1 = NULL;

		assert_int_equal(wire_downgrade(batch, true, &v1), cases[i].err);
		assert_int_equal(!v1, cases[i].err != 0);
		wire_batch_put(&v1);
		wire_batch_put(&batch);
	}
}

/* Cut anywhere, compressed or before: from a disk that lost the end. */
static void a_batch_that_was_cut_is_refused_or_lacks_series(void **state)
{
	struct received *received = receive(WIRE_V2, true, 100);
	size_t len, whole;
	char *packed;

	(void)state;
	received->keeps = true;
	write_all_kinds(received);
	packed = decompress(received->kept, &len);
	for (size_t i = 0; i < len; i++) {
		struct wire_batch *batch = make_batch(WIRE_V2, packed, i), *v1 = NULL;
		int err = wire_downgrade(batch, true, &v1);

		assert_true(!err || err == -EBADMSG);
		assert_true(!v1 || v1->samples + v1->histograms < 7);
		wire_batch_put(&v1);
		wire_batch_put(&batch);
	}
	whole = received->kept->len;
	for (size_t i = 0; i < whole; i++) {
		struct wire_batch *v1 = NULL;

		received->kept->len = i;
		assert_int_equal(wire_downgrade(received->kept, true, &v1), -EBADMSG);
		assert_null(v1);
	}
	free(packed);
	end(received);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(downgraded_series_are_those_of_a_1_0_writer),
	    cmocka_unit_test(nothing_is_left_of_native_histograms_alone),
	    cmocka_unit_test(a_batch_that_is_none_of_ours_is_refused),
	    cmocka_unit_test(a_batch_that_was_cut_is_refused_or_lacks_series),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
