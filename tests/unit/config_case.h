/* SPDX-License-Identifier: Apache-2.0 */
/* Loads YAML text as --config would, for the tests of the config files. */
#pragma once

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config.h"

struct loaded {
	struct config config;
	enum config_action action;
	int err;
	char error[CONFIG_ERROR_LEN]; /* without the file's name */
};

static inline void load_arguments(char **argv, struct loaded *ret_loaded)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	*ret_loaded = (struct loaded){.action = CONFIG_DOCTOR};
	ret_loaded->err = config_load(argc, argv, &ret_loaded->config,
				      &ret_loaded->action, ret_loaded->error);
}

/* `more`: further arguments, NULL terminated; or NULL. The file has no name on
 * disk, so that a failed assertion leaves nothing behind. */
static inline void load_bytes(const void *bytes, size_t len, char *const *more,
			      struct loaded *ret_loaded)
{
	int fd = memfd_create("config", MFD_CLOEXEC);
	char path[64], *argv[20] = {"bpftally", "--config", path};
	size_t prefix;

	assert(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (size_t i = 3; more && *more; i++)
		argv[i] = *more++;
	load_arguments(argv, ret_loaded);
	close(fd);
	prefix = strlen(path);
	if (!strncmp(ret_loaded->error, path, prefix) && ret_loaded->error[prefix])
		memmove(ret_loaded->error, ret_loaded->error + prefix + 1,
			strlen(ret_loaded->error + prefix));
}

static inline void load_text(const char *yaml, struct loaded *ret_loaded)
{
	load_bytes(yaml, strlen(yaml), NULL, ret_loaded);
}

/* The error is exactly "LINE: TEXT", on one line. */
static inline void assert_refused(const char *yaml, const char *error)
{
	struct loaded loaded;

	load_text(yaml, &loaded);
	if (loaded.err != -EINVAL || strcmp(loaded.error, error) != 0)
		fail_msg("\n%s\n gave %d '%s'\n  want   '%s'", yaml, loaded.err,
			 loaded.error, error);
	config_free(&loaded.config);
}

static inline void assert_accepted(const char *yaml)
{
	struct loaded loaded;

	load_text(yaml, &loaded);
	if (loaded.err)
		fail_msg("\n%s\n gave '%s'", yaml, loaded.error);
	config_free(&loaded.config);
}

/* docs/configuration.md names it in backquotes, alone or with what precedes or
 * follows: `key`, `section.key`, `.key`, `--option VALUE`. */
static inline void assert_documented(const char *name)
{
	static char text[64 * 1024];
	FILE *file = fopen("docs/configuration.md", "re");
	size_t len = strlen(name);

	assert(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	for (const char *at = text; (at = strstr(at, name)); at += len) {
		if (strchr("`.", at[-1]) && strchr("` :", at[len]))
			return;
	}
	fail_msg("%s is not in docs/configuration.md", name);
}
