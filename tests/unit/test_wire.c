/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "wire_case.h"
#include "wire_downgrade.h"

/* --- what is sent ------------------------------------------------------------ */

static void a_sample_is_a_series_with_its_labels_value_and_time(void **state)
{
	(void)state;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		struct received *received = receive(message, false, 100);
		const struct series *series = received->series;

		assert_int_equal(add(received, &requests, "requests_total", "200",
				     bits_of(9007199254740991.0)),
				 0);
		assert_int_equal(
		    add(received, &requests, "requests_total", "404", bits_of(0)), 0);
		assert_int_equal(received->batch_count, 0);
		assert_int_equal(wire_finish(received->writer), 0);
		assert_int_equal(received->batch_count, 1);
		assert_int_equal(received->batches[0].time_ms, TIME);
		assert_int_equal(received->count, 2);
		assert_string_equal(series[0].text, "__name__=requests_total code=200");
		assert_string_equal(series[1].text, "__name__=requests_total code=404");
		assert_int_equal(series[0].bits, bits_of(9007199254740991.0));
		assert_int_equal(series[1].bits, 0);
		assert_int_equal(series[0].time_ms, TIME);
		end(received);
	}
}

static void starts_are_sent_in_2_0_only(void **state)
{
	static const uint64_t native[NATIVE_BUCKETS] = {1};

	(void)state;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		struct received *received = receive(message, true, 100);

		add(received, &requests, "requests_total", "200", 1);
		add_histogram(received, native, 1);
		assert_int_equal(wire_finish(received->writer), 0);
		for (size_t i = 0; i < 2; i++)
			assert_int_equal(received->series[i].start_ms,
					 message == WIRE_V2 ? START : 0);
		end(received);
	}
}

static void without_a_word_for_it_no_exemplar_is_sent(void **state)
{
	(void)state;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		const struct wire_format format = {message, true, 100, false};
		struct received *received = receive(message, true, 100);

		wire_writer_free(&received->writer);
		assert_int_equal(
		    wire_writer_create(&format, on_batch, received, &received->writer),
		    0);
		add_with_example(received, "404", false, &example);
		add_with_example(received, "500", true, &example);
		assert_int_equal(wire_finish(received->writer), 0);
		assert_int_equal(received->count, 2);
		assert_null(received->series[0].example);
		assert_null(received->series[1].example);
		end(received);
	}
}

static void native_histograms_are_sent_only_where_asked_for(void **state)
{
	static const uint64_t native[NATIVE_BUCKETS] = {1};

	(void)state;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		struct received *received = receive(message, false, 100);

		assert_int_equal(add_histogram(received, native, 1), 0);
		assert_int_equal(add_histogram(received, NULL, 1), 0);
		assert_int_equal(wire_finish(received->writer), 0);
		assert_int_equal(received->batch_count, 0);
		end(received);
	}
}

static void metadata_of_nothing_and_in_2_0_is_no_request(void **state)
{
	const struct family *const families[] = {&requests};

	(void)state;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		struct received *received = receive(message, false, 2);

		assert_int_equal(
		    wire_metadata(received->writer, families, message == WIRE_V2), 0);
		assert_int_equal(received->batch_count, 0);
		end(received);
	}
}

/* --- batches ------------------------------------------------------------------ */

static void expect_batches(const struct received *received, const uint32_t *sizes,
			   size_t count)
{
	assert_int_equal(received->batch_count, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(received->batches[i].samples +
				     received->batches[i].histograms,
				 sizes[i]);
}

static void batches_hold_at_most_samples_max(void **state)
{
	static const struct {
		uint32_t samples_max;
		uint32_t sizes[6];
		size_t count;
	} cases[] = {
	    {1, {1, 1, 1, 1, 1}, 5}, {2, {2, 2, 1}, 3}, {3, {3, 2}, 2},
	    {4, {4, 1}, 2},          {5, {5}, 1},       {6, {5}, 1},
	};

	(void)state;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++)
		for (size_t i = 0; i < LENGTH(cases); i++) {
			struct received *received =
			    receive(message, false, cases[i].samples_max);

			for (size_t j = 0; j < 5; j++) {
				assert_int_equal(wire_begin(received->writer, 1), 0);
				add(received, &requests, "requests_total", "200", j);
			}
			assert_int_equal(wire_finish(received->writer), 0);
			expect_batches(received, cases[i].sizes, cases[i].count);
			for (size_t j = 0; j < 5; j++)
				assert_int_equal(received->series[j].bits, j);
			end(received);
		}
}

static void what_belongs_together_is_cut_only_where_no_batch_can_hold_it(void **state)
{
	static const uint64_t native[NATIVE_BUCKETS] = {1};
	static const struct {
		uint32_t samples_max;
		uint32_t sizes[9];
		size_t count;
	} cases[] = {
	    {1, {1, 1, 1, 1, 1, 1, 1}, 7},
	    {3, {2, 3, 2}, 3},
	    {4, {2, 4, 1}, 3},
	    {5, {2, 5}, 2},
	    {6, {2, 5}, 2},
	    {7, {7}, 1},
	};

	(void)state;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++)
		for (size_t i = 0; i < LENGTH(cases); i++) {
			struct received *received =
			    receive(message, true, cases[i].samples_max);

			wire_begin(received->writer, 1);
			add(received, &requests, "requests_total", "200", 1);
			wire_begin(received->writer, 1);
			add(received, &requests, "requests_total", "201", 1);
			wire_begin(received->writer, 5);
			for (int j = 0; j < 4; j++)
				add(received, &duration, "duration_seconds_sum", "200",
				    1);
			add_histogram(received, native, 1);
			assert_int_equal(wire_finish(received->writer), 0);
			expect_batches(received, cases[i].sizes, cases[i].count);
			end(received);
		}
}

static void a_batch_stays_far_below_what_receivers_refuse(void **state)
{
	char *value = malloc(65536);

	(void)state;
	memset(value, 'x', 65535);
	value[65535] = 0;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		struct received *received = receive(message, false, 50000);

		for (int i = 0; i < 300; i++) { /* 19 MB of labels */
			value[snprintf(value, 8, "%d", i)] = '-';
			wire_begin(received->writer, 1);
			add(received, &requests, "requests_total", value, 1);
		}
		assert_int_equal(wire_finish(received->writer), 0);
		assert_int_equal(received->count, 300);
		assert_int_equal(received->batch_count, 5);
		for (size_t i = 0; i < 5; i++)
			assert_true(received->batches[i].unpacked_bytes <
				    (4 << 20) + (1 << 17));
		end(received);
	}
	free(value);
}

/* A label of a mebibyte, with each of the many series of a metric. In 2.0 it is
 * written once, but a batch has to have room as one of 1.0. */
static void a_metric_too_large_for_a_request_is_cut(void **state)
{
	char *value = malloc((1 << 20) + 1);

	(void)state;
	memset(value, 'x', 1 << 20);
	value[1 << 20] = 0;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		struct received *received = receive(message, false, 50000);
		struct wire_batch *batch;

		received->keeps = true;
		wire_begin(received->writer, 40);
		for (int i = 0; i < 40; i++) {
			add(received, &duration, "duration_seconds_sum", value, 1);
			if (i != 35 || message == WIRE_V1)
				continue;
			assert_int_equal(wire_downgrade(received->kept, false, &batch),
					 0);
			assert_int_equal(batch->samples, 16);
			wire_batch_put(&batch);
		}
		assert_int_equal(wire_finish(received->writer), 0);
		assert_int_equal(received->count, 40);
		assert_int_equal(received->batch_count, 3);
		for (size_t i = 0; i < 3; i++)
			assert_true(received->batches[i].unpacked_bytes < 18 << 20);
		end(received);
	}
	free(value);
}

static void an_error_lasts_until_finish(void **state)
{
	size_t len = (size_t)33 << 20;
	char *value = malloc(len + 1);

	(void)state;
	memset(value, 'x', len);
	value[len] = 0;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		struct received *received = receive(message, false, 2);

		add(received, &requests, "requests_total", "1", 1);
		add(received, &requests, "requests_total", "2", 1);
		add(received, &requests, "requests_total", "3", 1);
		assert_int_equal(received->count, 2);
		assert_int_equal(add(received, &requests, "requests_total", value, 1),
				 -E2BIG);
		assert_int_equal(wire_begin(received->writer, 1), -E2BIG);
		assert_int_equal(add(received, &requests, "requests_total", "4", 1),
				 -E2BIG);
		assert_int_equal(wire_finish(received->writer), -E2BIG);
		assert_int_equal(received->count, 2);
		add(received, &requests, "requests_total", "5", 1);
		assert_int_equal(wire_finish(received->writer), 0);
		assert_int_equal(received->count, 3);
		assert_string_equal(received->series[2].text,
				    "__name__=requests_total code=5");
		end(received);
	}
	free(value);
}

static void a_writer_that_got_nothing_emits_nothing(void **state)
{
	(void)state;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		struct received *received = receive(message, true, 5);

		assert_int_equal(wire_finish(received->writer), 0);
		assert_int_equal(wire_begin(received->writer, 3), 0);
		assert_int_equal(wire_begin(received->writer, 30), 0);
		assert_int_equal(wire_finish(received->writer), 0);
		assert_int_equal(received->batch_count, 0);
		end(received);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_sample_is_a_series_with_its_labels_value_and_time),
	    cmocka_unit_test(starts_are_sent_in_2_0_only),
	    cmocka_unit_test(without_a_word_for_it_no_exemplar_is_sent),
	    cmocka_unit_test(native_histograms_are_sent_only_where_asked_for),
	    cmocka_unit_test(metadata_of_nothing_and_in_2_0_is_no_request),
	    cmocka_unit_test(batches_hold_at_most_samples_max),
	    cmocka_unit_test(
		what_belongs_together_is_cut_only_where_no_batch_can_hold_it),
	    cmocka_unit_test(a_batch_stays_far_below_what_receivers_refuse),
	    cmocka_unit_test(a_metric_too_large_for_a_request_is_cut),
	    cmocka_unit_test(an_error_lasts_until_finish),
	    cmocka_unit_test(a_writer_that_got_nothing_emits_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
