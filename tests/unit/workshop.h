/* SPDX-License-Identifier: Apache-2.0 */
/* A directory where a test makes its own binaries with the tools that are there
 * for the build. Includers have included cmocka.h. */
#pragma once

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORKSHOP_LEN 64

static inline void workshop_open(char ret_path[WORKSHOP_LEN])
{
	strcpy(ret_path, "/tmp/bpftally-elf-XXXXXX");
	assert_non_null(mkdtemp(ret_path));
}

static inline int workshop_remove_entry(const char *path, const struct stat *status,
					int type, struct FTW *where)
{
	(void)status;
	(void)type;
	(void)where;
	return remove(path);
}

static inline void workshop_close(const char *path)
{
	assert_int_equal(nftw(path, workshop_remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static inline void workshop_write(const char *path, const char *name, const void *data,
				  size_t len)
{
	char file_path[256];
	FILE *file;

	snprintf(file_path, sizeof(file_path), "%s/%s", path, name);
	file = fopen(file_path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static inline void workshop_source(const char *path, const char *name, const char *text)
{
	workshop_write(path, name, text, strlen(text));
}

/* A line of shell, in the directory; a failing one fails the test. */
static inline void workshop_run(const char *path, const char *command)
{
	char line[2048];

	snprintf(line, sizeof(line), "cd %s && unset CFLAGS GOFLAGS && %s", path,
		 command);
	if (system(line) != 0)
		fail_msg("failed: %s", command);
}
