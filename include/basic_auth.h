/* SPDX-License-Identifier: Apache-2.0 */
/*
 * basic_auth.h - who may, by RFC 7617 and bcrypt, and the only file that knows
 * libcrypt. A hash is made to take long, so it is made by a thread beside the
 * loop's, one at a time, at the lowest priority; what was right once is not hashed
 * again. It knows no HTTP but the field's value.
 *
 * Bounded: BASIC_AUTH_WAITING checks at once, one password kept a user.
 */
#pragma once

#include <stdbool.h>

#include "config.h"
#include "loop.h"

#define BASIC_AUTH_WAITING 8

struct basic_auth;

enum basic_auth_verdict {
	BASIC_AUTH_GRANTED,
	BASIC_AUTH_DENIED,
	BASIC_AUTH_WAITS, /* told later */
	BASIC_AUTH_BUSY,  /* too many wait */
};

/* `asker` is whose question it was. Calls nothing of this file. */
typedef void (*basic_auth_answer)(void *context, void *asker, bool granted);

int basic_auth_create(struct loop *loop, basic_auth_answer answer, void *context,
		      struct basic_auth **ret_auth);
/* Waits for the hash that is being made. Who waits is not told. */
void basic_auth_free(struct basic_auth **auth);
/* users: names and hashes, at least one. authorization: the field's value, or NULL.
 * An unknown name takes as long as a wrong password. */
enum basic_auth_verdict basic_auth_judge(struct basic_auth *auth,
					 const struct config_labels *users,
					 const char *authorization, void *asker);
/* The users have changed: what was right is forgotten. */
void basic_auth_forget(struct basic_auth *auth);
