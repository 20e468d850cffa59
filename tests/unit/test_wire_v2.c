/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire_case.h"
#include "wire_v2.h"

static void each_string_of_a_request_is_there_once(void **state)
{
	struct received *received = receive(WIRE_V2, false, 100);

	(void)state;
	for (int i = 0; i < 20; i++) {
		add(received, &requests, "requests_total", i % 2 ? "200" : "404", 1);
		add(received, &duration, "duration_seconds_sum", "seconds", 1);
	}
	assert_int_equal(wire_finish(received->writer), 0);
	/* "", 2 names of labels, 2 of metrics, 200, 404, seconds, 2 helps */
	assert_int_equal(received->symbol_count, 10);
	for (size_t i = 0; i < received->symbol_count; i++)
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(received->symbols[i],
						received->symbols[j]);
	end(received);
}

static void each_series_of_2_0_says_what_its_family_is(void **state)
{
	static const struct {
		const struct family *family;
		uint64_t type;
	} cases[] = {
	    {&requests, 1}, {&open_files, 2}, {&duration, 3},
	    {&duration, 3}, {&waits, 5},      {&target, 6},
	    {&unknown, 0},  {&sizes, 4},      {&modes, 7},
	};
	static const uint64_t native[NATIVE_BUCKETS] = {1};
	struct received *received = receive(WIRE_V2, true, 3);

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++)
		if (i == 3)
			add_histogram(received, native, 1);
		else
			add(received, cases[i].family, cases[i].family->name, "1", 1);
	assert_int_equal(wire_finish(received->writer), 0);
	assert_int_equal(received->batch_count, 3);
	for (size_t i = 0; i < LENGTH(cases); i++) {
		const struct series *series = &received->series[i];

		assert_int_equal(series->type, cases[i].type);
		assert_string_equal(series->help, cases[i].family->help);
		assert_string_equal(series->unit, cases[i].family->unit);
	}
	end(received);
}

/* Of one target after the other, in the same memory. */
static void a_family_in_the_place_of_another_is_not_taken_for_it(void **state)
{
	struct received *received = receive(WIRE_V2, true, 100);
	char help[] = "One.";
	struct family family = {"one", help, "", METRIC_GAUGE, FAMILY_SCRAPED};

	(void)state;
	add(received, &family, "one", "1", 1);
	memcpy(help, "Two.", sizeof(help));
	family.unit = "bytes";
	add(received, &family, "two", "1", 1);
	family.type = METRIC_COUNTER;
	add(received, &family, "three", "1", 1);
	assert_int_equal(wire_finish(received->writer), 0);
	assert_string_equal(received->series[0].help, "One.");
	assert_string_equal(received->series[0].unit, "");
	assert_string_equal(received->series[1].help, "Two.");
	assert_string_equal(received->series[1].unit, "bytes");
	assert_int_equal(received->series[1].type, 2);
	assert_int_equal(received->series[2].type, 1);
	end(received);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_string_of_a_request_is_there_once),
	    cmocka_unit_test(each_series_of_2_0_says_what_its_family_is),
	    cmocka_unit_test(a_family_in_the_place_of_another_is_not_taken_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
