/* SPDX-License-Identifier: Apache-2.0 */
/* The directory that the spool is in: nobody else can change it or what leads to
 * it, one process has it at a time. Knows the files by name, not what is in them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SPOOL_SET_ASIDE_MAX 3 /* files */

struct spool_directory;

/* Makes the last component (0700) where it is missing, and locks it. Symlinks are
 * followed where only root or we could have made them. Errors come with a line of
 * text: -EPERM, -ENOTDIR, -ENOENT, -EBUSY (locked by another process), -errno. */
int spool_directory_open(const char *path, struct spool_directory **ret_directory,
			 char *error, size_t error_len);
void spool_directory_close(struct spool_directory **directory);

/* Path of spool.db, without symlinks; lives as long as the directory. */
const char *spool_directory_file(const struct spool_directory *directory);
/* Makes spool.db (empty, 0600) where it is missing. -EPERM: it is no file of ours;
 * -EUCLEAN: empty beside a log that is not; -errno. */
int spool_directory_make_file(struct spool_directory *directory);
/* Whether spool.db is still the file that was made or found last. */
bool spool_directory_has_file(const struct spool_directory *directory);
/* Renames spool.db and its log to spool.db.corrupt-TIME[-wal], and deletes the
 * oldest such files: above SPOOL_SET_ASIDE_MAX, or bytes_max together. */
int spool_directory_set_aside(const struct spool_directory *directory, int64_t now_ms,
			      uint64_t bytes_max, char *ret_name, size_t name_len);
