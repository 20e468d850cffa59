/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "length.h"
#include "otlp_attributes.h"

static void check_text(const struct otlp_attributes *attributes, size_t i,
		       const char *key, const char *value)
{
	const Otlp__KeyValue *pair = attributes->list[i];

	assert_true(i < attributes->count);
	assert_string_equal(pair->key, key);
	assert_int_equal(pair->value->value_case, OTLP__ANY_VALUE__VALUE_STRING_VALUE);
	assert_string_equal(pair->value->string_value, value);
}

static void of_one_key_the_first_stays(void **state)
{
	struct otlp_attributes attributes = {0};

	(void)state;
	assert_int_equal(otlp_attributes_start(&attributes, 3), 0);
	otlp_attributes_add(&attributes, "host.name", "web1", false);
	otlp_attributes_add(&attributes, "os.type", "linux", false);
	otlp_attributes_add(&attributes, "host.name", "other", false);
	assert_int_equal(attributes.count, 2);
	check_text(&attributes, 0, "host.name", "web1");
	check_text(&attributes, 1, "os.type", "linux");
	otlp_attributes_free(&attributes);
}

/* It leaves the key to the next one. */
static void an_empty_value_is_none(void **state)
{
	struct otlp_attributes attributes = {0};

	(void)state;
	assert_int_equal(otlp_attributes_start(&attributes, 2), 0);
	otlp_attributes_add(&attributes, "service.name", "", false);
	otlp_attributes_add(&attributes, "service.name", "shop", false);
	assert_int_equal(attributes.count, 1);
	check_text(&attributes, 0, "service.name", "shop");
	otlp_attributes_free(&attributes);
}

static void a_number_is_one_only_where_it_is_asked_for_and_can_be(void **state)
{
	static const struct {
		const char *value;
		bool is_asked, is_number;
		int64_t number;
	} cases[] = {
	    {"200", true, true, 200},
	    {"0", true, true, 0},
	    {"007", true, true, 7},
	    {"999999999999999999", true, true, 999999999999999999},
	    {"1000000000000000000", true, false, 0},
	    {"200", false, false, 0},
	    {"2xx", true, false, 0},
	    {"-1", true, false, 0},
	    {" 1", true, false, 0},
	};
	struct otlp_attributes attributes = {0};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		const Otlp__AnyValue *value;

		assert_int_equal(otlp_attributes_start(&attributes, 1), 0);
		otlp_attributes_add(&attributes, "key", cases[i].value,
				    cases[i].is_asked);
		value = attributes.list[0]->value;
		if (!cases[i].is_number) {
			check_text(&attributes, 0, "key", cases[i].value);
			continue;
		}
		assert_int_equal(value->value_case, OTLP__ANY_VALUE__VALUE_INT_VALUE);
		assert_int_equal(value->int_value, cases[i].number);
	}
	otlp_attributes_free(&attributes);
}

static void what_starts_again_is_empty_and_may_be_longer(void **state)
{
	static const char *const keys[] = {"a", "b", "c", "d"};
	struct otlp_attributes attributes = {0};

	(void)state;
	for (size_t count = 0; count <= LENGTH(keys); count++) {
		assert_int_equal(otlp_attributes_start(&attributes, count), 0);
		assert_int_equal(attributes.count, 0);
		for (size_t i = 0; i < count; i++)
			otlp_attributes_add(&attributes, keys[i], "x", false);
		for (size_t i = 0; i < count; i++)
			check_text(&attributes, i, keys[i], "x");
		assert_int_equal(attributes.count, count);
	}
	otlp_attributes_free(&attributes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(of_one_key_the_first_stays),
	    cmocka_unit_test(an_empty_value_is_none),
	    cmocka_unit_test(a_number_is_one_only_where_it_is_asked_for_and_can_be),
	    cmocka_unit_test(what_starts_again_is_empty_and_may_be_longer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
