/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "negotiate.h"

#define OM "application/openmetrics-text"
#define PB "application/vnd.google.protobuf"
#define OURS ";proto=io.prometheus.client.MetricFamily;encoding=delimited"

struct format_case {
	const char *accept;
	enum exposition_format format;
};

static void assert_formats(const struct format_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		enum exposition_format format = negotiate_format(cases[i].accept);

		if (format != cases[i].format)
			fail_msg("Accept: %s: format %d", cases[i].accept, format);
	}
}

#define ASSERT_FORMATS(cases) assert_formats(cases, sizeof(cases) / sizeof((cases)[0]))

static void each_scraper_gets_the_format_it_prefers(void **state)
{
	static const struct format_case cases[] = {
	    /* Prometheus 2.42 */
	    {OM ";version=1.0.0," OM ";version=0.0.1;q=0.75,"
		"text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
	     EXPOSITION_OPENMETRICS},
	    /* the same with native histograms */
	    {PB OURS "," OM ";version=1.0.0;q=0.8," OM ";version=0.0.1;q=0.75,"
		     "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
	     EXPOSITION_PROTOBUF},
	    /* Prometheus 3 */
	    {OM ";version=1.0.0;escaping=allow-utf-8;q=0.6," OM
		";version=0.0.1;q=0.5,text/plain;version=1.0.0;"
		"escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,"
		"*/*;q=0.2",
	     EXPOSITION_OPENMETRICS},
	    /* the same with native histograms */
	    {PB OURS ";q=0.6," OM ";version=1.0.0;escaping=allow-utf-8;q=0.5," OM
		     ";version=0.0.1;q=0.4,text/plain;version=1.0.0;"
		     "escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,"
		     "*/*;q=0.1",
	     EXPOSITION_PROTOBUF},
	    /* Prometheus 3, scrape_protocols: [PrometheusText1.0.0] */
	    {"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.5",
	     EXPOSITION_TEXT},
	    /* Firefox */
	    {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
	     EXPOSITION_TEXT},
	    /* curl */
	    {"*/*", EXPOSITION_TEXT},
	};

	(void)state;
	ASSERT_FORMATS(cases);
}

static void without_a_usable_clause_it_is_text(void **state)
{
	static const struct format_case cases[] = {
	    {NULL, EXPOSITION_TEXT},
	    {"", EXPOSITION_TEXT},
	    {",, ,", EXPOSITION_TEXT},
	    {";;=;", EXPOSITION_TEXT},
	    {"image/png", EXPOSITION_TEXT},
	    {OM ";version=0.0.1", EXPOSITION_TEXT},
	    {OM ";version=2.0.0", EXPOSITION_TEXT},
	    {OM ";version=", EXPOSITION_TEXT},
	    {OM "x", EXPOSITION_TEXT},
	    {"x" OM, EXPOSITION_TEXT},
	    {"*/*;q=0, " OM ";q=0, text/plain;q=0", EXPOSITION_TEXT},
	};

	(void)state;
	ASSERT_FORMATS(cases);
}

static void the_highest_quality_wins_and_the_first_among_equals(void **state)
{
	static const struct format_case cases[] = {
	    {OM ",text/plain", EXPOSITION_OPENMETRICS},
	    {"text/plain," OM, EXPOSITION_TEXT},
	    {"text/plain;q=0.5," OM ";q=0.6", EXPOSITION_OPENMETRICS},
	    {"text/plain;q=0.599," OM ";q=0.6", EXPOSITION_OPENMETRICS},
	    {"text/plain;q=0.601," OM ";q=0.6", EXPOSITION_TEXT},
	    {"text/plain;q=0.5," OM ";q=0.5", EXPOSITION_TEXT},
	    {"text/plain;q=1.000," OM, EXPOSITION_TEXT},
	    {"text/plain;q=0.9," OM ";q=1", EXPOSITION_OPENMETRICS},
	    {"text/plain;q=.5," OM ";q=.6", EXPOSITION_OPENMETRICS},
	};

	(void)state;
	ASSERT_FORMATS(cases);
}

static void the_most_specific_clause_for_a_format_decides(void **state)
{
	static const struct format_case cases[] = {
	    {OM ";q=0.3, text/plain;q=0.2, */*;q=0.9", EXPOSITION_OPENMETRICS},
	    {"*/*;q=0.9, text/plain;q=0.2, " OM ";q=0.3", EXPOSITION_OPENMETRICS},
	    {OM ";q=0.2, text/plain;q=0.3, */*;q=0.9", EXPOSITION_TEXT},
	    {OM ";q=0.3, */*;q=0.9", EXPOSITION_TEXT},
	    {"text/plain;q=0.3, */*;q=0.9", EXPOSITION_OPENMETRICS},
	    {"text/*;q=0.3, */*;q=0.9", EXPOSITION_OPENMETRICS},
	    {"application/*;q=0.3, */*;q=0.9", EXPOSITION_TEXT},
	    {OM ";q=0.3, application/*;q=0.9, text/plain;q=0.5", EXPOSITION_TEXT},
	    {OM ";version=1.0.0;q=0.3, " OM ";q=0.9, text/plain;q=0.5",
	     EXPOSITION_TEXT},
	    {OM ";version=0.0.1;q=0.3, " OM ";q=0.9, text/plain;q=0.5",
	     EXPOSITION_OPENMETRICS},
	    /* two versions that are both text */
	    {"text/plain;version=1.0.0;q=0.2, text/plain;version=0.0.4;q=0.6, " OM
	     ";q=0.5",
	     EXPOSITION_TEXT},
	    {OM ";version=1.0.0;q=0, " OM ", text/plain;q=0.1", EXPOSITION_TEXT},
	    {"application/*;q=0, " OM ";q=0.1", EXPOSITION_OPENMETRICS},
	};

	(void)state;
	ASSERT_FORMATS(cases);
}

static void quality_zero_refuses(void **state)
{
	static const struct format_case cases[] = {
	    {OM ";q=0", EXPOSITION_TEXT},
	    {OM ";q=0.000,*/*", EXPOSITION_TEXT},
	    {"*/*, text/plain;q=0", EXPOSITION_OPENMETRICS},
	    {"text/plain;q=0.0, */*;q=0.1", EXPOSITION_OPENMETRICS},
	    {"*/*;q=0, " OM ";q=0.1", EXPOSITION_OPENMETRICS},
	    {"application/*, " OM ";q=0", EXPOSITION_TEXT},
	};

	(void)state;
	ASSERT_FORMATS(cases);
}

static void wildcards_cover_their_type(void **state)
{
	static const struct format_case cases[] = {
	    {"application/*", EXPOSITION_OPENMETRICS},
	    {"text/*;q=0.5,application/*;q=0.6", EXPOSITION_OPENMETRICS},
	    {"text/*;q=0.7,application/*;q=0.6", EXPOSITION_TEXT},
	    {"*/*;q=0.5,application/*;q=0.6", EXPOSITION_OPENMETRICS},
	};

	(void)state;
	ASSERT_FORMATS(cases);
}

static void protobuf_is_for_those_who_name_its_message_and_encoding(void **state)
{
	static const struct format_case cases[] = {
	    {PB OURS, EXPOSITION_PROTOBUF},
	    {PB ";encoding=delimited;proto=io.prometheus.client.MetricFamily",
	     EXPOSITION_PROTOBUF},
	    {PB ";proto=\"io.prometheus.client.MetricFamily\";encoding=\"delimited\"",
	     EXPOSITION_PROTOBUF},
	    {PB, EXPOSITION_TEXT},
	    {PB ";proto=io.prometheus.client.MetricFamily", EXPOSITION_TEXT},
	    {PB ";proto=io.prometheus.client.MetricFamily;encoding=text",
	     EXPOSITION_TEXT},
	    {PB ";proto=io.prometheus.client.MetricFamily;encoding=compact-text",
	     EXPOSITION_TEXT},
	    {PB ";proto=io.prometheus.client.Metric;encoding=delimited",
	     EXPOSITION_TEXT},
	    {PB ";encoding=delimited", EXPOSITION_TEXT},
	    {"application/*", EXPOSITION_OPENMETRICS},
	    {PB OURS ";q=0", EXPOSITION_TEXT},
	    {PB OURS ";q=0.4," OM ";q=0.5", EXPOSITION_OPENMETRICS},
	    {PB OURS ";q=0.5," OM ";q=0.4", EXPOSITION_PROTOBUF},
	    {PB OURS "," OM ",text/plain", EXPOSITION_PROTOBUF},
	    {OM "," PB OURS, EXPOSITION_OPENMETRICS},
	    {"text/plain," PB OURS, EXPOSITION_TEXT},
	    {"*/*;q=0.5," PB OURS ";q=0.4", EXPOSITION_TEXT},
	};

	(void)state;
	ASSERT_FORMATS(cases);
}

static void spelling_that_the_grammar_allows_is_understood(void **state)
{
	static const struct format_case cases[] = {
	    {OM, EXPOSITION_OPENMETRICS},
	    {"Application/OpenMetrics-Text;VERSION=1.0.0", EXPOSITION_OPENMETRICS},
	    {OM ";version=\"1.0.0\"", EXPOSITION_OPENMETRICS},
	    {"  " OM " \t; version = 1.0.0 ; q=0.5 ,text/plain;q=0.4",
	     EXPOSITION_OPENMETRICS},
	    {OM ";Q=0.4,text/plain;q=0.5", EXPOSITION_TEXT},
	    {OM ";charset=utf-8;version=1.0.0", EXPOSITION_OPENMETRICS},
	    {OM ";q=0.9;version=1.0.0,text/plain;q=0.8", EXPOSITION_OPENMETRICS},
	    /* separators inside a quoted string separate nothing */
	    {"text/html;x=\",text/plain\"," OM, EXPOSITION_OPENMETRICS},
	    {"text/html;x=\"\\\",text/plain\"," OM, EXPOSITION_OPENMETRICS},
	    {OM ";x=\";q=0\",text/plain", EXPOSITION_OPENMETRICS},
	    {"text/plain;x=\"never closed," OM, EXPOSITION_TEXT},
	    {OM ";;q=0.5;,text/plain;q=0.4", EXPOSITION_OPENMETRICS},
	};

	(void)state;
	ASSERT_FORMATS(cases);
}

static void a_quality_that_is_none_makes_its_clause_count_for_nothing(void **state)
{
	static const char *const qualities[] = {"",     "x",    "1.001", "2",   "-1",
						"0.5x", "1..0", "00.5",  "nan", "0x1",
						"1e-1", ".",    " "};
	char accept[100];

	(void)state;
	for (size_t i = 0; i < sizeof(qualities) / sizeof(qualities[0]); i++) {
		strcpy(accept, OM ";q=");
		strcat(accept, qualities[i]);
		strcat(accept, ",text/plain;q=0.001");
		if (negotiate_format(accept) != EXPOSITION_TEXT)
			fail_msg("Accept: %s", accept);
	}
}

static void gzip_is_used_when_the_client_likes_it_at_least_as_much(void **state)
{
	static const struct {
		const char *accept_encoding;
		bool gzip;
	} cases[] = {
	    {NULL, false},
	    {"", false},
	    {"gzip", true},
	    {"GZIP", true},
	    {"x-gzip", true},
	    {"identity", false},
	    {"deflate, br, zstd", false},
	    {"gzip, deflate, br, zstd", true},
	    {"deflate,gzip;q=0.1", true},
	    {"gzip;q=0", false},
	    {"gzip;q=0.000", false},
	    {"gzip;q=0.001", true},
	    {"gzip;q=x", false},
	    {"gzipx", false},
	    {"*", true},
	    {"*;q=0", false},
	    {"*;q=0.5", true},
	    {"gzip;q=0, *", false},
	    {"identity;q=0", false},
	    {"gzip, identity;q=0", true},
	    {"gzip, identity", true},
	    {"gzip;q=0.5, identity;q=0.5", true},
	    {"gzip;q=0.5, identity;q=0.6", false},
	    {"gzip;q=0.6, identity;q=0.5", true},
	    {"identity, gzip;q=0.9", false},
	    {"gzip;q=0.3, *;q=0.8", false},
	    {"identity;q=0.5, *;q=0.4", false},
	    {"identity;q=0.5, *;q=0.6", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (negotiate_gzip(cases[i].accept_encoding) != cases[i].gzip)
			fail_msg("Accept-Encoding: %s", cases[i].accept_encoding);
	}
}

/* ASan sees a read outside the allocation, which has the text's exact size. */
static void no_bytes_lead_outside_the_header(void **state)
{
	static const char alphabet[] = "a/*;,=q\" \\.01\t";
	unsigned int seed = 20260801;

	(void)state;
	print_message("seed %u\n", seed);
	for (unsigned int i = 0; i < 20000; i++) {
		size_t len = (size_t)rand_r(&seed) % 24;
		char *header = malloc(len + 1);

		assert_non_null(header);
		for (size_t j = 0; j < len; j++)
			header[j] =
			    alphabet[(size_t)rand_r(&seed) % (sizeof(alphabet) - 1)];
		header[len] = '\0';
		negotiate_format(header);
		negotiate_gzip(header);
		free(header);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_scraper_gets_the_format_it_prefers),
	    cmocka_unit_test(without_a_usable_clause_it_is_text),
	    cmocka_unit_test(the_highest_quality_wins_and_the_first_among_equals),
	    cmocka_unit_test(the_most_specific_clause_for_a_format_decides),
	    cmocka_unit_test(quality_zero_refuses),
	    cmocka_unit_test(wildcards_cover_their_type),
	    cmocka_unit_test(protobuf_is_for_those_who_name_its_message_and_encoding),
	    cmocka_unit_test(spelling_that_the_grammar_allows_is_understood),
	    cmocka_unit_test(a_quality_that_is_none_makes_its_clause_count_for_nothing),
	    cmocka_unit_test(gzip_is_used_when_the_client_likes_it_at_least_as_much),
	    cmocka_unit_test(no_bytes_lead_outside_the_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
