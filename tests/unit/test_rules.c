/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ARGUMENT(n)                                                                    \
	(struct config_operand)                                                        \
	{                                                                              \
		.argument = (n)                                                        \
	}
#define RESULT                                                                         \
	(struct config_operand)                                                        \
	{                                                                              \
		.is_return = true                                                      \
	}

static struct tally_operand in_register(uint8_t base, uint8_t bytes, uint8_t is_signed)
{
	return (struct tally_operand){.kind = TALLY_OPERAND_REGISTER,
				      .base = base,
				      .bytes = bytes,
				      .is_signed = is_signed};
}

static const struct tally_operand none;

static void expect_operand(const char *what, const struct tally_operand *operand,
			   const struct tally_operand *expected)
{
	if (memcmp(operand, expected, sizeof(*operand)) != 0)
		fail_msg("%s: kind %u, base %u, index %u, scale %u, bytes %u, signed "
			 "%u, offset %lld",
			 what, operand->kind, operand->base, operand->index,
			 operand->scale, operand->bytes, operand->is_signed,
			 (long long)operand->offset);
}

/* --- the rule ----------------------------------------------------------------- */

static void a_return_is_needed_for_what_is_known_only_then(void **state)
{
	struct config_function_label result = {.operand = RESULT};
	struct config_function_label argument = {.operand = ARGUMENT(1)};
	const struct {
		struct config_function function;
		bool needed;
	} cases[] = {
	    {{.value = CONFIG_VALUE_LATENCY}, true},
	    {{.value = CONFIG_VALUE_IN_PROGRESS}, true},
	    {{.value = CONFIG_VALUE_COUNT}, false},
	    {{.value = CONFIG_VALUE_COUNT, .condition = CONFIG_RETURN_NULL}, true},
	    {{.value = CONFIG_VALUE_NUMBER, .operand = ARGUMENT(1)}, false},
	    {{.value = CONFIG_VALUE_NUMBER, .operand = RESULT}, true},
	    {{.value = CONFIG_VALUE_NUMBER, .operand = ARGUMENT(1), .minus = RESULT},
	     true},
	    {{.value = CONFIG_VALUE_COUNT, .labels = &result, .label_count = 1}, true},
	    {{.value = CONFIG_VALUE_COUNT, .labels = &argument, .label_count = 1},
	     false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct tally_function_rule rule;

		rules_compile(&cases[i].function, &rule);
		assert_int_equal(rules_need_return(&cases[i].function),
				 cases[i].needed);
		assert_int_equal(rule.has_return, cases[i].needed);
	}
}

static void measures_and_conditions_are_translated(void **state)
{
	static const struct {
		enum config_value_kind value;
		enum tally_function_measure measure;
	} values[] = {
	    {CONFIG_VALUE_LATENCY, TALLY_MEASURE_LATENCY},
	    {CONFIG_VALUE_COUNT, TALLY_MEASURE_CALLS},
	    {CONFIG_VALUE_NUMBER, TALLY_MEASURE_NUMBER},
	    {CONFIG_VALUE_IN_PROGRESS, TALLY_MEASURE_IN_PROGRESS},
	};
	static const struct {
		enum config_condition condition;
		enum tally_function_condition expected;
	} conditions[] = {
	    {CONFIG_ALWAYS, TALLY_CONDITION_NONE},
	    {CONFIG_RETURN_NEGATIVE, TALLY_CONDITION_NEGATIVE},
	    {CONFIG_RETURN_NULL, TALLY_CONDITION_ZERO},
	    {CONFIG_RETURN_NONZERO, TALLY_CONDITION_NONZERO},
	};
	struct tally_function_rule rule;

	(void)state;
	for (size_t i = 0; i < COUNT(values); i++) {
		rules_compile(&(struct config_function){.value = values[i].value},
			      &rule);
		assert_int_equal(rule.measure, values[i].measure);
	}
	for (size_t i = 0; i < COUNT(conditions); i++) {
		rules_compile(
		    &(struct config_function){.condition = conditions[i].condition},
		    &rule);
		assert_int_equal(rule.condition, conditions[i].expected);
	}
}

static void only_the_counts_that_a_type_shows_are_kept(void **state)
{
	static const struct {
		enum config_metric_type type;
		unsigned int only_grows, has_buckets, place;
	} cases[] = {
	    {CONFIG_HISTOGRAM, 0, 1, TALLY_PLACE_SINGLE},
	    {CONFIG_COUNTER, 1, 0, TALLY_PLACE_SINGLE},
	    {CONFIG_GAUGE, 0, 0, TALLY_PLACE_SINGLE},
	    {CONFIG_SUMMARY, 0, 0, TALLY_PLACE_SUMMARY},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct tally_function_rule rule;

		rules_compile(&(struct config_function){.type = cases[i].type}, &rule);
		assert_int_equal(rule.only_grows, cases[i].only_grows);
		assert_int_equal(rule.has_buckets, cases[i].has_buckets);
		assert_int_equal(rule.place, cases[i].place);
		assert_int_equal(rule.selects, 0);
	}
}

/* --- bounds ------------------------------------------------------------------- */

static uint64_t compiled_bound(enum config_value_kind value, double bound)
{
	const struct config_function function = {
	    .value = value, .bounds = &bound, .bound_count = 1};
	struct tally_function_rule rule;

	rules_compile(&function, &rule);
	for (size_t i = 1; i < TALLY_FUNCTION_BOUNDS; i++)
		assert_int_equal(rule.bounds[i], UINT64_MAX);
	return rule.bounds[0];
}

/* 0.0000001 to 9999 with up to four digits, as a file has them. */
static void a_decimal_bound_of_latency_is_its_nanosecond(void **state)
{
	(void)state;
	for (int exponent = -9; exponent <= 0; exponent++)
		for (long long digits = 1; digits < 10000; digits++) {
			char text[48];
			long long ns = digits;

			for (int i = -9; i < exponent; i++)
				ns *= 10;
			snprintf(text, sizeof(text), "%llde%d", digits, exponent);
			if (compiled_bound(CONFIG_VALUE_LATENCY, strtod(text, NULL)) !=
			    TALLY_FUNCTION_ORDERED(ns, false))
				fail_msg("%s is not %lld ns", text, ns);
		}
	assert_int_equal(compiled_bound(CONFIG_VALUE_LATENCY, 0.005),
			 TALLY_FUNCTION_ORDERED(5000000, false));
}

static void a_bound_of_a_number_is_the_largest_integer_in_it(void **state)
{
	static const struct {
		double bound;
		int64_t integer;
	} cases[] = {
	    {0, 0},
	    {-0.0, 0},
	    {1, 1},
	    {1.5, 1},
	    {0.999999, 0},
	    {-1, -1},
	    {-1.5, -2},
	    {-0.5, -1},
	    {0x1p53, 1ll << 53},
	    {0x1p62, 1ll << 62},
	    {0x1.fffffffffffffp62, 0x7ffffffffffffc00},
	    {0x1p63, INT64_MAX},
	    {1e300, INT64_MAX},
	    {__builtin_inf(), INT64_MAX},
	    {-0x1p63, INT64_MIN},
	    {-1e300, INT64_MIN},
	};
	uint64_t last;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_int_equal(compiled_bound(CONFIG_VALUE_NUMBER, cases[i].bound),
				 TALLY_FUNCTION_ORDERED(cases[i].integer, false));
	/* and negative ones are below the others */
	last = compiled_bound(CONFIG_VALUE_NUMBER, -2);
	for (int bound = -1; bound < 3; bound++) {
		assert_true(compiled_bound(CONFIG_VALUE_NUMBER, bound) == last + 1);
		last++;
	}
	assert_int_equal(compiled_bound(CONFIG_VALUE_LATENCY, 1e12),
			 TALLY_FUNCTION_ORDERED(INT64_MAX, false));
}

static void every_bound_has_its_place(void **state)
{
	double bounds[CONFIG_BOUNDS_MAX];
	const struct config_function function = {
	    .value = CONFIG_VALUE_NUMBER,
	    .type = CONFIG_HISTOGRAM,
	    .bounds = bounds,
	    .bound_count = CONFIG_BOUNDS_MAX,
	};
	struct tally_function_rule rule;

	(void)state;
	_Static_assert(CONFIG_BOUNDS_MAX == TALLY_FUNCTION_BOUNDS, "all fit");
	for (int i = 0; i < CONFIG_BOUNDS_MAX; i++)
		bounds[i] = i - 4;
	rules_compile(&function, &rule);
	for (int i = 0; i < CONFIG_BOUNDS_MAX; i++)
		assert_int_equal(rule.bounds[i], TALLY_FUNCTION_ORDERED(i - 4, false));
}

/* --- labels ------------------------------------------------------------------- */

static struct config_label_value three_values[] = {{0, "ok"}, {1, "retry"}, {-1, "ok"}};

static void caps_of_several_labels_are_of_their_combinations(void **state)
{
#define CAPPED(n)                                                                      \
	{                                                                              \
		.operand = {.argument = 1}, .max_values = (n)                          \
	}
#define NAMED                                                                          \
	{                                                                              \
		.operand = {.argument = 2}, .values = three_values, .value_count = 3   \
	}
#define CONSTANT                                                                       \
	{                                                                              \
		.constant = "x"                                                        \
	}
#define RETURNED                                                                       \
	{                                                                              \
		.operand = {.is_return = true}, .max_values = 7                        \
	}
	static const struct {
		struct config_function_label labels[5];
		size_t count;
		uint32_t labels_max, results_max;
		uint8_t has_labels, has_result, enumerated;
	} cases[] = {
	    {{}, 0, 1, 0, 0, 0, 0},
	    {{CONSTANT}, 1, 1, 0, 0, 0, 0},
	    {{CAPPED(100)}, 1, 100, 0, 1, 0, 0},
	    {{CAPPED(1)}, 1, 1, 0, 1, 0, 0},
	    {{NAMED}, 1, 4, 0, 1, 0, 1},
	    {{CONSTANT, CAPPED(10), RETURNED, NAMED}, 4, 40, 41 * 7, 1, 1, 2},
	    {{RETURNED}, 1, 1, 7, 0, 1, 0},
	    {{CAPPED(10000), RETURNED}, 2, 10000, TALLY_FUNCTION_ROWS, 1, 1, 0},
	    {{CAPPED(256), CAPPED(256)}, 2, TALLY_FUNCTION_ROWS, 0, 1, 0, 0},
	    {{CAPPED(255), CAPPED(257)}, 2, 65535, 0, 1, 0, 0},
	    {{CAPPED(10000), CAPPED(10000), CAPPED(10000), CAPPED(10000)},
	     4,
	     TALLY_FUNCTION_ROWS,
	     0,
	     1,
	     0,
	     0},
	    {{CAPPED(1), CAPPED(1), CAPPED(1), NAMED}, 4, 4, 0, 1, 0, 8},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct config_function function = {.label_count = cases[i].count};
		struct config_function_label labels[5];
		struct tally_function_rule rule;

		memcpy(labels, cases[i].labels, sizeof(labels));
		function.labels = labels;
		rules_compile(&function, &rule);
		assert_int_equal(rule.labels_max, cases[i].labels_max);
		assert_int_equal(rule.results_max, cases[i].results_max);
		assert_int_equal(rule.has_labels, cases[i].has_labels);
		assert_int_equal(rule.has_result, cases[i].has_result);
		assert_int_equal(rule.enumerated, cases[i].enumerated);
		assert_int_equal(rule.place, rule.has_labels || rule.has_result
						 ? TALLY_PLACE_ROW
						 : TALLY_PLACE_SINGLE);
	}
}

struct numbers {
	struct tally_function_enumerated items[16];
	size_t count;
};

static void take_number(void *context, const struct tally_function_enumerated *number)
{
	struct numbers *numbers = context;

	assert_true(numbers->count < COUNT(numbers->items));
	numbers->items[numbers->count++] = *number;
}

static void every_number_of_an_enumeration_is_visited_at_its_label(void **state)
{
	struct config_function_label labels[] = {
	    {.constant = "x"},
	    {.operand = ARGUMENT(6), .max_values = 5},
	    {.operand = RESULT, .values = three_values, .value_count = 1},
	    {.operand = ARGUMENT(1), .values = three_values, .value_count = 3},
	};
	const struct config_function function = {.labels = labels, .label_count = 4};
	static const struct tally_function_enumerated expected[] = {
	    {7, TALLY_FUNCTION_LABELS, 0},
	    {7, 1, 0},
	    {7, 1, 1},
	    {7, 1, -1},
	};
	struct numbers numbers = {};
	struct tally_function_rule rule;

	(void)state;
	rules_each_enumerated(&function, 7, take_number, &numbers);
	assert_int_equal(numbers.count, COUNT(expected));
	assert_memory_equal(numbers.items, expected, sizeof(expected));
	rules_compile(&function, &rule);
	assert_int_equal(rule.enumerated, TALLY_ENUMERATED_RESULT | 1 << 1);
	assert_int_equal(rule.results_max, (5 * 4 + 1) * 2);
	assert_int_equal(rule.labels_max, 5 * 4);
}

/* --- operands by convention --------------------------------------------------- */

static void arguments_are_in_the_registers_of_the_convention(void **state)
{
	static const uint8_t system_v[] = {
	    TALLY_REGISTER_DI, TALLY_REGISTER_SI, TALLY_REGISTER_DX,
	    TALLY_REGISTER_CX, TALLY_REGISTER_R8, TALLY_REGISTER_R9,
	};
	static const uint8_t go[] = {
	    TALLY_REGISTER_AX, TALLY_REGISTER_BX, TALLY_REGISTER_CX,
	    TALLY_REGISTER_DI, TALLY_REGISTER_SI, TALLY_REGISTER_R8,
	};

	(void)state;
	for (uint8_t i = 1; i <= 6; i++) {
		const struct config_function function = {.value = CONFIG_VALUE_NUMBER,
							 .operand = ARGUMENT(i)};
		struct tally_function_point point;
		struct tally_operand expected = in_register(system_v[i - 1], 8, 1);

		rules_point(&function, 3, TALLY_POINT_ENTRY, false, &point);
		expect_operand("System V", &point.number, &expected);
		assert_int_equal(point.rule, 3);
		assert_int_equal(point.role, TALLY_POINT_ENTRY);
		assert_int_equal(point.is_go, 0);
		rules_point(&function, 3, TALLY_POINT_ENTRY, true, &point);
		expected.base = go[i - 1];
		expect_operand("Go", &point.number, &expected);
		assert_int_equal(point.is_go, 1);
		rules_point(&function, 3, TALLY_POINT_LEAVING, true, &point);
		expect_operand("at the return", &point.number, &none);
		assert_int_equal(point.role, TALLY_POINT_LEAVING);
	}
}

static void a_number_is_as_wide_as_its_type(void **state)
{
	static const struct {
		enum config_number number;
		uint8_t bytes, is_signed;
	} cases[] = {
	    {CONFIG_INT64, 8, 1},  {CONFIG_INT32, 4, 1}, {CONFIG_UINT64, 8, 0},
	    {CONFIG_UINT32, 4, 0}, {CONFIG_BOOL, 1, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct config_function_label label = {.operand = RESULT,
						      .number = cases[i].number};
		const struct config_function function = {
		    .operand = ARGUMENT(2),
		    .minus = RESULT,
		    .number = cases[i].number,
		    .condition = CONFIG_RETURN_NEGATIVE,
		    .condition_number = cases[i].number,
		    .labels = &label,
		    .label_count = 1,
		};
		const struct tally_operand argument = in_register(TALLY_REGISTER_SI,
								  cases[i].bytes,
								  cases[i].is_signed),
					   result = in_register(TALLY_REGISTER_AX,
								cases[i].bytes,
								cases[i].is_signed);
		struct tally_function_point point;

		rules_point(&function, 0, TALLY_POINT_ENTRY, false, &point);
		expect_operand("number", &point.number, &argument);
		expect_operand("minus", &point.minus, &none);
		expect_operand("judged", &point.judged, &none);
		expect_operand("result", &point.result, &none);
		rules_point(&function, 0, TALLY_POINT_TRAMPOLINE, false, &point);
		expect_operand("number", &point.number, &none);
		expect_operand("minus", &point.minus, &result);
		expect_operand("judged", &point.judged, &result);
		expect_operand("result", &point.result, &result);
		expect_operand("label", &point.labels[0].value, &none);
	}
}

static void labels_are_read_at_the_entry_in_their_order(void **state)
{
	struct config_function_label labels[] = {
	    {.constant = "x"},
	    {.operand = ARGUMENT(2), .is_string = true},
	    {.operand = RESULT},
	    {.operand = ARGUMENT(1), .number = CONFIG_INT32},
	};
	const struct config_function function = {.labels = labels, .label_count = 4};
	struct tally_operand pointer = in_register(TALLY_REGISTER_SI, 8, 0);
	struct tally_operand number = in_register(TALLY_REGISTER_DI, 4, 1);
	struct tally_operand len = in_register(TALLY_REGISTER_CX, 8, 1);
	struct tally_function_point point;

	(void)state;
	rules_point(&function, 0, TALLY_POINT_ENTRY, false, &point);
	assert_int_equal(point.labels[0].is_string, 1);
	expect_operand("pointer", &point.labels[0].value, &pointer);
	expect_operand("NUL", &point.labels[0].len, &none);
	assert_int_equal(point.labels[1].is_string, 0);
	expect_operand("number", &point.labels[1].value, &number);
	expect_operand("no third", &point.labels[2].value, &none);
	/* a Go string is a pointer and, in the next register, its length */
	rules_point(&function, 0, TALLY_POINT_ENTRY, true, &point);
	pointer.base = TALLY_REGISTER_BX;
	number.base = TALLY_REGISTER_AX;
	expect_operand("pointer", &point.labels[0].value, &pointer);
	expect_operand("len", &point.labels[0].len, &len);
	expect_operand("number", &point.labels[1].value, &number);
	expect_operand("no len", &point.labels[1].len, &none);
}

/* Points are compared by their bytes, to be one. */
static void equal_points_are_equal_bytes(void **state)
{
	struct config_function_label label = {.operand = ARGUMENT(1),
					      .is_string = true};
	const struct config_function function = {
	    .operand = ARGUMENT(1), .labels = &label, .label_count = 1};
	struct tally_function_point a, b;

	(void)state;
	memset(&a, 0x00, sizeof(a));
	memset(&b, 0xff, sizeof(b));
	rules_point(&function, 1, TALLY_POINT_ENTRY, true, &a);
	rules_point(&function, 1, TALLY_POINT_ENTRY, true, &b);
	assert_memory_equal(&a, &b, sizeof(a));
}

/* --- operands of a USDT note -------------------------------------------------- */

#define MEMORY .kind = TALLY_OPERAND_MEMORY, .base
#define BYTES(n) .bytes = (n), .is_signed = 0
#define SIGNED(n) .bytes = (n), .is_signed = 1

static int parse(const char *arguments, uint8_t n, struct tally_function_point *point,
		 char error[RULES_ERROR_LEN])
{
	const struct config_function function = {.operand = ARGUMENT(n)};

	memset(error, 0, RULES_ERROR_LEN);
	return rules_usdt_point(&function, 9, arguments, point, error);
}

static void every_form_of_an_operand_is_read(void **state)
{
	static const struct {
		const char *text;
		struct tally_operand operand;
	} cases[] = {
	    {"-4@%eax", {TALLY_OPERAND_REGISTER, TALLY_REGISTER_AX, SIGNED(4)}},
	    {"8@%rdi", {TALLY_OPERAND_REGISTER, TALLY_REGISTER_DI, BYTES(8)}},
	    {"1@%bpl", {TALLY_OPERAND_REGISTER, TALLY_REGISTER_BP, BYTES(1)}},
	    {"-2@%r15w", {TALLY_OPERAND_REGISTER, TALLY_REGISTER_R15, SIGNED(2)}},
	    {"4@%r8d", {TALLY_OPERAND_REGISTER, TALLY_REGISTER_R8, BYTES(4)}},
	    {"4@$5", {TALLY_OPERAND_CONSTANT, BYTES(4), .offset = 5}},
	    {"-8@$-1", {TALLY_OPERAND_CONSTANT, SIGNED(8), .offset = -1}},
	    {"4@$0x10", {TALLY_OPERAND_CONSTANT, BYTES(4), .offset = 16}},
	    {"-8@$-9223372036854775808",
	     {TALLY_OPERAND_CONSTANT, SIGNED(8), .offset = INT64_MIN}},
	    {"8@-24(%rbp)", {MEMORY = TALLY_REGISTER_BP, BYTES(8), .offset = -24}},
	    {"8@(%rax)", {MEMORY = TALLY_REGISTER_AX, BYTES(8)}},
	    {"-1@0x7f(%r12)", {MEMORY = TALLY_REGISTER_R12, SIGNED(1), .offset = 127}},
	    {"4@8(%rax,%rbx,4)",
	     {MEMORY = TALLY_REGISTER_AX, .index = TALLY_REGISTER_BX, .scale = 4,
	      BYTES(4), .offset = 8}},
	    {"8@(%rsp,%r9,8)",
	     {MEMORY = TALLY_REGISTER_SP, .index = TALLY_REGISTER_R9, .scale = 8,
	      BYTES(8)}},
	    {"2@-1(%rdx,%rcx)",
	     {MEMORY = TALLY_REGISTER_DX, .index = TALLY_REGISTER_CX, .scale = 1,
	      BYTES(2), .offset = -1}},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct tally_function_point point;
		char error[RULES_ERROR_LEN];

		if (parse(cases[i].text, 1, &point, error))
			fail_msg("%s", error);
		expect_operand(cases[i].text, &point.number, &cases[i].operand);
		assert_int_equal(point.rule, 9);
		assert_int_equal(point.role, TALLY_POINT_ENTRY);
	}
}

static void every_register_has_its_number_by_every_name(void **state)
{
	static const char *const legacy[][4] = {
	    {"rax", "eax", "ax", "al"},  {"rcx", "ecx", "cx", "cl"},
	    {"rdx", "edx", "dx", "dl"},  {"rbx", "ebx", "bx", "bl"},
	    {"rsp", "esp", "sp", "spl"}, {"rbp", "ebp", "bp", "bpl"},
	    {"rsi", "esi", "si", "sil"}, {"rdi", "edi", "di", "dil"},
	};
	static const char *const endings[] = {"", "d", "w", "b"};

	(void)state;
	for (uint8_t number = 0; number < 16; number++)
		for (size_t width = 0; width < 4; width++) {
			const struct tally_operand expected = in_register(number, 4, 0);
			struct tally_function_point point;
			char text[16], error[RULES_ERROR_LEN];

			if (number < 8)
				snprintf(text, sizeof(text), "4@%%%s",
					 legacy[number][width]);
			else
				snprintf(text, sizeof(text), "4@%%r%u%s", number,
					 endings[width]);
			assert_int_equal(parse(text, 1, &point, error), 0);
			expect_operand(text, &point.number, &expected);
		}
}

static const char *const refused[] = {
    /* sizes: none, of floating point, too large, odd */
    "%rax",
    "$5",
    "8(%rax)",
    "@%rax",
    "8f@%xmm0",
    "-4f@%eax",
    "8@%xmm0",
    "0@%rax",
    "-0@%rax",
    "3@%rax",
    "5@%rax",
    "16@%rax",
    "-16@%rax",
    "256@%rax",
    "257@%rax",
    "264@%rax",
    "4294967304@%rax",
    "-9223372036854775808@%rax",
    "9999999999999999999999999999999999999@%rax",
    "x@%rax",
    "--4@%eax",
    "4 @%eax",
    /* relative to an instruction that is not there, symbols */
    "8@counter(%rip)",
    "8@16(%rip)",
    "8@(%rip)",
    "8@counter",
    "8@counter+8",
    "4@$counter",
    "8@counter(%rax)",
    "8@%fs:0x28",
    "8@%fs:(%rax)",
    "8@0x10",
    /* other processors' */
    "-4@x0",
    "8@[sp, 8]",
    "8@[x19]",
    "-4@%a0",
    /* registers that are none */
    "8@%",
    "8@%r",
    "8@%r16",
    "8@%raxx",
    "8@%RAX",
    "8@rax",
    "8@%ah",
    "1@%st",
    /* pieces */
    "8@",
    "8@@%rax",
    "@",
    "$",
    "8@$",
    "8@$-",
    "8@$+",
    "8@$5x",

    "8@$0x",
    "4@$9223372036854775808",
    "8@(",
    "8@)",
    "8@()",
    "8@8()",
    "8@8)",
    "8@(%rax",
    "8@%rax)",
    "8@(%rax))",
    "8@((%rax))",
    "8@(%rax)x",
    "8@-(%rax)",
    "8@8-(%rax)",
    "8@99999999999999999999(%rax)",
    "8@(rax)",
    "8@(,%rax,8)",
    "8@(,%rax)",
    "8@(%rax,%rbx,3)",
    "8@(%rax,%rbx,0)",
    "8@(%rax,%rbx,16)",
    "8@(%rax,%rbx,257)",
    "8@(%rax,%rbx,-1)",
    "8@(%rax,%rbx,8,)",
    "8@(%rax,%rbx,8,1)",
    "8@(%rax,8)",
    "8@(%rax,%rip,8)",
    "8@(%rax,%xmm1,8)",
    "8@0000000000000000000000000000000000000000000000000000000000001(%rax)",
    "\xff\xfe",
    "8@\x80",
    "%s%n",
};

static void what_is_no_operand_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(refused); i++) {
		struct tally_function_point point = {.rule = 77};
		char error[RULES_ERROR_LEN];

		if (!parse(refused[i], 1, &point, error))
			fail_msg("taken: %s", refused[i]);
		assert_true(*error);
		assert_int_equal(point.rule, 77);
	}
}

static void nothing_is_read_behind_the_end(void **state)
{
	static const char whole[] = "-8@-0x24(%r12d,%r13d,8)";

	(void)state;
	for (size_t len = 0; len < sizeof(whole); len++) {
		char *text = strndup(whole, len), error[RULES_ERROR_LEN];
		struct tally_function_point point;

		assert_non_null(text);
		assert_int_equal(parse(text, 1, &point, error),
				 len == sizeof(whole) - 1 ? 0 : -EINVAL);
		free(text);
	}
}

static void the_argument_that_the_rule_names_is_taken(void **state)
{
	static const char twelve[] = " 8@%rax 4@$1 4@$2 4@$3 4@$4 4@$5 4@$6 4@$7 4@$8  "
				     "4@$9 4@$10 2f@%xmm0 ";
	struct tally_function_point point;
	char error[RULES_ERROR_LEN];

	(void)state;
	for (uint8_t n = 2; n <= 11; n++) {
		assert_int_equal(parse(twelve, n, &point, error), 0);
		assert_int_equal(point.number.offset, n - 1);
	}
	/* what is not asked for may be anything */
	assert_int_equal(parse(twelve, 0, &point, error), 0);
	expect_operand("none", &point.number, &none);
	assert_int_equal(parse(twelve, 12, &point, error), -EINVAL);
	assert_string_equal(
	    error, "argument 12 is where it cannot be read from: \"2f@%xmm0\"");
	assert_int_equal(parse("8@%rax", 2, &point, error), -EINVAL);
	assert_string_equal(error,
			    "the probe has no argument 2 (its arguments: \"8@%rax\")");
	assert_int_equal(parse("", 1, &point, error), -EINVAL);
	assert_string_equal(error, "the probe has no argument 1 (its arguments: \"\")");
	assert_int_equal(parse("   ", 1, &point, error), -EINVAL);
}

static void minus_and_labels_come_from_the_note_too(void **state)
{
	struct config_function_label labels[] = {
	    {.constant = "x"},
	    {.operand = ARGUMENT(3), .is_string = true},
	    {.operand = ARGUMENT(1)},
	};
	const struct config_function function = {
	    .operand = ARGUMENT(1),
	    .minus = ARGUMENT(2),
	    .labels = labels,
	    .label_count = 3,
	};
	const struct tally_operand number = in_register(TALLY_REGISTER_AX, 4, 1),
				   minus = in_register(TALLY_REGISTER_CX, 2, 0),
				   string = {.kind = TALLY_OPERAND_MEMORY,
					     .base = TALLY_REGISTER_BP,
					     .bytes = 8,
					     .offset = -8};
	struct tally_function_point point;
	char error[RULES_ERROR_LEN];

	(void)state;
	assert_int_equal(
	    rules_usdt_point(&function, 0, "-4@%eax 2@%cx 8@-8(%rbp)", &point, error),
	    0);
	expect_operand("number", &point.number, &number);
	expect_operand("minus", &point.minus, &minus);
	expect_operand("string", &point.labels[0].value, &string);
	assert_int_equal(point.labels[0].is_string, 1);
	expect_operand("label", &point.labels[1].value, &number);
	assert_int_equal(point.labels[1].is_string, 0);
	for (size_t missing = 0; missing < 3; missing++) {
		static const char *const texts[] = {"", "-4@%eax", "-4@%eax 2@%cx"};

		assert_int_equal(
		    rules_usdt_point(&function, 0, texts[missing], &point, error),
		    -EINVAL);
	}
}

/* The note is a stranger's. */
static void an_error_has_its_room_whatever_is_in_the_note(void **state)
{
	struct tally_function_point point;
	char error[RULES_ERROR_LEN], text[4096];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = 0;
	for (uint8_t n = 1; n <= 2; n++) {
		assert_int_equal(parse(text, n, &point, error), -EINVAL);
		assert_int_equal(strlen(error), RULES_ERROR_LEN - 1);
	}
}

static void unsigned_numbers_are_in_their_own_order(void **state)
{
	double bounds[] = {0, 0x1p63, 0x1.8p63, 0x1p64};
	struct config_function function = {
	    .type = CONFIG_HISTOGRAM,
	    .value = CONFIG_VALUE_NUMBER,
	    .operand = {.argument = 1},
	    .number = CONFIG_UINT64,
	    .bounds = bounds,
	    .bound_count = 4,
	};
	struct tally_function_rule rule;

	(void)state;
	rules_compile(&function, &rule);
	assert_true(rule.is_unsigned);
	assert_true(rule.bounds[0] == 0);
	assert_true(rule.bounds[1] == 1ull << 63);
	assert_true(rule.bounds[2] == 3ull << 62);
	assert_true(rule.bounds[3] == UINT64_MAX);
	function.minus.argument = 2; /* a difference may be below zero */
	rules_compile(&function, &rule);
	assert_false(rule.is_unsigned);
	function.minus.argument = 0;
	bounds[0] = -1; /* and so is what compares with such */
	rules_compile(&function, &rule);
	assert_false(rule.is_unsigned);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(unsigned_numbers_are_in_their_own_order),
	    cmocka_unit_test(a_return_is_needed_for_what_is_known_only_then),
	    cmocka_unit_test(measures_and_conditions_are_translated),
	    cmocka_unit_test(only_the_counts_that_a_type_shows_are_kept),
	    cmocka_unit_test(a_decimal_bound_of_latency_is_its_nanosecond),
	    cmocka_unit_test(a_bound_of_a_number_is_the_largest_integer_in_it),
	    cmocka_unit_test(every_bound_has_its_place),
	    cmocka_unit_test(caps_of_several_labels_are_of_their_combinations),
	    cmocka_unit_test(every_number_of_an_enumeration_is_visited_at_its_label),
	    cmocka_unit_test(arguments_are_in_the_registers_of_the_convention),
	    cmocka_unit_test(a_number_is_as_wide_as_its_type),
	    cmocka_unit_test(labels_are_read_at_the_entry_in_their_order),
	    cmocka_unit_test(equal_points_are_equal_bytes),
	    cmocka_unit_test(every_form_of_an_operand_is_read),
	    cmocka_unit_test(every_register_has_its_number_by_every_name),
	    cmocka_unit_test(what_is_no_operand_is_refused),
	    cmocka_unit_test(nothing_is_read_behind_the_end),
	    cmocka_unit_test(the_argument_that_the_rule_names_is_taken),
	    cmocka_unit_test(minus_and_labels_come_from_the_note_too),
	    cmocka_unit_test(an_error_has_its_room_whatever_is_in_the_note),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
