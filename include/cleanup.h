/* SPDX-License-Identifier: Apache-2.0 */
/* Scope-exit cleanup: an owning local is declared with one of these and
 * initialised at once (NULL, -1). TAKE hands ownership over, visibly. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(function) __attribute__((cleanup(function)))

static inline void cleanup_free(void *pointer)
{
	free(*(void **)pointer);
}

static inline void cleanup_close(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_fclose(FILE **file)
{
	if (*file)
		fclose(*file);
}

#define AUTO_FREE CLEANUP(cleanup_free)
#define AUTO_CLOSE CLEANUP(cleanup_close)
#define AUTO_FCLOSE CLEANUP(cleanup_fclose)
#define TAKE(pointer)                                                                  \
	({                                                                             \
		__auto_type taken = pointer;                                           \
		(pointer) = NULL;                                                      \
		taken;                                                                 \
	})
