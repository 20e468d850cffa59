/* SPDX-License-Identifier: Apache-2.0 */
#include "prober.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "elf.h"
#include "log.h"
#include "return_probes.h"

#define ERROR_LEN 512

static const struct config_function *rule_of(const struct prober *prober, uint32_t rule)
{
	return &prober->rules[rule];
}

static void free_points(struct points *points)
{
	free(points->items);
}

static int tell_points(struct prober *prober)
{
	int err = 0;

	while (prober->points_known < prober->points.count && !err) {
		const uint32_t number = prober->points_known;

		err = uprobes_set_point(prober->uprobes, number,
					&prober->points.items[number]);
		prober->points_known += !err;
	}
	return err;
}

/* What of the file the rule's places are; ret_error: one line that names the file. */
static int find_places(const struct config_function *config, uint32_t rule,
		       const struct binary *binary, struct elf *elf,
		       bool no_return_probe, struct points *points,
		       struct places *places, char ret_error[ERROR_LEN])
{
	char why[PLACES_ERROR_LEN];
	int err = places_find(elf, config, rule, no_return_probe, points, places, why);

	if (err)
		snprintf(ret_error, ERROR_LEN, "%s: %.*s", binary->shown,
			 PLACES_ERROR_LEN / 2, why);
	return err;
}

static void warn(const struct prober *prober, uint32_t rule, const char *error)
{
	const struct config_function *config = rule_of(prober, rule);

	log_warning("%s: metric \"%s\": %s", config->where, config->metric, error);
}

void prober_warn(const struct prober *prober, const struct subject *subject,
		 const char *error)
{
	for (size_t i = 0; i < subject->count; i++)
		warn(prober, subject->rules[i], error);
}

/* The places of each rule; none of one that finds nothing: -errno of the last such. */
static int find_all_places(struct prober *prober, const struct subject *subject,
			   const struct binary *binary, struct places *places)
{
	CLEANUP(elf_close) struct elf *elf = NULL;
	char error[ERROR_LEN];
	int last = elf_open(binary->path, binary->root, &elf, error);

	if (last) {
		prober_warn(prober, subject, error);
		return last;
	}
	for (size_t i = 0; i < subject->count; i++) {
		const uint32_t rule = subject->rules[i];
		int err = find_places(rule_of(prober, rule), rule, binary, elf,
				      !prober->return_probes_are_safe, &prober->points,
				      &places[i], error);

		if (!err)
			continue;
		last = err;
		warn(prober, rule, error);
		places_free(&places[i]);
	}
	return last;
}

static int attach_together(struct prober *prober, const char *path,
			   const struct places *places, size_t count,
			   struct uprobes_link **ret_link)
{
	AUTO_FREE struct uprobes_place *all = NULL;
	size_t all_count = 0;

	for (size_t i = 0; i < count; i++)
		all_count += places[i].count;
	if (!all_count)
		return 0;
	all = calloc(all_count, sizeof(*all));
	if (!all)
		return -ENOMEM;
	all_count = 0;
	for (size_t i = 0; i < count; i++) {
		if (places[i].count)
			memcpy(all + all_count, places[i].items,
			       places[i].count * sizeof(*all));
		all_count += places[i].count;
	}
	return uprobes_attach(prober->uprobes, path, all, all_count, ret_link);
}

/* What of a file a rule is measured in. */
static void say_found(const struct config_function *config, const struct binary *binary,
		      const struct places *places)
{
	log_info("%s: metric \"%s\": %zu %s of %s, %zu of them single-stepped",
		 config->where, config->metric, places->functions,
		 places->functions == 1 ? "function" : "functions", binary->shown,
		 places->stepped);
}

static void warn_unattached(const struct prober *prober, uint32_t rule,
			    const struct binary *binary, int err)
{
	char error[ERROR_LEN];

	snprintf(error, sizeof(error), "cannot attach to %s: %s", binary->shown,
		 strerror(-err));
	warn(prober, rule, error);
}

/* err: of one link for all. Where that cannot be had, each rule has its own, so that
 * one that fails stops no other. */
static int attach_rule(const struct prober *prober, const struct binary *binary,
		       const struct places *places, uint32_t rule, int err,
		       struct probed_rule *probed)
{
	if (err)
		err = uprobes_attach(prober->uprobes, binary->path, places->items,
				     places->count, &probed->link);
	if (err) {
		warn_unattached(prober, rule, binary, err);
		return err;
	}
	probed->functions = places->functions;
	say_found(rule_of(prober, rule), binary, places);
	return 0;
}

/* The last error. No place is attached of which the kernel does not know the point. */
static int attach_places(struct prober *prober, const struct subject *subject,
			 const struct binary *binary, const struct places *places,
			 struct probed *probed)
{
	int last = tell_points(prober);
	int together;

	if (last) {
		for (size_t i = 0; i < subject->count; i++)
			if (places[i].count)
				warn_unattached(prober, subject->rules[i], binary,
						last);
		return last;
	}
	together = attach_together(prober, binary->path, places, subject->count,
				   &probed->link);
	for (size_t i = 0; i < subject->count; i++) {
		int err = 0;

		if (places[i].count) /* else it was said when they were looked for */
			err = attach_rule(prober, binary, &places[i], subject->rules[i],
					  together, &probed->rules[i]);
		last = err ? err : last;
	}
	return last;
}

/* -errno of any rule that failed. */
int prober_attach(struct prober *prober, const struct subject *subject,
		  const struct binary *binary, struct probed *probed)
{
	const size_t count = subject->count;
	struct places *places = calloc(count, sizeof(*places));
	int find_err, err;

	if (!places)
		return -ENOMEM;
	find_err = find_all_places(prober, subject, binary, places);
	err = attach_places(prober, subject, binary, places, probed);
	for (size_t i = 0; i < count; i++)
		places_free(&places[i]);
	free(places);
	return find_err ? find_err : err;
}

void prober_detach(struct probed *probed)
{
	uprobes_detach(&probed->link);
	for (size_t i = 0; i < probed->count; i++) {
		uprobes_detach(&probed->rules[i].link);
		probed->rules[i].functions = 0;
	}
}

int probed_create(size_t rule_count, struct probed *ret_probed)
{
	struct probed_rule *rules = calloc(rule_count, sizeof(*rules));

	if (!rules)
		return -ENOMEM;
	*ret_probed = (struct probed){.rules = rules, .count = rule_count};
	return 0;
}

void probed_free(struct probed *probed)
{
	prober_detach(probed);
	free(probed->rules);
	*probed = (struct probed){};
}

void prober_init(struct prober *prober, const struct config_function *rules,
		 uint32_t point_max)
{
	const char *danger = return_probes_danger_here();

	*prober = (struct prober){
	    .rules = rules,
	    .points.max = point_max,
	    .return_probes_are_safe = !danger,
	};
	if (danger)
		log_info("%s: none are used, returns are found in the code", danger);
}

void prober_free(struct prober *prober)
{
	free_points(&prober->points);
	*prober = (struct prober){};
}

/* --- judging without attaching ---------------------------------------------------- */

bool prober_check(const struct config_function *rule, const struct binary *binary)
{
	CLEANUP(places_free) struct places places = {};
	CLEANUP(free_points) struct points points = {.max = UINT32_MAX};
	CLEANUP(elf_close) struct elf *elf = NULL;
	char error[ERROR_LEN];
	int err = elf_open(binary->path, binary->root, &elf, error);

	if (!err)
		err = find_places(rule, 0, binary, elf,
				  return_probes_danger_here() != NULL, &points, &places,
				  error);
	if (err)
		log_error("%s: metric \"%s\": %s", rule->where, rule->metric, error);
	else
		say_found(rule, binary, &places);
	return !err;
}
