/* SPDX-License-Identifier: Apache-2.0 */
#include "families.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "slice.h"

static const char *unit_of(const char *metric)
{
	const struct slice name = slice_of(metric);

	if (slice_ends_with(name, "_seconds"))
		return "seconds";
	return slice_ends_with(name, "_bytes") ? "bytes" : "";
}

static enum metric_type type_of(enum config_metric_type type)
{
	switch (type) {
	case CONFIG_COUNTER:
		return METRIC_COUNTER;
	case CONFIG_GAUGE:
		return METRIC_GAUGE;
	case CONFIG_HISTOGRAM:
		return METRIC_HISTOGRAM;
	case CONFIG_SUMMARY:
		return METRIC_SUMMARY;
	}
	return METRIC_GAUGE;
}

static const char *verb_of(const struct config_function *rule)
{
	switch (rule->value) {
	case CONFIG_VALUE_LATENCY:
		return "Duration of calls of";
	case CONFIG_VALUE_COUNT:
		return "Calls of";
	case CONFIG_VALUE_NUMBER:
		return "A number that was passed to or returned by";
	case CONFIG_VALUE_IN_PROGRESS:
		return "Calls under way of";
	}
	return "Calls of";
}

static char *help_of(const struct config_function *rule)
{
	char *help = NULL;
	int len;

	if (rule->help)
		return strdup(rule->help);
	if (rule->usdt_name)
		len = asprintf(&help, "%s the probe %s:%s.", verb_of(rule),
			       rule->usdt_provider, rule->usdt_name);
	else
		len = asprintf(&help, "%s %s.", verb_of(rule), rule->function);
	return len < 0 ? NULL : help;
}

static struct family *family_create(const struct config_function *rule,
				    unsigned int order)
{
	struct family *family = calloc(1, sizeof(*family));

	if (!family)
		return NULL;
	*family = (struct family){
	    .name = rule->metric,
	    .help = help_of(rule),
	    .unit = unit_of(rule->metric),
	    .type = type_of(rule->type),
	    .order = order,
	};
	if (!family->help) {
		free(family);
		return NULL;
	}
	return family;
}

static uint32_t first_with_metric(const struct config_function *rules, uint32_t rule)
{
	uint32_t i = 0;

	while (strcmp(rules[i].metric, rules[rule].metric) != 0)
		i++;
	return i;
}

static int add(struct families *families, const struct config_function *rules,
	       uint32_t rule, unsigned int order)
{
	const uint32_t first = first_with_metric(rules, rule);

	families->firsts[rule] = first;
	families->items[rule] = first < rule
				    ? families->items[first]
				    : family_create(&rules[rule], order + rule);
	families->count = rule + 1;
	return families->items[rule] ? 0 : -ENOMEM;
}

int families_create(const struct config_function *rules, size_t rule_count,
		    unsigned int order, struct families *ret_families)
{
	struct families families = {
	    .items = calloc(rule_count, sizeof(struct family *)),
	    .firsts = calloc(rule_count, sizeof(*families.firsts)),
	};
	int err = families.items && families.firsts ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < rule_count && !err; i++)
		err = add(&families, rules, i, order);
	if (err)
		families_free(&families);
	else
		*ret_families = families;
	return err;
}

void families_free(struct families *families)
{
	for (uint32_t i = 0; i < families->count; i++) {
		struct family *family = families->items[i];

		if (!family || families->firsts[i] != i)
			continue;
		free((char *)family->help);
		free(family);
	}
	free(families->items);
	free(families->firsts);
	*families = (struct families){};
}
