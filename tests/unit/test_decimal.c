/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "decimal.h"
#include "length.h"

#define ROUNDS 20000
#define REFUSED 0xdeadull

static uint64_t parsed(const char *text)
{
	uint64_t bits = REFUSED;

	if (!decimal_parse(slice_of(text), &bits))
		assert_int_equal(bits, REFUSED);
	return bits;
}

/* Each as Prometheus 2.42 stored or refused it. */
static const struct {
	const char *text;
	uint64_t bits;
} cases[] = {
    {"1", 0x3ff0000000000000},
    {"+1", 0x3ff0000000000000},
    {".5", 0x3fe0000000000000},
    {"5.", 0x4014000000000000},
    {"+.5e-1", 0x3fa999999999999a},
    {"1e5", 0x40f86a0000000000},
    {"1E+5", 0x40f86a0000000000},
    {"017", 0x4031000000000000},
    {"0", 0},
    {"-0", 0x8000000000000000},
    {"0e99999999999999999999", 0},
    {"1e0000000000000000000000001", 0x4024000000000000},
    {"1e-99999999999999999999", 0},
    {"1e-999", 0},
    {"inf", 0x7ff0000000000000},
    {"Infinity", 0x7ff0000000000000},
    {"+infinity", 0x7ff0000000000000},
    {"-INF", 0xfff0000000000000},
    {"NaN", 0x7ff8000000000001},
    {"nan", 0x7ff8000000000001},
    {"NAN", 0x7ff8000000000001},
    {"0.1", 0x3fb999999999999a},
    {"123456789012345678901234567890", 0x45f8ee90ff6c373e},
    {"1.7976931348623158e308", 0x7fefffffffffffff},
    {"4.9e-324", 1},
    {"2.4703282292062327208e-324", 0},
    {"2.4703282292062328e-324", 1},
    {"9007199254740993", 0x4340000000000000},
    {"9007199254740993.0000000000000000000000000000000000000000001",
     0x4340000000000001},
    {"1.7976931348623159e308", REFUSED},
    {"1e999", REFUSED},
    {"-1e999", REFUSED},
    {"1e99999999999999999999", REFUSED},
    {"", REFUSED},
    {".", REFUSED},
    {"+", REFUSED},
    {"++1", REFUSED},
    {"1e", REFUSED},
    {"1e+", REFUSED},
    {"e5", REFUSED},
    {"-.e1", REFUSED},
    {"1e5.0", REFUSED},
    {"1.2.3", REFUSED},
    {"1d", REFUSED},
    {"1,5", REFUSED},
    {"1_000", REFUSED},
    {"0x10", REFUSED},
    {"0x1p4", REFUSED},
    {"0b1", REFUSED},
    {"0o7", REFUSED},
    {" 1", REFUSED},
    {"1 ", REFUSED},
    {"1\r", REFUSED},
    {"i", REFUSED},
    {"infi", REFUSED},
    {"+Infinit", REFUSED},
    {"infinity1", REFUSED},
    {"+nan", REFUSED},
    {"-nan", REFUSED},
    {"nan(1)", REFUSED},
};

static void what_prometheus_stores(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		uint64_t bits = parsed(cases[i].text);

		if (bits != cases[i].bits)
			fail_msg("%s: %" PRIx64, cases[i].text, bits);
	}
}

/* glibc rounds to the last bit, too; an overflow is an error here. */
static void assert_as_strtod(const char *text)
{
	double expected;
	uint64_t bits, expected_bits;

	errno = 0;
	expected = strtod(text, NULL);
	memcpy(&expected_bits, &expected, sizeof(expected_bits));
	bits = parsed(text);
	if (bits != (isinf(expected) ? REFUSED : expected_bits))
		fail_msg("%s: %" PRIx64 ", not %" PRIx64, text, bits, expected_bits);
}

static void halfway_between_two_doubles_goes_to_the_even_one(void **state)
{
	char text[1200];

	(void)state;
	/* The whole of 2^-1074 * 1.5 has 1,000 places. */
	for (int exponent = -1074; exponent < 1023; exponent += 7) {
		double low = ldexp(1, exponent);
		long double half = (long double)low + ldexpl(1, exponent - 53);

		snprintf(text, sizeof(text), "%.1150Lg", half);
		assert_as_strtod(text);
		snprintf(text, sizeof(text), "%.1150Lg",
			 half + ldexpl(1, exponent - 52));
		assert_as_strtod(text);
		snprintf(text, sizeof(text), "%.30Lg", half);
		assert_as_strtod(text);
	}
}

static uint64_t random_word(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static uint64_t seed_of_test(void)
{
	const char *given = getenv("SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);

	print_message("SEED=%" PRIu64 "\n", seed);
	return seed * 0x9e3779b97f4a7c15ull | 1;
}

static void any_double_survives_its_text(void **state)
{
	uint64_t seed = seed_of_test();
	char text[64];

	(void)state;
	for (size_t i = 0; i < ROUNDS; i++) {
		uint64_t bits = random_word(&seed);
		double value;

		memcpy(&value, &bits, sizeof(value));
		if (!isfinite(value))
			continue;
		snprintf(text, sizeof(text), "%.17g", value);
		assert_int_equal(parsed(text), bits);
		snprintf(text, sizeof(text), "%.*g", (int)(bits % 25), value);
		assert_as_strtod(text);
	}
}

/* Of all lengths, with a point anywhere and an exponent of any size. */
static void any_digits_are_rounded_once(void **state)
{
	uint64_t seed = seed_of_test();
	char text[1024];

	(void)state;
	for (size_t i = 0; i < ROUNDS; i++) {
		uint64_t shape = random_word(&seed);
		int len = 1 + (int)(shape % (i % 100 ? 24 : 900));
		int point = (int)(shape >> 20) % (len + 1), at = 0;
		int range = shape >> 40 & 1 ? 30 : 340;

		for (int digit = 0; digit < len; digit++) {
			if (digit == point)
				text[at++] = '.';
			text[at++] = (char)('0' + random_word(&seed) % 10);
		}
		snprintf(text + at, sizeof(text) - (size_t)at, "e%d",
			 (int)(shape >> 45) % (2 * range) - range);
		assert_as_strtod(text);
	}
}

static void a_million_digits_are_a_number(void **state)
{
	const size_t len = 1000000;
	char *text = malloc(len + 16);
	uint64_t bits;

	(void)state;
	memset(text, '0', len);
	memcpy(text, "0.", 2);
	strcpy(text + len, "1e999999");
	assert_true(decimal_parse(slice_of(text), &bits));
	assert_int_equal(bits, 0);
	free(text);
}

static void the_locale_changes_nothing(void **state)
{
	(void)state;
	if (setlocale(LC_ALL, "de_DE.UTF-8"))
		print_message("with a decimal comma\n");
	assert_int_equal(parsed("1.5"), 0x3ff8000000000000);
	assert_int_equal(parsed("1,5"), REFUSED);
	setlocale(LC_ALL, "C");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_prometheus_stores),
	    cmocka_unit_test(halfway_between_two_doubles_goes_to_the_even_one),
	    cmocka_unit_test(any_double_survives_its_text),
	    cmocka_unit_test(any_digits_are_rounded_once),
	    cmocka_unit_test(a_million_digits_are_a_number),
	    cmocka_unit_test(the_locale_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
