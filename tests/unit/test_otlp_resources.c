/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "length.h"
#include "otlp_case.h"
#include "otlp_resources.h"

static void target_info_is_the_resource_and_no_point(void **state)
{
	const struct metric info = value_of(&target, target_labels, 6, 1);
	const struct metric metric = value_of(&active, service, 2, 3);
	struct received received;

	(void)state;
	start(&received, &plain, &two_external);
	add(&received, &info, false);
	add(&received, &metric, false);
	finish(&received);
	assert_int_equal(received.count, 1);
	assert_string_equal(received.points[0].resource, SHOP_TARGET);
	end(&received);
}

static void what_ended_with_its_target_info_has_the_same_resource(void **state)
{
	const struct metric info = value_of(&target, target_labels, 6, 0);
	const struct metric metric = value_of(&active, service, 2, 0);
	struct received received;

	(void)state;
	start(&received, &plain, &two_external);
	add(&received, &info, true);
	add(&received, &metric, true);
	finish(&received);
	assert_string_equal(received.points[0].resource, SHOP_TARGET);
	end(&received);
}

static void external_labels_are_of_the_resource(void **state)
{
	const struct metric of_service = value_of(&active, service, 2, 3);
	const struct metric of_agent = value_of(&missed, NULL, 0, 1);
	struct received received;

	(void)state;
	start(&received, &plain, &external);
	add(&received, &of_service, false);
	add(&received, &of_agent, false);
	finish(&received);
	assert_int_equal(received.count, 2);
	assert_string_equal(received.points[0].resource, SHOP " zone=eu");
	assert_string_equal(received.points[1].resource,
			    " service.instance.id=web1 zone=eu service.name=bpftally");
	end(&received);
}

static void an_external_label_yields_to_target_info(void **state)
{
	static char host[] = "host_name", other[] = "other", name[] = "service_name";
	struct config_label items[] = {{host, other}, {name, other}};
	const struct config_labels labels = {items, 2};
	const struct metric info = value_of(&target, target_labels, 6, 1);
	const struct metric of_service = value_of(&active, service, 2, 3);
	const struct metric of_agent = value_of(&missed, NULL, 0, 1);
	struct received received;

	(void)state;
	start(&received, &plain, &labels);
	add(&received, &info, false);
	add(&received, &of_service, false);
	add(&received, &of_agent, false);
	finish(&received);
	assert_string_equal(received.points[0].resource,
			    " host.name=web1 os.type=linux service.name=shop"
			    " service.namespace=eu telemetry.distro.name=bpftally"
			    " telemetry.distro.version=1");
	assert_string_equal(received.points[1].resource,
			    " host.name=other service.name=other");
	end(&received);
}

/* Its processes have the labels of a service, what else it says has none. */
static void the_agent_is_one_resource(void **state)
{
	static const struct label agent[] = {{"service_name", "bpftally"}};
	const struct metric metrics[] = {
	    value_of(&missed, NULL, 0, 1),
	    value_of(&memory, agent, 1, 2),
	};
	struct received received;

	(void)state;
	start(&received, &plain, &two_external);
	for (size_t i = 0; i < LENGTH(metrics); i++)
		add(&received, &metrics[i], false);
	finish(&received);
	assert_int_equal(received.resource_messages, 1);
	assert_string_equal(received.points[0].resource, AGENT);
	assert_string_equal(received.points[1].resource, AGENT);
	end(&received);
}

static void a_namespace_makes_another_service(void **state)
{
	const struct metric with = value_of(&active, service, 2, 1);
	const struct metric without = value_of(&active, service, 1, 2);
	struct received received;

	(void)state;
	start(&received, &plain, &two_external);
	add(&received, &with, false);
	add(&received, &without, false);
	finish(&received);
	assert_string_equal(received.points[0].resource, SHOP);
	assert_string_equal(received.points[1].resource,
			    " service.name=shop service.instance.id=web1");
	end(&received);
}

static void what_was_scraped_is_of_its_target(void **state)
{
	static const struct family scraped = {"jobs", "Jobs.", "", METRIC_COUNTER,
					      FAMILY_SCRAPED};
	static const struct label labels[2][4] = {
	    {{"instance", "a:1"},
	     {"job", "x/y"},
	     {"le", "1"},
	     {"service_name", "shop"}},
	    {{"instance", "b:1"},
	     {"job", "x/y"},
	     {"le", "1"},
	     {"service_name", "shop"}},
	};
	struct received received;

	(void)state;
	start(&received, &plain, &external);
	for (size_t i = 0; i < 2; i++) {
		struct metric metric = value_of(&scraped, labels[i], 4, 5);

		add(&received, &metric, false);
	}
	finish(&received);
	assert_string_equal(received.points[0].resource,
			    " service.name=x/y service.instance.id=a:1 zone=eu");
	assert_string_equal(received.points[1].resource,
			    " service.name=x/y service.instance.id=b:1 zone=eu");
	check_point(&received, 0,
		    "jobs [] sum 2 monotonic: le=1 service_name=shop" TIMES " value=5");
	end(&received);
}

/* What is added need not outlive the call. */
static void strings_are_copied(void **state)
{
	struct received received;

	(void)state;
	start(&received, &plain, &external);
	for (size_t i = 0; i < 3; i++) {
		char *text = strdup("shop");
		struct label label = {"service_name", text};
		const struct metric metric = value_of(&active, &label, 1, 1);

		add(&received, &metric, false);
		memset(text, 'z', strlen(text));
		free(text);
	}
	finish(&received);
	assert_int_equal(received.resource_messages, 1);
	assert_string_equal(received.points[2].resource,
			    " service.name=shop service.instance.id=web1 zone=eu");
	end(&received);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(target_info_is_the_resource_and_no_point),
	    cmocka_unit_test(what_ended_with_its_target_info_has_the_same_resource),
	    cmocka_unit_test(external_labels_are_of_the_resource),
	    cmocka_unit_test(an_external_label_yields_to_target_info),
	    cmocka_unit_test(the_agent_is_one_resource),
	    cmocka_unit_test(a_namespace_makes_another_service),
	    cmocka_unit_test(what_was_scraped_is_of_its_target),
	    cmocka_unit_test(strings_are_copied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
