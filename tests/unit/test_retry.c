/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "length.h"
#include "retry.h"

#define NOW_S 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT, RFC 9110's example */

static void a_status_decides_whether_to_try_again(void **state)
{
	static const struct {
		long status;
		enum retry_verdict verdict, with_429;
	} cases[] = {
	    {0, RETRY_LATER, RETRY_LATER},
	    {100, RETRY_NEVER, RETRY_NEVER},
	    {199, RETRY_NEVER, RETRY_NEVER},
	    {200, RETRY_DELIVERED, RETRY_DELIVERED},
	    {202, RETRY_DELIVERED, RETRY_DELIVERED},
	    {204, RETRY_DELIVERED, RETRY_DELIVERED},
	    {299, RETRY_DELIVERED, RETRY_DELIVERED},
	    {300, RETRY_NEVER, RETRY_NEVER},
	    {307, RETRY_NEVER, RETRY_NEVER},
	    {400, RETRY_NEVER, RETRY_NEVER},
	    {401, RETRY_NEVER, RETRY_NEVER},
	    {408, RETRY_NEVER, RETRY_NEVER},
	    {415, RETRY_NEVER, RETRY_NEVER},
	    {428, RETRY_NEVER, RETRY_NEVER},
	    {429, RETRY_NEVER, RETRY_LATER},
	    {430, RETRY_NEVER, RETRY_NEVER},
	    {499, RETRY_NEVER, RETRY_NEVER},
	    {500, RETRY_LATER, RETRY_LATER},
	    {503, RETRY_LATER, RETRY_LATER},
	    {529, RETRY_LATER, RETRY_LATER},
	    {599, RETRY_LATER, RETRY_LATER},
	    {600, RETRY_NEVER, RETRY_NEVER},
	    {-1, RETRY_NEVER, RETRY_NEVER},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		assert_int_equal(retry_judge(cases[i].status, false), cases[i].verdict);
		assert_int_equal(retry_judge(cases[i].status, true), cases[i].with_429);
	}
}

static void otlp_tries_again_after_four_of_them(void **state)
{
	(void)state;
	for (long status = -1; status < 700; status++) {
		enum retry_verdict wanted = RETRY_NEVER;

		if (status >= 200 && status <= 299)
			wanted = RETRY_DELIVERED;
		if (status == 0 || status == 429 || status == 502 || status == 503 ||
		    status == 504)
			wanted = RETRY_LATER;
		assert_int_equal(retry_judge_otlp(status), wanted);
	}
}

static void retry_after_is_read_in_each_spelling(void **state)
{
	static const struct {
		const char *value;
		int64_t ms;
	} cases[] = {
	    {"0", 0},
	    {"1", 1000},
	    {"120", 120000},
	    {"3599", 3599000},
	    {"3600", 3600000},
	    {"3601", 3600000},
	    {"99999999999999999999999999", 3600000},
	    {"Sun, 06 Nov 1994 08:49:38 GMT", 1000},
	    {"Sun, 06 Nov 1994 08:59:37 GMT", 600000},
	    {"Sunday, 06-Nov-94 08:49:38 GMT", 1000},
	    {"Sun Nov  6 08:49:38 1994", 1000},
	    {"Sun Nov 06 08:49:38 1994", 1000},
	    {"Fri, 31 Dec 2094 00:00:00 GMT", 3600000},
	    {NULL, -1},
	    {"", -1},
	    {"-1", -1},
	    {"+1", -1},
	    {"1.5", -1},
	    {"1s", -1},
	    {" 1", -1},
	    {"soon", -1},
	    {"Sun, 06 Nov 1994 08:49:37 GMT", -1}, /* now */
	    {"Sun, 06 Nov 1994 08:49:36 GMT", -1},
	    {"Sun, 06 Nov 1994 08:49:38", -1},
	    {"Sun, 06 Nov 1994 08:49:38 GMT+1", -1},
	    {"Sun, 06 Now 1994 08:49:38 GMT", -1},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++)
		assert_int_equal(retry_after_ms(cases[i].value, NOW_S), cases[i].ms);
}

static void a_year_of_two_digits_is_at_most_fifty_years_ahead(void **state)
{
	(void)state;
	/* 2044 minus a day is ahead; 1945 is the past. */
	assert_int_equal(retry_after_ms("Saturday, 05-Nov-44 00:00:00 GMT", NOW_S), -1);
	/* In 2060 the same digits mean another century: 2094, not 1994. */
	assert_int_equal(retry_after_ms("Sunday, 06-Nov-94 08:49:38 GMT", 2840000000),
			 3600000);
	/* Seen from 2020, 94 would be 74 years ahead. */
	assert_int_equal(retry_after_ms("Sunday, 06-Nov-94 08:49:38 GMT", 1600000000),
			 -1);
	assert_int_equal(retry_after_ms("Sunday, 13-Sep-20 12:26:41 GMT", 1600000000),
			 1000);
}

static void backoff_doubles_from_min_to_max(void **state)
{
	static const uint64_t expected[] = {30,  60,   120,  240,  480,
					    960, 1920, 3840, 5000, 5000};
	uint64_t backoff = 0;

	(void)state;
	for (size_t i = 0; i < LENGTH(expected); i++) {
		backoff = retry_backoff_ms(backoff, 30, 5000);
		assert_int_equal(backoff, expected[i]);
	}
	assert_int_equal(retry_backoff_ms(60000, 30, 5000), 5000);
	assert_int_equal(retry_backoff_ms(UINT64_MAX, 30, 5000), 5000);
	assert_int_equal(retry_backoff_ms(0, 7, 7), 7);
	assert_int_equal(retry_backoff_ms(2500, 30, 5001), 5000);
	assert_int_equal(retry_backoff_ms(2501, 30, 5001), 5001);
}

static void jitter_only_adds_and_at_most_a_fifth(void **state)
{
	(void)state;
	assert_int_equal(retry_jitter_ms(5000, 0), 5000);
	assert_int_equal(retry_jitter_ms(5000, UINT32_MAX / 2 + 1), 5500);
	assert_int_equal(retry_jitter_ms(5000, UINT32_MAX), 5999);
	assert_int_equal(retry_jitter_ms(0, UINT32_MAX), 0);
	assert_int_equal(retry_jitter_ms(3600000, UINT32_MAX), 4319999);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_status_decides_whether_to_try_again),
	    cmocka_unit_test(otlp_tries_again_after_four_of_them),
	    cmocka_unit_test(retry_after_is_read_in_each_spelling),
	    cmocka_unit_test(a_year_of_two_digits_is_at_most_fifty_years_ahead),
	    cmocka_unit_test(backoff_doubles_from_min_to_max),
	    cmocka_unit_test(jitter_only_adds_and_at_most_a_fifth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
