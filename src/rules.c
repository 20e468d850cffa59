/* SPDX-License-Identifier: Apache-2.0 */
#include "rules.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "length.h"
#include "slice.h"

#define NS_PER_SECOND 1e9

/* --- the rule -------------------------------------------------------------------- */

static const struct config_function_label *
result_label(const struct config_function *function)
{
	for (size_t i = 0; i < function->label_count; i++)
		if (function->labels[i].operand.is_return)
			return &function->labels[i];
	return NULL;
}

bool rules_need_return(const struct config_function *function)
{
	return function->value == CONFIG_VALUE_LATENCY ||
	       function->value == CONFIG_VALUE_IN_PROGRESS ||
	       function->condition != CONFIG_ALWAYS || function->operand.is_return ||
	       function->minus.is_return || result_label(function);
}

/* With one for what an enumeration does not name. */
static uint32_t values_max(const struct config_function_label *label)
{
	return label->value_count ? (uint32_t)label->value_count + 1
				  : label->max_values;
}

static uint32_t rows_at_most(uint64_t rows)
{
	return rows < TALLY_FUNCTION_ROWS ? (uint32_t)rows : TALLY_FUNCTION_ROWS;
}

/* What of a rule the argument labels decide: the caps of several make one, of their
 * combinations. */
static void compile_labels(const struct config_function *function,
			   struct tally_function_rule *rule)
{
	uint64_t sets = 1;
	unsigned int place = 0;

	for (size_t i = 0; i < function->label_count; i++) {
		const struct config_function_label *label = &function->labels[i];

		if (!label->operand.argument)
			continue;
		rule->has_labels = 1;
		if (label->value_count)
			rule->enumerated |= (uint8_t)(1u << place);
		place++;
		if (sets < TALLY_FUNCTION_ROWS)
			sets *= values_max(label);
	}
	rule->labels_max = rows_at_most(sets);
}

/* Each set of argument labels, that of `other` too, has the results once more. */
static void compile_result(const struct config_function *function,
			   struct tally_function_rule *rule)
{
	const struct config_function_label *label = result_label(function);
	const uint64_t sets = rule->has_labels ? (uint64_t)rule->labels_max + 1 : 1;

	if (!label)
		return;
	rule->has_result = 1;
	rule->results_max = rows_at_most(sets * values_max(label));
	if (label->value_count)
		rule->enumerated |= TALLY_ENUMERATED_RESULT;
}

static enum tally_function_measure measure_of(enum config_value_kind value)
{
	switch (value) {
	case CONFIG_VALUE_LATENCY:
		return TALLY_MEASURE_LATENCY;
	case CONFIG_VALUE_COUNT:
		return TALLY_MEASURE_CALLS;
	case CONFIG_VALUE_NUMBER:
		return TALLY_MEASURE_NUMBER;
	case CONFIG_VALUE_IN_PROGRESS:
		return TALLY_MEASURE_IN_PROGRESS;
	}
	return TALLY_MEASURE_CALLS;
}

static enum tally_function_condition condition_of(enum config_condition condition)
{
	switch (condition) {
	case CONFIG_ALWAYS:
		return TALLY_CONDITION_NONE;
	case CONFIG_RETURN_NEGATIVE:
		return TALLY_CONDITION_NEGATIVE;
	case CONFIG_RETURN_NULL:
		return TALLY_CONDITION_ZERO;
	case CONFIG_RETURN_NONZERO:
		return TALLY_CONDITION_NONZERO;
	}
	return TALLY_CONDITION_NONE;
}

bool rules_are_unsigned(const struct config_function *function)
{
	const bool is_difference =
	    function->minus.argument || function->minus.is_return;

	return function->value == CONFIG_VALUE_NUMBER &&
	       function->number == CONFIG_UINT64 && !is_difference &&
	       (!function->bound_count || function->bounds[0] >= 0);
}

/* The largest integer that the bound includes: of a number, or of nanoseconds, which
 * a decimal bound means exactly and a double nearly. */
static uint64_t ordered_bound(double bound, bool is_latency, bool is_unsigned)
{
	const double whole = is_latency ? round(bound * NS_PER_SECOND) : floor(bound);

	if (is_unsigned)
		return whole >= 0x1p64 ? UINT64_MAX : (uint64_t)whole;
	if (whole >= 0x1p63)
		return TALLY_FUNCTION_ORDERED(INT64_MAX, false);
	if (whole < -0x1p63)
		return TALLY_FUNCTION_ORDERED(INT64_MIN, false);
	return TALLY_FUNCTION_ORDERED((int64_t)whole, false);
}

enum tally_function_place rules_place(const struct config_function *function)
{
	enum tally_function_place place = TALLY_PLACE_SINGLE;

	if (function->type == CONFIG_SUMMARY)
		return TALLY_PLACE_SUMMARY;
	for (size_t i = 0; i < function->label_count; i++)
		if (!function->labels[i].constant)
			place = TALLY_PLACE_ROW;
	return place;
}

void rules_compile(const struct config_function *function,
		   struct tally_function_rule *ret_rule)
{
	const bool is_latency = function->value == CONFIG_VALUE_LATENCY;

	*ret_rule = (struct tally_function_rule){
	    .measure = measure_of(function->value),
	    .condition = condition_of(function->condition),
	    .has_return = rules_need_return(function),
	    .is_unsigned = rules_are_unsigned(function),
	    .only_grows = function->type == CONFIG_COUNTER,
	    .has_buckets = function->type == CONFIG_HISTOGRAM,
	    .place = (uint8_t)rules_place(function),
	};
	for (size_t i = 0; i < TALLY_FUNCTION_BOUNDS; i++)
		ret_rule->bounds[i] =
		    i < function->bound_count
			? ordered_bound(function->bounds[i], is_latency,
					ret_rule->is_unsigned)
			: UINT64_MAX;
	compile_labels(function, ret_rule);
	compile_result(function, ret_rule);
}

void rules_each_enumerated(const struct config_function *function, uint32_t rule,
			   rules_visit_enumerated visit, void *context)
{
	uint32_t place = 0;

	for (size_t i = 0; i < function->label_count; i++) {
		const struct config_function_label *label = &function->labels[i];
		struct tally_function_enumerated key = {
		    .rule = rule,
		    .label = label->operand.is_return ? TALLY_FUNCTION_LABELS : place,
		};

		place += label->operand.argument != 0;
		for (size_t j = 0; j < label->value_count; j++) {
			key.number = label->values[j].number;
			visit(context, &key);
		}
	}
}

/* --- operands by convention ------------------------------------------------------- */

static const uint8_t system_v_arguments[] = {
    TALLY_REGISTER_DI, TALLY_REGISTER_SI, TALLY_REGISTER_DX,
    TALLY_REGISTER_CX, TALLY_REGISTER_R8, TALLY_REGISTER_R9,
};

static const uint8_t go_arguments[] = {
    TALLY_REGISTER_AX, TALLY_REGISTER_BX,  TALLY_REGISTER_CX,
    TALLY_REGISTER_DI, TALLY_REGISTER_SI,  TALLY_REGISTER_R8,
    TALLY_REGISTER_R9, TALLY_REGISTER_R10, TALLY_REGISTER_R11,
};

static struct tally_operand in_register(uint8_t base, enum config_number number)
{
	static const uint8_t bytes[] = {
	    [CONFIG_INT64] = 8,  [CONFIG_INT32] = 4, [CONFIG_UINT64] = 8,
	    [CONFIG_UINT32] = 4, [CONFIG_BOOL] = 1,
	};

	return (struct tally_operand){
	    .kind = TALLY_OPERAND_REGISTER,
	    .base = base,
	    .bytes = bytes[number],
	    .is_signed = number == CONFIG_INT64 || number == CONFIG_INT32,
	};
}

/* argument: from 1. */
static struct tally_operand argument_of(size_t argument, bool is_go,
					enum config_number number)
{
	const uint8_t *registers = is_go ? go_arguments : system_v_arguments;
	const size_t count = is_go ? LENGTH(go_arguments) : LENGTH(system_v_arguments);

	if (!argument || argument > count)
		return (struct tally_operand){};
	return in_register(registers[argument - 1], number);
}

/* What of an operand is known at the entry, or at the return. */
static struct tally_operand operand_at(const struct config_operand *operand,
				       bool at_entry, bool is_go,
				       enum config_number number)
{
	if (at_entry)
		return argument_of(operand->argument, is_go, number);
	return operand->is_return ? in_register(TALLY_REGISTER_AX, number)
				  : (struct tally_operand){};
}

static void add_labels(const struct config_function *function, bool is_go,
		       struct tally_function_point *point)
{
	size_t used = 0;

	for (size_t i = 0; i < function->label_count; i++) {
		const struct config_function_label *label = &function->labels[i];
		const uint8_t argument = label->operand.argument;

		if (!argument || used == TALLY_FUNCTION_LABELS)
			continue;
		point->labels[used].is_string = label->is_string;
		point->labels[used].value = argument_of(
		    argument, is_go, label->is_string ? CONFIG_UINT64 : label->number);
		if (label->is_string && is_go)
			point->labels[used].len =
			    argument_of((size_t)argument + 1, true, CONFIG_INT64);
		used++;
	}
}

void rules_point(const struct config_function *function, uint32_t rule,
		 enum tally_point_role role, bool is_go,
		 struct tally_function_point *ret_point)
{
	const bool at_entry = role == TALLY_POINT_ENTRY;
	const struct config_function_label *label = result_label(function);

	*ret_point = (struct tally_function_point){
	    .rule = rule,
	    .role = (uint8_t)role,
	    .is_go = is_go,
	    .number = operand_at(&function->operand, at_entry, is_go, function->number),
	    .minus = operand_at(&function->minus, at_entry, is_go, function->number),
	};
	if (at_entry) {
		add_labels(function, is_go, ret_point);
		return;
	}
	if (function->condition != CONFIG_ALWAYS)
		ret_point->judged =
		    in_register(TALLY_REGISTER_AX, function->condition_number);
	if (label)
		ret_point->result = in_register(TALLY_REGISTER_AX, label->number);
}

/* --- operands of a USDT note ------------------------------------------------------ */

static const struct register_name {
	const char *names[4];
	uint8_t number;
} register_names[] = {
    {{"rax", "eax", "ax", "al"}, TALLY_REGISTER_AX},
    {{"rbx", "ebx", "bx", "bl"}, TALLY_REGISTER_BX},
    {{"rcx", "ecx", "cx", "cl"}, TALLY_REGISTER_CX},
    {{"rdx", "edx", "dx", "dl"}, TALLY_REGISTER_DX},
    {{"rsi", "esi", "si", "sil"}, TALLY_REGISTER_SI},
    {{"rdi", "edi", "di", "dil"}, TALLY_REGISTER_DI},
    {{"rbp", "ebp", "bp", "bpl"}, TALLY_REGISTER_BP},
    {{"rsp", "esp", "sp", "spl"}, TALLY_REGISTER_SP},
    {{"r8", "r8d", "r8w", "r8b"}, TALLY_REGISTER_R8},
    {{"r9", "r9d", "r9w", "r9b"}, TALLY_REGISTER_R9},
    {{"r10", "r10d", "r10w", "r10b"}, TALLY_REGISTER_R10},
    {{"r11", "r11d", "r11w", "r11b"}, TALLY_REGISTER_R11},
    {{"r12", "r12d", "r12w", "r12b"}, TALLY_REGISTER_R12},
    {{"r13", "r13d", "r13w", "r13b"}, TALLY_REGISTER_R13},
    {{"r14", "r14d", "r14w", "r14b"}, TALLY_REGISTER_R14},
    {{"r15", "r15d", "r15w", "r15b"}, TALLY_REGISTER_R15},
};

/* "%rax"; not rip: an address relative to it is so to an instruction that is not
 * there. */
static bool parse_register(struct slice text, uint8_t *ret_number)
{
	if (!text.len || *text.text != '%')
		return false;
	text.text++;
	text.len--;
	for (size_t i = 0; i < LENGTH(register_names); i++)
		for (size_t j = 0; j < LENGTH(register_names[i].names); j++)
			if (slice_is(text, register_names[i].names[j])) {
				*ret_number = register_names[i].number;
				return true;
			}
	return false;
}

/* Decimal or 0x, negative too; the whole text. */
static bool parse_integer(struct slice text, long long *ret_number)
{
	char digits[32];
	char *end;

	if (!text.len || text.len >= sizeof(digits))
		return false;
	memcpy(digits, text.text, text.len);
	digits[text.len] = 0;
	errno = 0;
	*ret_number = strtoll(digits, &end, 0);
	return !errno && !*end;
}

/* "-24(%rbp)", "(%rax,%rbx,8)" */
static bool parse_memory(struct slice text, struct tally_operand *operand)
{
	struct slice offset, base, index;
	long long scale = 1;

	if (!slice_ends_with(text, ")"))
		return false;
	text.len--;
	offset = slice_split(&text, '(');
	if (offset.len && !parse_integer(offset, &operand->offset))
		return false;
	operand->kind = TALLY_OPERAND_MEMORY;
	base = slice_split(&text, ',');
	if (!parse_register(base, &operand->base))
		return false;
	if (!text.len)
		return true;
	index = slice_split(&text, ',');
	if (text.len && !parse_integer(text, &scale))
		return false;
	operand->scale = (uint8_t)scale;
	return (scale == 1 || scale == 2 || scale == 4 || scale == 8) &&
	       parse_register(index, &operand->index);
}

/* "-4@%eax": the sign of the size says whether the value has one. */
static bool parse_argument(struct slice text, struct tally_operand *ret_operand)
{
	struct tally_operand operand = {};
	const struct slice size = slice_split(&text, '@');
	long long bytes;

	if (!parse_integer(size, &bytes) || bytes < -8 || bytes > 8 || !bytes ||
	    !strchr("\1\2\4\10", (int)llabs(bytes)))
		return false;
	operand.is_signed = bytes < 0;
	operand.bytes = (uint8_t)llabs(bytes);
	if (text.len && *text.text == '$') {
		operand.kind = TALLY_OPERAND_CONSTANT;
		text.text++;
		text.len--;
		if (!parse_integer(text, &operand.offset))
			return false;
	} else if (parse_register(text, &operand.base)) {
		operand.kind = TALLY_OPERAND_REGISTER;
	} else if (!parse_memory(text, &operand)) {
		return false;
	}
	*ret_operand = operand;
	return true;
}

/* The n-th, from 1; 0: no operand. */
static int usdt_argument(const char *arguments, uint8_t n,
			 struct tally_operand *ret_operand,
			 char ret_error[RULES_ERROR_LEN])
{
	struct slice rest = slice_trimmed(slice_of(arguments)), word = {};

	if (!n)
		return 0;
	for (unsigned int i = 0; i < n; i++) {
		if (!rest.len) {
			snprintf(ret_error, RULES_ERROR_LEN,
				 "the probe has no argument %u (its arguments: \"%s\")",
				 n, arguments);
			return -EINVAL;
		}
		word = slice_split(&rest, ' ');
		rest = slice_trimmed(rest);
	}
	if (parse_argument(word, ret_operand))
		return 0;
	snprintf(ret_error, RULES_ERROR_LEN,
		 "argument %u is where it cannot be read from: \"%.*s\"", n,
		 (int)word.len, word.text);
	return -EINVAL;
}

int rules_usdt_point(const struct config_function *function, uint32_t rule,
		     const char *arguments, struct tally_function_point *ret_point,
		     char ret_error[RULES_ERROR_LEN])
{
	struct tally_function_point point = {.rule = rule, .role = TALLY_POINT_ENTRY};
	size_t used = 0;
	int err = usdt_argument(arguments, function->operand.argument, &point.number,
				ret_error);

	if (!err)
		err = usdt_argument(arguments, function->minus.argument, &point.minus,
				    ret_error);
	for (size_t i = 0; i < function->label_count && !err; i++) {
		const struct config_function_label *label = &function->labels[i];

		if (!label->operand.argument || used == TALLY_FUNCTION_LABELS)
			continue;
		point.labels[used].is_string = label->is_string;
		err = usdt_argument(arguments, label->operand.argument,
				    &point.labels[used++].value, ret_error);
	}
	if (!err)
		*ret_point = point;
	return err;
}
