/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "length.h"
#include "otlp_case.h"
#include "otlp_request.h"

/* By family shop, store, agent; by resource again, however it goes on. */
static void a_request_has_each_resource_once(void **state)
{
	static const struct label store[] = {{"service_name", "store"}};
	const struct metric metrics[] = {
	    value_of(&active, service, 2, 1), value_of(&active, store, 1, 2),
	    value_of(&missed, NULL, 0, 3),    value_of(&memory, service, 2, 4),
	    value_of(&memory, store, 1, 5),
	};
	static const double order[] = {1, 4, 2, 5, 3};
	struct received received;

	(void)state;
	start(&received, &plain, &external);
	for (size_t i = 0; i < LENGTH(metrics); i++)
		add(&received, &metrics[i], false);
	finish(&received);
	assert_int_equal(received.batch_count, 1);
	assert_int_equal(received.resource_messages, 3);
	for (size_t i = 0; i < LENGTH(order); i++)
		assert_true(received.points[i].value == order[i]);
	end(&received);
}

static void gzip_holds_the_same_request(void **state)
{
	struct otlp_format format = plain;
	struct received received, zipped;

	(void)state;
	start(&received, &format, &external);
	add_many(&received, 500);
	finish(&received);
	format.gzip = true;
	start(&zipped, &format, &external);
	add_many(&zipped, 500);
	finish(&zipped);
	assert_int_equal(zipped.batch_count, 1);
	assert_int_equal(zipped.batch_bytes[0], received.batch_bytes[0]);
	for (size_t i = 0; i < 500; i++)
		assert_string_equal(zipped.points[i].attributes,
				    received.points[i].attributes);
	end(&received);
	end(&zipped);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_request_has_each_resource_once),
	    cmocka_unit_test(gzip_holds_the_same_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
