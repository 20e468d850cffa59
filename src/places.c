/* SPDX-License-Identifier: Apache-2.0 */
#include "places.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "config_value.h"
#include "demangle.h"
#include "instruction.h"
#include "rules.h"
#include "site.h"

#define NEAR_LEN 128      /* of a name that is compared with what is written */
#define PLACES_MAX 100000 /* of one file */
#define NEAREST_MAX 3

/* What one search works on. */
struct search {
	struct elf *elf;
	const struct config_function *function;
	uint32_t rule;
	bool no_return_probe;
	struct points *points;
	struct places *places;
	uint32_t at; /* the function that is looked at: where it is in the file */
	char *error;
};

static bool is_glob(const char *name)
{
	return strpbrk(name, "*?[") != NULL;
}

static int fail(struct search *search, int err, const char *text)
{
	snprintf(search->error, PLACES_ERROR_LEN, "%s", text);
	return err;
}

/* --- points and places ------------------------------------------------------------ */

static int point_number(struct search *search, const struct tally_function_point *point,
			uint32_t *ret_number)
{
	struct points *points = search->points;
	struct tally_function_point *items;

	for (uint32_t i = 0; i < points->count; i++)
		if (!memcmp(&points->items[i], point, sizeof(*point))) {
			*ret_number = i;
			return 0;
		}
	if (points->count == points->max)
		return fail(search, -E2BIG, "too many kinds of places");
	items = reallocarray(points->items, points->count + 1, sizeof(*items));
	if (!items)
		return fail(search, -ENOMEM, "out of memory");
	points->items = items;
	items[points->count] = *point;
	*ret_number = points->count++;
	return 0;
}

static int add_place(struct search *search, uint64_t offset, uint64_t semaphore,
		     const struct tally_function_point *point)
{
	struct places *places = search->places;
	struct uprobes_place place = {
	    .offset = offset,
	    .semaphore = semaphore,
	    .function = search->at,
	};
	struct uprobes_place *items;
	int err = point_number(search, point, &place.point);

	if (err)
		return err;
	if (places->count == PLACES_MAX)
		return fail(search, -E2BIG, "too many places");
	items = reallocarray(places->items, places->count + 1, sizeof(*items));
	if (!items)
		return fail(search, -ENOMEM, "out of memory");
	places->items = items;
	items[places->count++] = place;
	return 0;
}

void places_free(struct places *places)
{
	free(places->items);
	*places = (struct places){};
}

static int add_point(struct search *search, uint64_t offset, enum tally_point_role role)
{
	struct tally_function_point point;

	rules_point(search->function, search->rule, role, elf_is_go(search->elf),
		    &point);
	return add_place(search, offset, 0, &point);
}

/* To the last place: its function's return to the caller. */
static int add_return(struct search *search)
{
	struct uprobes_place *place = &search->places->items[search->places->count - 1];
	struct tally_function_point point;
	int err;

	rules_point(search->function, search->rule, TALLY_POINT_TRAMPOLINE,
		    elf_is_go(search->elf), &point);
	err = point_number(search, &point, &place->return_point);
	place->has_return = !err;
	return err;
}

/* --- functions -------------------------------------------------------------------- */

static int choose_site(struct search *search, const struct elf_function *function,
		       struct site *ret_site)
{
	const char *why;
	int err = site_find(search->elf, function, rules_need_return(search->function),
			    search->no_return_probe, ret_site, &why);

	if (err)
		snprintf(search->error, PLACES_ERROR_LEN, "\"%s\" cannot be probed: %s",
			 function->display, why);
	return err;
}

static int add_function(struct search *search, const struct elf_function *function)
{
	struct site site;
	int err = choose_site(search, function, &site);

	if (err)
		return err;
	search->at = (uint32_t)function->offset;
	err = add_point(search, function->offset + site.entry, TALLY_POINT_ENTRY);
	if (!err && site.return_probe)
		err = add_return(search);
	for (uint16_t i = 0; i < site.return_count && !err; i++)
		err = add_point(search, function->offset + site.returns[i],
				TALLY_POINT_LEAVING);
	if (err)
		return err;
	search->places->functions++;
	search->places->stepped += !site.is_cheap;
	return 0;
}

/* A breakpoint inside of an instruction would make another one of it; and not on a
 * nop5, as site.c has it. */
static int add_inside(struct search *search, const struct elf_function *function,
		      uint64_t offset)
{
	CLEANUP(instructions_free) struct instructions instructions = {};
	const struct instruction *instruction = NULL;
	size_t len;
	const uint8_t *code = elf_code(search->elf, function, &len);

	if (code && !instructions_read(elf_decoder(search->elf), code, len,
				       function->address, &instructions))
		instruction = instructions_at(&instructions, (int64_t)offset);
	if (!instruction || instruction->is_refused || instruction->is_nop5)
		return fail(search, -EOPNOTSUPP,
			    "at that address is no instruction that can be probed");
	search->places->functions++;
	search->places->stepped += !instruction->is_emulated;
	return add_point(search, function->offset + offset, TALLY_POINT_ENTRY);
}

/* "0x401136": an address as objdump shows it, of any instruction for an entry, of a
 * function's first for all else. */
static int add_address(struct search *search, uint64_t address)
{
	size_t count;
	const struct elf_function *functions = elf_functions(search->elf, &count);

	for (size_t i = 0; i < count; i++) {
		const struct elf_function *function = &functions[i];

		if (address == function->address)
			return add_function(search, function);
		if (address < function->address ||
		    address - function->address >= function->size ||
		    rules_need_return(search->function))
			continue;
		return add_inside(search, function, address - function->address);
	}
	return fail(search, -ENOENT, "no function is at that address");
}

/* With its parameters, or without, as it is written in most rules. */
static bool is_nearer(const struct search *search, const struct elf_function *function,
		      unsigned int *distance)
{
	const char *wanted = search->function->function;
	const size_t len = demangle_base_len(function->display);
	char base[NEAR_LEN];

	if (value_is_nearer(wanted, function->display, distance))
		return true;
	if (function->display == function->name || len >= sizeof(base))
		return false;
	memcpy(base, function->display, len);
	base[len] = 0;
	return value_is_nearer(wanted, base, distance);
}

/* The likeliest name that was meant instead. */
static int fail_unknown(struct search *search, const struct elf_function *functions,
			size_t count)
{
	const char *nearest = NULL;
	unsigned int distance = VALUE_UNLIKE;

	for (size_t i = 0; i < count; i++)
		if (is_nearer(search, &functions[i], &distance))
			nearest = functions[i].display;
	if (nearest)
		snprintf(search->error, PLACES_ERROR_LEN,
			 "has no function \"%s\"; the nearest is \"%s\"",
			 search->function->function, nearest);
	else
		snprintf(search->error, PLACES_ERROR_LEN,
			 count ? "has no function \"%s\" (it may be inlined); "
				 "'bpftally functions' lists what there is"
			       : "has no function \"%s\": its symbols were stripped",
			 search->function->function);
	return -ENOENT;
}

static int fail_ambiguous(struct search *search, const struct elf_function *first,
			  const struct elf_function *second)
{
	snprintf(
	    search->error, PLACES_ERROR_LEN,
	    "has several functions \"%s\": \"%s\" at 0x%llx, \"%s\" at 0x%llx; name "
	    "one by its address, or all by a glob",
	    search->function->function, first->display,
	    (unsigned long long)first->address, second->display,
	    (unsigned long long)second->address);
	return -ENOTUNIQ;
}

/* Several names of one place are one function. */
static int add_named(struct search *search)
{
	const char *name = search->function->function;
	size_t count;
	const struct elf_function *functions = elf_functions(search->elf, &count);
	const struct elf_function *found = NULL;

	for (size_t i = 0; i < count; i++) {
		if (!elf_function_is(&functions[i], name))
			continue;
		if (found && found->offset != functions[i].offset)
			return fail_ambiguous(search, found, &functions[i]);
		found = &functions[i];
	}
	return found ? add_function(search, found)
		     : fail_unknown(search, functions, count);
}

static int add_matching(struct search *search)
{
	const size_t before = search->places->functions;
	size_t count;
	const struct elf_function *functions = elf_functions(search->elf, &count);
	uint64_t last_offset = UINT64_MAX;
	bool found = false;

	for (size_t i = 0; i < count; i++) {
		int err;

		if (!elf_function_matches(&functions[i], search->function->function) ||
		    functions[i].offset == last_offset)
			continue;
		found = true;
		last_offset = functions[i].offset;
		err = add_function(search, &functions[i]);
		if (err && err != -EOPNOTSUPP)
			return err;
	}
	if (!found)
		return fail_unknown(search, functions, count);
	return search->places->functions > before ? 0 : -EOPNOTSUPP;
}

/* --- USDT ------------------------------------------------------------------------- */

/* Since Linux 6.18 it is made a call, which writes below the stack pointer, where
 * leaves keep their own. <sys/sdt.h> has a nop of one byte. */
static bool is_nop5(struct search *search, uint64_t offset)
{
	static const uint8_t nop5[] = {0x0f, 0x1f, 0x44, 0, 0};
	const struct elf_function place = {.offset = offset, .size = sizeof(nop5)};
	size_t len;
	const uint8_t *code = elf_code(search->elf, &place, &len);

	return code && !memcmp(code, nop5, sizeof(nop5));
}

/* A probe that the compiler inlined is there several times; all count. */
static int add_usdt(struct search *search)
{
	const struct config_function *function = search->function;
	size_t count;
	const struct elf_usdt *usdts = elf_usdts(search->elf, &count);
	bool found = false;

	for (size_t i = 0; i < count; i++) {
		struct tally_function_point point;
		int err;

		if (fnmatch(function->usdt_provider, usdts[i].provider, 0) ||
		    fnmatch(function->usdt_name, usdts[i].name, 0))
			continue;
		if (is_nop5(search, usdts[i].offset))
			return fail(search, -EOPNOTSUPP,
				    "has that probe at a nop of five bytes, where the "
				    "kernel would overwrite the stack");
		err = rules_usdt_point(function, search->rule, usdts[i].arguments,
				       &point, search->error);
		if (!err)
			err = add_place(search, usdts[i].offset,
					usdts[i].semaphore_offset, &point);
		if (err)
			return err;
		search->places->functions += !found;
		found = true;
	}
	if (found)
		return 0;
	snprintf(search->error, PLACES_ERROR_LEN, "has no USDT probe \"%s:%s\"",
		 function->usdt_provider, function->usdt_name);
	return -ENOENT;
}

/* --- all of it -------------------------------------------------------------------- */

int places_find(struct elf *elf, const struct config_function *function, uint32_t rule,
		bool no_return_probe, struct points *points, struct places *places,
		char ret_error[PLACES_ERROR_LEN])
{
	struct search search = {
	    .elf = elf,
	    .function = function,
	    .rule = rule,
	    .no_return_probe = no_return_probe,
	    .points = points,
	    .places = places,
	    .error = ret_error,
	};
	char *end;
	uint64_t address;
	int err;

	if (function->usdt_name)
		return add_usdt(&search);
	if (!strncmp(function->function, "0x", 2)) {
		address = strtoull(function->function, &end, 16);
		if (!*end)
			return add_address(&search, address);
	}
	err = add_named(&search); /* Go's "main.(*T).Run" is a name */
	return err == -ENOENT && is_glob(function->function) ? add_matching(&search)
							     : err;
}
