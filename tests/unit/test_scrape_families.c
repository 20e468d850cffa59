/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "length.h"
#include "scrape_families.h"

#define TEXT TEXTPARSE_PROMETHEUS
#define OPEN TEXTPARSE_OPENMETRICS

static struct scrape_families *create(void **state)
{
	struct scrape_families *families = NULL;

	(void)state;
	assert_int_equal(scrape_families_create(&families), 0);
	return families;
}

/* What the body says; not yet what holds. */
static void note(struct scrape_families *families, enum textparse_format format,
		 const char *body)
{
	static struct textparse parser;
	struct textparse_entry entry;
	enum textparse_kind kind;

	textparse_init(&parser, format, body, strlen(body));
	while ((kind = textparse_next(&parser, &entry)) > TEXTPARSE_INVALID)
		assert_int_equal(scrape_families_note(families, format, kind, &entry),
				 0);
}

static void scrape(struct scrape_families *families, enum textparse_format format,
		   const char *body)
{
	scrape_families_begin(families);
	note(families, format, body);
	assert_int_equal(scrape_families_commit(families), 0);
}

static const struct family *find(const struct scrape_families *families,
				 const char *metric)
{
	return scrape_families_find(families, slice_of(metric));
}

static void what_is_not_spoken_of_is_unknown(void **state)
{
	struct scrape_families *families = create(state);

	scrape(families, TEXT, "");
	assert_ptr_equal(find(families, "a"), &scrape_families_unknown);
	assert_ptr_equal(find(families, ""), &scrape_families_unknown);
	scrape_families_free(&families);
	assert_null(families);
}

static void a_family_is_what_its_lines_say(void **state)
{
	struct scrape_families *families = create(state);
	const struct family *family;

	scrape(families, TEXT, "# HELP a b\\n\\\\\\\"\n# TYPE a counter\n");
	family = find(families, "a");
	assert_string_equal(family->name, "a");
	assert_string_equal(family->help, "b\n\\\\\"");
	assert_string_equal(family->unit, "");
	assert_int_equal(family->type, METRIC_COUNTER);
	assert_int_equal(family->order, FAMILY_SCRAPED);
	scrape(families, OPEN,
	       "# TYPE c_s gauge\n# UNIT c_s s\n# HELP c_s \\\"\n# EOF\n");
	family = find(families, "c_s");
	assert_string_equal(family->help, "\"");
	assert_string_equal(family->unit, "s");
	assert_int_equal(family->type, METRIC_GAUGE);
	scrape(families, TEXT, "# HELP \"d\\\\e\" f\n");
	assert_string_equal(find(families, "d\\e")->help, "f");
	assert_int_equal(find(families, "d\\e")->type, METRIC_UNKNOWN);
	scrape_families_free(&families);
}

static void parts_belong_to_the_family_that_has_them(void **state)
{
	static const struct {
		const char *metric, *family;
	} cases[] = {
	    {"h_bucket", "h"},   {"h_sum", "h"},     {"h_count", "h"},
	    {"h_created", "h"},  {"h", "h"},         {"h_total", ""},
	    {"h_info", ""},      {"s", "s"},         {"s_sum", "s"},
	    {"s_count", "s"},    {"s_created", "s"}, {"s_bucket", ""},
	    {"c_total", "c"},    {"c_created", "c"}, {"c", "c"},
	    {"c_sum", ""},       {"i_info", "i"},    {"g_gcount", "g"},
	    {"g_gsum", "g"},     {"g_bucket", "g"},  {"g_count", ""},
	    {"u_total", ""},     {"_total", ""},     {"h_sum_sum", "h_sum_sum"},
	    {"h_sum_count", ""},
	};
	struct scrape_families *families = create(state);

	scrape(families, OPEN,
	       "# TYPE h histogram\n# TYPE s summary\n# TYPE c counter\n"
	       "# TYPE i info\n# TYPE g gaugehistogram\n# TYPE u unknown\n"
	       "# TYPE h_sum_sum gauge\n# EOF\n");
	for (size_t i = 0; i < LENGTH(cases); i++) {
		assert_string_equal(find(families, cases[i].metric)->name,
				    cases[i].family);
	}
	scrape_families_free(&families);
}

static void the_family_of_its_own_name_comes_first(void **state)
{
	struct scrape_families *families = create(state);

	scrape(families, TEXT, "# TYPE h histogram\n# TYPE h_sum gauge\n");
	assert_string_equal(find(families, "h_sum")->name, "h_sum");
	assert_string_equal(find(families, "h_count")->name, "h");
	scrape_families_free(&families);
}

static void what_stays_the_same_is_the_same_family(void **state)
{
	struct scrape_families *families = create(state);
	const char *body = "# HELP a b\n# TYPE a gauge\n";
	const struct family *family;
	uint64_t generation;

	scrape(families, TEXT, body);
	family = find(families, "a");
	generation = scrape_families_generation(families);
	for (int i = 0; i < 20; i++)
		scrape(families, TEXT, body);
	assert_ptr_equal(find(families, "a"), family);
	assert_int_equal(scrape_families_generation(families), generation);
	scrape_families_free(&families);
}

static void what_has_changed_is_a_new_family_beside_the_old_one(void **state)
{
	struct scrape_families *families = create(state);
	const struct family *old;
	uint64_t generation;

	scrape(families, TEXT, "# HELP a b\n# TYPE a gauge\n");
	old = find(families, "a");
	generation = scrape_families_generation(families);
	scrape(families, TEXT, "# HELP a c\n# TYPE a gauge\n");
	assert_int_equal(scrape_families_generation(families), generation + 1);
	assert_ptr_not_equal(find(families, "a"), old);
	assert_string_equal(find(families, "a")->help, "c");
	assert_string_equal(old->help, "b");
	scrape(families, TEXT, "# TYPE a counter\n");
	assert_string_equal(find(families, "a")->help, "c");
	assert_int_equal(find(families, "a")->type, METRIC_COUNTER);
	scrape_families_free(&families);
}

static void a_body_that_comes_to_nothing_changes_nothing(void **state)
{
	struct scrape_families *families = create(state);
	const struct family *family;

	scrape(families, TEXT, "# HELP a b\n# TYPE a gauge\n");
	family = find(families, "a");
	scrape_families_begin(families);
	note(families, TEXT, "# HELP a c\n# TYPE a counter\n# TYPE d counter\n");
	assert_ptr_equal(find(families, "a"), family);
	assert_ptr_equal(find(families, "d"), &scrape_families_unknown);
	scrape(families, TEXT, "# HELP a b\n# TYPE a gauge\n");
	assert_ptr_equal(find(families, "a"), family);
	scrape(families, TEXT, "# TYPE d gauge\n");
	assert_int_equal(find(families, "d")->type, METRIC_GAUGE);
	scrape_families_free(&families);
}

static void a_name_is_forgotten_after_ten_scrapes_without_it(void **state)
{
	struct scrape_families *families = create(state);
	uint64_t generation;

	scrape(families, TEXT, "# TYPE a gauge\n");
	generation = scrape_families_generation(families);
	for (int i = 0; i < 10; i++)
		scrape(families, TEXT, "");
	assert_string_equal(find(families, "a")->name, "a");
	assert_int_equal(scrape_families_generation(families), generation);
	scrape(families, TEXT, "");
	assert_ptr_equal(find(families, "a"), &scrape_families_unknown);
	assert_int_equal(scrape_families_generation(families), generation + 1);
	scrape_families_free(&families);
}

static void there_are_no_more_than_the_limit(void **state)
{
	struct scrape_families *families = create(state);
	char body[64];

	scrape_families_begin(families);
	for (int i = 0; i <= SCRAPE_FAMILIES_MAX; i++) {
		snprintf(body, sizeof(body), "# TYPE a%d gauge\n", i);
		note(families, TEXT, body);
		/* A new one copies its strings. */
		if (i % 1000 == 0)
			assert_int_equal(scrape_families_commit(families), 0);
	}
	assert_int_equal(scrape_families_commit(families), 0);
	snprintf(body, sizeof(body), "a%d", SCRAPE_FAMILIES_MAX - 1);
	assert_string_equal(find(families, body)->name, body);
	snprintf(body, sizeof(body), "a%d", SCRAPE_FAMILIES_MAX);
	assert_ptr_equal(find(families, body), &scrape_families_unknown);
	scrape_families_free(&families);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_not_spoken_of_is_unknown),
	    cmocka_unit_test(a_family_is_what_its_lines_say),
	    cmocka_unit_test(parts_belong_to_the_family_that_has_them),
	    cmocka_unit_test(the_family_of_its_own_name_comes_first),
	    cmocka_unit_test(what_stays_the_same_is_the_same_family),
	    cmocka_unit_test(what_has_changed_is_a_new_family_beside_the_old_one),
	    cmocka_unit_test(a_body_that_comes_to_nothing_changes_nothing),
	    cmocka_unit_test(a_name_is_forgotten_after_ten_scrapes_without_it),
	    cmocka_unit_test(there_are_no_more_than_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
