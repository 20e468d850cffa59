/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "config_value.h"
#include "length.h"

static void numbers_are_digits_within_their_range(void **state)
{
	static const char *const bad[] = {"",
					  "-1",
					  "+1",
					  " 1",
					  "1 ",
					  "0x1",
					  "1.0",
					  "1e3",
					  "1_000",
					  "0",
					  "65536",
					  "18446744073709551616",
					  "99999999999999999999999"};
	uint64_t number = 7;

	(void)state;
	for (size_t i = 0; i < LENGTH(bad); i++)
		assert_false(value_number(bad[i], 1, 65535, &number));
	assert_int_equal(number, 7);
	assert_true(value_number("1", 1, 65535, &number));
	assert_int_equal(number, 1);
	assert_true(value_number("65535", 1, 65535, &number));
	assert_int_equal(number, 65535);
	assert_true(value_number("18446744073709551615", 0, UINT64_MAX, &number));
	assert_true(number == UINT64_MAX);
}

static void integers_may_be_below_zero(void **state)
{
	static const struct {
		const char *text;
		int64_t number;
	} good[] = {
	    {"0", 0},
	    {"-0", 0},
	    {"-1", -1},
	    {"007", 7},
	    {"9223372036854775807", INT64_MAX},
	    {"-9223372036854775808", INT64_MIN},
	};
	static const char *const bad[] = {"",
					  "-",
					  "--1",
					  "+1",
					  "- 1",
					  "1.0",
					  "9223372036854775808",
					  "1 ",
					  "0x1",
					  "-9223372036854775809",
					  "-18446744073709551615"};
	int64_t number = 7;

	(void)state;
	for (size_t i = 0; i < LENGTH(bad); i++)
		assert_false(value_integer(bad[i], &number));
	assert_int_equal(number, 7);
	for (size_t i = 0; i < LENGTH(good); i++) {
		assert_true(value_integer(good[i].text, &number));
		assert_true(number == good[i].number);
	}
}

static void doubles_are_decimal_and_finite(void **state)
{
	static const struct {
		const char *text;
		double number;
	} good[] = {
	    {"0", 0},  {"-1", -1},    {"+2", 2},       {"0.25", 0.25}, {".5", 0.5},
	    {"5.", 5}, {"1e3", 1000}, {"25E-2", 0.25}, {"1e+1", 10},
	};
	static const char *const bad[] = {
	    "",    "-",     ".",  "e",  "1e",  "1e999", "inf", "nan", "+Inf",
	    "0x1", "0x1p2", " 1", "1 ", "1,5", "1.2.3", "1-1", "0b1"};
	double number = 7;

	(void)state;
	for (size_t i = 0; i < LENGTH(bad); i++)
		assert_false(value_double(bad[i], &number));
	assert_true(number >= 7 && number <= 7);
	for (size_t i = 0; i < LENGTH(good); i++) {
		assert_true(value_double(good[i].text, &number));
		assert_true(number >= good[i].number && number <= good[i].number);
	}
}

static void metric_names_have_no_colon(void **state)
{
	static const char *const bad[] = {"", "1a", "a:b", "a-b", "a b", "\xc3\xa9"};

	(void)state;
	for (size_t i = 0; i < LENGTH(bad); i++)
		assert_false(value_is_metric_name(bad[i]));
	assert_true(value_is_metric_name("a"));
	assert_true(value_is_metric_name("__Az_9"));
}

static void durations_are_prometheus_spelling(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} good[] = {
	    {"0", 0},
	    {"0s", 0},
	    {"500ms", 500},
	    {"30s", 30000},
	    {"1m30s", 90000},
	    {"5m", 300000},
	    {"2h", 7200000},
	    {"1d", 86400000},
	    {"1w", 604800000},
	    {"1y", 31536000000ull},
	    {"1m1ms", 60001},
	    {"90s", 90000},
	    {"1y2w3d4h5m6s7ms", 33019506007ull},
	    {"18446744073709551615ms", UINT64_MAX},
	};
	static const char *const bad[] = {"",
					  "1",
					  "s",
					  "1.5s",
					  "-1s",
					  "1s1m",
					  "1s1s",
					  "1 s",
					  "1S",
					  "1us",
					  "1m30",
					  "00",
					  "1sm",
					  "0 ",
					  "1ms1s",
					  "18446744073709551615s",
					  "18446744073709551616ms",
					  "1s18446744073709551615ms"};
	uint64_t ms = 7;

	(void)state;
	for (size_t i = 0; i < LENGTH(bad); i++) {
		if (value_duration_ms(bad[i], &ms))
			fail_msg("'%s' was taken", bad[i]);
	}
	assert_int_equal(ms, 7);
	for (size_t i = 0; i < LENGTH(good); i++) {
		assert_true(value_duration_ms(good[i].text, &ms));
		assert_true(ms == good[i].ms);
	}
}

static void sizes_are_prometheus_spelling(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
	    {"0B", 0},
	    {"1B", 1},
	    {"512MB", 512 << 20},
	    {"512MiB", 512 << 20},
	    {"1KB", 1024},
	    {"2GiB", 2ull << 30},
	    {"1TB", 1ull << 40},
	    {"16777215TB", 16777215ull << 40},
	};
	static const char *const bad[] = {"",    "1",     "MB",        "1.5MB",
					  "1mb", "1 MB",  "-1MB",      "1MBs",
					  "1PB", "0x1KB", "16777216TB"};
	uint64_t bytes = 7;

	(void)state;
	for (size_t i = 0; i < LENGTH(bad); i++) {
		if (value_bytes(bad[i], &bytes))
			fail_msg("'%s' was taken", bad[i]);
	}
	assert_int_equal(bytes, 7);
	for (size_t i = 0; i < LENGTH(good); i++) {
		assert_true(value_bytes(good[i].text, &bytes));
		assert_true(bytes == good[i].bytes);
	}
}

static void proxies_are_urls_that_may_hold_a_password(void **state)
{
	static const char *const good[] = {"http://p", "https://u:p@p:8080/",
					   "SOCKS5://p:1", "socks5h://p"};
	static const char *const bad[] = {"",          "p:3128",     "http://",
					  "ftp://p",   "http://a b", "http://p\n",
					  "socks4://p"};

	(void)state;
	for (size_t i = 0; i < LENGTH(good); i++)
		assert_true(value_is_proxy_url(good[i]));
	for (size_t i = 0; i < LENGTH(bad); i++)
		assert_false(value_is_proxy_url(bad[i]));
}

static void durations_print_in_the_largest_whole_unit(void **state)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} cases[] = {{0, "0s"},         {1, "1ms"},
		     {1500, "1500ms"},  {90000, "90s"},
		     {300000, "5m"},    {86400000, "1d"},
		     {604800000, "1w"}, {31536000000ull, "1y"}};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		char text[VALUE_DURATION_LEN];

		value_duration_text(cases[i].ms, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void flags_are_the_words_of_yaml(void **state)
{
	static const char *const yes[] = {"true", "True", "TRUE", "yes",
					  "Yes",  "on",   "ON"};
	static const char *const no[] = {"false", "False", "FALSE", "no", "NO", "off"};
	static const char *const bad[] = {"",     "1",   "0",     "y",
					  "tRUE", "yEs", "yesno", "true "};
	bool flag = false;

	(void)state;
	for (size_t i = 0; i < LENGTH(bad); i++)
		assert_false(value_flag(bad[i], &flag));
	for (size_t i = 0; i < LENGTH(yes); i++) {
		flag = false;
		assert_true(value_flag(yes[i], &flag) && flag);
	}
	for (size_t i = 0; i < LENGTH(no); i++) {
		flag = true;
		assert_true(value_flag(no[i], &flag) && !flag);
	}
}

static void utf8_has_no_overlong_surrogate_or_cut_form(void **state)
{
	static const char *const good[] = {"",
					   "a",
					   "\x7f",
					   "\xc2\x80",
					   "\xdf\xbf",
					   "\xe0\xa0\x80",
					   "\xed\x9f\xbf",
					   "\xef\xbf\xbf",
					   "\xf0\x90\x80\x80",
					   "\xf4\x8f\xbf\xbf"};
	static const char *const bad[] = {"\x80",
					  "\xc1\xbf",
					  "\xc2",
					  "\xc2z",
					  "\xe0\x9f\xbf",
					  "\xed\xa0\x80",
					  "\xe1\x80",
					  "\xe1\x80z",
					  "\xf0\x8f\xbf\xbf",
					  "\xf4\x90\x80\x80",
					  "\xf5\x80\x80\x80",
					  "\xff",
					  "\xf1\x80\x80",
					  "a\xc3"};

	(void)state;
	for (size_t i = 0; i < LENGTH(good); i++)
		assert_true(value_is_utf8(good[i]));
	for (size_t i = 0; i < LENGTH(bad); i++)
		assert_false(value_is_utf8(bad[i]));
}

static void label_names_are_the_data_models(void **state)
{
	static const char *const good[] = {"a", "_", "_a", "A9", "cluster_1"};
	static const char *const bad[] = {"",         "9a", "a-b",      "a.b", "a b",
					  "__name__", "__", "\xc3\xa4", "a:b"};

	(void)state;
	for (size_t i = 0; i < LENGTH(good); i++)
		assert_true(value_is_label_name(good[i]));
	for (size_t i = 0; i < LENGTH(bad); i++)
		assert_false(value_is_label_name(bad[i]));
}

static void headers_hold_what_http_can_carry(void **state)
{
	(void)state;
	assert_true(value_is_header_name("X-Scope-OrgID"));
	assert_true(value_is_header_name("a!#$%&'*+-.^_`|~9"));
	assert_false(value_is_header_name(""));
	assert_false(value_is_header_name("a b"));
	assert_false(value_is_header_name("a:"));
	assert_false(value_is_header_name("a\r\nb"));
	assert_false(value_is_header_name("\xc3\xa4"));
	assert_true(value_is_header_value("a"));
	assert_true(value_is_header_value("a b\tc"));
	assert_true(value_is_header_value("\xc3\xa4"));
	assert_false(value_is_header_value(""));
	assert_false(value_is_header_value(" a"));
	assert_false(value_is_header_value("a\t"));
	assert_false(value_is_header_value("a\nX-Other: b"));
	assert_false(value_is_header_value("a\rb"));
	assert_false(value_is_header_value("a\x7f"));
	assert_false(value_is_header_value("a\x01"));
}

static void urls_are_absolute_http_without_user(void **state)
{
	static const char *const good[] = {"http://a",
					   "https://a.example/api/v1/push",
					   "HTTPS://A:1/",
					   "http://127.0.0.1:65535",
					   "http://[::1]:9090/x?y=@",
					   "http://a?b",
					   "http://[fe80::1]/",
					   "http://a_b-c/p@q"};
	static const struct {
		const char *url, *problem;
	} bad[] = {
	    {"", "must begin with http:// or https://"},
	    {"a.example/push", "must begin with http:// or https://"},
	    {"ftp://a", "must begin with http:// or https://"},
	    {"http:/a", "must begin with http:// or https://"},
	    {"http://", "has no valid host"},
	    {"https:///x", "has no valid host"},
	    {"http://:80", "has no valid host"},
	    {"http://[]", "has no valid host"},
	    {"http://[::1", "has no valid host"},
	    {"http://[x]", "has no valid host"},
	    {"http://[1:2:3]", "has no valid host"},
	    {"http://[::12345]/", "has no valid host"},
	    {"http://[::1]x", "has no valid host"},
	    {"http://a\\b", "has no valid host"},
	    {"http://u@a", "must not hold user or password; use basic_auth"},
	    {"http://u:p@a:80/", "must not hold user or password; use basic_auth"},
	    {"http://a:", "has a port that is not 1 to 65535"},
	    {"http://a:0", "has a port that is not 1 to 65535"},
	    {"http://a:65536", "has a port that is not 1 to 65535"},
	    {"http://a:123456789/", "has a port that is not 1 to 65535"},
	    {"http://a:8x", "has a port that is not 1 to 65535"},
	    {"http://a/#x", "has a fragment ('#'), which is never sent"},
	    {"http://a/ b", "holds a blank, a control character or non-ASCII; "
			    "percent-encode it"},
	    {"http://a/\n", "holds a blank, a control character or non-ASCII; "
			    "percent-encode it"},
	    {"http://\xc3\xa4/", "holds a blank, a control character or non-ASCII; "
				 "percent-encode it"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(good); i++) {
		if (value_url_problem(good[i]))
			fail_msg("%s: %s", good[i], value_url_problem(good[i]));
	}
	for (size_t i = 0; i < LENGTH(bad); i++) {
		if (!value_url_problem(bad[i].url))
			fail_msg("'%s' was taken", bad[i].url);
		assert_string_equal(value_url_problem(bad[i].url), bad[i].problem);
	}
}

static void hosts_are_names_and_addresses(void **state)
{
	static const char *const good[] = {"a",       "A.example", "a-b_c.example.",
					   "1.2.3.4", "[::1]",     "[fe80::1]"};
	static const char *const bad[] = {
	    "",    " a",       "a b", "a ",    "a:443",  "a/b",
	    "a@b", "*.a",      "::1", "[::1",  "[::1]x", "[zz]",
	    "[]",  "\xc3\xa4", "a\n", "a\x7f", "a%20b",  "[::1%lo]"};
	char longest[255] = "";

	(void)state;
	for (size_t i = 0; i < LENGTH(good); i++) {
		if (!value_is_host(good[i]))
			fail_msg("'%s' was refused", good[i]);
	}
	for (size_t i = 0; i < LENGTH(bad); i++) {
		if (value_is_host(bad[i]))
			fail_msg("'%s' was taken", bad[i]);
	}
	memset(longest, 'a', 253);
	assert_true(value_is_host(longest));
	longest[253] = 'a';
	assert_false(value_is_host(longest));
}

static void url_names_have_no_query(void **state)
{
	char *name = value_url_name("https://a/push?token=secret");

	(void)state;
	assert_string_equal(name, "https://a/push");
	free(name);
}

static void variables_are_replaced_once(void **state)
{
	static const struct {
		const char *text, *expanded;
	} cases[] = {
	    {"", ""},
	    {"plain", "plain"},
	    {"${env:BPFTALLY_A}", "one"},
	    {"<${env:BPFTALLY_A}-${env:BPFTALLY_A}>", "<one-one>"},
	    {"${env:BPFTALLY_NESTED}", "${env:BPFTALLY_A}"},
	    {"[${env:BPFTALLY_EMPTY}]", "[]"},
	    {"$$ $ ${ ${HOME} $env:X $${env:BPFTALLY_A}",
	     "$$ $ ${ ${HOME} $env:X $one"},
	};
	char name[VALUE_ENV_NAME_LEN];

	(void)state;
	setenv("BPFTALLY_A", "one", 1);
	setenv("BPFTALLY_NESTED", "${env:BPFTALLY_A}", 1);
	setenv("BPFTALLY_EMPTY", "", 1);
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct buf out = BUF_INIT(256);

		assert_int_equal(value_expand(cases[i].text, &out, name),
				 VALUE_EXPANDED);
		assert_int_equal(out.len, strlen(cases[i].expanded));
		if (out.len)
			assert_memory_equal(out.data, cases[i].expanded, out.len);
		buf_free(&out);
	}
}

static void variables_that_cannot_be_replaced_are_named(void **state)
{
	static const char *const malformed[] = {
	    "${env:",     "${env:}",   "${env:A",        "${env:1A}",
	    "${env:A-B}", "${env: A}", "${env:\xc3\xa4}"};
	char name[VALUE_ENV_NAME_LEN], longest[256];

	(void)state;
	for (size_t i = 0; i < LENGTH(malformed); i++) {
		struct buf out = BUF_INIT(256);

		assert_int_equal(value_expand(malformed[i], &out, name),
				 VALUE_ENV_MALFORMED);
		buf_free(&out);
	}
	for (size_t len = VALUE_ENV_NAME_LEN - 1; len <= VALUE_ENV_NAME_LEN; len++) {
		struct buf out = BUF_INIT(256);

		memset(longest, 'A', sizeof(longest));
		memcpy(longest, "${env:", 6);
		memcpy(longest + 6 + len, "}", 2);
		assert_int_equal(value_expand(longest, &out, name),
				 len < VALUE_ENV_NAME_LEN ? VALUE_ENV_UNSET
							  : VALUE_ENV_MALFORMED);
		buf_free(&out);
	}
	struct buf out = BUF_INIT(256);

	unsetenv("BPFTALLY_UNSET");
	setenv("BPFTALLY_BYTES", "a\xff", 1);
	assert_int_equal(value_expand("a ${env:BPFTALLY_UNSET}", &out, name),
			 VALUE_ENV_UNSET);
	assert_string_equal(name, "BPFTALLY_UNSET");
	assert_int_equal(value_expand("${env:BPFTALLY_BYTES}", &out, name),
			 VALUE_ENV_NOT_UTF8);
	assert_string_equal(name, "BPFTALLY_BYTES");
	buf_free(&out);
}

static void quotes_are_short_and_on_one_line(void **state)
{
	static const struct {
		const char *text, *quoted;
	} cases[] = {
	    {"", ""},
	    {"a\nb\x1b[1m\x7f", "a?b?[1m?"},
	    {"\xc3\xa4", "\xc3\xa4"},
	    {"\xff\xc3", "??"},
	    {"\xc2\x9b", "??"},
	    {"12345678901234567890123456789012345678901234",
	     "12345678901234567890123456789012345678901234"},
	    {"123456789012345678901234567890123456789012345",
	     "12345678901234567890123456789012345678901234..."},
	    {"1234567890123456789012345678901234567890123\xc3\xa4",
	     "1234567890123456789012345678901234567890123..."},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		char quoted[VALUE_QUOTE_LEN];

		value_quote(cases[i].text, quoted);
		assert_string_equal(quoted, cases[i].quoted);
	}
}

static const char *nearest(const char *word)
{
	static const char *const known[] = {"listen", "pid",          "port",
					    "exe",    "remote_write", "grace_period"};
	unsigned int distance = VALUE_UNLIKE;
	const char *found = "";

	for (size_t i = 0; i < LENGTH(known); i++) {
		if (value_is_nearer(word, known[i], &distance))
			found = known[i];
	}
	return found;
}

static void a_misspelt_word_finds_its_neighbour(void **state)
{
	char word[100];

	(void)state;
	assert_string_equal(nearest("remote_wirte"), "remote_write");
	assert_string_equal(nearest("remote-write"), "remote_write");
	assert_string_equal(nearest("ports"), "port");
	assert_string_equal(nearest("prot"), "port");
	assert_string_equal(nearest("listn"), "listen");
	assert_string_equal(nearest("grace"), "grace_period");
	assert_string_equal(nearest("scrape_configs"), "");
	assert_string_equal(nearest("x"), "");
	assert_string_equal(nearest(""), "");
	memset(word, 'a', sizeof(word));
	word[sizeof(word) - 1] = '\0';
	assert_string_equal(nearest(word), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(numbers_are_digits_within_their_range),
	    cmocka_unit_test(integers_may_be_below_zero),
	    cmocka_unit_test(doubles_are_decimal_and_finite),
	    cmocka_unit_test(metric_names_have_no_colon),
	    cmocka_unit_test(durations_are_prometheus_spelling),
	    cmocka_unit_test(durations_print_in_the_largest_whole_unit),
	    cmocka_unit_test(sizes_are_prometheus_spelling),
	    cmocka_unit_test(proxies_are_urls_that_may_hold_a_password),
	    cmocka_unit_test(flags_are_the_words_of_yaml),
	    cmocka_unit_test(utf8_has_no_overlong_surrogate_or_cut_form),
	    cmocka_unit_test(label_names_are_the_data_models),
	    cmocka_unit_test(headers_hold_what_http_can_carry),
	    cmocka_unit_test(urls_are_absolute_http_without_user),
	    cmocka_unit_test(hosts_are_names_and_addresses),
	    cmocka_unit_test(url_names_have_no_query),
	    cmocka_unit_test(variables_are_replaced_once),
	    cmocka_unit_test(variables_that_cannot_be_replaced_are_named),
	    cmocka_unit_test(quotes_are_short_and_on_one_line),
	    cmocka_unit_test(a_misspelt_word_finds_its_neighbour),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
