/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "otlp_case.h"
#include "otlp_draft.h"

static void no_request_is_longer_than_the_format_says(void **state)
{
	struct received received;

	(void)state;
	for (size_t bytes_max = 400; bytes_max < 4000; bytes_max += 37) {
		const struct otlp_format format = {
		    .points_max = 1000,
		    .bytes_max = bytes_max,
		};

		start(&received, &format, &external);
		add_many(&received, 100);
		finish(&received);
		assert_int_equal(received.count, 100);
		for (size_t i = 0; i < received.batch_count; i++)
			assert_true(received.batch_bytes[i] <= bytes_max);
		/* Well filled: one more point, with what is reckoned too much for
		 * each and for the whole, would not fit. */
		for (size_t i = 0; i + 1 < received.batch_count; i++)
			assert_true(received.batch_bytes[i] + 60 + 40 +
					3 * received.batch_points[i] >
				    bytes_max);
		end(&received);
	}
}

#define LONG_40 "a text that is rather long, as texts go "
#define LONG LONG_40 LONG_40 LONG_40 LONG_40 LONG_40 LONG_40

static void nor_is_one_of_many_services_and_families(void **state)
{
	static char long_zone[] = LONG;
	struct config_label items[] = {{label_zone, long_zone}};
	const struct config_labels labels = {items, 1};
	const struct family families[] = {
	    {"one", LONG, "", METRIC_GAUGE, 1},
	    {"two", LONG, "", METRIC_GAUGE, 2},
	};
	struct received received;

	(void)state;
	for (size_t bytes_max = 800; bytes_max < 4000; bytes_max += 37) {
		const struct otlp_format format = {
		    .points_max = 1000,
		    .bytes_max = bytes_max,
		};

		start(&received, &format, &labels);
		for (size_t i = 0; i < 60; i++) {
			char name[24];
			const struct label label = {"service_name", name};
			const struct metric metric =
			    value_of(&families[i / 2 % 2], &label, 1, 1);

			snprintf(name, sizeof(name), "service%zu", i / 4);
			add(&received, &metric, false);
		}
		finish(&received);
		assert_int_equal(received.count, 60);
		for (size_t i = 0; i < received.batch_count; i++)
			assert_true(received.batch_bytes[i] <= bytes_max);
		end(&received);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_request_is_longer_than_the_format_says),
	    cmocka_unit_test(nor_is_one_of_many_services_and_families),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
