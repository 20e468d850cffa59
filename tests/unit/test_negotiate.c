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

struct format_case {
	const char *accept;
	enum text_format format;
};

static void assert_formats(const struct format_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		enum text_format format = negotiate_format(cases[i].accept);

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
	     TEXT_OPENMETRICS_1_0},
	    /* the same with native histograms */
	    {"application/vnd.google.protobuf;"
	     "proto=io.prometheus.client.MetricFamily;encoding=delimited," OM
	     ";version=1.0.0;q=0.8," OM ";version=0.0.1;q=0.75,"
	     "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
	     TEXT_OPENMETRICS_1_0},
	    /* Prometheus 3 */
	    {OM ";version=1.0.0;escaping=allow-utf-8;q=0.6," OM
		";version=0.0.1;q=0.5,text/plain;version=1.0.0;"
		"escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,"
		"*/*;q=0.2",
	     TEXT_OPENMETRICS_1_0},
	    /* Prometheus 3, scrape_protocols: [PrometheusText1.0.0] */
	    {"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.5",
	     TEXT_PROMETHEUS_0_0_4},
	    /* Firefox */
	    {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
	     TEXT_PROMETHEUS_0_0_4},
	    /* curl */
	    {"*/*", TEXT_PROMETHEUS_0_0_4},
	};

	(void)state;
	ASSERT_FORMATS(cases);
}

static void without_a_usable_clause_it_is_text(void **state)
{
	static const struct format_case cases[] = {
	    {NULL, TEXT_PROMETHEUS_0_0_4},
	    {"", TEXT_PROMETHEUS_0_0_4},
	    {",, ,", TEXT_PROMETHEUS_0_0_4},
	    {";;=;", TEXT_PROMETHEUS_0_0_4},
	    {"image/png", TEXT_PROMETHEUS_0_0_4},
	    {OM ";version=0.0.1", TEXT_PROMETHEUS_0_0_4},
	    {OM ";version=2.0.0", TEXT_PROMETHEUS_0_0_4},
	    {OM ";version=", TEXT_PROMETHEUS_0_0_4},
	    {OM "x", TEXT_PROMETHEUS_0_0_4},
	    {"x" OM, TEXT_PROMETHEUS_0_0_4},
	    {"*/*;q=0, " OM ";q=0, text/plain;q=0", TEXT_PROMETHEUS_0_0_4},
	};

	(void)state;
	ASSERT_FORMATS(cases);
}

static void the_highest_quality_wins_and_the_first_among_equals(void **state)
{
	static const struct format_case cases[] = {
	    {OM ",text/plain", TEXT_OPENMETRICS_1_0},
	    {"text/plain," OM, TEXT_PROMETHEUS_0_0_4},
	    {"text/plain;q=0.5," OM ";q=0.6", TEXT_OPENMETRICS_1_0},
	    {"text/plain;q=0.599," OM ";q=0.6", TEXT_OPENMETRICS_1_0},
	    {"text/plain;q=0.601," OM ";q=0.6", TEXT_PROMETHEUS_0_0_4},
	    {"text/plain;q=0.5," OM ";q=0.5", TEXT_PROMETHEUS_0_0_4},
	    {"text/plain;q=1.000," OM, TEXT_PROMETHEUS_0_0_4},
	    {"text/plain;q=0.9," OM ";q=1", TEXT_OPENMETRICS_1_0},
	    {"text/plain;q=.5," OM ";q=.6", TEXT_OPENMETRICS_1_0},
	};

	(void)state;
	ASSERT_FORMATS(cases);
}

static void the_most_specific_clause_for_a_format_decides(void **state)
{
	static const struct format_case cases[] = {
	    {OM ";q=0.3, text/plain;q=0.2, */*;q=0.9", TEXT_OPENMETRICS_1_0},
	    {"*/*;q=0.9, text/plain;q=0.2, " OM ";q=0.3", TEXT_OPENMETRICS_1_0},
	    {OM ";q=0.2, text/plain;q=0.3, */*;q=0.9", TEXT_PROMETHEUS_0_0_4},
	    {OM ";q=0.3, */*;q=0.9", TEXT_PROMETHEUS_0_0_4},
	    {"text/plain;q=0.3, */*;q=0.9", TEXT_OPENMETRICS_1_0},
	    {"text/*;q=0.3, */*;q=0.9", TEXT_OPENMETRICS_1_0},
	    {"application/*;q=0.3, */*;q=0.9", TEXT_PROMETHEUS_0_0_4},
	    {OM ";q=0.3, application/*;q=0.9, text/plain;q=0.5", TEXT_PROMETHEUS_0_0_4},
	    {OM ";version=1.0.0;q=0.3, " OM ";q=0.9, text/plain;q=0.5",
	     TEXT_PROMETHEUS_0_0_4},
	    {OM ";version=0.0.1;q=0.3, " OM ";q=0.9, text/plain;q=0.5",
	     TEXT_OPENMETRICS_1_0},
	    /* two versions that are both text */
	    {"text/plain;version=1.0.0;q=0.2, text/plain;version=0.0.4;q=0.6, " OM
	     ";q=0.5",
	     TEXT_PROMETHEUS_0_0_4},
	    {OM ";version=1.0.0;q=0, " OM ", text/plain;q=0.1", TEXT_PROMETHEUS_0_0_4},
	    {"application/*;q=0, " OM ";q=0.1", TEXT_OPENMETRICS_1_0},
	};

	(void)state;
	ASSERT_FORMATS(cases);
}

static void quality_zero_refuses(void **state)
{
	static const struct format_case cases[] = {
	    {OM ";q=0", TEXT_PROMETHEUS_0_0_4},
	    {OM ";q=0.000,*/*", TEXT_PROMETHEUS_0_0_4},
	    {"*/*, text/plain;q=0", TEXT_OPENMETRICS_1_0},
	    {"text/plain;q=0.0, */*;q=0.1", TEXT_OPENMETRICS_1_0},
	    {"*/*;q=0, " OM ";q=0.1", TEXT_OPENMETRICS_1_0},
	    {"application/*, " OM ";q=0", TEXT_PROMETHEUS_0_0_4},
	};

	(void)state;
	ASSERT_FORMATS(cases);
}

static void wildcards_cover_their_type(void **state)
{
	static const struct format_case cases[] = {
	    {"application/*", TEXT_OPENMETRICS_1_0},
	    {"text/*;q=0.5,application/*;q=0.6", TEXT_OPENMETRICS_1_0},
	    {"text/*;q=0.7,application/*;q=0.6", TEXT_PROMETHEUS_0_0_4},
	    {"*/*;q=0.5,application/*;q=0.6", TEXT_OPENMETRICS_1_0},
	};

	(void)state;
	ASSERT_FORMATS(cases);
}

static void spelling_that_the_grammar_allows_is_understood(void **state)
{
	static const struct format_case cases[] = {
	    {OM, TEXT_OPENMETRICS_1_0},
	    {"Application/OpenMetrics-Text;VERSION=1.0.0", TEXT_OPENMETRICS_1_0},
	    {OM ";version=\"1.0.0\"", TEXT_OPENMETRICS_1_0},
	    {"  " OM " \t; version = 1.0.0 ; q=0.5 ,text/plain;q=0.4",
	     TEXT_OPENMETRICS_1_0},
	    {OM ";Q=0.4,text/plain;q=0.5", TEXT_PROMETHEUS_0_0_4},
	    {OM ";charset=utf-8;version=1.0.0", TEXT_OPENMETRICS_1_0},
	    {OM ";q=0.9;version=1.0.0,text/plain;q=0.8", TEXT_OPENMETRICS_1_0},
	    /* separators inside a quoted string separate nothing */
	    {"text/html;x=\",text/plain\"," OM, TEXT_OPENMETRICS_1_0},
	    {"text/html;x=\"\\\",text/plain\"," OM, TEXT_OPENMETRICS_1_0},
	    {OM ";x=\";q=0\",text/plain", TEXT_OPENMETRICS_1_0},
	    {"text/plain;x=\"never closed," OM, TEXT_PROMETHEUS_0_0_4},
	    {OM ";;q=0.5;,text/plain;q=0.4", TEXT_OPENMETRICS_1_0},
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
		if (negotiate_format(accept) != TEXT_PROMETHEUS_0_0_4)
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
	    cmocka_unit_test(spelling_that_the_grammar_allows_is_understood),
	    cmocka_unit_test(a_quality_that_is_none_makes_its_clause_count_for_nothing),
	    cmocka_unit_test(gzip_is_used_when_the_client_likes_it_at_least_as_much),
	    cmocka_unit_test(no_bytes_lead_outside_the_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
