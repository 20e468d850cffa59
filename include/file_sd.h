/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_sd.h - the files of `file_sd_configs`, as they are now: read again when they
 * change (inotify), and every refresh_interval. One that cannot be read keeps the
 * targets that it had, with one message; one that is gone has none.
 */
#pragma once

#include "config.h"
#include "loop.h"

struct file_sd;

/* Something of one of them changed; from the loop. */
typedef void (*file_sd_changed)(void *context);
/* configs and loop outlive it. What there is is read at once. -errno, -ENOMEM. */
int file_sd_create(struct loop *loop, file_sd_changed changed, void *context,
		   struct file_sd **ret_files);
void file_sd_free(struct file_sd **files);
/* -ENOMEM */
int file_sd_add(struct file_sd *files, const struct config_file_sd *config);
/* Groups of the files of that one, in order of their names; they live until the loop
 * runs. */
typedef void (*file_sd_visit)(void *context, const char *path,
			      const struct config_groups *groups);
void file_sd_each(const struct file_sd *files, const struct config_file_sd *config,
		  file_sd_visit visit, void *context);
/* Files that could not be read when that was tried last. */
size_t file_sd_broken(const struct file_sd *files);
