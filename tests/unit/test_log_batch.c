/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "log_batch.h"
#include "loki_decoder.h"

static void add(struct log_batch *batch, const char *labels,
		struct log_batch_place *place, int64_t time_ns, const char *line)
{
	assert_int_equal(log_batch_add(batch, labels, place, time_ns, slice_of(line)),
			 0);
}

static void expect(struct log_batch *batch, const char *expected)
{
	struct wire_batch *wire;
	char *text;

	assert_int_equal(log_batch_finish(batch, &wire), 0);
	assert_int_equal(log_batch_lines(batch), 0);
	text = loki_text(wire);
	assert_string_equal(text, expected);
	free(text);
	wire_batch_put(&wire);
}

static void entries_are_sorted_by_stream_and_keep_their_order(void **state)
{
	struct log_batch_place a = {0}, b = {0}, again = {0};
	struct log_batch *batch;

	(void)state;
	assert_int_equal(log_batch_create(1000, &batch), 0);
	add(batch, "{a}", &a, 1, "1");
	add(batch, "{b}", &b, 2, "2");
	add(batch, "{a}", &a, 3, "3");
	add(batch, "{a}", &again, 4, "4"); /* another file's, the same stream */
	add(batch, "{b}", &b, 5, "5");
	assert_int_equal(log_batch_lines(batch), 5);
	expect(batch, "{a}\n  1 1\n  3 3\n  4 4\n{b}\n  2 2\n  5 5\n");
	add(batch, "{b}", &b, 6, "6");
	expect(batch, "{b}\n  6 6\n");
	log_batch_free(&batch);
}

static void a_batch_has_room_for_so_many_bytes(void **state)
{
	struct log_batch_place place = {0};
	struct log_batch *batch;
	char line[101];

	(void)state;
	memset(line, 'x', 100);
	line[100] = 0;
	assert_int_equal(log_batch_create(1000, &batch), 0);
	assert_true(log_batch_has_room(batch, 100000)); /* alone it may be longer */
	for (int i = 0; i < 6; i++) {
		assert_true(log_batch_has_room(batch, 100));
		add(batch, "{}", &place, i, line);
	}
	assert_false(log_batch_has_room(batch, 100));
	log_batch_free(&batch);
}

static void empty_lines_do_not_fill_it_for_ever(void **state)
{
	struct log_batch_place place = {0};
	struct log_batch *batch;
	int count = 0;

	(void)state;
	assert_int_equal(log_batch_create(6400, &batch), 0);
	while (log_batch_has_room(batch, 0)) {
		add(batch, "", &place, count++, "");
	}
	assert_int_equal(count, 100);
	log_batch_free(&batch);
}

static void many_streams_are_found_again(void **state)
{
	struct log_batch *batch;
	struct wire_batch *wire;
	char labels[32], *text;
	unsigned int streams = 0;

	(void)state;
	assert_int_equal(log_batch_create(10 << 20, &batch), 0);
	for (int i = 0; i < 5000; i++) {
		struct log_batch_place place = {0};

		snprintf(labels, sizeof(labels), "{n=\"%d\"}", i % 1000);
		add(batch, labels, &place, i, "x");
	}
	assert_int_equal(log_batch_finish(batch, &wire), 0);
	text = loki_text(wire);
	for (const char *at = text; (at = strstr(at, "{n=")); at++)
		streams++;
	assert_int_equal(streams, 1000);
	assert_int_equal(wire->samples, 5000);
	free(text);
	wire_batch_put(&wire);
	log_batch_free(&batch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(entries_are_sorted_by_stream_and_keep_their_order),
	    cmocka_unit_test(a_batch_has_room_for_so_many_bytes),
	    cmocka_unit_test(empty_lines_do_not_fill_it_for_ever),
	    cmocka_unit_test(many_streams_are_found_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
