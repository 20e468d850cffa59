/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A text is at first digits and a power of ten: digits * 10^exponent. Three ways lead
 * from there to the double, each exact:
 *
 * - few digits and a small power are a product or quotient of two doubles that hold
 *   both exactly, so it is rounded once (W. Clinger, 1990);
 * - up to 19 digits and a power up to 27 are a product or quotient of integers in 128
 *   bits, as 10^27 = 5^27 * 2^27 and 5^27 fits in 63;
 * - all else is halved and doubled digit by digit until it is within [2^52, 2^53),
 * where it is rounded: slow, but nobody writes such numbers often.
 */
#include "decimal.h"

#include <string.h>

#define DIGITS_FAST 19
#define POWER_EXACT 22 /* of ten, in a double */
#define POWER_WIDE 27  /* of five, in 63 bits */
#define EXPONENT_MAX 10000
#define FRACTION_BITS 52
#define EXPONENT_BIAS 1023
#define INFINITE 0x7ff0000000000000ull
/* Digits of a double halfway between two others (767), and some more: what follows them
 * only says that there is more. */
#define DIGITS_MAX 800
#define SHIFT_MAX 32

struct scan {
	const char *at, *end;
	uint64_t digits;     /* the first DIGITS_FAST that count */
	int64_t digit_count; /* that count, all of them */
	int64_t exponent;    /* of ten, for digits */
	const char *text;    /* the first digit or point */
};

/* 0.d1d2d3... * 10^point */
struct slow {
	uint8_t digits[DIGITS_MAX];
	int count;
	int64_t point;
	bool is_cut; /* there were more, and not zeros */
};

typedef unsigned __int128 wide;

/* --- text --------------------------------------------------------------------- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_word(const char *at, const char *end, const char *word)
{
	for (; at < end && *word; at++, word++) {
		if ((*at | 0x20) != *word)
			return false;
	}
	return at == end && !*word;
}

static void add_digit(struct scan *scan, char c, bool is_fraction)
{
	if (scan->digit_count >= DIGITS_FAST) {
		scan->digit_count++;
		scan->exponent += !is_fraction;
		return;
	}
	scan->digits = scan->digits * 10 + (uint64_t)(c - '0');
	scan->digit_count += scan->digits != 0;
	scan->exponent -= is_fraction;
}

static bool scan_digits(struct scan *scan)
{
	bool has_digit = false, has_point = false;

	for (scan->text = scan->at; scan->at < scan->end; scan->at++) {
		if (is_digit(*scan->at)) {
			add_digit(scan, *scan->at, has_point);
			has_digit = true;
		} else if (*scan->at == '.' && !has_point) {
			has_point = true;
		} else {
			break;
		}
	}
	return has_digit;
}

static bool scan_exponent(struct scan *scan)
{
	bool is_negative = false;
	int exponent = 0;

	if (scan->at == scan->end)
		return true;
	if ((*scan->at++ | 0x20) != 'e')
		return false;
	if (scan->at < scan->end && (*scan->at == '+' || *scan->at == '-'))
		is_negative = *scan->at++ == '-';
	if (scan->at == scan->end)
		return false;
	for (; scan->at < scan->end && is_digit(*scan->at); scan->at++) {
		if (exponent < EXPONENT_MAX)
			exponent = exponent * 10 + (*scan->at - '0');
	}
	scan->exponent += is_negative ? -exponent : exponent;
	return scan->at == scan->end;
}

/* --- up to 19 digits ---------------------------------------------------------- */

/* value * 2^exponent, rounded to even; whether something below value was cut off. */
static uint64_t round_wide(wide value, int exponent, bool is_cut)
{
	const int zeros = value >> 64 ? __builtin_clzll((uint64_t)(value >> 64))
				      : 64 + __builtin_clzll((uint64_t)value);
	const int drop = 127 - zeros - FRACTION_BITS;
	uint64_t whole;
	wide rest, half;

	exponent += 127 - zeros;
	if (drop <= 0) {
		whole = (uint64_t)value << -drop;
	} else {
		half = (wide)1 << (drop - 1);
		rest = value & ((half << 1) - 1);
		whole = (uint64_t)(value >> drop);
		whole += rest > half || (rest == half && (is_cut || (whole & 1)));
	}
	/* A carry out of the fraction goes into the exponent, as it should. */
	return ((uint64_t)(exponent + EXPONENT_BIAS - 1) << FRACTION_BITS) + whole;
}

static uint64_t power_of_five(int exponent)
{
	uint64_t power = 1;

	for (uint64_t factor = 5; exponent; exponent >>= 1, factor *= factor) {
		if (exponent & 1)
			power *= factor;
	}
	return power;
}

static uint64_t by_integers(uint64_t digits, int exponent)
{
	wide product, quotient;
	uint64_t divisor;
	int zeros;

	if (exponent >= 0) {
		product = (wide)digits * power_of_five(exponent);
		return round_wide(product, exponent, false);
	}
	/* All 128 bits used: at least 64 of them are left of the quotient. */
	zeros = 64 + __builtin_clzll(digits);
	divisor = power_of_five(-exponent);
	product = (wide)digits << zeros;
	quotient = product / divisor;
	return round_wide(quotient, exponent - zeros, quotient * divisor != product);
}

static uint64_t by_doubles(uint64_t digits, int exponent)
{
	static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
					1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
					1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
	double value = (double)digits;
	uint64_t bits;

	value = exponent < 0 ? value / powers[-exponent] : value * powers[exponent];
	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

/* --- any number of digits ----------------------------------------------------- */

static void load(struct slow *slow, const struct scan *scan, int64_t exponent_given)
{
	bool has_point = false;

	for (const char *at = scan->text; at < scan->end; at++) {
		if (*at == '.') {
			has_point = true;
			continue;
		}
		if (!is_digit(*at))
			break;
		if (!slow->count && *at == '0') {
			slow->point -= has_point;
			continue;
		}
		slow->point += !has_point;
		if (slow->count < DIGITS_MAX)
			slow->digits[slow->count++] = (uint8_t)(*at - '0');
		else
			slow->is_cut |= *at != '0';
	}
	slow->point += exponent_given;
}

static void trim(struct slow *slow)
{
	while (slow->count && !slow->digits[slow->count - 1])
		slow->count--;
}

/* Divides by 2^shift. */
static void shift_right(struct slow *slow, int shift)
{
	const uint64_t mask = (1ull << shift) - 1;
	uint64_t rest = 0;
	int read = 0, written = 0;

	/* The first digit of the quotient; digits behind the last one are zeros. */
	for (; !(rest >> shift); read++)
		rest = rest * 10 + (read < slow->count ? slow->digits[read] : 0);
	slow->point -= read - 1;
	for (; read < slow->count || rest; read++) {
		const uint8_t digit = (uint8_t)(rest >> shift);

		if (written < DIGITS_MAX)
			slow->digits[written++] = digit;
		else
			slow->is_cut |= digit != 0;
		rest =
		    (rest & mask) * 10 + (read < slow->count ? slow->digits[read] : 0);
	}
	slow->count = written;
	trim(slow);
}

/* Multiplies by 2^shift. */
static void shift_left(struct slow *slow, int shift)
{
	uint8_t product[DIGITS_MAX + SHIFT_MAX];
	int at = (int)sizeof(product), kept;
	uint64_t carry = 0;

	for (int i = slow->count; i-- > 0;) {
		carry += (uint64_t)slow->digits[i] << shift;
		product[--at] = (uint8_t)(carry % 10);
		carry /= 10;
	}
	for (; carry; carry /= 10)
		product[--at] = (uint8_t)(carry % 10);
	kept = (int)sizeof(product) - at;
	slow->point += kept - slow->count;
	slow->count = kept < DIGITS_MAX ? kept : DIGITS_MAX;
	for (int i = slow->count; i < kept; i++)
		slow->is_cut |= product[at + i] != 0;
	memcpy(slow->digits, product + at, (size_t)slow->count);
	trim(slow);
}

/* To the nearest integer, of two the even one; it is below 2^53. */
static uint64_t rounded(const struct slow *slow)
{
	const int point = (int)slow->point; /* normalise has made it small */
	uint64_t whole = 0;
	bool is_half;

	for (int i = 0; i < point; i++)
		whole = whole * 10 + (i < slow->count ? slow->digits[i] : 0);
	if (point < 0 || point >= slow->count)
		return whole;
	is_half = slow->digits[point] == 5 && point + 1 == slow->count && !slow->is_cut;
	return whole + (is_half ? whole & 1 : slow->digits[point] >= 5);
}

/* Into [1/2, 1); the power of two that it was divided by. */
static int normalise(struct slow *slow)
{
	int exponent = 0;

	while (slow->point > 0) {
		/* 10^point is more than 2^(3 * point). */
		int shift = slow->point >= 10 ? 27 : 3 * (int)slow->point - 2;

		shift_right(slow, shift);
		exponent += shift;
	}
	while (slow->point < 0 || slow->digits[0] < 5) {
		int shift = slow->point <= -10 ? SHIFT_MAX : -3 * (int)slow->point;

		if (!slow->point)
			shift = 1;
		shift_left(slow, shift);
		exponent -= shift;
	}
	return exponent;
}

static bool by_digits(const struct scan *scan, int64_t exponent_given,
		      uint64_t *ret_bits)
{
	struct slow slow = {0};
	int exponent;
	uint64_t whole;

	load(&slow, scan, exponent_given);
	trim(&slow);
	*ret_bits = slow.point > 310 ? INFINITE : 0;
	if (!slow.count || slow.point > 310 || slow.point < -330)
		return *ret_bits != INFINITE;
	exponent = normalise(&slow) - 1;
	/* What is below 2^-1022 has fewer bits. */
	for (; exponent < 1 - EXPONENT_BIAS; exponent++)
		shift_right(&slow, 1);
	shift_left(&slow, 27);
	shift_left(&slow, 26);
	whole = rounded(&slow);
	*ret_bits = whole;
	if (whole >> FRACTION_BITS)
		*ret_bits += (uint64_t)(exponent + EXPONENT_BIAS - 1) << FRACTION_BITS;
	return *ret_bits < INFINITE;
}

/* ------------------------------------------------------------------------------ */

static bool parse_number(const char *at, const char *end, uint64_t *ret_bits)
{
	struct scan scan = {.at = at, .end = end};
	int64_t before, power;

	if (!scan_digits(&scan))
		return false;
	before = scan.exponent;
	if (!scan_exponent(&scan))
		return false;
	power = scan.exponent < 0 ? -scan.exponent : scan.exponent;
	if (!scan.digits)
		*ret_bits = 0;
	else if (scan.digit_count > DIGITS_FAST || power > POWER_WIDE)
		return by_digits(&scan, scan.exponent - before, ret_bits);
	else if (scan.digits >> (FRACTION_BITS + 1) || power > POWER_EXACT)
		*ret_bits = by_integers(scan.digits, (int)scan.exponent);
	else
		*ret_bits = by_doubles(scan.digits, (int)scan.exponent);
	return true;
}

bool decimal_parse(struct slice text, uint64_t *ret_bits)
{
	const char *at = text.text, *end = at + text.len;
	uint64_t sign = 0, bits;

	if (is_word(at, end, "nan")) {
		*ret_bits = DECIMAL_NAN;
		return true;
	}
	if (at < end && (*at == '-' || *at == '+'))
		sign = (uint64_t)(*at++ == '-') << 63;
	if (is_word(at, end, "inf") || is_word(at, end, "infinity"))
		bits = INFINITE;
	else if (!parse_number(at, end, &bits))
		return false;
	*ret_bits = sign | bits;
	return true;
}
