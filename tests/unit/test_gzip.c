/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
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

/* What gunzip_step makes of it in pieces of in_size bytes, into room of out_size. */
static int unpack(const unsigned char *in, size_t len, size_t in_size, size_t out_size,
		  unsigned char *out, size_t *ret_len, bool *ret_is_done)
{
	struct gunzip *gunzip = NULL;
	struct gzip_flow flow = {.out = out};
	int err = gunzip_create(&gunzip);

	assert_int_equal(err, 0);
	*ret_len = 0;
	*ret_is_done = false;
	for (size_t at = 0; !err && at < len; at += in_size) {
		flow.in = in + at;
		flow.in_len = len - at < in_size ? len - at : in_size;
		do {
			flow.out_room = out_size;
			err = gunzip_step(gunzip, &flow);
			*ret_len += out_size - flow.out_room;
		} while (!err && (flow.in_len || !flow.out_room));
		*ret_is_done = flow.is_done;
	}
	gunzip_free(&gunzip);
	assert_null(gunzip);
	gunzip_free(&gunzip);
	return err;
}

static void members_come_out_in_pieces_of_any_length(void **state)
{
	static unsigned char bytes[2 * BYTES], zipped[2 * BYTES],
	    plain[2 * BYTES + 1000];
	const size_t sizes[] = {1, 2, 7, 1000, 2 * BYTES};
	size_t one, two, len;
	bool is_done;

	(void)state;
	fill(bytes, 2 * BYTES);
	assert_int_equal(gzip_whole(bytes, BYTES, zipped, BYTES, &one), 0);
	assert_int_equal(gzip_whole(bytes + BYTES, BYTES, zipped + one, BYTES, &two),
			 0);
	for (size_t i = 0; i < 5; i++) {
		for (size_t j = 0; j < 4; j++) {
			assert_int_equal(unpack(zipped, one + two, sizes[i], sizes[j],
						plain, &len, &is_done),
					 0);
			assert_int_equal(len, 2 * BYTES);
			assert_memory_equal(plain, bytes, len);
			assert_true(is_done);
		}
	}
}

/* It is complete behind either member, and nowhere else. */
static void every_beginning_of_gzip_is_known_to_be_one(void **state)
{
	unsigned char zipped[200], plain[100];
	size_t one, two, len;
	bool is_done;

	(void)state;
	assert_int_equal(gzip_whole("first", 5, zipped, 100, &one), 0);
	assert_int_equal(gzip_whole("second", 6, zipped + one, 100, &two), 0);
	for (size_t i = 0; i <= one + two; i++) {
		assert_int_equal(unpack(zipped, i, 3, 10, plain, &len, &is_done), 0);
		assert_int_equal(is_done, i == one || i == one + two);
	}
	assert_memory_equal(plain, "firstsecond", 11);
}

static void what_is_no_gzip_is_said_to_be_none(void **state)
{
	unsigned char zipped[200], plain[100];
	size_t one, len;
	bool is_done;

	(void)state;
	assert_int_equal(gzip_whole("first", 5, zipped, 100, &one), 0);
	memcpy(zipped + one, "rest", 4);
	assert_int_equal(unpack(zipped, one + 4, 50, 50, plain, &len, &is_done),
			 -EBADMSG);
	zipped[one - 8] ^= 1; /* the checksum */
	assert_int_equal(unpack(zipped, one, 50, 50, plain, &len, &is_done), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_whole_at_once_is_gzip),
	    cmocka_unit_test(nothing_is_gzip_too),
	    cmocka_unit_test(noise_fits_into_the_bound),
	    cmocka_unit_test(too_little_room_is_an_error),
	    cmocka_unit_test(steps_make_the_same),
	    cmocka_unit_test(members_come_out_in_pieces_of_any_length),
	    cmocka_unit_test(every_beginning_of_gzip_is_known_to_be_one),
	    cmocka_unit_test(what_is_no_gzip_is_said_to_be_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
