/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "config_internal.h"

struct config_function *config_add_function(struct config *config)
{
	struct config_function *all;

	all = reallocarray(config->functions, config->function_count + 1, sizeof(*all));
	if (!all)
		return NULL;
	config->functions = all;
	all += config->function_count++;
	*all = (struct config_function){
	    .max_age_ms = 600000,
	    .age_buckets = 5,
	};
	return all;
}

static void free_label(struct config_function_label *label)
{
	free(label->name);
	free(label->constant);
	for (size_t i = 0; i < label->value_count; i++)
		free(label->values[i].text);
	free(label->values);
}

static void free_function(struct config_function *function)
{
	free(function->where);
	free(function->metric);
	free(function->help);
	config_free_strings(&function->exes);
	config_free_strings(&function->libs);
	free(function->function);
	free(function->usdt_provider);
	free(function->usdt_name);
	for (size_t i = 0; i < function->label_count; i++)
		free_label(&function->labels[i]);
	free(function->labels);
	free(function->bounds);
	free(function->quantiles);
}

void config_free_functions(struct config *config)
{
	for (size_t i = 0; i < config->function_count; i++)
		free_function(&config->functions[i]);
	free(config->functions);
	config->functions = NULL;
	config->function_count = 0;
}
