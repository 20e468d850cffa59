/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "demangle.h"

static void free_known(char *display)
{
	assert_non_null(display);
	free(display);
}

static void names_are_as_their_source_spells_them(void **state)
{
	static const struct {
		const char *name, *display;
	} cases[] = {
	    {"_ZN4shop8checkoutEiPKc", "shop::checkout(int, char const*)"},
	    {"_ZN4shop4CartC1Ev", "shop::Cart::Cart()"},
	    {"_ZNK4shop4Cart5totalEv", "shop::Cart::total() const"},
	    /* Templates have their return type mangled in: not shown. */
	    {"_ZN4shop5priceIiEET_S1_", "shop::price<int>(int)"},
	    {"_ZN12_GLOBAL__N_16hiddenEv", "(anonymous namespace)::hidden()"},
	    {"_ZN4shop8checkoutEi.part.0", "shop::checkout(int) [clone .part.0]"},
	    {"_ZN4core3fmt9Formatter3pad17h0123456789abcdefE",
	     "core::fmt::Formatter::pad"},
	    {"_ZN43_$LT$shop..Cart$u20$as$u20$shop..Priced$GT$5price17h0123456789"
	     "abcdefE",
	     "<shop::Cart as shop::Priced>::price"},
	    {"_RNvCs1234_4shop8checkout", "shop::checkout"},
	    {"_RNqCs4fqI2P2rA04_11utf8_identsu30____7hkackfecea1cbdathfdh9hlq6y",
	     "utf8_idents::საჭმელად_გემრიელი_სადილი"},
	    {"main", NULL},
	    {"", NULL},
	    {"_Z", NULL},
	    {"_R", NULL},
	    {"_ZN4shop", NULL},
	    {"main.(*Shop).Checkout", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *display = demangle(cases[i].name);

		if (!cases[i].display)
			assert_null(display);
		else
			assert_non_null(display);
		if (display)
			assert_string_equal(display, cases[i].display);
		free(display);
	}
}

#define DIGITS "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* A<int, int>, then A of that twice, and so on: what is written as S, its number
 * and _ doubles with each step. */
static void a_cpp_name_that_explodes_stays_as_it_is(void **state)
{
	char name[512] = "_Z1f1AIiiE", step[16];

	(void)state;
	for (size_t i = 0; i < 35; i++) {
		snprintf(step, sizeof(step), "S_IS%c_S%c_E", DIGITS[i], DIGITS[i]);
		strcat(name, step);
		if (i == 2)
			free_known(demangle(name));
	}
	assert_null(demangle(name));
}

/* The position n behind "_R", in the base of 62 that Rust writes: 0 is "_". */
static void refer(char *name, size_t position)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz"
				     "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	char reference[8];

	if (position - 1 < 62)
		snprintf(reference, sizeof(reference), "B%c_", digits[position - 1]);
	else
		snprintf(reference, sizeof(reference), "B%c%c_",
			 digits[(position - 1) / 62], digits[(position - 1) % 62]);
	strcat(name, reference);
}

/* A pair, then a pair of that twice, and so on, with references to positions. */
static void explode_rust(char *name, size_t steps)
{
	size_t last = strlen(name) - 2;

	strcat(name, "TmmE");
	for (size_t i = 0; i < steps; i++) {
		size_t position = strlen(name) - 2;

		strcat(name, "T");
		refer(name, last);
		refer(name, last);
		strcat(name, "E");
		last = position;
	}
	strcat(name, "E");
}

static void a_rust_name_that_explodes_stays_as_it_is(void **state)
{
	char few[1024] = "_RINvC1a1f", many[1024] = "_RINvC1a1f";

	(void)state;
	explode_rust(few, 2);
	free_known(demangle(few));
	explode_rust(many, 60);
	assert_null(demangle(many));
}

static void a_name_that_is_too_long_is_not_tried(void **state)
{
	char name[8192] = "_Z1000";

	(void)state;
	memset(name + 6, 'a', 1000);
	free_known(demangle(name));
	memset(name, 'a', sizeof(name) - 1);
	memcpy(name, "_Z8000", 6);
	assert_null(demangle(name));
}

static void the_base_ends_where_parameters_begin(void **state)
{
	static const struct {
		const char *display, *base;
	} cases[] = {
	    {"shop::checkout(int, char const*)", "shop::checkout"},
	    {"shop::Cart::total() const", "shop::Cart::total"},
	    {"shop::Cart::take() &&", "shop::Cart::take"},
	    {"each(void (*)(int))", "each"},
	    {"(anonymous namespace)::hidden()", "(anonymous namespace)::hidden"},
	    {"Less::operator()(int, int) const", "Less::operator()"},
	    {"f(int) [clone .part.0]", "f"},
	    {"f(int) [clone .constprop.1] [clone .isra.0]", "f"},
	    {"<(A, B) as shop::Priced>::price", "<(A, B) as shop::Priced>::price"},
	    {"main", "main"},
	    {"a)", "a)"},
	    {")", ")"},
	    {"", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(demangle_base_len(cases[i].display),
				 strlen(cases[i].base));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_are_as_their_source_spells_them),
	    cmocka_unit_test(a_cpp_name_that_explodes_stays_as_it_is),
	    cmocka_unit_test(a_rust_name_that_explodes_stays_as_it_is),
	    cmocka_unit_test(a_name_that_is_too_long_is_not_tried),
	    cmocka_unit_test(the_base_ends_where_parameters_begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
