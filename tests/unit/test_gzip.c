/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "gzip.h"

#define BYTES 100000

/* Repeats itself now and then, and is no text. */
static void fill(unsigned char *bytes, size_t len)
{
	uint32_t state = 1;

	for (size_t i = 0; i < len; i++) {
		state = state * 1664525 + 1013904223;
		bytes[i] = (unsigned char)(i % 7 ? i % 7 : state >> 24);
	}
}

static void check_gzip(const unsigned char *zipped, size_t zipped_len,
		       const unsigned char *wanted, size_t len)
{
	unsigned char *plain = malloc(len + 1);
	z_stream stream = {
	    .next_in = (unsigned char *)zipped,
	    .avail_in = (unsigned int)zipped_len,
	    .next_out = plain,
	    .avail_out = (unsigned int)len + 1,
	};

	assert_non_null(plain);
	assert_int_equal(inflateInit2(&stream, MAX_WBITS + 16), Z_OK);
	assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
	assert_int_equal(stream.avail_in, 0);
	assert_int_equal(stream.total_out, len);
	assert_memory_equal(plain, wanted, len);
	inflateEnd(&stream);
	free(plain);
}

static void the_whole_at_once_is_gzip(void **state)
{
	static unsigned char bytes[BYTES], zipped[BYTES];
	size_t len;

	(void)state;
	fill(bytes, BYTES);
	assert_int_equal(gzip_whole(bytes, BYTES, zipped, BYTES, &len), 0);
	assert_true(len < BYTES / 2);
	check_gzip(zipped, len, bytes, BYTES);
}

static void nothing_is_gzip_too(void **state)
{
	unsigned char zipped[64];
	size_t len;

	(void)state;
	assert_true(gzip_bound(0) <= sizeof(zipped));
	assert_int_equal(gzip_whole("", 0, zipped, gzip_bound(0), &len), 0);
	check_gzip(zipped, len, (const unsigned char *)"", 0);
}

/* What does not shrink grows a little: the bound is for that. */
static void noise_fits_into_the_bound(void **state)
{
	(void)state;
	for (size_t len = 1; len < 3000000; len = len * 3 + 1) {
		unsigned char *bytes = malloc(len), *zipped = malloc(gzip_bound(len));
		uint64_t random = 88172645463325252ull;
		size_t zipped_len;

		for (size_t i = 0; i < len; i++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			bytes[i] = (unsigned char)random;
		}
		assert_int_equal(
		    gzip_whole(bytes, len, zipped, gzip_bound(len), &zipped_len), 0);
		check_gzip(zipped, zipped_len, bytes, len);
		free(bytes);
		free(zipped);
	}
}

static void too_little_room_is_an_error(void **state)
{
	static unsigned char bytes[BYTES], zipped[BYTES];
	size_t len;

	(void)state;
	fill(bytes, BYTES);
	assert_int_equal(gzip_whole(bytes, BYTES, zipped, 100, &len), -EIO);
}

/* By pieces of every kind of length, into room of another. */
static void steps_make_the_same(void **state)
{
	static unsigned char bytes[BYTES], zipped[2 * BYTES];
	struct gzip_flow flow = {.out = zipped};
	struct gzip *gzip = NULL;
	size_t given = 0, room = 0;

	(void)state;
	fill(bytes, BYTES);
	assert_int_equal(gzip_create(&gzip), 0);
	for (size_t i = 0; !flow.is_done; i++) {
		if (!flow.in_len && given < BYTES) {
			flow.in_len = i % 777 + 1;
			if (flow.in_len > BYTES - given)
				flow.in_len = BYTES - given;
			flow.in = bytes + given;
			given += flow.in_len;
		}
		flow.out_room = i % 13 + 1;
		room += flow.out_room;
		flow.is_last = given == BYTES;
		assert_int_equal(gzip_step(gzip, &flow), 0);
		room -= flow.out_room;
	}
	assert_int_equal(flow.in_len, 0);
	check_gzip(zipped, room, bytes, BYTES);
	gzip_free(&gzip);
	assert_null(gzip);
	gzip_free(&gzip);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_whole_at_once_is_gzip),
	    cmocka_unit_test(nothing_is_gzip_too),
	    cmocka_unit_test(noise_fits_into_the_bound),
	    cmocka_unit_test(too_little_room_is_an_error),
	    cmocka_unit_test(steps_make_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
