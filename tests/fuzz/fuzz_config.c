/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the file: judged in bounded time, nothing leaked. An error is
 * one line that never holds what a variable held; what is taken is in bounds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config_internal.h"

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

		require(endpoint->url && endpoint->name && *endpoint->name);
		require(endpoint->queue.max_samples_per_send <=
			endpoint->queue.capacity);
		for (size_t j = 0; j < i; j++)
			require(strcmp(endpoint->name, config->remote_writes[j].name));
	}
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
	close(fd);
	return 0;
}
