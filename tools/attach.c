/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attach - how long probes of functions take to be had and to be given back, as the
 * daemon does it for one rule on one file: a latency, so each function has a probe at
 * its entry and one at its return. Loading the programs is not in it.
 *   attach FILE GLOB      root; prints functions, and milliseconds: places found (the
 *                         file read, sites chosen), attached, detached
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "elf.h"
#include "places.h"
#include "rules.h"
#include "uprobes.h"

#define POINTS_MAX 64
#define NS_PER_MS 1e6

static double now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / NS_PER_MS;
}

static int find(const char *path, const struct config_function *function,
		struct points *points, struct places *places, char *ret_error)
{
	CLEANUP(elf_close) struct elf *elf = NULL;
	int err = elf_open(path, "", &elf, ret_error);

	return err ? err
		   : places_find(elf, function, 0, false, points, places, ret_error);
}

static int attach(struct uprobes *uprobes, const char *path,
		  const struct points *points, const struct places *places,
		  struct uprobes_link **ret_link)
{
	int err = 0;

	for (uint32_t i = 0; i < points->count && !err; i++)
		err = uprobes_set_point(uprobes, i, &points->items[i]);
	return err ? err
		   : uprobes_attach(uprobes, path, places->items, places->count,
				    ret_link);
}

static int measure(struct uprobes *uprobes, const char *path,
		   const struct config_function *function,
		   char ret_error[ELF_ERROR_LEN])
{
	CLEANUP(places_free) struct places places = {};
	CLEANUP(uprobes_detach) struct uprobes_link *link = NULL;
	struct points points = {.max = POINTS_MAX};
	double begin = now_ms(), found, attached;
	int err = find(path, function, &points, &places, ret_error);

	found = now_ms();
	if (!err)
		err = attach(uprobes, path, &points, &places, &link);
	attached = now_ms();
	uprobes_detach(&link);
	if (!err)
		printf("%zu %.2f %.2f %.2f\n", places.functions, found - begin,
		       attached - found, now_ms() - attached);
	free(points.items);
	return err;
}

int main(int argc, char **argv)
{
	struct config_function function = {
	    .type = CONFIG_HISTOGRAM,
	    .value = CONFIG_VALUE_LATENCY,
	    .function = argc == 3 ? argv[2] : NULL,
	};
	CLEANUP(uprobes_close) struct uprobes *uprobes = NULL;
	struct tally_function_rule rule;
	char error[UPROBES_ERROR_LEN] = "cannot attach";
	int err;

	if (argc != 3) {
		fprintf(stderr, "usage: %s FILE GLOB\n", argv[0]);
		return 2;
	}
	rules_compile(&function, &rule);
	err = uprobes_open(&rule, 1, POINTS_MAX, 0, &uprobes, error);
	if (!err)
		err = measure(uprobes, argv[1], &function, error);
	if (err)
		fprintf(stderr, "attach: %s: %s\n", error, strerror(-err));
	return err ? 1 : 0;
}
