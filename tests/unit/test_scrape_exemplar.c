/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "scrape_exemplar.h"

#define SAMPLE_MS 5000

static struct scrape_exemplar *maker;

static int create(void **state)
{
	(void)state;
	return scrape_exemplar_create(&maker);
}

static int destroy(void **state)
{
	(void)state;
	scrape_exemplar_free(&maker);
	return maker != NULL;
}

/* What comes out, as "{a=b,c=d} 1 @5000", or "none". */
static const char *made_at(struct scrape_exemplar_last *last, const char *text,
			   int64_t sample_ms)
{
	static char body[4096], shown[4096];
	static struct textparse parser;
	struct textparse_entry entry;
	const struct exemplar *exemplar;
	char *at = shown;
	double value;

	snprintf(body, sizeof(body), "a_total 1 # %s\n", text);
	textparse_init(&parser, TEXTPARSE_OPENMETRICS, body, strlen(body));
	assert_int_equal(textparse_next(&parser, &entry), TEXTPARSE_SAMPLE);
	exemplar = scrape_exemplar_make(maker, &entry.exemplar, sample_ms, last);
	if (!exemplar)
		return "none";
	at += sprintf(at, "{");
	for (size_t i = 0; i < exemplar->label_count; i++)
		at += sprintf(at, "%s%s=%s", i ? "," : "", exemplar->labels[i].name,
			      exemplar->labels[i].value);
	memcpy(&value, &exemplar->bits, sizeof(value));
	sprintf(at, "} %g @%lld", value, (long long)exemplar->time_ms);
	return shown;
}

static const char *made(struct scrape_exemplar_last *last, const char *text)
{
	return made_at(last, text, SAMPLE_MS);
}

static const char *made_alone(const char *text)
{
	struct scrape_exemplar_last last = {0};

	return made(&last, text);
}

static void it_is_what_the_body_says(void **state)
{
	(void)state;
	assert_string_equal(made_alone("{} 1"), "{} 1 @5000");
	assert_string_equal(made_alone("{b=\"c\",a=\"d\"} 0.5 1.25"),
			    "{a=d,b=c} 0.5 @1250");
	/* As Prometheus stores them. */
	assert_string_equal(made_alone("{a=\"\\n\\\"\"} 1"), "{a=\\n\\\"} 1 @5000");
	assert_string_equal(made_alone("{a=\"\",b=\"c\"} 1"), "{b=c} 1 @5000");
	assert_string_equal(made_alone("{a=\"b\",a=\"c\"} 1"), "none");
}

static void labels_have_128_characters_at_most(void **state)
{
	char text[1024];
	size_t len = (size_t)sprintf(text, "{a=\"");

	(void)state;
	for (int i = 0; i < 127; i++)
		len += (size_t)sprintf(text + len, "\xf0\x9f\x98\x80");
	strcpy(text + len, "\"} 1");
	assert_string_not_equal(made_alone(text), "none");
	strcpy(text + len, "b\"} 1");
	assert_string_equal(made_alone(text), "none");
}

static void the_same_one_again_is_none(void **state)
{
	struct scrape_exemplar_last last = {0};

	(void)state;
	assert_string_equal(made_at(&last, "{a=\"b\"} 1", 1000), "{a=b} 1 @1000");
	assert_string_equal(made_at(&last, "{a=\"b\"} 1", 2000), "none");
	assert_string_equal(made_at(&last, "{a=\"b\"} 2", 3000), "{a=b} 2 @3000");
	assert_string_equal(made_at(&last, "{a=\"c\"} 2", 4000), "{a=c} 2 @4000");
	assert_string_equal(made_at(&last, "{b=\"c\"} 2", 5000), "{b=c} 2 @5000");
	assert_string_equal(made_at(&last, "{c=\"b\"} 2", 6000), "{c=b} 2 @6000");
	/* A time of its own makes it another one. */
	assert_string_equal(made_at(&last, "{c=\"b\"} 2 7", 0), "{c=b} 2 @7000");
	assert_string_equal(made_at(&last, "{c=\"b\"} 2 7", 0), "none");
	assert_string_equal(made_at(&last, "{c=\"b\"} 2 8", 0), "{c=b} 2 @8000");
	/* NaN is not equal to itself. */
	assert_string_equal(made_at(&last, "{} NaN", 9000), "{} nan @9000");
	assert_string_equal(made_at(&last, "{} NaN", 9001), "{} nan @9001");
}

static void one_that_is_not_later_is_none(void **state)
{
	struct scrape_exemplar_last last = {0};

	(void)state;
	assert_string_equal(made(&last, "{a=\"b\"} 1 4"), "{a=b} 1 @4000");
	assert_string_equal(made(&last, "{a=\"c\"} 1 4"), "none");
	assert_string_equal(made(&last, "{a=\"c\"} 1 3.999"), "none");
	assert_string_equal(made(&last, "{a=\"c\"} 1 4.001"), "{a=c} 1 @4001");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_is_what_the_body_says),
	    cmocka_unit_test(labels_have_128_characters_at_most),
	    cmocka_unit_test(the_same_one_again_is_none),
	    cmocka_unit_test(one_that_is_not_later_is_none),
	};

	return cmocka_run_group_tests(tests, create, destroy);
}
