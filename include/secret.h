/* SPDX-License-Identifier: Apache-2.0 */
/* Text that must not be seen: read from its file, hidden where somebody quotes
 * it, wiped when done. Says nothing to anyone. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

/* NULL is none. */
static inline void secret_wipe(char **secret)
{
	if (*secret)
		explicit_bzero(*secret, strlen(*secret));
	free(*secret);
	*secret = NULL;
}

#define AUTO_WIPE CLEANUP(secret_wipe)

/* What the file holds, without blanks around it; never waits for a pipe's writer.
 * -errno; -EFBIG above 64 KiB; -EINVAL when it is empty or cannot be a header's
 * value (RFC 9110 5.5): a line end would smuggle in another. */
int secret_read(const char *path, char **ret_secret);
/* The credentials of Basic authentication (RFC 7617). -ENOMEM. */
int secret_basic(const char *username, const char *password, char **ret_credentials);
/* Stars in its place, also for a beginning of it where the text was cut off. */
void secret_hide(char *text, const char *secret);
