/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire_case.h"
#include "wire_v1.h"

static void metadata_of_1_0_is_by_the_names_of_samples(void **state)
{
	static const struct {
		const struct family *family;
		uint64_t type;
		const char *name;
	} cases[] = {
	    {&requests, 1, "requests_total"},
	    {&open_files, 2, "open_files"},
	    {&duration, 3, "duration_seconds"},
	    {&waits, 5, "wait_seconds"},
	    {&target, 6, "target_info"},
	    {&unknown, 0, "what"},
	    {&sizes, 4, "sizes"},
	    {&modes, 7, "mode"},
	    {&scraped, 1, "scraped"},
	};
	const struct family *families[LENGTH(cases)];
	struct received *received = receive(WIRE_V1, false, 2);

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++)
		families[i] = cases[i].family;
	add(received, &requests, "requests_total", "200", 1);
	assert_int_equal(wire_metadata(received->writer, families, LENGTH(cases)), 0);
	assert_int_equal(received->batch_count, 5);
	assert_int_equal(received->batches[0].families, 2);
	assert_int_equal(received->batches[3].families, 2);
	assert_int_equal(received->batches[4].families, 1);
	assert_int_equal(received->batches[4].time_ms, TIME);
	for (size_t i = 0; i < LENGTH(cases); i++) {
		const struct family_read *family = &received->families[i];

		assert_int_equal(family->type, cases[i].type);
		assert_string_equal(family->name, cases[i].name);
		assert_string_equal(family->help, cases[i].family->help);
		if (*cases[i].family->unit)
			assert_string_equal(family->unit, cases[i].family->unit);
		else
			assert_null(family->unit);
	}
	/* The series that was open is as it was. */
	assert_int_equal(wire_finish(received->writer), 0);
	assert_int_equal(received->count, 1);
	end(received);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(metadata_of_1_0_is_by_the_names_of_samples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
