/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire_case.h"
#include "wire_series.h"

static void bits_arrive_as_they_are(void **state)
{
	static const uint64_t patterns[] = {
	    STALE, 0x7ff8000000000001, /* the ordinary NaN */
	    0xfff0000000000000,        /* -Inf */
	    0x0000000000000001,        /* the smallest number */
	};

	(void)state;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		struct received *received = receive(message, false, 100);

		for (size_t i = 0; i < LENGTH(patterns); i++)
			add(received, &open_files, "open_files", "1", patterns[i]);
		assert_int_equal(wire_finish(received->writer), 0);
		for (size_t i = 0; i < LENGTH(patterns); i++)
			assert_int_equal(received->series[i].bits, patterns[i]);
		end(received);
	}
}

static void text_bytes_are_those_of_names_and_values(void **state)
{
	const struct label labels[] = {{"__name__", "up"}, {"a", "\xc3\xbc"}};

	(void)state;
	assert_int_equal(wire_series_text_bytes(labels, 0), 0);
	assert_int_equal(wire_series_text_bytes(labels, 1), 10);
	assert_int_equal(wire_series_text_bytes(labels, 2), 13);
}

/* The longest of all: each number in ten bytes. */
static void no_series_is_longer_than_its_bound(void **state)
{
	const struct label label = {"n", "v"};
	const struct sample sample = {.bits = STALE, .time_ms = -1};
	Prometheus__WriteRequest request = PROMETHEUS__WRITE_REQUEST__INIT;
	Prometheus__TimeSeries message = PROMETHEUS__TIME_SERIES__INIT,
			       *only = &message;
	Prometheus__Sample number, *numbers[100];
	ProtobufCBinaryData packed = {6, (uint8_t *)"\x0a\x01n\x12\x01v"};
	struct wire_series series = {.labels = &label, .label_count = 1};

	(void)state;
	wire_series_number(&sample, -1, &number);
	assert_int_equal(number.timestamp, -1);
	assert_int_equal(number.start_timestamp, -1);
	for (size_t i = 0; i < LENGTH(numbers); i++)
		numbers[i] = &number;
	series.samples = message.samples = numbers;
	message.n_labels = 1;
	message.labels = &packed;
	request.n_timeseries = 1;
	request.timeseries = &only;
	for (size_t i = 0; i <= LENGTH(numbers); i++) {
		series.sample_count = message.n_samples = i;
		assert_true(prometheus__write_request__get_packed_size(&request) <=
			    wire_series_bound(&series, 2, 0));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bits_arrive_as_they_are),
	    cmocka_unit_test(text_bytes_are_those_of_names_and_values),
	    cmocka_unit_test(no_series_is_longer_than_its_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
