/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "stream.h"

static void the_lowest_mark_is_that_of_the_first_match(void **state)
{
	unsigned int seed = 7;

	(void)state;
	for (int round = 0; round < 200000; round++) {
		uint8_t bytes[8];
		uint64_t word, marks;
		uint32_t expected = 8;

		for (int i = 0; i < 8; i++)
			bytes[i] = "\x0a\x0b\x0a\x8a\x00\xff\x09z"[rand_r(&seed) % 8];
		memcpy(&word, bytes, 8);
		for (uint32_t i = 8; i-- > 0;)
			if (bytes[i] == '\n')
				expected = i;
		marks = word_marks(word, '\n');
		assert_int_equal(marks ? lowest_mark(marks) : 8, expected);
	}
}

static void window_find_sees_no_byte_past_len(void **state)
{
	struct window *w = stream_window();

	(void)state;
	for (uint32_t len = 0; len <= WINDOW_BYTES; len++)
		for (uint32_t at = 0; at < WINDOW_BYTES + 8; at += 3) {
			memset(w->bytes, 'x', sizeof(w->bytes));
			w->bytes[at] = '\n';
			w->len = len;
			assert_int_equal(window_find(w, 0, '\n'), at < len ? at : len);
			if (at < len)
				assert_int_equal(window_find(w, at, '\n'), at);
			if (at < len)
				assert_int_equal(window_find(w, at + 1, '\n'), len);
		}
}

/* Stale bytes past len may look like anything, line feeds among them. */
static void window_find_feed_sees_no_byte_past_len(void **state)
{
	struct window *w = stream_window();

	(void)state;
	for (uint32_t len = 0; len <= WINDOW_BYTES; len++)
		for (uint32_t at = 0; at < sizeof(w->bytes); at += 3) {
			memset(w->bytes, 'x', sizeof(w->bytes));
			w->bytes[at] = '\n';
			w->len = len;
			assert_int_equal(window_find_feed(w, 0), at < len ? at : len);
			if (at < len) {
				assert_int_equal(window_find_feed(w, at), at);
				assert_int_equal(window_find_feed(w, at + 1), len);
			}
		}
}

/* Among bytes that its first look takes for line feeds, and from every position. */
static void window_find_feed_gives_the_first_one(void **state)
{
	struct window *w = stream_window();
	unsigned int seed = 7;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		const char *of = round % 2 ? "xyz\t\x8b\xff" : "xyzXYZ";
		uint32_t next, rare = 1 + (uint32_t)rand_r(&seed) % 100;

		for (uint32_t i = 0; i < sizeof(w->bytes); i++)
			w->bytes[i] = (uint32_t)rand_r(&seed) % rare
					  ? (uint8_t)of[rand_r(&seed) % 6]
					  : '\n';
		w->len = next = (uint32_t)rand_r(&seed) % (WINDOW_BYTES + 1);
		for (uint32_t from = w->len; from-- > 0;) {
			if (w->bytes[from] == '\n')
				next = from;
			assert_int_equal(window_find_feed(w, from), next);
		}
	}
}

static void a_byte_past_len_is_zero(void **state)
{
	struct window *w = stream_window();

	(void)state;
	memset(w->bytes, 'x', sizeof(w->bytes));
	w->len = 10;
	assert_int_equal(window_byte(w, 9), 'x');
	assert_int_equal(window_byte(w, 10), 0);
	assert_int_equal(window_byte(w, 0xffffffff), 0);
	window_word(w, WINDOW_BYTES - 1); /* the tail is there for this */
	window_word(w, 0xffffffff);
}

static struct kept kept_of(const struct window *w, uint32_t len)
{
	struct kept kept;

	window_keep(w, &kept);
	kept_cut(&kept, len);
	return kept;
}

/* What stands for a parse: every byte below len matters, none above does. */
static void what_is_kept_is_equal_up_to_its_length(void **state)
{
	struct window *w = stream_window();

	(void)state;
	memset(w->bytes, 'x', sizeof(w->bytes));
	w->len = WINDOW_BYTES;
	for (uint32_t len = 1; len <= WINDOW_KEPT; len++) {
		struct kept kept = kept_of(w, len);

		for (uint32_t at = 0; at < WINDOW_KEPT; at++) {
			struct kept other;

			w->bytes[at] ^= 0x80;
			other = kept_of(w, len);
			assert_int_equal(kept_equal(&kept, &other, len), at >= len);
			w->bytes[at] ^= 0x80;
		}
	}
}

static void behind_what_is_kept_all_is_zero_up_to_the_stride(void **state)
{
	struct window *w = stream_window();

	(void)state;
	memset(w->bytes, 'x', sizeof(w->bytes));
	w->len = WINDOW_BYTES;
	for (uint32_t len = 1; len <= WINDOW_KEPT; len++) {
		struct kept kept = kept_of(w, len);
		const uint8_t *bytes = (const uint8_t *)kept.words;

		const uint32_t end =
		    (len + WINDOW_STRIDE - 1) / WINDOW_STRIDE * WINDOW_STRIDE;

		for (uint32_t at = 0; at < WINDOW_KEPT; at++)
			assert_int_equal(bytes[at], at < len || at >= end ? 'x' : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_lowest_mark_is_that_of_the_first_match),
	    cmocka_unit_test(window_find_sees_no_byte_past_len),
	    cmocka_unit_test(window_find_feed_sees_no_byte_past_len),
	    cmocka_unit_test(window_find_feed_gives_the_first_one),
	    cmocka_unit_test(a_byte_past_len_is_zero),
	    cmocka_unit_test(what_is_kept_is_equal_up_to_its_length),
	    cmocka_unit_test(behind_what_is_kept_all_is_zero_up_to_the_stride),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
