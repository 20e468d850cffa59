/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request_head.h - the headers of one request, with its credentials, which are read for
 * it and wiped after it; and the same out of sight where an answer quotes them. It
 * knows no transport: whoever sends the lines has copies of his own.
 */
#pragma once

#include "config.h"

#define REQUEST_ERROR_LEN 256

/* Zeroed at birth. */
struct request_head {
	char **lines; /* "Name: value"; "Name:" is one that is not to be sent */
	size_t count;
	char *secret; /* among them */
};

/* host: of the Host header, NULL where it is the url's. headers are added to those of
 * the config. -ENOMEM; a secret that cannot be read is told in error, too. What is
 * made so far is to be wiped in any case. */
int request_head_make(struct request_head *head, const struct config_http *config,
		      const char *host, const char *const *headers, size_t count,
		      char error[REQUEST_ERROR_LEN]);
void request_head_wipe(struct request_head *head);
/* Stars where the text has a secret of the head, of the config or of the url (or NULL):
 * some receivers quote the request in their answer. */
void request_head_hide(const struct request_head *head,
		       const struct config_http *config, const char *url, char *text);
