/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>

#include "length.h"
#include "wire_batch.h"

static void what_was_compressed_is_read_back(void **state)
{
	static const size_t lengths[] = {0, 1, 59, 60, 61, 65535, 65536, 1 << 20};
	unsigned char *bytes = malloc(1 << 20), *unpacked;

	(void)state;
	for (size_t i = 0; i < 1 << 20; i++)
		bytes[i] = (unsigned char)(i % 251 ^ i >> 9);
	for (size_t i = 0; i < LENGTH(lengths); i++) {
		struct wire_batch *batch;
		size_t len;

		assert_int_equal(wire_compress(bytes, lengths[i], &batch), 0);
		assert_int_equal(batch->references, 1);
		assert_int_equal(batch->samples, 0);
		assert_int_equal(batch->histograms, 0);
		assert_false(batch->is_metadata);
		assert_int_equal(wire_uncompress(batch, &unpacked, &len), 0);
		assert_int_equal(len, lengths[i]);
		assert_memory_equal(unpacked, bytes, len);
		free(unpacked);
		wire_batch_put(&batch);
	}
	free(bytes);
}

static void a_batch_goes_with_its_last_reference(void **state)
{
	struct wire_batch *batch, *other;

	(void)state;
	assert_int_equal(wire_compress("a", 1, &batch), 0);
	other = wire_batch_get(batch);
	assert_ptr_equal(other, batch);
	assert_int_equal(batch->references, 2);
	wire_batch_put(&other);
	assert_null(other);
	assert_int_equal(batch->references, 1);
	wire_batch_put(&batch);
	assert_null(batch);
	wire_batch_put(&batch);
}

/* Cut anywhere, or with a length that is not its own: outputs stay as they were. */
static void what_we_did_not_compress_is_refused(void **state)
{
	unsigned char *unpacked = NULL;
	struct wire_batch *batch;
	size_t len = 7, whole;

	(void)state;
	assert_int_equal(wire_compress("abcabcabcabcabcabcabcabc", 24, &batch), 0);
	whole = batch->len;
	for (batch->len = 0; batch->len < whole; batch->len++)
		assert_int_equal(wire_uncompress(batch, &unpacked, &len), -EBADMSG);
	batch->bytes[0]++;
	assert_int_equal(wire_uncompress(batch, &unpacked, &len), -EBADMSG);
	assert_null(unpacked);
	assert_int_equal(len, 7);
	wire_batch_put(&batch);
}

/* It is not asked for: 64 MiB are the most that is ours, in a varint of snappy's. */
static void a_length_that_none_of_ours_has_is_refused(void **state)
{
	struct wire_batch *batch = calloc(1, sizeof(*batch) + 5);
	unsigned char *unpacked;
	size_t len;

	(void)state;
	memcpy(batch->bytes, "\x81\x80\x80\x20", 4);
	batch->references = 1;
	batch->len = 4;
	assert_int_equal(snappy_uncompressed_length((char *)batch->bytes, 4, &len),
			 SNAPPY_OK);
	assert_int_equal(len, (64 << 20) + 1);
	assert_int_equal(wire_uncompress(batch, &unpacked, &len), -EBADMSG);
	wire_batch_put(&batch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_was_compressed_is_read_back),
	    cmocka_unit_test(a_batch_goes_with_its_last_reference),
	    cmocka_unit_test(what_we_did_not_compress_is_refused),
	    cmocka_unit_test(a_length_that_none_of_ours_has_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
