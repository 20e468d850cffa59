/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the file: judged in bounded time, nothing leaked. An error is
 * one line that never holds what a variable held; what is taken is in bounds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config_internal.h"
#include "config_web.h"

#define VALUE "Gehe1m"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int fact)
{
	if (!fact)
		abort();
}

static void check_error(const char *error, const uint8_t *data, size_t size)
{
	require(*error && memchr(error, '\0', CONFIG_ERROR_LEN));
	require(!strchr(error, '\n') && !strchr(error, '\x1b'));
	if (!memmem(data, size, VALUE, strlen(VALUE)))
		require(!strstr(error, VALUE));
}

static void check_ascends(const double *numbers, size_t count)
{
	for (size_t i = 1; i < count; i++)
		require(numbers[i - 1] < numbers[i]);
}

static void check_labels(const struct config_function *function)
{
	uint32_t most = function->usdt_name ? 12 : 6;
	size_t operands = 0;

	require(function->label_count <= CONFIG_FUNCTION_LABELS_MAX);
	for (size_t i = 0; i < function->label_count; i++) {
		const struct config_function_label *label = &function->labels[i];

		require(*label->name && label->number <= CONFIG_BOOL);
		require(label->operand.argument <= most);
		require(!label->constant ==
			(label->operand.is_return || label->operand.argument));
		operands += !label->constant;
	}
	require(operands <= CONFIG_OPERAND_LABELS_MAX);
}

static void check_function(const struct config_function *function)
{
	require(function->where && *function->metric);
	require(!function->function == (function->usdt_provider != NULL));
	require(!function->usdt_provider == !function->usdt_name);
	require(function->exes.count || function->libs.count || function->pid_count ||
		function->services.count);
	require(function->exes.count <= CONFIG_LIST_MAX);
	require(function->libs.count <= CONFIG_LIST_MAX);
	require(function->pid_count <= CONFIG_LIST_MAX);
	require(function->services.count <= CONFIG_LIST_MAX);
	require(function->type <= CONFIG_SUMMARY);
	require(function->value <= CONFIG_VALUE_IN_PROGRESS);
	require(function->number <= CONFIG_BOOL);
	require(function->condition_number <= CONFIG_BOOL);
	require((function->bound_count > 0) == (function->type == CONFIG_HISTOGRAM));
	require(function->bound_count <= CONFIG_BOUNDS_MAX);
	check_ascends(function->bounds, function->bound_count);
	require((function->quantile_count > 0) == (function->type == CONFIG_SUMMARY));
	require(function->quantile_count <= CONFIG_QUANTILES_MAX);
	check_ascends(function->quantiles, function->quantile_count);
	check_labels(function);
}

static void check_relabels(const struct config_remote_write *endpoint)
{
	require(endpoint->relabel_count <= CONFIG_RELABELS_MAX);
	for (size_t i = 0; i < endpoint->relabel_count; i++) {
		const struct config_relabel *rule = &endpoint->relabels[i];

		require(rule->where && rule->separator && rule->regex);
		require(rule->replacement && rule->action <= CONFIG_LABELKEEP);
		require(rule->action != CONFIG_HASHMOD || rule->modulus);
		require(rule->action != CONFIG_REPLACE || rule->target_label);
		require(rule->source_labels.count <= CONFIG_LIST_MAX);
	}
}

static void check_config(const struct config *config)
{
	require(config->listen && config->max_series && config->max_routes);
	require(config->pid_count <= CONFIG_LIST_MAX);
	require(config->port_count <= TALLY_PORTS_MAX);
	require(config->exes.count <= CONFIG_LIST_MAX);
	require(config->external_labels.count <= CONFIG_LIST_MAX);
	require(config->remote_write_count <= CONFIG_REMOTE_WRITES_MAX);
	for (size_t i = 0; i < config->remote_write_count; i++) {
		const struct config_remote_write *endpoint = &config->remote_writes[i];

		require(endpoint->http.url && endpoint->name && *endpoint->name);
		require(endpoint->queue.min_backoff_ms <=
			endpoint->queue.max_backoff_ms);
		check_relabels(endpoint);
		for (size_t j = 0; j < i; j++)
			require(strcmp(endpoint->name, config->remote_writes[j].name));
	}
	require(config->function_count <= CONFIG_FUNCTIONS_MAX);
	for (size_t i = 0; i < config->function_count; i++)
		check_function(&config->functions[i]);
}

static void check_web(const struct config_web *web)
{
	const struct config_web_tls *tls = &web->tls;

	require(!tls->cert || !tls->cert_file);
	require(!config_web_has_tls(web) || tls->key || tls->key_file);
	require(tls->min_version <= tls->max_version);
	require(tls->suite_count <= CONFIG_WEB_SUITES_MAX);
	require(tls->curve_count <= CONFIG_WEB_CURVES_MAX);
	require(web->headers.count <= 5 && web->users.count <= CONFIG_WEB_USERS_MAX);
	for (size_t i = 0; i < web->users.count; i++)
		require(strlen(web->users.items[i].value) == 60);
}

/* The same bytes as the web server's file. */
static void read_web(const char *path, const uint8_t *data, size_t size)
{
	char error[CONFIG_ERROR_LEN] = "";
	struct config_web web;

	if (config_web_read(path, &web, error))
		check_error(error, data, size);
	else
		check_web(&web);
	config_web_free(&web);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[32], *argv[] = {"bpftally", "--config", path, NULL};
	char error[CONFIG_ERROR_LEN] = "";
	int fd = memfd_create("config", MFD_CLOEXEC);
	enum config_action action;
	struct config config;

	setenv("A", VALUE, 1);
	require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (config_load(3, argv, &config, &action, error))
		check_error(error, data, size);
	else
		check_config(&config);
	config_free(&config);
	read_web(path, data, size);
	close(fd);
	return 0;
}
